"""A journal read from outside: which rows, in which order, and what is said where it cannot be."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from agent.journal.browse import Entry, Filter, entries, looking, refused
from agent.journal.events import Decision, Fault
from agent.journal.journal import Journal
from agent.journal.model import JournalFailed, Position
from agent.reason import Reason
from tests.agent.journal.conftest import T0, FakeClock


def decide(journal: Journal, reason: Reason) -> None:
    word = "granted" if reason is Reason.GRANTED else "denied"
    journal.append(Decision(passage="0" * 32, decision=word, reason=reason))  # type: ignore[arg-type]


@pytest.fixture
def path(make, clock: FakeClock, tmp_path: Path) -> Path:
    """Two boots: four rows a second apart, two of them acknowledged; then one."""
    journal = make(boot_id="a" * 32)
    for reason in (Reason.GRANTED, Reason.EXPIRED, Reason.STALE):
        decide(journal, reason)
        clock.now += 1
    journal.append(Fault(part="camera", code="reopened"))
    journal.acknowledge("a" * 32, 2)
    journal.close()
    clock.now += 1
    decide(make(boot_id="b" * 32), Reason.EXPIRED)
    return tmp_path / "journal.sqlite"


def read(path: Path, wanted: Filter, **options: bool) -> list[Entry]:
    with looking(path) as db:
        return list(entries(db, wanted, **options))


def test_a_row_is_whole_and_in_order_beside_an_open_journal(path) -> None:
    rows = read(path, Filter())
    assert [row.position for row in rows] == [*(Position(1, n) for n in (1, 2, 3, 4)), (2, 1)]
    assert [row.waits for row in rows] == [False, False, True, True, True]
    assert [row.boot_id[0] for row in rows] == list("aaaab")
    first = rows[0]
    assert (first.type, first.time_us) == ("decision", int(T0 * 1e6))
    assert first.data == {"passage": "0" * 32, "decision": "granted", "reason": "granted"}
    assert first.raw == b'{"passage":"%s","decision":"granted","reason":"granted"}' % (b"0" * 32)
    assert read(path, Filter(), newest_first=True) == rows[::-1]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (Filter(), 5),
        (Filter(since=T0), 5),
        (Filter(since=T0 + 1), 4),
        (Filter(until=T0 - 1), 0),
        (Filter(until=T0), 1),
        (Filter(since=T0 + 1, until=T0 + 2), 2),
        (Filter(types=("fault",)), 1),
        (Filter(types=("fault", "decision")), 5),
        (Filter(reasons=("expired",)), 2),
        (Filter(reasons=("expired", "stale")), 3),
        (Filter(reasons=("expired",), until=T0 + 1), 1),
        (Filter(reasons=("expired",), types=("fault",)), 0),
    ],
)
def test_only_what_is_wanted(path, wanted, found) -> None:
    assert len(read(path, wanted)) == found


def test_the_second_counts_and_not_its_parts(make, clock, tmp_path) -> None:
    clock.now = T0 + 0.999_9
    decide(make(), Reason.STALE)
    path = tmp_path / "journal.sqlite"
    assert len(read(path, Filter(since=T0, until=T0))) == 1
    assert read(path, Filter(since=T0 + 1)) == []


@pytest.mark.parametrize("raw", [b"no JSON", b"[]", b"7", b"\xff\xff"])
def test_a_row_of_another_world_is_still_a_row(path, raw) -> None:
    with sqlite3.connect(path) as db:
        db.execute("UPDATE event SET data = ? WHERE boot = 2", (raw,))
    db.close()
    (row,) = read(path, Filter(since=T0 + 4))
    assert (row.raw, row.data) == (raw, {})


def test_a_journal_that_is_not_there(tmp_path) -> None:
    with pytest.raises(JournalFailed, match=r"/none: no journal; the daemon makes it at its first"):
        read(tmp_path / "none", Filter())
    assert not (tmp_path / "none").exists()


def test_a_damaged_one_is_named_with_what_becomes_of_it(tmp_path) -> None:
    path = tmp_path / "journal #1?.sqlite"
    path.write_bytes(b"no database" * 1_000)
    with pytest.raises(JournalFailed, match=r"not a database; the daemon sets it aside"):
        read(path, Filter())


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (sqlite3.SQLITE_CORRUPT, "x: wrong; the daemon sets it aside at its next start"),
        (sqlite3.SQLITE_NOTADB, "x: wrong; the daemon sets it aside at its next start"),
        (sqlite3.SQLITE_CANTOPEN, "x: wrong; call it as the daemon's user"),
        (sqlite3.SQLITE_READONLY, "x: wrong; call it as the daemon's user"),
        (sqlite3.SQLITE_READONLY | 1 << 8, "x: wrong; call it as the daemon's user"),
        (sqlite3.SQLITE_BUSY, "x: wrong; another program writes: try again"),
        (sqlite3.SQLITE_IOERR, "x: wrong"),
        (None, "x: wrong"),
    ],
)
def test_what_sqlite_refuses_is_one_line(code, said) -> None:
    error = sqlite3.DatabaseError("wrong")
    if code is not None:
        error.sqlite_errorcode = code
    with pytest.raises(JournalFailed) as told, refused(Path("x")):
        raise error
    assert str(told.value) == said


def test_nothing_can_be_written(path) -> None:
    with pytest.raises(JournalFailed, match="readonly"), looking(path) as db:
        db.execute("DELETE FROM event")
