"""A gate on simulated pins with a clock of the test's own; no thread, no sleeping."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from agent.daemon.pins import wiring
from agent.gate.gate import Gate
from agent.passage.events import InputEvent
from agent.settings.model import GateConfig, GpioConfig
from hal.simulated.barrier import Barrier
from hal.simulated.gpio import SimulatedGpio
from hal.simulated.pinboard import Edge, PinBoard

PERIOD = 0.005


@dataclass
class Rig:
    """A gate, its barrier, and what it said; `now` is seconds."""

    settings: GpioConfig = field(default_factory=GpioConfig)
    timing: GateConfig = field(default_factory=lambda: GateConfig(site="s", gate="g"))
    card_output: object = None
    now: float = 100.0

    def __post_init__(self) -> None:
        self.board = PinBoard(clock_ns=lambda: round(self.now * 1e9))
        self.barrier = Barrier(self.board, wiring(self.settings), clock=lambda: self.now)
        self.gpio = SimulatedGpio(board=self.board)
        self.events: list[InputEvent] = []
        self.heard: list[tuple[float, InputEvent]] = []
        self.gate = Gate(
            self.gpio,
            self.settings,
            self.timing,
            self._hear,
            clock=lambda: self.now,
            card_output=self.card_output,
        )
        self.gate.setup()
        self.poll()

    def _hear(self, event: InputEvent) -> None:
        self.events.append(event)
        self.heard.append((self.now, event))

    def poll(self, times: int = 1) -> None:
        for _ in range(times):
            self.now += PERIOD
            self.barrier.advance(self.now)
            self.gate.tick(self.now)

    def run(self, seconds: float) -> None:
        self.poll(round(seconds / PERIOD))

    def on(self, pin: int) -> bool:
        return self.board.level(pin)

    def edges(self, pin: int) -> list[Edge]:
        return [edge for edge in self.board.edges() if edge.pin == pin]

    def widths(self, pin: int) -> list[object]:
        """How long the line was high each time, seconds, to within a poll; to be compared."""
        edges = self.edges(pin)
        ups = [edge.at_ns for edge in edges if edge.level]
        downs = [edge.at_ns for edge in edges if not edge.level]
        return [
            pytest.approx((down - up) / 1e9, abs=1.01 * PERIOD)
            for up, down in zip(ups, downs, strict=False)
        ]


@pytest.fixture
def rig() -> Rig:
    return Rig()


@pytest.fixture
def make_rig() -> type[Rig]:
    return Rig
