"""The gate's pins as waveforms: relay, lamps, inputs, fire, safe states."""

from __future__ import annotations

import logging
import queue
import threading
import time

import pytest

from agent.gate.gate import Gate, GateHealth, make_safe, outputs
from agent.gate.signals import PATTERNS
from agent.passage.events import (
    DoorChanged,
    FireChanged,
    GateFault,
    KeyTurned,
    LaneEntered,
    PassageReversed,
    PassageSensed,
    ReleasePressed,
    TamperChanged,
)
from agent.passage.types import Direction, Mode, Signal
from agent.settings.model import GateConfig, GpioConfig
from hal.errors import DeviceFault, DeviceUnavailable
from hal.simulated.barrier import Behaviour
from hal.simulated.gpio import SimulatedGpio
from hal.simulated.pinboard import Function, PinBoard

RELAY, GREEN, RED, BUZZER, READY = 17, 27, 22, 23, 24
PASSAGE, FIRE, TAMPER, RELEASE = 5, 6, 13, 19
IN, OUT = Direction.IN, Direction.OUT
SECOND = GpioConfig(passage_2=26, relay_out=16, door=12, key=20)


class Recording(SimulatedGpio):
    """Keeps what is done to the lines, and can refuse to write one of them."""

    refuses = -1

    def __init__(self, **options) -> None:
        super().__init__(**options)
        self.done: list[tuple[object, ...]] = []

    def setup_output(self, pin: int, *, level: bool) -> None:
        if pin == self.refuses:
            raise DeviceUnavailable(f"pin {pin} is not ours")
        super().setup_output(pin, level=level)
        self.done.append(("set up", pin, level))

    def write(self, pin: int, *, level: bool) -> None:
        if pin == self.refuses:
            raise DeviceFault(f"pin {pin} is gone")
        super().write(pin, level=level)
        self.done.append((pin, level))

    def close(self) -> None:
        super().close()
        self.done.append(("close",))


def timing(**values) -> GateConfig:
    return GateConfig(site="s", gate="g", **values)


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
    rig.gate.stop()
    assert rig.board.function(RELAY) is Function.INPUT
    last = [edge.level for edge in rig.edges(RELAY)]
    assert last[-1] == (active == "low"), "the relay was let go while it was on"
    rig.gate.stop()


