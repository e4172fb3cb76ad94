"""Finds and erases what a journal holds of one person, by the site's key.

Rules:
- A person is known by issuer and identifier, as the credential said them; with the site's key they
  make the HMACs that the journal holds (`agent.journal.subjects`), rotated by the day or not.
- Erased is what says who: `subject` goes out of a row, and the person's place, lockout and
  give-backs go altogether. The row itself stays, with time, gate and reason: that somebody passed
  is no longer about anybody. A table `erased` names the rows that were changed.
- The row after an erased one still carries the hash of the row as it was, so that a chain of rows
  stays whole. That is why the newest row, which nothing follows yet, is left until one does.
- Rows that wait for the collector are left too: it must receive what was recorded.
- The daemon may run meanwhile: transactions are short, since its decisions wait for them.
- Deleted bytes are overwritten (`secure_delete`) and the write-ahead log is emptied; then the files
  are searched. Where a trace is left in them, only a rewriting (`VACUUM`) takes it out, which needs
  the journal for itself.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from agent.journal.browse import WAIT_S, Entry, Filter, entries, looking, refused
from agent.journal.model import JournalFailed, Position
from agent.journal.schema import Lock
from agent.journal.subjects import SubjectHasher

__all__ = ["Erased", "Found", "Person", "erase", "find"]

DAY_S = 86_400.0
BATCH = 32
"""Rows in a transaction."""
PAUSE_S = 0.02
"""Between two transactions, for a daemon that wants to write."""
CHUNK = 1 << 20
_COUNT = {
    "presence": "SELECT count(*) FROM presence WHERE subject = ?",
    "failures": "SELECT count(*) FROM failures WHERE subject = ?",
    "given_back": "SELECT count(*) FROM given_back WHERE subject = ?",
    "holder": "SELECT count(*) FROM holder WHERE subject = ?",
}
"""What the journal remembers of a person beside its rows, by the subject's HMAC."""
_FORGET = (
    "DELETE FROM presence WHERE subject = ?",
    "DELETE FROM failures WHERE subject = ?",
    "DELETE FROM given_back WHERE subject = ?",
    "DELETE FROM holder WHERE subject = ?",
)
_MARKS = (
    "CREATE TABLE IF NOT EXISTS erased(boot INTEGER NOT NULL, seq INTEGER NOT NULL,"
    " at REAL NOT NULL, PRIMARY KEY(boot, seq)) WITHOUT ROWID"
)

_PLACE = "SELECT zone, direction FROM presence WHERE subject = ?"
_WITHOUT = "UPDATE event SET data = ? WHERE boot = ? AND seq = ?"
_MARK = "INSERT OR REPLACE INTO erased VALUES(?, ?, ?)"
_UNMARK_FREED = (
    "DELETE FROM erased WHERE NOT EXISTS (SELECT 1 FROM event"
    " WHERE event.boot = erased.boot AND event.seq = erased.seq)"
)
_BEGIN, _COMMIT = "BEGIN IMMEDIATE", "COMMIT"
_REWRITE, _EMPTY_LOG = "VACUUM", "PRAGMA wal_checkpoint(TRUNCATE)"
_OVERWRITE, _IN_MEMORY = "PRAGMA secure_delete = ON", "PRAGMA temp_store = MEMORY"


