"""The gate's pins as waveforms: start and end, inputs, lamps, health."""

from __future__ import annotations

import pytest

from agent.gatekeeper.gatekeeper import Gatekeeper, make_safe
from agent.gatekeeper.pinmap import outputs
from agent.gatekeeper.signals import PATTERNS
from agent.gatekeeper.wire import Event, Request, WireError
from agent.gatekeeper.words import INPUTS, KINDS, MODES, SIGNALS, Direction, Mode, Signal
from agent.passage.events import (
    DoorChanged,
    FireChanged,
    InputFault,
    KeyTurned,
    LaneEntered,
    PassageReversed,
    PassageSensed,
    ReleasePressed,
    TamperChanged,
)
from agent.settings.model import GpioConfig
from hal.errors import DeviceFault, DeviceUnavailable
from hal.simulated.barrier import Behaviour
from hal.simulated.gpio import SimulatedGpio
from hal.simulated.pinboard import Function, PinBoard
from hal.wiegand import encode
from tests.support.pins import Recording
from tests.support.rig import lines_of, timing

RELAY, GREEN, RED, BUZZER, READY = 17, 27, 22, 23, 24
PASSAGE, FIRE, TAMPER, RELEASE = 5, 6, 13, 19
IN, OUT = Direction.IN, Direction.OUT
SECOND = GpioConfig(passage_2=26, relay_out=16, door=12, key=20)


def keeper_on(gpio: SimulatedGpio, settings: GpioConfig | None = None) -> Gatekeeper:
    pin_map = lines_of(settings or GpioConfig())
    return Gatekeeper(gpio, pin_map, Mode.NORMAL, lambda _mode: None)


# --- start and end


def test_nothing_moves_at_start(rig):
    rig.run(2)
    assert rig.events == []
    for pin in (RELAY, GREEN, RED, BUZZER, READY):
        assert rig.edges(pin) == []
        assert rig.board.function(pin) is Function.OUTPUT


@pytest.mark.parametrize("active", ["high", "low"])
def test_outputs_start_and_end_inactive_whatever_their_polarity(make_rig, active):
    settings = GpioConfig(relay_active=active, lamps_active=active)
    rig = make_rig(settings)
    assert rig.board.level(RELAY) == (active == "low")
    rig.gate.open(IN, 5)
    rig.gate.hold(held=True)
    rig.poll()
    assert rig.board.level(RELAY) == (active == "high")
    rig.keeper.safe()
    assert rig.board.function(RELAY) is Function.INPUT
    last = [edge.level for edge in rig.edges(RELAY)]
    assert last[-1] == (active == "low"), "the relay was let go while it was on"
    rig.keeper.safe()


def test_outputs_are_all_defined():
    settings = GpioConfig(output="wiegand26", wiegand_d0=20, wiegand_d1=21, relay_active="low")
    assert outputs(lines_of(settings)) == {
        RELAY: True, GREEN: False, RED: False, BUZZER: False, READY: False, 20: True, 21: True
    }  # fmt: skip


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, {17: False, 27: False, 22: False, 23: False, 24: False}),
        ({"lamps_active": "low"}, {17: False, 27: True, 22: True, 23: True, 24: True}),
        (
            {"relay_out": 16, "relay_active": "low", "green": None, "buzzer": None},
            {17: True, 16: True, 22: False, 24: False},
        ),
        (
            {"green": None, "red": None, "buzzer": None, "ready": None, "output": "wiegand34",
             "wiegand_d0": 20, "wiegand_d1": 21},
            {17: False, 20: True, 21: True},
        ),
        (
            {"green": None, "red": None, "buzzer": None, "ready": None, "output": "osdp",
             "wiegand_d0": 20, "wiegand_d1": 21},
            {17: False},
        ),
    ],
)  # fmt: skip
def test_outputs_are_those_that_are_fitted_at_rest(values, expected):
    assert outputs(lines_of(GpioConfig(**values))) == expected


