"""Credential offers: what a QR code at the desk promises to the one phone that takes it.

Rules:
- the code in the QR is a bearer's secret: 128 random bits, of which the database has a keyed hash
  only; it works once, and not for longer than `rules.offer_s`;
- the transaction code (six digits) goes another way than the QR. It is looked at first: a wrong one
  uses up a try, never the code; `rules.transaction_tries` wrong ones lock the offer for good;
- a template waits sealed with the code (`agent.desk.references`) and is wiped when the code is
  redeemed, or the offer is over in any other way;
- an offer that is over says how: used, expired, locked, killed.

States: `open`, until the code is redeemed; `taken`, the phone has a token; `done`, it has been
issued to; `expired`, `locked` and `dead` (killed by staff).

Standard: OpenID4VCI 1.0 section 4 (offer by reference, pre-authorized code, `tx_code`).
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from agent.credential.model import BiometricReference, Kind, Level
from agent.desk.audit import Action
from agent.desk.credentials import CredentialError, Credentials
from agent.desk.deliveries import Deliveries
from agent.desk.desk import Desk
from agent.desk.members import Member
from agent.desk.offer import (
    Offer,
    OfferError,
    OfferPromise,
    OfferState,
    OfferStatus,
    Purpose,
    Redeemed,
    Refusal,
)
from agent.desk.references import open_references, seal_references
from agent.desk.tables import (
    access,
    credentials,
    deliveries,
    invitations,
    members,
    nonces,
    offers,
)

__all__ = [
    "TRANSACTION_DIGITS", "Offer", "OfferError", "OfferPromise", "OfferState", "OfferStatus",
    "Offers", "Purpose", "Redeemed", "Refusal",
]  # fmt: skip

TRANSACTION_DIGITS: Final = 6
_CODE_BYTES: Final = 16
_KEPT_S: Final = 7 * 86_400
"""For so long an offer that came to nothing is told as used or expired, not as unknown."""


class Offers:
    """Makes, shows and redeems offers.

    Args:
        desk: the desk.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._deliveries = Deliveries(desk)

    def create(
        self,
        member: Member,
        *,
        purpose: Purpose,
        kind: Kind,
        level: Level,
        references: Iterable[BiometricReference] = (),
        evidence: str = "",
        holder: str = "",
        who: str,
        transaction_code: bool = True,
    ) -> Offer:
        """Make an offer for a member.

        Args:
            member: whose.
            purpose: what for.
            kind: of document; one of the issuer's.
            level: assurance level.
            references: templates, for this offer only.
            evidence: the kind of document that was seen, never its number.
            holder: thumbprint of the only key that it may be bound to, hexadecimal.
            who: for the journal; it is `issued_by` of the credentials as well.
            transaction_code: False where it is the member's own phone that asks.

        Raises:
            OfferError: no such credential can be issued, or the member has left.
        """
        with self._desk.store.write() as connection:
            return self.create_in(
                connection, member, purpose=purpose, kind=kind, level=level,
                references=references, evidence=evidence, holder=holder, who=who,
                transaction_code=transaction_code,
            )  # fmt: skip

    def create_in(
        self,
        connection: Connection,
        member: Member,
        *,
        purpose: Purpose,
        kind: Kind,
        level: Level,
        references: Iterable[BiometricReference] = (),
        evidence: str = "",
        holder: str = "",
        who: str,
        transaction_code: bool = True,
    ) -> Offer:
        """Make an offer in a transaction that is open; else as `create`."""
        desk, now = self._desk, self._desk.clock()
        references = tuple(references)
        try:
            Credentials(desk).check(kind, level, evidence=evidence, references=references)
        except CredentialError as error:
            raise OfferError(str(error)) from None
        left = connection.execute(
            sa.select(members.c.ended_at, members.c.valid_until).where(members.c.id == member.id)
        ).first()
        if left is None or left.ended_at is not None:
            raise OfferError("this member has left")
        if left.valid_until <= now:
            raise OfferError("the membership is over: extend it first")
        code = secrets.token_urlsafe(_CODE_BYTES)
        digest = self._digest(code)
        asked = f"{secrets.randbelow(10**TRANSACTION_DIGITS):0{TRANSACTION_DIGITS}}"
        expires_at = now + desk.settings.rules.offer_s
        number = connection.execute(
            offers.insert().values(
                code_digest=digest, member=member.id, purpose=str(purpose), kind=str(kind),
                level=int(level), evidence=evidence, issued_by=who, holder=holder,
                transaction_digest=self._transaction(code, asked) if transaction_code else None,
                state=str(OfferState.OPEN), created_at=now, expires_at=expires_at,
                sealed=seal_references(desk.key, references, secret=code, about=digest),
            )
        ).inserted_primary_key  # fmt: skip
        assert number is not None
        desk.journal.write(
            connection, at=now, who=who, action=Action.OFFERED, reference=member.reference,
            detail=f"{purpose} {kind} level {int(level)}",
        )  # fmt: skip
        query = f"credential_offer_uri={quote(self.address(code), safe='')}"
        return Offer(
            id=int(number[0]),
            code=code,
            transaction_code=asked if transaction_code else None,
            expires_at=expires_at,
            uri=f"openid-credential-offer://?{query}",
            wallet_link=f"{desk.settings.web.wallet}/#{query}",
        )

    def address(self, code: str) -> str:
        """Return where the offer of a code stands."""
        return f"{self._desk.settings.web.issuer}/offers/{code}"

    def look(self, code: str) -> OfferPromise | Refusal:
        """Return what an open offer promises, or why it is not open."""
        with self._desk.store.read() as connection:
            found = self._find(connection, code)
        if found is None:
            return Refusal.UNKNOWN
        refused = self._closed(found)
        return refused or OfferPromise(
            found.kind, found.transaction_digest is not None, found.holder
        )

    def redeem(
        self, connection: Connection, code: str, transaction_code: str | None
    ) -> Redeemed | tuple[Refusal, int]:
        """Redeem a code, in the transaction in which the token is made.

        A refusal is returned, not raised: the try that it used up must be kept.

        Args:
            connection: of a transaction that writes.
            code: the pre-authorized code.
            transaction_code: as typed, or None where the phone sent none.

        Returns:
            The redeemed offer; or why not, and how many tries are left.
        """
        found = self._find(connection, code)
        if found is None:
            return Refusal.UNKNOWN, 0
        most = self._desk.settings.rules.transaction_tries
        if (refused := self._closed(found)) is not None:
            return refused, 0
        expected = found.transaction_digest
        if (expected is None) != (transaction_code is None):
            missing = transaction_code is None
            which = Refusal.TRANSACTION_MISSING if missing else Refusal.TRANSACTION_UNEXPECTED
            return which, most - found.tries
        mine = offers.c.id == found.id
        if expected is not None and transaction_code is not None:
            given = self._transaction(code, transaction_code)
            if not hmac.compare_digest(given, expected):
                left = most - found.tries - 1
                wrong: dict[str, Any] = {"tries": found.tries + 1}
                if left <= 0:
                    wrong |= {"state": str(OfferState.LOCKED), "sealed": None}
                    self._tell_killed(connection, found, "desk", "wrong transaction codes")
                connection.execute(offers.update().where(mine).values(wrong))
                return (Refusal.TRANSACTION_WRONG if left > 0 else Refusal.LOCKED), max(left, 0)
        connection.execute(
            offers.update().where(mine).values(state=str(OfferState.TAKEN), sealed=None)
        )
        references = open_references(
            self._desk.key, found.sealed, secret=code, about=found.code_digest
        )
        return Redeemed(found.id, found.member, references)

    def kill(self, offer: int | str, *, who: str) -> None:
        """End an offer, also after the phone took the token; one that is over stays as it is.

        Args:
            offer: its id or its code.
            who: for the journal.

        Raises:
            OfferError: there is none.
        """
        with self._desk.store.write() as connection:
            found = self._find(connection, offer)
            if found is None:
                raise OfferError("no such offer")
            if found.state not in (OfferState.OPEN, OfferState.TAKEN):
                return
            connection.execute(access.delete().where(access.c.offer == found.id))
            connection.execute(
                offers.update()
                .where(offers.c.id == found.id)
                .values(state=str(OfferState.DEAD), sealed=None)
            )
            self._tell_killed(connection, found, who, "")

    def state(self, offer: int) -> OfferStatus:
        """Return how far an offer is.

        Raises:
            OfferError: there is none.
        """
        with self._desk.store.read() as connection:
            found = self._find(connection, offer)
            if found is None:
                raise OfferError("no such offer")
            told = self._deliveries.acknowledged(connection, found.id)
        state = OfferState(found.state)
        if state is OfferState.OPEN and found.expires_at <= self._desk.clock():
            state = OfferState.EXPIRED
        left = self._desk.settings.rules.transaction_tries - found.tries
        return OfferStatus(state, found.expires_at, max(left, 0), told)

    def sweep(self, now: int) -> list[str]:
        """Wipe and forget what is over; call it every minute.

        Offers that expired lose what was sealed for them, tokens and nonces that expired go, a
        delivery of which the phone said nothing is settled.

        Args:
            now: Unix seconds.

        Returns:
            References of people who made a card themselves and never took it: to be erased.
        """
        over = (offers.c.state == str(OfferState.OPEN)) & (offers.c.expires_at <= now)
        with self._desk.store.write() as connection:
            connection.execute(
                offers.update().where(over).values(state=str(OfferState.EXPIRED), sealed=None)
            )
            self._deliveries.settle(connection, now)
            connection.execute(access.delete().where(access.c.expires_at <= now))
            connection.execute(nonces.delete().where(nonces.c.expires_at <= now))
            connection.execute(invitations.delete().where(invitations.c.expires_at <= now))
            alive = sa.select(access.c.offer).where(access.c.use == "access")
            idle = (offers.c.state == str(OfferState.TAKEN)) & offers.c.id.not_in(alive)
            lapsed = [row.id for row in connection.execute(sa.select(offers.c.id).where(idle))]
            connection.execute(access.delete().where(access.c.offer.in_(lapsed)))
            connection.execute(offers.update().where(idle).values(state=str(OfferState.EXPIRED)))
            return self._forget(connection, now)

    # --- inside --------------------------------------------------------------------------------

    def _forget(self, connection: Connection, now: int) -> list[str]:
        """Delete offers that came to nothing long ago; return whom nobody ever issued to."""
        never = offers.c.state.in_(
            [str(OfferState.EXPIRED), str(OfferState.LOCKED), str(OfferState.DEAD)]
        )
        has_card = sa.select(credentials.c.member)
        waits = sa.select(offers.c.member).where(~never)
        gone = connection.execute(
            sa.select(members.c.reference).distinct()
            .join(offers, offers.c.member == members.c.id)
            .where(
                never, offers.c.purpose == str(Purpose.SELF), members.c.ended_at.is_(None),
                members.c.id.not_in(has_card), members.c.id.not_in(waits),
            )
        )  # fmt: skip
        references = [row.reference for row in gone]
        old = offers.c.expires_at <= now - _KEPT_S
        used = sa.select(credentials.c.delivery).where(credentials.c.delivery.is_not(None))
        connection.execute(
            deliveries.delete().where(
                deliveries.c.id.not_in(used), deliveries.c.created_at <= now - _KEPT_S
            )
        )
        held = [sa.select(table.c.offer) for table in (access, deliveries)]
        connection.execute(
            offers.delete().where(
                old, offers.c.state != str(OfferState.OPEN), offers.c.id.not_in(sa.union(*held))
            )
        )
        return references

    def _tell_killed(self, connection: Connection, found: Row[Any], who: str, detail: str) -> None:
        reference = connection.execute(
            sa.select(members.c.reference).where(members.c.id == found.member)
        ).scalar_one()
        self._desk.journal.write(
            connection, at=self._desk.clock(), who=who, action=Action.OFFER_KILLED,
            reference=reference, detail=detail,
        )  # fmt: skip

    def _find(self, connection: Connection, offer: int | str) -> Row[Any] | None:
        mine = (
            offers.c.id == offer
            if isinstance(offer, int)
            else offers.c.code_digest == self._digest(offer)
        )
        return connection.execute(sa.select(offers).where(mine)).first()

    def _closed(self, found: Row[Any]) -> Refusal | None:
        """Return why an offer cannot be redeemed, None where it can."""
        if found.state == OfferState.OPEN:
            return Refusal.EXPIRED if found.expires_at <= self._desk.clock() else None
        return {
            OfferState.EXPIRED: Refusal.EXPIRED,
            OfferState.LOCKED: Refusal.LOCKED,
            OfferState.DEAD: Refusal.KILLED,
        }.get(OfferState(found.state), Refusal.USED)

    def _digest(self, code: str) -> bytes:
        return self._desk.key.digest("offer", code.encode())

    def _transaction(self, code: str, transaction_code: str) -> bytes:
        return self._desk.key.digest("transaction", f"{code} {transaction_code}".encode())
