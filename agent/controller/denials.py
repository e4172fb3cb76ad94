"""Whether a gate denies far more than it is used to. Pure: counts and a monotonic clock in.

Rules:
- What is looked at is the newest decisions: as many minutes back as hold `ENOUGH` of them in
  `SPREAD` different minutes, an hour at most. So a busy gate is told of in minutes, a quiet one
  within the hour, and one person who tries again and again is no gate that denies everybody.
- Denied of these far more than by habit: `LEAST_DENIED` at least, and over half of the way from the
  usual share to all. Over is it below a quarter of that way, or when an hour has nothing of it.
- The habit is what decisions of over an hour ago came to, thousands of them and older ones less;
  a gate that has just started is taken to deny a quarter. What comes while the alarm stands counts
  for a tenth, so that no gate grows used to denying everybody before somebody could see it.
- Denials that the operator asked for (locked, closed, maintenance) are none, and who is let in by
  the button or by a command proves nothing for the codes.
- Memory: an hour of minutes.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from agent.reason import Reason

__all__ = ["AS_ASKED", "DenialRate"]

MINUTE_S: Final = 60.0
WINDOW_S: Final = 3_600.0
ENOUGH: Final = 20
SPREAD: Final = 5
LEAST_DENIED: Final = 10
HABIT_AT_START: Final = 0.25
HABIT_WEIGHT: Final = 40.0
"""Decisions for which the habit at the start counts."""
HABIT_KEPT: Final = 2_000.0
"""Decisions after which the habit is halved, so that it follows what changes."""
WHILE_ALARMED: Final = 0.1

AS_ASKED: Final = frozenset(
    {Reason.GATE_LOCKED, Reason.MAINTENANCE, Reason.CLOSED_NOW, Reason.FIRE, Reason.GATE_BUSY}
)
"""Denials that say how the gate was set, not that something is wrong with it."""


@dataclass(slots=True)
class _Minute:
    """Decisions of one minute that had any."""

    number: int
    granted: int = 0
    denied: Counter[str] = field(default_factory=Counter)

    def __len__(self) -> int:
        return self.granted + self.denied.total()


class DenialRate:
    """Follows a gate's counts.

    Attributes:
        alarm: what is unusual, in words for the operator; "" while nothing is.
    """

    def __init__(self) -> None:
        self.alarm = ""
        self._minutes: deque[_Minute] = deque()
        self._seen: Counter[str] = Counter()
        self._usual = (HABIT_AT_START * HABIT_WEIGHT, HABIT_WEIGHT)

    @property
    def habit(self) -> float:
        """The share that is usually denied, 0 to 1."""
        denied, all_ = self._usual
        return denied / all_

    def look(self, granted: int, denied: Mapping[str, int], now: float) -> str:
        """Take the counts since the start; return the alarm.

        Args:
            granted: people whose code was enough.
            denied: denials by reason code.
            now: monotonic seconds; never less than before.
        """
        self._take(granted, denied, int(now // MINUTE_S))
        while self._minutes and now - self._minutes[0].number * MINUTE_S > WINDOW_S:
            self._learn(self._minutes.popleft())
        count, minutes, reasons = self._newest()
        share = reasons.total() / count if count else 0.0
        if self.alarm:
            standing = share > self.habit + (1 - self.habit) / 4
        else:
            enough = count >= ENOUGH and minutes >= SPREAD and reasons.total() >= LEAST_DENIED
            standing = enough and share > self.habit + (1 - self.habit) / 2
        if not standing:
            self.alarm = ""
        elif not self.alarm:
            reason, times = reasons.most_common(1)[0]
            self.alarm = (
                f"{reasons.total()} of the last {count} denied, usually {self.habit:.0%}; "
                f"{times} times {reason}"
            )
        return self.alarm

    def _take(self, granted: int, denied: Mapping[str, int], minute: int) -> None:
        """Add what is new since the last look to its minute."""
        now = Counter(
            {word: times for word, times in denied.items() if word not in AS_ASKED}
            | {Reason.GRANTED.value: granted}
        )
        new = now - self._seen
        self._seen = now
        if not new:
            return
        if not self._minutes or self._minutes[-1].number != minute:
            self._minutes.append(_Minute(minute))
        latest = self._minutes[-1]
        latest.granted += new.pop(Reason.GRANTED.value, 0)
        latest.denied.update(new)

    def _newest(self) -> tuple[int, int, Counter[str]]:
        """Return how many decisions are looked at, in how many minutes, and the denials."""
        count, minutes, reasons = 0, 0, Counter[str]()
        for minute in reversed(self._minutes):
            if count >= ENOUGH and minutes >= SPREAD:
                break
            count += len(minute)
            minutes += 1
            reasons.update(minute.denied)
        return count, minutes, reasons

    def _learn(self, minute: _Minute) -> None:
        """Let a minute that is an hour old count for the habit."""
        weight = WHILE_ALARMED if self.alarm else 1.0
        denied, all_ = self._usual
        denied += weight * minute.denied.total()
        all_ += weight * len(minute)
        if all_ > HABIT_KEPT:
            denied, all_ = denied / 2, all_ / 2
        self._usual = denied, all_
