"""Where a format's keys may come from, beside a trust set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agent.credential.issuers import IssuerKey
from agent.credential.model import FormatName


@dataclass(frozen=True)
class Unfiltered:
    """Offers all its keys for everything, so that a format's own rules must choose; no rosters."""

    keys: Sequence[IssuerKey]

    def by_kid(self, kid: bytes) -> Sequence[IssuerKey]:
        return [key for key in self.keys if key.kid == kid]

    def by_short_kid(self, kid: bytes) -> Sequence[IssuerKey]:
        return [key for key in self.keys if key.kid.startswith(kid)]

    def for_format(self, name: FormatName) -> Sequence[IssuerKey]:
        return self.keys

    def roots(self) -> Sequence[IssuerKey]:
        return self.keys
