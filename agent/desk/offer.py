"""An offer as a value: what it is for, how far it is, why it is refused, what is shown of it.

What is done with one: `agent.desk.offers`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from agent.credential.model import BiometricReference

__all__ = [
    "Offer", "OfferError", "OfferPromise", "OfferState", "OfferStatus", "Purpose", "Redeemed",
    "Refusal",
]  # fmt: skip


class Purpose(StrEnum):
    """What an offer is for."""

    ISSUE = "issue"
    UPGRADE = "upgrade"
    RENEW = "renew"
    SELF = "self"


class OfferState(StrEnum):
    """How far an offer is."""

    OPEN = "open"
    TAKEN = "taken"
    DONE = "done"
    EXPIRED = "expired"
    LOCKED = "locked"
    DEAD = "dead"


class Refusal(StrEnum):
    """Why a code is not redeemed; each is told apart, for the person who holds the phone."""

    UNKNOWN = "unknown"
    USED = "used"
    EXPIRED = "expired"
    LOCKED = "locked"
    KILLED = "killed"
    TRANSACTION_WRONG = "transaction_wrong"
    TRANSACTION_MISSING = "transaction_missing"
    TRANSACTION_UNEXPECTED = "transaction_unexpected"


class OfferError(ValueError):
    """An offer cannot be made or found; the message is one line for people."""


@dataclass(frozen=True, slots=True)
class Offer:
    """What the desk shows once and cannot show again.

    Attributes:
        id: of the row.
        code: the bearer's secret.
        transaction_code: six digits for the person alone, or None where none is asked for.
        expires_at: Unix seconds.
        uri: for any wallet: `openid-credential-offer://...`.
        wallet_link: for the place's own wallet: an https link that any camera opens.
    """

    id: int
    code: str = field(repr=False)
    transaction_code: str | None = field(repr=False)
    expires_at: int
    uri: str = field(repr=False)
    wallet_link: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class OfferPromise:
    """What an open offer says to whoever has its code.

    Attributes:
        kind: of the credential; also its configuration's identifier.
        transaction_code: whether one is asked for.
        holder: RFC 7638 thumbprint (hexadecimal) of the one key it may be bound to, or empty.
    """

    kind: str
    transaction_code: bool
    holder: str


@dataclass(frozen=True, slots=True)
class OfferStatus:
    """What the desk's page shows of an offer.

    Attributes:
        state: how far it is.
        expires_at: Unix seconds.
        tries_left: wrong transaction codes that are still allowed.
        acknowledged: the phone said that it has stored what it got.
    """

    state: OfferState
    expires_at: int
    tries_left: int
    acknowledged: bool


@dataclass(frozen=True, slots=True)
class Redeemed:
    """A code that was redeemed: whose token may be made now."""

    offer: int
    member: int
    references: tuple[BiometricReference, ...] = field(repr=False)
