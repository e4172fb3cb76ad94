"""The journal as somebody who looks reads it: beside a running daemon, and without writing to it.

The daemon's own way is `agent.journal.journal`; here nothing is locked, counted or mended.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

from agent.journal.model import JournalFailed, Position

__all__ = ["Entry", "Filter", "entries", "looking", "refused"]

WAIT_S = 5.0
"""Longest wait for a daemon that writes."""
_IN_ORDER = (
    "SELECT event.boot, event.seq, boot.boot_id, event.type, event.time_us,"
    " event.seq > boot.acknowledged, event.data FROM event JOIN boot"
    " ON boot.number = event.boot ORDER BY event.boot, event.seq"
)
_NEWEST_FIRST = (
    "SELECT event.boot, event.seq, boot.boot_id, event.type, event.time_us,"
    " event.seq > boot.acknowledged, event.data FROM event JOIN boot"
    " ON boot.number = event.boot ORDER BY event.boot DESC, event.seq DESC"
)


@dataclass(frozen=True, slots=True)
class Filter:
    """Which rows are wanted; what is left out is not asked.

    Attributes:
        since, until: Unix seconds, both within, to the second.
        types: kinds of rows.
        reasons: reason codes.
    """

    since: float = float("-inf")
    until: float = float("inf")
    types: Collection[str] = ()
    reasons: Collection[str] = ()

    def takes(self, entry: Entry) -> bool:
        """Return whether the row is wanted."""
        return (
            self.since <= entry.time_us // 1_000_000 <= self.until
            and (not self.types or entry.type in self.types)
            and (not self.reasons or entry.data.get("reason") in self.reasons)
        )


@dataclass(frozen=True, slots=True)
class Entry:
    """A row, read for people.

    Attributes:
        position: place in writing order.
        boot_id: the daemon run that wrote it.
        type: of the event.
        time_us: Unix time in microseconds.
        waits: whether the collector has not acknowledged it.
        raw: the event's JSON as it stands.
        data: the same, decoded; empty where it is no object.
    """

    position: Position
    boot_id: str
    type: str
    time_us: int
    waits: bool
    raw: bytes = field(repr=False)
    data: dict[str, Any] = field(repr=False)


connect = partial(sqlite3.connect, uri=True, isolation_level=None)


@contextlib.contextmanager
def looking(path: Path) -> Iterator[sqlite3.Connection]:
    """Open the journal for reading only.

    Raises:
        JournalFailed: it is not there, damaged, or cannot be read; also of the caller's questions.
    """
    if not path.is_file():
        raise JournalFailed(f"{path}: no journal; the daemon makes it at its first start")
    name = f"file:{quote(str(path.resolve()))}?mode=ro"
    with refused(path), contextlib.closing(connect(name, timeout=WAIT_S)) as db:
        yield db


@contextlib.contextmanager
def refused(path: Path) -> Iterator[None]:
    """Say in one line what SQLite refuses.

    Raises:
        JournalFailed: the line.
    """
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        what = {
            sqlite3.SQLITE_CORRUPT: "; the daemon sets it aside at its next start",
            sqlite3.SQLITE_NOTADB: "; the daemon sets it aside at its next start",
            sqlite3.SQLITE_CANTOPEN: "; call it as the daemon's user",
            sqlite3.SQLITE_READONLY: "; call it as the daemon's user",
            sqlite3.SQLITE_BUSY: "; another program writes: try again",
        }.get(code, "")
        raise JournalFailed(f"{path}: {error}{what}") from error


def entries(
    db: sqlite3.Connection, wanted: Filter, *, newest_first: bool = False
) -> Iterator[Entry]:
    """Yield the rows that are wanted, in writing order or against it."""
    rows = db.execute(_NEWEST_FIRST if newest_first else _IN_ORDER)
    for boot, seq, boot_id, kind, time_us, waits, raw in rows:
        entry = Entry(
            Position(boot, seq), boot_id, kind, time_us, bool(waits), bytes(raw),
            _decoded(raw),
        )  # fmt: skip
        if wanted.takes(entry):
            yield entry


def _decoded(raw: bytes) -> dict[str, Any]:
    """Return an event's fields; a row that is damaged, or of another version, has none."""
    with contextlib.suppress(ValueError):
        data = json.loads(raw)
        if isinstance(data, dict):
            return data
    return {}
