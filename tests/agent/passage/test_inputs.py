"""What the gate's inputs and its commands do, row for row: what is recorded, shown and answered."""

from __future__ import annotations

from dataclasses import replace

import pytest
from msgspec import structs

from agent.passage.events import (
    CloseGate,
    Command,
    Commit,
    Committed,
    DoorChanged,
    FireChanged,
    GateFault,
    HoldGate,
    KeyTurned,
    LaneEntered,
    OpenGate,
    PassageReversed,
    PassageSensed,
    Record,
    ReleasePressed,
    Respond,
    SetMode,
    Show,
    StopBiometrics,
    TamperChanged,
    Tick,
)
from agent.passage.types import (
    Direction,
    Mode,
    Occurrence,
    Phase,
    RecordKind,
    Requirement,
    Rules,
    Sensing,
    Signal,
    Use,
)
from agent.reason import Reason

MOMENT = 1 / 128
IN, OUT = Direction.IN, Direction.OUT
ALARM, READY, RED = Show(Signal.ALARM), Show(Signal.READY), Show(Signal.DENIED)
BERTA = Use("berta", Requirement.FACE, IN, b"mark-a")


def passage(what: Occurrence, reason: Reason | None = None, attempt: int = 0, **data) -> Record:
    return Record(RecordKind.PASSAGE, what, reason, attempt=attempt, data=data)


def mode_row(what: Occurrence, reason: Reason | None = None, **data) -> Record:
    return Record(RecordKind.MODE, what, reason, data=data)


# --- fire, tamper, faults


@pytest.mark.parametrize(
    ("mode", "lamp"),
    [
        (Mode.NORMAL, Signal.READY),
        (Mode.FREE, Signal.FREE),
        (Mode.LOCKED, Signal.LOCKED),
        (Mode.MAINTENANCE, Signal.MAINTENANCE),
    ],
)
def test_fire_is_recorded_and_shown_once_and_so_is_its_end(mode, lamp, make_machine):
    machine = make_machine(mode=mode)
    began = mode_row(Occurrence.FIRE, Reason.FIRE, mode="fire")
    ended = mode_row(Occurrence.FIRE_CLEARED, Reason.FIRE, mode=mode.value)
    assert machine.send(FireChanged(active=False)) == ()
    assert machine.send(FireChanged(active=True)) == (began, Show(Signal.FIRE))
    assert machine.send(FireChanged(active=True)) == ()
    assert machine.send(FireChanged(active=False)) == (ended, Show(lamp))
    assert machine.send(FireChanged(active=False)) == ()


def test_fire_shows_at_once_while_a_grant_is_on_its_way_and_its_end_waits_for_the_answer(machine):
    machine.reach(Phase.GRANTED)
    began = mode_row(Occurrence.FIRE, Reason.FIRE, mode="fire")
    ended = mode_row(Occurrence.FIRE_CLEARED, Reason.FIRE, mode="normal")
    assert machine.send(FireChanged(active=True)) == (began, Show(Signal.FIRE))
    assert machine.send(FireChanged(active=False)) == (ended,)
    assert machine.send(Committed(1))[-1] == READY


@pytest.mark.parametrize(
    ("mode", "shown"),
    [
        (Mode.NORMAL, (ALARM,)),
        (Mode.LOCKED, (ALARM,)),
        (Mode.FREE, ()),
        (Mode.MAINTENANCE, ()),
    ],
)
def test_an_open_housing_is_an_alarm_where_codes_are_judged(mode, shown, make_machine):
    machine = make_machine(mode=mode)
    opened = Record(RecordKind.TAMPER, Occurrence.TAMPER, data={"mode": mode.value})
    closed = Record(RecordKind.TAMPER, Occurrence.TAMPER_CLEARED, data={"mode": mode.value})
    assert machine.send(TamperChanged(active=False)) == ()
    assert machine.send(TamperChanged(active=True)) == (opened, *shown)
    assert machine.send(TamperChanged(active=True)) == ()
    assert machine.send(TamperChanged(active=False)) == (closed,)


