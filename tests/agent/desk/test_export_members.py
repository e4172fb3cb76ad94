"""An export that no spreadsheet works out, and that comes back as it went."""

from __future__ import annotations

import csv
import io

import pytest

from agent.desk.export import HEADINGS, export_csv, guarded
from agent.desk.importing import plan
from agent.desk.members import Members
from tests.support.desks import a_person

DANGEROUS = (
    "=cmd|' /C calc'!A0", "+1+1", "-2+3", "@SUM(A1:A9)", '=HYPERLINK("http://x.example","y")',
)  # fmt: skip


@pytest.mark.parametrize("cell", [*DANGEROUS, "\tx", "\rx"])
def test_what_a_spreadsheet_would_work_out_is_guarded(cell) -> None:
    assert guarded(cell) == f"'{cell}"


@pytest.mark.parametrize("cell", ["", "Ada", "A=1", "1990-12-31", "'x", "王"])
def test_the_rest_is_as_it_is(cell) -> None:
    assert guarded(cell) == cell


def test_an_export_is_read_by_excel_and_changes_nothing_when_it_comes_back(any_desk) -> None:
    members = Members(any_desk)
    many = [a_person(name, number=f"={number}") for number, name in enumerate(DANGEROUS)]
    many += [
        a_person('Ada "Countess", King', email="ada@example.org", birth_date="1990-12-31"),
        a_person("王小明", regions=("DE-BB", "DE-BE"), level=2),
        *(a_person(f"Person {number}") for number in range(600)),
    ]
    members.add_all(many, "carla")
    data = b"".join(export_csv(members, "david"))
    assert data.startswith(b"\xef\xbb\xbf")
    rows = list(csv.reader(io.StringIO(data.decode("utf-8-sig"), newline="")))
    assert tuple(rows[0]) == HEADINGS
    assert len(rows) == len(many) + 1
    assert not [cell for row in rows for cell in row if cell.startswith(("=", "+", "-", "@"))]
    back = plan(data, "members.csv", members)
    assert (back.new, back.changed, back.wrong, back.notes) == ((), (), (), ())
    assert [row.person for row in back.same] == [member.person for member in members.all()]
    with any_desk.store.read() as connection:
        (last,) = any_desk.journal.read(connection, limit=1)
    assert (last.who, last.action, last.detail) == ("david", "exported", f"members: {len(many)}")
