"""Deliveries: credentials that went to a phone at once, and what the phone said of them.

Rules:
- a delivery has a `notification_id`; the phone answers with one event, and may repeat it;
- accepted: what the delivery replaces is withdrawn. An upgrade replaces what the same phone got of
  the member's kind before, so that the person is never left with nothing on the way;
- failure or deleted: what was delivered is withdrawn, what it would have replaced stays;
- silence counts as accepted once the access token is over: a wallet need not notify;
- an event wipes what waited with the access token; after "accepted" it fetches nothing more;
- fetched again with the same token (the answer was lost): what was delivered before is withdrawn.

Standard: OpenID4VCI 1.0 section 11. Decision: docs/adr/0037-*.
"""

from __future__ import annotations

import secrets
from enum import StrEnum
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from agent.desk.audit import Action
from agent.desk.desk import Desk
from agent.desk.offer import Purpose
from agent.desk.statuses import Form, Selection, Status, set_status
from agent.desk.tables import access, credentials, deliveries, members, offers

__all__ = ["Deliveries", "Event"]

_AT_ONCE: Final = 500
_NOTIFICATION_BYTES: Final = 16


class Event(StrEnum):
    """What a phone says."""

    ACCEPTED = "credential_accepted"
    FAILURE = "credential_failure"
    DELETED = "credential_deleted"


class Deliveries:
    """Keeps account of them, in transactions of the caller's.

    Args:
        desk: the desk.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def begin(
        self, connection: Connection, offer: int, *, token: bytes, now: int, settles_at: int
    ) -> tuple[int, str]:
        """Begin a delivery; return its id and the notification id.

        Args:
            connection: of a transaction that writes.
            offer: the offer that it came of.
            token: digest of the access token.
            now: Unix seconds.
            settles_at: when silence counts as accepted.
        """
        before = sa.select(deliveries.c.id).where(
            deliveries.c.token_digest == token, deliveries.c.event == ""
        )
        self._withdraw(connection, credentials.c.delivery.in_(before), "desk", now)
        connection.execute(
            deliveries.update().where(deliveries.c.id.in_(before)).values(settles_at=None)
        )
        name = secrets.token_urlsafe(_NOTIFICATION_BYTES)
        made = connection.execute(
            deliveries.insert().values(
                notification_digest=self._digest(name), token_digest=token, offer=offer,
                created_at=now, settles_at=settles_at,
            )
        ).inserted_primary_key  # fmt: skip
        assert made is not None
        return int(made[0]), name

    def events(self, connection: Connection, token: bytes) -> list[str]:
        """Return what was said of each delivery that an access token fetched; "" for nothing."""
        query = sa.select(deliveries.c.event).where(deliveries.c.token_digest == token)
        return [str(event) for event in connection.execute(query).scalars()]

    def since(self, connection: Connection, offer: int, moment: int) -> int:
        """Return how many deliveries an offer brought since a moment (Unix seconds)."""
        query = sa.select(sa.func.count()).where(
            deliveries.c.offer == offer, deliveries.c.created_at > moment
        )
        return int(connection.execute(query).scalar_one())

    def notify(self, connection: Connection, name: str, event: Event, *, offer: int) -> bool:
        """Take what a phone said; the same again changes nothing.

        Args:
            connection: of a transaction that writes.
            name: the notification id.
            event: what it said.
            offer: of the access token that it came with.

        Returns:
            False where this offer has no such delivery.
        """
        found = connection.execute(
            sa.select(deliveries).where(
                deliveries.c.notification_digest == self._digest(name),
                deliveries.c.offer == offer,
            )
        ).first()
        if found is None:
            return False
        # A card may be deleted after it was accepted; nothing else follows upon anything.
        later = found.event == Event.ACCEPTED and event is Event.DELETED
        if found.event and not later:
            return True
        now = self._desk.clock()
        connection.execute(
            deliveries.update()
            .where(deliveries.c.id == found.id)
            .values(event=str(event), settles_at=None)
        )
        connection.execute(
            access.update().where(access.c.token_digest == found.token_digest).values(sealed=None)
        )
        if event is Event.ACCEPTED:
            self._replace(connection, found, now)
        else:
            mine = credentials.c.delivery == found.id
            self._withdraw(connection, mine, "self", now)
        self._desk.journal.write(
            connection, at=now, who="self", action=Action.ACKNOWLEDGED,
            reference=self._reference(connection, found.offer), detail=str(event),
        )  # fmt: skip
        return True

    def acknowledged(self, connection: Connection, offer: int) -> bool:
        """Return whether the phone said that it has stored what this offer brought."""
        query = sa.select(deliveries.c.id).where(
            deliveries.c.offer == offer, deliveries.c.event == str(Event.ACCEPTED)
        )
        return connection.execute(query.limit(1)).first() is not None

    def settle(self, connection: Connection, now: int) -> None:
        """Settle the deliveries of which the phone said nothing in time."""
        due = connection.execute(sa.select(deliveries).where(deliveries.c.settles_at <= now)).all()
        for found in due:
            self._replace(connection, found, now)
        connection.execute(
            deliveries.update().where(deliveries.c.settles_at <= now).values(settles_at=None)
        )

    # --- inside --------------------------------------------------------------------------------

    def _replace(self, connection: Connection, delivery: Row[Any], now: int) -> None:
        """Withdraw what an upgrade replaces: all that came with the key that was scanned."""
        offer = connection.execute(sa.select(offers).where(offers.c.id == delivery.offer)).one()
        if not offer.holder or offer.purpose != str(Purpose.UPGRADE):
            return
        alike = sa.and_(
            credentials.c.member == offer.member,
            credentials.c.form == str(Form.PHONE),
            credentials.c.kind == offer.kind,
        )
        with_that_key = alike & (credentials.c.holder == offer.holder)
        brought = (
            sa.select(deliveries.c.offer)
            .join(credentials, credentials.c.delivery == deliveries.c.id)
            .where(with_that_key)
        )
        beside = sa.select(deliveries.c.id).where(
            deliveries.c.offer.in_(brought), deliveries.c.offer != offer.id
        )
        replaced = (alike & credentials.c.delivery.in_(beside)) | (
            with_that_key & credentials.c.delivery.is_(None)
        )
        connection.execute(
            access.delete().where(access.c.offer.in_(brought), access.c.offer != offer.id)
        )
        self._withdraw(connection, replaced, "desk", now)

    def _withdraw(
        self, connection: Connection, which: sa.ColumnElement[bool], who: str, now: int
    ) -> None:
        """Revoke credentials; the journal has a line for each member."""
        chosen = sa.select(credentials.c.cti).where(which, credentials.c.status != Status.REVOKED)
        identifiers = tuple(connection.execute(chosen).scalars())
        for start in range(0, len(identifiers), _AT_ONCE):
            set_status(
                connection, self._desk.journal,
                Selection(cti=identifiers[start : start + _AT_ONCE]), Status.REVOKED,
                who=who, action=Action.REVOKED, now=now,
            )  # fmt: skip

    def _reference(self, connection: Connection, offer: int) -> str:
        query = (
            sa.select(members.c.reference)
            .join(offers, offers.c.member == members.c.id)
            .where(offers.c.id == offer)
        )
        return str(connection.execute(query).scalar_one())

    def _digest(self, name: str) -> bytes:
        return self._desk.key.digest("notification", name.encode())
