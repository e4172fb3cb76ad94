"""The reporter's own faults: visible in `health`, in the retained state, and journaled once.

Rules:
- A fault is raised and cleared by its code; raising it again only counts.
- It is told (to the journal) when it begins and when it ends, at most once a minute each, so that a
  broker or an attacker cannot fill the journal by making it flap.
- Thread-safe.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from agent.journal.events import Fault

__all__ = ["FaultBoard"]

QUIET_S = 60.0


@dataclass(slots=True)
class _Entry:
    detail: str
    active: bool = True
    count: int = 1
    told_active: bool = False
    told_at: float = float("-inf")


class FaultBoard:
    """Faults of one part, by code.

    Args:
        part: `mqtt`, `command` or `config`.
        tell: receives the fault events.
    """

    def __init__(self, part: str, tell: Callable[[Fault], None]) -> None:
        self._part = part
        self._tell = tell
        self._entries: dict[str, _Entry] = {}
        self._lock = threading.RLock()

    def raise_(self, code: str, detail: str, now: float) -> None:
        """Note that the fault is there; `now` is monotonic."""
        with self._lock:
            entry = self._entries.setdefault(code, _Entry(detail[:200], count=0))
            entry.active = True
            entry.count += 1
            entry.detail = detail[:200]
            self._settle(code, entry, now)

    def clear(self, code: str, now: float) -> None:
        """Note that the fault is over."""
        with self._lock:
            entry = self._entries.get(code)
            if entry is not None:
                entry.active = False
                self._settle(code, entry, now)

    def tick(self, now: float) -> None:
        """Tell what was held back."""
        with self._lock:
            for code, entry in self._entries.items():
                self._settle(code, entry, now)

    def active(self) -> tuple[str, ...]:
        """Return the codes of faults that are there now."""
        return tuple(code for code, entry in list(self._entries.items()) if entry.active)

    def note(self, code: str, detail: str, now: float) -> None:
        """Tell a single happening that has no end of its own, with the same restraint."""
        with self._lock:
            self.raise_(code, detail, now)
            entry = self._entries[code]
            entry.active = False
            entry.told_active = False

    def _settle(self, code: str, entry: _Entry, now: float) -> None:
        if entry.active == entry.told_active or now - entry.told_at < QUIET_S:
            return
        entry.told_active = entry.active
        entry.told_at = now
        count, entry.count = max(entry.count, 1), 0
        self._tell(
            Fault(part=self._part, code=code, active=entry.active, detail=entry.detail, count=count)
        )
