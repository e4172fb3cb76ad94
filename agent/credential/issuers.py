"""Issuers' keys as values, and the one question that the formats ask of whoever keeps them.

The formats see `KeySource` only (and pretix the rosters of a trust set). Status lists, other
rosters and ages are asked by `agent.policy.judge` after a signature was checked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from agent.credential.model import FormatName, Kind

__all__ = ["Algorithm", "IssuerKey", "KeySource", "RosterView"]


class Algorithm(StrEnum):
    """The algorithm a key is pinned to; the header must agree with it."""

    ES256 = "ES256"
    ES384 = "ES384"
    EDDSA = "EdDSA"
    PS256 = "PS256"
    RS256 = "RS256"  # Aadhaar only
    SM2 = "SM2"


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
