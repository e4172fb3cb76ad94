"""What a gate believes, as values; and the one question the formats ask of it.

The formats see `KeySource` only. Status lists, rosters and ages are asked by `agent.verify` after a
signature was checked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from agent.credential.model import FormatName, Kind, StatusReference

__all__ = [
    "COMMAND_ROLES",
    "Algorithm",
    "IssuerKey",
    "KeySource",
    "OperatorKey",
    "RosterView",
    "StatusVerdict",
    "TrustError",
    "TrustView",
]

COMMAND_ROLES = frozenset(
    {"open", "close", "mode", "update", "reload", "replay", "identify", "config"}
)
"""What an operator's key may be entitled to: the names of the fleet's signed commands."""


class TrustError(ValueError):
    """Trust data that cannot be believed; one line that names the file and the fault."""


class Algorithm(StrEnum):
    """The algorithm a key is pinned to; the header must agree with it."""

    ES256 = "ES256"
    ES384 = "ES384"
    EDDSA = "EdDSA"
    PS256 = "PS256"
    RS256 = "RS256"  # Aadhaar only
    SM2 = "SM2"


class StatusVerdict(StrEnum):
    """What a Token Status List says of an index."""

    VALID = "valid"
    INVALID = "invalid"
    SUSPENDED = "suspended"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class IssuerKey:
    """A key that the gate trusts, and for what.

    Attributes:
        issuer: the issuer's name in the trust set.
        kid: first 8 bytes of SHA-256 over SubjectPublicKeyInfo (DER), unless the set names another;
            over the certificate for an X.509 signer of a DCC.
        algorithm: pinned.
        public_key: a `cryptography` public key; for SM2 the point as 65 bytes (04 | x | y).
        kinds: kinds of document it may sign; empty means any.
        formats: formats it may sign; empty means any.
        valid_from, valid_until: Unix seconds, inclusive.
        iss: values of the `iss` claim that belong to it; empty means any.
        certificate: DER, where the key came as one.
        is_root: True for a certificate that only signs other certificates (x5chain).
        status_for: other issuers, by name, whose status lists it may sign.
    """

    issuer: str
    kid: bytes
    algorithm: Algorithm
    public_key: Any = field(repr=False)
    kinds: frozenset[Kind] = frozenset()
    formats: frozenset[FormatName] = frozenset()
    valid_from: int = 0
    valid_until: int = 2**53
    iss: frozenset[str] = frozenset()
    certificate: bytes | None = field(repr=False, default=None)
    is_root: bool = False
    status_for: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class OperatorKey:
    """A key whose holder may command gates.

    Attributes:
        name: the operator's name in the trust set.
        kid: first 8 bytes of SHA-256 over SubjectPublicKeyInfo (DER), unless the set names another.
        algorithm: pinned.
        public_key: a `cryptography` public key; for SM2 the point as 65 bytes (04 | x | y).
        roles: commands it may sign, out of `COMMAND_ROLES`.
        valid_from, valid_until: Unix seconds, inclusive.
    """

    name: str
    kid: bytes
    algorithm: Algorithm
    public_key: Any = field(repr=False)
    roles: frozenset[str] = frozenset()
    valid_from: int = 0
    valid_until: int = 2**53


class KeySource(Protocol):
    """Issuer keys by what a code names."""

    def by_kid(self, kid: bytes) -> Sequence[IssuerKey]:
        """Return the keys with this id; more than one where issuers collide, 8 at most."""

    def for_format(self, name: FormatName) -> Sequence[IssuerKey]:
        """Return keys for a format without kid, 8 at most."""

    def roots(self) -> Sequence[IssuerKey]:
        """Return pinned root certificates."""


class RosterView(Protocol):
    """A list of subjects by keyed hash."""

    @property
    def blocks(self) -> bool:
        """True for a list of blocked subjects, False for one of allowed ones."""

    def lists(self, issuer: str, subject: str, now: int, zone: str = "") -> bool:
        """Return whether the subject is listed at this time for this zone.

        Args:
            issuer: the issuer's name in the trust set.
            subject: the credential's subject.
            now: Unix seconds.
            zone: the gate's zone; entries without a zone hold everywhere.
        """


class TrustView(KeySource, Protocol):
    """An immutable snapshot of the trust set; the daemon swaps whole snapshots."""

    @property
    def version(self) -> int:
        """Version of the set, 0 for a plain directory."""

    @property
    def updated_at(self) -> int:
        """Unix seconds at which the set was last confirmed current."""

    def status(
        self, reference: StatusReference, now: int, issuer: str | None = None
    ) -> StatusVerdict:
        """Return what the status list says.

        UNKNOWN when the list is missing, does not cover the index, or is out of date and does not
        condemn: an old list can still say invalid or suspended, it can no longer say valid.

        Args:
            reference: the list's URI and the index in it.
            now: Unix seconds.
            issuer: the credential's issuer; only lists that may speak for it are asked. None asks
                any list with the URI.
        """

    def roster(self, name: str) -> RosterView | None:
        """Return the roster of that name, or None."""

    def operator(self, kid: bytes) -> OperatorKey | None:
        """Return the operator's key with this id, or None; its validity is for the caller."""

    def profile(self, name: str) -> bytes | None:
        """Return the site profile (TOML) of that name, or None."""

    def model(self, name: str) -> Path | None:
        """Return where the model file of that name lies, or None."""
