"""The journal's tables, and how its file is opened, checked and set aside.

Rules:
- WAL, `synchronous=FULL`: a committed row survives a power cut. Freed marks alone are written with
  `NORMAL`: losing one costs a second delivery, which the collector ignores.
- A database that does not answer its own integrity check is moved aside, never repaired in place
  and never deleted while it is one of the two newest; a new one is begun.
- The check has a time limit, so that a large journal on a slow card does not delay the gate; pages
  it did not reach are still checked by SQLite when they are read.
- One process a journal: a second one would count `seq` on its own.
- A journal of version 1 is taken over where it lies: its rows stand before the chain's beginning.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import time
from pathlib import Path

from agent.journal.chain import START
from agent.journal.model import JournalFailed

__all__ = ["Lock", "connect", "open_checked"]

VERSION = 2
CHECK_LIMIT_S = 1.0
_CHECK_STEPS = 10_000
"""SQLite's own instructions between two looks at the clock."""
BUSY_S = 1.0
"""Longest wait for another process that writes, such as a hand-opened shell: a decision may take
three seconds to the disk, and several rows in turn must not make the deciding loop look stuck."""
_LOG_BYTES = 4 * 2**20
"""The write-ahead log's file is cut to this when it was folded back."""
_KEEP_ASIDE = 2
_SUFFIXES = ("", "-wal", "-shm")

_TABLES = f"""
CREATE TABLE IF NOT EXISTS boot(
  number INTEGER PRIMARY KEY,
  boot_id TEXT NOT NULL UNIQUE,
  started_us INTEGER NOT NULL,
  acknowledged INTEGER NOT NULL DEFAULT 0,
  freed INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS event(
  boot INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  type TEXT NOT NULL,
  time_us INTEGER NOT NULL,
  data BLOB NOT NULL,
  previous BLOB NOT NULL DEFAULT X'{START.hex()}',
  PRIMARY KEY(boot, seq)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS used(
  replay_key BLOB PRIMARY KEY,
  until INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS used_until ON used(until);
CREATE TABLE IF NOT EXISTS presence(
  subject TEXT PRIMARY KEY,
  zone TEXT NOT NULL,
  direction TEXT NOT NULL,
  at REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS presence_at ON presence(at);
CREATE TABLE IF NOT EXISTS failures(
  subject TEXT PRIMARY KEY,
  count INTEGER NOT NULL,
  until REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS given_back(
  use BLOB PRIMARY KEY,
  subject TEXT NOT NULL,
  at REAL NOT NULL,
  until REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS given_back_until ON given_back(until);
CREATE INDEX IF NOT EXISTS given_back_subject ON given_back(subject, at);
CREATE TABLE IF NOT EXISTS holder(
  one INTEGER PRIMARY KEY CHECK(one = 1),
  passage TEXT NOT NULL,
  subject TEXT NOT NULL,
  zone TEXT NOT NULL,
  direction TEXT NOT NULL,
  at REAL NOT NULL
);
"""
_CHAINED = f"ALTER TABLE event ADD COLUMN previous BLOB NOT NULL DEFAULT X'{START.hex()}';"
"""From version 1 to 2."""


