"""Upgrade in person: the basic card on somebody's phone is scanned at the desk, and known again.

Rules:
- the code is read as a gate reads it: issuer's and holder's signature, validity, age, audience;
- it is dynamic: a printed card or a picture of one shows no phone that could be upgraded;
- a code made for any gate of the place will do, since the phone shows the place it was last at; one
  that answers the desk's own challenge is better, and asked for where the desk shows one;
- each code counts once, also after a restart; the status is asked of the database itself;
- the member is the one whom the credential's row names, and the offer that follows is bound to the
  key that was shown, so that nothing is gained by showing somebody else's code.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote

import sqlalchemy as sa

from agent.credential import cbor, registry
from agent.credential.cose import parse_sign1
from agent.credential.inflate import is_zlib, unzlib
from agent.credential.issuers import IssuerKey
from agent.credential.model import BiometricReference, FormatName, Kind, Level, Rejected
from agent.credential.native import opened
from agent.credential.numbers import Claim, Header
from agent.credential.registry import ReadRules
from agent.desk.credentials import CredentialRow, Credentials
from agent.desk.desk import Desk
from agent.desk.members import Member, MemberError, Members
from agent.desk.offers import Offer, OfferError, Offers, Purpose
from agent.desk.own import NotOurs, read_presented
from agent.desk.statuses import Form, Status
from agent.desk.tables import nonces
from agent.reason import Reason

__all__ = ["DESK_GATE", "Challenge", "Presented", "UpgradeError", "Upgrades"]

DESK_GATE: Final = "desk"
"""The desk's own name among the gates of the place."""
_MAX_AGE_S: Final = 60
"""A clerk needs longer than a gate to hold a phone before a webcam."""
_MAX_FUTURE_S: Final = 5
_CHALLENGE_BYTES: Final = 8

_TOLD: Final = {
    Reason.STALE: "this code is too old: hold the phone before the camera again",
    Reason.ISSUED_IN_FUTURE: "the phone's clock is ahead: set its time by the network",
    Reason.WRONG_AUDIENCE: "this code was made for another place",
    Reason.WRONG_CHALLENGE: "this code does not answer the desk's own: scan that one first",
    Reason.EXPIRED: "this card is over: issue a new one instead",
    Reason.UNKNOWN_ISSUER: "this card is of another issuer",
}


class UpgradeError(ValueError):
    """The code shows no card that can be upgraded; one line for the clerk."""


@dataclass(frozen=True, slots=True)
class Challenge:
    """What the desk shows for the phone to scan first.

    Attributes:
        nonce: 8 bytes that the phone's code must repeat.
        link: for the place's wallet.
    """

    nonce: bytes
    link: str


@dataclass(frozen=True, slots=True)
class Presented:
    """A card on a phone that was before the desk a moment ago.

    Attributes:
        member: whose.
        credential: its row.
        holder: thumbprint of the phone's key (RFC 7638, SHA-256, hexadecimal).
        references: what is on the card.
    """

    member: Member
    credential: CredentialRow
    holder: str
    references: tuple[BiometricReference, ...] = field(repr=False)


