"""What a gate believes, as values: one immutable view of a trust set, and who may command gates."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from agent.credential.issuers import Algorithm, KeySource, RosterView
from agent.credential.model import StatusReference, StatusVerdict

__all__ = ["COMMAND_ROLES", "OperatorKey", "SetAside", "TrustError", "TrustView"]

_MAX_REASON = 300
_MAX_NAME = 128
COMMAND_ROLES = frozenset(
    {"open", "close", "mode", "update", "reload", "replay", "identify", "config"}
)
"""What an operator's key may be entitled to: the names of the fleet's signed commands."""


class TrustError(ValueError):
    """Trust data that cannot be believed; one line that names the file and the fault."""


class UpdateRefused(TrustError):
    """An update was looked at and is not taken, or did not come."""


@dataclass(frozen=True, slots=True)
class SetAside:
    """A file of a trust directory that is not believed, and why.

    Attributes:
        file: its path inside the directory; what cannot be printed is `?`.
        reason: one line.
    """

    file: str
    reason: str

    @classmethod
    def of(cls, file: str, reason: str) -> SetAside:
        """Return it with name and reason fit for one line of a terminal, a log and JSON."""
        return cls(_printable(file)[-_MAX_NAME:], _printable(reason)[:_MAX_REASON])

    def __str__(self) -> str:
        """Say it in one line."""
        return f"{self.file}: {self.reason}"


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in text)


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


class TrustView(KeySource, Protocol):
    """An immutable snapshot of the trust set; the daemon swaps whole snapshots."""

    @property
    def version(self) -> int:
        """Version of the set, 0 for a plain directory."""

    @property
    def updated_at(self) -> int:
        """Unix seconds from which the set's age counts."""

    def age_s(self, now: int) -> int:
        """Return the set's age in seconds at that time."""

    def status(
        self, reference: StatusReference, now: int, issuer: str | None = None
    ) -> StatusVerdict:
        """Return what the status list says.

        UNKNOWN when the list is missing, does not cover the index, or is out of date and does not
        condemn: an old list can still say invalid or suspended, it can no longer say valid.
        WITHHELD when there is one that cannot be read.

        Args:
            reference: the list's URI and the index in it.
            now: Unix seconds.
            issuer: the credential's issuer; only lists that may speak for it are asked. None asks
                any list with the URI.
        """

    def revocation(self, kid: bytes, hashes: Iterable[bytes]) -> StatusVerdict | None:
        """Return what the revocation lists say of a health certificate; None where they do not.

        Args:
            kid: its signer's key id.
            hashes: `Credential.revocation_hashes`.
        """

    def roster(self, name: str) -> RosterView | None:
        """Return the roster of that name, or None; one that was set aside blocks everybody."""

    def operator(self, kid: bytes) -> OperatorKey | None:
        """Return the operator's key with this id, or None; its validity is for the caller."""

    def profile(self, name: str) -> bytes | None:
        """Return the site profile (TOML) of that name, or None.

        Raises:
            TrustError: the set has one, but it was set aside.
        """

    def model(self, name: str) -> Path | None:
        """Return where the model file of that name lies, or None."""
