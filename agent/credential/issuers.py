"""Issuers' keys as values, and the one question that the formats ask of whoever keeps them.

The formats see `KeySource` only (and pretix the rosters of a trust set). Status lists, other
rosters and ages are asked by `agent.policy.judge` after a signature was checked.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from agent.credential.limits import ISSUER_KEYS
from agent.credential.model import FormatName, Kind, Level

__all__ = ["Algorithm", "IssuerKey", "KeySource", "RosterView", "best_first", "untried"]


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
        highest_level: the highest assurance level that it may vouch for.
        leaf_usages: for a root: extended key usages (dotted OIDs) of which a leaf must name one;
            empty takes those that stand for signing.
        leaf_policies: for a root: certificate policies (dotted OIDs) of which every certificate
            below it must name one; empty means any.
        leaf_names: for a root: names of which a leaf must have one, `DNS:` and a host, `URI:` and
            a URI, or parts of a subject such as `O=Ministry,C=UT`; empty means any.
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
    highest_level: Level = Level.UPGRADED
    leaf_usages: frozenset[str] = frozenset()
    leaf_policies: frozenset[str] = frozenset()
    leaf_names: frozenset[str] = frozenset()

    def fits(self, now: int, kind: Kind | None = None, level: Level = Level.BASIC) -> bool:
        """Return whether the key may vouch now for a document of this kind and level.

        Args:
            now: Unix seconds.
            kind: None where the code does not say it before its signature is checked.
            level: assurance level.
        """
        return (
            self.valid_from <= now <= self.valid_until
            and (kind is None or not self.kinds or kind in self.kinds)
            and level <= self.highest_level
        )


def best_first(
    keys: Iterable[IssuerKey], now: int, kind: Kind | None = None, level: Level = Level.BASIC
) -> list[IssuerKey]:
    """Return keys in the order in which to try them: those that fit first, the rest behind.

    The rest are there for the reason alone: a signature that one of them verifies is told as
    `issuer_key_expired` or `issuer_not_entitled`, and not as a forgery. A key renewed, or certified
    again, is so found in whatever order its files lie; and since those that fit come first, none of
    them loses its place, under a limit on how many are tried, to one that does not.

    Args:
        keys: of the right format and issuer.
        now: Unix seconds.
        kind: see `IssuerKey.fits`.
        level: see `IssuerKey.fits`.
    """
    return sorted(keys, key=lambda key: not key.fits(now, kind, level))


def untried(keys: Sequence[IssuerKey]) -> str:
    """Return what a detail adds where more keys fit a code than may be tried; else nothing."""
    if len(keys) <= ISSUER_KEYS:
        return ""
    return f"; {len(keys)} keys would do, {ISSUER_KEYS} were tried"


class KeySource(Protocol):
    """Issuer keys by what a code names."""

    def by_kid(self, kid: bytes) -> Sequence[IssuerKey]:
        """Return all keys with this id: issuers may collide, and a renewed key has two."""

    def by_short_kid(self, kid: bytes) -> Sequence[IssuerKey]:
        """Return all keys whose id begins with these `limits.SHORT_KID_BYTES`."""

    def for_format(self, name: FormatName) -> Sequence[IssuerKey]:
        """Return all keys for a format without kid, those that name the format first."""

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