def test_outputs_are_all_defined():
    settings = GpioConfig(output="wiegand26", wiegand_d0=20, wiegand_d1=21, relay_active="low")
    assert outputs(settings) == {
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
    assert outputs(GpioConfig(**values)) == expected


@pytest.mark.parametrize("relay_active", ["high", "low"])
def test_make_safe_drives_every_output_inactive_and_lets_go(relay_active):
    settings = GpioConfig(relay_active=relay_active, relay_out=16)
    gpio = Recording()
    pins = make_safe(gpio, settings)
    assert pins == (17, 16, 27, 22, 23, 24)
    rest = outputs(settings)
    assert gpio.done == [*(("set up", pin, rest[pin]) for pin in pins), ("close",)]


def test_make_safe_lets_go_of_what_it_has_when_a_line_is_not_ours():
    gpio = Recording()
    gpio.refuses = RED
    with pytest.raises(DeviceUnavailable, match="pin 22"):
        make_safe(gpio, GpioConfig())
    assert gpio.done == [("set up", RELAY, False), ("set up", GREEN, False), ("close",)]


def test_at_the_end_the_levels_come_first_then_the_lines_then_the_bus():
    class Bus:
        def close(self) -> None:
            gpio.done.append(("bus",))

    gpio = Recording()
    gate = Gate(gpio, GpioConfig(), timing(), lambda _event: None, card_output=Bus())
    gate.safe()
    assert gpio.done == [], "nothing is set up"
    gate.setup()
    gpio.done.clear()
    gate.safe()
    gate.safe()
    levels = [(pin, False) for pin in (RELAY, GREEN, RED, BUZZER, READY)]
    assert sorted(gpio.done[:-2]) == sorted(levels)
    assert gpio.done[-2:] == [("close",), ("bus",)]


def test_a_line_that_fails_at_the_end_does_not_keep_the_others():
    gpio = Recording()
    gate = Gate(gpio, GpioConfig(), timing(), lambda _event: None)
    gate.setup()
    gpio.refuses = RED
    gpio.done.clear()
    with pytest.raises(DeviceFault, match="pin 22 is gone"):
        gate.safe()
    assert sorted(gpio.done[:-1]) == sorted((pin, False) for pin in (RELAY, GREEN, BUZZER, READY))
    assert gpio.done[-1] == ("close",)


def test_a_level_that_is_there_is_not_written_again():
    board = PinBoard()
    for pin in (FIRE, TAMPER):
        board.drive(pin, level=False)
    gpio = Recording(board=board)
    gate = Gate(gpio, GpioConfig(), timing(), lambda _event: None)
    gate.setup()
    gpio.done.clear()
    gate.tick(0.0)
    gate.hold(held=True)
    for n in range(1, 10):
        gate.tick(n * 0.005)
    assert gpio.done == [(RELAY, True)]


# --- health


@pytest.mark.parametrize("active", ["high", "low"])
def test_health_is_what_the_gate_believes(make_rig, active):
    settings = GpioConfig(relay_out=16, door=12, relay_active=active)
    gate = Gate(SimulatedGpio(), settings, timing(), lambda _event: None)
    quiet = GateHealth(
        alive=False, polls=0, error="", relay_on=False, fire=False, tamper=False, door_open=False
    )
    assert gate.health() == quiet, "not set up"
    rig = make_rig(settings, timing(passage_timeout_s=1))

    def health(**changed: bool) -> bool:
        expected = {"alive": True, "error": "", "relay_on": False, "fire": False, "tamper": False,
                    "door_open": False, **changed}  # fmt: skip
        found = rig.gate.health()
        return {name: getattr(found, name) for name in expected} == expected

    assert health()
    assert rig.gate.health().polls == 1
    rig.poll(3)
    assert rig.gate.health().polls == 4
    for direction in (IN, OUT):
        rig.gate.open(direction, 5)
        rig.poll()
        assert health(relay_on=True)
        rig.gate.close()
        rig.poll()
    rig.barrier.tamper(active=True)
    rig.run(0.1)
    assert health(tamper=True)
    rig.barrier.door(is_open=True)
    rig.run(0.1)
    assert health(tamper=True, door_open=True)
    rig.barrier.tamper(active=False)
    rig.barrier.door(is_open=False)
    rig.run(1.1)
    rig.barrier.fire(active=True)
    rig.poll()
    assert health(relay_on=True, fire=True)
    rig.gate.stop()
    assert health(alive=False, fire=True)


# --- relay


def test_level_mode_holds_the_relay_until_it_is_closed(rig):
    rig.gate.open(IN, 5)
    rig.run(2)
    rig.gate.close()
    rig.run(1)
    assert rig.widths(RELAY) == [2.0]


@pytest.mark.parametrize("asked", [0.5, 5, 500, float("inf")])
def test_the_relay_never_outlasts_its_limit(rig, asked):
    rig.gate.open(IN, asked)
    rig.run(8)
    assert rig.widths(RELAY) == [min(asked, 5.0)]


def test_asking_again_and_again_does_not_hold_the_relay(rig):
    for _ in range(2500):
        rig.gate.open(IN, 5)
        rig.poll()
    assert rig.widths(RELAY) == [5.0, 5.0]
    off, on = rig.edges(RELAY)[1:3]
    assert on.at_ns - off.at_ns >= 0.99e9


def test_the_next_grant_need_not_wait_when_the_last_one_was_closed(rig):
    for _ in range(3):
        rig.gate.open(IN, 5)
        rig.run(1)
        rig.gate.close()
        rig.poll()
    assert len(rig.widths(RELAY)) == 3


@pytest.mark.parametrize("pulse_ms", [100, 200, 1000])
def test_pulse_mode(make_rig, pulse_ms):
    rig = make_rig(timing=timing(relay_mode="pulse", pulse_ms=pulse_ms))
    rig.gate.open(IN, 5)
    rig.run(3)
    assert rig.widths(RELAY) == [pulse_ms / 1000]


@pytest.mark.parametrize(
    ("values", "seconds"),
    [
        ({"relay_mode": "pulse", "pulse_ms": 250}, 0.25),
        ({"relay_mode": "pulse", "pulse_ms": 8_000, "passage_timeout_s": 10}, 8.0),
        ({"relay_mode": "pulse", "pulse_ms": 8_000, "passage_timeout_s": 6}, 6.0),
        ({"relay_mode": "level", "pulse_ms": 250, "passage_timeout_s": 6}, 6.0),
    ],
)
@pytest.mark.parametrize("direction", [IN, OUT])
def test_a_relay_ends_to_the_moment(values, seconds, direction):
    board = PinBoard()
    board.drive(FIRE, level=False)
    gate = Gate(SimulatedGpio(board=board), SECOND, timing(**values), lambda _event: None)
    gate.setup()
    gate.open(direction, 100)
    pin = RELAY if direction is IN else 16
    for now, on in ((0.0, True), (seconds - 2**-20, True), (seconds, False)):
        gate.tick(now)
        assert board.level(pin) is on


def test_two_relays_for_two_directions(make_rig):
    rig = make_rig(SECOND)
    rig.gate.open(OUT, 5)
    rig.run(1)
    assert (rig.on(RELAY), rig.on(16)) == (False, True)
    rig.gate.close()
    rig.gate.open(IN, 5)
    rig.poll()
    assert (rig.on(RELAY), rig.on(16)) == (True, False)


def test_one_relay_serves_both_directions(rig):
    rig.gate.open(OUT, 5)
    rig.poll()
    assert rig.on(RELAY)


def test_free_passage_holds_in_pulse_mode_too(make_rig):
    rig = make_rig(timing=timing(relay_mode="pulse"))
    rig.gate.hold(held=True)
    rig.run(60)
    assert rig.on(RELAY)
    rig.gate.close()
    rig.run(1)
    assert rig.on(RELAY)
    rig.gate.hold(held=False)
    rig.poll()
    assert not rig.on(RELAY)


def test_a_grant_with_a_number_but_nobody_to_take_it_opens(rig):
    rig.gate.open(IN, 5, "5f0c" * 8)
    rig.poll()
    assert rig.on(RELAY)


# --- fire


def test_fire_is_on_the_relay_before_anything_else_is_looked_at(make_rig):
    class Cards:
        """An access controller that takes its time."""

        def present(self, subject: str) -> None:
            seen.append(rig.on(RELAY))

        def poll(self) -> None:
            """Nothing to send."""

        def close(self) -> None:
            """Nothing to let go of."""

    seen: list[bool] = []
    rig = make_rig(card_output=Cards())
    rig.gate.open(IN, 5, "5f0c" * 8)
    rig.barrier.fire(active=True)
    rig.poll()
    assert seen == [True]


def test_fire_opens_within_one_poll_and_holds(make_rig):
    rig = make_rig(SECOND)
    rig.barrier.fire(active=True)
    rig.poll()
    assert (rig.on(RELAY), rig.on(16)) == (True, True)
    assert rig.events == [FireChanged(active=True)]
    rig.gate.close()
    rig.run(120)
    assert (rig.on(RELAY), rig.on(16)) == (True, True)
    rig.barrier.fire(active=False)
    rig.run(0.99)
    assert rig.on(RELAY)
    rig.run(0.02)
    assert (rig.on(RELAY), rig.on(16)) == (False, False)
    assert rig.events[-1] == FireChanged(active=False)


def test_a_cut_fire_wire_is_a_fire(rig):
    rig.board.drive(FIRE, level=None)
    rig.poll()
    assert rig.on(RELAY)


def test_fire_at_start_is_told_and_holds(make_rig):
    rig = make_rig()
    rig.gate.stop()
    board, events = rig.board, []
    board.drive(FIRE, level=True)
    gate = Gate(SimulatedGpio(board=board), rig.settings, rig.timing, events.append)
    gate.setup()
    gate.tick(0.0)
    assert board.level(RELAY)
    assert events == [FireChanged(active=True)]


def test_an_opening_does_not_survive_a_fire(rig):
    rig.gate.open(IN, 5)
    rig.poll()
    rig.barrier.fire(active=True)
    rig.poll()
    rig.barrier.fire(active=False)
    rig.run(1.1)
    assert not rig.on(RELAY)


def test_an_opening_during_a_fire_does_not_survive_it_either(make_rig):
    rig = make_rig(SECOND, timing(direction="both", passage_timeout_s=10))
    rig.barrier.fire(active=True)
    rig.poll()
    rig.barrier.press_release(0.1)
    rig.run(0.1)
    rig.barrier.fire(active=False)
    rig.run(1.1)
    assert (rig.on(RELAY), rig.on(16)) == (False, False)


# --- release


def test_a_release_opens_at_once_without_a_controller(rig):
    rig.barrier.press_release(0.3)
    rig.run(0.03)
    assert rig.events == [ReleasePressed()]
    assert rig.on(RELAY)
    rig.run(6)
    assert rig.widths(RELAY) == [5.0]
    assert rig.events == [ReleasePressed()]


def test_a_release_held_down_at_start_opens_nothing(make_rig):
    rig = make_rig()
    rig.gate.stop()
    rig.board.drive(RELEASE, level=False)
    gate = Gate(SimulatedGpio(board=rig.board), rig.settings, rig.timing, rig.events.append)
    gate.setup()
    for n in range(300):
        gate.tick(n * 0.005)
    assert rig.events == []
    assert not rig.board.level(RELAY)


def test_each_press_restarts_the_limit(rig):
    rig.barrier.press_release(0.3)
    rig.run(3)
    rig.barrier.press_release(0.3)
    rig.run(9)
    assert rig.widths(RELAY) == [8.0]


def test_a_stuck_release_is_a_fault_and_no_open_gate(rig):
    rig.board.drive(RELEASE, level=False)
    rig.run(30)
    assert rig.events == [
        ReleasePressed(),
        GateFault("input release has been active for 10 s"),
    ]
    assert not rig.on(RELAY)
    rig.board.drive(RELEASE, level=True)
    rig.run(30)
    assert rig.events[2:] == [GateFault("input release has been active for 10 s", active=False)]


@pytest.mark.parametrize(
    ("direction", "ways"), [("both", (True, True)), ("in", (True, False)), ("out", (False, True))]
)
def test_a_release_opens_the_ways_that_the_gate_is_for(make_rig, direction, ways):
    rig = make_rig(SECOND, timing(direction=direction))
    rig.barrier.press_release()
    rig.run(0.1)
    assert (rig.on(RELAY), rig.on(16)) == ways


def test_a_release_lasts_as_long_as_a_passage_may_take(make_rig):
    rig = make_rig(timing=timing(passage_timeout_s=2))
    rig.barrier.press_release()
    rig.run(5)
    assert rig.widths(RELAY) == [2.0]


def test_a_release_needs_no_rest(rig):
    rig.gate.open(IN, 1)
    rig.run(1.2)
    rig.barrier.press_release()
    rig.run(0.1)
    assert rig.on(RELAY)


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
    assert rig.events == [TamperChanged(active=True), DoorChanged(is_open=True)]


def test_what_is_not_at_rest_at_start_is_told(make_rig):
    rig = make_rig(SECOND)
    rig.gate.stop()
    rig.barrier.door(is_open=True)
    rig.barrier.key(turned=True)
    rig.barrier.advance(rig.now)
    gate = Gate(SimulatedGpio(board=rig.board), rig.settings, rig.timing, rig.events.append)
    gate.setup()
    gate.tick(0.0)
    assert rig.events == [DoorChanged(is_open=True), KeyTurned(Mode.LOCKED)]


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
    rig.gate.stop()
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


# --- the thread


class Turns:
    """Stands for what wakes the thread: time passes only while it waits, and in the polls."""

    def __init__(self, gate: Gate, polls_s: list[float]) -> None:
        self.now = 100.0
        self.polls_s = polls_s
        self.polled_at: list[float] = []
        self.woken = 0
        self._gate = gate
        gate._wake = self
        gate._clock = lambda: self.now
        gate.tick = self.tick

    def tick(self, now: float) -> None:
        self.polled_at.append(now)
        self.now += self.polls_s.pop(0)
        if not self.polls_s:
            self._gate._stop.set()

    def get(self, *, timeout: float) -> None:
        assert timeout > 0
        self.now += timeout
        raise queue.Empty

    def put(self, _nothing: None) -> None:
        self.woken += 1


@pytest.mark.parametrize(
    ("what", "polls_s", "polled_at"),
    [
        ("quick polls", [0, 0, 0, 0], [100, 100.0078125, 100.015625, 100.0234375]),
        ("late by less than a period, and on time again", [0.00390625] * 3,
         [100, 100.0078125, 100.015625]),
        ("all of the time", [0.0078125, 0, 0], [100, 100.015625, 100.0234375]),
        ("one that takes long, and no haste after it", [1.00390625, 0, 0],
         [100, 101.01171875, 101.01953125]),
    ],
)  # fmt: skip
def test_polls_keep_their_times(what, polls_s, polled_at):
    gate = Gate(SimulatedGpio(), GpioConfig(poll_hz=128), timing(), lambda _event: None)
    turns = Turns(gate, list(polls_s))
    gate._run()
    assert turns.polled_at == polled_at


def test_a_grant_does_not_wait_for_the_poll_and_a_lamp_does(rig):
    turns = Turns(rig.gate, [])
    rig.gate.signal(Signal.GRANTED)
    assert turns.woken == 0
    rig.gate.open(IN, 5)
    assert turns.woken == 1
    rig.gate.stop()
    assert turns.woken == 2, "nor does the end"


def test_the_newest_events_are_kept_while_a_controller_stands_still(make_rig):
    class Gone:
        """An access controller that refuses everybody, each by name."""

        def present(self, subject: str) -> None:
            raise DeviceFault(subject)

        def poll(self) -> None:
            """Nothing to send."""

        def close(self) -> None:
            """Nothing to let go of."""

    rig = make_rig(card_output=Gone())
    heard, rig.gate._on_input = [], _full
    for number in range(300):
        rig.gate.open(IN, 5, f"{number}")
        rig.poll()
    rig.gate._on_input = heard.append
    rig.poll()
    assert heard == [GateFault(f"{number}") for number in range(44, 300)]


def test_a_controller_that_stands_still_does_not_stop_the_gate_and_hears_all_of_it_later(rig):
    heard, rig.gate._on_input = [], _full
    rig.barrier.tamper(active=True)
    rig.run(0.1)
    rig.barrier.fire(active=True)
    rig.poll()
    assert rig.on(RELAY)
    rig.gate._on_input = heard.append
    rig.poll()
    assert heard == [TamperChanged(active=True), FireChanged(active=True)]


def _full(_event) -> None:
    raise queue.Full


def test_requests_are_served_within_one_poll(rig):
    rig.gate.open(IN, 5)
    assert not rig.on(RELAY)
    rig.poll()
    assert rig.on(RELAY)


def test_a_queue_that_nobody_serves_is_told(rig):
    for _ in range(63):
        rig.gate.signal(Signal.READY)
    rig.gate.open(IN, 5)
    with pytest.raises(DeviceFault, match=r"^the gate's I/O thread does not serve its queue$"):
        rig.gate.open(IN, 5)
    rig.poll()
    assert rig.on(RELAY), "all of it is served in one poll"
    rig.gate.close()


class Breaking(SimulatedGpio):
    """Fails to read one line from a moment on."""

    broken = False

    def read(self, pin: int) -> bool:
        if self.broken and pin == TAMPER:
            raise DeviceFault("line gone")
        return super().read(pin)


def test_a_thread_that_dies_leaves_the_pins_safe_and_says_so():
    board = PinBoard()
    for pin in (FIRE, TAMPER):
        board.drive(pin, level=False)
    told = threading.Event()
    events = []

    def hear(event) -> None:
        events.append(event)
        told.set()

    gpio = Breaking(board=board)
    gate = Gate(gpio, GpioConfig(poll_hz=500), timing(), hear)
    gate.start()
    gate.ready(ready=True)
    gate.hold(held=True)
    for _ in range(10_000):
        if board.level(RELAY):
            break
        threading.Event().wait(0.001)
    assert board.level(RELAY)
    gpio.broken = True
    assert told.wait(5)
    assert gate.dead.is_set()
    assert events == [GateFault("gate I/O ended: DeviceFault: line gone")]
    assert [board.level(pin) for pin in (RELAY, GREEN, READY)] == [False] * 3
    assert board.function(RELAY) is Function.INPUT
    health = gate.health()
    assert (health.alive, health.error) == (False, "DeviceFault: line gone")
    with pytest.raises(DeviceFault, match="has ended"):
        gate.open(IN, 5)
    gate.stop()


def test_a_thread_that_dies_is_logged_and_known_even_if_the_pins_cannot_be_made_safe(caplog):
    gpio = Recording()
    gate = Gate(gpio, GpioConfig(), timing(), (events := []).append)
    gate.setup()
    gpio.refuses = RED
    with caplog.at_level(logging.ERROR):
        gate._die(DeviceFault("line gone"))
    assert caplog.messages == [
        "gate I/O ended: DeviceFault: line gone", "the pins could not be made safe",
    ]  # fmt: skip
    assert caplog.records[1].exc_info
    assert gate.dead.is_set()
    assert events == [GateFault("gate I/O ended: DeviceFault: line gone")]
    with pytest.raises(
        DeviceFault, match=r"^the gate's I/O thread has ended: DeviceFault: line gone$"
    ):
        gate.close()


def test_a_thread_that_hangs_does_not_keep_the_process(rig):
    """And it has a name, for whoever looks at what hangs."""
    gate = Gate(SimulatedGpio(board=rig.board), rig.settings, rig.timing, lambda _event: None)
    gate.start()
    thread = gate._thread
    assert (thread.name, thread.daemon, thread.is_alive()) == ("gate", True, True)
    gate.stop()
    assert not thread.is_alive()


def test_the_gate_can_be_stopped_from_its_own_thread(rig):
    stopped = threading.Event()

    def hear(_event) -> None:
        gate.stop()
        stopped.set()

    rig.board.drive(FIRE, level=True)
    gate = Gate(SimulatedGpio(board=rig.board), rig.settings, rig.timing, hear)
    gate.start()
    assert stopped.wait(5)
    gate.stop()
    assert gate.health().error == ""


def test_a_thread_that_does_not_end_is_waited_for_five_seconds(rig):
    class Hanging:
        def join(self, timeout: float) -> None:
            waited.append(timeout)

    waited: list[float] = []
    rig.gate._thread = Hanging()
    rig.gate.stop()
    assert waited == [5.0]
    assert rig.board.function(RELAY) is Function.INPUT, "the pins come before the thread"


def test_time_is_monotonic_unless_another_clock_is_given():
    gate = Gate(SimulatedGpio(), GpioConfig(), timing(), lambda _event: None)
    assert gate._clock is time.monotonic


def test_the_thread_polls_and_the_heartbeat_grows():
    board = PinBoard()
    for pin in (FIRE, TAMPER):
        board.drive(pin, level=False)
    with Gate(SimulatedGpio(board=board), GpioConfig(), timing(), lambda _event: None) as gate:
        before = gate.health().polls
        for _ in range(2_000):
            if gate.health().polls > before + 10:
                break
            threading.Event().wait(0.002)
        assert gate.health().polls > before + 10
        assert gate.health().alive
    assert not gate.health().alive


def test_a_line_that_is_taken_stops_the_start_and_lets_go_of_the_others():
    class Taken(SimulatedGpio):
        def setup_input(self, pin, *, pull) -> None:
            if pin == FIRE:
                raise DeviceUnavailable("pin 6 cannot be taken")
            super().setup_input(pin, pull=pull)

    board = PinBoard()
    gate = Gate(Taken(board=board), GpioConfig(), timing(), lambda _event: None)
    with pytest.raises(DeviceUnavailable):
        gate.start()
    assert board.function(RELAY) is Function.INPUT
