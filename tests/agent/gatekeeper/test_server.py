"""The gatekeeper's loop: one decider's session, its end, the pin map, and what is told when."""

from __future__ import annotations

import socket
import stat
import threading
from itertools import pairwise
from pathlib import Path

import pytest

from agent.gatekeeper import server as server_module
from agent.gatekeeper.kept import load_map, load_mode, write
from agent.gatekeeper.pinmap import pack
from agent.gatekeeper.server import listen
from agent.gatekeeper.wire import (
    BUSY,
    PROTOCOL,
    STATUS,
    TAKEN,
    WELCOME,
    Event,
    Report,
    Request,
)
from agent.gatekeeper.words import INPUTS, MODES, SIGNALS, Mode, Signal
from agent.settings.model import GpioConfig
from hal.errors import DeviceFault, DeviceUnavailable
from hal.simulated.pinboard import Function
from tests.support.gate_on_disk import until
from tests.support.house import (
    DOOR,
    FIRE,
    GREEN,
    KEY,
    OTHER_PINS,
    OTHER_RELAY,
    PINS,
    READY,
    RED,
    RELAY,
    TAMPER,
    Decider,
    House,
    Lines,
)
from tests.support.rig import PERIOD, lines_of

# --- a session begins


def test_a_decider_is_welcomed_with_a_number_and_the_kept_mode(make_house, tmp_path):
    write(tmp_path / "mode", b"locked\n")
    house, seen = make_house(), set()
    for _ in range(20):
        decider = house.connect()
        decider.send("hello", PROTOCOL)
        house.turn()
        (welcome,) = decider.heard()
        assert welcome == Report(WELCOME, MODES.index(Mode.LOCKED), session=welcome.session)
        assert welcome.session % 2 == 1
        seen.add(welcome.session)
        decider.link.close()
        house.turn()
    assert len(seen) == 20


def test_a_pin_map_is_taken_and_what_stands_is_told(house):
    house.board.drive(DOOR, level=True)
    decider = house.greeted()
    assert house.board.function(RELAY) is Function.UNUSED
    decider.map()
    house.turn()
    taken, door, status = decider.heard()
    assert taken == Report(TAKEN, 1, session=decider.session)
    assert door == Report.of(Event("door"), decider.session)
    assert (status.kind, status.session) == (STATUS, decider.session)
    assert house.board.function(RELAY) is Function.OUTPUT
    house.disk()
    assert house.said == ["a decider is there"]


def test_what_stands_is_told_before_what_happens(booted):
    booted.board.drive(DOOR, level=True)
    booted.run(0.3)
    decider = booted.greeted()
    booted.board.drive(FIRE, level=True)
    decider.map()
    booted.turn()
    assert decider.events() == [Event("fire"), Event("door")]
    assert booted.on()


@pytest.mark.parametrize(
    "message",
    [
        Request("hello", PROTOCOL + 1).pack(),
        Request("hello", 0).pack(),
        Request("beat").pack(),
        Request("open", 0, 5_000).pack(),
        Request("map").pack() + pack(PINS),
        Request("hello", PROTOCOL).pack() + b"x",
        b"x",
        bytes(24)[:23],
        b"\xff" * 24,
    ],
)
def test_who_begins_with_anything_but_hello_is_not_heard(booted, message):
    decider = booted.connect()
    decider.link.send(message)
    booted.turn()
    assert decider.heard() == [None]
    booted.run(1)
    assert not booted.on()
    booted.disk()
    assert booted.said == [], "nobody who is somebody"


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (lambda number: Request("beat", session=number + 2).pack(), "a message of another session"),
        (lambda number: Request("beat").pack(), "a message of another session"),
        (lambda number: Request("hello", PROTOCOL, session=number).pack(),
         "another protocol, or a second hello"),
        (lambda number: Request("beat", session=number).pack() + b"\0", "a message of another size"),
        (lambda number: Request("map", session=number).pack(), "a message of another size"),
        (lambda number: Request("beat", session=number).pack()[:-1], "not a request"),
        (lambda number: b"\x0b" + Request("beat", session=number).pack()[1:], "not a request"),
        (lambda number: Request("open", 2, session=number).pack(), "open: 2 stands for nothing"),
    ],
)  # fmt: skip
def test_a_message_that_is_none_ends_the_session_and_what_it_asked_for(booted, message, said):
    decider = booted.decider()
    decider.send("hold", 1)
    booted.turn()
    assert booted.on()
    decider.link.send(message(decider.session))
    booted.turn()
    assert not booted.on()
    assert decider.over
    booted.disk()
    assert booted.said[-1] == f"the decider's session ended: {said}"
    booted.decider()


