"""What an opening is worth on which nobody was seen, and when the passage sensor is believed."""

from __future__ import annotations

import pytest
from msgspec import structs

from agent.passage.accounting import Verdict, closed_by_sensor, sensor_failed, verdict
from agent.passage.events import (
    Annul,
    CloseGate,
    CodesSeen,
    Command,
    Commit,
    Committed,
    DoorChanged,
    FireChanged,
    InputFault,
    KeyTurned,
    LaneEntered,
    OpenGate,
    PassageReversed,
    PassageSensed,
    Record,
    ReleasePressed,
    Show,
    Shutdown,
    StaffFound,
    Tick,
    Verified,
)
from agent.passage.types import (
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

IN = Direction.IN
BEAM, DOOR = Rules(), Rules(sensing=Sensing.DOOR)
FAULTY = frozenset({("passage", "sensor_stuck")})
GIVEN_BACK = Verdict(given_back=True)
ASSUMED = Verdict(given_back=False)
FAULT = Verdict(given_back=False, reason=Reason.SENSOR_FAULT)


def refused(*, repeated: bool) -> Verdict:
    return Verdict(given_back=False, reason=Reason.NO_PASSAGE, repeated=repeated)


def use(*, given_back: bool = False, give_backs: int = 0) -> Use:
    return Use("anna", Requirement.NONE, IN, b"m", given_back=given_back, give_backs=give_backs)


def fault(part: str, code: str, *, active: bool = True) -> Record:
    data = {"part": part, "code": code, "active": active}
    return Record(RecordKind.FAULT, Occurrence.FAULT, data=data)


STUCK, SILENT = fault("passage", "sensor_stuck"), fault("passage", "sensor_silent")
HEARD = fault("passage", "sensor_silent", active=False)


# --- the verdict

VERDICTS = [
    ("a sensor that works", BEAM, State(seen=True), GIVEN_BACK),
    ("and gave back before", BEAM, State(seen=True, lent=True), GIVEN_BACK),
    ("not yet seen to work, once", BEAM, State(), GIVEN_BACK),
    ("not yet seen to work, again", BEAM, State(lent=True), FAULT),
    ("no sensor", Rules(sensing=Sensing.NONE), State(seen=True), ASSUMED),
    ("stuck", BEAM, State(seen=True, input_faults=FAULTY), FAULT),
    ("silent", BEAM, State(seen=True, silent=True), FAULT),
    ("somebody in the lane", BEAM, State(seen=True, in_lane=True), ASSUMED),
    ("a door that moved", BEAM, State(seen=True, door_moved=True), ASSUMED),
    ("stuck, and somebody in the lane", BEAM, State(input_faults=FAULTY, in_lane=True), FAULT),
    ("a first use", BEAM, State(seen=True, use=use()), GIVEN_BACK),
    ("the same use", BEAM, State(seen=True, use=use(given_back=True)), refused(repeated=True)),
    ("the subject again", BEAM, State(seen=True, use=use(give_backs=1)), refused(repeated=True)),
    ("the subject again, unseen", BEAM, State(lent=True, use=use(give_backs=1)), refused(repeated=True)),
    ("the subject, lane", BEAM, State(in_lane=True, use=use(give_backs=1)), ASSUMED),
    ("the subject, stuck", BEAM, State(input_faults=FAULTY, use=use(give_backs=1)), FAULT),
    ("two are free, one used", Rules(give_backs=2), State(seen=True, use=use(give_backs=1)), GIVEN_BACK),
    ("two are free, both used", Rules(give_backs=2), State(seen=True, use=use(give_backs=2)), refused(repeated=True)),
    ("two are free, the same use", Rules(give_backs=2), State(seen=True, use=use(given_back=True)), refused(repeated=True)),
    ("none is free", Rules(give_backs=0), State(seen=True, use=use()), refused(repeated=False)),
    ("none is free, release", Rules(give_backs=0), State(seen=True), GIVEN_BACK),
    ("a door that works", DOOR, State(seen=True), GIVEN_BACK),
    ("a door that stands open", DOOR, State(seen=True, door_moved=True), ASSUMED),
]  # fmt: skip


@pytest.mark.parametrize(("rules", "state", "found"), [row[1:] for row in VERDICTS], ids=[row[0] for row in VERDICTS])  # fmt: skip
def test_what_an_opening_without_a_passage_is_worth(rules, state, found):
    assert verdict(state, rules) == found


@pytest.mark.parametrize(
    ("part", "of"),
    [
        ("passage", {Sensing.BEAM}),
        ("passage_2", {Sensing.BEAM}),
        ("door", {Sensing.DOOR}),
        ("release", set()),
        ("fire", set()),
    ],
)
def test_a_fault_is_the_sensors_where_the_input_is_the_sensor(part, of):
    state = State(input_faults=frozenset({(part, "chatters")}))
    for sensing in Sensing:
        for unsensed in ("passed", "close"):
            rules = Rules(sensing=sensing, unsensed=unsensed)
            assert sensor_failed(state, rules) is (sensing in of)
            assert closed_by_sensor(state, rules) is (sensing in of and unsensed == "close")


# --- the end of an opening, on the machine


def open_for(machine, anna: Use | None = None, name: str = "a") -> None:
    """Show a code that left the view long ago, and open on it."""
    machine.send(CodesSeen(()), 2.0)
    machine.send(CodesSeen(()), 2.0)
    machine.show(name)
    attempt = machine.state.attempt
    verified = Verified(attempt, name.encode(), anna or use())
    machine.send(verified)
    machine.send(Committed(attempt))
    assert machine.state.phase is Phase.OPEN


def run_out(machine) -> tuple:
    """Let the opening's time run out in two steps: it closes, then it ends."""
    machine.send(Tick(), machine.rules.passage_timeout_s)
    return machine.send(Tick(), machine.rules.grace_s)


def end(what: Occurrence, attempt: int, anna: Use, reason: Reason | None = None, **data) -> Record:
    data = {"direction": "in", "open_ms": 5500.0, "cause": "granted"} | data
    return Record(RecordKind.PASSAGE, what, reason, attempt=attempt, use=anna, data=data)


def test_a_repeated_no_passage_is_assumed_alarmed_and_waits(machine):
    anna = use(give_backs=1)
    open_for(machine, anna)
    machine.send(Tick(), 5.0)
    assert machine.send(Tick(), 0.5) == (
        CloseGate(),
        end(Occurrence.PASSED, 1, anna, Reason.NO_PASSAGE, assumed=True),
        Record(RecordKind.PASSAGE, Occurrence.REPEATED_ANNULMENT, attempt=1, use=anna),
        Show(Signal.ALARM),
    )
    assert machine.state.phase is Phase.PASSED
    assert machine.state.failures == (Failures("anna", 3, machine.now),)
    machine.send(CodesSeen(()), 2.0)
    machine.show("b")
    (row, *_) = machine.send(Verified(2, b"b", use()))
    assert (row.what, row.reason) == (Occurrence.DENIED, Reason.LOCKED_OUT)


def test_who_waits_replaces_its_own_failures_and_nobody_elses(machine):
    open_for(machine, use(give_backs=1))
    others = (Failures("berta", 1, machine.now), Failures("anna", 1, machine.now))
    machine.state = structs.replace(machine.state, failures=others)
    run_out(machine)
    assert machine.state.failures == (others[0], Failures("anna", 3, machine.now))


def test_the_longest_untouched_subject_makes_room_for_who_waits(machine):
    open_for(machine, use(give_backs=1))
    others = tuple(Failures(f"{n}", 1, machine.now) for n in range(256))
    machine.state = structs.replace(machine.state, failures=others)
    run_out(machine)
    assert machine.state.failures == (*others[1:], Failures("anna", 3, machine.now))


def test_with_none_free_the_first_counts_as_used_without_an_alarm(make_machine):
    machine = make_machine(Rules(give_backs=0))
    open_for(machine)
    assert run_out(machine) == (
        CloseGate(),
        end(Occurrence.PASSED, 1, use(), Reason.NO_PASSAGE, assumed=True),
    )
    assert machine.state.failures == ()


def test_a_sensor_not_seen_to_work_is_believed_once_and_again_after_it_was(machine):
    outcomes = []
    for name in "abc":
        open_for(machine, name=name)
        outcomes.append(run_out(machine)[1])
        if name == "b":
            assert machine.state.silent_count == 2
            machine.send(PassageSensed(None), 3.0)
    assert [row.what for row in outcomes] == [
        Occurrence.ANNULLED, Occurrence.PASSED, Occurrence.ANNULLED,
    ]  # fmt: skip
    assert outcomes[1].reason is Reason.SENSOR_FAULT


def test_a_release_that_nobody_walks_lends_nothing(machine):
    machine.send(ReleasePressed())
    assert run_out(machine)[1].what is Occurrence.ANNULLED
    assert not machine.state.lent
    open_for(machine)
    assert run_out(machine)[1].what is Occurrence.ANNULLED
    assert machine.state.lent


@pytest.mark.parametrize("part", ["passage", "passage_2"])
@pytest.mark.parametrize("kind", ["stuck", "silent", "chatter"])
def test_a_sensor_with_a_fault_gives_nothing_back_until_the_fault_is_over(machine, part, kind):
    machine.send(PassageSensed(None))
    machine.send(InputFault(part, kind))
    open_for(machine)
    row = run_out(machine)[1]
    assert (row.what, row.reason) == (Occurrence.PASSED, Reason.SENSOR_FAULT)
    machine.send(InputFault(part, kind, active=False))
    open_for(machine, name="b")
    assert run_out(machine)[1].what is Occurrence.ANNULLED


def test_the_fault_of_another_input_changes_nothing_about_the_sensor(machine):
    machine.send(InputFault("release", "chatter"))
    open_for(machine)
    assert run_out(machine)[1].what is Occurrence.ANNULLED


# --- what cuts an opening short

CUTS = [
    Command("close", "t"),
    KeyTurned(Mode.LOCKED),
    KeyTurned(Mode.FREE),
    KeyTurned(Mode.MAINTENANCE),
    FireChanged(active=True),
]


@pytest.mark.parametrize("cut", CUTS, ids=repr)
@pytest.mark.parametrize(
    ("before", "annuls"),
    [
        ([], True),
        ([LaneEntered(), PassageReversed()], True),
        ([LaneEntered()], False),
        ([DoorChanged(is_open=True)], False),
        ([InputFault("passage", "stuck")], False),
        ([InputFault("release", "stuck")], True),
    ],
)
def test_an_opening_cut_short_is_given_back_where_nobody_was_sensed(machine, cut, before, annuls):
    open_for(machine)
    for event in before:
        machine.send(event)
    effects = machine.send(cut)
    (row,) = (e for e in effects if isinstance(e, Record) and e.what is Occurrence.ABORTED)
    assert row.data.get("assumed", False) is not annuls
    assert [type(e) for e in effects].count(Annul) == annuls
    assert machine.state.phase is Phase.IDLE


def test_an_opening_cut_short_again_is_not_given_back_and_no_alarm(machine):
    open_for(machine, use(give_backs=1))
    machine.send(Command("close", "t"))
    assert machine.of(Annul) == []
    assert Occurrence.REPEATED_ANNULMENT not in machine.what()
    assert machine.state.failures == ()


def test_a_shutdown_gives_nothing_back_for_what_was_open(machine):
    machine.send(PassageSensed(None))
    open_for(machine)
    (row,) = (e for e in machine.send(Shutdown()) if isinstance(e, Record))
    assert (row.what, row.data["assumed"], row.use) == (Occurrence.ABORTED, True, use())
    assert machine.of(Annul) == []


def test_a_shutdown_gives_back_what_never_opened(machine):
    machine.reach(Phase.GRANTED)
    machine.send(Shutdown())
    machine.send(Committed(1))
    (annul,) = machine.of(Annul)
    assert annul.opened is False
    assert not machine.state.lent


@pytest.mark.parametrize("cut", [*CUTS, Shutdown()], ids=repr)
def test_without_a_sensor_nothing_that_was_open_is_given_back(make_machine, cut):
    machine = make_machine(Rules(sensing=Sensing.NONE))
    machine.reach(Phase.OPEN)
    machine.send(cut)
    assert machine.of(Annul) == []


# --- somebody on the way


@pytest.mark.parametrize(
    ("lane", "what"),
    [
        ([LaneEntered()], Occurrence.PASSED),
        ([LaneEntered(), PassageReversed()], Occurrence.ANNULLED),
        ([LaneEntered(), PassageReversed(), LaneEntered()], Occurrence.PASSED),
        ([LaneEntered(), PassageSensed(Direction.OUT)], Occurrence.ANNULLED),
    ],
)
@pytest.mark.parametrize("before", [True, False])
def test_who_is_in_the_lane_is_on_the_way_since_when_ever(machine, lane, what, before):
    if before:
        for event in lane:
            machine.send(event)
    open_for(machine)
    if not before:
        for event in lane:
            machine.send(event)
    machine.send(Tick(), 5.0)
    ends = machine.send(Tick(), 0.5)
    assert what in [e.what for e in ends if isinstance(e, Record)]


# --- a sensor that falls silent


def test_the_third_opening_without_a_sign_is_a_fault_and_not_given_back(machine):
    machine.send(PassageSensed(None))
    for name in "ab":
        open_for(machine, name=name)
        assert run_out(machine)[1].what is Occurrence.ANNULLED
    open_for(machine, name="c")
    machine.send(Tick(), 5.0)
    assert machine.send(Tick(), 0.5) == (
        SILENT,
        CloseGate(),
        end(Occurrence.PASSED, 3, use(), Reason.SENSOR_FAULT, assumed=True),
    )
    assert machine.state.silent
    open_for(machine, name="d")  # and it is told once
    assert run_out(machine)[0] == CloseGate()


@pytest.mark.parametrize("sign", [LaneEntered(), PassageSensed(None), PassageReversed()], ids=repr)
def test_any_sign_ends_the_silence(machine, sign):
    machine.send(PassageSensed(None))
    for name in "abc":
        open_for(machine, name=name)
        run_out(machine)
    machine.send(Tick(), 3.0)
    assert machine.send(sign)[0] == HEARD
    assert machine.state.silent_count == 0
    assert not machine.state.silent
    assert machine.send(sign, 3.0)[:1] != (HEARD,)


@pytest.mark.parametrize(
    ("sign", "seen"),
    [(LaneEntered(), False), (PassageReversed(), False), (PassageSensed(None), True)],
    ids=repr,
)
def test_only_a_whole_passage_shows_that_all_of_the_sensor_works(machine, sign, seen):
    machine.send(sign)
    assert machine.state.seen is seen
    machine.send(LaneEntered())
    assert machine.state.seen is seen


def test_a_sign_in_an_opening_begins_the_count_anew(machine):
    for name in "ab":
        open_for(machine, name=name)
        run_out(machine)
    open_for(machine, name="c")
    machine.send(LaneEntered())
    machine.send(PassageReversed())
    run_out(machine)
    assert machine.state.silent_count == 0
    open_for(machine, name="d")
    run_out(machine)
    assert machine.state.silent_count == 1


def test_a_release_and_a_command_are_openings_too(machine):
    for _ in range(2):
        machine.send(ReleasePressed(), 3.0)
        run_out(machine)
    machine.send(Command("open", "t"), 3.0)
    machine.send(Committed(machine.state.attempt))
    assert run_out(machine)[0] == SILENT


def test_a_release_into_an_opening_forgets_no_sign_of_it(machine):
    open_for(machine)
    machine.send(LaneEntered())
    machine.send(PassageReversed())
    machine.send(DoorChanged(is_open=True))
    machine.send(ReleasePressed())
    assert (machine.state.sign, machine.state.door_moved) == (True, True)


def test_an_opening_cut_short_says_nothing_about_the_sensor(machine):
    for name in "abcd":
        open_for(machine, name=name)
        machine.send(Command("close", "t"))
    assert machine.state.silent_count == 0


def test_a_sensor_with_a_fault_is_not_counted_silent_too(machine):
    machine.send(InputFault("passage", "stuck"))
    for name in "abcd":
        open_for(machine, name=name)
        assert run_out(machine)[0] == CloseGate()
    assert machine.state.silent_count == 0


def test_without_a_sensor_nothing_falls_silent(make_machine):
    machine = make_machine(Rules(sensing=Sensing.NONE, silent_openings=1))
    machine.reach(Phase.OPEN)
    machine.send(Tick(), 5.0)
    assert (machine.state.silent_count, machine.state.silent) == (0, False)


# --- the door says otherwise


def test_a_door_that_went_and_came_without_the_beam_is_a_fault_at_once(machine):
    machine.send(PassageSensed(None))
    open_for(machine)
    machine.send(DoorChanged(is_open=True))
    machine.send(DoorChanged(is_open=False))
    machine.send(Tick(), 5.0)
    assert machine.send(Tick(), 0.5)[:2] == (SILENT, CloseGate())


def test_a_door_that_is_still_open_is_no_fault_and_somebody_moved_it(machine):
    open_for(machine)
    machine.send(DoorChanged(is_open=True))
    row = run_out(machine)[1]
    assert (row.what, row.reason, row.data["assumed"]) == (Occurrence.PASSED, None, True)
    assert not machine.state.silent


def test_a_door_and_the_beam_are_no_fault(machine):
    open_for(machine)
    machine.send(DoorChanged(is_open=True))
    machine.send(LaneEntered())
    machine.send(PassageReversed())
    machine.send(DoorChanged(is_open=False))
    assert run_out(machine)[1].what is Occurrence.PASSED
    assert not machine.state.silent


def test_a_door_that_only_closes_says_nothing_beside_a_beam(machine):
    machine.send(DoorChanged(is_open=True))
    open_for(machine)
    machine.send(DoorChanged(is_open=False))
    assert run_out(machine)[1].what is Occurrence.ANNULLED


def test_a_door_of_the_last_opening_is_not_of_this_one(machine):
    open_for(machine)
    machine.send(DoorChanged(is_open=True))
    run_out(machine)
    open_for(machine, name="b")
    assert run_out(machine)[1].what is Occurrence.ANNULLED


@pytest.mark.parametrize(
    ("events", "what"),
    [
        ([], Occurrence.ANNULLED),
        ([DoorChanged(is_open=True)], Occurrence.PASSED),
        ([DoorChanged(is_open=True), DoorChanged(is_open=False)], Occurrence.ANNULLED),
    ],
)
def test_a_door_as_the_sensor_that_stands_open_cannot_say_who_passed(make_machine, events, what):
    machine = make_machine(DOOR)
    for event in events:
        machine.send(event)
    open_for(machine)
    assert run_out(machine)[1].what is what


def test_a_door_as_the_sensor_that_falls_shut_may_have_let_somebody_in(make_machine):
    machine = make_machine(DOOR)
    machine.send(DoorChanged(is_open=True))
    open_for(machine)
    machine.send(DoorChanged(is_open=False))
    assert run_out(machine)[1].what is Occurrence.PASSED


def test_a_door_as_the_sensor_falls_silent_and_speaks_again(make_machine):
    machine = make_machine(DOOR)
    machine.send(DoorChanged(is_open=True))
    assert machine.state.seen
    machine.send(DoorChanged(is_open=False))
    for name in "ab":
        open_for(machine, name=name)
        run_out(machine)
    open_for(machine, name="c")
    assert run_out(machine)[0] == fault("door", "sensor_silent")
    machine.send(Tick(), 9.0)
    effects = machine.send(DoorChanged(is_open=True))
    assert effects[0] == fault("door", "sensor_silent", active=False)


# --- faults that the gate tells of

WORDS = [
    ("passage", "stuck", "sensor_stuck"),
    ("passage_2", "silent", "sensor_silent"),
    ("door", "stuck", "sensor_stuck"),
    ("passage", "chatter", "chatters"),
    ("release", "chatter", "chatters"),
    ("release", "stuck", "stuck"),
    ("key", "silent", "silent"),
]


@pytest.mark.parametrize(("part", "kind", "code"), WORDS)
def test_a_fault_of_an_input_is_told_once_and_its_end_once(machine, part, kind, code):
    assert machine.send(InputFault(part, kind)) == (fault(part, code),)
    assert machine.send(InputFault(part, kind)) == ()
    assert machine.send(InputFault(part, kind, active=False)) == (fault(part, code, active=False),)
    assert machine.send(InputFault(part, kind, active=False)) == ()


def test_two_faults_of_one_input_end_each_by_itself(machine):
    machine.send(InputFault("passage", "stuck"))
    machine.send(InputFault("passage", "chatter"))
    machine.send(InputFault("passage", "stuck", active=False))
    assert machine.state.input_faults == {("passage", "chatters")}


def test_a_silence_that_both_found_is_one_fault_until_both_are_over(machine):
    for name in "abc":
        open_for(machine, name=name)
        run_out(machine)
    machine.send(Tick(), 3.0)
    assert machine.send(InputFault("passage", "silent")) == ()
    assert machine.send(LaneEntered()) == ()
    assert machine.send(InputFault("passage", "silent", active=False)) == (HEARD,)


# --- a place that closes


@pytest.fixture
def closing(make_machine):
    machine = make_machine(Rules(unsensed="close"))
    machine.send(InputFault("passage", "stuck"))
    return machine


def test_a_place_that_closes_lets_no_code_in_until_the_sensor_works(closing):
    closing.show("a")
    row, show = closing.send(Verified(1, b"a", use()))
    assert (row.what, row.reason, show) == (
        Occurrence.DENIED, Reason.SENSOR_FAULT, Show(Signal.DENIED),
    )  # fmt: skip
    closing.send(InputFault("passage", "stuck", active=False), 3.0)
    open_for(closing, name="b")


def test_a_place_that_closes_says_so_before_it_says_who_waits(closing):
    closing.state = structs.replace(
        closing.state, failures=(Failures("anna", 3, closing.now),)
    )  # fmt: skip
    closing.show("a")
    assert closing.send(Verified(1, b"a", use()))[0].reason is Reason.SENSOR_FAULT


def test_a_place_that_closes_lets_no_finger_of_staff_in(closing):
    row, show = closing.send(StaffFound("hash"))
    assert (row.what, row.reason, row.use.subject) == (
        Occurrence.DENIED, Reason.SENSOR_FAULT, "hash",
    )  # fmt: skip
    assert show == Show(Signal.DENIED)
    assert closing.of(Commit) == []


def test_a_place_that_closes_still_opens_by_the_release_and_by_command(closing):
    assert any(isinstance(e, OpenGate) for e in closing.send(ReleasePressed()))
    run_out(closing)
    closing.send(Command("open", "t"), 3.0)
    assert any(
        isinstance(e, OpenGate) for e in closing.send(Committed(closing.state.attempt))
    )  # fmt: skip


def test_a_place_that_closes_is_open_while_the_sensor_was_only_not_seen_yet(make_machine):
    machine = make_machine(Rules(unsensed="close"))
    for name in "ab":
        open_for(machine, name=name)
        run_out(machine)
    open_for(machine, name="c")


# --- the settings


def test_a_gate_not_touched_lends_one_use_an_hour(machine):
    assert (machine.rules.give_backs, machine.rules.give_back_window_s) == (1, 3_600.0)
    assert (machine.rules.unsensed, machine.rules.silent_openings) == ("passed", 3)
