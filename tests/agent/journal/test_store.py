"""The journal's counters, its outbox, and what a disk that fails does to both."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from agent.journal.events import Decision, Fault
from agent.journal.journal import Journal, JournalFailed
from agent.journal.model import BootState, Position, Row
from agent.reason import Reason
from tests.agent.journal.conftest import T0
from tests.support.databases import edited

AA, BB, CC = "aa" * 16, "bb" * 16, "cc" * 16
DENIAL = Decision(passage="ab" * 16, decision="denied", reason=Reason.EXPIRED)
GRANT = Decision(passage="ab" * 16, decision="granted", reason=Reason.GRANTED)


def fill(journal: Journal, rows: int) -> Journal:
    for _ in range(rows):
        journal.append(DENIAL)
    return journal


def written(make, **rows_of: int) -> Journal:
    """Return a journal with boots of so many rows each; the last of them is open."""
    *before, (last, rows) = rows_of.items()
    for name, count in before:
        fill(make(boot_id=name * 16), count).close()
    return fill(make(boot_id=last * 16), rows)


def sql(path: Path, statement: str, *values: object) -> list[tuple]:
    with edited(path) as db:
        found = db.execute(statement, values).fetchall()
    db.close()
    return found


def places(rows: list[Row]) -> list[tuple[int, int]]:
    return [tuple(row.position) for row in rows]


# --- rows and positions


def test_a_row_is_whole(make, clock):
    journal = written(make, aa=1, bb=0)
    clock.now = T0 + 0.25
    fault = Fault(part="camera", code="timeout")
    journal.append(fault)
    assert journal.pending()[1] == Row(
        position=Position(2, 1),
        boot_id=BB,
        seq=1,
        type="fault",
        time_us=1_800_000_000_250_000,
        data=b'{"part":"camera","code":"timeout"}',
        previous=journal.pending()[0].digest,
    )
    assert "camera" not in repr(journal.pending()[1])


def test_head_is_the_newest_row_of_this_run(make):
    journal = written(make, aa=3, bb=0)
    assert journal.head() == Position(2, 0)
    journal.append(DENIAL)
    assert journal.head() == Position(2, 1)


def test_what_waits_is_counted_over_all_boots(make):
    journal = written(make, aa=3, bb=2)
    assert (journal.first_pending(), journal.unacknowledged()) == (Position(1, 1), 5)
    assert journal.acknowledge(AA, 3) == 3
    assert (journal.first_pending(), journal.unacknowledged()) == (Position(2, 1), 2)
    assert journal.acknowledge(BB, 1) == 1
    assert (journal.first_pending(), journal.unacknowledged()) == (Position(2, 2), 1)
    assert journal.acknowledge(BB, 2) == 1
    assert (journal.first_pending(), journal.unacknowledged()) == (None, 0)


def test_boots_are_those_that_wait_and_the_current_one(make):
    journal = written(make, aa=3, bb=2, cc=0)
    journal.acknowledge(AA, 1)
    assert journal.boots() == [BootState(AA, 3, 1), BootState(BB, 2, 0), BootState(CC, 0, 0)]
    journal.acknowledge(AA, 3)
    assert journal.boots() == [BootState(BB, 2, 0), BootState(CC, 0, 0)]


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({}, [(1, 2), (1, 3), (2, 1), (2, 2), (3, 1)]),
        ({"after": Position(1, 1)}, [(1, 2), (1, 3), (2, 1), (2, 2), (3, 1)]),
        ({"after": Position(1, 2)}, [(1, 3), (2, 1), (2, 2), (3, 1)]),
        ({"after": Position(1, 3)}, [(2, 1), (2, 2), (3, 1)]),
        ({"after": Position(2, 1)}, [(2, 2), (3, 1)]),
        ({"after": Position(3, 1)}, []),
        ({"upto": Position(2, 1)}, [(1, 2), (1, 3), (2, 1)]),
        ({"upto": Position(1, 9)}, [(1, 2), (1, 3)]),
        ({"after": Position(1, 2), "upto": Position(2, 1)}, [(1, 3), (2, 1)]),
        ({"limit": 0}, []),
        ({"limit": 2}, [(1, 2), (1, 3)]),
        ({"limit": 3}, [(1, 2), (1, 3), (2, 1)]),
        ({"limit": 5}, [(1, 2), (1, 3), (2, 1), (2, 2), (3, 1)]),
    ],
)
def test_pending_is_what_is_not_free_after_and_upto(make, asked, found):
    journal = written(make, aa=3, bb=2, cc=1)
    journal.acknowledge(AA, 1)
    assert places(journal.pending(**asked)) == found


def test_a_hundred_rows_at_once_unless_told_otherwise(make):
    journal = written(make, aa=101)
    assert len(journal.pending()) == 100
    assert len(journal.replay(AA, 1, 101)) == 100


@pytest.mark.parametrize(
    ("boot", "first", "last", "limit", "found"),
    [
        (AA, 1, 3, 9, [(1, 1), (1, 2), (1, 3)]),
        (AA, 0, 1, 9, [(1, 1)]),
        (AA, 2, 2, 9, [(1, 2)]),
        (AA, 3, 2, 9, []),
        (AA, 1, 9, 2, [(1, 1), (1, 2)]),
        (AA, 1, 9, 1, [(1, 1)]),
        (AA, 1, 9, 0, []),
        (AA, 1, 9, -1, []),
        (BB, 1, 9, 9, [(2, 1)]),
        (CC, 1, 9, 9, []),
    ],
)
def test_a_replay_is_of_one_boot_free_or_not(make, boot, first, last, limit, found):
    journal = written(make, aa=3, bb=1)
    journal.acknowledge(AA, 2)
    assert places(journal.replay(boot, first, last, limit)) == found


@pytest.mark.parametrize(
    ("limit", "found"),
    [
        (0, []),
        (1, [(2, 2)]),
        (2, [(2, 2), (2, 1)]),
        (3, [(2, 2), (2, 1), (1, 3)]),
        (5, [(2, 2), (2, 1), (1, 3), (1, 2), (1, 1)]),
        (9, [(2, 2), (2, 1), (1, 3), (1, 2), (1, 1)]),
    ],
)
def test_before_is_the_newest_rows_of_earlier_runs(make, limit, found):
    journal = written(make, aa=3, bb=2, cc=1)
    journal.acknowledge(AA, 3)
    assert places(journal.before(limit)) == found


@pytest.mark.parametrize(("seq", "freed"), [(-1, 0), (0, 0), (2, 0), (3, 1), (4, 2)])
def test_an_acknowledgement_frees_what_it_adds_and_is_kept(make, seq, freed):
    journal = written(make, aa=4)
    journal.acknowledge(AA, 2)
    assert journal.acknowledge(AA, seq) == freed
    journal.close()
    assert make(boot_id=BB).unacknowledged() == 2 - freed


def test_an_acknowledgement_of_rows_to_come_is_refused_by_name(make):
    journal = written(make, aa=4, bb=9)
    with pytest.raises(ValueError, match=f"^seq 5 of {AA} was never written$"):
        journal.acknowledge(AA, 5)
    assert journal.acknowledge(CC, 1) == 0


# --- the counters at a start


@pytest.mark.parametrize(
    ("acknowledged", "freed", "kept", "head"),
    [(2, 0, 3, 3), (3, 3, 0, 3), (7, 5, 3, 7), (7, 7, 0, 7), (0, 0, 0, 0)],
)
def test_a_boot_goes_on_after_all_that_it_ever_wrote(make, acknowledged, freed, kept, head):
    """Rows that were freed, or a collector's word that outlived them, were given out too."""
    journal = written(make, aa=kept)
    journal.close()
    sql(journal.path, "UPDATE boot SET acknowledged = ?, freed = ?", acknowledged, freed)
    journal = make(boot_id=AA)
    assert journal.head() == Position(1, head)
    assert len(journal) == head - freed
    assert journal.append(DENIAL) == head + 1


