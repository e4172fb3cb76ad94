"""The log's own faults: nobody reads it, lines of it were lost.

A fault is journaled and so logged; it is told at its beginning and its end only, which a log that
loses every line cannot multiply.
"""

from __future__ import annotations

from agent.journal.faults import Faults
from agent.log import LogHealth

__all__ = ["LogWatch"]

STUCK_S = 5.0


class LogWatch:
    """Tells what becomes of the log.

    Args:
        faults: where faults are told.
    """

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._lost = 0
        self._stuck = self._losing = False

    def look(self, health: LogHealth) -> None:
        """Tell what is new; called every now and then."""
        flows = not health.stuck_s and not health.waiting
        if health.stuck_s >= STUCK_S and not self._stuck:
            self._stuck = True
            self._faults.begin("log", "stuck", "nobody reads standard error")
        elif flows and self._stuck:
            self._stuck = False
            self._faults.end("log", "stuck")
        if health.lost > self._lost and not self._losing:
            self._losing = True
            self._faults.begin("log", "lines_lost")
        elif flows and self._losing and health.lost == self._lost:
            self._losing = False
            self._faults.end("log", "lines_lost")
        self._lost = health.lost
