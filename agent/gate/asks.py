"""What can be asked of a gate, as requests to the gatekeeper; what lasts is remembered.

Rules:
- Everything returns at once. An opening that cannot be asked for now is not asked for later; the
  hold, the mode, the lamps and the ready output are asked for again in each new session.
- A grant goes to the access controller instead where one is fitted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from agent.gate.cards import CardOutput
from agent.gatekeeper.wire import Request
from agent.gatekeeper.words import DIRECTIONS, MODES, SIGNALS, Direction, Mode, Signal
from hal.errors import DeviceFault

__all__ = ["Asks"]


class Asks:
    """The gate, as the controller and the daemon know it.

    Args:
        send: hands a request over; the session's number is put in there.
        clock_ns: the monotonic clock, nanoseconds.
        card_output: takes grants in the relay's place; None for the relay.
        tell: told what an access controller's line says, where it refuses.
    """

    def __init__(
        self,
        send: Callable[[Request], None],
        clock_ns: Callable[[], int],
        *,
        card_output: CardOutput | None = None,
        tell: Callable[[str], None] = lambda _words: None,
    ) -> None:
        self._send = send
        self._clock_ns = clock_ns
        self._card_output = card_output
        self._tell = tell
        self._lasting: dict[str, Request] = {}

    def open(self, direction: Direction, seconds: float, subject: str = "") -> None:
        """Open one way; with a subject and a card output, the access controller decides instead."""
        if subject and self._card_output is not None:
            try:
                self._card_output.present(subject)
            except DeviceFault as error:
                self.signal(Signal.DENIED)
                self._tell(str(error))
            return
        flag, milliseconds = DIRECTIONS.index(direction), round(seconds * 1000)
        self._send(Request("open", flag, milliseconds, value=self._clock_ns()))

    def close(self) -> None:
        """End every opening; fire and free passage stay."""
        self._send(Request("close"))

    def hold(self, held: bool) -> None:
        """Keep the gate open for free passage, or stop doing so."""
        self._keep(Request("hold", held))

    def signal(self, signal: Signal) -> None:
        """Show a signal on the lamps and the buzzer."""
        request = Request("signal", SIGNALS.index(signal))
        if signal is Signal.ALARM:  # sounded once, over what is shown
            self._send(request)
        else:
            self._keep(request)

    def ready(self, ready: bool) -> None:
        """Set the ready output: True is in order, False is a fault."""
        self._keep(Request("ready", ready))

    def choose(self, mode: Mode) -> None:
        """Say which mode was chosen; the gatekeeper keeps it over restarts."""
        self._keep(Request("mode", MODES.index(mode)))

    def _keep(self, request: Request) -> None:
        self._lasting[request.op] = request
        self._send(request)

    def lasting(self) -> Iterator[Request]:
        """Return what a new session must be asked for again."""
        yield from tuple(self._lasting.values())