def test_one_decider_at_a_time(booted):
    first, second = booted.decider(), booted.connect()
    second.send("hello", PROTOCOL)
    booted.turn()
    assert second.heard() == [Report(BUSY), None]
    first.send("hold", 1)
    booted.turn()
    assert booted.on(), "the first one is not disturbed"
    first.link.close()
    booted.turn()
    booted.decider()


def test_who_says_nothing_gives_way(booted):
    mute = booted.connect()
    booted.turn()
    booted.decider()
    assert mute.heard() == [None]


def test_who_was_greeted_and_sends_no_map_asks_for_nothing(booted):
    decider = booted.greeted()
    decider.send("hold", 1)
    decider.send("open", 0, milliseconds=5_000, value=round(booted.now * 1e9))
    booted.run(0.3)
    assert not booted.on()
    assert decider.heard() == [], "nor is told anything"


def test_without_any_map_nothing_can_be_asked_for(house):
    decider = house.greeted()
    decider.send("hold", 1)
    house.turn(3)
    assert decider.heard() == []
    assert house.board.edges() == [edge for edge in house.board.edges() if not edge.output]


# --- and ends


def held_open(house: House) -> Decider:
    decider = house.decider()
    decider.send("hold", 1)
    decider.send("ready", 1)
    decider.send("signal", SIGNALS.index(Signal.LOCKED))
    house.turn()
    assert [house.on(pin) for pin in (RELAY, READY, RED)] == [True] * 3
    return decider


def test_silence_hushes_after_four_tenths_and_ends_after_two_seconds(booted):
    decider = held_open(booted)
    spoke = booted.now

    def at(seconds: float) -> list[bool]:
        booted.now = spoke + seconds
        booted.server.turn(booted.now)
        return [booted.on(pin) for pin in (RELAY, READY, RED)]

    assert at(0.399) == [True, True, True]
    at(0.41)
    assert at(0.415) == [False, False, True]
    decider.send("beat")
    at(0.5)
    assert at(0.505) == [True, True, True], "spoken to again"
    at(2.49)
    assert at(2.495) == [False, False, True]
    assert not decider.over
    assert at(2.51) == [False] * 3
    assert decider.over
    booted.disk()
    assert booted.said[-1] == "the decider fell silent"


@pytest.mark.parametrize(("silence_s", "open_", "alive"), [
    (0.375, True, True), (0.5, False, True), (2.0, False, True), (2.0 + 2**-20, False, False),
])  # fmt: skip
def test_silence_to_the_moment(booted, silence_s, open_, alive):
    booted.now = 127.0
    decider = booted.decider()
    booted.now = 128.0
    decider.send("hold", 1)
    booted.server.turn(128.0)
    for _ in range(2):
        booted.server.turn(128.0 + silence_s)
    assert booted.on() is open_
    assert decider.over is not alive


def test_at_four_tenths_exactly_nothing_is_hushed_yet(booted, monkeypatch):
    monkeypatch.setattr(server_module, "SILENCE_S", 0.5)
    booted.now = 127.0
    decider = booted.decider()
    booted.now = 128.0
    decider.send("hold", 1)
    for seconds, on in (
        (0.0, True),
        (0.5, True),
        (0.5, True),
        (0.5 + 2**-20, True),
        (0.5 + 2**-19, False),
    ):
        booted.server.turn(128.0 + seconds)
        assert booted.on() is on


def test_a_decider_that_dies_is_gone_at_once(booted):
    decider = held_open(booted)
    decider.link.close()
    booted.turn()
    assert [booted.on(pin) for pin in (RELAY, READY, RED)] == [False] * 3
    booted.disk()
    assert booted.said[-1] == "the decider is gone"


def test_who_dies_with_reports_unread_is_gone_too(booted):
    """The kernel then says reset, not end."""
    decider = booted.decider()
    for level in (True, False) * 3:
        booted.board.drive(DOOR, level=level)
        booted.run(0.3, decider)
    decider.link.close()
    booted.turn()
    booted.disk()
    assert booted.said[-1] == "the decider is gone"
    booted.decider()


