"""Watches the board: under-voltage, throttling and heat as faults, each told once.

A thread of its own asks, since the firmware's answer may be late and nothing waits for it. What
comes and goes is one fault, which ends when there was no sign of it for `QUIET_S`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from agent.journal.faults import Faults
from agent.settings.model import Config
from hal.board import Board, BoardHealth
from hal.errors import HalError

__all__ = ["BoardWatch", "make_board"]

POLL_S = 2.0
"""As often as the kernel asks the firmware."""
QUIET_S = 60.0
STALE_S = 30.0
"""An answer that old is none."""
COOLER_C = 5.0
"""So much below the limit a board must be to be no longer hot."""


def make_board(config: Config) -> Board:
    """Return the driver that the settings name; there is no fallback."""
    if config.board.driver == "simulated":
        from hal.simulated.board import SimulatedBoard

        name = config.simulation.board_file
        return SimulatedBoard(config.path(name) if name else None)
    from hal.raspberrypi.board import RaspberryPiBoard

    return RaspberryPiBoard()


class BoardWatch:
    """Asks the board how it is.

    Args:
        board: asked in the thread that runs `run`.
        faults: where faults are told.
        hot_c: from this temperature on the board is too hot.
        monotonic: seconds.
    """

    def __init__(
        self,
        board: Board,
        faults: Faults,
        *,
        hot_c: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._board = board
        self._faults = faults
        self._hot_c = hot_c
        self._monotonic = monotonic
        self._stopped = threading.Event()
        self._latest: tuple[float, BoardHealth] | None = None
        self._seen: dict[str, float] = {}
        """When each open fault was last seen."""

    def stop(self) -> None:
        """End `run` soon."""
        self._stopped.set()

    def run(self) -> None:
        """Ask every few seconds until stopped."""
        while True:
            self.look()
            if self._stopped.wait(POLL_S):
                return

    def look(self) -> None:
        """Ask once, and tell what is new."""
        try:
            health = self._board.health()
        except HalError as error:
            self._faults.begin("board", "unreadable", str(error))
            return
        self._faults.end("board", "unreadable")
        now = self._monotonic()
        self._latest = (now, health)
        degrees = "" if health.temperature_c is None else f"{health.temperature_c:.0f} degrees"
        self._tell("under_voltage", now, bad=bool(health.under_voltage))
        self._tell("throttled", now, bad=bool(health.throttled), detail=degrees)
        self._tell("hot", now, bad=self._is_hot(health), detail=degrees)

    def metrics(self) -> dict[str, float]:
        """Return what the board says, by name; quick, from any thread."""
        latest = self._latest
        if latest is None or self._monotonic() - latest[0] > STALE_S:
            return {}
        health = latest[1]
        numbers = {
            "temperature_c": health.temperature_c,
            "under_voltage": health.under_voltage,
            "throttled": health.throttled,
            "under_voltage_since_boot": health.under_voltage_since_boot,
            "throttled_since_boot": health.throttled_since_boot,
        }
        return {name: float(value) for name, value in numbers.items() if value is not None}

    def _is_hot(self, health: BoardHealth) -> bool:
        limit = self._hot_c - (COOLER_C if "hot" in self._seen else 0.0)
        warm = health.temperature_c is not None and health.temperature_c >= limit
        return warm or bool(health.too_hot)

    def _tell(self, code: str, now: float, *, bad: bool, detail: str = "") -> None:
        if bad:
            if code not in self._seen:
                self._faults.begin("board", code, detail)
            self._seen[code] = now
        elif code in self._seen and now - self._seen[code] >= QUIET_S:
            del self._seen[code]
            self._faults.end("board", code)