class Upgrades:
    """Reads what phones show at the desk, and offers the upgraded card.

    Args:
        desk: the desk.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._members = Members(desk)
        self._credentials = Credentials(desk)
        self._offers = Offers(desk)

    def challenge(self) -> Challenge:
        """Return a challenge for a phone to answer; of the person it asks for nothing."""
        nonce = secrets.token_bytes(_CHALLENGE_BYTES)
        settings = self._desk.settings
        place = quote(f"{settings.place.site}/{DESK_GATE}", safe="")
        link = f"{settings.web.wallet}/#place={place}&cnonce={nonce.hex()}&need="
        return Challenge(nonce, link)

    def read_presentation(self, payload: str, *, challenge: bytes | None = None) -> Presented:
        """Read the dynamic code of a phone.

        Args:
            payload: text of the code, `NI1:...` or `NI2:...`.
            challenge: what the desk showed; None where it showed nothing.

        Raises:
            UpgradeError: it is none, not fresh, not ours, used, or its card is withdrawn.
        """
        code = payload.strip().encode(errors="replace")
        key = self._desk.issuer.issuer_key()
        try:
            message = _message(code)
            _require_phone(message)
            found = registry.read(code, keys=_Keys((key,)), rules=self._rules(message, challenge))
            own = read_presented(self._desk.issuer, message)
        except Rejected as error:
            raise UpgradeError(
                _TOLD.get(error.reason, f"this code cannot be used: {error.reason}")
            ) from None
        except NotOurs as error:
            raise UpgradeError(str(error)) from None
        row = self._credentials.by_cti(own.cti)
        if row is None or row.form is not Form.PHONE:
            raise UpgradeError("this desk has no such card on a phone")
        if row.status is not Status.VALID:
            raise UpgradeError(f"this card is {row.status.name.lower()}")
        self._use_up(found.replay_key)
        try:
            member = self._members.by_id(row.member)
        except MemberError as error:
            raise UpgradeError(str(error)) from None
        return Presented(member, row, own.holder.thumbprint(), own.references)

    def offer(
        self,
        presented: Presented,
        *,
        who: str,
        evidence: str,
        references: Iterable[BiometricReference] = (),
        kind: Kind | None = None,
        transaction_code: bool = True,
    ) -> Offer:
        """Offer the upgraded card, bound to the key that was shown.

        Args:
            presented: what `read_presentation` returned.
            who: who checked the document.
            evidence: its kind, such as `passport`; never its number.
            references: taken at the desk; none is possible.
            kind: of the card; that of the one that was shown where None.
            transaction_code: see `Offers.create`.

        Raises:
            UpgradeError: it cannot be offered.
        """
        if not evidence:
            raise UpgradeError("evidence: which kind of document was seen?")
        try:
            return self._offers.create(
                presented.member, purpose=Purpose.UPGRADE,
                kind=kind or presented.credential.kind, level=Level.UPGRADED,
                references=references, evidence=evidence, holder=presented.holder, who=who,
                transaction_code=transaction_code,
            )  # fmt: skip
        except OfferError as error:
            raise UpgradeError(str(error)) from None

    # --- inside --------------------------------------------------------------------------------

    def _rules(self, message: bytes, challenge: bytes | None) -> ReadRules:
        site = self._desk.settings.place.site
        return ReadRules(
            now=self._desk.clock(), clock_trusted=True, site=site,
            gate=_gate_of(message, site), formats=frozenset({FormatName.NATIVE}),
            challenge=challenge, max_age_s=_MAX_AGE_S, max_future_s=_MAX_FUTURE_S,
        )  # fmt: skip

    def _use_up(self, replay_key: bytes) -> None:
        """Count a code as used.

        Raises:
            UpgradeError: it was before.
        """
        digest = self._desk.key.digest("presented", replay_key)
        with self._desk.store.write() as connection:
            known = sa.select(nonces.c.digest).where(nonces.c.digest == digest)
            if connection.execute(known).first() is not None:
                raise UpgradeError("this code was used already: wait for the phone's next one")
            until = self._desk.clock() + _MAX_AGE_S + _MAX_FUTURE_S + 1
            connection.execute(nonces.insert().values(digest=digest, expires_at=until))


@dataclass(frozen=True, slots=True)
class _Keys:
    """The desk's own key, as formats ask for it."""

    keys: tuple[IssuerKey, ...]

    def by_kid(self, kid: bytes) -> Sequence[IssuerKey]:
        """Return the keys of this id."""
        return [key for key in self.keys if key.kid == kid]

    def by_short_kid(self, kid: bytes) -> Sequence[IssuerKey]:
        """Return the keys whose id begins so."""
        return [key for key in self.keys if key.kid.startswith(kid)]

    def for_format(self, name: FormatName) -> Sequence[IssuerKey]:
        """Return the keys for a format without kid: only the native one is read here."""
        return self.keys if name is FormatName.NATIVE else ()

    def roots(self) -> Sequence[IssuerKey]:
        """Return none."""
        return ()


def _message(code: bytes) -> bytes:
    """Return what a code holds; unverified.

    Raises:
        Rejected: it is no code of the native profile.
    """
    _, data = opened(code)
    return unzlib(data) if is_zlib(data) else data


def _require_phone(message: bytes) -> None:
    """Refuse a card shown as it is, whatever else is wrong with it.

    Raises:
        NotOurs: it is one.
        Rejected: `malformed`.
    """
    if Header.KCWT not in parse_sign1(message, kcwt=True).protected:
        raise NotOurs("a code that no phone signed")


def _gate_of(message: bytes, site: str) -> str:
    """Return the gate of our site that a presentation was made for, else the desk itself.

    Nothing is believed of it: the reader compares it with what was signed.
    """
    claims = cbor.decode(parse_sign1(message, kcwt=True).payload, floats=True)
    audience = claims.get(Claim.AUD) if isinstance(claims, dict) else None
    if isinstance(audience, str) and audience.startswith(f"{site}/"):
        return audience.removeprefix(f"{site}/")
    return DESK_GATE
