"""Who works at the desk: staff, what their roles allow, how they are invited, who is signed in.

Rules:
- staff are known by a work name, which stands in the journal; a name is never used twice;
- a person comes in by an invitation: a random code of 256 bits in a link, used once, for some days;
  a new invitation ends the one before;
- a session is a random cookie of 256 bits, of which the database has a keyed hash: a copied
  database signs nobody in, and a session that was ended is ended on every machine;
- a session ends after `rules.session_s` without a request, and after `LONGEST_SESSION_S` whatever
  happens; with the person's end, at once;
- roles are read at every request, so that one that was taken away is gone with the next click;
- one issuer always remains: who else would invite the next?
"""

from __future__ import annotations

import base64
import binascii
import re
import secrets
from collections.abc import Collection
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from agent.desk.audit import Action
from agent.desk.desk import Desk
from agent.desk.tables import passkeys, sessions, staff, staff_invitations
from agent.settings.errors import NAME

__all__ = ["LONGEST_SESSION_S", "Invitation", "Role", "Session", "Staff", "StaffError", "Worker"]

LONGEST_SESSION_S: Final = 12 * 3_600
"""A working day, whatever is clicked in it."""
_SEEN_EVERY_S: Final = 60
"""How exactly the last request is remembered: not each is a write."""
_RESERVED: Final = frozenset({"self", "desk"})
"""Stand in the journal for a person at the own phone, and for the desk."""
_DAY_S: Final = 86_400


class StaffError(ValueError):
    """It cannot be done; one line for the person at the desk."""


class Role(StrEnum):
    """What a person at the desk is there for; one may have several."""

    CLERK = "clerk"
    """Serves members: adds, takes a face, hands over, upgrades, suspends."""
    ISSUER = "issuer"
    """Answers for the issuer: imports, erases, revokes, publishes, invites staff and gates."""
    AUDITOR = "auditor"
    """Reads the journal, and nothing of members."""


@dataclass(frozen=True, slots=True)
class Worker:
    """One of the staff.

    Attributes:
        id: row of the table.
        name: the work name.
        roles: in the order of `Role`.
        created_at: Unix seconds.
        ended_at: Unix seconds; None for who works here.
        passkeys: how many.
    """

    id: int
    name: str
    roles: tuple[Role, ...]
    created_at: int
    ended_at: int | None
    passkeys: int


@dataclass(frozen=True, slots=True)
class Invitation:
    """A way in that works once.

    Attributes:
        name: whose.
        code: secret.
        link: for the browser; the code stands behind `#`, which no server and no log is sent.
        expires_at: Unix seconds.
    """

    name: str
    code: str = field(repr=False)
    link: str = field(repr=False)
    expires_at: int


@dataclass(frozen=True, slots=True)
class Session:
    """Somebody who is signed in.

    Attributes:
        staff: row of the table.
        name: the work name.
        roles: as they are now.
        digest: of the cookie; tells sessions apart without being one.
    """

    staff: int
    name: str
    roles: frozenset[Role]
    digest: bytes = field(repr=False)