def test_a_boot_is_numbered_after_the_last_and_dated(make, clock):
    journal = written(make, aa=0, bb=0)
    clock.now = T0 + 1.5
    journal.close()
    make(boot_id=CC).close()
    assert sql(journal.path, "SELECT * FROM boot ORDER BY number") == [
        (1, AA, 1_800_000_000_000_000, 0, 0),
        (2, BB, 1_800_000_000_000_000, 0, 0),
        (3, CC, 1_800_000_001_500_000, 0, 0),
    ]


def test_the_newest_256_boots_without_rows_are_remembered_and_all_with_rows(make):
    journal = written(make, aa=1)
    journal.close()
    with edited(journal.path) as db:
        db.executemany(
            "INSERT INTO boot(number, boot_id, started_us) VALUES(?, ?, 0)",
            ((number, f"{number:032x}") for number in range(2, 261)),
        )
    db.close()
    journal = make(boot_id=BB)
    numbers = [number for (number,) in sql(journal.path, "SELECT number FROM boot ORDER BY number")]
    assert numbers == [1, *range(5, 261), 261]
    assert [boot.number for boot in journal._boots.values()] == numbers
    assert journal.head() == Position(261, 0)


# --- connections and files


@pytest.mark.parametrize(("synchronous", "writer", "others"), [("FULL", 2, 1), ("OFF", 0, 0)])
def test_rows_survive_a_power_cut_and_acknowledgements_need_not(make, synchronous, writer, others):
    """What an acknowledgement loses costs a second delivery; it must not cost a sync."""
    journal = make(synchronous=synchronous)
    found = {
        name: tuple(
            getattr(journal, name).execute(f"PRAGMA {pragma}").fetchone()[0]
            for pragma in ("synchronous", "query_only")
        )
        for name in ("_writer", "_marker", "_quick", "_reader")
    }
    assert found == {
        "_writer": (writer, 0), "_marker": (others, 0), "_quick": (others, 1),
        "_reader": (others, 1),
    }  # fmt: skip