def test_who_dies_between_what_it_asked_and_the_answer_is_gone(booted):
    decider = booted.connect()
    decider.send("hello", PROTOCOL)
    decider.link.close()
    booted.turn()
    booted.decider()


def test_fire_release_and_free_mode_work_without_a_decider(booted):
    decider = booted.decider()
    decider.send("mode", MODES.index(Mode.FREE))
    booted.turn()
    decider.link.close()
    booted.run(3)
    assert booted.on()
    decider = booted.decider()
    decider.send("mode", MODES.index(Mode.NORMAL))
    booted.turn()
    decider.link.close()
    booted.run(1)
    assert not booted.on()
    booted.press()
    assert booted.on()
    booted.run(6)
    booted.board.drive(FIRE, level=True)
    booted.turn()
    assert booted.on()
    booted.disk()
    assert load_mode(booted.directory / "mode") == (Mode.NORMAL, "")


def test_an_opening_that_waited_too_long_opens_nothing(booted):
    decider = booted.decider()
    asked_ns = round(booted.now * 1e9)
    booted.now += 0.41
    decider.send("open", 0, milliseconds=5_000, value=asked_ns)
    booted.turn(2)
    assert not booted.on()
    decider.send("open", 0, milliseconds=5_000, value=round(booted.now * 1e9))
    booted.turn()
    assert booted.on(), "in the very turn in which it was asked"


def test_a_decider_that_asks_for_much_is_served_in_portions(booted):
    decider = booted.decider()
    for _ in range(64):
        decider.send("beat")
    decider.send("hold", 1)
    booted.turn()
    assert not booted.on()
    booted.turn()
    assert booted.on()


# --- presses and the key meanwhile


def test_presses_that_nobody_saw_are_told_once(booted):
    for _ in range(3):
        booted.press()
    decider = booted.greeted()
    booted.press()
    decider.send("beat")
    decider.map()
    booted.turn()
    assert decider.heard()[0] == Report(TAKEN, 1, 4, session=decider.session)
    decider.link.close()
    booted.turn()
    decider = booted.greeted()
    decider.map()
    booted.turn()
    assert decider.heard()[0].b == 0


def test_presses_are_told_over_a_change_of_the_map_and_a_refusal(booted):
    booted.press()
    decider = booted.greeted()
    Lines.taken = OTHER_RELAY
    decider.map(OTHER_PINS)
    booted.turn()
    assert decider.heard()[0] == Report(TAKEN, session=decider.session, text="pin 16 is not ours")
    Lines.taken = None
    decider.map(OTHER_PINS)
    booted.turn()
    assert decider.heard()[0] == Report(TAKEN, 1, 1, session=decider.session)


def test_the_key_works_without_a_decider_and_is_told(booted):
    booted.board.drive(KEY, level=False)
    booted.run(0.1)
    booted.disk()
    assert load_mode(booted.directory / "mode") == (Mode.LOCKED, "")
    decider = booted.connect()
    decider.send("hello", PROTOCOL)
    booted.turn()
    (welcome,) = decider.heard()
    assert welcome.a == MODES.index(Mode.LOCKED)
    decider.session = welcome.session
    decider.map()
    booted.turn()
    assert decider.events() == [Event("key", which=MODES.index(Mode.LOCKED))]


# --- the pin map


def test_the_same_map_moves_nothing(booted):
    decider = booted.decider()
    decider.send("mode", MODES.index(Mode.FREE))
    booted.turn()
    decider.link.close()
    booted.turn()
    booted.decider()
    assert booted.rises() == 1
    assert len(booted.made) == 1


def test_another_map_is_taken_and_kept_and_the_mode_goes_with_it(booted):
    decider = booted.decider()
    decider.send("mode", MODES.index(Mode.FREE))
    booted.turn()
    decider.map(OTHER_PINS)
    booted.turn()
    assert decider.heard()[-2] == Report(TAKEN, 1, session=decider.session)
    assert booted.board.function(RELAY) is Function.INPUT
    assert booted.on(OTHER_RELAY)
    assert load_map(booted.directory / "pins.map") == (PINS, "")
    booted.disk()
    assert load_map(booted.directory / "pins.map") == (OTHER_PINS, "")


def test_the_map_that_is_in_force_is_not_written_again(booted):
    booted.decider()
    (booted.directory / "pins.map").unlink()
    booted.disk()
    assert not (booted.directory / "pins.map").exists()


