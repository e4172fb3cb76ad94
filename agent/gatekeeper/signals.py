"""Lamp and buzzer patterns: what each signal looks and sounds like, as a table.

Rules:
- Every denial looks and sounds the same; nobody learns from the gate which check failed.
- Green alone means: walk. Red alone means: stop.
- An alarm sounds over what is shown; afterwards the lamps are as before.
"""

from __future__ import annotations

from typing import NamedTuple

from agent.gatekeeper.words import Signal

__all__ = ["DARK", "PATTERNS", "Indication", "Pattern", "Player"]


class Indication(NamedTuple):
    """What is lit and what sounds at one moment."""

    green: bool = False
    red: bool = False
    buzzer: bool = False


DARK = Indication()
_GREEN = Indication(green=True)
_RED = Indication(red=True)


class Pattern(NamedTuple):
    """Indications with their durations in seconds; then `after`, or the beginning again.

    Attributes:
        steps: (seconds, indication); none where it does not change.
        after: what stays when the steps are over; None repeats them for ever.
    """

    steps: tuple[tuple[float, Indication], ...]
    after: Indication | None = None

    def at(self, elapsed_s: float) -> Indication | None:
        """Return what shows after `elapsed_s`, None when a pattern without `after` begins anew."""
        for seconds, indication in self.steps:
            if elapsed_s < seconds:
                return indication
            elapsed_s -= seconds
        return self.after

    @property
    def seconds(self) -> float:
        """Length of the steps."""
        return sum(seconds for seconds, _ in self.steps)


def _blink(indication: Indication, on_s: float, off_s: float) -> Pattern:
    return Pattern(((on_s, indication), (off_s, DARK)))


_BEEP_GREEN = Indication(green=True, buzzer=True)
_BEEP_RED = Indication(red=True, buzzer=True)

PATTERNS: dict[Signal, Pattern] = {
    Signal.READY: _blink(_GREEN, 0.05, 1.95),
    Signal.PROMPT_FACE: _blink(_GREEN, 0.25, 0.25),
    Signal.PROMPT_FINGER: Pattern(((0.1, _GREEN), (0.1, DARK), (0.1, _GREEN), (0.4, DARK))),
    Signal.TURN_LEFT: Pattern(((0.15, _BEEP_GREEN), (0.85, DARK))),
    Signal.TURN_RIGHT: Pattern(
        ((0.15, _BEEP_GREEN), (0.15, DARK), (0.15, _BEEP_GREEN), (0.55, DARK))
    ),
    Signal.GRANTED: Pattern(((0.1, _BEEP_GREEN),), _GREEN),
    Signal.DENIED: Pattern(((0.3, _BEEP_RED), (0.1, _RED), (0.3, _BEEP_RED)), _RED),
    Signal.ALARM: Pattern(((0.2, _BEEP_RED), (0.1, DARK)) * 5, DARK),
    Signal.FREE: Pattern((), _GREEN),
    Signal.LOCKED: Pattern((), _RED),
    Signal.MAINTENANCE: Pattern(((1.0, _RED), (1.0, _GREEN))),
    Signal.FIRE: _blink(_BEEP_GREEN, 0.2, 0.2),
}


class Player:
    """Plays one pattern, and at times an alarm over it."""

    def __init__(self) -> None:
        self._pattern: Pattern | None = None
        self._since: float  # set with each pattern
        self._alarm_since: float | None = None

    def show(self, signal: Signal, now: float) -> None:
        """Begin a signal; the one that plays already goes on."""
        if signal is Signal.ALARM:
            self._alarm_since = now
        elif self._pattern is not PATTERNS[signal]:
            self._pattern = PATTERNS[signal]
            self._since = now

    def indication(self, now: float) -> Indication:
        """Return what should be lit and sounding."""
        if self._alarm_since is not None:
            alarm, elapsed = PATTERNS[Signal.ALARM], now - self._alarm_since
            if elapsed < alarm.seconds:
                return alarm.at(elapsed) or DARK
        if self._pattern is None:
            return DARK
        elapsed = now - self._since
        if self._pattern.after is None:
            elapsed %= self._pattern.seconds
        return self._pattern.at(elapsed) or DARK
