"""One person's rows: found by the site's key alone, and gone from every file when erased."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from agent.journal.browse import Filter, entries, looking
from agent.journal.events import Decision, Fault, Passage
from agent.journal.journal import Journal
from agent.journal.model import GiveBack, JournalFailed, Position, Way
from agent.journal.person import BATCH, DAY_S, Person, _traces, erase, find
from agent.journal.subjects import SubjectHasher, SubjectKeyError
from agent.reason import Reason
from tests.agent.journal.conftest import T0, FakeClock

KEY, OTHER_KEY = bytes(range(32)), bytes(32)
ADA, BOB = ("city", "4711"), ("city", "4712")


def local(who: tuple[str, str]) -> str:
    return SubjectHasher(KEY).local(*who)


def visit(journal: Journal, who: tuple[str, str], at: float, *, rotate: bool = False) -> None:
    """Write what a gate writes of a visit, an earlier failure and a use given back."""
    subject = SubjectHasher(KEY, rotate_daily=rotate).reported(*who, at=at)
    way = Way(local(who), "main", "in")
    granted = Decision(
        passage="1" * 32, decision="granted", reason=Reason.GRANTED, subject=subject,
        profile="library", total_ms=1.5,
    )  # fmt: skip
    journal.add_failure(local(who), limit=3, lockout_s=1e9)
    use = who[1].encode() * 4
    journal.commit_use(use, int(at) + 10, granted, way)
    annulled = Decision(
        passage="1" * 32, decision="annulled", reason=Reason.NO_PASSAGE, subject=subject
    )
    journal.annul_use(use, annulled, GiveBack(use, local(who), at + 1e6))
    passed = Passage(passage="1" * 32, outcome="passed", subject=subject)
    journal.record_passage(passed, way)


def person(who: tuple[str, str] = ADA, key: bytes = KEY) -> Person:
    return Person(key, *who)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite"


@pytest.fixture
def journal(make, clock: FakeClock) -> Journal:
    made = make()
    for who in (ADA, BOB):
        visit(made, who, clock.now)
    return made


def bytes_of(path: Path) -> bytes:
    return b"".join(file.read_bytes() for file in path.parent.glob("journal.sqlite*"))


def data(path: Path) -> list[dict]:
    with looking(path) as db:
        return [entry.data for entry in entries(db, Filter())]


def test_everything_of_a_person_is_found_and_nothing_of_another(journal, path) -> None:
    found = find(path, person())
    assert [entry.position for entry in found.rows] == [(1, 1), (1, 2), (1, 3)]
    assert found.memory == {"presence": 1, "failures": 1, "given_back": 1, "holder": 0}
    assert (found.zone, found.direction, found.newest) == ("main", "in", Position(1, 6))
    assert found.waiting == 3
    journal.acknowledge(journal.boot_id, 2)
    assert find(path, person()).waiting == 1
    assert find(path, person(BOB)).memory["holder"] == 1, "the last grant was Bob's"


@pytest.mark.parametrize(
    "nobody",
    [person(("city", "4713")), person(("town", "4711")), person(ADA, OTHER_KEY)],
    ids=["identifier", "issuer", "key"],
)
def test_who_was_never_here_is_not_found(journal, path, nobody) -> None:
    found = find(path, nobody)
    assert (found.rows, found.zone, found.direction) == ((), "", "")
    assert set(found.memory.values()) == {0}


def test_a_key_of_another_length_is_none() -> None:
    with pytest.raises(SubjectKeyError):
        person(key=b"short")


@pytest.mark.parametrize("day", [0, 1, 40])
def test_names_that_change_by_the_day_are_found(make, clock, path, day) -> None:
    clock.now += day * DAY_S
    journal = make()
    visit(journal, ADA, clock.now, rotate=True)
    clock.now += 60 * DAY_S
    visit(journal, BOB, clock.now, rotate=True)
    assert [entry.position.seq for entry in find(path, person()).rows] == [1, 2, 3]


@pytest.mark.parametrize(("late_s", "rows"), [(0, 3), (DAY_S, 3), (2 * DAY_S, 0)])
def test_a_passage_over_midnight_is_found(make, clock, path, late_s, rows) -> None:
    """The name is the first day's where the passage began then; two days on it is nobody's."""
    name_at, clock.now = clock.now, clock.now + late_s
    visit(make(), ADA, name_at, rotate=True)
    assert len(find(path, person()).rows) == rows


def test_the_first_day_has_none_before_it() -> None:
    hasher = SubjectHasher(KEY, rotate_daily=True)
    assert hasher.reported(*ADA, at=0) in person().names(0)
    assert len(person().names(0)) == 2
    assert len(person().names(int(DAY_S * 1e6))) == 3


@pytest.mark.parametrize("runs", [True, False], ids=["daemon runs", "daemon stopped"])
def test_what_says_who_is_gone_from_every_file(make, clock, path, runs) -> None:
    journal = make()
    for turn in range(BATCH):  # several transactions, several pages
        visit(journal, ADA, clock.now)
        visit(journal, BOB, clock.now)
        clock.now += turn
    before = data(path)
    names = {row["subject"] for row in before if "subject" in row}
    ada = {person().local, *(names & person().names(int(T0 * 1e6)))}
    assert all(name.encode() in bytes_of(path) for name in ada)
    if not runs:
        journal.close()
    done = erase(path, person(), collected=False)
    assert (done.rows, done.memory) == (3 * BATCH, 3)
    assert (done.waiting, done.newest) == (0, False)
    assert done.traces == 0
    assert {file.name for file in path.parent.iterdir()} <= {
        path.name, f"{path.name}-wal", f"{path.name}-shm", f"{path.name}.lock",
    }  # fmt: skip
    assert not any(name.encode() in bytes_of(path) for name in ada)
    after = data(path)
    assert after == [
        {name: value for name, value in row.items() if value not in ada} for row in before
    ]
    assert len([row for row in after if "subject" in row]) == 3 * BATCH
    gone = find(path, person())
    assert (gone.rows, set(gone.memory.values())) == ((), {0})
    assert find(path, person(BOB)).memory["presence"] == 1


def test_a_trace_that_is_left_is_told_and_a_stopped_daemon_takes_it_out(journal, path) -> None:
    """A reader that stands in the log keeps what was there before."""
    reader = sqlite3.connect(path)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM event").fetchone()
    reported = {str(entry.data["subject"]) for entry in find(path, person()).rows}
    done = erase(path, person(), collected=False)
    assert done.rows == 3
    standing = [bytes_of(path).count(name.encode()) for name in reported | {local(ADA)}]
    assert done.traces == sum(standing) > 0
    reader.close()
    journal.close()
    again = erase(path, person(), collected=False)
    assert (again.rows, again.memory) == (0, 0)
    assert local(ADA).encode() not in bytes_of(path)


def test_the_journal_goes_on_while_and_after(journal, path) -> None:
    erase(path, person(), collected=False)
    assert journal.append(Fault(part="camera", code="reopened")) == 7
    assert journal.last_zone(local(ADA)) is None
    assert journal.last_zone(local(BOB)) is not None
    rows = journal.pending()
    assert [row.seq for row in rows] == [1, 2, 3, 4, 5, 6, 7]
    assert rows[0].data == (
        b'{"passage":"%s","decision":"granted","reason":"granted","profile":"library",'
        b'"total_ms":1.5}' % (b"1" * 32)
    )


def test_erased_rows_are_named_until_they_are_freed(journal, path) -> None:
    erase(path, person(), collected=False)
    erase(path, person(BOB), collected=False)

    def marks() -> list[tuple[int, int]]:
        with looking(path) as db:
            return db.execute("SELECT boot, seq FROM erased ORDER BY seq").fetchall()

    assert marks() == [(1, 1), (1, 2), (1, 3), (1, 4), (1, 5)]
    with sqlite3.connect(path) as db:
        db.execute("DELETE FROM event WHERE seq <= 2")
    db.close()
    erase(path, person(BOB), collected=False)
    assert marks() == [(1, 3), (1, 4), (1, 5)]


def test_the_newest_row_stays_until_one_follows(journal, path) -> None:
    done = erase(path, person(BOB), collected=False)
    assert (done.rows, done.newest, done.memory, done.waiting) == (2, True, 4, 0)
    assert done.traces == 0, "the name stands in a row that was left: no trace"
    assert [entry.position.seq for entry in find(path, person(BOB)).rows] == [6]
    journal.append(Fault(part="camera", code="reopened"))
    again = erase(path, person(BOB), collected=False)
    assert (again.rows, again.newest, again.memory) == (1, False, 0)


@pytest.mark.parametrize(
    ("collected", "acknowledged", "rows", "waiting"),
    [(True, 0, 0, 3), (True, 1, 1, 2), (True, 3, 3, 0), (False, 0, 3, 0)],
)
def test_rows_that_wait_for_a_collector_stay(
    journal, path, collected, acknowledged, rows, waiting
) -> None:
    journal.acknowledge(journal.boot_id, acknowledged)
    done = erase(path, person(), collected=collected)
    assert (done.rows, done.waiting, done.memory) == (rows, waiting, 3)
    assert len(find(path, person()).rows) == waiting


def test_nobody_is_erased_where_nobody_is(journal, path) -> None:
    before = data(path)
    done = erase(path, person(("city", "nobody")), collected=False)
    assert (done.rows, done.memory, done.newest, done.waiting, done.traces) == (0, 0, False, 0, 0)
    assert data(path) == before


def test_a_refusal_in_the_middle_leaves_whole_transactions(journal, path) -> None:
    with sqlite3.connect(path) as db:
        db.execute(
            "CREATE TRIGGER stop BEFORE DELETE ON failures BEGIN SELECT RAISE(ABORT, 'no'); END"
        )
    db.close()
    with pytest.raises(JournalFailed, match=r"no$"):
        erase(path, person(), collected=False)
    assert find(path, person()).memory == {
        "presence": 1, "failures": 1, "given_back": 1, "holder": 0,
    }  # fmt: skip


def test_no_journal_is_none_to_erase(tmp_path) -> None:
    with pytest.raises(JournalFailed, match="no journal"):
        erase(tmp_path / "none", person(), collected=False)


@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 32, 1_000])
def test_a_trace_is_counted_once_wherever_it_stands(path, monkeypatch, chunk) -> None:
    monkeypatch.setattr("agent.journal.person.CHUNK", chunk)
    path.write_bytes(b"..aaab" + b"b" * 40 + b"aaab")
    path.with_name(f"{path.name}-wal").write_bytes(b"aaab.cccc")
    assert _traces(path, {"aaab", "cccc"}) == 4
    assert _traces(path, set()) == 0
    assert _traces(path, {"X", "XX"}) == 0, "nothing stands before the first byte"
    assert _traces(path, {"X"}) == 0, "nor between two pieces"
    assert _traces(path, {"c"}) == 4, "a name of one byte has no half of it to be kept"
    path.unlink()
    assert _traces(path, {"aaab"}) == 1


def test_an_empty_journal_holds_nobody(make, path) -> None:
    make()
    found = find(path, person())
    assert (found.rows, found.newest) == ((), Position(0, 0))
    assert erase(path, person(), collected=False).rows == 0
