"""A pilot in memory: issuers, holders, the gate's keys and rules."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from agent.credential import base45, registry
from agent.credential.issuers import IssuerKey
from agent.credential.model import Credential, FormatName, Rejected
from agent.issuing import issue
from agent.reason import Reason
from tests.support.paths import VECTORS

NOW = 1_800_000_000
DAY = 86_400
SITE_KEY = b"k" * 32


class Keys:
    """The keys that a gate trusts."""

    def __init__(self, *keys: IssuerKey) -> None:
        self.found: dict[bytes, list[IssuerKey]] = defaultdict(list)
        for key in keys:
            self.found[key.kid].append(key)

    def by_kid(self, kid: bytes) -> Sequence[IssuerKey]:
        return self.found.get(kid, [])

    def by_short_kid(self, kid: bytes) -> Sequence[IssuerKey]:
        return [key for keys in self.found.values() for key in keys if key.kid.startswith(kid)]

    def for_format(self, name: FormatName) -> Sequence[IssuerKey]:
        return []

    def roots(self) -> Sequence[IssuerKey]:
        return []


@dataclass
class Pilot:
    """One city, one railway, one phone, one gate."""

    city: issue.Issuer
    rail: issue.Issuer
    holder: issue.Holder
    keys: Keys

    def trusting(self, *keys: IssuerKey) -> Keys:
        return Keys(*keys)

    def credential(self, **changes: Any) -> bytes:
        fields: dict[str, Any] = {
            "subject": "42",
            "issued_at": NOW - DAY,
            "valid_until": NOW + DAY,
            "cti": b"card-0001",
            "level": 2,
        }
        return issue.sign_credential(self.city, self.holder, **fields | changes)

    def ticket(self, **changes: Any) -> bytes:
        fields: dict[str, Any] = {
            "subject": "passenger",
            "issued_at": NOW - 60,
            "valid_until": NOW + 3600,
            "cti": b"ticket-1",
            "details": {"train": "G1"},
        }
        return issue.sign_ticket(self.rail, self.holder, **fields | changes)

    def dynamic(self, credential: bytes | None = None, **changes: Any) -> str:
        fields: dict[str, Any] = {"at": NOW, "audience": "station/g1"}
        return issue.present(credential or self.credential(), self.holder, **fields | changes)

    def static(self, credential: bytes | None = None, **changes: Any) -> str:
        return issue.present(credential or self.credential(), **changes)

    def code(self, data: bytes) -> str:
        """Write any bytes as the text of a native code."""
        return "NI1:" + base45.encode(data)

    def rules(self, **changes: Any) -> registry.ReadRules:
        fields: dict[str, Any] = {
            "now": NOW,
            "clock_trusted": True,
            "site": "station",
            "gate": "g1",
            "site_keys": (SITE_KEY,),
        }
        return registry.ReadRules(**fields | changes)

    def read(self, payload: str | bytes, *, keys: Keys | None = None, **changes: Any) -> Credential:
        raw = payload.encode("latin-1") if isinstance(payload, str) else payload
        return registry.read(raw, keys=keys or self.keys, rules=self.rules(**changes))

    def reason(self, payload: str | bytes, **changes: Any) -> Reason:
        """Return why the payload is refused, GRANTED where it is not."""
        try:
            self.read(payload, **changes)
        except Rejected as error:
            return error.reason
        return Reason.GRANTED


@pytest.fixture(scope="session")
def pilot() -> Pilot:
    city, rail = issue.new_issuer("city"), issue.new_issuer("rail")
    keys = Keys(
        city.issuer_key(iss=frozenset({city.iss})), rail.issuer_key(iss=frozenset({rail.iss}))
    )
    return Pilot(city, rail, issue.Holder.new(), keys)


@pytest.fixture(scope="session")
def vectors() -> Callable[[str], Path]:
    """Return a function from a folder's name to the vectors of others."""
    return VECTORS.joinpath
