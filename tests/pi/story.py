"""A run on the emulated gate: its checks, times and chapters.

Each chapter (`tests.pi.chapters`) says how often the relay may rise in it, which is counted over the whole run, between
chapters too: a rise that no chapter expects is a failed check. Decisions are read where the fleet
reads them, at the collector; lamps, relay and times are seen from outside.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hal.simulated.fingerprint import SimulatedFingerprint
from tests.pi import premises
from tests.pi.lane import Issuing, Lane
from tests.pi.outside import Event
from tests.pi.qemu import Emulator


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at.

    Attributes:
        chapter, what: what it is about.
        seen: what was seen, in words.
        good: whether it is as it must be.
    """

    chapter: str
    what: str
    seen: str
    good: bool


@dataclass
class Story:
    """The run.

    Attributes:
        lane, board, module: the gate's surroundings.
        private: folder of the site's keys.
        began: monotonic second of the board's first instruction.
        checks, times: what was found; times by name, seconds.
        marks: when each chapter began, for the plot.
        people: who issues credentials, to whom.
        used: a code that was used.
    """

    lane: Lane
    board: Emulator
    module: SimulatedFingerprint
    private: Path
    began: float
    checks: list[Check] = field(default_factory=list)
    times: dict[str, float] = field(default_factory=dict)
    marks: list[tuple[float, str]] = field(default_factory=list)
    people: Issuing = field(init=False)
    used: str = ""
    _chapter: str = ""
    _counted_to: float = field(init=False)

    def __post_init__(self) -> None:
        self.people = Issuing(self.private)
        self._counted_to = self.began

    def tell(self, title: str, rises: int, chapter: Callable[[Story], None]) -> None:
        """Go through a chapter.

        Args:
            title: its name.
            rises: how often the relay must rise in it.
            chapter: what happens.

        Raises:
            Failed, GuestError, EmulatorError: the gate stands still.
        """
        self._chapter = title
        self.marks.append((time.monotonic(), title))
        chapter(self)
        now = time.monotonic()
        seen = self.lane.pins.rises(premises.RELAY, self._counted_to, now)
        self._counted_to = now
        self.check(
            "the relay rises exactly so often", f"{len(seen)} of {rises}", len(seen) == rises
        )

    def check(self, what: str, seen: str, good: bool) -> None:
        """Keep what was seen, and say it."""
        self.checks.append(Check(self._chapter, what, seen, good))
        self.lane.say(f"{'ok  ' if good else 'FAIL'} {self._chapter}: {what}: {seen}")

    def passage(self) -> tuple[dict[str, Any], str]:
        """Let a person in and through; return the decision and the code."""
        before = len(self.lane.verdicts())
        code = self.people.code()
        shown, opened = self.lane.let_in(code)
        self.lane.walk()
        verdict = self.lane.next_verdict(before)
        self.times.setdefault("grant: picture before the camera to relay on", opened - shown)
        for name, value in verdict.get("stages_ms", {}).items():
            self.times.setdefault(f"grant: {name}, by the agent's clock", value / 1e3)
        self.times.setdefault(
            "grant: frame exposed to decision, by the agent's clock",
            (verdict.get("total_ms") or 0.0) / 1e3,
        )
        return verdict, code

    def aborted(self) -> list[Event]:
        """Return the passages that were cut short, as the collector has them."""
        return [e for e in self.lane.told("passage") if e.data["outcome"] == "aborted"]


def words(verdict: dict[str, Any]) -> str:
    """Return a decision in words."""
    checked = [f"{each['modality']} {each['reason']}" for each in verdict.get("biometrics", ())]
    return ", ".join([verdict["reason"], *checked])
