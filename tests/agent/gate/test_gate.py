"""The decider's end of the line: sessions with a real server, turned by hand on one clock."""

from __future__ import annotations

import logging
import queue
import socket
import threading
import time
from collections.abc import Callable

import pytest

from agent.gate import gate as gate_module
from agent.gate.gate import Gate, GateHealth, end_session
from agent.gatekeeper.kept import write
from agent.gatekeeper.pinmap import PinMap
from agent.gatekeeper.wire import (
    EVENTS,
    STATUS,
    TAKEN,
    WELCOME,
    Event,
    Report,
    Request,
)
from agent.gatekeeper.words import INPUTS, Direction, Mode, Signal
from agent.passage.events import DoorChanged, FireChanged, GateFault, InputEvent
from hal.errors import DeviceFault, DeviceUnavailable
from hal.simulated.pinboard import Function
from tests.support.gate_on_disk import until
from tests.support.house import (
    DOOR,
    FIRE,
    OTHER_PINS,
    OTHER_RELAY,
    PINS,
    READY,
    RED,
    RELAY,
    TAMPER,
    House,
    Lines,
)
from tests.support.rig import PERIOD

IN = Direction.IN
LOST = GateFault("no session with the gatekeeper: nothing opens")
FOUND = GateFault("no session with the gatekeeper: nothing opens", active=False)
BUSY_SAID = r"^another process decides for this gate; stop it first$"


class Link(socket.socket):
    """A link that lets the server turn whenever it waits for an answer."""

    house: House

    def recv(self, size: int) -> bytes:
        if self.gettimeout() != 0:
            self.house.turn()
        return super().recv(size)


