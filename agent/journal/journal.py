"""The journal: what happened at the gate, on disk before anything moves.

Rules:
- `append` and `commit_use` return after the row is on disk, or raise; on `JournalError` the gate
  stays closed (or free, where the operator chose that for a full journal).
- A use and the decision that it led to are one transaction: no crash keeps one without the other.
- `seq` has no gap: a number is given out only with its row, inside the transaction.
- Each row carries the hash of the one before it (`agent.journal.chain`).
- Rows leave in order, oldest first, and only after the collector acknowledged them. A journal full
  of rows that were not is an error, never a silent loss; the last `RESERVE` places are kept for
  faults, tampering and changes of mode, so that the fault itself can still be told.
- Quick questions (`was_used`, `last_zone`, `locked_until`) and the reporter's reading have
  connections and locks of their own: WAL readers never wait for a writer.

Thread-safe. Times are Unix seconds of the clock given; `until` is inclusive.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

from agent import log
from agent.journal.chain import Link
from agent.journal.events import Decision, Event, Fault, Passage, encode_data, event_type
from agent.journal.model import (
    AlreadyUsed,
    GiveBack,
    GiveBacks,
    JournalError,
    JournalFailed,
    JournalFull,
    Mark,
    Way,
    ZoneEntry,
    new_boot_id,
)
from agent.journal.schema import Lock, open_checked
from agent.journal.store import BootCounters, Clock, Store

__all__ = [
    "RESERVE",
    "AlreadyUsed",
    "Journal",
    "JournalError",
    "JournalFailed",
    "JournalFull",
    "new_boot_id",
]

RESERVE = 100
"""Places that only faults, tampering and changes of mode may take."""
_FREE_BATCH = 64
_CHECKPOINT_FORCED_ROWS = 4_096
_DAY_S = 86_400.0

_ENDS = frozenset({"passed", "annulled", "aborted"})

_PUT_HOLDER = "INSERT OR REPLACE INTO holder VALUES(1, ?, ?, ?, ?, ?)"
_GET_HOLDER = "SELECT subject, zone, direction, at FROM holder WHERE passage = ?"
_PUT_PRESENCE = "INSERT OR REPLACE INTO presence VALUES(?, ?, ?, ?)"
_PUT_FAILURES = "INSERT OR REPLACE INTO failures VALUES(?, ?, ?)"
_PUT_GIVEN_BACK = "INSERT OR REPLACE INTO given_back VALUES(?, ?, ?, ?)"
_FORGET_GIVEN_BACK = (
    "DELETE FROM given_back WHERE use IN"
    " (SELECT use FROM given_back WHERE until < ? ORDER BY until LIMIT 32)"
)
_USE_GIVEN_BACK = "SELECT 1 FROM given_back WHERE use IN (?, ?) AND until >= ?"
_SUBJECTS_GIVEN_BACK = (
    "SELECT count(*) FROM given_back WHERE subject = ? AND at > ? GROUP BY subject"
)

Work = Callable[[sqlite3.Connection], None]

_log = log.get(__name__)


class Journal(Store):
    """Durable event log, replay marks and outbox; made by `Journal.open`.

    Attributes:
        lost: what became of the rows and marks of the runs before, or "" where they are here.
        set_aside: name of a damaged predecessor that was found at start, or "".
    """

    lost: str = ""
    set_aside: str = ""

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        capacity: int = 200_000,
        boot_id: str | None = None,
        clock: Clock = time.time,
        synchronous: str = "FULL",
    ) -> Self:
        """Open or begin a journal.

        A damaged database is set aside; the first row of the new one is a fault that says so. So
        it does where the database is gone or empty and its lock's file says that there was one.

        Args:
            path: the database; `PATH.lock` is made beside it.
            capacity: rows kept at most.
            boot_id: name of this run; a new one where None. Given again, its `seq` goes on.
            clock: Unix seconds.
            synchronous: FULL; OFF only for simulations.

        Raises:
            JournalFailed: it cannot be opened or written.
        """
        lock = Lock(path.with_name(path.name + ".lock"))
        try:
            gone = _gone(path) if lock.begun else ""
            writer, aside = open_checked(path, synchronous=synchronous, now=clock())
            try:
                lock.begin()
                journal = cls(
                    writer,
                    path=path,
                    lock=lock,
                    capacity=capacity,
                    boot_id=boot_id or new_boot_id(),
                    clock=clock,
                    synchronous=synchronous,
                )
            except BaseException as error:
                writer.close()
                if isinstance(error, sqlite3.Error):
                    raise JournalFailed(f"{path}: {error}") from error
                raise
        except BaseException:
            lock.close()
            raise
        journal.set_aside = aside
        journal.lost = f"set aside as {aside}" if aside else gone
        if journal.lost:
            code = "corrupt" if aside else "lost"
            _log.warning("the journal of the runs before is lost", detail=journal.lost)
            journal.append(Fault(part="journal", code=code, detail=journal.lost))
        return journal

    # -- writing ------------------------------------------------------------------------------

    def append(self, event: Event) -> int:
        """Record an event; return its `seq`.

        Raises:
            JournalFull: no row may be dropped to make room.
            JournalFailed: the disk refuses.
            ValueError: the event breaks its own schema.
        """
        return self._commit(event, None)

    def commit_use(
        self,
        replay_key: bytes,
        until: int,
        event: Decision,
        holder: Way | None = None,
        ticket: Mark | None = None,
    ) -> int:
        """Mark a use and record its decision, both or neither; return the row's `seq`.

        The listener is not told: who asked opens the gate first, and then calls `announce`.

        Args:
            replay_key: identifies the use; empty where it leaves no mark.
            until: last second at which the same use must be recognised.
            event: the decision.
            holder: whom it lets where, so that a crash forgets nobody; None where nobody asks.
            ticket: the ticket that it spends, marked in the same transaction; None for none.

        Raises:
            AlreadyUsed: a mark is there already; nothing was written.
            JournalFull, JournalFailed, ValueError: as `append`.
        """
        now = int(self._clock())

        def mark(db: sqlite3.Connection) -> None:
            if holder is not None:
                db.execute(
                    _PUT_HOLDER,
                    (event.passage, holder.subject, holder.zone, holder.direction, self._clock()),
                )
            if not replay_key:
                return
            db.execute(
                "DELETE FROM used WHERE replay_key IN"
                " (SELECT replay_key FROM used WHERE until < ? ORDER BY until LIMIT 32)",
                (now,),
            )
            _mark(db, Mark(replay_key, until), now)
            if ticket is not None:
                _mark(db, ticket, now)

        return self._write(event, mark)

    def annul_use(
        self, replay_key: bytes, event: Decision, *remembered: GiveBack, ticket: bytes = b""
    ) -> int:
        """Take a mark back (nobody passed) and record that; return the row's `seq`.

        Args:
            replay_key: identifies the use.
            event: the annulment.
            remembered: that the use, and the ticket, were given back; nothing where the gate never
                opened on it.
            ticket: identifies the ticket that it spent; empty for none.
        """
        now = self._clock()

        def unmark(db: sqlite3.Connection) -> None:
            db.execute("DELETE FROM used WHERE replay_key IN (?, ?)", (replay_key, ticket))
            db.execute(
                _FORGET_GIVEN_BACK,
                (now,),
            )
            for each in remembered:
                db.execute(_PUT_GIVEN_BACK, (each.use, each.subject, now, each.until))

        return self._commit(event, unmark)

    def record_passage(self, event: Passage, way: Way) -> int:
        """Record a passage and where it took the subject, in one transaction."""
        now = self._clock()

        def place(db: sqlite3.Connection) -> None:
            _place(db, way, now)
            db.execute(
                "DELETE FROM presence WHERE subject IN"
                " (SELECT subject FROM presence WHERE at < ? ORDER BY at LIMIT 16)",
                (now - 30 * _DAY_S,),
            )

        return self._commit(event, place)

    def record_cut_short(self, event: Passage) -> int:
        """Record the end of a grant that a crash cut short, in one transaction with its place.

        Where the grant was committed with its holder, the holder went where the grant led, as of
        then; nobody saw whether that is so.
        """

        def place(db: sqlite3.Connection) -> None:
            found = db.execute(
                _GET_HOLDER,
                (event.passage,),
            ).fetchone()
            if found is not None:
                _place(db, Way(*found[:3]), found[3])

        return self._commit(event, place)

    def record_lockout(
        self, event: Passage, subject: str, *, failures: int, lockout_s: float
    ) -> int:
        """Record an alarm and let its subject wait, in one transaction; return the row's `seq`.

        Args:
            event: the alarm.
            subject: HMAC of the subject that does not change by the day.
            failures: as many as lock out.
            lockout_s: for how long.
        """
        until = self._clock() + lockout_s

        def wait(db: sqlite3.Connection) -> None:
            db.execute(_PUT_FAILURES, (subject, failures, until))

        return self._commit(event, wait)

    def add_failure(self, subject: str, *, limit: int, lockout_s: float) -> float | None:
        """Count a biometric failure; survives a restart, so pulling the plug resets nothing.

        Failures older than `lockout_s` do not count.

        Returns:
            Unix seconds until which the subject is locked out, or None.

        Raises:
            JournalFailed: the disk refuses.
        """
        now = self._clock()
        with self._write_lock, self._transaction(self._writer) as db:
            db.execute("DELETE FROM failures WHERE until < ?", (now,))
            found = db.execute("SELECT count FROM failures WHERE subject = ?", (subject,))
            count = (found.fetchone() or (0,))[0] + 1
            db.execute(_PUT_FAILURES, (subject, count, now + lockout_s))
        return now + lockout_s if count >= limit else None

    def clear_failures(self, subject: str) -> None:
        """Forget the failures of a subject who has now succeeded."""
        with self._write_lock, self._transaction(self._writer) as db:
            db.execute("DELETE FROM failures WHERE subject = ?", (subject,))

    # -- quick questions ----------------------------------------------------------------------

    def was_used(self, replay_key: bytes) -> bool:
        """Return whether the use is marked and the mark still counts."""
        found = self._ask(
            "SELECT 1 FROM used WHERE replay_key = ? AND until >= ?",
            (replay_key, int(self._clock())),
        )
        return found is not None

    def give_backs(
        self, use: bytes, subject: str, *, window_s: float, ticket: bytes = b""
    ) -> GiveBacks:
        """Return what was given back before.

        Args:
            use: keyed hash of the use.
            subject: HMAC of the subject that does not change by the day.
            window_s: how long the subject's other uses count.
            ticket: keyed hash of the ticket that the use spends; empty for none.
        """
        now = self._clock()
        same = self._ask(_USE_GIVEN_BACK, (use, ticket, now))
        others = self._ask(
            _SUBJECTS_GIVEN_BACK,
            (subject, now - window_s),
        )
        return GiveBacks(same is not None, 0 if others is None else others[0])

    def last_zone(self, subject: str) -> ZoneEntry | None:
        """Return where the subject passed last; the caller judges how long that counts."""
        found = self._ask("SELECT zone, direction, at FROM presence WHERE subject = ?", (subject,))
        return None if found is None else ZoneEntry(*found)

    def locked_until(self, subject: str, *, limit: int) -> float | None:
        """Return the Unix second until which the subject is locked out, or None."""
        found = self._ask("SELECT count, until FROM failures WHERE subject = ?", (subject,))
        if found is None or found[0] < limit or found[1] < self._clock():
            return None
        until: float = found[1]
        return until

    def has_room(self) -> bool:
        """Return whether a decision could be recorded now, by number of rows."""
        if len(self) < self._capacity - RESERVE:
            return True
        return any(boot.freed < boot.acknowledged for boot in list(self._boots.values()))

    def __len__(self) -> int:
        """Rows kept."""
        return sum(boot.last - boot.freed for boot in list(self._boots.values()))

    # -- inside -------------------------------------------------------------------------------

    def _commit(self, event: Event, work: Work | None) -> int:
        seq = self._write(event, work)
        self.announce()
        return seq

    def _write(self, event: Event, work: Work | None) -> int:
        data = encode_data(event)
        kind = event_type(event)
        time_us = int(self._clock() * 1_000_000)
        with self._write_lock:
            if self._stale:
                self._reload()
            boot = self._boots[self.boot_id]
            room = self._capacity - (0 if _may_use_reserve(event) else RESERVE)
            free = self._free_candidate(room)
            seq = boot.last + 1
            with self._transaction(self._writer) as db:
                if work is not None:
                    work(db)
                if free is not None:
                    self._free(db, *free)
                db.execute(
                    "INSERT INTO event VALUES(?, ?, ?, ?, ?, ?)",
                    (boot.number, seq, kind.value, time_us, data, self._newest),
                )
            boot.last = seq
            row = Link(self._newest, self.boot_id, seq, kind.value, time_us, data)
            self._newest = row.digest
            if free is not None:
                free[0].freed = free[1]
            self._since_checkpoint += 1
            if self._since_checkpoint >= _CHECKPOINT_FORCED_ROWS:
                self._since_checkpoint = 0
                self._checkpoint(self._writer)
        return seq

    def _free_candidate(self, room: int) -> tuple[BootCounters, int] | None:
        """Return the oldest boot with free rows, and up to which seq to remove; None if roomy."""
        if len(self) < room:
            return None
        for boot in self._boots.values():
            if boot.freed < boot.acknowledged:
                return boot, min(boot.acknowledged, boot.freed + _FREE_BATCH)
        raise JournalFull(f"{len(self)} events wait for the collector")

    @staticmethod
    def _free(db: sqlite3.Connection, boot: BootCounters, upto: int) -> None:
        db.execute("DELETE FROM event WHERE boot = ? AND seq <= ?", (boot.number, upto))
        db.execute("UPDATE boot SET freed = ? WHERE number = ?", (upto, boot.number))


def _mark(db: sqlite3.Connection, mark: Mark, now: int) -> None:
    """Put down a mark.

    Raises:
        AlreadyUsed: it is there, and counts.
    """
    # An expired mark may still stand behind the 32 that were cleared.
    db.execute("DELETE FROM used WHERE replay_key = ? AND until < ?", (mark.key, now))
    try:
        db.execute("INSERT INTO used VALUES(?, ?)", (mark.key, mark.until))
    except sqlite3.IntegrityError:
        raise AlreadyUsed("this use was committed before") from None


def _place(db: sqlite3.Connection, way: Way, at: float) -> None:
    db.execute(
        _PUT_PRESENCE,
        (way.subject, way.zone, way.direction, at),
    )


def _gone(path: Path) -> str:
    """Return what is wrong with a database that was here before, where it is not here now."""
    try:
        return "" if path.stat().st_size else "the file was empty"
    except FileNotFoundError:
        return "the file was gone"


def _may_use_reserve(event: Event) -> bool:
    """Return whether the last places are kept for this: faults, and the ends of grants.

    A grant that took the last free place must still be able to say how it ended.
    """
    if isinstance(event, Decision):
        return event.decision == "annulled"
    return not isinstance(event, Passage) or event.outcome in _ENDS