def test_an_open_housing_is_no_alarm_in_fire(machine):
    machine.send(FireChanged(active=True))
    opened = Record(RecordKind.TAMPER, Occurrence.TAMPER, data={"mode": "fire"})
    assert machine.send(TamperChanged(active=True)) == (opened,)


@pytest.mark.parametrize(
    ("phase", "denied"),
    [(phase, phase in {"face", "finger", "either"}) for phase in Phase],
)
def test_an_open_housing_ends_what_a_sensor_is_judging_and_nothing_else(machine, phase, denied):
    machine.reach(phase)
    effects = machine.send(TamperChanged(active=True))
    assert effects[0].what is Occurrence.TAMPER
    assert effects[-1] == ALARM
    assert [effect.reason for effect in effects[1:] if isinstance(effect, Record)] == (
        [Reason.SENSOR_FAULT] if denied else []
    )
    assert machine.state.phase is (Phase.DENIED if denied else phase)


def test_a_closed_housing_ends_no_check(machine):
    machine.send(TamperChanged(active=True))
    machine.show("a")
    machine.send(TamperChanged(active=False))
    machine.verified(requirement=Requirement.FACE)
    assert machine.state.phase is Phase.FACE


@pytest.mark.parametrize("active", [True, False])
def test_a_fault_and_its_end_are_recorded(machine, active):
    data = {"detail": "beam", "active": active}
    row = Record(RecordKind.FAULT, Occurrence.FAULT, data=data)
    assert machine.send(GateFault("beam", active)) == (row,)


# --- people


@pytest.mark.parametrize(
    ("entered", "ends"),
    [
        ([1.0], 5.5),
        ([2.5], 5.5),
        ([3.0], 6.0),
        ([5.0], 8.0),
        ([5.0, 7.0], 8.5),
    ],
)
def test_a_person_in_the_lane_has_time_to_cross_but_not_without_end(machine, entered, ends):
    machine.reach(Phase.OPEN)
    began = machine.now
    use = machine.state.use
    for at in entered:
        machine.send(LaneEntered(), began + at - machine.now)
    machine.send(Tick(), began + ends - MOMENT - machine.now)
    assert machine.state.phase is Phase.OPEN
    row = passage(
        Occurrence.PASSED,
        attempt=1,
        direction="in",
        open_ms=ends * 1000,
        assumed=True,
        cause="granted",
    )
    assert machine.send(Tick()) == (CloseGate(), replace(row, use=use))
    assert machine.state.phase is Phase.PASSED


@pytest.mark.parametrize("phase", [phase for phase in Phase if phase is not Phase.OPEN])
def test_a_person_in_the_lane_is_only_noted_unless_the_gate_is_open(machine, phase):
    machine.reach(phase)
    before = machine.state
    assert machine.send(LaneEntered()) == ()
    assert machine.state == structs.replace(before, in_lane=True, sign=True)


OPEN_TABLE = [
    (Rules(unchecked=OUT), OUT, (passage(Occurrence.UNCHECKED, direction="out"),)),
    (Rules(), OUT, (passage(Occurrence.WRONG_WAY, attempt=1, direction="out"), ALARM)),
]


@pytest.mark.parametrize(("rules", "way", "effects"), OPEN_TABLE)
def test_a_passage_the_other_way_while_open(make_machine, rules, way, effects):
    machine = make_machine(rules)
    machine.reach(Phase.OPEN)
    assert machine.send(PassageSensed(way)) == effects
    assert machine.state.phase is Phase.OPEN