@pytest.mark.parametrize("boots", [True, False])
def test_a_record_that_is_no_map_is_refused(make_house, tmp_path, boots):
    if boots:
        write(tmp_path / "pins.map", pack(PINS))
    house = make_house()
    house.server.boot()
    house.turn()
    decider = house.greeted()
    decider.map(pack(PINS)[:-1] + b"\0")
    house.turn()
    said = "the pin map's checksum is wrong"
    assert decider.heard() == [Report(TAKEN, session=decider.session, text=said)]
    assert house.board.function(RELAY) is (Function.OUTPUT if boots else Function.UNUSED)


def test_a_map_longer_than_one_ends_the_session(booted):
    decider = booted.greeted()
    decider.map(pack(PINS) + b"\0")
    booted.turn()
    assert decider.heard()[0].text.startswith("a pin map has 568 bytes")


def test_no_map_is_changed_while_fire_holds_the_gate(booted):
    booted.board.drive(FIRE, level=True)
    booted.turn()
    decider = booted.greeted()
    decider.map(OTHER_PINS)
    booted.turn()
    said = "a fire alarm holds the gate: the pins stay as they are"
    assert decider.heard() == [Report(TAKEN, session=decider.session, text=said)]
    assert booted.on()
    assert len(booted.made) == 1
    decider.map(PINS)
    booted.turn()
    taken, fire, _status = decider.heard()
    assert (taken.a, fire.event()) == (1, Event("fire"))


def test_a_map_that_cannot_be_taken_leaves_the_old_one_in_force(booted):
    decider = booted.decider()
    decider.send("mode", MODES.index(Mode.FREE))
    booted.turn()
    Lines.taken = OTHER_RELAY
    decider.map(OTHER_PINS)
    booted.turn()
    assert decider.heard()[-1] == Report(TAKEN, session=decider.session, text="pin 16 is not ours")
    assert booted.on(), "the mode is the old one"
    assert booted.board.function(OTHER_RELAY) is Function.UNUSED
    decider.send("beat")
    booted.disk()
    assert load_map(booted.directory / "pins.map") == (PINS, "")
    decider.map(PINS)
    booted.turn()
    assert decider.heard()[0].a == 1, "and it is the one that is there"
    assert len(booted.made) == 3


def test_a_first_map_that_cannot_be_taken_is_not_kept(house):
    Lines.taken = RELAY
    decider = house.greeted()
    decider.map()
    house.turn()
    assert decider.heard() == [Report(TAKEN, session=decider.session, text="pin 17 is not ours")]
    house.disk()
    assert load_map(house.directory / "pins.map") == (None, "")
    Lines.taken = None
    decider.map()
    house.turn()
    assert decider.heard()[0].a == 1


def test_lines_that_are_gone_for_good_end_the_gatekeeper(booted):
    """Not the session: the process ends, and the service manager tries again."""
    decider = booted.greeted()
    Lines.taken = RELAY
    decider.map(lines_of(GpioConfig(driver="simulated")))
    with pytest.raises(DeviceUnavailable, match="pin 17 is not ours"):
        booted.turn()


def test_a_line_that_fails_ends_the_gatekeeper_and_not_the_session_alone(make_house, tmp_path):
    write(tmp_path / "pins.map", pack(PINS))
    house = make_house()
    house.server.boot()
    house.turn()
    decider = house.decider()
    decider.send("bye")
    real = house.server._hear

    def breaks(now: float) -> bool:
        Lines.broken = TAMPER
        return real(now)

    house.server._hear = breaks
    with pytest.raises(DeviceFault, match="pin 13 is gone"):
        house.turn()


# --- what was kept


def test_a_kept_map_needs_no_decider(make_house, tmp_path):
    write(tmp_path / "pins.map", pack(PINS))
    write(tmp_path / "mode", b"free\n")
    house = make_house()
    house.server.boot()
    assert not house.on()
    house.turn()
    assert house.on()


def test_what_is_damaged_is_told(make_house, tmp_path):
    (tmp_path / "mode").write_bytes(b"?")
    (tmp_path / "pins.map").write_bytes(b"?")
    house = make_house()
    house.server.boot()
    house.disk()
    assert [line.split(":")[0] for line in house.said] == [
        str(tmp_path / "mode"), str(tmp_path / "pins.map")
    ]  # fmt: skip
    assert not house.made
    house.turn()
    decider = house.connect()
    decider.send("hello", PROTOCOL)
    house.turn()
    assert decider.heard()[0].a == MODES.index(Mode.LOCKED)