@pytest.mark.parametrize("relay_active", ["high", "low"])
def test_make_safe_drives_every_output_inactive_and_lets_go(relay_active):
    settings = GpioConfig(relay_active=relay_active, relay_out=16)
    gpio = Recording()
    pins = make_safe(gpio, lines_of(settings))
    assert pins == (17, 16, 27, 22, 23, 24)
    rest = outputs(lines_of(settings))
    assert gpio.done == [*(("set up", pin, rest[pin]) for pin in pins), ("close",)]


def test_make_safe_lets_go_of_what_it_has_when_a_line_is_not_ours():
    gpio = Recording()
    gpio.refuses = RED
    with pytest.raises(DeviceUnavailable, match="pin 22"):
        make_safe(gpio, lines_of(GpioConfig()))
    assert gpio.done == [("set up", RELAY, False), ("set up", GREEN, False), ("close",)]


def test_at_the_end_the_levels_come_first_then_the_lines():
    gpio = Recording()
    keeper = keeper_on(gpio)
    keeper.safe()
    assert gpio.done == [], "nothing is set up"
    keeper.setup()
    gpio.done.clear()
    keeper.safe()
    keeper.safe()
    levels = [(pin, False) for pin in (RELAY, GREEN, RED, BUZZER, READY)]
    assert sorted(gpio.done[:-1]) == sorted(levels)
    assert gpio.done[-1] == ("close",)


def test_a_line_that_fails_at_the_end_does_not_keep_the_others():
    gpio = Recording()
    keeper = keeper_on(gpio)
    keeper.setup()
    gpio.refuses = RED
    gpio.done.clear()
    with pytest.raises(DeviceFault, match="pin 22 is gone"):
        keeper.safe()
    assert sorted(gpio.done[:-1]) == sorted((pin, False) for pin in (RELAY, GREEN, BUZZER, READY))
    assert gpio.done[-1] == ("close",)


def test_a_line_that_is_taken_stops_the_start_and_lets_go_of_the_others():
    class Taken(SimulatedGpio):
        def setup_input(self, pin, *, pull) -> None:
            if pin == FIRE:
                raise DeviceUnavailable("pin 6 cannot be taken")
            super().setup_input(pin, pull=pull)

    board = PinBoard()
    keeper = keeper_on(Taken(board=board))
    with pytest.raises(DeviceUnavailable, match=r"^pin 6 cannot be taken$"):
        keeper.setup()
    assert board.function(RELAY) is Function.INPUT


def test_a_level_that_is_there_is_not_written_again():
    board = PinBoard()
    for pin in (FIRE, TAMPER):
        board.drive(pin, level=False)
    gpio = Recording(board=board)
    keeper = keeper_on(gpio)
    keeper.setup()
    gpio.done.clear()
    keeper.tick(0.0)
    keeper.attend()
    keeper.ask(Request("hold", 1), 0.0)
    for n in range(1, 10):
        keeper.tick(n * 0.005)
    assert gpio.done == [(RELAY, True)]


def test_fire_is_on_the_relays_before_anything_else_is_written():
    board = PinBoard()
    board.drive(TAMPER, level=False)
    gpio = Recording(board=board)
    keeper = keeper_on(gpio, GpioConfig(relay_out=16))
    keeper.setup()
    gpio.done.clear()
    assert keeper.tick(0.0) == [Event("fire")]
    assert gpio.done[:2] == [(RELAY, True), (16, True)]


# --- what is believed


@pytest.mark.parametrize("active", ["high", "low"])
def test_what_the_gatekeeper_believes(make_rig, active):
    settings = GpioConfig(relay_out=16, door=12, relay_active=active)
    fresh = keeper_on(SimulatedGpio(), settings)
    assert (fresh.relay_on, fresh.active("fire"), fresh.levels) == (False, False, 0)
    rig = make_rig(settings, timing(passage_timeout_s=1))

    def believed() -> set[str]:
        names = {name for name in ("fire", "tamper", "door") if rig.keeper.active(name)}
        return names | {"relay"} if rig.keeper.relay_on else names

    assert believed() == set()
    for direction in (IN, OUT):
        rig.gate.open(direction, 5)
        assert believed() == set(), "the relay is driven in a poll"
        rig.poll()
        assert believed() == {"relay"}
        rig.gate.close()
        rig.poll()
    rig.barrier.tamper(active=True)
    rig.poll()
    assert rig.keeper.levels == 1 << INPUTS.index("tamper")
    assert believed() == set()
    rig.run(0.1)
    assert believed() == {"tamper"}
    rig.barrier.door(is_open=True)
    rig.run(0.1)
    assert believed() == {"tamper", "door"}
    rig.barrier.tamper(active=False)
    rig.barrier.door(is_open=False)
    rig.run(1.1)
    rig.barrier.fire(active=True)
    rig.poll()
    assert believed() == {"fire", "relay"}
    rig.keeper.safe()
    assert believed() == {"fire"}


