"""How a member stands in the database: what is sealed of a row, and its reference.

Rules:
- what is sealed is padded, so that its length tells no name's, and bound to the reference, so that
  it opens in no other row;
- an erased member's row has nothing sealed.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from agent.credential.model import Kind
from agent.desk.person import Person
from agent.desk.seal import SiteKey
from agent.desk.tables import members

__all__ = ["REFERENCE_LENGTH", "Member", "columns", "new_references", "opened"]

REFERENCE_LENGTH: Final = 12
_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Crockford's base32: no letter that is taken for a digit."""
_PURPOSE: Final = "member"
_PAD: Final = 64


class _Sealed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    email: str
    birth_date: str
    number: str


@dataclass(frozen=True, slots=True)
class Member:
    """A row that was opened.

    Attributes:
        id: number of the row.
        reference: opaque, random.
        person: nameless where the member was erased.
        created_at: Unix seconds.
        ended_at: Unix seconds, None while a member.
    """

    id: int
    reference: str
    person: Person
    created_at: int
    ended_at: int | None = None


def columns(key: SiteKey, reference: str, person: Person) -> dict[str, Any]:
    """Return what a row says of a person."""
    data = msgspec.json.encode(_Sealed(person.name, person.email, person.birth_date, person.number))
    data += b" " * (-len(data) % _PAD)
    return {
        "sealed": key.seal(_PURPOSE, data, about=reference.encode()),
        "kind": str(person.kind),
        "level": person.level,
        "valid_until": person.valid_until,
        "regions": " ".join(person.regions),
    }


def opened(key: SiteKey, row: Row[Any]) -> Member:
    """Open a row of the table of members.

    Raises:
        SealBroken: sealed by another site key, or changed.
    """
    sealed = _Sealed("", "", "", "")
    if row.sealed:
        data = key.open(_PURPOSE, row.sealed, about=row.reference.encode())
        sealed = msgspec.json.decode(data, type=_Sealed)
    person = Person(
        sealed.name, sealed.email, sealed.birth_date, sealed.number, Kind(row.kind), row.level,
        row.valid_until, tuple(row.regions.split()),
    )  # fmt: skip
    return Member(row.id, row.reference, person, row.created_at, row.ended_at)


def new_references(connection: Connection, number: int) -> list[str]:
    """Return references that nobody has."""
    while True:
        made = {
            "".join(secrets.choice(_ALPHABET) for _ in range(REFERENCE_LENGTH))
            for _ in range(number)
        }
        taken = sa.select(members.c.id).where(members.c.reference.in_(made)).limit(1)
        if len(made) == number and connection.execute(taken).first() is None:
            return list(made)
