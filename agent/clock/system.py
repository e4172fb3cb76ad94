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
        """Unix seconds."""
        return time.time()

    def monotonic_ns(self) -> int:
        """Nanoseconds that never go back."""
        return time.monotonic_ns()

    def trusted(self) -> bool:
        """Whether the wall clock may be believed."""
        return self.guard.trusted
