"""XLSX files by hand, so that a test can spoil any part of one."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Mapping
from typing import Any

import openpyxl

__all__ = ["SHEET", "repacked", "xlsx"]

SHEET = "xl/worksheets/sheet1.xml"


def xlsx(rows: Iterable[Iterable[Any]], *more: Iterable[Iterable[Any]]) -> bytes:
    """Return a workbook; `more` are further sheets."""
    book = openpyxl.Workbook()
    book.remove(book.active)
    for table in (rows, *more):
        sheet = book.create_sheet()
        for row in table:
            sheet.append(list(row))
    out = io.BytesIO()
    book.save(out)
    book.close()
    return out.getvalue()


def repacked(
    data: bytes, parts: Mapping[str, bytes], *, compression: int = zipfile.ZIP_DEFLATED
) -> bytes:
    """Return a workbook with other parts in it, or further ones."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w", compression) as new:
        for part in old.infolist():
            if part.filename not in parts:
                new.writestr(part.filename, old.read(part.filename))
        for name, content in parts.items():
            new.writestr(name, content)
    return out.getvalue()
