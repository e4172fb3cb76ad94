"""Rows out of a file that somebody made with a spreadsheet: CSV, or XLSX; nothing else.

Rules:
- what a file is, its first bytes say; of its name only the ending is compared with that, so no path
  in it means anything;
- all is bounded before it is read: the file, what it unpacks to and becomes in memory
  (`agent.desk.xlsx_bounds`), rows, columns, characters a cell;
- a formula is never worked out and never taken for a value; it is told, by its cell;
- XML with entities or a document type is refused (`defusedxml`), and so is what is encrypted;
- what `openpyxl` and `zipfile` raise over a hostile file becomes one error, here.

CSV is UTF-8 or, as spreadsheets write "Unicode text", UTF-16 with its mark; commas, semicolons or
tabs.
"""

from __future__ import annotations

import csv
import io
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Any, Final

from agent.desk.xlsx_bounds import TooLarge, require_bounded

__all__ = ["CELL_MOST", "COLUMNS_MOST", "FILE_MOST", "ROWS_MOST", "BadFile", "Sheet", "read_sheet"]

FILE_MOST: Final = 16 << 20
"""Bytes."""
ROWS_MOST: Final = 10_000
COLUMNS_MOST: Final = 60
CELL_MOST: Final = 1_000
"""Characters."""

_LAST_ROW: Final = 1 << 20
"""Of any XLSX, ECMA-376; a file may name rows beyond."""
_ZIP, _OLE = b"PK\x03\x04", b"\xd0\xcf\x11\xe0"
_HOSTILE: Final = (
    ArithmeticError, AssertionError, AttributeError, EOFError, LookupError, OSError, RuntimeError,
    SyntaxError, TypeError, ValueError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip
"""What the libraries were seen to raise over files that are no spreadsheets; ParseError is a
SyntaxError."""


class BadFile(ValueError):
    """The file cannot be read; one line for people, without its contents."""


@dataclass(frozen=True, slots=True)
class Sheet:
    """What a file says.

    Attributes:
        rows: (line, cells) of the rows that are not empty, lines from 1.
        formulas: lines in which a formula stands, and in which column, from 1.
        notes: what else is to be told.
    """

    rows: tuple[tuple[int, tuple[str, ...]], ...]
    formulas: dict[int, int]
    notes: tuple[str, ...] = ()


def read_sheet(data: bytes, filename: str) -> Sheet:
    """Read a file.

    Args:
        data: the file.
        filename: as the browser named it; only its ending is looked at.

    Raises:
        BadFile: it is too large, or no such file.
    """
    if len(data) > FILE_MOST:
        raise BadFile(f"the file is over {FILE_MOST >> 20} MiB")
    if data.startswith(_OLE):
        raise BadFile("an old or encrypted Excel file: save it as XLSX or CSV, without a password")
    if data.startswith(_ZIP):
        return _xlsx(data)
    if filename.lower().endswith((".xlsx", ".xls", ".ods")):
        raise BadFile("the file's name says that it is a spreadsheet, its first bytes do not")
    return _csv(_decoded(data))


def _decoded(data: bytes) -> str:
    encoding = "utf-16" if data.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        raise BadFile("the text is not UTF-8: save it as `CSV UTF-8`") from None
    if "\0" in text:
        raise BadFile("the file is no text")
    return text


def _csv(text: str) -> Sheet:
    first = text.split("\n", 1)[0]
    reader = csv.reader(_lines(text), delimiter=max(",;\t", key=first.count), strict=True)
    rows: list[tuple[int, tuple[str, ...]]] = []
    line = 1
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                _require_room(line, len(rows), len(cells), max(map(len, cells)))
                rows.append((line, tuple(cell.strip(" ") for cell in cells)))
            line = reader.line_num + 1
    except csv.Error as error:
        raise BadFile(f"line {line}: {error}") from None
    return Sheet(tuple(rows), {})


def _lines(text: str) -> Iterator[str]:
    """Yield lines of which none is longer than all that its cells may hold."""
    for line, found in enumerate(io.StringIO(text, newline=""), 1):
        if len(found) > COLUMNS_MOST * CELL_MOST:
            raise BadFile(f"line {line}: over {COLUMNS_MOST * CELL_MOST} characters")
        yield found


def _require_room(line: int, rows: int, columns: int, longest: int) -> None:
    if rows > ROWS_MOST:
        raise BadFile(f"over {ROWS_MOST} rows: divide the file")
    if columns > COLUMNS_MOST:
        raise BadFile(f"line {line}: over {COLUMNS_MOST} columns")
    if longest > CELL_MOST:
        raise BadFile(f"line {line}: a cell has over {CELL_MOST} characters")


def _xlsx(data: bytes) -> Sheet:
    try:
        require_bounded(data)
        return _opened(data)
    except (BadFile, TooLarge) as error:
        raise BadFile(str(error)) from None
    except _HOSTILE as error:
        kind = type(error).__name__
        raise BadFile(f"no XLSX that can be read ({kind}): save it anew, or as CSV") from None


def _opened(data: bytes) -> Sheet:
    import openpyxl
    from openpyxl import xml

    if not xml.DEFUSEDXML:
        raise BadFile("XLSX is not read here: the package `defusedxml` is missing; save it as CSV")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what a spreadsheet has beyond cells
        book = openpyxl.load_workbook(io.BytesIO(data), read_only=True, keep_links=False)
        try:
            sheets = book.worksheets
            if not sheets:
                raise BadFile("the file has no sheet")
            notes = (f"only the first of {len(sheets)} sheets is read",) if len(sheets) > 1 else ()
            rows: list[tuple[int, tuple[str, ...]]] = []
            formulas: dict[int, int] = {}
            for line, cells in _cells(sheets[0]):
                texts = []
                for column, cell in enumerate(cells, 1):
                    if getattr(cell, "data_type", "n") == "f":
                        formulas.setdefault(line, column)
                    texts.append(_text(cell.value))
                while texts and not texts[-1]:  # a row is as wide as what is read of it
                    texts.pop()
                if any(texts):
                    _require_room(line, len(rows), len(texts), max(map(len, texts)))
                    rows.append((line, tuple(texts)))
        finally:
            book.close()
    width = max((len(cells) for _, cells in rows), default=0)
    padded = tuple((line, cells + ("",) * (width - len(cells))) for line, cells in rows)
    return Sheet(padded, formulas, notes)


def _cells(sheet: Any) -> Iterator[tuple[int, tuple[Any, ...]]]:
    """Yield (line, cells) of rows that may hold something, one column more than is allowed."""
    sheet.reset_dimensions()  # a file may say anything of them
    blank = None
    rows = sheet.iter_rows(max_row=_LAST_ROW, max_col=COLUMNS_MOST + 1)
    for line, cells in enumerate(rows, 1):
        if cells is blank:  # the library's one row for all that are missing
            continue
        if all(cell.value is None for cell in cells):
            blank = cells
        else:
            yield line, cells


def _text(value: Any) -> str:
    """Return a cell's value as somebody would have typed it."""
    match value:
        case None:
            return ""
        case str():
            return value.strip(" ")
        case bool():
            return "yes" if value else "no"
        case float() if value.is_integer():
            return str(int(value))
        case datetime() if value.time() == time():
            return value.date().isoformat()
        case datetime() | date():
            return value.isoformat()
    return str(value)
