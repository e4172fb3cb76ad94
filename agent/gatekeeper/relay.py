"""One relay: pulse or level, never longer than its limit, fire and free passage above it.

Rules:
- An opening lasts at most `limit_s` from its cause; asking again while open prolongs up to that
  limit only. A press of the release button is a cause of its own.
- An opening that ran out without having been closed is followed by a rest, so that a controller
  gone wild cannot hold the gate open by asking for ever.
- `orphan` ends what a decider asked for; a release goes on.
- `hold` (fire, free passage) keeps the relay on, in pulse mode too; nothing else can.
"""

from __future__ import annotations

import math

__all__ = ["REST_S", "Relay"]

REST_S = 1.0


class Relay:
    """The wanted state of a relay over time; pure, the gate writes the level.

    Args:
        limit_s: longest opening.
        pulse_s: width of a pulse in pulse mode, None for level mode.
    """

    def __init__(self, *, limit_s: float, pulse_s: float | None) -> None:
        self._limit_s = limit_s if pulse_s is None else min(limit_s, pulse_s)
        self._pulse_s = pulse_s
        self._cause_at = self._until = self._released_until = -math.inf
        self.held = False

    def open(self, seconds: float, now: float, *, renew: bool = False) -> None:
        """Begin an opening, or prolong the one that runs as far as its limit allows.

        Args:
            seconds: wanted length; a pulse has its own.
            now: monotonic seconds.
            renew: True for a release, a new cause that restarts the limit.
        """
        ran_out = now >= self._until
        if ran_out and not renew and now < self._until + REST_S:
            return
        if ran_out or renew:
            self._cause_at = self._until = now
        length = seconds if self._pulse_s is None else self._pulse_s
        self._until = max(self._until, min(now + length, self._cause_at + self._limit_s))
        if renew:
            self._released_until = self._until

    def close(self) -> None:
        """End the opening; a hold stays."""
        self._until = self._released_until = -math.inf

    def orphan(self) -> None:
        """End what was asked for; a release and a hold stay."""
        self._until = self._released_until

    def on(self, now: float) -> bool:
        """Tell whether the relay should be on."""
        return self.held or now < self._until
