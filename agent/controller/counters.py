"""What the gate counts about itself: decisions, passages, latencies. Thread-safe."""

from __future__ import annotations

import threading
from collections import Counter, deque
from dataclasses import dataclass

from agent.controller.ports import JournaledEvent
from agent.journal import events
from agent.reason import Reason

__all__ = ["CounterSnapshot", "Counters"]

LATENCIES_KEPT = 512


@dataclass(frozen=True, slots=True)
class CounterSnapshot:
    """Counts since start.

    Attributes:
        granted, denied, annulled, passages: rows of each.
        proven: grants to somebody whose code or finger was enough, not by button or command.
        reasons: denials by reason.
        last_decision, last_reason: of the newest decision.
        latency_ms: code visible to gate asked to open, median of the last ones; None without any.
        latency_p99_ms: 99th percentile of the same.
    """

    granted: int
    proven: int
    denied: int
    annulled: int
    passages: int
    reasons: dict[str, int]
    last_decision: str | None
    last_reason: str | None
    latency_ms: float | None
    latency_p99_ms: float | None


class Counters:
    """Counts what is journaled."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._reasons: Counter[str] = Counter()
        self._last: events.Decision | None = None
        self._latencies: deque[float] = deque(maxlen=LATENCIES_KEPT)

    def observe(self, journaled: JournaledEvent) -> None:
        """Count one row."""
        event = journaled.event
        with self._lock:
            if isinstance(event, events.Decision):
                self._counts[event.decision] += 1
                if event.decision == "granted" and event.reason is Reason.GRANTED:
                    self._counts["proven"] += 1
                if event.decision != "annulled":
                    self._last = event
                if event.decision == "denied":
                    self._reasons[event.reason.value] += 1
            elif isinstance(event, events.Passage):
                self._counts[event.outcome] += 1
                self._time(journaled)

    def snapshot(self) -> CounterSnapshot:
        """Return the counts."""
        with self._lock:
            ordered = sorted(self._latencies)
            last = self._last
            return CounterSnapshot(
                granted=self._counts["granted"],
                proven=self._counts["proven"],
                denied=self._counts["denied"],
                annulled=self._counts["annulled"],
                passages=self._counts["passed"],
                reasons=dict(self._reasons),
                last_decision=None if last is None else last.decision,
                last_reason=None if last is None else last.reason.value,
                latency_ms=_at(ordered, 0.5),
                latency_p99_ms=_at(ordered, 0.99),
            )

    def _time(self, journaled: JournaledEvent) -> None:
        """Take an attempt's latency once, with the end of its grant."""
        trace = journaled.trace
        if trace is not None and journaled.event.__class__ is events.Passage:
            total = trace.stages_ms.get("total")
            if total is not None and not trace.biometrics:
                self._latencies.append(total)


def _at(ordered: list[float], part: float) -> float | None:
    if not ordered:
        return None
    return round(ordered[min(len(ordered) - 1, int(part * len(ordered)))], 1)