UNCHECKED, WITHOUT_GRANT = Occurrence.UNCHECKED, Occurrence.WITHOUT_GRANT
AT_REST_TABLE = [
    (Mode.NORMAL, Rules(), IN, (passage(WITHOUT_GRANT, direction="in"), ALARM)),
    (Mode.NORMAL, Rules(), OUT, (passage(WITHOUT_GRANT, direction="out"), ALARM)),
    (Mode.NORMAL, Rules(), None, (passage(WITHOUT_GRANT), ALARM)),
    (Mode.LOCKED, Rules(), IN, (passage(WITHOUT_GRANT, direction="in"), ALARM)),
    (Mode.NORMAL, Rules(unchecked=OUT), OUT, (passage(UNCHECKED, direction="out"),)),
    (Mode.NORMAL, Rules(unchecked=OUT), IN, (passage(WITHOUT_GRANT, direction="in"), ALARM)),
    (Mode.NORMAL, Rules(unchecked=OUT), None, (passage(WITHOUT_GRANT), ALARM)),
    (Mode.FREE, Rules(), IN, (passage(UNCHECKED, Reason.FREE_PASSAGE, direction="in"),)),
    (Mode.MAINTENANCE, Rules(), OUT, (passage(UNCHECKED, Reason.MAINTENANCE, direction="out"),)),
    (Mode.FREE, Rules(), None, (passage(UNCHECKED, Reason.FREE_PASSAGE),)),
]


@pytest.mark.parametrize(("mode", "rules", "way", "effects"), AT_REST_TABLE)
def test_a_passage_while_no_grant_is_open(make_machine, mode, rules, way, effects):
    machine = make_machine(rules, mode)
    assert machine.send(PassageSensed(way)) == effects


@pytest.mark.parametrize(
    ("rules", "way", "after", "effects"),
    [
        (Rules(), IN, 1.0, (passage(Occurrence.TAILGATING, attempt=1, direction="in"), ALARM)),
        (Rules(), None, 1.0, (passage(Occurrence.TAILGATING, attempt=1), ALARM)),
        (Rules(), OUT, 1.0, (passage(Occurrence.CRAWL_BACK, attempt=1, direction="out"), ALARM)),
        (
            Rules(),
            IN,
            2.0 - MOMENT,
            (passage(Occurrence.TAILGATING, attempt=1, direction="in"), ALARM),
        ),
        (Rules(), IN, 2.0, (passage(WITHOUT_GRANT, direction="in"), ALARM)),
        (Rules(unchecked=OUT), OUT, 1.0, (passage(UNCHECKED, direction="out"),)),
    ],
)
def test_a_passage_shortly_after_a_grants(make_machine, rules, way, after, effects):
    machine = make_machine(rules)
    machine.reach(Phase.PASSED)
    machine.send(Tick(), after - MOMENT)
    assert machine.send(PassageSensed(way))[-len(effects) :] == effects
    assert machine.what()[2:] == [effects[0].what]


def test_after_a_release_for_either_way_the_way_gone_is_the_one_that_counts(make_machine):
    machine = make_machine(Rules(two_way=True))
    machine.send(ReleasePressed())
    machine.send(PassageSensed(OUT))
    assert machine.send(PassageSensed(OUT))[0].what is Occurrence.TAILGATING
    assert machine.send(PassageSensed(IN))[0].what is Occurrence.CRAWL_BACK


@pytest.mark.parametrize(
    ("mode", "phase", "rows"),
    [
        (Mode.NORMAL, Phase.IDLE, (passage(Occurrence.CRAWL_BACK),)),
        (Mode.NORMAL, Phase.FACE, (passage(Occurrence.CRAWL_BACK),)),
        (Mode.NORMAL, Phase.OPEN, (passage(Occurrence.CRAWL_BACK, attempt=1),)),
        (Mode.NORMAL, Phase.PASSED, (passage(Occurrence.CRAWL_BACK),)),
        (Mode.LOCKED, Phase.IDLE, (passage(Occurrence.CRAWL_BACK),)),
        (Mode.FREE, Phase.IDLE, ()),
        (Mode.MAINTENANCE, Phase.IDLE, ()),
    ],
)
def test_somebody_turns_round_in_the_lane(make_machine, mode, phase, rows):
    machine = make_machine(mode=mode)
    machine.reach(phase)
    assert machine.send(PassageReversed()) == rows
    assert machine.state.phase is phase


