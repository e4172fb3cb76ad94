"""What the controller works with: the parts it is given, and what it is handed and tells."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from agent.controller.records import Recorder, Sighting, Trace
from agent.journal import events
from agent.journal.journal import Journal
from agent.journal.subjects import SubjectHasher
from agent.passage.events import CodesSeen, StartBiometric
from agent.passage.types import Direction, Mode, Signal
from agent.policy.judge import Judge
from agent.reason import Reason
from agent.trust.model import TrustView

__all__ = ["BiometricsPort", "Clock", "FrameCodes", "GatePort", "JournaledEvent", "Ports"]


class Clock(Protocol):
    """The daemon's clocks."""

    def wall(self) -> float:
        """Unix seconds, believed or not: for what is written down."""

    def believed_wall(self) -> float | None:
        """Unix seconds, or None while the wall clock may not be believed."""

    def monotonic_ns(self) -> int:
        """Nanoseconds that never go back."""


class GatePort(Protocol):
    """What the controller asks of the gate; returns at once."""

    def open(self, direction: Direction, seconds: float, subject: str = "") -> None:
        """Open one way; an access controller behind the gate is given the subject's number."""

    def close(self) -> None:
        """End an opening."""

    def hold(self, held: bool) -> None:
        """Keep open, or stop doing so."""

    def signal(self, signal: Signal) -> None:
        """Show and sound."""


class BiometricsPort(Protocol):
    """What the controller asks of the biometrics; each start is answered by `BiometricDone`."""

    def start(self, effect: StartBiometric) -> None:
        """Begin a check."""

    def stop(self, attempt: int) -> None:
        """Cancel what runs for an attempt."""


@dataclass(frozen=True, slots=True)
class FrameCodes:
    """One frame's codes, with the sighting of each digest; posted by the camera thread."""

    event: CodesSeen
    sightings: dict[bytes, Sighting]


@dataclass(frozen=True, slots=True)
class JournaledEvent:
    """A row that was journaled, for metrics, the console and the demo.

    Attributes:
        seq: of the row.
        event: as journaled.
        trace: the attempt, where there is one.
    """

    seq: int
    event: events.Event
    trace: Trace | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """What a controller works with.

    Attributes:
        judge: judges payloads for this place.
        trust: returns the snapshot to believe now.
        clock: the daemon's clocks.
        journal: where decisions and marks go.
        hasher: turns subjects into what may be written.
        gate: the gate.
        checks: the biometrics.
        recorder: makes events of records.
        respond: answers a command by its transaction.
        save_mode: persists the chosen mode.
        observe: told of every row.
        journal_full: what a full journal means for people.
        note_fault: told of each fault of an input, as it begins or ends.
        challenge: returns the nonce that the gate shows now, or None where it shows none.
    """

    judge: Judge
    trust: Callable[[], TrustView]
    clock: Clock
    journal: Journal
    hasher: SubjectHasher
    gate: GatePort
    checks: BiometricsPort
    recorder: Recorder
    respond: Callable[[str, bool, Reason | None], None]
    save_mode: Callable[[Mode], None]
    observe: Callable[[JournaledEvent], None]
    journal_full: Literal["deny", "free"] = "deny"
    note_fault: Callable[[events.Fault], None] = lambda _event: None
    challenge: Callable[[], bytes | None] = lambda: None
