"""Who is enrolled in the fingerprint module: keyed hashes and slot numbers, in a small file.

Rules:
- Nothing biometric and no name: the templates are in the module, and a row is a subject's keyed
  hash (`SubjectHasher.local`), its slot and whether it may be searched for as staff.
- A change is written beside the file, forced to the disk and renamed over it: a power cut leaves
  the old table or the new one.
- The file is read again when it changed. One that cannot be read enrols nobody.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from agent import log

__all__ = ["EnrolmentTable", "Row", "TableError"]

FINGERS_EACH: Final = 4
LARGEST: Final = 1 << 20
_log = log.get(__name__)


class TableError(ValueError):
    """The table cannot be read or changed; one line for the operator."""


class Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One slot in use.

    Attributes:
        slot: in the module's library.
        subject: keyed hash, 32 hexadecimal digits.
        staff: whether a search without a code may find it.
    """

    slot: Annotated[int, Meta(ge=0, le=65_535)]
    subject: Annotated[str, Meta(pattern=r"^[0-9a-f]{32}$")]
    staff: bool = False


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: Literal[1]
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class _Read:
    stamp: tuple[int, int, int]
    rows: dict[int, Row]


class EnrolmentTable:
    """The table of one gate.

    Args:
        path: of the file; it need not exist.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._last = _Read((0, 0, 0), {})

    def rows(self) -> tuple[Row, ...]:
        """Return the slots in use, in order.

        Raises:
            TableError: the file cannot be read or is no table.
        """
        return tuple(sorted(self._current().values(), key=lambda row: row.slot))

    def slots_of(self, subject: str) -> tuple[int, ...]:
        """Return the slots of a subject; none where the table cannot be read, which is logged."""
        try:
            return tuple(row.slot for row in self.rows() if row.subject == subject)
        except TableError as error:
            _log.error("nobody counts as enrolled", fault=str(error))
            return ()

    def at(self, slot: int) -> Row | None:
        """Return who is in a slot.

        Raises:
            TableError: the file cannot be read.
        """
        return self._current().get(slot)

    def put(self, row: Row) -> None:
        """Add a row, or replace that of its slot.

        Raises:
            TableError: the subject has its fill of fingers, or the file cannot be written.
        """
        kept = [old for old in self.rows() if old.slot != row.slot]
        if sum(old.subject == row.subject for old in kept) >= FINGERS_EACH:
            raise TableError(f"{FINGERS_EACH} fingers of this subject are enrolled already")
        self._write([*kept, row])

    def remove(self, slots: Iterable[int]) -> None:
        """Take rows out.

        Raises:
            TableError: the file cannot be written.
        """
        gone = set(slots)
        self._write([row for row in self.rows() if row.slot not in gone])

    def _current(self) -> dict[int, Row]:
        try:
            status = self._path.stat()
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise TableError(f"{self._path}: {error.strerror}") from error
        stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
        if stamp != self._last.stamp:
            self._last = _Read(stamp, self._read())
        return self._last.rows

    def _read(self) -> dict[int, Row]:
        try:
            with self._path.open("rb") as file:
                table = msgspec.json.decode(file.read(LARGEST), type=_File)
        except OSError as error:
            raise TableError(f"{self._path}: {error.strerror}") from error
        except msgspec.MsgspecError as error:
            raise TableError(f"{self._path}: {error}") from error
        return {row.slot: row for row in table.rows}

    def _write(self, rows: list[Row]) -> None:
        whole = msgspec.json.encode(_File(1, tuple(sorted(rows, key=lambda row: row.slot))))
        scratch = self._path.with_name(f"{self._path.name}.{os.getpid()}.new")
        try:
            with open(scratch, "wb", opener=_private) as file:
                file.write(whole)
                file.flush()
                os.fsync(file.fileno())
            scratch.replace(self._path)
            directory = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(directory)
            finally:
                os.close(directory)
        except OSError as error:
            scratch.unlink(missing_ok=True)
            raise TableError(f"{self._path}: {error.strerror}") from error


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
