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
        self._lines = pin_map(Config(gate=timing, gpio=settings))
        self._mode = Mode.NORMAL
        self._on_input = on_input
        self.new_keeper(gpio)
        super().__init__(
            lambda request: self.keeper.ask(request, clock()), lambda: round(clock() * 1e9)
        )

    def new_keeper(self, gpio: Gpio) -> None:
        """Put a gatekeeper that was started anew in the old one's place; the kept mode is its."""
        self.keeper = Gatekeeper(gpio, self._lines, self._mode, self._keep)

    def _keep(self, mode: Mode) -> None:
        self._mode = mode

    def forget(self) -> None:
        """Forget what lasts, as a decider does that dies."""
        self._lasting.clear()

    def setup(self) -> None:
        self.keeper.setup()
        self.attend()

    def attend(self) -> None:
        """Begin a decider's session: it is told what it must know."""
        for event in self.keeper.attend():
            self._on_input(heard(event))
        for request in self.lasting():
            self._send(request)

    def tick(self, now: float) -> None:
        for event in self.keeper.tick(now):
            if self.keeper.attended:
                self._on_input(heard(event))

    def safe(self) -> None:
        self.keeper.safe()
