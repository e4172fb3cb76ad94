"""Members as a table for a spreadsheet.

Rules:
- a field that a spreadsheet would work out begins with an apostrophe instead (OWASP, CSV
  injection); the import takes it away again;
- what is exported can be imported, and then changes nothing;
- that somebody exported is journaled, with how many; the file itself is theirs to guard.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Final

from agent.clock.moment import moment_text
from agent.desk.audit import Action
from agent.desk.members import Member, Members

__all__ = ["HEADINGS", "export_csv", "guarded"]

HEADINGS: Final = (
    "reference", "number", "name", "email", "birth_date", "kind", "level", "valid_until", "regions",
)  # fmt: skip
_ACTED_UPON: Final = ("=", "+", "-", "@", "\t", "\r")


def guarded(cell: str) -> str:
    """Return a field that no spreadsheet takes for a formula."""
    return f"'{cell}" if cell.startswith(_ACTED_UPON) else cell


def export_csv(members: Members, who: str) -> Iterator[bytes]:
    """Yield the table, some hundred rows at a time: UTF-8 with its mark, so that Excel reads it.

    Args:
        members: of the desk.
        who: staff's work name; journaled before the first byte.
    """
    desk = members.desk
    with desk.store.write() as connection:
        desk.journal.write(
            connection, at=desk.clock(), who=who, action=Action.EXPORTED,
            detail=f"members: {members.count_in(connection)}",
        )  # fmt: skip
    yield b"\xef\xbb\xbf" + _lines([HEADINGS])
    after = 0
    while page := members.page(after, 500):
        yield _lines([_row(member) for member in page])
        after = page[-1].id


def _row(member: Member) -> tuple[str, ...]:
    person = member.person
    cells = (
        member.reference, person.number, person.name, person.email, person.birth_date,
        str(person.kind), str(person.level), moment_text(person.valid_until),
        " ".join(person.regions),
    )  # fmt: skip
    return tuple(guarded(cell) for cell in cells)


def _lines(rows: list[tuple[str, ...]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows(rows)
    return text.getvalue().encode()
