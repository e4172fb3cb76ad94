"""Whether an XLSX is small enough to be opened: all that `openpyxl` holds at once, counted before.

Rules:
- `zipfile` never reads more of a part than the part says it has, so what parts say is added up;
- a tag of four bytes becomes an element of some hundreds in memory: elements are counted, in all,
  in one row (they are held until its end) and in depth;
- a stretch without any tag is bounded too: a thousand attributes are one tag;
- a document type is refused, and with it every entity;
- each part is looked at, whatever its name: relations may call anything a sheet.
"""

from __future__ import annotations

import io
import zipfile
from typing import IO, Final
from xml.parsers import expat

__all__ = ["UNPACKED_MOST", "TooLarge", "require_bounded"]

UNPACKED_MOST: Final = 64 << 20
"""Bytes of all parts."""
_PARTS_MOST: Final = 1_000
_ELEMENTS_MOST: Final = 2_000_000
"""In one part: ten thousand rows of sixty cells have fewer."""
_HELD_MOST: Final = 50_000
"""In one row, or one shared string."""
_ROWS_MOST: Final = 100_000
"""Rows that a sheet names, most of them empty."""
_DEPTH_MOST: Final = 100
_STRETCH_MOST: Final = 256 << 10
"""Bytes without `<`; a cell has at most 32,767 characters."""
_CHUNK: Final = 64 << 10


class TooLarge(ValueError):
    """It is not opened; one line for people."""


def require_bounded(data: bytes) -> None:
    """Refuse what would cost too much to open.

    Args:
        data: the file.

    Raises:
        TooLarge: it would, or it is packed as no spreadsheet packs.
        zipfile.BadZipFile, OSError, RuntimeError, zlib.error: it is no archive.
    """
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        parts = archive.infolist()
        _require_sound(parts)
        for part in parts:
            with archive.open(part) as stream:
                _Counter().read(stream)


def _require_sound(parts: list[zipfile.ZipInfo]) -> None:
    if len(parts) > _PARTS_MOST or len({part.filename for part in parts}) < len(parts):
        raise TooLarge("an XLSX with too many parts, or one of them twice")
    if any(part.flag_bits & 1 for part in parts):
        raise TooLarge("the file is encrypted: save it without a password")
    if any(part.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for part in parts):
        raise TooLarge("an XLSX compressed as spreadsheets do not")
    if sum(part.file_size for part in parts) > UNPACKED_MOST:
        raise TooLarge(f"the file unpacks to over {UNPACKED_MOST >> 20} MiB: save it as CSV")


class _Counter:
    """Counts the elements of one part as the reader's own parser meets them."""

    def __init__(self) -> None:
        self._elements = self._held = self._rows = self._depth = self._stretch = 0
        self._parser = expat.ParserCreate()
        self._parser.StartElementHandler = self._begin
        self._parser.EndElementHandler = self._end
        self._parser.StartDoctypeDeclHandler = self._doctype

    def read(self, stream: IO[bytes]) -> None:
        """Read a part to its end, or to where it is no XML: no reader gets further.

        Raises:
            TooLarge: it holds too much.
        """
        while chunk := stream.read(_CHUNK):
            self._require_tags(chunk)
            try:
                self._parser.Parse(chunk, False)
            except expat.ExpatError:
                return

    def _require_tags(self, chunk: bytes) -> None:
        first = chunk.find(b"<")
        self._stretch += len(chunk) if first < 0 else first
        if self._stretch > _STRETCH_MOST:
            raise TooLarge("an XLSX with a cell or a part that is too long: save it as CSV")
        if first >= 0:  # no stretch within a chunk is longer than the chunk
            self._stretch = len(chunk) - chunk.rfind(b"<")

    def _begin(self, name: str, _attributes: object) -> None:
        self._elements += 1
        self._held += 1
        self._depth += 1
        self._rows += name.rpartition(":")[2] == "row"
        if (
            self._elements > _ELEMENTS_MOST
            or self._held > _HELD_MOST
            or self._rows > _ROWS_MOST
            or self._depth > _DEPTH_MOST
        ):
            raise TooLarge("an XLSX with more rows or cells than are read: save it as CSV")

    def _end(self, name: str) -> None:
        self._depth -= 1
        if name.rpartition(":")[2] in ("row", "si"):
            self._held = 0

    def _doctype(self, *_words: object) -> None:
        raise TooLarge("an XLSX with a document type, which spreadsheets never write")