class Lock:
    """An advisory lock beside the journal, held as long as the daemon runs.

    Attributes:
        begun: whether a journal was begun beside it before: then its file is not empty.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise JournalFailed(f"{path}: {error.strerror}") from error
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._fd)
            raise JournalFailed(f"{path}: another process writes this journal") from error
        self._held = True
        self.begun = os.fstat(self._fd).st_size > 0

    def begin(self) -> None:
        """Remember that there is a journal; a start that failed before leaves no trace.

        Raises:
            JournalFailed: the disk refuses.
        """
        if self.begun:
            return
        try:
            os.write(self._fd, b"begun\n")
            os.fsync(self._fd)
        except OSError as error:
            raise JournalFailed(f"{self._path}: {error.strerror}") from error
        self.begun = True

    def close(self) -> None:
        """Let go; may be called twice."""
        if self._held:
            self._held = False
            os.close(self._fd)


def connect(path: Path, *, synchronous: str, readonly: bool = False) -> sqlite3.Connection:
    """Open one connection; transactions are begun by hand.

    Args:
        path: the database.
        synchronous: FULL for what must survive, NORMAL for marks, OFF for simulations.
        readonly: refuse writes on this connection.
    """
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=BUSY_S)
    try:
        db.executescript(
            f"PRAGMA synchronous={synchronous}; PRAGMA wal_autocheckpoint=0;"
            f"PRAGMA temp_store=MEMORY; PRAGMA query_only={int(readonly)};"
        )
    except BaseException:
        db.close()
        raise
    return db


def open_checked(path: Path, *, synchronous: str, now: float) -> tuple[sqlite3.Connection, str]:
    """Open the journal for writing; begin a new one where the file is damaged.

    Returns:
        The connection, and the name of the file set aside, or "" when all was well.

    Raises:
        JournalFailed: the directory cannot be written, or the disk is full.
    """
    try:
        return _open(path, synchronous), ""
    except sqlite3.DatabaseError as error:
        if not _is_damage(error):
            raise JournalFailed(f"{path}: {error}") from error
    aside = _set_aside(path, now)
    try:
        return _open(path, synchronous), aside
    except sqlite3.Error as error:
        raise JournalFailed(f"{path}: {error}") from error


def _open(path: Path, synchronous: str) -> sqlite3.Connection:
    db = connect(path, synchronous=synchronous)
    try:
        version = _require_format(db)
        _check(db)
        change = _CHAINED if version == 1 else ""
        db.executescript(
            f"BEGIN IMMEDIATE;{change}{_TABLES}PRAGMA user_version={VERSION};COMMIT;"
            f"PRAGMA journal_size_limit={_LOG_BYTES};"
        )
    except BaseException:
        db.close()
        raise
    return db


def _require_format(db: sqlite3.Connection) -> int:
    """Return the version of the file, 0 where it is new."""
    mode = db.execute("PRAGMA journal_mode=WAL").fetchone()[0]
    if mode != "wal":
        raise JournalFailed(f"the write-ahead log is refused, journal mode is {mode}")
    version: int = db.execute("PRAGMA user_version").fetchone()[0]
    if not 0 <= version <= VERSION:
        raise JournalFailed(f"the journal is of version {version}, this program writes {VERSION}")
    return version


def _check(db: sqlite3.Connection) -> None:
    """Run SQLite's quick check for a limited time."""
    end = time.monotonic() + CHECK_LIMIT_S
    db.set_progress_handler(lambda: time.monotonic() > end, _CHECK_STEPS)
    try:
        rows = db.execute("PRAGMA quick_check(1)").fetchall()
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
            raise
        return
    finally:
        db.set_progress_handler(None, _CHECK_STEPS)
    if rows != [("ok",)]:
        raise sqlite3.DatabaseError(f"damaged: {rows[0][0] if rows else 'no answer'}")


def _is_damage(error: sqlite3.DatabaseError) -> bool:
    """Tell damage of the file from a disk that is full, gone or read-only."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
    return code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _set_aside(path: Path, now: float) -> str:
    """Rename the database and its log; keep the newest few, so that the disk stays bounded."""
    stem = f"{path.name}.corrupt-{int(now * 1000):015d}"
    try:
        for suffix in _SUFFIXES:
            part = path.with_name(path.name + suffix)
            if part.exists():
                part.rename(path.with_name(stem + suffix))
        old = sorted(
            found.name
            for found in path.parent.glob(f"{path.name}.corrupt-*")
            if not found.name.endswith(("-wal", "-shm"))
        )
        for name in old[:-_KEEP_ASIDE]:
            for suffix in _SUFFIXES:
                path.with_name(name + suffix).unlink(missing_ok=True)
    except OSError as error:
        raise JournalFailed(
            f"{path}: damaged, and cannot be set aside: {error.strerror}"
        ) from error
    return stem