# --- inputs


@pytest.mark.parametrize(("glitch_polls", "heard"), [(1, 0), (3, 0), (6, 1), (20, 1)])
def test_debounce(rig, glitch_polls, heard):
    rig.board.drive(TAMPER, level=True)
    rig.poll(glitch_polls)
    rig.board.drive(TAMPER, level=False)
    rig.run(1.1)
    assert rig.events.count(TamperChanged(active=True)) == heard
    assert rig.events.count(TamperChanged(active=False)) == heard


def test_every_input_says_what_it_means(make_rig):
    rig = make_rig(SECOND)
    rig.barrier.door(is_open=True)
    rig.barrier.tamper(active=True)
    rig.barrier.key(turned=True)
    rig.run(0.1)
    assert rig.events == [
        TamperChanged(active=True),
        DoorChanged(is_open=True),
        KeyTurned(Mode.LOCKED),
    ]
    rig.events.clear()
    rig.barrier.door(is_open=False)
    rig.barrier.tamper(active=False)
    rig.barrier.key(turned=False)
    rig.run(1.1)
    assert rig.events == [
        KeyTurned(Mode.NORMAL),
        DoorChanged(is_open=False),
        TamperChanged(active=False),
    ]


def test_a_loose_contact_does_not_flood_the_journal(make_rig):
    rig = make_rig(SECOND)
    for _ in range(100):
        for broken in (True, False):
            rig.barrier.tamper(active=broken)
            rig.barrier.door(is_open=broken)
            rig.run(0.05)
    assert rig.events == [
        TamperChanged(active=True),
        DoorChanged(is_open=True),
        InputFault("tamper", "chatter"),
        InputFault("door", "chatter"),
    ]


def test_what_is_not_at_rest_at_start_is_told(make_rig):
    rig = make_rig(SECOND)
    rig.keeper.safe()
    rig.barrier.door(is_open=True)
    rig.barrier.key(turned=True)
    rig.barrier.advance(rig.now)
    locked = Event("key", which=MODES.index(Mode.LOCKED))
    assert rig.again().tick(0.0) == [Event("door"), locked]


def test_one_beam_counts_people(rig):
    rig.barrier.expect(Behaviour.TAILGATED)
    rig.gate.open(IN, 5)
    rig.run(3)
    assert rig.events == [PassageSensed(None)] * 2
    assert rig.barrier.inside == 2


@pytest.mark.parametrize(("gap_s", "people"), [(0.05, 1), (0.25, 1), (0.4, 2)])
def test_one_beam_takes_legs_for_one_person(rig, gap_s, people):
    for _ in range(2):
        rig.board.drive(PASSAGE, level=False)
        rig.run(0.1)
        rig.board.drive(PASSAGE, level=True)
        rig.run(gap_s)
    assert rig.events == [PassageSensed(None)] * people


@pytest.mark.parametrize(
    ("behaviour", "inwards", "events", "inside"),
    [
        (Behaviour.PASS, True, [LaneEntered(), PassageSensed(IN)], 1),
        (Behaviour.PASS, False, [LaneEntered(), PassageSensed(OUT)], -1),
        (Behaviour.STAY, True, [], 0),
        (Behaviour.TURN_BACK, True, [LaneEntered(), PassageReversed()], 0),
        (Behaviour.TAILGATED, True, [LaneEntered(), PassageSensed(IN)] * 2, 2),
        (
            Behaviour.CRAWL_BACK,
            True,
            [LaneEntered(), PassageSensed(IN), LaneEntered(), PassageSensed(OUT)],
            0,
        ),
    ],
)
def test_two_beams_know_the_direction(make_rig, behaviour, inwards, events, inside):
    rig = make_rig(GpioConfig(passage_2=26))
    rig.barrier.expect(behaviour, inwards=inwards)
    rig.gate.open(IN, 5)
    rig.run(4)
    assert rig.events == events
    assert rig.barrier.inside == inside


