"""The daemon's clocks: the system's own, and whether they may be believed."""

from __future__ import annotations

import time

from agent.clock.guard import ClockGuard

__all__ = ["SystemClock"]


class SystemClock:
    """Wall and monotonic time of this machine.

    Args:
        guard: judges the wall clock.
    """

    def __init__(self, guard: ClockGuard) -> None:
        self.guard = guard

    def wall(self) -> float:
        """Unix seconds, believed or not: for what is written down."""
        return time.time()

    def monotonic_ns(self) -> int:
        """Nanoseconds that never go back."""
        return time.monotonic_ns()

    def believed_wall(self) -> float | None:
        """Unix seconds, or None while the wall clock may not be believed."""
        return self.guard.now()
