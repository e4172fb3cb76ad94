"""What is brought to the desk: tables of members, as CSV, as XLSX, and as a sheet inside one."""

from __future__ import annotations

import functools
import io
import zipfile

from agent.credential.model import Kind
from agent.desk.columns import Columns, RowError
from agent.desk.person import MemberError, Person, checked
from agent.desk.spreadsheet import BadFile, read_sheet
from tests.fuzz.model import Target, as_it_is, one_line
from tests.support import makers as make
from tests.support.xlsx import SHEET, repacked, xlsx

__all__ = ["TARGETS"]

TABLE = (
    (
        "Nº de socio",
        "nombre",
        "apellidos",
        "correo",
        "nacimiento",
        "nivel",
        "válido hasta",
        "región",
    ),
    ("A-1", "Ada", "Lovelace", "ada@example.org", "31/12/1990", "2", "2030-12-31", "DE-BE DE-BB"),
    ("A-2", "小明", "王", "", "1990年12月31日", "基本", "31.12.2030", ""),
)
USUAL = Person("", valid_until=make.NOW + 86_400)


@functools.cache
def _book() -> bytes:
    return xlsx(TABLE)


def _with_sheet(data: bytes) -> bytes:
    return repacked(_book(), {SHEET: data})


def _take(data: bytes) -> None:
    """Read a table up to what a plan compares with the members who are there."""
    try:
        sheet = read_sheet(data, "members.xlsx" if data[:2] == b"PK" else "members.csv")
        columns = Columns(sheet) if sheet.rows else None
    except BadFile as error:
        one_line(error)
        return
    for _, cells in sheet.rows[1:]:
        assert columns is not None
        try:
            person = checked(columns.person(cells, USUAL), kinds=tuple(Kind), now=make.NOW)
        except (RowError, MemberError) as error:
            one_line(error)
        else:
            assert "\n" not in person.name + person.email + person.number


def _members_target() -> Target:
    with zipfile.ZipFile(io.BytesIO(_book())) as archive:
        sheet = archive.read(SHEET)
    table = "\n".join(";".join(row) for row in TABLE)
    seeds = ((0, table.encode()), (0, table.encode("utf-16")), (0, _book()), (1, sheet))
    # A file may name the last row of a sheet, and those between are counted.
    return Target("members", (as_it_is, _with_sheet), seeds, _take, 4.0)


TARGETS = {"members": _members_target}