def test_somebody_who_jumps_over_is_seen(make_rig):
    rig = make_rig(SECOND)
    rig.barrier.force()
    rig.run(2)
    assert DoorChanged(is_open=True) in rig.events
    assert PassageSensed(IN) in rig.events
    assert not rig.edges(RELAY)


# --- lamps


@pytest.mark.parametrize("signal", [s for s in Signal if s is not Signal.ALARM])
def test_lamps_follow_the_table(rig, signal):
    rig.gate.signal(signal)
    rig.poll()
    pattern, elapsed = PATTERNS[signal], 0.0
    for seconds, indication in pattern.steps:
        rig.run(seconds / 2)
        assert (rig.on(GREEN), rig.on(RED), rig.on(BUZZER)) == (
            indication.green,
            indication.red,
            indication.buzzer,
        )
        rig.run(seconds / 2)
        elapsed += seconds
    if pattern.after is not None:
        rig.run(30)
        after = pattern.after
        assert (rig.on(GREEN), rig.on(RED), rig.on(BUZZER)) == (after.green, after.red, False)


def test_every_signal_has_a_pattern_and_denial_never_shows_green():
    assert set(PATTERNS) == set(Signal)
    assert not any(indication.green for _, indication in PATTERNS[Signal.DENIED].steps)
    assert not any(indication.red for _, indication in PATTERNS[Signal.GRANTED].steps)


def test_an_alarm_sounds_over_the_lamps_and_gives_them_back(rig):
    rig.gate.signal(Signal.LOCKED)
    rig.run(1)
    rig.gate.signal(Signal.ALARM)
    rig.run(3)
    assert rig.widths(BUZZER) == [0.2] * 5
    assert rig.on(RED)


def test_showing_the_same_signal_again_does_not_begin_it_anew(rig):
    for _ in range(20):
        rig.gate.signal(Signal.DENIED)
        rig.run(0.1)
    assert rig.widths(BUZZER) == [0.3, 0.3]


def test_ready_is_dark_until_told_and_dark_again_at_the_end(rig):
    assert not rig.on(READY)
    rig.gate.ready(ready=True)
    rig.poll()
    assert rig.on(READY)
    rig.keeper.safe()
    assert not rig.on(READY)


def test_lamps_that_light_when_low(make_rig):
    rig = make_rig(GpioConfig(lamps_active="low"))
    pins = (GREEN, RED, BUZZER, READY)
    assert [rig.on(pin) for pin in pins] == [True] * 4
    rig.gate.signal(Signal.GRANTED)
    rig.gate.ready(ready=True)
    rig.run(0.05)
    assert [rig.on(pin) for pin in pins] == [False, True, False, False]


def test_lamps_that_are_not_fitted_are_left_alone(make_rig):
    rig = make_rig(GpioConfig(green=None, ready=None))
    rig.gate.signal(Signal.GRANTED)
    rig.gate.ready(ready=True)
    rig.run(0.05)
    assert rig.on(BUZZER)
    assert not rig.edges(GREEN)
    assert not rig.edges(READY)


# --- without a decider


def test_a_decider_is_told_what_is_not_at_rest(make_rig):
    rig = make_rig(SECOND)
    rig.barrier.door(is_open=True)
    rig.board.drive(PASSAGE, level=False)
    rig.run(11)
    rig.keeper.abandon()
    assert rig.keeper.attend() == (
        Event("door"),
        Event("fault", which=INPUTS.index("passage"), kind=KINDS.index("stuck")),
    )


