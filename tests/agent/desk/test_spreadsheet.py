"""Rows out of strangers' files: what spreadsheets write is read, what attackers write is one line."""

from __future__ import annotations

import io
import tracemalloc
import zipfile
from datetime import date, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.desk import spreadsheet
from agent.desk.spreadsheet import (
    CELL_MOST,
    COLUMNS_MOST,
    FILE_MOST,
    ROWS_MOST,
    BadFile,
    read_sheet,
)
from tests.support.xlsx import SHEET, repacked, xlsx

ROWS = (("name", "number"), ("Adán", "A-1"), ("王小明", "A-2"))
GOOD = xlsx(ROWS)


def rows(data: bytes, name: str = "x.csv") -> tuple[tuple[str, ...], ...]:
    return tuple(cells for _, cells in read_sheet(data, name).rows)


@pytest.mark.parametrize("comma", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_csv_as_spreadsheets_write_it(comma, encoding, end) -> None:
    text = end.join(comma.join(row) for row in ROWS) + end
    assert rows(text.encode(encoding)) == ROWS


def test_lines_are_those_of_the_file(tmp_path) -> None:
    sheet = read_sheet(b'name,number\n\n"Ada\nKing",1\n , \nBob,"2,5"\n', "")
    assert sheet.rows == (
        (1, ("name", "number")), (3, ("Ada\nKing", "1")), (6, ("Bob", "2,5")),
    )  # fmt: skip


def test_cells_of_an_xlsx_are_what_somebody_typed() -> None:
    table = (
        ("name", "a", "b", "c"),
        ("Adán", 17, 2.5, True),
        (),
        (" x ", 17.0, date(1990, 12, 31), datetime(2027, 1, 2, 3, 4, tzinfo=None)),  # noqa: DTZ001
    )
    sheet = read_sheet(xlsx(table), "members.xlsx")
    assert sheet.rows == (
        (1, ("name", "a", "b", "c")),
        (2, ("Adán", "17", "2.5", "yes")),
        (4, ("x", "17", "1990-12-31", "2027-01-02T03:04:00")),
    )
    assert (sheet.formulas, sheet.notes) == ({}, ())


def test_a_formula_is_told_and_never_worked_out() -> None:
    sheet = read_sheet(
        xlsx([("name", "n"), ("=1+1", 1), ("Ada", '=HYPERLINK("http://x","y")')]), ""
    )
    assert sheet.formulas == {2: 1, 3: 2}


def test_of_several_sheets_the_first_is_read_and_that_is_told() -> None:
    sheet = read_sheet(xlsx(ROWS, [("other",)]), "")
    assert tuple(cells for _, cells in sheet.rows) == ROWS
    assert sheet.notes == ("only the first of 2 sheets is read",)


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "/etc/shadow\0.csv", "C:\\x\\y.CSV", "", "a" * 10_000, "x.exe"]
)
def test_a_path_in_the_name_means_nothing(name, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert (
        rows(b"name,number\nAd\xc3\xa1n,A-1\n\xe7\x8e\x8b\xe5\xb0\x8f\xe6\x98\x8e,A-2\n", name)
        == ROWS
    )
    assert rows(GOOD, name) == ROWS
    assert list(tmp_path.iterdir()) == []


def bomb() -> bytes:
    return repacked(GOOD, {SHEET: b"<x>" + b" " * (65 << 20)})


def lying() -> bytes:
    """A part of 65 MiB that says it has 100 bytes."""
    data = bytearray(bomb())
    with zipfile.ZipFile(io.BytesIO(bytes(data))) as archive:
        size = next(p.file_size for p in archive.infolist() if p.filename == SHEET)
    true = size.to_bytes(4, "little")
    return bytes(data).replace(true, (100).to_bytes(4, "little"))


def encrypted() -> bytes:
    data = bytearray(GOOD)
    at = data.index(b"PK\x01\x02")
    data[at + 8] |= 1
    return bytes(data)


ENTITIES = (
    b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>'
    b'<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>'
    b'<row r="1"><c r="A1" t="inlineStr"><is><t>&b;</t></is></c></row></sheetData></worksheet>'
)
OUTSIDE = ENTITIES.replace(b'"aaaaaaaaaa"', b'SYSTEM "file:///etc/passwd"')


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"x" * (FILE_MOST + 1), "the file is over 16 MiB"),
        (b"\xd0\xcf\x11\xe0" + bytes(100), "an old or encrypted Excel file"),
        (b"name\nAd\xe1n\n", "the text is not UTF-8: save it as `CSV UTF-8`"),
        (b"\xff\xfea", "the text is not UTF-8"),
        (b"name\n\0\n", "the file is no text"),
        (b'name\n"Ada', "line 2: unexpected end of data"),
        (b'name\n"Ada"x,\n', "line 2: "),
        (b"name\n" + b"x" * 200_000, "line 2: over 60000 characters"),
        (b"name\n" + b"x" * (CELL_MOST + 1), "line 2: a cell has over 1000 characters"),
        (b"," * FILE_MOST, "line 1: over 60000 characters"),
        (b"," * (COLUMNS_MOST + 1) + b"x", "line 1: over 60 columns"),
        (b"x\n" * (ROWS_MOST + 2), "over 10000 rows: divide the file"),
        (b"PK\x03\x04" + bytes(500), "no XLSX that can be read"),
        (GOOD[:-30], "no XLSX that can be read"),
        (GOOD[:2_000], "no XLSX that can be read"),
        (encrypted(), "the file is encrypted"),
        (repacked(GOOD, {SHEET: b""}), "no XLSX that can be read"),
        (repacked(GOOD, {SHEET: b"<x"}), "no XLSX that can be read (ParseError)"),
        (repacked(GOOD, {"xl/workbook.xml": b"<a/>"}), "the file has no sheet"),
        (repacked(GOOD, {"[Content_Types].xml": b"<a/>"}), "no XLSX that can be read"),
        (repacked(GOOD, {}, compression=zipfile.ZIP_LZMA), "an XLSX compressed as spreadsheets"),
        (repacked(GOOD, {f"{n}": b"" for n in range(1_001)}), "an XLSX with too many parts"),
        (xlsx([["x" * (CELL_MOST + 1)]]), "line 1: a cell has over 1000 characters"),
        (xlsx([["x"] * (COLUMNS_MOST + 1)]), "line 1: over 60 columns"),
    ],
    ids=range(24),
)  # fmt: skip
def test_what_is_no_table_is_one_line(data, told) -> None:
    with pytest.raises(BadFile) as refused:
        read_sheet(data, "")
    assert str(refused.value).startswith(told)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 120


