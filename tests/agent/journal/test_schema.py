"""The journal's file: its lock, its connections, its check, and damaged ones set aside."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from pathlib import Path
from types import SimpleNamespace

import pytest

from agent.journal import schema
from agent.journal.model import JournalFailed
from agent.journal.schema import Lock, connect, open_checked
from tests.agent.journal.conftest import T0

ASIDE = "journal.sqlite.corrupt-001800000000000"
"""Milliseconds in as many digits as sort well."""
DAMAGED = b"damaged " * 1_000


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "journal.sqlite"


def names(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


def open_files(folder: Path) -> list[str]:
    """Return the files below a folder that this process holds open."""
    found = []
    for entry in Path("/proc/self/fd").iterdir():
        try:
            found.append(entry.readlink())
        except FileNotFoundError:  # the listing's own
            continue
    return sorted(each.name for each in found if each.is_relative_to(folder))


# --- the lock


def test_a_lock_remembers_that_a_journal_was_begun(tmp_path):
    path = tmp_path / "lock"
    first = Lock(path)
    assert not first.begun
    first.begin()
    first.begin()
    assert first.begun
    first.close()
    first.close()
    assert path.read_bytes() == b"begun\n"
    assert path.stat().st_mode & 0o777 == 0o600
    second = Lock(path)
    assert second.begun
    second.begin()
    second.close()
    assert path.read_bytes() == b"begun\n"


def test_a_lock_lets_go_of_its_own_file_once(tmp_path, monkeypatch):
    """A second close would be of whatever has the number by then."""
    lock, closed, really = Lock(tmp_path / "lock"), [], os.close
    monkeypatch.setattr(os, "close", closed.append)
    lock.close()
    lock.close()
    monkeypatch.undo()
    assert closed == [lock._fd]
    really(lock._fd)


def test_a_lock_that_was_only_taken_remembers_nothing(tmp_path):
    Lock(tmp_path / "lock").close()
    lock = Lock(tmp_path / "lock")
    assert not lock.begun
    lock.close()


def test_a_begin_that_a_power_cut_left_half_written_is_remembered_too(tmp_path):
    (tmp_path / "lock").write_bytes(b"b")
    lock = Lock(tmp_path / "lock")
    assert lock.begun
    lock.close()


def test_that_a_journal_was_begun_is_on_the_disk_when_begin_returns(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", lambda fd: synced.append(os.fstat(fd).st_size))
    lock = Lock(tmp_path / "lock")
    lock.begin()
    lock.close()
    assert synced == [6]


def test_a_begin_that_the_disk_refuses_is_told_and_not_remembered(tmp_path, monkeypatch):
    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    lock = Lock(tmp_path / "lock")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(JournalFailed, match=f"^{tmp_path}/lock: No space left on device$"):
        lock.begin()
    assert not lock.begun
    lock.close()


def test_a_lock_is_one_process_s_and_free_again_when_it_lets_go(tmp_path):
    path = tmp_path / "lock"
    first = Lock(path)
    with pytest.raises(JournalFailed, match=f"^{path}: another process writes this journal$"):
        Lock(path)
    assert open_files(tmp_path) == ["lock"]
    first.close()
    Lock(path).close()
    assert open_files(tmp_path) == []


def test_a_lock_that_cannot_be_made_is_one_line(tmp_path):
    path = tmp_path / "nowhere" / "lock"
    with pytest.raises(JournalFailed, match=f"^{path}: No such file or directory$"):
        Lock(path)


def test_a_lock_ends_with_the_process_and_is_not_inherited(tmp_path):
    lock = Lock(tmp_path / "lock")
    assert fcntl.fcntl(lock._fd, fcntl.F_GETFD) & fcntl.FD_CLOEXEC
    lock.close()


# --- connections


@pytest.mark.parametrize(("synchronous", "level"), [("OFF", 0), ("NORMAL", 1), ("FULL", 2)])
@pytest.mark.parametrize("readonly", [False, True])
def test_a_connection_is_what_was_asked_for(path, synchronous, level, readonly):
    db = connect(path, synchronous=synchronous, readonly=readonly)
    pragmas = {
        "synchronous": level,
        "wal_autocheckpoint": 0,  # folded back where no decision waits
        "temp_store": 2,  # in memory
        "query_only": int(readonly),
        "busy_timeout": 1_000,  # milliseconds; a decision may take three seconds
    }
    assert {name: db.execute(f"PRAGMA {name}").fetchone()[0] for name in pragmas} == pragmas
    assert db.isolation_level is None
    db.close()


def test_a_connection_that_fails_is_let_go_of(path):
    path.write_bytes(DAMAGED)
    with pytest.raises(sqlite3.DatabaseError) as refused:
        connect(path, synchronous="OFF")
    assert open_files(path.parent) == [], refused.value


def test_a_connection_writes_unless_it_is_told_not_to(path):
    db = connect(path, synchronous="OFF")
    db.execute("CREATE TABLE t(x)")
    db.close()


# --- opening


def test_a_new_journal_is_write_ahead_bounded_and_of_this_version(path):
    db, aside = open_checked(path, synchronous="FULL", now=T0)
    pragmas = {
        "journal_mode": "wal", "synchronous": 2, "user_version": 2, "journal_size_limit": 4 * 2**20,
    }  # fmt: skip
    assert {name: db.execute(f"PRAGMA {name}").fetchone()[0] for name in pragmas} == pragmas
    assert aside == ""
    db.close()
    db, aside = open_checked(path, synchronous="OFF", now=T0)
    assert (aside, db.execute("PRAGMA synchronous").fetchone()) == ("", (0,))
    db.close()


@pytest.mark.parametrize("version", [-1, 3, 99])
def test_another_version_is_refused_and_let_go_of(path, version):
    db = sqlite3.connect(path)
    db.execute(f"PRAGMA user_version={version}")
    db.close()
    said = f"^the journal is of version {version}, this program writes 2$"
    with pytest.raises(JournalFailed, match=said) as refused:
        open_checked(path, synchronous="OFF", now=T0)
    assert open_files(path.parent) == [], refused.value


def test_a_journal_of_version_1_is_taken_over_where_it_lies(path):
    """Its rows stand before the chain's beginning; tables that came later are made beside them."""
    db = sqlite3.connect(path)
    db.executescript("""
        CREATE TABLE event(boot INTEGER NOT NULL, seq INTEGER NOT NULL, type TEXT NOT NULL,
          time_us INTEGER NOT NULL, data BLOB NOT NULL, PRIMARY KEY(boot, seq)) WITHOUT ROWID;
        INSERT INTO event VALUES(7, 1, 'fault', 5, X'7B7D');
        PRAGMA user_version=1;
    """)
    db.close()
    for _ in range(2):
        db, aside = open_checked(path, synchronous="OFF", now=T0)
        assert aside == ""
        assert db.execute("PRAGMA user_version").fetchone() == (2,)
        assert db.execute("SELECT * FROM event").fetchall() == [
            (7, 1, "fault", 5, b"{}", bytes(32))
        ]
        assert db.execute("SELECT count(*) FROM holder").fetchone() == (0,)
        db.execute(
            "INSERT INTO boot(number, boot_id, started_us) VALUES(NULL, hex(randomblob(8)), 1)"
        )
        db.close()