def test_without_a_decider_a_release_opens_and_is_counted(make_rig):
    rig = make_rig(attended=False)
    for number in range(1, 4):
        rig.barrier.press_release(0.1)
        rig.run(0.1)
        assert rig.on(RELAY)
        rig.run(6)
        assert (rig.on(RELAY), rig.keeper.unattended) == (False, number)
    rig.keeper.attend()
    assert rig.keeper.unattended == 0
    rig.barrier.press_release(0.1)
    rig.run(1)
    assert rig.keeper.unattended == 0


def test_no_more_presses_are_counted_than_a_report_can_say(make_rig):
    rig = make_rig(attended=False)
    rig.keeper.unattended = 254
    for _ in range(3):
        rig.barrier.press_release(0.1)
        rig.run(1)
    assert rig.keeper.unattended == 255


def test_without_a_decider_fire_holds_and_is_shown(make_rig):
    rig = make_rig(attended=False)
    rig.barrier.fire(active=True)
    rig.run(0.1)
    assert (rig.on(RELAY), rig.on(GREEN), rig.on(BUZZER)) == (True, True, True)
    rig.run(0.2)
    assert (rig.on(RELAY), rig.on(GREEN), rig.on(BUZZER)) == (True, False, False), "it blinks"
    rig.barrier.fire(active=False)
    rig.run(1.3)
    assert [rig.on(pin) for pin in (RELAY, GREEN, RED, BUZZER)] == [False] * 4
    assert rig.events == [FireChanged(active=True), FireChanged(active=False)]


def test_without_a_decider_the_key_chooses_the_mode(make_rig):
    rig = make_rig(GpioConfig(key=20, key_mode="free"), attended=False)
    rig.barrier.key(turned=True)
    rig.run(0.1)
    assert (rig.keeper.mode, rig.kept) == (Mode.FREE, [Mode.FREE])
    assert [rig.on(pin) for pin in (RELAY, GREEN, RED, BUZZER)] == [True, True, False, False]
    rig.barrier.key(turned=False)
    rig.run(0.1)
    assert (rig.keeper.mode, rig.kept) == (Mode.NORMAL, [Mode.FREE, Mode.NORMAL])
    assert [rig.on(pin) for pin in (RELAY, GREEN, RED, BUZZER)] == [False] * 4
    told = Event("key", on=False, which=MODES.index(Mode.NORMAL))
    assert rig.keeper.attend() == (told,), "it moved while nobody saw it"
    rig.keeper.abandon()
    assert rig.keeper.attend() == (), "and is told once"


def test_with_a_silent_decider_the_key_chooses_the_mode(make_rig):
    """It may never wake; where it does, it hears of the key and decides on."""
    rig = make_rig(GpioConfig(key=20, key_mode="free"))
    rig.keeper.hush(silent=True)
    rig.barrier.key(turned=True)
    rig.run(0.1)
    assert (rig.keeper.mode, rig.on(RELAY), rig.events) == (Mode.FREE, True, [KeyTurned(Mode.FREE)])
    rig.keeper.hush(silent=False)
    rig.barrier.key(turned=False)
    rig.run(0.1)
    assert rig.keeper.mode is Mode.FREE


def test_presses_before_a_silent_decider_are_told_to_the_next_one(rig):
    rig.barrier.press_release(0.1)
    rig.run(1)
    rig.keeper.hush(silent=True)
    rig.barrier.press_release(0.1)
    rig.run(1)
    assert rig.keeper.unattended == 1
    rig.keeper.abandon()
    rig.keeper.hush(silent=False)
    assert rig.keeper.unattended == 1


def test_presses_that_a_decider_hears_of_when_it_wakes_are_not_told_again(rig):
    rig.keeper.hush(silent=True)
    rig.barrier.press_release(0.1)
    rig.run(1)
    rig.keeper.hush(silent=False)
    assert rig.keeper.unattended == 0
    rig.barrier.press_release(0.1)
    rig.run(1)
    assert rig.keeper.unattended == 0
    assert rig.events == [ReleasePressed()] * 2


def test_with_a_decider_the_key_is_the_deciders(make_rig):
    rig = make_rig(GpioConfig(key=20, key_mode="free"))
    rig.barrier.key(turned=True)
    rig.run(0.1)
    assert rig.events == [KeyTurned(Mode.FREE)]
    assert (rig.keeper.mode, rig.kept, rig.on(RELAY)) == (Mode.NORMAL, [], False)


