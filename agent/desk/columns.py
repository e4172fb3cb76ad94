"""What the columns of a table of members are called, and what may stand in their cells.

Rules:
- headings are in English, Spanish or Chinese; case, accents and signs make no difference;
- a day is written year first, or with dots; `3/4/1990` only below Spanish headings, where it is a
  day in April: elsewhere nobody can know;
- an empty cell says nothing, and errors never repeat a cell.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Final

from agent.clock.moment import parse_moment
from agent.credential.model import Kind
from agent.desk.person import Person
from agent.desk.spreadsheet import BadFile, Sheet
from agent.desk.text import fold

__all__ = ["COLUMNS", "GUARDED", "Columns", "RowError"]

COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    "reference": ("reference", "referencia", "参考号", "参考编号"),
    "number": (
        "number", "member number", "card number", "member no", "no", "id",
        "numero", "numero de socio", "no de socio", "n de socio", "numero de carnet", "carnet",
        "socio", "编号", "会员号", "会员编号", "读者证号", "证号", "卡号",
    ),
    "name": (
        "name", "full name", "nombre", "nombre completo", "nombre y apellidos", "first name",
        "given name", "姓名", "名字",
    ),
    "surname": ("surname", "last name", "family name", "apellido", "apellidos"),
    "email": (
        "email", "e mail", "mail", "email address", "correo", "correo electronico", "电子邮件",
        "电子邮箱", "邮箱", "邮件",
    ),
    "birth_date": (
        "birth date", "date of birth", "birthday", "birthdate", "born", "dob",
        "fecha de nacimiento", "nacimiento", "出生日期", "生日",
    ),
    "kind": ("kind", "kind of card", "type", "tipo", "tipo de carnet", "clase", "类型", "种类"),
    "level": ("level", "nivel", "级别", "等级"),
    "valid_until": (
        "valid until", "valid to", "expires", "expiry", "expiry date", "until", "valido hasta",
        "caduca", "caducidad", "vence", "vencimiento", "hasta", "有效期", "有效期至", "到期",
        "到期日",
    ),
    "regions": ("regions", "region", "regiones", "地区", "区域"),
}  # fmt: skip
"""Names of columns, as `heading` writes them."""

_SPANISH: Final = frozenset(
    {"nombre", "apellidos", "apellido", "fecha de nacimiento", "nacimiento", "valido hasta",
     "caducidad", "numero de socio", "no de socio", "n de socio", "correo electronico"}
)  # fmt: skip
"""Where one of these stands, 3/4/1990 is a day in April; else nobody can know."""

_LEVELS: Final = {
    "1": 1, "basic": 1, "basico": 1, "基本": 1,
    "2": 2, "upgraded": 2, "verificado": 2, "升级": 2,
}  # fmt: skip
_KINDS: Final = {
    "library card": Kind.LIBRARY_CARD, "carnet de biblioteca": Kind.LIBRARY_CARD,
    "读者证": Kind.LIBRARY_CARD, "借书证": Kind.LIBRARY_CARD,
}  # fmt: skip
_YEAR_FIRST: Final = re.compile(r"([0-9]{4})[-/.年]([0-9]{1,2})[-/.月]([0-9]{1,2})日?")
_DOTS: Final = re.compile(r"([0-9]{1,2})\.([0-9]{1,2})\.([0-9]{4})")
_SLASHES: Final = re.compile(r"([0-9]{1,2})[/-]([0-9]{1,2})[/-]([0-9]{4})")
GUARDED: Final = ("'=", "'+", "'-", "'@", "'\t", "'\r")
"""How `agent.desk.export` begins a field that a spreadsheet would work out."""


class RowError(ValueError):
    """Why a row cannot be taken; one line for people."""


class Columns:
    """The columns of one table.

    Args:
        sheet: its first row names them.

    Attributes:
        notes: what is to be told of the first row.

    Raises:
        BadFile: a column twice, or none for names.
    """

    def __init__(self, sheet: Sheet) -> None:
        known = {name: field for field, names in COLUMNS.items() for name in names}
        line, first = sheet.rows[0]
        self.notes: list[str] = []
        self._places: dict[str, int] = {}
        self._day_first = False
        for place, cell in enumerate(first):
            heading = _heading(cell)
            self._day_first = self._day_first or heading in _SPANISH
            field = known.get(heading)
            if field is None and cell:
                self.notes.append(f"column {place + 1} is not read: its name is not known")
            elif field is not None and field in self._places:
                before = self._places[field] + 1
                raise BadFile(f"line {line}: columns {before} and {place + 1} are both {field}")
            elif field is not None:
                self._places[field] = place
        if "name" not in self._places:
            raise BadFile(f"line {line}: no column is called name (nombre, 姓名)")

    def reference(self, cells: tuple[str, ...]) -> str:
        """Return the reference that a row gives, or ""."""
        return self._given(cells).get("reference", "")

    def person(self, cells: tuple[str, ...], before: Person) -> Person:
        """Return somebody as a row says, not yet checked.

        Args:
            cells: of the row.
            before: gives what the row does not say.

        Raises:
            RowError: it cannot be read.
        """
        given = self._given(cells)
        name = " ".join(given[each] for each in ("name", "surname") if each in given)
        person = replace(
            before,
            name=name or before.name,
            email=given.get("email", before.email),
            number=given.get("number", before.number),
        )
        if "birth_date" in given:
            born = _date(given["birth_date"], "birth date", day_first=self._day_first)
            person = replace(person, birth_date=born.isoformat())
        if "kind" in given:
            person = replace(person, kind=_kind(given["kind"]))
        if "level" in given:
            person = replace(person, level=_level(given["level"]))
        if "valid_until" in given:
            until = _last_second(given["valid_until"], day_first=self._day_first)
            person = replace(person, valid_until=until)
        if "regions" in given:
            regions = re.split(r"[\s,;]+", given["regions"].strip().upper())
            person = replace(person, regions=tuple(regions))
        return person

    def _given(self, cells: tuple[str, ...]) -> dict[str, str]:
        """Return the cells that say something."""
        if any(place >= len(cells) for place in self._places.values()):
            raise RowError(f"{len(cells)} cells, {max(self._places.values()) + 1} are needed")
        given = {name: cells[place].strip(" ") for name, place in self._places.items()}
        return {
            name: cell[1:] if cell.startswith(GUARDED) else cell
            for name, cell in given.items()
            if cell
        }


def _heading(cell: str) -> str:
    """Return a column's name as `COLUMNS` has it: no case, accents or signs."""
    words = fold(cell.replace("_", " ").replace("º", "o").replace("°", "o"))
    return " ".join(re.sub(r"[^\w]+", " ", words[:80]).split())


