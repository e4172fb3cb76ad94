"""A gate's lines on a simulated board with a clock of the test's own; no process, no thread."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from agent.daemon.pins import pin_map, wiring
from agent.gate.asks import Asks
from agent.gate.cards import CardOutput
from agent.gate.heard import heard
from agent.gatekeeper.gatekeeper import Gatekeeper
from agent.gatekeeper.pinmap import PinMap
from agent.gatekeeper.words import Mode
from agent.passage.events import GateFault, InputEvent
from agent.settings.model import Config, GateConfig, GpioConfig
from hal.simulated.barrier import Barrier
from hal.simulated.gpio import SimulatedGpio
from hal.simulated.pinboard import Edge, PinBoard

PERIOD = 0.005


def timing(**values: object) -> GateConfig:
    return GateConfig(site="s", gate="g", **values)


def lines_of(settings: GpioConfig, gate: GateConfig | None = None) -> PinMap:
    """Return the pin map of some settings."""
    return pin_map(Config(gate=gate or timing(), gpio=settings))


@dataclass
class Rig:
    """A gatekeeper, its barrier, a decider, and what it heard; `now` is seconds."""

    settings: GpioConfig = field(default_factory=GpioConfig)
    timing: GateConfig = field(default_factory=timing)
    card_output: CardOutput | None = None
    mode: Mode = Mode.NORMAL
    attended: bool = True
    now: float = 100.0

    def __post_init__(self) -> None:
        self.board = PinBoard(clock_ns=lambda: round(self.now * 1e9))
        self.barrier = Barrier(self.board, wiring(self.settings), clock=lambda: self.now)
        self.gpio = SimulatedGpio(board=self.board)
        self.pin_map = lines_of(self.settings, self.timing)
        self.events: list[InputEvent] = []
        self.kept: list[Mode] = []
        """The modes that were to be kept."""
        self.keeper = Gatekeeper(self.gpio, self.pin_map, self.mode, self.kept.append)
        self.gate = Asks(
            lambda request: self.keeper.ask(request, self.now),
            lambda: round(self.now * 1e9),
            card_output=self.card_output,
            tell=lambda words: self.events.append(GateFault(words)),
        )
        self.keeper.setup()
        self.poll()
        if self.attended:
            self.events += [heard(event) for event in self.keeper.attend()]

    def poll(self, times: int = 1) -> None:
        for _ in range(times):
            self.now += PERIOD
            self.barrier.advance(self.now)
            self.events += [heard(event) for event in self.keeper.tick(self.now)]

    def run(self, seconds: float) -> None:
        self.poll(round(seconds / PERIOD))

    def again(self, mode: Mode = Mode.NORMAL) -> Gatekeeper:
        """Return another gatekeeper on the same board, set up; nothing was polled."""
        made = Gatekeeper(SimulatedGpio(board=self.board), self.pin_map, mode, self.kept.append)
        made.setup()
        return made

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
