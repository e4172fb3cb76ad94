"""What the place knows of somebody: its fields, and what may stand in each.

Rules: those of `agent.desk.text`; a field is as it is kept only after `checked`; errors name the
field and never repeat it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from agent.clock.moment import LAST
from agent.credential.model import Kind
from agent.desk import text
from agent.settings.checks import REGION

__all__ = ["NAME_MOST", "NUMBER_MOST", "MemberError", "Person", "checked"]

NAME_MOST: Final = 120
NUMBER_MOST: Final = 32
_REGIONS_MOST: Final = 60


class MemberError(ValueError):
    """The member cannot be kept, changed or found; one line for people, nothing personal in it."""


@dataclass(frozen=True, slots=True)
class Person:
    """What the place knows of somebody.

    Attributes:
        name: as it is said.
        email: or "".
        birth_date: YYYY-MM-DD, or "".
        number: the place's own, or "".
        kind: of credential.
        level: 1 basic, 2 upgraded: what the member may have.
        valid_until: last second of the membership, Unix seconds.
        regions: ISO 3166-2 codes; none means everywhere.
    """

    name: str = field(repr=False)
    email: str = field(repr=False, default="")
    birth_date: str = field(repr=False, default="")
    number: str = field(repr=False, default="")
    kind: Kind = Kind.LIBRARY_CARD
    level: int = 1
    valid_until: int = 0
    regions: tuple[str, ...] = ()


def checked(person: Person, *, kinds: Collection[Kind], now: int) -> Person:
    """Return a person as it is kept.

    Args:
        person: as typed.
        kinds: those that the desk issues.
        now: Unix seconds; nobody is born after it.

    Raises:
        MemberError: the first field that is wrong.
    """
    today = datetime.fromtimestamp(now, UTC).date()
    try:
        name = text.clean(person.name, "name", most=NAME_MOST, least=1)
        email = text.email(person.email)
        birth_date = text.birth_date(person.birth_date, today)
        number = text.clean(person.number, "number", most=NUMBER_MOST)
    except text.TextError as error:
        raise MemberError(str(error)) from None
    if person.kind not in kinds:
        raise MemberError(f"kind: allowed: {', '.join(kinds)}")
    if type(person.level) is not int or person.level not in (1, 2):
        raise MemberError("level: 1 basic or 2 upgraded")
    if type(person.valid_until) is not int or not 0 < person.valid_until <= LAST:
        raise MemberError("valid until: no moment before the year 10000")
    return Person(
        name, email, birth_date, number, Kind(person.kind), person.level, person.valid_until,
        _regions(person.regions),
    )  # fmt: skip


def _regions(given: Iterable[str]) -> tuple[str, ...]:
    regions = tuple(sorted(set(given)))
    if len(regions) > _REGIONS_MOST:
        raise MemberError(f"regions: over {_REGIONS_MOST}")
    if not all(isinstance(each, str) and REGION.fullmatch(each) for each in regions):
        raise MemberError("regions: ISO 3166-2 codes, such as DE-BE")
    return regions