class Staff:
    """The staff of a desk.

    Args:
        desk: the desk.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def add(self, name: str, roles: Collection[Role], *, who: str) -> Invitation:
        """Add a person, and return the invitation to the first passkey.

        Raises:
            StaffError: the name is none or was used before, or there is no role.
        """
        if not re.fullmatch(NAME, name) or name in _RESERVED:
            raise StaffError(
                "a work name has lower-case letters, digits, '.', '_' and '-', at most 64; "
                "it begins with a letter or digit and is neither 'self' nor 'desk'"
            )
        if not roles:
            raise StaffError("a role is needed")
        now = self._desk.clock()
        with self._desk.store.write() as connection:
            if _by_name(connection, name) is not None:
                raise StaffError(f"{name}: the name was used before; choose another")
            connection.execute(
                staff.insert().values(
                    name=name, roles=_joined(roles), handle=secrets.token_bytes(32), created_at=now
                )
            )
            self._note(connection, who, Action.STAFF_ADDED, name, _joined(roles))
            return self._invite(connection, name)

    def invite(self, name: str, *, who: str) -> Invitation:
        """Invite a person to a further passkey: a new computer, or a lost one.

        Raises:
            StaffError: there is nobody of that name.
        """
        with self._desk.store.write() as connection:
            _working(connection, name)
            self._note(connection, who, Action.INVITED, name)
            return self._invite(connection, name)

    def set_roles(self, name: str, roles: Collection[Role], *, who: str) -> None:
        """Change what a person may do, from the next request on.

        Raises:
            StaffError: nobody of that name, no role, or no issuer would remain.
        """
        if not roles:
            raise StaffError("a role is needed")
        with self._desk.store.write() as connection:
            row = _working(connection, name)
            if Role.ISSUER not in roles:
                _another_issuer(connection, row.id)
            connection.execute(
                staff.update().where(staff.c.id == row.id).values(roles=_joined(roles))
            )
            self._note(connection, who, Action.STAFF_CHANGED, name, _joined(roles))

    def end(self, name: str, *, who: str) -> None:
        """Let a person go: passkeys, sessions and invitations are deleted, the name is kept.

        Raises:
            StaffError: nobody of that name, or no issuer would remain.
        """
        with self._desk.store.write() as connection:
            row = _working(connection, name)
            _another_issuer(connection, row.id)
            for table in (passkeys, sessions, staff_invitations):
                connection.execute(table.delete().where(table.c.staff == row.id))
            connection.execute(
                staff.update().where(staff.c.id == row.id).values(ended_at=self._desk.clock())
            )
            self._note(connection, who, Action.STAFF_ENDED, name)

    def all(self) -> list[Worker]:
        """Return everybody who works here or did, by name."""
        count = sa.select(sa.func.count()).where(passkeys.c.staff == staff.c.id).scalar_subquery()
        query = sa.select(staff, count.label("passkeys")).order_by(
            staff.c.ended_at.is_not(None), staff.c.name
        )
        with self._desk.store.read() as connection:
            return [
                Worker(
                    row.id, row.name, _split(row.roles), row.created_at, row.ended_at, row.passkeys
                )
                for row in connection.execute(query)
            ]

    def invited(self, connection: Connection, code: str) -> Row[Any] | None:
        """Return the row of whom a code invites; None where it is wrong, used or over."""
        query = (
            sa.select(staff)
            .join(staff_invitations, staff_invitations.c.staff == staff.c.id)
            .where(
                staff_invitations.c.code_digest == self._digest("staff-invitation", code),
                staff_invitations.c.expires_at > self._desk.clock(),
                staff.c.ended_at.is_(None),
            )
        )
        return connection.execute(query).first()

    def spend(self, connection: Connection, staff_id: int) -> None:
        """End the invitations of a person, in the transaction of what they were for."""
        connection.execute(staff_invitations.delete().where(staff_invitations.c.staff == staff_id))

    def begin(self, connection: Connection, staff_id: int, name: str) -> str:
        """Sign somebody in; return the cookie's value.

        Sessions that are over are forgotten meanwhile.
        """
        cookie = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode().rstrip("=")
        now = self._desk.clock()
        connection.execute(sessions.delete().where(self._over(now)))
        connection.execute(
            sessions.insert().values(
                id_digest=self._digest("session", cookie),
                staff=staff_id, created_at=now, seen_at=now,
            )
        )  # fmt: skip
        self._note(connection, name, Action.SIGNED_IN, name)
        return cookie

    def session(self, cookie: str) -> Session | None:
        """Return who a cookie stands for; None where it is wrong or over."""
        digest = self._digest("session", cookie)
        query = (
            sa.select(sessions.c.seen_at, staff.c.id, staff.c.name, staff.c.roles)
            .join(staff, staff.c.id == sessions.c.staff)
            .where(sessions.c.id_digest == digest, staff.c.ended_at.is_(None))
        )
        now = self._desk.clock()
        with self._desk.store.read() as connection:
            row = connection.execute(query.where(~self._over(now))).first()
        if row is None:
            return None
        if now - row.seen_at >= _SEEN_EVERY_S:
            with self._desk.store.write() as connection:
                connection.execute(
                    sessions.update().where(sessions.c.id_digest == digest).values(seen_at=now)
                )
        return Session(row.id, row.name, frozenset(_split(row.roles)), digest)

    def sign_out(self, session: Session) -> None:
        """End a session, on every machine that has its cookie."""
        with self._desk.store.write() as connection:
            connection.execute(sessions.delete().where(sessions.c.id_digest == session.digest))
            self._note(connection, session.name, Action.SIGNED_OUT, session.name)

    def denied(self, session: Session, what: str) -> None:
        """Note that somebody tried what the role does not allow."""
        with self._desk.store.write() as connection:
            self._note(connection, session.name, Action.DENIED, session.name, what[:200])

    def _invite(self, connection: Connection, name: str) -> Invitation:
        rules = self._desk.settings.rules
        row = _working(connection, name)
        self.spend(connection, row.id)
        code = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode().rstrip("=")
        expires_at = self._desk.clock() + rules.invitation_days * _DAY_S
        connection.execute(
            staff_invitations.insert().values(
                code_digest=self._digest("staff-invitation", code),
                staff=row.id, expires_at=expires_at,
            )
        )  # fmt: skip
        link = f"{self._desk.settings.web.staff}/welcome#{code}"
        return Invitation(name, code, link, expires_at)

    def _over(self, now: int) -> sa.ColumnElement[bool]:
        idle_s = self._desk.settings.rules.session_s
        return sa.or_(
            sessions.c.seen_at <= now - idle_s, sessions.c.created_at <= now - LONGEST_SESSION_S
        )

    def _digest(self, purpose: str, code: str) -> bytes:
        """Return the keyed hash of a code; of nothing where it is not one of ours."""
        try:
            data = base64.urlsafe_b64decode(code + "=" * (-len(code) % 4))
        except (binascii.Error, ValueError):
            data = b""
        return self._desk.key.digest(purpose, data)

    def _note(
        self, connection: Connection, who: str, action: Action, reference: str, detail: str = ""
    ) -> None:
        self._desk.journal.write(
            connection, at=self._desk.clock(), who=who, action=action, reference=reference,
            detail=detail,
        )  # fmt: skip


def _by_name(connection: Connection, name: str) -> Row[Any] | None:
    return connection.execute(sa.select(staff).where(staff.c.name == name)).first()


def _working(connection: Connection, name: str) -> Row[Any]:
    row = _by_name(connection, name)
    if row is None or row.ended_at is not None:
        raise StaffError(f"nobody of the name {name[:64]!r} works here")
    return row


def _another_issuer(connection: Connection, staff_id: int) -> None:
    query = sa.select(staff.c.id, staff.c.roles).where(staff.c.ended_at.is_(None))
    issuers = {row.id for row in connection.execute(query) if Role.ISSUER in _split(row.roles)}
    if issuers == {staff_id}:
        raise StaffError("no issuer would remain; make another first")


def _joined(roles: Collection[Role]) -> str:
    return " ".join(role for role in Role if role in roles)


def _split(roles: str) -> tuple[Role, ...]:
    return tuple(Role(word) for word in roles.split())