# --- the door


@pytest.mark.parametrize("mode", [Mode.FREE, Mode.MAINTENANCE])
def test_a_door_is_not_forced_where_nobody_is_judged(mode, make_machine):
    assert make_machine(mode=mode).send(DoorChanged(is_open=True)) == ()


@pytest.mark.parametrize("mode", [Mode.NORMAL, Mode.LOCKED])
def test_a_door_that_opens_by_itself_is_forced(mode, make_machine):
    forced = passage(Occurrence.FORCED_OPEN), ALARM
    assert make_machine(mode=mode).send(DoorChanged(is_open=True)) == forced


@pytest.mark.parametrize(
    ("rules", "after", "forced"),
    [
        (Rules(), MOMENT, False),
        (Rules(), 2.0 - MOMENT, False),
        (Rules(), 2.0, True),
        (Rules(passed_s=4.0), 3.0, False),  # the lamp is green still
        (Rules(passed_s=4.0), 4.0, True),
    ],
)
def test_a_door_that_opens_shortly_after_a_passage_is_that_passages(
    make_machine, rules, after, forced
):
    machine = make_machine(rules)
    machine.reach(Phase.PASSED)
    machine.send(DoorChanged(is_open=True), after)
    assert (Occurrence.FORCED_OPEN in machine.what()) is forced


def test_a_door_that_opens_on_a_grant_is_the_passage_only_where_it_is_the_sensor(make_machine):
    for sensing, phase in ((Sensing.DOOR, Phase.PASSED), (Sensing.BEAM, Phase.OPEN)):
        machine = make_machine(Rules(sensing=sensing))
        machine.reach(Phase.OPEN)
        machine.send(DoorChanged(is_open=True))
        assert machine.state.phase is phase
        assert machine.send(DoorChanged(is_open=False)) == ()


def test_a_door_stands_open_too_long_from_its_time_on_once_an_opening(machine):
    held = passage(Occurrence.HELD_OPEN), ALARM
    for _ in range(2):
        machine.send(DoorChanged(is_open=True))
        assert machine.send(Tick(), 10.0 - MOMENT) == ()
        assert machine.send(Tick()) == held
        assert machine.send(Tick(), 60.0) == ()
        cleared = passage(Occurrence.HELD_OPEN_CLEARED)
        assert machine.send(DoorChanged(is_open=False)) == (cleared,)
        assert machine.send(Tick(), 60.0) == ()


@pytest.mark.parametrize(
    "event",
    [KeyTurned(Mode.FREE), KeyTurned(Mode.MAINTENANCE), FireChanged(active=True)],
    ids=repr,
)
def test_a_door_may_stand_open_where_nobody_is_judged(machine, event):
    machine.send(DoorChanged(is_open=True))
    machine.send(event)
    assert machine.send(Tick(), 60.0) == ()


def test_a_door_may_stand_open_during_a_grant(make_machine):
    machine = make_machine(Rules(passage_timeout_s=30.0))
    machine.reach(Phase.OPEN)
    machine.send(DoorChanged(is_open=True))
    assert machine.send(Tick(), 20.0) == ()


# --- staff and fleet


@pytest.mark.parametrize("phase", [Phase.IDLE, Phase.READ, Phase.FACE, Phase.PASSED, Phase.DENIED])
def test_a_release_opens_the_gates_own_way_for_nobody_by_name(make_machine, phase):
    machine = make_machine(Rules(direction=OUT))
    machine.reach(phase)
    working = phase in {Phase.READ, Phase.FACE}
    attempt = machine.state.attempt + (not working)
    row = Record(
        RecordKind.DECISION,
        Occurrence.GRANTED,
        Reason.MANUAL_RELEASE,
        attempt=attempt,
        data={"direction": "out"},
    )
    stopped = (StopBiometrics(attempt),) if phase is Phase.FACE else ()
    opened = OpenGate(OUT, 5.0), Show(Signal.GRANTED)
    assert machine.send(ReleasePressed()) == (*stopped, row, *opened)
    assert machine.send(PassageSensed(OUT))[1].use is None


