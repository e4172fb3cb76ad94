"""The open faults: what is journaled of them, how often, and what is open now."""

from __future__ import annotations

import io
import json

import pytest

from agent import log
from agent.journal.events import Fault
from agent.journal.faults import Faults
from agent.journal.journal import JournalFull
from tests.agent.journal.conftest import FakeClock


class Journal:
    """Keeps rows, or is full."""

    def __init__(self) -> None:
        self.full = False
        self.rows: list[Fault] = []

    def append(self, event: Fault) -> int:
        if self.full:
            raise JournalFull("9 events wait for the collector")
        self.rows.append(event)
        return len(self.rows)


@pytest.fixture
def journal() -> Journal:
    return Journal()


@pytest.fixture
def told() -> list[tuple[int, Fault]]:
    return []


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(0.0)


@pytest.fixture
def faults(journal, told, clock) -> Faults:
    return Faults(journal, lambda seq, event: told.append((seq, event)), clock)


def test_a_fault_is_journaled_once_and_its_end_with_the_count(faults, journal, told):
    for detail in ("first", "second", "third"):
        faults.begin("camera", "timeout", detail)
    assert journal.rows == [Fault(part="camera", code="timeout", detail="first")]
    faults.end("camera", "timeout")
    faults.end("camera", "timeout")
    faults.begin("camera", "timeout")
    faults.end("camera", "timeout")
    assert journal.rows[1:] == [
        Fault(part="camera", code="timeout", active=False, count=3),
        Fault(part="camera", code="timeout"),
        Fault(part="camera", code="timeout", active=False, count=1),
    ]
    assert told == list(enumerate(journal.rows, 1))


def test_an_end_without_a_beginning_is_nothing(faults, journal):
    faults.end("camera", "timeout")
    assert journal.rows == []


def test_each_part_and_code_is_a_fault_of_its_own(faults, journal):
    for part, code in (("camera", "timeout"), ("camera", "gone"), ("scan", "timeout")):
        faults.begin(part, code)
    assert faults.now() == ("camera:timeout", "camera:gone", "scan:timeout")
    faults.end("camera", "gone")
    assert faults.now() == ("camera:timeout", "scan:timeout")
    assert len(journal.rows) == 4


def test_what_happens_again_and_again_is_one_row_a_minute_with_the_count(faults, journal, clock):
    for now in (0.0, 1.0, 59.9, 60.0, 60.1, 120.0, 300.0):
        clock.now = now
        faults.happened("scan", "hung", f"at {now}")
    assert journal.rows == [
        Fault(part="scan", code="hung", active=False, detail="at 0.0", count=1),
        Fault(part="scan", code="hung", active=False, detail="at 60.0", count=3),
        Fault(part="scan", code="hung", active=False, detail="at 120.0", count=2),
        Fault(part="scan", code="hung", active=False, detail="at 300.0", count=1),
    ]
    assert faults.now() == ()


def test_each_part_and_code_has_a_minute_of_its_own(faults, journal, told):
    for part, code in (("scan", "hung"), ("scan", "crashed"), ("face", "hung"), ("scan", "hung")):
        faults.happened(part, code)
    assert [(row.part, row.code, row.detail) for row in journal.rows] == [
        ("scan", "hung", ""), ("scan", "crashed", ""), ("face", "hung", ""),
    ]  # fmt: skip
    assert told == list(enumerate(journal.rows, 1))


def test_a_minute_is_one_of_the_machines_own_clock_where_none_is_given(journal):
    faults = Faults(journal, lambda *_: None)
    faults.happened("scan", "hung")
    faults.happened("scan", "hung")
    assert len(journal.rows) == 1


@pytest.mark.parametrize("say", [Faults.begin, Faults.happened])
def test_a_long_detail_is_cut_to_what_a_row_may_hold(faults, journal, say):
    say(faults, "config", "fits", "x" * 200)
    say(faults, "config", "cut", "x" * 200 + "y")
    assert [row.detail for row in journal.rows] == ["x" * 200, "x" * 200]


def test_a_fault_that_cannot_be_journaled_is_logged_and_stays_open(faults, journal, told):
    stream = io.StringIO()
    log.configure(style="json", stream=stream)
    journal.full = True
    faults.begin("camera", "timeout")
    line = json.loads(stream.getvalue())
    assert (line["level"], line["event"]) == ("error", "a fault could not be journaled")
    assert (line["part"], line["fault"]) == (
        "camera", "JournalFull: 9 events wait for the collector",
    )  # fmt: skip
    assert faults.now() == ("camera:timeout",)
    assert told == []
    journal.full = False
    faults.end("camera", "timeout")
    assert journal.rows == [Fault(part="camera", code="timeout", active=False, count=1)]


def test_a_fault_that_others_journal_is_only_kept(faults, journal, told):
    stuck = Fault(part="passage", code="sensor_stuck")
    faults.note(stuck)
    faults.note(stuck)
    faults.begin("camera", "timeout")
    assert faults.now() == ("passage:sensor_stuck", "camera:timeout")
    for _ in range(2):
        faults.note(Fault(part="passage", code="sensor_stuck", active=False))
    assert faults.now() == ("camera:timeout",)
    assert [row.part for row in journal.rows] == [event.part for _, event in told] == ["camera"]


def test_a_fault_that_others_journal_counts_once(faults, journal):
    faults.note(Fault(part="passage", code="sensor_stuck"))
    faults.end("passage", "sensor_stuck")
    assert journal.rows == [Fault(part="passage", code="sensor_stuck", active=False, count=1)]
