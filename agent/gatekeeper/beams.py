"""Two beams across the lane, outside then inside: which way did somebody go."""

from __future__ import annotations

from agent.gatekeeper.wire import Event
from agent.gatekeeper.words import DIRECTIONS, Direction

__all__ = ["Beams"]

_GAP_S = 0.4
"""Between the beams: a quick walker may leave the first before breaking the second."""
_FOLLOW_S = 0.15
"""The first beam must be free for so long before its next break is another person."""


def _passed(direction: Direction) -> Event:
    return Event("passed", which=1 + DIRECTIONS.index(direction))


class Beams:
    """Two beams across the lane, outside then inside: which way did somebody go.

    A crossing is told when the person has left the first beam and stands in the second, so that
    the gate can close behind them; whoever breaks the first beam again meanwhile is the next one.
    """

    def __init__(self) -> None:
        self._origin: Direction | None = None
        self._both = False
        # Of the walk that has an origin, and set as it begins.
        self._near: bool
        self._far: bool
        self._last_near: bool
        self._counted: bool
        self._near_free_at: float
        self._idle_since: float | None

    def update(self, outer: bool, inner: bool, now: float) -> list[Event]:
        """Take both beams (True is broken); return what that means."""
        origin = self._origin
        if origin is None:
            if self._both and not (outer and inner):
                return self._uncovered(outer, inner, now)
            self._both = outer and inner
            if outer == inner:
                return []
            self._origin = Direction.IN if outer else Direction.OUT
            self._counted = False
            self._near, self._far = True, False
            self._last_near = True
            self._idle_since = None
            return [Event("lane")]
        near, far = (outer, inner) if origin is Direction.IN else (inner, outer)
        if (near, far) == (self._near, self._far):
            return self._wait(now)
        before, self._near, self._far = self._near, near, far
        if near or far:
            self._idle_since = None
            self._last_near = near and not far
        if far and not near:
            return self._crossed(origin, now)
        if near and not before and self._counted and now - self._near_free_at >= _FOLLOW_S:
            self._counted = False
            return [Event("lane")]
        if not near and not far:
            return self._left(origin, now)
        return []

    def _uncovered(self, outer: bool, inner: bool, now: float) -> list[Event]:
        """Both beams broke in one poll: the one that is free first was passed first."""
        self._both = False
        if not outer and not inner:
            return [Event("passed")]
        self._origin = Direction.OUT if outer else Direction.IN
        self._counted, self._last_near = True, False
        self._near, self._far = False, True
        self._near_free_at = now
        self._idle_since = None
        return [_passed(self._origin)]

    def _crossed(self, origin: Direction, now: float) -> list[Event]:
        self._near_free_at = now
        if self._counted:
            return []
        self._counted = True
        return [_passed(origin)]

    def _left(self, origin: Direction, now: float) -> list[Event]:
        """Both beams are free again."""
        if self._last_near and not self._counted:
            self._idle_since = now
            return []
        self._origin = None
        if not self._counted:
            return [_passed(origin)]
        return [_passed(origin.opposite)] if self._last_near else []

    def _wait(self, now: float) -> list[Event]:
        """Nothing changed: somebody who turned round is known by the second beam staying free."""
        if self._idle_since is None or now - self._idle_since < _GAP_S:
            return []
        self._origin = None
        return [Event("reversed")]
