"""What the desk does by itself: forgets what is over, and keeps the trust set fresh.

    each minute     codes, tokens, nonces and sessions whose time is over; templates that wait,
                    sealed, for a phone that did not come; who made a card and never took it
    each hour       members and credentials that were over `rules.keep_days` ago
    each six hours  the set published anew: gates stop believing one that nobody vouches for

Nothing here decides on a person who has a card.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from agent.desk.credentials import Credentials
from agent.desk.desk import Desk
from agent.desk.members import Members, UnknownMember
from agent.desk.offers import Offers
from agent.desk.staff import LONGEST_SESSION_S
from agent.desk.tables import sessions, staff_invitations

__all__ = ["FORGET_S", "PUBLISH_S", "Forgotten", "InTime", "forget_members", "forget_secrets"]

FORGET_S: Final = 3_600
PUBLISH_S: Final = 6 * 3_600


@dataclass(frozen=True, slots=True)
class Forgotten:
    """How much went.

    Attributes:
        members: erased: their time was over, or they made a card themselves and never took it.
        credentials: rows that went.
    """

    members: int
    credentials: int


def forget_secrets(desk: Desk) -> int:
    """Delete what short-lived things are over; return how many members went with them."""
    now = desk.clock()
    erased = 0
    for reference in Offers(desk).sweep(now):
        try:
            Members(desk).erase(reference, "desk")
        except UnknownMember:
            continue  # somebody at the desk was quicker
        erased += 1
    idle = sessions.c.seen_at <= now - desk.settings.rules.session_s
    with desk.store.write() as connection:
        connection.execute(
            sa.delete(sessions).where(
                sa.or_(idle, sessions.c.created_at <= now - LONGEST_SESSION_S)
            )
        )
        connection.execute(
            sa.delete(staff_invitations).where(staff_invitations.c.expires_at <= now)
        )
    return erased


def forget_members(desk: Desk) -> Forgotten:
    """Erase whose membership, and delete which credentials, were over long enough ago."""
    gone = Credentials(desk).sweep()
    return Forgotten(Members(desk).sweep(), gone)


class InTime:
    """Does something at once and then each so many seconds; after a failure at the next call.

    Args:
        what: is done.
        clock: Unix seconds.
        every_s: seconds.
    """

    def __init__(self, what: Callable[[], object], clock: Callable[[], int], every_s: int) -> None:
        self._what = what
        self._clock = clock
        self._every_s = every_s
        self._due = clock()

    def __call__(self) -> None:
        """Do it where it is due."""
        if self._clock() >= self._due:
            self._what()
            self._due = self._clock() + self._every_s
