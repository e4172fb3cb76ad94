"""For how long at most a link held up what it brings, told from the broker's answers to pings.

A broker sends to one client in order. What comes after the answer to a ping was sent after the ping
had arrived, and so is no older than that ping: a message that a stalled link kept for half a minute
follows an answer of half a minute ago, or comes before the answer to a ping as old.

After an answer that took long, what comes is taken for as late for a while: other parts of the way
may have been held up as well, and what was held up comes out in no order.
"""

from __future__ import annotations

from collections import deque

__all__ = ["Delay"]

_STALL_S = 2.0
_AFTER_STALL_S = 5.0


class Delay:
    """Follows the pings of one connection.

    Args:
        now: monotonic seconds at its beginning.
    """

    def __init__(self, now: float) -> None:
        self._asked: deque[float] = deque()
        self._since = now
        """Nothing that comes now was sent before."""
        self._stall_s = 0.0
        self._stalled_until = now

    @property
    def asked(self) -> bool:
        """Whether an answer is awaited."""
        return bool(self._asked)

    def ask(self, now: float) -> None:
        """Note a ping that was sent."""
        self._asked.append(now)

    def answered(self, now: float) -> None:
        """Note an answer; one to nothing says nothing."""
        if not self._asked:
            return
        self._since = self._asked.popleft()
        took = now - self._since
        if took > _STALL_S:
            self._stall_s, self._stalled_until = took, now + _AFTER_STALL_S

    def at_most_s(self, now: float) -> float:
        """Return how old a message can be that comes now, s."""
        age = now - self._since
        return max(age, self._stall_s) if now < self._stalled_until else age
