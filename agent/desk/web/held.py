"""What was shown to somebody and waits for a yes: in memory, one of a kind a session, not long."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final, Generic, TypeVar

__all__ = ["Held"]

_KEPT_S: Final = 900
_MOST: Final = 16

Thing = TypeVar("Thing")


class Held(Generic[Thing]):
    """Holds one thing a session.

    Args:
        clock: Unix seconds.
        kept_s: how long.
    """

    def __init__(self, clock: Callable[[], int], *, kept_s: int = _KEPT_S) -> None:
        self._clock = clock
        self._kept_s = kept_s
        self._lock = threading.Lock()
        self._held: dict[bytes, tuple[int, Thing]] = {}

    def put(self, session: bytes, thing: Thing) -> None:
        """Hold a thing; the one before is dropped, and the oldest where there are too many."""
        with self._lock:
            self._sweep()
            self._held.pop(session, None)
            while len(self._held) >= _MOST:
                del self._held[next(iter(self._held))]
            self._held[session] = self._clock() + self._kept_s, thing

    def get(self, session: bytes) -> Thing | None:
        """Return what is held for a session."""
        with self._lock:
            self._sweep()
            found = self._held.get(session)
            return None if found is None else found[1]

    def pop(self, session: bytes) -> Thing | None:
        """Return what is held for a session, and hold it no more."""
        with self._lock:
            self._sweep()
            found = self._held.pop(session, None)
            return None if found is None else found[1]

    def _sweep(self) -> None:
        now = self._clock()
        for session in [each for each, (until, _) in self._held.items() if until <= now]:
            del self._held[session]
