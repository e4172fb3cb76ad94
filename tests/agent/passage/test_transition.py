"""How a grant ends and what it leaves behind, which codes count as judged, and the lockout."""

from __future__ import annotations

import pytest
from msgspec import structs

from agent.credential.model import Modality
from agent.passage.events import (
    Annul,
    BiometricDone,
    CloseGate,
    CodesSeen,
    Command,
    Committed,
    FireChanged,
    KeyTurned,
    OpenGate,
    PassageSensed,
    Record,
    Refused,
    ReleasePressed,
    Respond,
    Show,
    Shutdown,
    StaffFound,
    Tick,
    Verify,
)
from agent.passage.types import (
    Code,
    Direction,
    Failures,
    Mode,
    Occurrence,
    Phase,
    RecordKind,
    Requirement,
    Rules,
    Sensing,
    Signal,
    State,
    Use,
)
from agent.reason import Reason

MOMENT = 1 / 128
FACE, FINGER = Modality.FACE, Modality.FINGER
ANNA = Use("anna", Requirement.NONE, Direction.IN, b"mark-a")
READY, FIRE = Show(Signal.READY), Show(Signal.FIRE)


def end(what: Occurrence, reason: Reason | None = None, use: Use | None = ANNA, **data) -> Record:
    return Record(RecordKind.PASSAGE, what, reason, attempt=1, use=use, data=data)


# --- the end of a grant

WAY = {"direction": "in", "cause": "granted"}
ENDS = [
    (PassageSensed(None), MOMENT, (end(Occurrence.PASSED, open_ms=7.812, **WAY),)),
    (
        Tick(),
        5.5,
        (
            end(Occurrence.ANNULLED, open_ms=5500.0, **WAY),
            Annul(1, ANNA, Reason.NO_PASSAGE),
            READY,
        ),
    ),
    (
        Command("close", "t"),
        2.0,
        (
            end(Occurrence.ABORTED, Reason.COMMAND, open_ms=2000.0, **WAY),
            Annul(1, ANNA, Reason.COMMAND),
            READY,
            Respond("t", done=True),
        ),
    ),
    (
        Shutdown(),
        2.0,
        (
            end(Occurrence.ABORTED, Reason.MAINTENANCE, open_ms=2000.0, assumed=True, **WAY),
            READY,
        ),
    ),
]


@pytest.mark.parametrize(("event", "after", "effects"), ENDS)
def test_the_end_of_a_grant_closes_records_and_unless_passed_annuls(machine, event, after, effects):
    machine.reach(Phase.OPEN)
    assert machine.send(event, after) == (CloseGate(), *effects)


def test_a_grant_that_was_cancelled_before_it_opened_was_open_for_no_time(machine):
    machine.reach(Phase.GRANTED)
    machine.send(FireChanged(active=True))
    assert machine.send(Committed(1)) == (
        CloseGate(),
        end(Occurrence.ABORTED, Reason.FIRE, **WAY),
        Annul(1, ANNA, Reason.FIRE, opened=False),
        FIRE,
    )


def test_without_a_sensor_the_end_of_the_opening_is_an_assumed_passage(make_machine):
    machine = make_machine(Rules(sensing=Sensing.NONE))
    machine.reach(Phase.OPEN)
    assert machine.send(Tick(), 5.0 - MOMENT) == ()
    row = end(Occurrence.PASSED, open_ms=5000.0, assumed=True, **WAY)
    assert machine.send(Tick()) == (CloseGate(), row)
    assert machine.state.phase is Phase.PASSED


def test_a_use_without_a_mark_has_none_to_take_back(machine):
    machine.send(StaffFound("s"))
    machine.send(Committed(1))
    use = Use("s", Requirement.NONE, Direction.IN)
    row = end(Occurrence.ANNULLED, use=use, open_ms=5500.0, **WAY)
    assert machine.send(Tick(), 5.5) == (CloseGate(), row, READY)


