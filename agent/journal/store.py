"""The journal's connections, counters and outbox: the half of it that the reporter reads.

Rules:
- Four connections: the writer (FULL), the marker of acknowledgements (NORMAL: no sync of its own),
  and two read-only ones, for quick questions and for the reporter, which never wait for a writer.
- The counters of every boot and the hash of the newest row are kept in memory and follow the disk:
  they change after a commit, and are read again after a commit that failed.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from agent.journal.chain import START, Link
from agent.journal.model import BootState, JournalFailed, Position, Row
from agent.journal.schema import Lock, connect

__all__ = ["BootCounters", "Clock", "Store"]

_WEAKER = {"FULL": "NORMAL", "OFF": "OFF"}
"""What an acknowledgement needs, by what a row needs."""
_KEEP_BOOTS = 256
_CHECKPOINT_ROWS = 256
_START = Position(0, 0)
_NEWEST = (
    "SELECT previous, boot_id, seq, type, time_us, data FROM event JOIN boot ON number = boot"
    " ORDER BY boot DESC, seq DESC LIMIT 1"
)

Clock = Callable[[], float]


@dataclass(slots=True)
class BootCounters:
    """Counters of one daemon run; `freed` <= `acknowledged` <= `last`."""

    number: int
    boot_id: str
    acknowledged: int
    freed: int
    last: int


class Store:
    """What `agent.journal.journal.Journal` stands on; not made by itself.

    Attributes:
        boot_id: this run.
        path: the database.
    """

    def __init__(
        self,
        writer: sqlite3.Connection,
        *,
        path: Path,
        lock: Lock,
        capacity: int,
        boot_id: str,
        clock: Clock,
        synchronous: str,
    ) -> None:
        self.path = path
        self.boot_id = boot_id
        self._file_lock = lock
        self._clock = clock
        self._capacity = capacity
        self._writer = writer
        weaker = _WEAKER[synchronous]
        self._write_lock = threading.Lock()
        self._quick_lock = threading.Lock()
        self._read_lock = threading.Lock()
        self._boots: dict[str, BootCounters]  # as `_load` finds them
        self._newest: bytes
        self._stale: bool
        self._closed = False
        self._listener: Callable[[], None] | None = None
        self._since_checkpoint = 0
        with contextlib.ExitStack() as opened:  # the three stay open, or none does
            self._marker = connect(path, synchronous=weaker)
            opened.callback(self._marker.close)
            self._quick = connect(path, synchronous=weaker, readonly=True)
            opened.callback(self._quick.close)
            self._reader = connect(path, synchronous=weaker, readonly=True)
            opened.callback(self._reader.close)
            self._load()
            opened.pop_all()

    # -- outbox -------------------------------------------------------------------------------

    def head(self) -> Position:
        """Return the position of the newest row."""
        boot = self._boots[self.boot_id]
        return Position(boot.number, boot.last)

    def first_pending(self) -> Position | None:
        """Return the position of the oldest row that is not free."""
        for boot in list(self._boots.values()):
            if boot.acknowledged < boot.last:
                return Position(boot.number, boot.acknowledged + 1)
        return None

    def unacknowledged(self) -> int:
        """Return how many rows wait for the collector."""
        return sum(boot.last - boot.acknowledged for boot in list(self._boots.values()))

    def boots(self) -> list[BootState]:
        """Return the boots that have rows waiting, and the current one, oldest first."""
        return [
            BootState(boot.boot_id, boot.last, boot.acknowledged)
            for boot in list(self._boots.values())
            if boot.acknowledged < boot.last or boot.boot_id == self.boot_id
        ]

    def pending(
        self, *, after: Position = _START, upto: Position | None = None, limit: int = 100
    ) -> list[Row]:
        """Return rows that are not free, after < position <= upto, in order.

        Raises:
            JournalFailed: the disk refuses.
        """
        end = self.head() if upto is None else upto
        rows: list[Row] = []
        for boot in list(self._boots.values()):
            if after.boot <= boot.number <= end.boot:
                low = max(boot.acknowledged, after.seq if boot.number == after.boot else 0)
                high = min(boot.last, end.seq) if boot.number == end.boot else boot.last
                rows += self._rows(boot, low + 1, high, limit - len(rows))
        return rows

    def replay(self, boot_id: str, first: int, last: int, limit: int = 100) -> list[Row]:
        """Return rows of one boot with first <= seq <= last, free or not, if still there.

        Any numbers will do: they are a command's.

        Raises:
            JournalFailed: the disk refuses.
        """
        boot = self._boots.get(boot_id)
        return [] if boot is None else self._rows(boot, max(first, 1), min(last, boot.last), limit)

    def before(self, limit: int) -> list[Row]:
        """Return the newest rows of the runs before this one, newest first, free or not.

        Raises:
            JournalFailed: the disk refuses.
        """
        rows: list[Row] = []
        for boot in reversed(list(self._boots.values())):
            if boot.boot_id != self.boot_id:
                left = limit - len(rows)
                rows += reversed(self._rows(boot, boot.last - left + 1, boot.last, left))
        return rows

    def acknowledge(self, boot_id: str, seq: int) -> int:
        """Free the boot's rows up to `seq`; a lower or unknown one changes nothing.

        Returns:
            How many rows became free.

        Raises:
            ValueError: `seq` was never given out; believing it would free rows to come.
            JournalFailed: the disk refuses.
        """
        with self._write_lock:
            boot = self._boots.get(boot_id)
            if boot is None or seq <= boot.acknowledged:
                return 0
            if seq > boot.last:
                raise ValueError(f"seq {seq} of {boot_id} was never written")
            with self._transaction(self._marker) as db:
                db.execute("UPDATE boot SET acknowledged = ? WHERE number = ?", (seq, boot.number))
            freed = seq - boot.acknowledged
            boot.acknowledged = seq
        return freed

    def maintain(self) -> None:
        """Fold the write-ahead log back when it has grown; writers do not wait meanwhile."""
        if self._since_checkpoint < _CHECKPOINT_ROWS:
            return
        self._since_checkpoint = 0
        with self._read_lock:
            self._checkpoint(self._reader)

    def listen(self, callback: Callable[[], None] | None) -> None:
        """Call `callback`, which must not block or raise, after each new row; None ends that."""
        self._listener = callback

    def announce(self) -> None:
        """Tell the listener that there are new rows."""
        if self._listener is not None:
            self._listener()

    def close(self) -> None:
        """Close the files; may be called twice."""
        with self._write_lock, self._quick_lock, self._read_lock:
            if self._closed:
                return
            self._closed = True
            for db in (self._quick, self._reader, self._marker, self._writer):
                db.close()
            self._file_lock.close()

    def __enter__(self) -> Self:
        """Return the journal; leaving the block closes it."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    # -- inside -------------------------------------------------------------------------------

    def _load(self) -> None:
        """Read the counters of every boot and the chain's end; begin this run where it is new."""
        db = self._writer
        boots: dict[str, BootCounters] = {}
        for number, boot_id, acknowledged, freed in db.execute(
            "SELECT number, boot_id, acknowledged, freed FROM boot ORDER BY number"
        ).fetchall():
            last = db.execute("SELECT max(seq) FROM event WHERE boot = ?", (number,)).fetchone()[0]
            boots[boot_id] = BootCounters(
                number, boot_id, acknowledged, freed, max(last or 0, acknowledged)
            )
        if self.boot_id not in boots:
            with self._transaction(db):
                self._forget_old_boots(db, boots)
                number = 1 + max((boot.number for boot in boots.values()), default=0)
                db.execute(
                    "INSERT INTO boot(number, boot_id, started_us) VALUES(?, ?, ?)",
                    (number, self.boot_id, int(self._clock() * 1_000_000)),
                )
            boots[self.boot_id] = BootCounters(number, self.boot_id, 0, 0, 0)
        newest = db.execute(_NEWEST).fetchone()
        self._newest = START if newest is None else Link(*newest).digest
        self._boots = boots  # in one step: other threads read it without a lock
        self._stale = False

    @staticmethod
    def _forget_old_boots(db: sqlite3.Connection, boots: dict[str, BootCounters]) -> None:
        """Drop the counters of long-gone boots without rows, so that the table stays small."""
        empty = [boot for boot in boots.values() if boot.freed == boot.last]
        for boot in empty[:-_KEEP_BOOTS]:
            db.execute("DELETE FROM boot WHERE number = ?", (boot.number,))
            del boots[boot.boot_id]

    @contextlib.contextmanager
    def _transaction(self, db: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
        """Run statements as one transaction, the caller holding the write lock.

        Raises:
            JournalFailed: SQLite refused. Whether a failed COMMIT reached the disk is not known, so
                the counters are read again before the next write.
        """
        if self._closed:
            raise JournalFailed("the journal is closed")
        try:
            db.execute("BEGIN IMMEDIATE")
            yield db
            db.commit()
        except sqlite3.Error as error:
            self._stale = True
            self._roll_back(db)
            raise JournalFailed(f"{self.path.name}: {error}") from error
        except BaseException:
            self._roll_back(db)
            raise

    @staticmethod
    def _roll_back(db: sqlite3.Connection) -> None:
        """Leave the transaction, if SQLite has not left it by itself."""
        with contextlib.suppress(sqlite3.Error):
            db.rollback()

    def _reload(self) -> None:
        try:
            self._load()
        except sqlite3.Error as error:
            raise JournalFailed(f"{self.path.name}: {error}") from error

    def _checkpoint(self, db: sqlite3.Connection) -> None:
        """Copy the log into the database; a failure leaves the log, and shows in writes."""
        with contextlib.suppress(sqlite3.Error):
            db.execute("PRAGMA wal_checkpoint(PASSIVE)")

    def _ask(self, sql: str, values: tuple[object, ...]) -> tuple[Any, ...] | None:
        with self._quick_lock:
            if self._closed:
                raise JournalFailed("the journal is closed")
            try:
                found: tuple[Any, ...] | None = self._quick.execute(sql, values).fetchone()
            except sqlite3.Error as error:
                raise JournalFailed(f"{self.path.name}: {error}") from error
        return found

    def _rows(self, boot: BootCounters, first: int, last: int, limit: int) -> list[Row]:
        if first > last or limit <= 0:
            return []
        with self._read_lock:
            if self._closed:
                raise JournalFailed("the journal is closed")
            try:
                found = self._reader.execute(
                    "SELECT seq, type, time_us, data, previous FROM event"
                    " WHERE boot = ? AND seq BETWEEN ? AND ? ORDER BY seq LIMIT ?",
                    (boot.number, first, last, limit),
                ).fetchall()
            except sqlite3.Error as error:
                raise JournalFailed(f"{self.path.name}: {error}") from error
        return [
            Row(Position(boot.number, seq), boot.boot_id, seq, kind, time_us, data, previous)
            for seq, kind, time_us, data, previous in found
        ]