def _kind(cell: str) -> Kind:
    named = _KINDS.get(fold(cell))
    if named is not None:
        return named
    try:
        return Kind(fold(cell).replace(" ", "-").replace("_", "-"))
    except ValueError:
        raise RowError("kind: no such kind of card") from None


def _level(cell: str) -> int:
    level = _LEVELS.get(fold(cell))
    if level is None:
        raise RowError("level: 1 basic or 2 upgraded")
    return level


def _date(cell: str, name: str, *, day_first: bool) -> date:
    """Return a day of the calendar.

    Raises:
        RowError: it is none, or nobody can know which.
    """
    cell = cell.strip()
    for pattern, order in ((_YEAR_FIRST, (1, 2, 3)), (_DOTS, (3, 2, 1)), (_SLASHES, (3, 2, 1))):
        if found := pattern.fullmatch(cell):
            if pattern is _SLASHES and not day_first:
                raise RowError(f"{name}: day or month first? write it like 1990-12-31")
            try:
                return date(*(int(found[part]) for part in order))
            except ValueError:
                break
    raise RowError(f"{name}: no date; write it like 1990-12-31")


def _last_second(cell: str, *, day_first: bool) -> int:
    """Return the last second of a day, or the very moment where one is given."""
    if "T" in cell:
        try:
            return parse_moment(cell)
        except ValueError as error:
            raise RowError(f"valid until: {error}") from None
    day = _date(cell, "valid until", day_first=day_first)
    try:
        first = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())
    except (OverflowError, ValueError):
        raise RowError("valid until: no date that can be kept") from None
    return first + 86_399