class Decider:
    """A gate whose thread is the test: `turn` is one round of both sides."""

    def __init__(self, house: House, pin_map: PinMap = PINS, **options: object) -> None:
        self.house = house
        self.links: list[Link] = []
        self.refuse: DeviceUnavailable | None = None
        self.events: list[InputEvent] = []
        self.full = False
        self.gate = Gate(self._connect, pin_map, self._hear, clock=lambda: house.now, **options)

    def _connect(self) -> Link:
        if self.refuse is not None:
            raise self.refuse
        link = Link(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        link.house = self.house
        self.links.append(link)
        self.house.links.append(link)
        link.connect(str(self.house.path))
        return link

    def _hear(self, event: InputEvent) -> None:
        if self.full:
            raise queue.Full
        self.events.append(event)

    def turn(self, times: int = 1) -> None:
        for _ in range(times):
            self.house.turn()
            self.gate.turn()

    def run(self, seconds: float) -> None:
        self.turn(round(seconds / PERIOD))


@pytest.fixture
def make_decider(booted) -> Callable[..., Decider]:
    return lambda *arguments, **options: Decider(booted, *arguments, **options)


@pytest.fixture
def decider(make_decider) -> Decider:
    """One that has begun."""
    decider = make_decider()
    decider.gate.begin()
    return decider


def restart(house: House) -> None:
    """The gatekeeper dies and comes again, with the map that it kept."""
    house.server.close()
    house.server = house.build()
    house.server.boot()


def peer(*answers: bytes) -> tuple[socket.socket, socket.socket]:
    """Return a link and its other end, which has answered already."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for answer in answers:
        theirs.send(answer)
    return ours, theirs


# --- begin


@pytest.mark.parametrize("mode", [Mode.NORMAL, Mode.FREE, Mode.LOCKED, Mode.MAINTENANCE])
def test_a_session_begins_with_the_kept_mode_and_the_pin_map(make_house, tmp_path, mode):
    write(tmp_path / "mode", f"{mode}\n".encode())
    house = make_house()
    decider = Decider(house)
    assert decider.gate.begin() is mode
    assert house.board.function(RELAY) is Function.OUTPUT
    assert not decider.links[0].getblocking()
    assert decider.gate.health() == GateHealth(), "nothing was heard yet"


def test_what_is_asked_for_reaches_the_lines(decider):
    decider.gate.open(IN, 5)
    decider.turn()
    assert decider.house.on()
    decider.gate.close()
    decider.turn()
    assert not decider.house.on()


def test_another_decider_is_there(make_decider, decider):
    second = make_decider()
    with pytest.raises(DeviceUnavailable, match=BUSY_SAID):
        second.gate.begin()
    assert second.links[0].fileno() == -1
    decider.gate.open(IN, 5)
    decider.turn()
    assert decider.house.on()


def test_one_that_is_refused_before_it_could_greet_hears_why(booted, decider):
    second = Decider(booted)
    link = second._connect()
    booted.turn()
    second._connect = second.gate._connect = lambda: link
    with pytest.raises(DeviceUnavailable, match=BUSY_SAID):
        second.gate.begin()


def test_a_map_that_is_refused_says_why(booted, make_decider):
    Lines.taken = OTHER_RELAY
    second = make_decider(OTHER_PINS)
    with pytest.raises(DeviceUnavailable, match=r"^pin 16 is not ours$"):
        second.gate.begin()
    assert second.links[0].fileno() == -1
    booted.turn()
    Decider(booted).gate.begin()


def test_nobody_is_there(make_decider):
    decider = make_decider()
    decider.refuse = DeviceUnavailable("nobody is there")
    with pytest.raises(DeviceUnavailable, match=r"^nobody is there$"):
        decider.gate.begin()


WELCOMED = Report(WELCOME, session=9).pack()
SAID_NOTHING = r"^the gatekeeper does not answer: "


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ((), SAID_NOTHING + "timed out$"),
        ((WELCOMED,), SAID_NOTHING + "timed out$"),
        ((b"x",), SAID_NOTHING + "not a report$"),
        ((WELCOMED + b"x",), SAID_NOTHING + "not a report$"),
        ((Report(TAKEN, 1).pack(),), SAID_NOTHING + "another answer than was asked for$"),
        ((WELCOMED, WELCOMED), SAID_NOTHING + "another answer than was asked for$"),
        ((WELCOMED, Report(EVENTS).pack()), SAID_NOTHING + "another answer than was asked for$"),
        ((WELCOMED, Report(TAKEN, text="fire").pack()), "^fire$"),
        ((b"",), "^the gatekeeper refused this session$"),
        ((WELCOMED, b""), "^the gatekeeper refused this session$"),
    ],
)
def test_an_answer_that_is_none(monkeypatch, answers, said):
    monkeypatch.setattr(gate_module, "ANSWER_S", 0.01)
    ours, theirs = peer(*(answer for answer in answers if answer))
    if b"" in answers:
        theirs.shutdown(socket.SHUT_WR)
    gate = Gate(lambda: ours, PINS, lambda _event: None)
    with pytest.raises(DeviceUnavailable, match=said):
        gate.begin()
    assert ours.fileno() == -1
    theirs.close()


def test_five_seconds_are_enough_for_an_answer(monkeypatch):
    ours, theirs = peer(WELCOMED, Report(TAKEN, 1).pack())
    waits: list[float] = []

    class Watched(socket.socket):
        def settimeout(self, seconds: float) -> None:
            waits.append(seconds)
            super().settimeout(seconds)

    link = Watched(fileno=ours.detach())
    gate = Gate(lambda: link, PINS, lambda _event: None)
    gate.begin()
    theirs.close()
    gate.stop()
    assert waits == [5.0, 5.0]


def test_an_interrupt_leaves_no_link_behind():
    class Interrupted(socket.socket):
        def recv(self, size: int) -> bytes:
            raise KeyboardInterrupt

    ours, theirs = peer()
    link = Interrupted(fileno=ours.detach())
    with pytest.raises(KeyboardInterrupt):
        Gate(lambda: link, PINS, lambda _event: None).begin()
    assert link.fileno() == -1
    theirs.close()


def test_presses_that_nobody_saw_are_told(booted, make_decider):
    booted.press()
    booted.press()
    decider = make_decider()
    decider.gate.begin()
    decider.turn()
    assert decider.events == [GateFault("2 presses of the release while nobody decided")]


def test_where_nobody_pressed_nothing_is_told(decider):
    decider.turn()
    assert decider.events == []


# --- what is heard


def test_events_are_handed_on_in_order(decider):
    decider.house.board.drive(DOOR, level=True)
    decider.run(0.1)
    decider.house.board.drive(FIRE, level=True)
    decider.turn(2)
    assert decider.events == [DoorChanged(is_open=True), FireChanged(active=True)]


def test_events_that_nobody_takes_are_kept_and_offered_again(decider):
    decider.full = True
    decider.house.board.drive(DOOR, level=True)
    decider.run(0.1)
    decider.house.board.drive(FIRE, level=True)
    decider.run(0.1)
    assert decider.house.on()
    assert decider.events == []
    decider.full = False
    decider.turn()
    assert decider.events == [DoorChanged(is_open=True), FireChanged(active=True)]
    decider.turn()
    assert len(decider.events) == 2


def test_of_too_many_events_the_newest_are_kept(make_decider):
    class Gone:
        """An access controller that refuses everybody, each by name."""

        def present(self, subject: str) -> None:
            raise DeviceFault(subject)

        def close(self) -> None:
            """Nothing to let go of."""

    decider = make_decider(card_output=lambda _send: Gone())
    decider.gate.begin()
    for number in range(300):
        decider.gate.open(IN, 5, f"{number}")
        decider.house.turn()
    decider.gate.turn()
    assert decider.events == [GateFault(f"{number}") for number in range(44, 300)]


@pytest.mark.parametrize(
    ("report", "health"),
    [
        (Report(STATUS, polls=7), {"polls": 7}),
        (Report(STATUS, 1), {"relay_on": True}),
        (Report(STATUS, 2), {"fire": True}),
        (Report(STATUS, 4), {"tamper": True}),
        (Report(STATUS, 8), {"door_open": True}),
        (Report(STATUS, 16), {"not_saved": True}),
        (Report(STATUS, 32), {}),
        (Report(STATUS, value=1_500_000), {"late_ms": 1.5}),
        (Report(STATUS, b=0b1111111), {"active": frozenset(INPUTS)}),
        *((Report(STATUS, b=1 << n), {"active": {name}}) for n, name in enumerate(INPUTS)),
    ],
)
def test_the_state_of_the_lines(decider, report, health):
    decider.house.server._session.send(report)
    decider.house.server._session.flush()
    decider.gate.turn()
    assert decider.gate.health() == GateHealth(alive=True, **health)


def test_other_reports_say_nothing_new(decider):
    decider.turn()
    before = decider.gate.health()
    decider.house.server._session.send(Report(WELCOME, 3, session=5))
    decider.turn()
    assert (decider.gate.health().alive, decider.events) == (True, [])
    assert before.alive


def test_the_state_follows_the_lines(decider):
    decider.house.board.drive(TAMPER, level=True)
    decider.gate.hold(held=True)
    decider.run(0.1)
    health = decider.gate.health()
    assert (health.alive, health.relay_on, health.tamper) == (True, True, True)
    assert health.active == {"tamper"}
    assert health.error == ""


# --- beats


def test_a_decider_that_turns_is_not_silent(decider):
    decider.gate.hold(held=True)
    decider.run(5)
    assert decider.house.on()
    assert decider.gate.health().alive


def test_a_beat_is_due_a_tenth_of_a_second_after_the_last(decider):
    house, session = decider.house, decider.house.server._session

    def beats() -> int:
        count = 0
        while True:
            try:
                session.receive()
            except BlockingIOError:
                return count
            count += 1

    house.now = began = 128.0
    decider.gate._beat_at = began
    for seconds, expected in (
        (0.0, 0), (0.0625, 0), (0.125, 1), (0.1875, 0), (0.2188, 0), (0.2251, 1), (0.9, 1), (0.95, 0),
    ):  # fmt: skip
        house.now = began + seconds
        decider.gate.turn()
        assert beats() == expected, seconds


def test_a_session_begins_without_a_beat(decider):
    assert decider.gate._beat_at == decider.house.now
    decider.gate.turn()
    with pytest.raises(BlockingIOError):
        decider.house.server._session.receive()


def test_at_a_tenth_exactly_a_beat_is_due(decider, monkeypatch):
    monkeypatch.setattr(gate_module, "BEAT_S", 0.125)
    decider.gate._beat_at, decider.house.now = 128.0, 128.125
    decider.gate.turn()
    assert (
        decider.house.server._session.receive()
        == Request("beat", session=decider.gate._session).pack()
    )


# --- a session is lost


def test_a_gatekeeper_that_comes_again_is_asked_again_for_what_lasts(decider, caplog):
    gate, house = decider.gate, decider.house
    gate.hold(held=True)
    gate.ready(ready=True)
    gate.signal(Signal.LOCKED)
    gate.open(IN, 5)
    decider.run(0.1)
    polls = gate.health().polls
    restart(house)
    with caplog.at_level(logging.WARNING):
        gate.turn()
    assert caplog.messages == ["the session with the gatekeeper ended: the gatekeeper ended it"]
    assert gate.health() == GateHealth(polls=polls)
    assert decider.events == [LOST]
    assert [house.on(pin) for pin in (RELAY, READY, RED)] == [False] * 3
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        decider.run(0.1)
    assert caplog.messages == ["a new session with the gatekeeper"]
    assert decider.events == [LOST, FOUND]
    assert [house.on(pin) for pin in (RELAY, READY, RED)] == [True] * 3
    assert gate.health().alive
    gate.hold(held=False)
    decider.turn(2)
    assert not house.on(), "the opening was lost"


def test_what_is_asked_for_without_a_session_is_lost(decider):
    restart(decider.house)
    decider.gate.turn()
    decider.gate.open(IN, 5)
    decider.gate.hold(held=True)
    decider.gate.hold(held=False)
    decider.run(0.5)
    assert not decider.house.on()
    assert decider.house.rises() == 0


def test_a_stopped_decider_begins_again(decider):
    decider.run(0.1)
    decider.house.run(3)
    decider.run(0.1)
    assert decider.events == [LOST, FOUND]
    assert decider.gate.health().alive


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (b"x", "not a report"),
        (Report(EVENTS, 99).pack(), "not an event"),
        (Report.of(Event("key", which=9), 1).pack(), "an event of nothing that is known"),
    ],
)
def test_what_is_no_report_ends_the_session(decider, caplog, message, said):
    decider.house.server._session.link.send(message)
    with caplog.at_level(logging.WARNING):
        decider.gate.turn()
    assert caplog.messages == [f"the session with the gatekeeper ended: {said}"]
    assert decider.links[0].fileno() == -1
    assert decider.events == [LOST]


def test_a_gatekeeper_that_does_not_listen_is_no_session(decider, caplog):
    decider.links[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
    with caplog.at_level(logging.WARNING):
        for _ in range(20):
            decider.gate.close()
    (said,) = caplog.messages
    assert "Resource temporarily unavailable" in said
    assert decider.links[0].fileno() == -1
    decider.gate.close()
    decider.gate._lose("twice")
    decider.turn()
    assert decider.events == [LOST, FOUND]


def test_a_decider_without_a_gatekeeper_is_dead_after_its_patience(decider, caplog):
    gate, house = decider.gate, decider.house
    gate.turn()
    house.server.close()
    decider.refuse = DeviceUnavailable("nobody is there")
    house.now = 128.0
    gate.turn()
    for seconds in (0.0, 4.0, 5.0):
        house.now = 128.0 + seconds
        gate.turn()
        assert not gate.dead.is_set()
        assert gate.health().error == ""
    house.now = 133.0 + 2**-20
    gate.turn()
    assert gate.dead.is_set()
    assert gate.health() == GateHealth(error="nobody is there")
    assert caplog.messages[-1] == "the gatekeeper is gone: nobody is there"


def test_patience_is_counted_anew_and_may_be_another(make_decider):
    decider = make_decider(patience_s=1.0)
    gate, house = decider.gate, decider.house
    gate.begin()
    for _ in range(3):
        restart(house)
        gate.turn()
        decider.refuse = DeviceUnavailable("nobody is there")
        gate.turn()
        house.now += 0.9
        gate.turn()
        assert not gate.dead.is_set()
        decider.refuse = None
        decider.turn(2)
        assert gate.health().alive
    restart(house)
    gate.turn()
    decider.refuse = DeviceUnavailable("nobody is there")
    gate.turn()
    house.now += 1.1
    gate.turn()
    assert gate.dead.is_set()


# --- the thread


def test_time_is_monotonic_unless_another_clock_is_given():
    gate = Gate(lambda: None, PINS, lambda _event: None)
    assert gate._clock is time.monotonic


def test_an_opening_says_the_time_in_nanoseconds():
    gate = Gate(lambda: None, PINS, lambda _event: None, clock=lambda: 128.5)
    sent: list[Request] = []
    gate._send = sent.append
    gate.open(IN, 5)
    assert sent == [Request("open", 0, 5_000, value=128_500_000_000)]


@pytest.fixture
def served(booted):
    """A server that turns in its own thread, on the real clock."""
    booted.server._clock = time.monotonic
    thread = threading.Thread(target=booted.server.run)
    thread.start()
    yield booted
    booted.server.stop()
    thread.join(10)


def connect(house: House) -> Callable[[], socket.socket]:
    def connect() -> socket.socket:
        link = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        house.links.append(link)
        link.connect(str(house.path))
        return link

    return connect


def test_the_thread_keeps_the_session_and_hands_on(served):
    events: list[InputEvent] = []
    with Gate(connect(served), PINS, events.append) as gate:
        thread = gate._thread
        assert (thread.name, thread.daemon) == ("gate", True)
        gate.hold(held=True)
        until(served.on, "open")
        served.board.drive(FIRE, level=True)
        until(lambda: events, "told")
        until(lambda: gate.health().fire, "known")
        polls = gate.health().polls
        until(lambda: gate.health().polls > polls + 100, "polled on")
        assert served.on()
    assert not thread.is_alive()
    assert events == [FireChanged(active=True)]


def test_the_thread_begins_again(served):
    events: list[InputEvent] = []
    with Gate(connect(served), PINS, events.append) as gate:
        until(lambda: gate.health().alive, "alive")
        gate._link.shutdown(socket.SHUT_RDWR)
        until(lambda: FOUND in events, "back")
        assert events == [LOST, FOUND]


def test_the_thread_ends_when_the_gate_is_dead(served):
    gate = Gate(connect(served), PINS, lambda _event: None)
    gate.begin()
    gate.dead.set()
    gate.start()
    gate._thread.join(10)
    assert not gate._thread.is_alive()
    gate.stop()


def test_a_thread_that_fails_says_so(decider, caplog):
    def fail(_event: InputEvent) -> None:
        raise ValueError("a controller that is none")

    decider.gate._on_input = fail
    decider.gate._happened(LOST)
    decider.gate._beat_at = float("-inf")
    with caplog.at_level(logging.ERROR):
        decider.gate._run()
    assert caplog.messages == [
        "the gate's thread ended", "the gatekeeper is gone: ValueError: a controller that is none"
    ]  # fmt: skip
    assert caplog.records[0].exc_info
    assert decider.gate.dead.is_set()
    assert decider.gate.health().error == "ValueError: a controller that is none"


@pytest.mark.parametrize(
    ("since_beat_s", "untold", "waited"),
    [(0.0, False, 0.1), (0.0625, False, 0.0375), (0.5, False, 0.0), (0.0, True, 0.05),
     (0.0625, True, 0.0375), (0.5, True, 0.0)],
)  # fmt: skip
def test_it_waits_for_a_word_or_the_next_beat(decider, monkeypatch, since_beat_s, untold, waited):
    asked = []
    monkeypatch.setattr(gate_module.select, "select", lambda *arguments: asked.append(arguments))
    decider.gate._beat_at = decider.house.now - since_beat_s
    if untold:
        decider.gate._happened(LOST)
    decider.gate._wait()
    assert asked == [([decider.links[0]], (), (), pytest.approx(waited))]


def test_without_a_session_it_waits_for_the_next_try(make_decider):
    class Stop:
        def wait(self, seconds: float) -> None:
            waited.append(seconds)

    waited: list[float] = []
    gate = make_decider().gate
    gate._stop = Stop()
    gate._wait()
    assert waited == [0.05]


def test_a_link_that_is_closed_meanwhile_is_nothing_to_wait_for(decider):
    decider.links[0].close()
    decider.gate._wait()


# --- the end


def test_the_gate_is_closed_when_stop_returns(decider):
    gate, house = decider.gate, decider.house
    gate.hold(held=True)
    decider.run(0.1)
    gate.stop()
    assert not house.on()
    assert decider.links[0].fileno() == -1
    gate.stop()
    house.disk()
    assert house.said[-1] == "the decider left"


def test_reports_that_were_not_read_do_not_keep_it(decider):
    decider.house.board.drive(DOOR, level=True)
    decider.house.run(0.3)
    decider.gate.stop()
    decider.house.disk()
    assert decider.house.said[-1] == "the decider left"


def test_a_gatekeeper_that_does_not_answer_the_goodbye_is_told(decider, caplog):
    decider.house.server.close()
    with caplog.at_level(logging.WARNING):
        decider.gate.stop()
    assert caplog.messages == ["the gatekeeper did not answer the goodbye: [Errno 32] Broken pipe"]
    assert decider.links[0].fileno() == -1


def test_a_card_output_is_let_go_of_at_the_end(make_decider):
    class Cards:
        closed = 0

        def present(self, subject: str) -> None:
            """Nobody comes."""

        def close(self) -> None:
            self.closed += 1

    sends: list[Callable[[Request], None]] = []
    cards = Cards()
    decider = make_decider(card_output=lambda send: sends.append(send) or cards)
    decider.gate.begin()
    sends[0](Request("hold", 1))
    decider.turn()
    assert decider.house.on(), "what it is given sends requests"
    decider.gate.stop()
    assert cards.closed == 1


def test_it_can_be_stopped_from_its_own_thread(served):
    stopped = threading.Event()

    def hear(_event: InputEvent) -> None:
        gate.stop()
        stopped.set()

    gate = Gate(connect(served), PINS, hear)
    gate.begin()
    gate.start()
    served.board.drive(FIRE, level=True)
    assert stopped.wait(10)
    gate._thread.join(10)
    assert gate.health().error == ""
    assert not gate.dead.is_set()


def test_a_thread_that_does_not_end_is_waited_for_five_seconds(decider):
    class Hanging:
        def join(self, timeout: float) -> None:
            waited.append((timeout, decider.gate._stop.is_set()))

    waited: list[tuple[float, bool]] = []
    decider.gate._thread = Hanging()
    decider.gate.stop()
    assert waited == [(5.0, True)]


# --- without a gate


def test_a_session_may_be_ended_for_somebody_who_is_gone(booted):
    decider = Decider(booted)
    end_session(link := decider._connect())
    assert link.fileno() == -1
    booted.disk()
    assert booted.said == ["the decider left"]


def test_but_not_for_somebody_who_is_there(decider):
    link = decider._connect()
    with pytest.raises(DeviceUnavailable, match=BUSY_SAID):
        end_session(link)
    assert link.fileno() == -1


def test_a_session_that_nobody_answers_for_cannot_be_ended(monkeypatch):
    monkeypatch.setattr(gate_module, "ANSWER_S", 0.01)
    ours, theirs = peer(WELCOMED, Report(STATUS).pack(), Report(STATUS).pack())
    with pytest.raises(DeviceUnavailable, match=SAID_NOTHING + "timed out$"):
        end_session(ours)
    assert ours.fileno() == -1
    assert theirs.recv(100) != b""
    assert Request.unpack(theirs.recv(100)) == Request("bye", session=9)
    theirs.close()
