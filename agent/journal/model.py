"""Values and errors of the journal, apart from SQLite so that anyone may import them cheaply.

Rules:
- `boot_id` names one run of the daemon; `seq` counts 1, 2, 3 ... inside it, without a gap.
- A row is *free* when the collector acknowledged it; only free rows are ever removed.
- `Position` orders rows over boots: the journal numbers boots in the order they began.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from agent.journal.chain import Link

__all__ = [
    "AlreadyUsed",
    "BootState",
    "GiveBack",
    "GiveBacks",
    "JournalError",
    "JournalFailed",
    "JournalFull",
    "Mark",
    "Outbox",
    "Position",
    "Row",
    "Way",
    "ZoneEntry",
    "new_boot_id",
]


class JournalError(Exception):
    """The event was not recorded; whoever asked must not open the gate."""


class JournalFailed(JournalError):
    """The disk is full, broken or gone, or the database is damaged: `Reason.JOURNAL_FAILED`."""


class JournalFull(JournalError):
    """Every row waits for the collector and none may be dropped: `Reason.JOURNAL_FULL`."""


class AlreadyUsed(JournalError):
    """This very use was committed before: `Reason.REPLAYED`."""


class Position(NamedTuple):
    """Place of a row in writing order: (number of the boot in this journal, seq)."""

    boot: int
    seq: int


@dataclass(frozen=True, slots=True)
class Row:
    """One journaled event.

    Attributes:
        position: place in writing order.
        boot_id: the daemon run that wrote it.
        seq: gap-free number inside that run, from 1.
        type: `decision`, `passage`, `tamper`, `fault` or `mode`.
        time_us: Unix time in microseconds, by the gate's clock.
        data: the event's JSON, UTF-8.
        previous: hash of the row before it, see `agent.journal.chain`.
    """

    position: Position
    boot_id: str
    seq: int
    type: str
    time_us: int
    data: bytes = field(repr=False)
    previous: bytes = field(repr=False)

    @property
    def digest(self) -> bytes:
        """This row's hash, which the next row carries."""
        return Link(
            self.previous, self.boot_id, self.seq, self.type, self.time_us, self.data
        ).digest


@dataclass(frozen=True, slots=True)
class BootState:
    """How far one daemon run got, and how far the collector followed.

    Attributes:
        boot_id: the run.
        last_seq: highest `seq` written; 0 when none was.
        acknowledged: highest contiguous `seq` that the collector stored.
    """

    boot_id: str
    last_seq: int
    acknowledged: int


@dataclass(frozen=True, slots=True)
class ZoneEntry:
    """Where a subject was last seen to pass, for anti-passback.

    Attributes:
        zone: the zone's name.
        direction: `in` or `out`.
        at: Unix seconds.
    """

    zone: str
    direction: str
    at: float


@dataclass(frozen=True, slots=True)
class Mark:
    """What must be known again once it was used.

    Attributes:
        key: identifies it.
        until: last second at which it must be recognised.
    """

    key: bytes
    until: int


@dataclass(frozen=True, slots=True)
class Way:
    """Where somebody goes, for anti-passback.

    Attributes:
        subject: HMAC of the subject that does not change by the day.
        zone: anti-passback zone.
        direction: `in` or `out`.
    """

    subject: str
    zone: str
    direction: str


@dataclass(frozen=True, slots=True)
class GiveBack:
    """A use that is given back, as the journal remembers it.

    Attributes:
        use: keyed hash of the use, or of the ticket that it spent.
        subject: HMAC of the subject that does not change by the day; empty: it counts for nobody.
        until: Unix seconds until which it counts.
    """

    use: bytes
    subject: str
    until: float


@dataclass(frozen=True, slots=True)
class GiveBacks:
    """What was given back before: this very use, and how many of the subject's within a time."""

    use: bool
    subject: int


class Outbox(Protocol):
    """What the reporter needs of a journal; the fleet simulator has a light one of its own."""

    def head(self) -> Position:
        """Return the position of the newest row."""

    def first_pending(self) -> Position | None:
        """Return the position of the oldest row that is not free."""

    def pending(self, *, after: Position, upto: Position, limit: int) -> list[Row]:
        """Return rows that are not free, after < position <= upto, in order."""

    def replay(self, boot_id: str, first: int, last: int, limit: int) -> list[Row]:
        """Return rows of one boot with first <= seq <= last, free or not, if still there."""

    def acknowledge(self, boot_id: str, seq: int) -> int:
        """Free the boot's rows up to `seq`; return how many that were."""

    def boots(self) -> list[BootState]:
        """Return the boots that have rows waiting, and the current one, oldest first."""

    def unacknowledged(self) -> int:
        """Return how many rows wait for the collector."""

    def maintain(self) -> None:
        """Do the housekeeping that would make a writer wait."""

    def listen(self, callback: Callable[[], None] | None) -> None:
        """Call `callback`, which must not block, after each new row."""


def new_boot_id() -> str:
    """Return an identifier for this run of the daemon: 32 hexadecimal digits."""
    return uuid.uuid4().hex
