"""A controller on a table: real journal, judge and machine, a fake clock, and a gate that notes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from agent.controller.controller import Controller
from agent.controller.memory import JournalMemory
from agent.controller.ports import FrameCodes, JournaledEvent, Ports
from agent.controller.records import Recorder, Sighting
from agent.credential.model import Kind, Level
from agent.issuing.issue import Holder, face_template, new_issuer, present, sign_credential
from agent.journal import events
from agent.journal.journal import Journal
from agent.journal.subjects import SubjectHasher
from agent.passage.events import CodesSeen, StartBiometric, Tick
from agent.passage.types import Code, Direction, Mode, Rules, Signal
from agent.policy.judge import Judge, Place
from agent.policy.profile import parse_profile
from agent.reason import Reason
from agent.trust.snapshot import TrustSnapshot

T0 = 1_800_000_000
PROFILE = 'name = "p"\ntitle = "t"\nkinds = ["library-card"]\n'


@dataclass
class FakeClock:
    now: float = float(T0)
    believed: bool = True

    def wall(self) -> float:
        return self.now

    def monotonic_ns(self) -> int:
        return int((self.now - T0 + 1000) * 1e9)

    def believed_wall(self) -> float | None:
        return self.now if self.believed else None


@dataclass
class NotedGate:
    """Notes what it is asked, and what was in the journal at that moment."""

    journal: Journal
    asked: list[str] = field(default_factory=list)
    rows_at_open: int = -1

    def open(self, direction: Direction, seconds: float, subject: str = "") -> None:
        self.asked.append(f"open {direction}")
        self.rows_at_open = len(self.journal)

    def close(self) -> None:
        self.asked.append("close")

    def hold(self, held: bool) -> None:
        self.asked.append(f"hold {held}")

    def signal(self, signal: Signal) -> None:
        self.asked.append(f"show {signal}")


@dataclass
class NotedChecks:
    started: list[StartBiometric] = field(default_factory=list)
    stopped: list[int] = field(default_factory=list)

    def start(self, effect: StartBiometric) -> None:
        self.started.append(effect)

    def stop(self, attempt: int) -> None:
        self.stopped.append(attempt)


class Bench:
    """A controller on a table; the tests' own fixture closes its journal."""

    made: ClassVar[list[Bench]] = []

    def __init__(self, path: Path, profile: str = PROFILE, **parts: object) -> None:
        self.made.append(self)
        self.clock = FakeClock()
        self.issuer, self.holder = new_issuer("lib", "ES256"), Holder.new()
        self.journal = Journal.open(path / "j.sqlite", clock=self.clock.wall)
        self.gate, self.checks = NotedGate(self.journal), NotedChecks()
        self.rows: list[JournaledEvent] = []
        self.answers: list[tuple[str, bool, Reason | None]] = []
        self.modes: list[Mode] = []
        hasher = SubjectHasher(bytes(32))
        place = Place(site="s", gate="g", profile=parse_profile(profile, source="p"))
        memory = JournalMemory(
            self.journal, hasher, zone="main", passback_s=600, reuse_s=10, began_at=T0, failures=3,
            enrolled=lambda _subject: False,
        )  # fmt: skip
        trust = TrustSnapshot(keys=(self.issuer.issuer_key(),), updated_at=T0)
        values: dict[str, object] = {
            "judge": Judge(place, timer=lambda: 0, memory=memory),
            "trust": lambda: trust,
            "clock": self.clock,
            "journal": self.journal,
            "hasher": hasher,
            "gate": self.gate,
            "checks": self.checks,
            "recorder": Recorder(boot_id=self.journal.boot_id, profile="p", zone="main"),
            "respond": lambda *answer: self.answers.append(answer),
            "save_mode": self.modes.append,
            "observe": self.rows.append,
            **parts,
        }
        self.controller = Controller(Ports(**values), Rules())  # type: ignore[arg-type]

    def code(
        self, *, subject: str = "1", at: float | None = None, face: bool = False,
        static: bool = False,
    ) -> str:  # fmt: skip
        now = int(self.clock.now if at is None else at)
        credential = sign_credential(
            self.issuer, self.holder, subject=subject, issued_at=now - 10, valid_until=now + 1000,
            kind=Kind.LIBRARY_CARD, level=Level.BASIC,
            references=[face_template(bytes(range(128)), "m")] if face else [],
        )  # fmt: skip
        if static:
            return present(credential)
        return present(credential, self.holder, at=now)

    def show(self, text: str) -> None:
        digest = hashlib.sha256(text.encode()).digest()
        captured = self.clock.monotonic_ns() - 5_000_000
        sighting = Sighting(captured_ns=captured, taken_ns=captured + 1_000_000, decode_ms=2.0)
        self.controller.handle(
            FrameCodes(CodesSeen((Code(digest, text.encode()),)), {digest: sighting})
        )

    def clear(self, seconds: float = 2.0) -> None:
        self.controller.handle(CodesSeen())
        self.later(seconds)

    def later(self, seconds: float) -> None:
        self.clock.now += seconds
        self.controller.handle(Tick())

    def decisions(self) -> list[events.Decision]:
        return [row.event for row in self.rows if isinstance(row.event, events.Decision)]

    def outcomes(self) -> list[str]:
        return [row.event.outcome for row in self.rows if isinstance(row.event, events.Passage)]
