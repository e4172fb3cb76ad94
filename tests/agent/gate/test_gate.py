"""The gate's pins as waveforms: start and end, inputs, lamps, health."""

from __future__ import annotations

import pytest

from agent.gate.gate import Gate, GateHealth, make_safe, outputs
from agent.gate.signals import PATTERNS
from agent.passage.events import (
    DoorChanged,
    KeyTurned,
    LaneEntered,
    PassageReversed,
    PassageSensed,
    TamperChanged,
)
from agent.passage.types import Direction, Mode, Signal
from agent.settings.model import GateConfig, GpioConfig
from hal.errors import DeviceFault, DeviceUnavailable
from hal.simulated.barrier import Behaviour
from hal.simulated.gpio import SimulatedGpio
from hal.simulated.pinboard import Function, PinBoard
from tests.support.pins import Recording

RELAY, GREEN, RED, BUZZER, READY = 17, 27, 22, 23, 24
PASSAGE, FIRE, TAMPER, RELEASE = 5, 6, 13, 19
IN, OUT = Direction.IN, Direction.OUT
SECOND = GpioConfig(passage_2=26, relay_out=16, door=12, key=20)


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
