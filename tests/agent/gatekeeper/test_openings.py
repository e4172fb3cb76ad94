"""What opens the relay and for how long: grants, free passage, fire, the release button."""

from __future__ import annotations

import pytest

from agent.gate.heard import heard
from agent.gatekeeper.gatekeeper import Gatekeeper
from agent.gatekeeper.wire import Request
from agent.gatekeeper.words import Direction, Mode
from agent.passage.events import FireChanged, InputFault, ReleasePressed
from agent.settings.model import GpioConfig
from hal.simulated.gpio import SimulatedGpio
from hal.simulated.pinboard import PinBoard
from tests.support.rig import lines_of, timing

RELAY, GREEN, RED, BUZZER, READY = 17, 27, 22, 23, 24
PASSAGE, FIRE, TAMPER, RELEASE = 5, 6, 13, 19
IN, OUT = Direction.IN, Direction.OUT
SECOND = GpioConfig(passage_2=26, relay_out=16, door=12, key=20)


# --- relay


def test_level_mode_holds_the_relay_until_it_is_closed(rig):
    rig.gate.open(IN, 5)
    rig.run(2)
    rig.gate.close()
    rig.run(1)
    assert rig.widths(RELAY) == [2.0]


@pytest.mark.parametrize("asked", [0.5, 5, 500])
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
    pin_map = lines_of(SECOND, timing(**values))
    keeper = Gatekeeper(SimulatedGpio(board=board), pin_map, Mode.NORMAL, lambda _mode: None)
    keeper.setup()
    keeper.ask(Request("open", direction is OUT, 100_000), 0.0)
    pin = RELAY if direction is IN else 16
    for now, on in ((0.0, True), (seconds - 2**-20, True), (seconds, False)):
        keeper.tick(now)
        assert board.level(pin) is on


def test_an_opening_is_as_long_as_was_asked_to_the_moment():
    board = PinBoard()
    board.drive(FIRE, level=False)
    gpio = SimulatedGpio(board=board)
    keeper = Gatekeeper(gpio, lines_of(SECOND), Mode.NORMAL, lambda _mode: None)
    keeper.setup()
    keeper.ask(Request("open", 0, 2_000), 0.0)
    for now, on in ((0.0, True), (2.0 - 2**-20, True), (2.0, False)):
        keeper.tick(now)
        assert board.level(RELAY) is on


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
    rig.keeper.safe()
    rig.board.drive(FIRE, level=True)
    events = rig.again().tick(0.0)
    assert rig.board.level(RELAY)
    assert [heard(event) for event in events] == [FireChanged(active=True)]


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
    rig.run(0.06)
    assert rig.events == [ReleasePressed()]
    assert rig.on(RELAY)
    rig.run(6)
    assert rig.widths(RELAY) == [5.0]
    assert rig.events == [ReleasePressed()]


def test_a_release_held_down_at_start_opens_nothing(make_rig):
    rig = make_rig()
    rig.keeper.safe()
    rig.board.drive(RELEASE, level=False)
    keeper = rig.again()
    assert [event for n in range(300) for event in keeper.tick(n * 0.005)] == []
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
        InputFault("release", "stuck"),
    ]
    assert not rig.on(RELAY)
    rig.board.drive(RELEASE, level=True)
    rig.run(30)
    assert rig.events[2:] == [InputFault("release", "stuck", active=False)]


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
