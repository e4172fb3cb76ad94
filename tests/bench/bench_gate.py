"""What the gate costs: a grant's way to the pin in polls, a poll against its bare reads, a passage.

Ratios in one run, of processor time and in turns, so that a busy machine changes neither side. Run as a script or with
`pytest -m bench tests/bench/bench_gate.py`.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from agent.daemon.pins import pin_map
from agent.gatekeeper.pinmap import inputs
from agent.passage.events import CodesSeen, Committed, PassageSensed, Tick, Verified
from agent.passage.machine import start, step
from agent.passage.types import Code, Direction, Mode, Requirement, Rules, Use
from agent.settings.model import Config, GateConfig, GpioConfig
from hal.simulated.gpio import SimulatedGpio
from hal.simulated.pinboard import PinBoard
from tests.support.gate_in_hand import GateInHand

pytestmark = pytest.mark.bench

RELAY, FIRE = 17, 6
SETTINGS = GpioConfig(passage_2=26, door=12, key=20)
TIMING = GateConfig(site="bench", gate="g")
LINES = pin_map(Config(gate=TIMING, gpio=SETTINGS))
ROUNDS, REPEATS = 40, 200

POLL_LIMIT = 8.0
"""One poll (inputs debounced, relay, lamps), against the bare reads of its lines."""
PASSAGE_LIMIT = 1.0
"""The machine's whole passage (six steps), against one ECDSA P-256 verification."""


def paired(one: Callable[[], object], other: Callable[[], object]) -> tuple[float, float]:
    """Return seconds a call of both, each the median over rounds that alternate."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(ROUNDS):
        for run, found in zip((one, other), times, strict=True):
            begin = time.thread_time()
            for _ in range(REPEATS):
                run()
            found.append((time.thread_time() - begin) / REPEATS)
    return statistics.median(times[0]), statistics.median(times[1])


def make_gate() -> tuple[GateInHand, SimulatedGpio, PinBoard]:
    board = PinBoard()
    for line in inputs(LINES):
        board.drive(line.pin, level=not line.active)
    gpio = SimulatedGpio(board=board)
    gate = GateInHand(gpio, SETTINGS, TIMING, lambda _event: None, clock=lambda: 0.0)
    gate.setup()
    gate.tick(0.0)
    return gate, gpio, board


def polls_until(gate: GateInHand, board: PinBoard) -> int:
    """Return how many polls pass until the relay is on."""
    for poll in range(1, 100):
        gate.tick(poll * 0.005)
        if board.level(RELAY):
            return poll
    return 100


def test_a_grant_and_a_fire_reach_the_pin_in_one_poll():
    gate, _, board = make_gate()
    gate.open(Direction.IN, 5.0)
    assert polls_until(gate, board) == 1
    gate, _, board = make_gate()
    board.drive(FIRE, level=True)
    assert polls_until(gate, board) == 1


def poll_cost() -> tuple[float, float]:
    gate, gpio, _ = make_gate()
    pins = [line.pin for line in inputs(LINES)]
    now = [1.0]

    def poll() -> None:
        now[0] += 0.005
        gate.tick(now[0])

    def reads() -> None:
        for pin in pins:
            gpio.read(pin)

    return paired(poll, reads)


def passage_cost() -> tuple[float, float]:
    rules = Rules()
    use = Use("subject", Requirement.NONE, Direction.IN, b"mark")
    at = [0.0]
    state = [start(Mode.NORMAL, 0.0, rules)[0]]

    def passage() -> None:
        at[0] += 10
        number = state[0].attempt + 1
        digest = number.to_bytes(8)
        for event in (
            CodesSeen((Code(digest, b""),)),
            Verified(number, digest, use),
            Committed(number),
            CodesSeen(()),
            PassageSensed(Direction.IN),
        ):
            at[0] += 0.01
            state[0], _ = step(state[0], event, at[0], rules)
        state[0], _ = step(state[0], Tick(), at[0] + 5, rules)

    key = ec.generate_private_key(ec.SECP256R1())
    signature = key.sign(b"message", ec.ECDSA(hashes.SHA256()))
    public = key.public_key()
    algorithm = ec.ECDSA(hashes.SHA256())
    return paired(passage, lambda: public.verify(signature, b"message", algorithm))


def test_a_poll_costs_little_more_than_its_reads():
    poll, reads = poll_cost()
    assert poll / reads <= POLL_LIMIT


def test_a_passage_is_worth_a_few_signatures_at_most():
    passage, signature = passage_cost()
    assert passage / signature <= PASSAGE_LIMIT


def main() -> None:
    poll, reads = poll_cost()
    print(f"poll          {poll * 1e6:8.1f} us = {poll / reads:5.2f} x its reads", end="")
    print(f"  ({poll * SETTINGS.poll_hz:.2%} of a core at {SETTINGS.poll_hz} Hz)")
    passage, signature = passage_cost()
    print(f"passage steps {passage * 1e6:8.1f} us = {passage / signature:5.2f} x one P-256 verify")


if __name__ == "__main__":
    main()
