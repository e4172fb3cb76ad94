"""Imports that were shown and wait for a yes: in memory, for who saw them, for some minutes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

from agent.desk.importing import Plan

__all__ = ["Plans"]

_KEPT_S: Final = 900
_MOST: Final = 8


class Plans:
    """Imports that were shown and not yet carried out.

    Args:
        clock: Unix seconds.
    """

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._held: dict[bytes, tuple[int, Plan]] = {}

    def put(self, session: bytes, planned: Plan) -> None:
        """Keep the plan of a session; the one before is dropped."""
        with self._lock:
            self._held.pop(session, None)
            while len(self._held) >= _MOST:
                del self._held[next(iter(self._held))]
            self._held[session] = self._clock() + _KEPT_S, planned

    def pop(self, session: bytes) -> Plan | None:
        """Return the plan of a session, and keep it no more."""
        with self._lock:
            until, planned = self._held.pop(session, (0, None))
            return planned if until > self._clock() else None