def test_a_kept_map_whose_lines_are_taken_does_not_start(make_house, tmp_path):
    write(tmp_path / "pins.map", pack(PINS))
    Lines.taken = GREEN
    with pytest.raises(DeviceUnavailable, match="pin 27 is not ours"):
        make_house().server.boot()


def test_a_disk_that_refuses_is_told_and_takes_it_later(booted):
    """Nobody waits for it, and the mode holds meanwhile."""
    decider = booted.decider()
    folder = booted.directory.rename(booted.directory.with_name("elsewhere"))
    decider.send("mode", MODES.index(Mode.FREE))
    booted.turn(2)
    booted.disk()
    decider.send("beat")
    booted.turn()
    assert booted.on()
    assert decider.heard()[-1].a & 16
    folder.rename(booted.directory)
    booted.disk()
    booted.turn()
    assert not decider.heard()[-1].a & 16
    assert load_mode(booted.directory / "mode") == (Mode.FREE, "")


# --- bye


def test_goodbye_closes_the_gate_before_the_decider_may_go(booted):
    decider = held_open(booted)
    decider.heard()
    decider.send("bye")
    booted.turn()
    assert decider.over
    assert [booted.on(pin) for pin in (RELAY, READY, RED)] == [False] * 3
    assert booted.board.function(RELAY) is Function.OUTPUT
    booted.disk()
    assert booted.said[-1] == "the decider left"
    booted.press()
    assert booted.on(), "it works on"
    assert not booted.server._stopping


@pytest.fixture
def own(make_house, tmp_path) -> House:
    """A gatekeeper that a daemon started."""
    write(tmp_path / "pins.map", pack(PINS))
    house = make_house(leave=True)
    house.server.boot()
    house.turn()
    return house


def test_one_that_a_daemon_started_goes_with_it(own):
    decider = held_open(own)
    decider.heard()
    decider.send("bye")
    own.turn()
    assert decider.over
    assert own.board.function(RELAY) is Function.INPUT
    assert own.server._stopping
    own.turn()  # a last one does no harm


def test_but_not_with_one_that_is_killed(own):
    held_open(own).link.close()
    own.run(5)
    assert not own.server._stopping
    own.press()
    assert own.on()


def test_nor_while_fire_holds_the_gate(own):
    decider = own.decider()
    own.board.drive(FIRE, level=True)
    own.turn()
    decider.send("bye")
    own.run(5)
    assert decider.over
    assert (own.on(), own.server._stopping) == (True, False)
    own.board.drive(FIRE, level=False)
    own.run(1.1)
    assert own.server._stopping


def test_who_comes_back_keeps_it(own):
    own.decider().send("bye")
    own.board.drive(FIRE, level=True)
    own.run(0.1)
    decider = own.decider()
    own.board.drive(FIRE, level=False)
    own.run(2, decider)
    assert not own.server._stopping


def test_one_whose_socket_is_gone_leaves(own):
    own.server.leave()
    own.turn()
    assert own.server._stopping


def test_one_without_lines_leaves_too(make_house):
    house = make_house(leave=True)
    decider = house.greeted()
    decider.send("bye")
    house.turn()
    assert decider.over
    assert house.server._stopping


# --- what is told


def test_events_are_told_in_order_as_they_happen(booted):
    decider = booted.decider()
    booted.board.drive(DOOR, level=True)
    booted.run(0.1, decider)
    booted.board.drive(FIRE, level=True)
    booted.turn()
    booted.press()
    assert decider.events() == [Event("door"), Event("fire"), Event("release")]


def test_the_state_is_told_when_it_is_news_and_each_quarter_second(booted):
    decider = booted.decider()
    decider.heard()
    booted.run(0.2, decider)
    assert decider.heard() == []
    booted.board.drive(TAMPER, level=True)
    booted.turn()
    (status,) = decider.heard()
    assert (status.kind, status.a, status.b) == (STATUS, 0, 1 << INPUTS.index("tamper"))
    booted.run(0.2, decider)
    (believed,) = decider.heard()[1:]
    assert (believed.a, believed.b) == (4, 1 << INPUTS.index("tamper"))
    times = []
    for _ in range(200):
        decider.send("beat")
        booted.turn()
        times += [booted.now for _ in decider.heard()]
    gaps = [later - before for before, later in pairwise(times)]
    assert gaps == [pytest.approx(0.25, abs=1.01 * PERIOD)] * 3