def test_a_release_while_open_gives_the_whole_time_again(machine):
    machine.reach(Phase.OPEN)
    machine.send(Tick(), 5.0)
    released = passage(Occurrence.RELEASED, Reason.MANUAL_RELEASE, attempt=1)
    opened = OpenGate(IN, 5.0, "anna"), Show(Signal.GRANTED)
    assert machine.send(ReleasePressed()) == (released, *opened)
    assert machine.send(Tick(), 5.0 - MOMENT) == ()
    assert machine.send(Tick()) == (CloseGate(), READY)
    machine.send(Tick(), 0.5 - MOMENT)
    assert machine.state.phase is Phase.OPEN
    machine.send(Tick())
    assert machine.state.phase is Phase.IDLE


@pytest.mark.parametrize("mode", [Mode.NORMAL, Mode.LOCKED])
def test_a_release_while_a_grant_is_on_its_way_says_that_staff_pressed_it(make_machine, mode):
    machine = make_machine(mode=mode)
    machine.send(Command("open", "t"))
    released = passage(Occurrence.RELEASED, Reason.MANUAL_RELEASE, attempt=1)
    assert machine.send(ReleasePressed()) == (released,)
    assert machine.state.phase is Phase.GRANTED


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (KeyTurned(Mode.FREE), Reason.FREE_PASSAGE),
        (FireChanged(active=True), Reason.FIRE),
    ],
)
@pytest.mark.parametrize("phase", [Phase.IDLE, Phase.GRANTED])
def test_a_release_of_a_gate_that_is_held_open_is_only_noted(machine, phase, event, reason):
    machine.reach(phase)
    machine.send(event)
    before = machine.state
    assert machine.send(ReleasePressed()) == (passage(Occurrence.RELEASED, reason),)
    assert machine.state == before


def changed(before: str, mode: str, source: str) -> Record:
    return mode_row(Occurrence.MODE_CHANGED, before=before, mode=mode, source=source)


@pytest.mark.parametrize(
    ("start", "event", "effects"),
    [
        (
            Mode.NORMAL,
            KeyTurned(Mode.LOCKED),
            (SetMode(Mode.LOCKED), changed("normal", "locked", "key"), Show(Signal.LOCKED)),
        ),
        (
            Mode.LOCKED,
            KeyTurned(Mode.NORMAL),
            (SetMode(Mode.NORMAL), changed("locked", "normal", "key"), READY),
        ),
        (
            Mode.NORMAL,
            KeyTurned(Mode.FREE, by_fault=True),
            (changed("normal", "free", "fault"), HoldGate(held=True), Show(Signal.FREE)),
        ),
        (
            Mode.FREE,
            KeyTurned(Mode.MAINTENANCE),
            (
                SetMode(Mode.MAINTENANCE),
                changed("free", "maintenance", "key"),
                HoldGate(held=False),
                Show(Signal.MAINTENANCE),
            ),
        ),
        (
            Mode.NORMAL,
            Command("mode", "t", mode=Mode.LOCKED),
            (
                SetMode(Mode.LOCKED),
                changed("normal", "locked", "command"),
                Show(Signal.LOCKED),
                Respond("t", done=True),
            ),
        ),
        (Mode.FREE, KeyTurned(Mode.FREE), (SetMode(Mode.FREE),)),
        (Mode.FREE, KeyTurned(Mode.FREE, by_fault=True), ()),
        (Mode.NORMAL, KeyTurned(Mode.FIRE), ()),
    ],
)
def test_a_mode_is_kept_recorded_and_shown(make_machine, start, event, effects):
    machine = make_machine(mode=start)
    assert machine.send(event) == effects