def test_closing_lets_go_of_every_file(make, tmp_path):
    def held() -> set[str]:
        links = [entry for entry in Path("/proc/self/fd").iterdir() if entry.is_symlink()]
        return {str(entry.readlink()) for entry in links if entry.is_symlink()}

    with make() as journal:
        journal.append(DENIAL)
        journal.pending()
        assert journal.was_used(b"use") is False
        assert f"{journal.path}.lock" in held()
    assert not any(name.startswith(str(tmp_path)) for name in held())


def test_what_is_closed_says_so(make):
    journal = make()
    journal.append(DENIAL)
    journal.close()
    for call in (
        journal.pending,
        lambda: journal.was_used(b"use"),
        lambda: journal.append(DENIAL),
        lambda: journal.acknowledge(journal.boot_id, 1),
    ):
        with pytest.raises(JournalFailed, match=r"^the journal is closed$"):
            call()


def test_the_log_is_folded_back_when_256_rows_are_new(make, tmp_path):
    def size() -> int:
        return (tmp_path / "journal.sqlite").stat().st_size

    journal = make()
    for _ in range(2):
        before = size()
        fill(journal, 255)
        journal.maintain()
        assert size() == before
        journal.append(DENIAL)
        journal.maintain()
        assert size() > before


def test_the_log_is_folded_back_by_the_writer_where_nobody_maintains(make, tmp_path):
    def size() -> int:
        return (tmp_path / "journal.sqlite").stat().st_size

    journal = make()
    for _ in range(2):
        fill(journal, 100)
        before = size()
        journal._since_checkpoint += 3_994  # stands for as many rows
        journal.append(DENIAL)
        assert size() == before
        journal.append(DENIAL)
        assert size() > before


# --- a disk that fails