def test_the_state_to_the_moment(booted):
    booted.now = 128.0
    decider = booted.decider()
    told_at = booted.now
    decider.heard()
    booted.server.turn(told_at + 0.25 - 2**-20)
    assert decider.heard() == []
    booted.server.turn(told_at + 0.25)
    assert len(decider.heard()) == 1


@pytest.mark.parametrize(
    ("pins", "ask", "bits"),
    [
        ({}, None, 0),
        ({}, ("hold", 1), 1),
        ({FIRE: True}, None, 1 | 2),
        ({TAMPER: True}, None, 4),
        ({DOOR: True}, None, 8),
        ({}, ("mode", MODES.index(Mode.LOCKED)), 16),
        ({FIRE: True, TAMPER: True, DOOR: True}, ("mode", MODES.index(Mode.FREE)), 31),
    ],
)
def test_what_the_state_says(booted, pins, ask, bits):
    decider = booted.decider()
    for pin, level in pins.items():
        booted.board.drive(pin, level=level)
    if ask:
        decider.send(*ask)
    booted.run(0.3, decider)
    assert decider.heard()[-1].a == bits


def test_the_first_state_is_told_with_the_first_poll(house):
    house.turn(5)
    decider = house.greeted()
    decider.map()
    house.turn()
    assert decider.heard()[1:] == [Report(STATUS, 16, polls=1, session=decider.session)]


def test_a_turn_in_which_nobody_asks_is_one_poll(booted):
    before = booted.server._polls
    booted.turn(10)
    assert booted.server._polls == before + 10


def test_the_state_says_how_many_polls_there_were(booted):
    decider = booted.decider()
    polls = booted.server._polls
    assert decider.heard() == []
    booted.turn(100)
    status = decider.heard()[-1]
    assert polls < status.polls <= polls + 100
    booted.server._polls = 2**32 + 4
    booted.run(0.3)
    assert status.polls < 1000
    assert decider.heard()[-1].polls < 100


def test_what_a_decider_does_not_take_is_offered_again_in_order(booted):
    decider = booted.decider()
    booted.server._session.link.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
    expected = []
    for level in (True, False) * 20:
        booted.board.drive(DOOR, level=level)
        booted.run(0.4, decider)
        expected.append(Event("door", on=level))
    assert len(booted.server._session.outbox) > 10, "more than the kernel takes"
    found = []
    for _ in range(100):
        decider.send("beat")
        found += decider.events()
        booted.turn()
    assert [event for event in found if event.name == "door"] == expected
    assert not booted.server._session.outbox


def test_of_too_much_that_a_decider_does_not_take_the_oldest_is_dropped(booted):
    decider = booted.decider()
    session = booted.server._session
    session.link.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
    for number in range(600):
        session.send(Report(STATUS, polls=number))
    assert len(session.outbox) == 256
    found = []
    while session.outbox:
        decider.send("beat")
        found += decider.heard()
        booted.turn()
    numbers = [report.polls for report in found + decider.heard() if report.polls >= 344]
    assert numbers[:256] == list(range(344, 600))


def test_a_line_that_flutters_crowds_out_no_event(booted):
    """The raw levels change with each poll, and the decider is stopped for a while."""
    decider = booted.decider()
    booted.server._session.link.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
    booted.board.drive(DOOR, level=True)
    booted.run(0.1)
    for number in range(350):
        booted.board.drive(TAMPER, level=number % 2 == 0)
        booted.turn()
    found = []
    for _ in range(50):
        decider.send("beat")
        found += decider.events()
        booted.turn()
    assert found[0] == Event("door")


def test_unsent_words_go_out_before_the_session_is_closed(booted):
    decider = booted.greeted()
    booted.server._session.send(Report(STATUS, polls=7))
    decider.send("bye")
    booted.turn()
    assert decider.heard() == [Report(STATUS, polls=7), None]


# --- the service manager


