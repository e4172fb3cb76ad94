"""What the desk does by itself: forgets what is over, and keeps the trust set fresh.

    each minute     codes, tokens, nonces and sessions whose time is over; references that wait
                    sealed for a phone that did not come
    each six hours  the set published anew: gates stop believing one that nobody vouches for
    at its end      the row of a credential of an erased member: until `exp` its place in the status
                    list stays withdrawn, after that nobody can show it

Nothing here decides on a person.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from agent.desk.desk import Desk
from agent.desk.tables import (
    access,
    credentials,
    invitations,
    members,
    nonces,
    offers,
    sessions,
    staff_invitations,
)

__all__ = ["Forgotten", "Republish", "forget"]

PUBLISH_S: Final = 6 * 3_600


@dataclass(frozen=True, slots=True)
class Forgotten:
    """How many rows went.

    Attributes:
        secrets: codes, tokens, nonces, sessions.
        references: sealed biometric references of offers that are over.
        credentials: rows of erased members' credentials that have expired.
        members: empty rows of erased members.
    """

    secrets: int
    references: int
    credentials: int
    members: int


def forget(desk: Desk) -> Forgotten:
    """Delete what is over; may be called at any time."""
    now = desk.clock()
    with desk.store.write() as connection:

        def gone(statement: sa.Delete | sa.Update) -> int:
            return int(connection.execute(statement).rowcount)

        idle = now - desk.settings.rules.session_s
        secrets = (
            gone(sa.delete(access).where(access.c.expires_at <= now))
            + gone(sa.delete(nonces).where(nonces.c.expires_at <= now))
            + gone(sa.delete(invitations).where(invitations.c.expires_at <= now))
            + gone(sa.delete(staff_invitations).where(staff_invitations.c.expires_at <= now))
            + gone(sa.delete(sessions).where(sessions.c.seen_at <= idle))
        )
        references = gone(
            sa.update(offers)
            .where(offers.c.expires_at <= now, offers.c.sealed.is_not(None))
            .values(sealed=None)
        )
        erased = sa.select(members.c.id).where(members.c.ended_at.is_not(None))
        expired = gone(
            sa.delete(credentials).where(
                credentials.c.member.in_(erased), credentials.c.valid_until <= now
            )
        )
        empty = erased.where(
            ~sa.exists().where(credentials.c.member == members.c.id),
            ~sa.exists().where(invitations.c.member == members.c.id),
            ~sa.exists().where(
                offers.c.member == members.c.id,
                sa.exists().where(access.c.offer == offers.c.id),
            ),
        )
        ids = list(connection.execute(empty).scalars())
        rows = 0
        if ids:
            gone(sa.delete(offers).where(offers.c.member.in_(ids)))
            rows = gone(sa.delete(members).where(members.c.id.in_(ids)))
    return Forgotten(secrets, references, expired, rows)


class Republish:
    """Publishes in time, with changes or without.

    Args:
        publish: does it.
        clock: Unix seconds.
    """

    def __init__(self, publish: Callable[[], object], clock: Callable[[], int]) -> None:
        self._publish = publish
        self._clock = clock
        self._due = clock()

    def __call__(self) -> None:
        """Publish where it is due; after a failure again at the next call."""
        if self._clock() >= self._due:
            self._publish()
            self._due = self._clock() + PUBLISH_S
