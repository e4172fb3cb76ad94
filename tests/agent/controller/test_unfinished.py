"""A grant that a crash cut short gets its end at the next start, on a real journal."""

from __future__ import annotations

import pytest

from agent.controller.unfinished import LOOK_BACK, end_unfinished
from agent.journal.events import Decision, Fault, Mode, Passage
from agent.journal.journal import RESERVE, Journal
from agent.journal.model import Way
from agent.passage.types import Occurrence
from agent.reason import Reason

FIRST, SECOND = "0" * 31 + "1", "0" * 31 + "2"
ENDS = (Occurrence.PASSED, Occurrence.ANNULLED, Occurrence.ABORTED)


def grant(passage: str = FIRST) -> Decision:
    return Decision(
        passage=passage, decision="granted", reason=Reason.GRANTED, zone="main", direction="in",
        subject="a" * 32,
    )  # fmt: skip


def denial(passage: str = SECOND) -> Decision:
    return Decision(passage=passage, decision="denied", reason=Reason.EXPIRED)


def passed(passage: str = FIRST, outcome: str = "passed") -> Passage:
    return Passage(passage=passage, outcome=outcome)


def annulment(passage: str = FIRST) -> Decision:
    return Decision(passage=passage, decision="annulled", reason=Reason.NO_PASSAGE, annuls=1)


CASES = [
    ("nothing at all", [], None),
    ("killed while open", [grant()], FIRST),
    ("killed before it opened", [denial(), grant()], FIRST),
    (
        "killed after an alarm",
        [grant(), passed(FIRST, "wrong_way"), Fault(part="x", code="y")],
        FIRST,
    ),
    ("passed", [grant(), passed()], None),
    ("annulled", [grant(), passed(FIRST, "annulled")], None),
    ("annulled, and only the decision was written", [grant(), annulment()], None),
    ("aborted", [grant(), passed(FIRST, "aborted")], None),
    ("passed, then tailgated and denied", [grant(), passed(), denial()], None),
    ("the second of two", [grant(), passed(), grant(SECOND)], SECOND),
    ("the end of another", [grant(), passed(SECOND)], FIRST),
    ("no grant", [denial(), Mode(mode="normal", cause="start")], None),
]


@pytest.fixture
def reopen(tmp_path):
    opened: list[Journal] = []

    def build() -> Journal:
        for journal in opened:
            journal.close()
        opened.append(Journal.open(tmp_path / "journal.sqlite", synchronous="OFF"))
        return opened[-1]

    yield build
    opened[-1].close()


@pytest.mark.parametrize(("what", "rows", "missing"), CASES, ids=[case[0] for case in CASES])
def test_what_is_missing_is_added_once(reopen, what, rows, missing):
    journal = reopen()
    for row in rows:
        journal.append(row)
    journal = reopen()
    assert end_unfinished(journal) is (missing is not None)
    if missing is not None:
        (row,) = journal.replay(journal.boot_id, 1, 1)
        import msgspec

        end = msgspec.json.decode(row.data, type=Passage)
        assert end == Passage(
            passage=missing, outcome="aborted", reason=Reason.INTERNAL_ERROR, zone="main",
            direction="in", subject="a" * 32, assumed=True,
        )  # fmt: skip
    journal = reopen()
    assert end_unfinished(journal) is False


def test_a_start_that_was_cut_short_too_is_made_up_for(reopen):
    reopen().append(grant())
    reopen()
    assert end_unfinished(reopen()) is True


def test_the_mark_stays_so_that_one_use_is_never_two_passages(reopen):
    reopen().commit_use(b"k" * 32, 2**40, grant())
    journal = reopen()
    end_unfinished(journal)
    assert journal.was_used(b"k" * 32)


def test_the_holder_went_where_the_grant_led(reopen):
    reopen().commit_use(b"k" * 32, 2**40, grant(), Way("s", "main", "in"))
    journal = reopen()
    assert journal.last_zone("s") is None
    assert end_unfinished(journal)
    assert journal.last_zone("s").direction == "in"


def test_the_holder_of_a_grant_that_ended_is_let_alone(reopen):
    journal = reopen()
    journal.commit_use(b"k" * 32, 2**40, grant(), Way("s", "main", "in"))
    journal.append(passed(FIRST, "annulled"))
    journal = reopen()
    assert not end_unfinished(journal)
    assert journal.last_zone("s") is None


def test_acknowledged_rows_are_looked_at_too_and_only_so_many(reopen):
    journal = reopen()
    journal.append(grant())
    journal.acknowledge(journal.boot_id, 1)
    journal = reopen()
    assert [row.type for row in journal.before(10)] == ["decision"]
    for _ in range(LOOK_BACK):
        journal.append(Fault(part="x", code="y"))
    journal = reopen()
    assert len(journal.before(LOOK_BACK)) == LOOK_BACK
    assert [row.seq for row in journal.before(3)] == [256, 255, 254]


def test_a_full_journal_does_not_keep_the_gate_from_starting(tmp_path):
    path = tmp_path / "journal.sqlite"
    first = Journal.open(path, synchronous="OFF", capacity=RESERVE + 5)
    for _ in range(4):
        first.append(denial())
    first.append(grant())
    for _ in range(RESERVE):
        first.append(Fault(part="x", code="y"))
    first.close()
    for room in (False, True):
        journal = Journal.open(path, synchronous="OFF", capacity=RESERVE + (100 if room else 5))
        assert end_unfinished(journal) is True
        assert len(journal.replay(journal.boot_id, 1, 9)) == int(room)
        journal.close()
