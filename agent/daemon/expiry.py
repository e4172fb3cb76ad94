"""What ends by its date: certificates of the link, issuers' keys, the signed set; in days.

Rules:
- Of one kind the day that matters is told: the first client certificate, the last of several in a
  CA file (one that holds is enough), the last key of each issuer, and of the issuers the soonest.
- A file that cannot be read has no date here: whoever needs it says so.
- What ends soon, or has ended, is a fault with the file's or issuer's name while it is so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from agent.journal.faults import Faults
from agent.settings.model import Config
from agent.settings.secrets import optional_secret_path
from agent.trust.expiry import expiries
from agent.trust.snapshot import TrustSnapshot

__all__ = ["LOOK_EVERY_S", "SOON_DAYS", "Expiry", "ExpiryWatch", "Kind", "ends"]

LOOK_EVERY_S: Final = 3_600.0
_DAY_S: Final = 86_400
_MAX_FILE: Final = 4 << 20
_NEVER: Final = 2**40
"""Seconds after which a date is none: keys without an end have one beyond all calendars."""


class Kind(StrEnum):
    """What ends."""

    CLIENT = "client_certificate"
    CA = "ca_certificate"
    BROKER = "broker_certificate"
    ISSUER = "issuer"
    SET = "trust_set"


SOON_DAYS: Final = {
    Kind.CLIENT: 14,
    Kind.CA: 14,
    Kind.BROKER: 7,
    Kind.ISSUER: 14,
    Kind.SET: 3,
}
"""Days before the end at which somebody should act. Brokers' certificates are renewed by machines
late, and a set's signatures hold for a month."""


@dataclass(frozen=True, slots=True)
class Expiry:
    """An end: of what, by which name, and when in Unix seconds."""

    kind: Kind
    name: str
    until: float

    def days(self, now: float) -> float:
        """Return the days that are left, negative after the end."""
        return (self.until - now) / _DAY_S

    def soon(self, now: float) -> bool:
        """Return whether somebody should act."""
        return self.days(now) < SOON_DAYS[self.kind]

    def words(self, now: float) -> str:
        """Say how long it still holds."""
        days = self.days(now)
        if days < 0:
            return f"{self.name}: expired {-days:.0f} days ago"
        return f"{self.name}: expires in {days:.0f} days"


def ends(config: Config, trust: TrustSnapshot, *, broker_until: float | None) -> dict[Kind, Expiry]:
    """Return the soonest end of each kind that has one.

    Args:
        config: the settings.
        trust: what is believed.
        broker_until: of the broker's certificate as it was seen, None where none was.
    """
    found: dict[Kind, Expiry] = {}
    for each in _all(config, trust, broker_until):
        before = found.get(each.kind)
        if each.until < _NEVER and (before is None or each.until < before.until):
            found[each.kind] = each
    return found


def _all(config: Config, trust: TrustSnapshot, broker_until: float | None) -> Iterator[Expiry]:
    mqtt = config.mqtt
    if mqtt is not None:
        for kind, name in ((Kind.CLIENT, mqtt.cert_file), (Kind.CA, mqtt.ca_file)):
            path = optional_secret_path(name, config.path(""))
            dates = [] if path is None else _dates(path)
            if dates:
                until = dates[0] if kind is Kind.CLIENT else max(dates)
                yield Expiry(kind, name, until)
        if broker_until is not None:
            yield Expiry(Kind.BROKER, f"the broker's certificate ({mqtt.url})", broker_until)
    for entry in expiries(trust):
        yield Expiry(Kind.ISSUER, str(entry), entry.not_after)
    if trust.expires_at is not None:
        yield Expiry(Kind.SET, f"the signed set, version {trust.version}", trust.expires_at)


def _dates(path: Path) -> list[float]:
    """Return the ends of a PEM file's certificates, in their order."""
    from cryptography import x509

    try:
        with path.open("rb") as file:
            found = x509.load_pem_x509_certificates(file.read(_MAX_FILE))
    except (OSError, ValueError):
        return []
    return [certificate.not_valid_after_utc.timestamp() for certificate in found]


class ExpiryWatch:
    """Looks once an hour and keeps the numbers.

    Args:
        faults: told of what ends soon.
    """

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._looked_at: float | None = None
        self.days: dict[str, float] = {}
        """Days left by kind, as of the last look."""

    def due(self, monotonic: float) -> bool:
        """Return whether it is time to look."""
        return self._looked_at is None or monotonic - self._looked_at >= LOOK_EVERY_S

    def look(self, found: Iterable[Expiry], *, now: float, monotonic: float) -> None:
        """Note what ends, and when.

        Args:
            found: one of a kind.
            now: Unix seconds, believed: with no such time nothing can be said.
            monotonic: seconds.
        """
        self._looked_at = monotonic
        ends = {each.kind: each for each in found}
        self.days = {kind.value: round(each.days(now), 2) for kind, each in ends.items()}
        for kind in Kind:
            each = ends.get(kind)
            if each is not None and each.soon(now):
                self._faults.begin("expiry", kind.value, each.words(now))
            else:
                self._faults.end("expiry", kind.value)