def test_a_release_says_in_its_passage_why_the_gate_was_open(machine):
    machine.send(ReleasePressed())
    data = {"direction": "in", "open_ms": 1000.0, "cause": "manual_release"}
    row = end(Occurrence.PASSED, use=None, **data)
    assert machine.send(PassageSensed(None), 1.0) == (CloseGate(), row)


OF_AN_ATTEMPT = (
    "code", "use", "reason", "either_way", "pending", "cancelled", "transaction", "refreshed",
)  # fmt: skip


@pytest.mark.parametrize(
    "events",
    [
        [CodesSeen((Code(b"a2", b"a2"),)), Refused(1, b"a2", Reason.EXPIRED)],
        [CodesSeen((Code(b"a2", b"a2"),)), FireChanged(active=True)],
        [CodesSeen((Code(b"a2", b"a2"),)), ReleasePressed(), PassageSensed(None)],
        [CodesSeen((Code(b"a2", b"a2"),)), ReleasePressed(), Shutdown()],
        [Command("open", "t"), KeyTurned(Mode.LOCKED), Committed(1)],
        [Command("open", "t"), Committed(1), PassageSensed(None)],
    ],
)
def test_nothing_of_an_attempt_outlives_it(make_machine, events):
    machine = make_machine(Rules(two_way=True))
    machine.reach(Phase.EITHER)
    for event in events:
        machine.send(event)
    assert machine.state.phase in {Phase.IDLE, Phase.PASSED, Phase.DENIED}
    left = {name: getattr(machine.state, name) for name in OF_AN_ATTEMPT}
    assert left == {name: getattr(State(), name) for name in OF_AN_ATTEMPT}
    machine.wait(2)
    assert machine.state.deadline is None


@pytest.mark.parametrize("event", [ReleasePressed(), Command("open", "t")], ids=repr)
def test_what_staff_open_is_no_longer_for_the_code_that_was_judged(machine, event):
    machine.reach(Phase.EITHER)
    machine.send(event)
    assert (machine.state.code, machine.state.use) == (None, None)


@pytest.mark.parametrize(
    "event", [ReleasePressed(), BiometricDone(1, FINGER, matched=True)], ids=repr
)
def test_no_check_is_waited_for_once_it_is_decided(machine, event):
    machine.reach(Phase.EITHER)
    machine.send(event)
    assert machine.state.pending == frozenset()


@pytest.mark.parametrize("direction", Direction)
@pytest.mark.parametrize("back", [False, True])
def test_the_next_passage_is_judged_by_the_way_the_last_one_went(machine, direction, back):
    machine.grant(direction=direction)
    machine.send(PassageSensed(None))
    machine.send(PassageSensed(direction.opposite if back else direction))
    what = Occurrence.CRAWL_BACK if back else Occurrence.TAILGATING
    assert machine.what()[-1] is what


# --- codes already judged


def test_a_code_counts_as_gone_from_the_moment_it_was_missed_first(machine):
    machine.reach(Phase.DENIED)
    for _ in range(3):
        machine.send(CodesSeen(()), 0.5)
    machine.send(CodesSeen(()), 0)
    assert machine.show("a") == (Verify(2, Code(b"a", b"a")),)


@pytest.mark.parametrize(("away", "judged"), [(1.0 - MOMENT, 1), (1.0, 2)])
def test_a_code_is_judged_again_after_exactly_its_time_away(machine, away, judged):
    machine.reach(Phase.DENIED)
    machine.send(CodesSeen(()), 2.0)
    machine.send(CodesSeen((Code(b"a", b"a"),)), away)
    assert machine.state.attempt == judged


def test_a_code_that_flickers_was_never_away(machine):
    machine.reach(Phase.DENIED)
    for _ in range(4):
        machine.send(CodesSeen(()), 0.5)
        machine.send(CodesSeen((Code(b"a", b"a"),)), 0.5)
    assert machine.state.attempt == 1


def test_one_code_that_leaves_makes_no_other_new(machine):
    machine.show(*"abc")
    for _ in range(4):
        machine.send(CodesSeen((Code(b"b", b"b"),)), 0.5)
    assert machine.state.attempt == 1
    assert machine.show("b", "c") == (Verify(2, Code(b"c", b"c")),)