@pytest.fixture
def manager(tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(str(tmp_path / "notify"))
        channel.setblocking(False)
        yield channel


def told(channel: socket.socket) -> list[str]:
    found = []
    while True:
        try:
            found.append(channel.recv(100).decode())
        except BlockingIOError:
            return found


def test_the_watchdog_is_fed_four_times_a_second(make_house, manager, tmp_path):
    house = make_house(environment={"NOTIFY_SOCKET": str(tmp_path / "notify")})
    for now, fed in (
        (100.0, 1), (100.25 - 2**-20, 0), (100.25, 1), (100.3, 0), (100.5, 1), (109.0, 1),
    ):  # fmt: skip
        house.server.turn(now)
        assert told(manager) == ["WATCHDOG=1"] * fed


def test_a_fire_is_said_to_the_service_manager_once(make_house, manager, tmp_path):
    write(tmp_path / "pins.map", pack(PINS))
    house = make_house(environment={"NOTIFY_SOCKET": str(tmp_path / "notify")})
    house.server.boot()

    def statuses() -> list[str]:
        return [words for words in told(manager) if words.startswith("STATUS")]

    house.run(0.1)
    assert statuses() == []
    house.board.drive(FIRE, level=True)
    house.run(0.1)
    assert statuses() == ["STATUS=fire: the gate is held open"]
    house.board.drive(FIRE, level=False)
    house.run(1.2)
    assert statuses() == ["STATUS=serving"]


def test_a_service_manager_that_is_gone_does_not_end_the_gate(make_house, tmp_path):
    house = make_house(environment={"NOTIFY_SOCKET": str(tmp_path / "nowhere")})
    house.turn()
    house.disk()
    assert house.said == []


# --- the loop


class Times:
    """Stands for the wait: time passes there, and in the turns."""

    def __init__(self, house: House, turns_s: list[float], wakes_s: list[float]) -> None:
        self.house = house
        self.turns_s = turns_s
        self.wakes_s = wakes_s
        self.turned_at: list[float] = []
        house.server.turn = self.turn
        house.server._wait = self.wait

    def turn(self, now: float) -> None:
        self.turned_at.append(now)
        self.house.now += self.turns_s.pop(0)
        if not self.turns_s:
            self.house.server._stopping = True

    def wait(self, seconds: float) -> None:
        wake = self.wakes_s.pop(0) if self.wakes_s else seconds
        self.house.now += max(0.0, min(seconds, wake))


P = 1 / 128


@pytest.mark.parametrize(
    ("what", "turns_s", "wakes_s", "turned_at"),
    [
        ("quick polls", [0, 0, 0, 0], [], [0, P, 2 * P, 3 * P]),
        ("late by less than a period, and on time again", [P / 2] * 3, [], [0, P, 2 * P]),
        ("as long as a period", [P, 0, 0], [], [0, P, 2 * P]),
        ("just longer than a period, the next at once", [1.5 * P, 0, 0], [], [0, 1.5 * P, 2 * P]),
        ("late by a period, and no haste after it", [2 * P, 0, 0], [], [0, 2 * P, 3 * P]),
        ("one that takes long, and no haste after it", [128.5 * P, 0, 0], [],
         [0, 128.5 * P, 129.5 * P]),
        ("woken by what was said, the polls keep their times", [0] * 6, [P / 4, P / 4, P / 4],
         [0, P / 4, P / 2, 3 * P / 4, P, 2 * P]),
    ],
)  # fmt: skip
def test_polls_keep_their_times(make_house, tmp_path, what, turns_s, wakes_s, turned_at):
    write(tmp_path / "pins.map", pack(PINS._replace(poll_hz=128)))
    house = make_house()
    house.server.boot()
    times = Times(house, list(turns_s), list(wakes_s))
    house.server.run()
    assert times.turned_at == [100 + moment for moment in turned_at]


def test_without_lines_the_loop_turns_fifty_times_a_second(house):
    times = Times(house, [0.0] * 3, [])
    house.server.run()
    assert times.turned_at == [100.0, 100.02, pytest.approx(100.04)]


def test_the_worst_lateness_since_the_last_word_is_told(booted):
    booted.now = 127.0
    decider = booted.decider()
    decider.heard()
    server = booted.server
    lateness = [4.0, 0.125, 0.0625]
    booted.now = 128.0
    real, reports = server.turn, []

    def turn(now: float) -> None:
        decider.send("beat")
        real(now)
        reports.extend(report.value for report in decider.heard() if report.kind == STATUS)
        if not lateness:
            server._stopping = True

    def wait(seconds: float) -> None:
        booted.now += seconds + (lateness.pop(0) if lateness else 0.0)

    server.turn, server._wait = turn, wait
    server.run()
    assert reports == [0, 4_000_000_000]
    assert server._late_ns == 125_000_000


def test_the_lateness_is_told_once(booted):
    decider = booted.decider()
    decider.heard()
    booted.server._late_ns = 7_000
    booted.run(0.6, decider)
    assert [report.value for report in decider.heard()] == [7_000, 0]


def test_what_is_said_ends_the_wait(booted):
    """A real wait; a grant is not as late as the next poll."""
    connecting = booted.connect()
    booted.server._wait(3600)
    connecting.send("hello", PROTOCOL)
    booted.turn()
    connecting.session = connecting.heard()[0].session
    connecting.send("beat")
    booted.server._wait(3600)
    booted.turn()
    booted.server.stop()
    booted.server._wait(3600)


@pytest.mark.parametrize(("seconds", "waited"), [(-1.0, 0.0), (0.0, 0.0), (0.25, 0.25)])
def test_it_waits_no_longer_than_the_next_poll(booted, monkeypatch, seconds, waited):
    asked = []
    monkeypatch.setattr(server_module.select, "select", lambda *arguments: asked.append(arguments))
    booted.server._wait(seconds)
    booted.greeted()
    booted.server._wait(seconds)
    (alone, *rest), (served, *_) = asked
    assert rest == [(), (), waited]
    assert served == [*alone, booted.server._session.link]


def test_told_to_stop_it_leaves_the_lines_and_says_so(make_house, manager, tmp_path):
    write(tmp_path / "pins.map", pack(PINS))
    write(tmp_path / "mode", b"free\n")
    house = make_house(environment={"NOTIFY_SOCKET": str(tmp_path / "notify")})
    house.server.boot()
    thread = threading.Thread(target=house.server.run)
    thread.start()
    until(house.on, "open")
    house.server.stop(15, None)
    house.server.stop(15, None)
    thread.join(10)
    assert not thread.is_alive()
    words = told(manager)
    assert words[:3] == ["STATUS=serving", "READY=1", "WATCHDOG=1"]
    assert words[-1] == "STOPPING=1"
    assert house.board.function(RELAY) is Function.INPUT
    levels = [edge.level for edge in house.board.edges() if edge.pin == RELAY]
    assert levels == [True, False], "let go of while it was on"
    house.disk()
    assert house.said == []
    house.server.close()
    house.server.stop()  # a second signal, late


def test_the_end_of_the_process_is_no_news_of_the_decider(booted):
    booted.decider()
    booted.server.close()
    booted.disk()
    assert booted.said == ["a decider is there"]


def test_a_line_that_fails_ends_the_loop_and_leaves_the_others_safe(booted):
    decider = held_open(booted)
    Lines.broken = TAMPER
    with pytest.raises(DeviceFault, match="pin 13 is gone"):
        booted.server.run()
    assert booted.board.function(RELAY) is Function.INPUT
    assert [booted.on(pin) for pin in (RELAY, READY, RED)] == [False] * 3
    assert decider.over
    with pytest.raises(OSError, match="refused"):
        booted.connect()


def test_a_line_that_fails_at_the_very_end_does_not_keep_the_rest(booted, monkeypatch):
    decider = booted.decider()

    def fail(self, pin: int, *, level: bool) -> None:
        raise DeviceFault("gone")

    monkeypatch.setattr(Lines, "write", fail)
    with pytest.raises(DeviceFault, match="gone"):
        booted.server.close()
    assert decider.over
    booted.server.close()


# --- the socket


def test_a_socket_is_for_its_group_and_replaces_a_dead_one(tmp_path):
    path = tmp_path / "socket"
    for mode in (0o660, 0o600):
        with listen(path, mode) as listener:
            assert stat.S_IMODE(path.stat().st_mode) == mode
            assert not listener.getblocking()
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as link:
                link.connect(str(path))
    assert path.is_socket()


def test_a_path_may_be_longer_than_a_socket_can_say(tmp_path):
    folder = tmp_path / ("a" * 100) / ("b" * 100)
    folder.mkdir(parents=True)
    before = len(list(Path("/proc/self/fd").iterdir()))
    listen(folder / "socket", 0o660).close()
    assert (folder / "socket").is_socket()
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_socket_that_cannot_be_made_leaves_nothing_open(tmp_path):
    (tmp_path / "socket").mkdir()
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(OSError, match="Is a directory"):
        listen(tmp_path / "socket", 0o660)
    with pytest.raises(FileNotFoundError):
        listen(tmp_path / "nowhere" / "socket", 0o660)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