def test_a_disk_without_a_write_ahead_log_is_refused():
    """Memory has none; nor has a file system that cannot share memory."""
    db = sqlite3.connect(":memory:")
    said = "^the write-ahead log is refused, journal mode is memory$"
    with pytest.raises(JournalFailed, match=said):
        schema._require_format(db)
    db.close()


def failing(code: int | None) -> sqlite3.DatabaseError:
    error = sqlite3.DatabaseError("what SQLite said")
    if code is not None:
        error.sqlite_errorcode = code
    return error


@pytest.mark.parametrize(
    ("code", "damage"),
    [
        (None, True),  # our own, of the check
        (sqlite3.SQLITE_CORRUPT, True),
        (sqlite3.SQLITE_CORRUPT_INDEX, True),
        (sqlite3.SQLITE_NOTADB, True),
        (sqlite3.SQLITE_FULL, False),
        (sqlite3.SQLITE_IOERR_READ, False),
        (sqlite3.SQLITE_CANTOPEN, False),
        (sqlite3.SQLITE_READONLY, False),
        (sqlite3.SQLITE_BUSY, False),
    ],
)
def test_only_damage_sets_a_journal_aside(path, monkeypatch, code, damage):
    errors, really = [failing(code)], schema._open

    def fail_once(path: Path, synchronous: str) -> sqlite3.Connection:
        if errors:
            raise errors.pop()
        return really(path, synchronous)

    path.write_bytes(b"what was there")
    monkeypatch.setattr(schema, "_open", fail_once)
    if damage:
        db, aside = open_checked(path, synchronous="FULL", now=T0)
        assert (aside, db.execute("PRAGMA synchronous").fetchone()) == (ASIDE, (2,))
        db.close()
        assert (path.parent / aside).read_bytes() == b"what was there"
    else:
        with pytest.raises(JournalFailed, match=f"^{path}: what SQLite said$"):
            open_checked(path, synchronous="OFF", now=T0)
        assert names(path.parent) == ["journal.sqlite"]