def test_codes_judged_one_after_the_other_are_all_remembered(machine):
    machine.reach(Phase.DENIED)
    machine.send(Tick(), 1.5)
    machine.show("a", "b")
    machine.send(Refused(2, b"b", Reason.EXPIRED))
    machine.send(Tick(), 1.5)
    assert machine.show("a", "b") == ()
    assert machine.state.phase is Phase.IDLE


@pytest.mark.parametrize(("codes", "attempts"), [("abcdefgh", 1), ("abcdefghi", 2)])
def test_the_eight_newest_codes_are_remembered(machine, codes, attempts):
    machine.show(*codes)
    machine.send(Tick(), 1.5)
    machine.show(codes[0])
    assert machine.state.attempt == attempts


# --- lockout


def remember(machine, *failures: Failures) -> None:
    machine.state = structs.replace(machine.state, failures=failures)


@pytest.mark.parametrize(
    ("count", "ago", "locked"),
    [
        (3, 0.0, True),
        (4, 0.0, True),
        (2, 0.0, False),
        (3, 300.0 - MOMENT, True),
        (3, 300.0, False),
    ],
)
def test_a_lockout_is_for_so_many_failures_and_so_long(machine, count, ago, locked):
    machine.now = 1000.0
    machine.show("a")
    remember(machine, Failures("anna", count, machine.now + MOMENT - ago))
    machine.verified(requirement=Requirement.FACE)
    assert machine.state.phase is (Phase.DENIED if locked else Phase.FACE)


@pytest.mark.parametrize(
    ("reason", "counted"),
    [
        (Reason.FACE_MISMATCH, True),
        (Reason.FINGER_MISMATCH, True),
        (Reason.SPOOF_SUSPECTED, True),
        (Reason.FACE_CHANGED, True),
        (Reason.FACE_NOT_FOUND, False),
        (Reason.FACE_QUALITY, False),
        (Reason.FINGER_QUALITY, False),
        (Reason.FINGER_TIMEOUT, False),
        (Reason.PERSON_LEFT, False),
        (Reason.SENSOR_FAULT, False),
        (Reason.INTERNAL_ERROR, False),
    ],
)
def test_only_what_an_impostor_would_cause_counts_as_a_failure(machine, reason, counted):
    machine.ask(Requirement.FACE)
    machine.send(BiometricDone(1, FACE, matched=False, reason=reason))
    failures = (Failures("anna", 1, machine.now),) if counted else ()
    assert machine.state.failures == failures


@pytest.mark.parametrize(("ago", "count"), [(300.0 - MOMENT, 3), (300.0, 1)])
def test_a_failure_adds_to_those_that_are_not_forgotten_yet(machine, ago, count):
    machine.now = 1000.0
    machine.ask(Requirement.FACE)
    remember(machine, Failures("anna", 2, machine.now + MOMENT - ago))
    machine.send(BiometricDone(1, FACE, False, Reason.FACE_MISMATCH))
    assert machine.state.failures == (Failures("anna", count, machine.now),)


def test_the_subject_whose_failure_is_longest_ago_makes_room(machine):
    machine.ask(Requirement.FACE)
    known = [Failures(f"subject {number}", 1, machine.now) for number in range(255)]
    remember(machine, Failures("anna", 2, machine.now), *known)
    machine.send(BiometricDone(1, FACE, False, Reason.FACE_MISMATCH))
    assert len(machine.state.failures) == 256
    machine.wait(2)
    machine.ask(Requirement.FACE, "b", "berta")
    machine.send(BiometricDone(2, FACE, False, Reason.FACE_MISMATCH))
    subjects = [(entry.subject, entry.count) for entry in machine.state.failures]
    assert subjects[0] == ("subject 1", 1)
    assert subjects[-2:] == [("anna", 3), ("berta", 1)]


def test_an_opening_says_for_whom_it_opens(machine):
    machine.reach(Phase.GRANTED)
    assert machine.send(Committed(1)) == (OpenGate(Direction.IN, 5.0, "anna"), Show(Signal.GRANTED))
