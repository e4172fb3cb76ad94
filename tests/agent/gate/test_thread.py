"""The gate's own thread: its polls, its queue, and how it ends."""

from __future__ import annotations

import logging
import queue
import threading
import time

import pytest

from agent.gate.gate import Gate
from agent.passage.events import (
    FireChanged,
    GateFault,
    TamperChanged,
)
from agent.passage.types import Direction, Signal
from agent.settings.model import GateConfig, GpioConfig
from hal.errors import DeviceFault, DeviceUnavailable
from hal.simulated.gpio import SimulatedGpio
from hal.simulated.pinboard import Function, PinBoard
from tests.support.pins import Recording

RELAY, GREEN, RED, BUZZER, READY = 17, 27, 22, 23, 24
PASSAGE, FIRE, TAMPER, RELEASE = 5, 6, 13, 19
IN, OUT = Direction.IN, Direction.OUT
SECOND = GpioConfig(passage_2=26, relay_out=16, door=12, key=20)


def timing(**values) -> GateConfig:
    return GateConfig(site="s", gate="g", **values)


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
