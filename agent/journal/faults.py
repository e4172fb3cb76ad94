"""The gate's open faults: each journaled once when it begins and once when it is over.

Any thread may tell of one. A fault that cannot be journaled is logged and stays open in the state.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from agent import log
from agent.journal import events
from agent.journal.journal import Journal, JournalError

__all__ = ["Faults"]

HAPPENED_EVERY_S = 60.0

_log = log.get(__name__)


class Faults:
    """Keeps what is wrong now.

    Args:
        journal: where beginnings and ends are recorded.
        observe: told of each row's `seq` and event.
        monotonic: seconds.
    """

    def __init__(
        self,
        journal: Journal,
        observe: Callable[[int, events.Event], None],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._journal = journal
        self._observe = observe
        self._lock = threading.Lock()
        self._monotonic = monotonic
        self._open: dict[str, int] = {}
        self._told: dict[str, tuple[float, int]] = {}

    def begin(self, part: str, code: str, detail: str = "") -> None:
        """Say that something is wrong; said again, it is only counted."""
        word = f"{part}:{code}"
        with self._lock:
            count = self._open.get(word, 0) + 1
            self._open[word] = count
        if count == 1:
            self._record(events.Fault(part=part, code=code, detail=detail[:200]))

    def end(self, part: str, code: str) -> None:
        """Say that it is over; nothing where it never began."""
        with self._lock:
            count = self._open.pop(f"{part}:{code}", None)
        if count:
            self._record(events.Fault(part=part, code=code, active=False, count=count))

    def note(self, event: events.Fault) -> None:
        """Keep a fault that somebody else journals; where its row waits for the disk, too."""
        word = f"{event.part}:{event.code}"
        with self._lock:
            if event.active:
                self._open[word] = 1
            else:
                self._open.pop(word, None)

    def happened(self, part: str, code: str, detail: str = "") -> None:
        """Record something that is over as soon as it is known, as a decoder that was replaced.

        At most one row a minute and kind, with the count since the last: who makes a decoder hang
        on purpose shall not fill the journal.
        """
        word, now = f"{part}:{code}", self._monotonic()
        with self._lock:
            told_at, untold = self._told.get(word, (-HAPPENED_EVERY_S, 0))
            due = now - told_at >= HAPPENED_EVERY_S
            self._told[word] = (now, 0) if due else (told_at, untold + 1)
        if due:
            self._record(
                events.Fault(
                    part=part, code=code, active=False, detail=detail[:200], count=untold + 1
                )
            )

    def once(self, part: str, code: str, detail: str, count: int) -> None:
        """Record something that is over as soon as it is known; who calls keeps it seldom."""
        self._record(
            events.Fault(part=part, code=code, active=False, detail=detail[:200], count=count)
        )

    def now(self) -> tuple[str, ...]:
        """Return the open faults, `part:code`."""
        with self._lock:
            return tuple(self._open)

    def _record(self, event: events.Fault) -> None:
        try:
            seq = self._journal.append(event)
        except JournalError as error:
            _log.error("a fault could not be journaled", part=event.part, fault=error)
            return
        self._observe(seq, event)
