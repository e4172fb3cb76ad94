"""The controller's rows on their way to the disk, and what happens to those that it refuses.

Rules:
- Rows reach the disk in the order in which they happened: while an older one waits, a newer one
  waits behind it, so that no passage lacks its end and no end comes before its grant.
- What the disk refuses is kept, within a bound, and tried again every second; what found no room
  is counted.
- Nobody is told of a row before it is on the disk, nor before the gate was asked for what the row
  allows: `tell` comes last in a round.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from agent import log
from agent.controller.ports import JournaledEvent
from agent.controller.records import Trace
from agent.journal import events
from agent.journal.journal import Journal, JournalError

__all__ = ["RETRY_S", "RowWriter"]

UNWRITTEN_KEPT = 256
RETRY_S = 1.0

_log = log.get(__name__)


@dataclass(frozen=True, slots=True)
class _Row:
    write: Callable[[], int]
    event: events.Event
    trace: Trace | None


class RowWriter:
    """Writes rows, keeps what the disk refused, and tells of what was written.

    Args:
        journal: its listener is told of new rows.
        observe: told of each row that was written.

    Attributes:
        refused: whether the last row could not be written; nothing opens until one can.
        lost: rows that the disk refused for so long that there was no room to keep them.
    """

    def __init__(self, journal: Journal, observe: Callable[[JournaledEvent], None]) -> None:
        self._journal = journal
        self._observe = observe
        self._unwritten: deque[_Row] = deque()
        self._untold: list[JournaledEvent] = []
        self._retried_at = 0.0
        self.refused = False
        self.lost = 0

    def write(
        self, write: Callable[[], int], event: events.Event, trace: Trace | None, now: float
    ) -> None:
        """Write a row, after those that the disk refused before it.

        Args:
            write: does it; returns the row's `seq` or raises `JournalError`.
            event: what it holds.
            trace: the attempt, where there is one.
            now: monotonic seconds.
        """
        row = _Row(write, event, trace)
        if self.catch_up(now) and self._written(row):
            return
        if len(self._unwritten) < UNWRITTEN_KEPT:
            self._unwritten.append(row)
        else:
            self.lost += 1

    def catch_up(self, now: float) -> bool:
        """Try again, in order, what the disk refused; return whether nothing waits any more."""
        self._retried_at = now
        while self._unwritten and self._written(self._unwritten[0]):
            self._unwritten.popleft()
        return not self._unwritten

    def retry(self, now: float) -> None:
        """Try again if something waits and it was tried a while ago."""
        if self._unwritten and now - self._retried_at >= RETRY_S:
            self.catch_up(now)

    def written(self, seq: int, event: events.Event, trace: Trace | None) -> None:
        """Note a row that is on the disk."""
        self.refused = False
        self._untold.append(JournaledEvent(seq, event, trace))

    def failed(self, error: JournalError) -> None:
        """Say once that the journal refuses; the next success says that it is over."""
        if not self.refused:
            _log.error("journal refuses", fault=error)
        self.refused = True

    def tell(self) -> None:
        """Tell of the rows that were written since."""
        if not self._untold:
            return
        told, self._untold = self._untold, []
        self._journal.announce()
        for journaled in told:
            self._observe(journaled)

    def _written(self, row: _Row) -> bool:
        try:
            seq = row.write()
        except JournalError as error:
            self.failed(error)
            return False
        self.written(seq, row.event, row.trace)
        return True
