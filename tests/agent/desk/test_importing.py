"""An import says beforehand what it will do, and does that, all of it or nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from agent.credential.model import Kind
from agent.desk.credentials import Credentials, Form, Status
from agent.desk.importing import BadFile, apply, plan
from agent.desk.members import MemberError, Members, Person
from tests.support.desks import DAY, NOW, a_person
from tests.support.xlsx import xlsx

YEAR_END = int(datetime(2028, 1, 1, tzinfo=UTC).timestamp()) - 1
ENGLISH = """\
Member No.,First name,Last name,E-mail,Date of birth,Level,Valid until,Region,Shoe size
A-1,Ada,Lovelace,ada@example.org,1990-12-31,upgraded,2027-12-31,de-be DE-BB,38
A-2,Bob,,,,1,,,
"""
SPANISH = """\
Nº de socio;Nombre y apellidos;Correo electrónico;Fecha de nacimiento;Nivel;Válido hasta;Región
A-1;Ada Lovelace;ada@example.org;31/12/1990;Verificado;31/12/2027;DE-BE, DE-BB
A-2;Bob;;;básico;;
"""
CHINESE = """\
读者证号\t姓名\t电子邮箱\t出生日期\t级别\t有效期至\t地区\t类型
A-1\tAda Lovelace\tada@example.org\t1990年12月31日\t升级\t2027/12/31\tDE-BE DE-BB\t读者证
A-2\tBob\t\t\t基本\t\t\tlibrary-card
"""
ADA = Person(
    "Ada Lovelace", "ada@example.org", "1990-12-31", "A-1", Kind.LIBRARY_CARD, 2, YEAR_END,
    ("DE-BB", "DE-BE"),
)  # fmt: skip
BOB = Person("Bob", number="A-2", valid_until=NOW + 365 * DAY)


def persons(rows) -> list[Person]:
    return [row.person for row in rows]


def journal(desk) -> list[tuple[str, str, str]]:
    with desk.store.read() as connection:
        assert desk.journal.verify(connection) is None
        rows = desk.journal.read(connection)
    return [(row.who, row.action, row.detail) for row in reversed(rows)]


@pytest.mark.parametrize("table", [ENGLISH, SPANISH, CHINESE], ids=["en", "es", "zh"])
@pytest.mark.parametrize("form", ["csv", "xlsx"])
def test_three_languages_say_the_same(desk, table, form) -> None:
    data = table.encode()
    if form == "xlsx":
        comma = next(each for each in "\t;," if each in table.splitlines()[0])
        data = xlsx(line.split(comma) for line in table.splitlines())
    found = plan(data, f"m.{form}", Members(desk))
    assert persons(found.new) == [ADA, BOB]
    assert (found.changed, found.same, found.wrong) == ((), (), ())
    unknown = ("column 9 is not read: its name is not known",) if table is ENGLISH else ()
    assert found.notes == unknown
    assert Members(desk).count() == 0
    assert journal(desk) == []
    assert "Ada" not in repr(found)


def test_what_was_planned_is_done_and_the_same_file_again_changes_nothing(any_desk) -> None:
    members = Members(any_desk)
    assert apply(plan(ENGLISH.encode(), "m.csv", members), "carla") == (2, 0)
    assert [member.person for member in members.all()] == [ADA, BOB]
    again = plan(SPANISH.encode(), "m.csv", members)
    assert (persons(again.same), again.new, again.changed) == ([ADA, BOB], (), ())
    assert [row[:2] for row in journal(any_desk)] == [
        ("carla", "member-added"), ("carla", "member-added"), ("carla", "imported"),
    ]  # fmt: skip
    assert journal(any_desk)[-1][2] == "new: 2, changed: 0"


def test_an_empty_cell_or_a_column_that_is_not_there_changes_nothing(desk) -> None:
    members = Members(desk)
    apply(plan(ENGLISH.encode(), "m.csv", members), "carla")
    found = plan(b"number,name,email,level\nA-1,,new@example.org,\nA-2,Robert,,2\n", "", members)
    assert persons(found.changed) == [
        replace(ADA, email="new@example.org"), replace(BOB, name="Robert", level=2),
    ]  # fmt: skip
    assert apply(found, "david") == (0, 2)
    assert [member.person for member in members.all()] == persons(found.changed)
    assert [row[:2] for row in journal(desk)][3:] == [
        ("david", "member-changed"), ("david", "member-changed"), ("david", "imported"),
    ]  # fmt: skip


def test_who_is_meant(desk) -> None:
    members = Members(desk)
    ada, bob, eve, eva = members.add_all(
        [
            a_person("Ada", number="A-1"), a_person("Bob", email="b@example.org"),
            a_person("Eve"), a_person("Eve"),
        ],
        "carla",
    )  # fmt: skip
    text = (
        "reference,number,name,email\n"
        f"{ada.reference.lower()},,Ada King,\n"  # by reference
        ",A-9,BOB,b@example.org\n"  # by the rest; gets a number
        ",,Eve,\n"  # two of them
        ",A-8,Ada,\n"  # another Ada: the one who is there has another number
        ",,Bob,other@example.org\n"  # another Bob
        f"{eva.reference},,,eva@example.org\n"
        "ZZZZZZZZZZZZ,,Nobody,\n"
    )
    found = plan(text.encode(), "", members)
    assert [(row.before.reference, row.person.name) for row in found.changed] == [
        (ada.reference, "Ada King"), (bob.reference, "BOB"), (eva.reference, "Eve"),
    ]  # fmt: skip
    assert [row.person.number for row in found.changed] == ["A-1", "A-9", ""]
    assert [(row.line, row.person.name) for row in found.new] == [(5, "Ada"), (6, "Bob")]
    assert found.wrong == (
        (4, "several members are like this: give the number or the reference"),
        (8, "reference: no member has it"),
    )
    assert eve.reference not in {row.before.reference for row in found.changed}


@pytest.mark.parametrize(
    ("row", "why"),
    [
        (",a@example.org,,,,", "name: empty"),
        ("Ada,x,,,,", "e-mail: no address, such as ada@example.org"),
        ("Ada,,31/12/1990,,,", "birth date: day or month first? write it like 1990-12-31"),
        ("Ada,,1990-02-30,,,", "birth date: no date; write it like 1990-12-31"),
        ("Ada,,yesterday,,,", "birth date: no date; write it like 1990-12-31"),
        ("Ada,,2031-01-01,,,", "birth date: not between 1880 and today"),
        ("Ada,,,7,,", "level: 1 basic or 2 upgraded"),
        ("Ada,,,,2027-01-01,", "valid until: is over already"),
        ("Ada,,,,12345-01-01,", "valid until: no date; write it like 1990-12-31"),
        ("Ada,,,,2027-01-01T99:00:00Z,", "valid until: neither ISO 8601 nor Unix seconds"),
        ("Ada,,,,,Bayern", "regions: ISO 3166-2 codes, such as DE-BE"),
        ("Ada\u202e,,,,,", "name: a character that turns the direction of writing"),
        ("Ada", "1 cells, 6 are needed"),
        ("Bob,b@example.org,,,,", "the same person as in line 2"),
    ],
)
def test_a_wrong_row_is_told_by_its_line_and_nothing_is_imported(desk, row, why) -> None:
    members = Members(desk)
    text = f"name,email,born,level,valid until,region\nBob,b@example.org,,,,\n{row}\n"
    found = plan(text.encode(), "", members)
    assert found.wrong == ((3, why),)
    with pytest.raises(MemberError, match=r"^rows that cannot be taken: 1; nothing was imported$"):
        apply(found, "carla")
    assert members.count() == 0
    assert apply(found, "carla", without_wrong=True) == (1, 0)


def test_a_kind_that_the_desk_does_not_issue_is_told(desk) -> None:
    text = b"name,kind\nAda,Online ID\nBob,passport\nEve,bus pass\n"
    found = plan(text, "", Members(desk))
    assert [row.person.kind for row in found.new] == [Kind.ONLINE_ID]
    assert found.wrong == (
        (3, "kind: allowed: library-card, online-id"), (4, "kind: no such kind of card"),
    )  # fmt: skip


def test_a_formula_is_told_by_its_line_and_column(desk) -> None:
    data = xlsx([("name", "number"), ("Ada", "=1+1"), ("Bob", "A-2")])
    found = plan(data, "m.xlsx", Members(desk))
    assert persons(found.new) == [BOB]
    assert found.wrong == ((2, "column 2 has a formula: paste it as a value"),)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "the file is empty"),
        (b"\n\n", "the file is empty"),
        (b"number,email\nA-1,x\n", r"line 1: no column is called name \(nombre, 姓名\)"),
        (b"name,number,nombre\nAda,1,2\n", "line 1: columns 1 and 3 are both name"),
    ],
)
def test_a_file_without_the_right_columns(desk, data, told) -> None:
    with pytest.raises(BadFile, match=f"^{told}$"):
        plan(data, "m.csv", Members(desk))


def test_a_plan_is_void_once_somebody_else_changed_what_it_changes(desk) -> None:
    members = Members(desk)
    (ada,) = members.add_all([a_person("Ada", number="A-1")], "carla")
    found = plan(b"number,name\nA-1,Ada King\nA-2,Bob\n", "", members)
    members.change(ada.reference, replace(ada.person, email="a@example.org"), "david")
    with pytest.raises(MemberError, match=r"^line 2: was changed meanwhile: look at it again$"):
        apply(found, "carla")
    assert members.count() == 1
    # So is one by which a number would be given twice.
    found = plan(b"number,name\nA-2,Bob\nA-3,Eve\n", "", members)
    members.add(a_person("Zoe", number="A-3"), "david")
    with pytest.raises(MemberError, match=r"^number: another member has it$"):
        apply(found, "carla")
    assert members.count() == 2


def test_a_membership_that_an_import_shortens_withdraws_what_outlives_it(desk) -> None:
    members = Members(desk)
    ada = members.add(a_person("Ada", number="A-1"), "carla")
    with desk.store.write() as connection:
        Credentials(desk).sign(
            connection, ada, kind="library-card", level=1, holder=None, form=Form.CARD,
            issued_by="carla", now=NOW,
        )  # fmt: skip
    apply(plan(b"number,name,expires\nA-1,Ada,2027-02-01\n", "", members), "carla")
    (row,) = Credentials(desk).of_member(ada.reference)
    assert row.status is Status.REVOKED


def test_ten_thousand_rows_are_planned_and_taken(desk) -> None:
    members = Members(desk)
    rows = "".join(f"N{number},Person {number}\n" for number in range(10_000))
    found = plan(f"number,name\n{rows}".encode(), "", members)
    assert len(found.new) == 10_000
    many = replace(found, new=found.new[:600])
    assert apply(many, "carla") == (600, 0)
    assert members.count() == 600
