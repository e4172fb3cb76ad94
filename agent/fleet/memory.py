"""An outbox in memory, for simulated gates: the reporter's code on top is the real one.

Rules: the same contract as `agent.journal.journal.Journal`, but for the disk; a bounded number of
rows.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable

from agent.journal.chain import START
from agent.journal.events import Event, encode_data, event_type
from agent.journal.model import BootState, JournalFull, Position, Row, new_boot_id

__all__ = ["MemoryOutbox"]


class MemoryOutbox:
    """Rows of one boot that wait.

    Args:
        clock: Unix seconds.
        capacity: waiting rows at most.
    """

    def __init__(self, clock: Callable[[], float], *, capacity: int = 10_000) -> None:
        self.boot_id = new_boot_id()
        self._clock = clock
        self._capacity = capacity
        self._rows: deque[Row] = deque()
        self._last = 0
        self._newest = START
        self._acknowledged = 0
        self._listener: Callable[[], None] | None = None

    def append(self, event: Event) -> int:
        """Keep an event; return its `seq`.

        Raises:
            JournalFull: too many wait.
        """
        if len(self._rows) >= self._capacity:
            raise JournalFull(f"{len(self._rows)} events wait for the collector")
        self._last += 1
        row = Row(
            Position(1, self._last),
            self.boot_id,
            self._last,
            event_type(event).value,
            int(self._clock() * 1_000_000),
            encode_data(event),
            self._newest,
        )
        self._rows.append(row)
        self._newest = row.digest
        if self._listener is not None:
            self._listener()
        return self._last

    def head(self) -> Position:
        """Return the position of the newest row."""
        return Position(1, self._last)

    def first_pending(self) -> Position | None:
        """Return the position of the oldest waiting row."""
        return Position(1, self._acknowledged + 1) if self._rows else None

    def pending(self, *, after: Position, upto: Position, limit: int) -> list[Row]:
        """Return waiting rows, after < position <= upto, in order."""
        low = max(after.seq, self._acknowledged) - self._acknowledged
        high = min(upto.seq - self._acknowledged, len(self._rows), low + limit)
        return list(itertools.islice(self._rows, low, high)) if high > low else []

    def replay(self, boot_id: str, first: int, last: int, limit: int) -> list[Row]:
        """Return waiting rows again; acknowledged ones are gone."""
        if boot_id != self.boot_id:
            return []
        return self.pending(after=Position(1, first - 1), upto=Position(1, last), limit=limit)

    def acknowledge(self, boot_id: str, seq: int) -> int:
        """Free rows up to `seq`; see `agent.journal.store.Store.acknowledge`."""
        if boot_id != self.boot_id or seq <= self._acknowledged:
            return 0
        if seq > self._last:
            raise ValueError(f"seq {seq} of {boot_id} was never written")
        freed = seq - self._acknowledged
        for _ in range(freed):
            self._rows.popleft()
        self._acknowledged = seq
        return freed

    def boots(self) -> list[BootState]:
        """Return the one boot."""
        return [BootState(self.boot_id, self._last, self._acknowledged)]

    def unacknowledged(self) -> int:
        """Return how many rows wait."""
        return len(self._rows)

    def maintain(self) -> None:
        """Do nothing: memory needs no housekeeping."""

    def listen(self, callback: Callable[[], None] | None) -> None:
        """Call `callback` after each new row."""
        self._listener = callback