class Failing:
    """A connection whose statements fail as told: before they reach the disk, or after."""

    def __init__(self, db: sqlite3.Connection, word: str, *, after: bool = False) -> None:
        self.db, self.word, self.after = db, word, after

    def execute(self, sql: str, *values: object) -> sqlite3.Cursor:
        fails = sql.startswith(self.word)
        if not fails or self.after:
            found = self.db.execute(sql, *values)
        if fails:
            raise sqlite3.OperationalError("disk I/O error")
        return found

    def commit(self) -> None:
        if self.word != "COMMIT" or self.after:
            self.db.commit()
        if self.word == "COMMIT":
            raise sqlite3.OperationalError("disk I/O error")

    def __getattr__(self, name: str) -> object:
        return getattr(self.db, name)


def spoil(
    journal: Journal, connection: str, word: str, *, after: bool = False
) -> sqlite3.Connection:
    """Have a connection fail; return the whole one."""
    whole = getattr(journal, connection)
    setattr(journal, connection, Failing(whole, word, after=after))
    return whole


SAID = r"^journal\.sqlite: disk I/O error$"


@pytest.mark.parametrize(("after", "following"), [(False, 2), (True, 3)])
def test_a_commit_that_failed_may_have_reached_the_disk_all_the_same(make, after, following):
    journal = written(make, aa=1)
    whole = spoil(journal, "_writer", "COMMIT", after=after)
    with pytest.raises(JournalFailed, match=SAID):
        journal.commit_use(b"use", 2**40, GRANT)
    journal._writer = whole
    assert journal.append(DENIAL) == following
    assert [row.seq for row in journal.pending()] == list(range(1, following + 1))
    assert journal.was_used(b"use") is after


@pytest.mark.parametrize("word", ["BEGIN", "INSERT INTO used", "INSERT INTO event"])
def test_a_statement_that_failed_leaves_nothing_behind(make, word):
    journal = written(make, aa=1)
    whole = spoil(journal, "_writer", word)
    with pytest.raises(JournalFailed, match=SAID):
        journal.commit_use(b"use", 2**40, GRANT)
    journal._writer = whole
    assert journal.commit_use(b"use", 2**40, GRANT) == 2


def test_counters_that_cannot_be_read_again_are_a_failure_until_they_can(make):
    journal = written(make, aa=1)
    whole = spoil(journal, "_writer", "COMMIT")
    with pytest.raises(JournalFailed):
        journal.append(DENIAL)
    journal._writer = Failing(whole, "SELECT")
    for _ in range(2):
        with pytest.raises(JournalFailed, match=SAID):
            journal.append(DENIAL)
    journal._writer = whole
    assert journal.append(DENIAL) == 2


def test_an_acknowledgement_that_failed_frees_nothing(make):
    journal = written(make, aa=3)
    whole = spoil(journal, "_marker", "COMMIT")
    with pytest.raises(JournalFailed, match=SAID):
        journal.acknowledge(AA, 2)
    assert journal.unacknowledged() == 3
    journal._marker = whole
    assert journal.acknowledge(AA, 2) == 2
    spoil(journal, "_marker", "BEGIN")
    assert journal.acknowledge(AA, 2) == 0, "known already, so nothing to write"


@pytest.mark.parametrize(
    ("connection", "ask"),
    [
        ("_quick", lambda journal: journal.was_used(b"use")),
        ("_quick", lambda journal: journal.last_zone("s")),
        ("_quick", lambda journal: journal.locked_until("s", limit=1)),
        ("_reader", lambda journal: journal.pending()),
    ],
)
def test_a_question_that_the_disk_does_not_answer_is_a_failure(make, connection, ask):
    """Never an answer such as: not used."""
    journal = written(make, aa=1)
    spoil(journal, connection, "SELECT")
    with pytest.raises(JournalFailed, match=SAID):
        ask(journal)


@pytest.mark.parametrize("limit", [0, -1])
def test_where_no_row_is_wanted_the_disk_is_not_asked(make, limit):
    journal = written(make, aa=1, bb=1)
    spoil(journal, "_reader", "SELECT")
    assert journal.pending(limit=limit) == journal.before(limit) == []


def test_a_log_that_cannot_be_folded_back_stops_nobody(make):
    journal = written(make, aa=256)
    spoil(journal, "_reader", "PRAGMA")
    journal.maintain()
    assert journal.append(DENIAL) == 257