def test_a_disk_that_refuses_the_new_one_too_is_told(path, monkeypatch):
    def fail(path: Path, synchronous: str) -> sqlite3.Connection:
        raise failing(sqlite3.SQLITE_NOTADB if path.exists() else sqlite3.SQLITE_FULL)

    path.write_bytes(DAMAGED)
    monkeypatch.setattr(schema, "_open", fail)
    with pytest.raises(JournalFailed, match=f"^{path}: what SQLite said$"):
        open_checked(path, synchronous="OFF", now=T0)
    assert names(path.parent) == [ASIDE]


def test_the_log_goes_with_its_database(path):
    """Left behind, it would be played into the new one."""
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).write_bytes(DAMAGED)
    assert schema._set_aside(path, T0) == ASIDE
    assert names(path.parent) == [ASIDE, f"{ASIDE}-shm", f"{ASIDE}-wal"]


def test_the_two_newest_stay_with_their_logs(path):
    kept = [f"journal.sqlite.corrupt-{number:015d}" for number in (1, 9, 10)]
    for name in kept:
        for suffix in ("", "-wal", "-shm"):
            path.with_name(name + suffix).write_bytes(b"old")
    path.write_bytes(DAMAGED)
    open_checked(path, synchronous="OFF", now=T0)[0].close()
    newest = kept[2]
    assert names(path.parent) == [
        "journal.sqlite", newest, f"{newest}-shm", f"{newest}-wal", ASIDE,
    ]  # fmt: skip


def test_a_damaged_one_that_cannot_be_moved_is_told(path, monkeypatch):
    def refused(_path: Path, _target: Path) -> None:
        raise OSError(30, "Read-only file system")

    path.write_bytes(DAMAGED)
    monkeypatch.setattr(Path, "rename", refused)
    said = f"^{path}: damaged, and cannot be set aside: Read-only file system$"
    with pytest.raises(JournalFailed, match=said):
        open_checked(path, synchronous="OFF", now=T0)
    assert path.read_bytes() == DAMAGED


# --- the check


@pytest.fixture
def damaged(path) -> Path:
    """A journal whose last row lost its data: the check reads all others before it."""
    db, _ = open_checked(path, synchronous="OFF", now=T0)
    db.execute("PRAGMA writable_schema=1")
    db.execute("UPDATE sqlite_master SET sql = replace(sql, 'data BLOB NOT NULL', 'data BLOB')")
    db.close()
    db = sqlite3.connect(path)
    rows = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 3000)"
    db.execute(
        f"INSERT INTO event(boot, seq, type, time_us, data) {rows} SELECT 1, i, 'decision', 0, iif(i < 3000, 'x', NULL) FROM n"
    )
    db.execute("PRAGMA writable_schema=1")
    db.execute("UPDATE sqlite_master SET sql = replace(sql, 'data BLOB', 'data BLOB NOT NULL')")
    db.commit()
    db.close()
    return path


def at(*times: float) -> SimpleNamespace:
    """A clock that says these times, and the last for ever."""
    left = list(times)
    return SimpleNamespace(monotonic=lambda: left.pop(0) if len(left) > 1 else left[0])


def test_the_check_goes_on_to_its_limit_and_finds_the_damage(damaged, monkeypatch):
    monkeypatch.setattr(schema, "time", at(50.0, 51.0))
    db, aside = open_checked(damaged, synchronous="OFF", now=T0)
    db.close()
    assert aside == ASIDE


def test_the_check_ends_at_its_limit_and_limits_nothing_after(damaged, monkeypatch):
    monkeypatch.setattr(schema, "time", at(50.0, 51.01))
    db, aside = open_checked(damaged, synchronous="OFF", now=T0)
    assert aside == ""
    count = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 20000)"
    assert db.execute(f"{count} SELECT count(*) FROM n").fetchone() == (20_000,)
    db.close()


class Answering:
    """A database that answers the check as told."""

    def __init__(self, answer: object) -> None:
        self.answer = answer

    def set_progress_handler(self, *_: object) -> None:
        """Nothing takes long here."""

    def execute(self, _sql: str) -> Answering:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self

    def fetchall(self) -> object:
        return self.answer


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (
            [("row 3 missing from index used_until",)],
            "damaged: row 3 missing from index used_until",
        ),
        ([], "damaged: no answer"),
    ],
)
def test_an_answer_other_than_ok_is_damage(answer, said):
    with pytest.raises(sqlite3.DatabaseError, match=f"^{said}$"):
        schema._check(Answering(answer))


def test_a_check_that_fails_for_another_reason_than_time_is_no_pass():
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR
    with pytest.raises(sqlite3.OperationalError, match="disk I/O error"):
        schema._check(Answering(error))
