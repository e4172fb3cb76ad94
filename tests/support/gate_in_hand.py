"""The gatekeeper's lines and what is asked of them, in one process and at the caller's pace."""

from __future__ import annotations

from collections.abc import Callable

from agent.daemon.pins import pin_map
from agent.gate.asks import Asks
from agent.gate.heard import heard
from agent.gatekeeper.gatekeeper import Gatekeeper
from agent.passage.events import InputEvent
from agent.passage.types import Mode
from agent.settings.model import Config, GateConfig, GpioConfig
from hal.gpio import Gpio


class GateInHand(Asks):
    """One gate; `tick` is one poll."""

    def __init__(
        self,
        gpio: Gpio,
        settings: GpioConfig,
        timing: GateConfig,
        on_input: Callable[[InputEvent], None],
        clock: Callable[[], float],
    ) -> None:
        lines = pin_map(Config(gate=timing, gpio=settings))
        self.keeper = Gatekeeper(gpio, lines, Mode.NORMAL, lambda _mode: None)
        self._on_input = on_input
        super().__init__(
            lambda request: self.keeper.ask(request, clock()), lambda: round(clock() * 1e9)
        )

    def setup(self) -> None:
        self.keeper.setup()
        self.attend()

    def attend(self) -> None:
        """Begin a decider's session: it is told what it must know."""
        for event in self.keeper.attend():
            self._on_input(heard(event))

    def tick(self, now: float) -> None:
        for event in self.keeper.tick(now):
            if self.keeper.attended:
                self._on_input(heard(event))

    def safe(self) -> None:
        self.keeper.safe()