@pytest.mark.parametrize("mode", [Mode.NORMAL, Mode.FREE, Mode.LOCKED, Mode.MAINTENANCE])
@pytest.mark.parametrize("attended", [False, True])
def test_the_kept_mode_holds_from_the_first_poll(make_rig, mode, attended):
    rig = make_rig(mode=mode, attended=attended)
    rig.poll()
    assert rig.on(RELAY) == (mode is Mode.FREE)
    assert rig.on(GREEN) == (mode is Mode.FREE and not attended), "the lamps are the decider's"
    assert not rig.on(RED)
    assert rig.kept == []


# --- what a decider asks for ends with it


def asked_for_all(rig) -> None:
    rig.gate.open(IN, 5)
    rig.gate.hold(held=True)
    rig.gate.ready(ready=True)
    rig.gate.signal(Signal.GRANTED)
    rig.poll()
    assert [rig.on(pin) for pin in (RELAY, GREEN, BUZZER, READY)] == [True] * 4


def test_nothing_that_was_asked_for_outlives_the_session(rig):
    asked_for_all(rig)
    rig.keeper.abandon()
    assert rig.keeper.attended is False
    rig.poll()
    assert [rig.on(pin) for pin in (RELAY, GREEN, BUZZER, READY)] == [False] * 4
    rig.keeper.attend()
    rig.poll()
    assert [rig.on(pin) for pin in (RELAY, GREEN, BUZZER, READY)] == [False] * 4


def test_a_new_session_begins_dark_and_spoken_to(rig):
    rig.gate.signal(Signal.LOCKED)
    rig.keeper.hush(silent=True)
    assert rig.keeper.attend() == ()
    assert (rig.keeper.attended, rig.keeper.silent) == (True, False)
    rig.poll()
    assert not rig.on(RED)


def test_fire_release_and_free_mode_outlive_the_session(make_rig):
    rig = make_rig(timing=timing(passage_timeout_s=2))
    rig.barrier.press_release(0.1)
    rig.run(0.1)
    rig.gate.open(IN, 60)
    rig.keeper.abandon()
    rig.run(1.5)
    assert rig.on(RELAY)
    rig.run(0.6)
    assert not rig.on(RELAY)
    rig.keeper.attend()
    rig.gate.choose(Mode.FREE)
    rig.keeper.abandon()
    rig.run(60)
    assert rig.on(RELAY)


def test_silence_ends_openings_and_holds_and_darkens_ready_but_not_the_lamps(rig):
    asked_for_all(rig)
    rig.keeper.hush(silent=True)
    assert rig.keeper.silent is True
    rig.run(0.15)
    assert [rig.on(pin) for pin in (RELAY, GREEN, READY)] == [False, True, False]
    rig.keeper.hush(silent=False)
    rig.poll()
    assert [rig.on(pin) for pin in (RELAY, GREEN, READY)] == [True] * 3, "held and ready again"
    rig.gate.hold(held=False)
    rig.poll()
    assert not rig.on(RELAY), "the opening is not"


def test_what_is_asked_for_after_a_silence_is_not_hushed(rig):
    rig.keeper.hush(silent=False)
    rig.gate.open(IN, 5)
    rig.keeper.hush(silent=False)
    rig.poll()
    assert rig.on(RELAY)
    rig.keeper.hush(silent=True)
    rig.keeper.hush(silent=False)
    rig.gate.open(IN, 5)
    rig.keeper.hush(silent=False)
    rig.poll()
    assert rig.on(RELAY)


def test_a_press_during_a_silence_opens_and_stays(rig):
    rig.keeper.hush(silent=True)
    rig.barrier.press_release(0.1)
    rig.run(0.1)
    rig.keeper.hush(silent=True)
    rig.run(3)
    assert rig.on(RELAY)
    assert ReleasePressed() in rig.events


def test_free_mode_and_fire_hold_through_a_silence(rig):
    rig.gate.choose(Mode.FREE)
    rig.keeper.hush(silent=True)
    rig.run(10)
    assert rig.on(RELAY)
    rig.gate.choose(Mode.NORMAL)
    rig.barrier.fire(active=True)
    rig.run(10)
    assert rig.on(RELAY)