def test_a_mode_chosen_during_fire_holds_when_it_clears(machine):
    machine.send(FireChanged(active=True))
    effects = machine.send(KeyTurned(Mode.FREE))
    chosen = SetMode(Mode.FREE), changed("normal", "free", "key"), HoldGate(held=True)
    assert effects == chosen
    assert machine.send(FireChanged(active=False))[-1] == Show(Signal.FREE)


@pytest.mark.parametrize(
    ("start", "mode", "reason"),
    [
        (Mode.NORMAL, Mode.LOCKED, Reason.GATE_LOCKED),
        (Mode.NORMAL, Mode.FREE, Reason.FREE_PASSAGE),
        (Mode.NORMAL, Mode.MAINTENANCE, Reason.MAINTENANCE),
        (Mode.LOCKED, Mode.NORMAL, Reason.COMMAND),
    ],
)
def test_a_new_mode_ends_what_was_judged_under_the_old_one(make_machine, start, mode, reason):
    machine = make_machine(mode=start)
    if start is Mode.NORMAL:
        machine.reach(Phase.FACE)
    else:
        machine.send(ReleasePressed())
    effects = machine.send(KeyTurned(mode))
    row = next(e for e in effects if isinstance(e, Record) and e.kind is not RecordKind.MODE)
    assert row.reason is reason
    assert machine.state.phase is Phase.IDLE


@pytest.mark.parametrize(("late", "done"), [(0.0, True), (MOMENT, False)])
def test_a_command_is_carried_out_until_its_time_is_over(machine, late, done):
    until = machine.now + 1.0
    effects = machine.send(Command("close", "t", until=until), 1.0 + late)
    assert effects[-1] == Respond("t", done=done, reason=None if done else Reason.STALE)


@pytest.mark.parametrize(
    ("rules", "asked", "way"),
    [
        (Rules(), None, IN),
        (Rules(), OUT, OUT),
        (Rules(direction=OUT), None, OUT),
        (Rules(direction=OUT), IN, IN),
    ],
)
@pytest.mark.parametrize("mode", [Mode.NORMAL, Mode.LOCKED, Mode.MAINTENANCE])
def test_a_command_opens_the_way_it_says_or_the_gates_own(make_machine, mode, rules, asked, way):
    machine = make_machine(rules, mode)
    row = RecordKind.DECISION, Occurrence.GRANTED, Reason.COMMAND
    record = Record(*row, attempt=1, data={"direction": way.value})
    effects = machine.send(Command("open", "t", direction=asked))
    assert effects == (Commit(1, None, record),)
    assert machine.send(Committed(1))[1] == OpenGate(way, 5.0)


@pytest.mark.parametrize("phase", [Phase.READ, Phase.FACE])
def test_a_command_to_open_is_the_one_decision_of_what_is_judged(machine, phase):
    machine.reach(phase)
    row = RecordKind.DECISION, Occurrence.GRANTED, Reason.COMMAND
    commit = Commit(1, None, Record(*row, attempt=1, data={"direction": "in"}))
    stopped = (StopBiometrics(1),) if phase is Phase.FACE else ()
    assert machine.send(Command("open", "t")) == (*stopped, commit)


def test_a_command_to_open_what_is_open_to_all_is_done_already(make_machine):
    machine = make_machine(mode=Mode.FREE)
    assert machine.send(Command("open", "t")) == (Respond("t", done=True),)
    assert machine.state.attempt == 0


@pytest.mark.parametrize("phase", [phase for phase in Phase if phase not in {"granted", "open"}])
def test_a_command_to_close_leaves_a_judgement_alone(machine, phase):
    machine.reach(phase)
    effects = machine.send(Command("close", "t"))
    assert effects == (CloseGate(), Respond("t", done=True))
    assert machine.state.phase is phase


def test_a_command_to_close_what_is_about_to_open_is_done_at_once(machine):
    machine.reach(Phase.GRANTED)
    assert machine.send(Command("close", "t")) == (Respond("t", done=True),)
    assert machine.send(Committed(1))[1].reason is Reason.COMMAND
