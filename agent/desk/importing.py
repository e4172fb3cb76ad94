"""Members out of a spreadsheet: first what would happen, then, by the same plan, what happens.

Rules:
- the first row names the columns (`agent.desk.columns`), in any order; what is not known is told
  and not read;
- who is there already is found by reference, else by the place's number, else by name, e-mail and
  birth date together; an empty cell changes nothing;
- each wrong row is told by its line and why, and what stood in it is not repeated;
- a plan is carried out whole, in one transaction, or not at all; what was changed by others
  meanwhile makes it void.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from agent.desk.audit import Action
from agent.desk.columns import Columns, RowError
from agent.desk.members import Member, MemberError, Members, Person
from agent.desk.spreadsheet import BadFile, Sheet, read_sheet
from agent.desk.text import fold

__all__ = ["BadFile", "Plan", "Planned", "apply", "plan"]

_Key = tuple[str, ...]

_WRONG_TOLD: Final = 1_000


@dataclass(frozen=True, slots=True)
class Planned:
    """One row.

    Attributes:
        line: in the file, from 1.
        person: as it will be.
        before: who is there already, None where somebody is new.
    """

    line: int
    person: Person = field(repr=False)
    before: Member | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What an import would do.

    Attributes:
        new: who would be taken in.
        changed: who would be changed.
        same: who is there already, just so.
        wrong: (line, why) of the rows that cannot be taken.
        notes: what else is to be told.
        members: whose it is.
    """

    new: tuple[Planned, ...]
    changed: tuple[Planned, ...]
    same: tuple[Planned, ...]
    wrong: tuple[tuple[int, str], ...]
    notes: tuple[str, ...]
    members: Members = field(repr=False)


def plan(data: bytes, filename: str, existing: Members, usual: Person | None = None) -> Plan:
    """Say what an import would do; nothing is changed.

    Args:
        data: the file.
        filename: as the browser named it.
        existing: the members who are there.
        usual: gives what the file leaves out; `existing.usual()` where None.

    Raises:
        BadFile: it is no spreadsheet, is too large, or names no column that is known.
    """
    sheet = read_sheet(data, filename)
    if not sheet.rows:
        raise BadFile("the file is empty")
    columns = Columns(sheet)
    usual = usual or existing.usual()
    book = _Book(existing)
    new, changed, same, wrong = [], [], [], []
    for row in sheet.rows[1:]:
        try:
            planned = _planned(row, sheet, columns, book, usual)
        except (RowError, MemberError) as error:
            wrong.append((row[0], str(error)))
            continue
        if planned.before is None:
            new.append(planned)
        elif planned.before.person == planned.person:
            same.append(planned)
        else:
            changed.append(planned)
    return Plan(
        tuple(new), tuple(changed), tuple(same), tuple(wrong[:_WRONG_TOLD]),
        (*sheet.notes, *columns.notes), existing,
    )  # fmt: skip


def apply(planned: Plan, who: str, *, without_wrong: bool = False) -> tuple[int, int]:
    """Do what a plan says, whole or not at all.

    Args:
        planned: as it was shown.
        who: staff's work name.
        without_wrong: leave out the rows that are wrong; else there may be none.

    Returns:
        How many were taken in, and how many changed.

    Raises:
        MemberError: there are wrong rows, or somebody was changed since the plan was made.
    """
    if planned.wrong and not without_wrong:
        raise MemberError(f"rows that cannot be taken: {len(planned.wrong)}; nothing was imported")
    members = planned.members
    with members.desk.store.write() as connection:
        for each in planned.changed:
            assert each.before is not None
            now = members.get_in(connection, each.before.reference)
            if now != each.before:
                raise MemberError(f"line {each.line}: was changed meanwhile: look at it again")
            members.change_in(connection, now.reference, each.person, who)
        members.add_all_in(connection, [each.person for each in planned.new], who)
        detail = f"new: {len(planned.new)}, changed: {len(planned.changed)}"
        members.desk.journal.write(
            connection, at=members.desk.clock(), who=who, action=Action.IMPORTED, detail=detail
        )
    return len(planned.new), len(planned.changed)


class _Book:
    """Who is there, and who stands in the file already."""

    def __init__(self, existing: Members) -> None:
        self.members = existing
        self._by: dict[_Key, Member | None] = {}
        self._lines: dict[_Key, int] = {}
        for member in existing.all():
            self._by["reference", member.reference] = member
            if member.person.number:
                self._by[_number(member.person.number)] = member
            key = _rest(member.person)
            # Two who are alike: nobody knows which of them a row means.
            self._by[key] = None if key in self._by else member

    def named(self, reference: str, number: str) -> Member | None:
        """Return whom a row names, None where it names nobody who is there.

        Raises:
            RowError: nobody has the reference.
        """
        if reference:
            found = self._by.get(("reference", reference.strip().upper()))
            if found is None:
                raise RowError("reference: no member has it")
            return found
        return self._by.get(_number(number)) if number else None

    def alike(self, person: Person) -> Member | None:
        """Return who is like a row in all but the number, None where it is somebody new.

        Raises:
            RowError: several are.
        """
        key = _rest(person)
        if key not in self._by:
            return None
        found = self._by[key]
        if found is None:
            raise RowError("several members are like this: give the number or the reference")
        both = person.number and found.person.number
        return None if both else found  # two numbers: another person of the same name

    def take(self, line: int, person: Person, before: Member | None) -> None:
        """Remember a row.

        Raises:
            RowError: another row is of the same person.
        """
        keys = [_number(person.number) if person.number else _rest(person)]
        if before is not None:
            keys.append(("member", before.reference))
        for key in keys:
            if (other := self._lines.setdefault(key, line)) != line:
                raise RowError(f"the same {key[0]} as in line {other}")


def _number(number: str) -> _Key:
    return "number", fold(" ".join(number.split()))


def _rest(person: Person) -> _Key:
    return "person", fold(person.name), fold(person.email), person.birth_date


def _planned(
    row: tuple[int, tuple[str, ...]], sheet: Sheet, columns: Columns, book: _Book, usual: Person
) -> Planned:
    """Return what a row means.

    Raises:
        RowError: it cannot be read.
        MemberError: a field cannot be kept.
    """
    line, cells = row
    if line in sheet.formulas:
        raise RowError(f"column {sheet.formulas[line]} has a formula: paste it as a value")
    person = columns.person(cells, usual)
    before = book.named(columns.reference(cells), person.number)
    if before is None:
        person = book.members.checked(person)
        before = book.alike(person)
    if before is not None:
        person = book.members.checked(columns.person(cells, before.person))
    elif person.valid_until <= book.members.desk.clock():
        raise RowError("valid until: is over already")
    book.take(line, person, before)
    return Planned(line, person, before)