@pytest.mark.parametrize("part", [SHEET, "xl/styles.xml", "xl/workbook.xml", "_rels/.rels", "x"])
@pytest.mark.parametrize("xml", [ENTITIES, OUTSIDE])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_no_entity_is_ever_resolved(part, xml, encoding) -> None:
    data = repacked(GOOD, {part: xml.decode().encode(encoding)})
    with pytest.raises(BadFile, match=r"^an XLSX with a document type, which spreadsheets never"):
        read_sheet(data, "")


@pytest.mark.parametrize("part", [SHEET, "xl/styles.xml", "xl/workbook.xml"])
def test_the_reader_behind_that_resolves_none_either(part) -> None:
    with pytest.raises(ValueError) as refused:
        spreadsheet._opened(repacked(GOOD, {part: OUTSIDE}))
    causes, error = [], refused.value
    while error is not None:
        causes.append(type(error).__name__)
        error = error.__cause__ or error.__context__
    assert "EntitiesForbidden" in causes


def inside(xml: bytes) -> bytes:
    return repacked(GOOD, {SHEET: b"<worksheet><sheetData>" + xml + b"</sheetData></worksheet>"})


@pytest.mark.parametrize(
    ("xml", "told"),
    [
        (b"<row>" + b"<c/>" * 50_001 + b"</row>", "more rows or cells than are read"),
        (b"<row>" + b"<x:c/>" * 50_001, "more rows or cells than are read"),
        (b"<row/>" * 100_001, "more rows or cells than are read"),
        (b"<x:row xmlns:x='y'/>" * 100_001, "more rows or cells than are read"),
        (b"<a>" * 101, "more rows or cells than are read"),
        (b"<c " + b" ".join(b"a%d=''" % each for each in range(40_000)) + b"/>", "too long"),
        (b"<c>" + b"x" * (300 << 10) + b"</c>", "too long"),
        (b"<!--" + b" " * (300 << 10) + b"-->", "too long"),
    ],
    ids=range(8),
)
def test_what_would_fill_the_memory_is_not_opened(xml, told) -> None:
    """Each of these in a file of some kilobytes; whole ones took gigabytes and minutes."""
    data = inside(xml)
    tracemalloc.start()
    with pytest.raises(BadFile, match=told):
        read_sheet(data, "")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 << 20


def test_a_row_of_all_the_cells_that_a_spreadsheet_knows_is_opened() -> None:
    cells = b"<c/>" * 16_384
    xml = b"<row>" + cells + b"</row>"
    head = b'<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">'
    data = repacked(GOOD, {SHEET: head + b"<sheetData>" + xml * 3 + b"</sheetData></worksheet>"})
    assert read_sheet(data, "").rows == ()


@pytest.mark.parametrize("make", [bomb, lying])
def test_what_unpacks_to_too_much_is_not_unpacked(make) -> None:
    data = make()
    assert len(data) < 1 << 18
    tracemalloc.start()
    with pytest.raises(BadFile, match=r"unpacks to over 64 MiB|no XLSX that can be read"):
        read_sheet(data, "")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 << 20


def test_a_row_far_down_is_read_and_one_beyond_any_sheet_is_not() -> None:
    sheet = (
        b'<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">'
        b'<dimension ref="A1:XFD1048576"/><sheetData>'
        b'<row r="1"><c r="A1" t="inlineStr"><is><t>name</t></is></c></row>'
        b'<row r="1048576"><c r="A1048576" t="inlineStr"><is><t>x</t></is></c></row>'
        b"</sheetData></worksheet>"
    )
    found = read_sheet(repacked(GOOD, {SHEET: sheet}), "")
    assert found.rows == ((1, ("name",)), (1_048_576, ("x",)))
    beyond = sheet.replace(b'r="1048576"', b'r="104857600000"')
    assert read_sheet(repacked(GOOD, {SHEET: beyond}), "").rows == ((1, ("name",)),)


def test_a_file_that_says_that_it_is_a_spreadsheet_is_one() -> None:
    with pytest.raises(BadFile, match="first bytes do not"):
        read_sheet(b"name\nAda\n", "members.XLSX")


@given(st.binary(max_size=400), st.booleans())
def test_any_bytes_are_rows_or_one_line(data: bytes, zipped: bool) -> None:
    data = b"PK\x03\x04" + data if zipped else data
    try:
        found = read_sheet(data, "")
    except BadFile as error:
        assert "\n" not in str(error)  # noqa: PT017
    else:
        assert all(line >= 1 for line, _ in found.rows)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, len(GOOD) - 1), st.binary(min_size=1, max_size=8))
def test_a_workbook_spoiled_anywhere_is_rows_or_one_line(place: int, noise: bytes) -> None:
    spoiled = GOOD[:place] + noise + GOOD[place + len(noise) :]
    try:
        read_sheet(spoiled, "")
    except BadFile as error:
        assert "\n" not in str(error)  # noqa: PT017
