"""The status lists of a desk, and places in them.

Rules:
- a place is random, so that neighbours in the list say nothing of when or for whom it was taken;
- a list that is full is followed by another; its URI stays what it was when it was begun, since
  credentials say it.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from agent.desk.settings import DeskSettings
from agent.desk.tables import credentials, status_lists

__all__ = ["ListRow", "free_place", "status_uri"]

_GUESSES: Final = 8
"""Random places that are tried before the free ones are counted out."""


@dataclass(frozen=True, slots=True)
class ListRow:
    """A status list.

    Attributes:
        number: from 1.
        uri: as credentials and the list itself say it.
        size: entries.
    """

    number: int
    uri: str
    size: int


def status_uri(settings: DeskSettings, number: int) -> str:
    """Return the URI of a status list that is begun now."""
    return f"{settings.web.issuer}/status/{number}"


def free_place(connection: Connection, settings: DeskSettings) -> tuple[ListRow, int]:
    """Return a random place that no credential has, in a new list where the last is full.

    Args:
        connection: of a transaction that writes, in which the place is taken.
        settings: of the desk.
    """
    query = sa.select(status_lists).order_by(status_lists.c.number.desc()).limit(1)
    last = connection.execute(query).first()
    if last is None:
        return _begun(connection, settings, 1)
    current = ListRow(*last)
    used = sa.select(credentials.c.status_index).where(credentials.c.status_list == current.number)
    for _ in range(_GUESSES):
        index = secrets.randbelow(current.size)
        taken = used.where(credentials.c.status_index == index)
        if connection.execute(taken).first() is None:
            return current, index
    free = sorted(set(range(current.size)) - set(connection.execute(used).scalars()))
    if free:
        return current, secrets.choice(free)
    return _begun(connection, settings, current.number + 1)


def _begun(connection: Connection, settings: DeskSettings, number: int) -> tuple[ListRow, int]:
    made = ListRow(number, status_uri(settings, number), settings.status.size)
    connection.execute(
        status_lists.insert().values(number=made.number, uri=made.uri, size=made.size)
    )
    return made, secrets.randbelow(made.size)