# --- requests


@pytest.mark.parametrize(
    ("late_s", "opens"),
    [(0.0, True), (0.375, True), (0.4375, False), (-0.375, True), (-0.4375, False)],
)
def test_an_opening_that_was_asked_for_too_long_ago_is_none(rig, late_s, opens):
    rig.keeper.ask(Request("open", 0, 5000, value=round((rig.now - late_s) * 1e9)), rig.now)
    rig.poll()
    assert rig.on(RELAY) is opens


def test_an_opening_is_stale_from_four_tenths_of_a_second_on(rig):
    for value, opens in ((400_000_000, True), (400_000_001, False)):
        rig.gate.close()
        rig.keeper.ask(Request("open", 0, 5000, value=value), 0.0)
        assert rig.keeper._relays[RELAY].on(1.0) is opens


def test_an_opening_is_not_stale_however_long_the_machine_runs(rig):
    for early_ns in (399_999_000, -399_999_000):
        rig.gate.close()
        value = 1_000_000 * 10**9 - early_ns
        rig.keeper.ask(Request("open", 0, 5_000, value=value), 1_000_000.0)
        assert rig.keeper._relays[RELAY].on(1_000_001.0)


def test_a_mode_is_kept_when_it_is_another(rig):
    for mode in (Mode.NORMAL, Mode.LOCKED, Mode.LOCKED, Mode.FREE):
        rig.gate.choose(mode)
        assert rig.keeper.mode is mode
    assert rig.kept == [Mode.LOCKED, Mode.FREE]


def test_fire_is_no_mode_to_choose(rig):
    rig.gate.choose(Mode.FIRE)
    rig.poll()
    assert (rig.keeper.mode, rig.kept, rig.on(RELAY)) == (Mode.NORMAL, [], False)


@pytest.mark.parametrize("op", ["hello", "beat", "map", "bye"])
def test_other_requests_move_nothing(rig, op):
    rig.keeper.ask(Request(op, 99, 99, 99, 99), rig.now)
    rig.run(1)
    assert not [edge for edge in rig.board.edges() if edge.output]


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (Request("open", 2), "open: 2"),
        (Request("signal", len(SIGNALS)), "signal: 12"),
        (Request("mode", len(MODES)), "mode: 5"),
        (Request("card", 26, value=1 << 24), "card: 26"),
        (Request("card", 34, value=1 << 32), "card: 34"),
    ],
)
def test_a_number_that_stands_for_nothing_is_no_request(make_rig, request_, said):
    rig = make_rig(GpioConfig(output="wiegand34", wiegand_d0=20, wiegand_d1=21))
    with pytest.raises(WireError, match=f"^{said} stands for nothing$"):
        rig.keeper.ask(request_, rig.now)


@pytest.mark.parametrize("bits", [26, 34])
def test_a_card_number_goes_out_on_the_two_lines(make_rig, bits):
    rig = make_rig(GpioConfig(output=f"wiegand{bits}", wiegand_d0=20, wiegand_d1=21))
    rig.keeper.ask(Request("card", bits, value=0x2E2926), rig.now)
    rig.run(0.5)
    falls = [edge for edge in rig.board.edges() if edge.pin in {20, 21} and not edge.level]
    assert tuple(edge.pin == 21 for edge in falls) == encode(0x2E2926, bits)


def test_a_card_number_without_lines_for_it_is_nothing(rig):
    rig.keeper.ask(Request("card", 26, value=5), rig.now)
    rig.run(1)
    assert not [edge for edge in rig.board.edges() if edge.output]


def test_a_chattering_release_is_told_and_opens_nothing(rig):
    for _ in range(30):
        rig.board.drive(RELEASE, level=False)
        rig.run(0.03)
        rig.board.drive(RELEASE, level=True)
        rig.run(0.03)
    assert rig.events == [InputFault("release", "chatter")]
    assert rig.edges(RELAY) == []
    rig.run(2.1)
    assert rig.events[1:] == [InputFault("release", "chatter", active=False)]
