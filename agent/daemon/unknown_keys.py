"""Which keys codes were signed with that nobody here trusts: told as events, each once an hour.

A key's id names an issuer's key and no person; who runs the fleet learns from it that an issuer
changed its key, or that somebody shows codes of another one. Whoever makes codes chooses the ids in
them, so an id is cut, few are remembered, and few are told in an hour.
"""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Callable

__all__ = ["UnknownKeys"]

AGAIN_S = 3_600.0
TOLD_IN_AN_HOUR = 20
KEPT = 64
LONGEST = 32
"""Hexadecimal digits of an id that are told; the trust set's own have 16."""


class UnknownKeys:
    """Remembers which ids were told.

    Args:
        tell: given the words of an event, and how often the id was met since it was last told.
        monotonic: seconds.
    """

    def __init__(
        self, tell: Callable[[str, int], None], monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._tell = tell
        self._monotonic = monotonic
        self._met: OrderedDict[str, tuple[float, int]] = OrderedDict()
        """When each was last told, and how often it was met since; the latest met is last."""
        self._told_at: deque[float] = deque(maxlen=TOLD_IN_AN_HOUR)

    def met(self, key_id: str, format_name: str) -> None:
        """Note a code whose key nobody here has; tell of it where that is due.

        Args:
            key_id: in hexadecimal; empty where the code names none.
            format_name: the code's.
        """
        if not key_id:
            return
        kid, now = key_id[:LONGEST], self._monotonic()
        told_at, times = self._met.pop(kid, (float("-inf"), 0))
        times += 1
        if now - told_at >= AGAIN_S and self._may_tell(now):
            self._told_at.append(now)
            self._met[kid] = (now, 0)
            cut = "..." if len(key_id) > LONGEST else ""
            self._tell(f"key id {kid}{cut}, {format_name}", times)
        else:
            self._met[kid] = (told_at, times)
        while len(self._met) > KEPT:
            self._met.popitem(last=False)

    def _may_tell(self, now: float) -> bool:
        full = len(self._told_at) == TOLD_IN_AN_HOUR
        return not full or now - self._told_at[0] >= AGAIN_S
