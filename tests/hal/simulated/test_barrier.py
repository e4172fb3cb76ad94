"""The simulated barrier: when its arm is free, what people do, and the truth about who is inside."""

from __future__ import annotations

import threading

import pytest

from hal.simulated.barrier import Barrier, Behaviour, Wiring
from hal.simulated.pinboard import Function, PinBoard

RELAY, OUTER, INNER, FIRE, DOOR, RELEASE = 17, 5, 26, 6, 12, 19
WIRING = Wiring(
    relay=RELAY, passage=OUTER, passage_2=INNER, fire=FIRE, tamper=13, release=RELEASE, door=DOOR, key=20
)  # fmt: skip


class Lane:
    def __init__(self, wiring: Wiring = WIRING, **options) -> None:
        self.now = 0.0
        self.board = PinBoard(clock_ns=lambda: round(self.now * 1e9))
        self.barrier = Barrier(self.board, wiring, clock=lambda: self.now, **options)
        self.board.set_function(RELAY, Function.OUTPUT)
        self.relay(on=False)

    def relay(self, *, on: bool) -> None:
        self.board.write(RELAY, level=on)

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds * 100)):
            self.now += 0.01
            self.barrier.advance(self.now)

    def broken(self, pin: int) -> list[tuple[float, float]]:
        """When a beam was broken, seconds."""
        edges = [e for e in self.board.edges() if e.pin == pin]
        if edges and edges[0].level:
            edges = edges[1:]  # the beam was put up
        times = [round(edge.at_ns / 1e9, 2) for edge in edges]
        return list(zip(times[::2], times[1::2], strict=True))


@pytest.fixture
def lane() -> Lane:
    return Lane()


def test_at_rest_every_loop_is_closed_and_the_arm_is_locked(lane):
    lane.run(1)
    levels = {pin: lane.board.level(pin) for pin in (OUTER, INNER, FIRE, 13, DOOR, RELEASE, 20)}
    assert levels == {
        OUTER: True,
        INNER: True,
        FIRE: False,
        13: False,
        DOOR: False,
        RELEASE: True,
        20: True,
    }
    assert not lane.barrier.unlocked


def test_a_person_waits_for_the_arm_and_breaks_the_beams_in_order(lane):
    lane.barrier.expect(Behaviour.PASS)
    lane.run(3)
    assert lane.barrier.inside == 0
    lane.relay(on=True)
    lane.run(2)
    assert lane.barrier.inside == 1
    ((outer_in, outer_out),), ((inner_in, inner_out),) = lane.broken(OUTER), lane.broken(INNER)
    assert 3.4 <= outer_in < inner_in < outer_out < inner_out


def test_a_pulse_frees_the_arm_for_one_person_or_for_its_time(lane):
    lane.relay(on=True)
    lane.run(0.1)
    lane.relay(on=False)
    lane.run(4)
    assert lane.barrier.unlocked
    lane.run(1.1)
    assert not lane.barrier.unlocked
    lane.barrier.expect(Behaviour.PASS)
    lane.relay(on=True)
    lane.run(0.1)
    lane.relay(on=False)
    lane.run(1)
    assert lane.barrier.inside == 1
    assert not lane.barrier.unlocked


def test_fire_frees_the_arm_without_the_agent(lane):
    lane.barrier.fire(active=True)
    assert lane.barrier.unlocked
    lane.barrier.fire(active=False)
    assert not lane.barrier.unlocked


@pytest.mark.parametrize(
    ("behaviour", "inwards", "inside", "outer", "inner"),
    [
        (Behaviour.PASS, True, 1, 1, 1),
        (Behaviour.PASS, False, -1, 1, 1),
        (Behaviour.STAY, True, 0, 0, 0),
        (Behaviour.TAILGATED, True, 2, 2, 2),
        (Behaviour.TURN_BACK, True, 0, 1, 0),
        (Behaviour.TURN_BACK, False, 0, 0, 1),
        (Behaviour.CRAWL_BACK, True, 0, 2, 2),
    ],
)
def test_behaviours(lane, behaviour, inwards, inside, outer, inner):
    lane.barrier.expect(behaviour, inwards=inwards)
    lane.relay(on=True)
    lane.run(3)
    assert lane.barrier.inside == inside
    assert (len(lane.broken(OUTER)), len(lane.broken(INNER))) == (outer, inner)
    assert not lane.barrier.busy


def test_force_needs_no_relay_and_moves_the_door(lane):
    lane.run(1)
    lane.barrier.force()
    assert lane.barrier.busy
    lane.run(0.2)
    assert lane.board.level(DOOR)
    lane.run(2)
    assert not lane.board.level(DOOR)
    assert lane.barrier.inside == 1


def test_a_release_is_a_press_of_some_length(lane):
    lane.run(1)
    lane.barrier.press_release(0.3)
    lane.run(2)
    ((pressed, let_go),) = lane.broken(RELEASE)
    assert let_go - pressed == pytest.approx(0.3, abs=0.011)


def test_two_people_who_were_announced_need_two_openings(lane):
    lane.barrier.expect(Behaviour.PASS)
    lane.barrier.expect(Behaviour.PASS)
    lane.relay(on=True)
    lane.run(3)
    assert lane.barrier.inside == 1
    lane.relay(on=False)
    lane.run(0.1)
    lane.relay(on=True)
    lane.run(3)
    assert lane.barrier.inside == 2


def test_with_one_beam_nobody_who_turns_round_is_seen():
    lane = Lane(Wiring(relay=RELAY, passage=OUTER))
    lane.barrier.expect(Behaviour.TURN_BACK)
    lane.relay(on=True)
    lane.run(3)
    assert lane.broken(OUTER) == []


def test_it_runs_by_itself_in_a_demo():
    board = PinBoard()
    barrier = Barrier(board, WIRING, reaction_s=0.0)
    board.set_function(RELAY, Function.OUTPUT)
    barrier.expect(Behaviour.PASS)
    barrier.start()
    try:
        board.write(RELAY, level=True)
        for _ in range(2_000):
            if barrier.inside == 1:
                break
            threading.Event().wait(0.005)
        assert barrier.inside == 1
    finally:
        barrier.close()
    barrier.close()