class Person:
    """One person, as the journal may name them.

    Args:
        key: the site's key, 32 bytes.
        issuer: the issuer's name in the trust set.
        subject: the identifier inside the issuer's realm.

    Raises:
        SubjectKeyError: the key has the wrong length.
    """

    def __init__(self, key: bytes, issuer: str, subject: str) -> None:
        self._who = issuer, subject
        self._daily = SubjectHasher(key, rotate_daily=True)
        hasher = SubjectHasher(key)
        self.local = hasher.local(issuer, subject)
        self._steady = hasher.reported(issuer, subject, at=0.0)
        self._days: dict[int, str] = {}

    def names(self, time_us: int) -> frozenset[str]:
        """Return what a row of that time may call the person.

        A passage that began before midnight may end after it.
        """
        day = int(time_us / 1e6 // DAY_S)
        return frozenset({self._steady, self._of(day - 1), self._of(day)})

    def _of(self, day: int) -> str:
        if day not in self._days:
            self._days[day] = self._daily.reported(*self._who, at=max(0, day) * DAY_S)
        return self._days[day]


@dataclass(frozen=True, slots=True)
class Found:
    """What a journal holds of a person.

    Attributes:
        rows: that name the person, in order.
        memory: rows of the other tables, by table.
        zone, direction: where the person was last seen to pass, where that is remembered.
        newest: position of the journal's newest row.
    """

    rows: tuple[Entry, ...]
    memory: dict[str, int]
    zone: str
    direction: str
    newest: Position

    @property
    def waiting(self) -> int:
        """How many of the rows wait for the collector."""
        return sum(entry.waits for entry in self.rows)


@dataclass(frozen=True, slots=True)
class Erased:
    """What was erased, and what was not.

    Attributes:
        rows: that no longer say who.
        memory: rows of other tables that are gone.
        waiting: rows left since they wait for the collector.
        newest: whether the journal's newest row is the person's and was left.
        traces: places in the files in which a name of the person still stands though no row has it.
    """

    rows: int = 0
    memory: int = 0
    waiting: int = 0
    newest: bool = False
    traces: int = 0


def find(path: Path, person: Person) -> Found:
    """Return what the journal holds of a person.

    Raises:
        JournalFailed: it cannot be read.
    """
    with looking(path) as db:
        rows, newest = [], Position(0, 0)
        for entry in entries(db, Filter()):
            newest = entry.position
            if entry.data.get("subject") in person.names(entry.time_us):
                rows.append(entry)
        memory = {
            table: db.execute(count, (person.local,)).fetchone()[0]
            for table, count in _COUNT.items()
        }
        place = db.execute(_PLACE, (person.local,)).fetchone()
    zone, direction = place or ("", "")
    return Found(tuple(rows), memory, zone, direction, newest)


def erase(path: Path, person: Person, *, collected: bool) -> Erased:
    """Erase what says who.

    Args:
        path: the journal.
        person: whom.
        collected: whether a collector is to receive the rows: those that wait for it are left.

    Raises:
        JournalFailed: the disk refuses, or a daemon writes without a pause.
    """
    found = find(path, person)
    rows = [
        entry
        for entry in found.rows
        if entry.position != found.newest and not (collected and entry.waits)
    ]
    with _writing(path) as db:
        db.execute(_MARKS)
        for at in range(0, len(rows), BATCH):
            with _transaction(db):
                for entry in rows[at : at + BATCH]:
                    _anonymise(db, entry)
            time.sleep(PAUSE_S)
        with _transaction(db):
            memory = sum(db.execute(forget, (person.local,)).rowcount for forget in _FORGET)
            db.execute(_UNMARK_FREED)
        alone = _alone(path)
        if alone is not None:
            with contextlib.closing(alone):
                db.execute(_REWRITE)
        db.execute(_EMPTY_LOG).fetchone()
    left = tuple(entry for entry in found.rows if entry not in rows)
    names = {str(entry.data["subject"]) for entry in found.rows} | {person.local}
    standing = {str(entry.data["subject"]) for entry in left}
    return Erased(
        rows=len(rows),
        memory=memory,
        waiting=sum(entry.waits for entry in left) if collected else 0,
        newest=any(entry.position == found.newest for entry in left),
        traces=_traces(path, names - standing),
    )


def _anonymise(db: sqlite3.Connection, entry: Entry) -> None:
    data = {name: value for name, value in entry.data.items() if name != "subject"}
    db.execute(
        _WITHOUT,
        (json.dumps(data, separators=(",", ":")).encode(), *entry.position),
    )
    db.execute(_MARK, (*entry.position, time.time()))


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[sqlite3.Connection]:
    with (
        refused(path),
        contextlib.closing(sqlite3.connect(path, isolation_level=None, timeout=WAIT_S)) as db,
    ):
        db.execute(_OVERWRITE).fetchone()
        db.execute(_IN_MEMORY)
        yield db


@contextlib.contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[None]:
    """Commit what is done inside; a failure ends the connection, and with it the transaction."""
    db.execute(_BEGIN)
    yield
    db.execute(_COMMIT)


def _alone(path: Path) -> Lock | None:
    """Take the journal's lock where no daemon has it."""
    try:
        return Lock(path.with_name(path.name + ".lock"))
    except JournalFailed:
        return None


def _traces(path: Path, names: set[str]) -> int:
    """Count where names still stand in the journal's files."""
    wanted = [name.encode() for name in names]
    return sum(
        _count(file, wanted) for file in (path, path.with_name(path.name + "-wal")) if file.exists()
    )


def _count(file: Path, wanted: list[bytes]) -> int:
    count, overlap = 0, max((len(name) for name in wanted), default=1) - 1
    with file.open("rb") as stream:
        tail = b""
        while chunk := stream.read(CHUNK):
            text = tail + chunk
            count += sum(text.count(name) for name in wanted)
            tail = text[-overlap:] if overlap else b""
    return count
