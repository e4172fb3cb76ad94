"""From levels on lines to events: debounce, polarity, and the two beams' direction.

Wiring that is meant here (docs/wiring.md):
- fire and tamper are normally closed loops to ground with a pull-up: a cut wire reads as an alarm.
- the door contact has a pull-up, release and key switch close to ground.
- a fire alarm is believed at the first sample, since it must win within one poll; only its end is
  debounced, and long. Everything else must be stable for `debounce_ms`; tamper and door must be at
  rest for longer before that is believed.
- A release that is held down already when the agent starts opens nothing: an edge is needed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from agent.passage.events import (
    DoorChanged,
    FireChanged,
    GateFault,
    InputEvent,
    KeyTurned,
    LaneEntered,
    PassageReversed,
    PassageSensed,
    ReleasePressed,
    TamperChanged,
)
from agent.passage.types import Direction, Mode
from agent.settings.model import GpioConfig
from hal.gpio import Gpio, Pull

__all__ = ["LOOP_CLEAR_S", "STUCK_S", "Beams", "Debounce", "Inputs", "Line", "lines"]

LOOP_CLEAR_S = 1.0
"""How long the fire or tamper loop must be whole before the alarm is over: a loose contact gives
one event a second at most, and cannot fill the journal."""
_DOOR_CLEAR_S = 0.25
STUCK_S = 10.0
"""A beam or a button active for longer is a fault."""
_GAP_S = 0.4
"""Between the beams: a quick walker may leave the first before breaking the second."""
_CLEAR_S = {"fire": LOOP_CLEAR_S, "tamper": LOOP_CLEAR_S, "door": _DOOR_CLEAR_S}
_LEGS_S = 0.3
"""A single beam must be free for so long before its next break is another person, not a leg."""
_FOLLOW_S = 0.15
"""The first beam must be free for so long before its next break is another person."""


@dataclass(frozen=True, slots=True)
class Line:
    """An input: its pin, bias and the level that means active."""

    name: str
    pin: int
    pull: Pull
    active: bool


def lines(settings: GpioConfig) -> tuple[Line, ...]:
    """Return the inputs that are fitted."""

    def contact(name: str, pin: int | None, active: str) -> Iterator[Line]:
        if pin is not None:
            yield Line(name, pin, Pull.UP, active == "high")

    def sensor(name: str, pin: int | None, active: str) -> Iterator[Line]:
        if pin is not None:
            yield Line(name, pin, Pull.DOWN if active == "high" else Pull.UP, active == "high")

    return (
        *contact("fire", settings.fire, "high"),
        *contact("tamper", settings.tamper, "high"),
        *contact("door", settings.door, settings.door_active),
        *contact("release", settings.release, settings.release_active),
        *contact("key", settings.key, settings.key_active),
        *sensor("passage", settings.passage, settings.passage_active),
        *sensor("passage_2", settings.passage_2, settings.passage_active),
    )


class Debounce:
    """A level that must be stable for a while; the first sample is believed.

    Args:
        rise_s: how long inactive -> active must last.
        fall_s: how long active -> inactive must last.
    """

    def __init__(self, rise_s: float, fall_s: float) -> None:
        self._rise_s = rise_s
        self._fall_s = fall_s
        self._since: float | None = None
        self.active: bool | None = None

    def update(self, active: bool, now: float) -> bool:
        """Take a sample; tell whether the believed level changed (the first one counts)."""
        if self.active is None:
            self.active = active
            return True
        if active == self.active:
            self._since = None
            return False
        if self._since is None:
            self._since = now
        if now - self._since < (self._rise_s if active else self._fall_s):
            return False
        self._since = None
        self.active = active
        return True


class Beams:
    """Two beams across the lane, outside then inside: which way did somebody go.

    A crossing is told when the person has left the first beam and stands in the second, so that
    the gate can close behind them; whoever breaks the first beam again meanwhile is the next one.
    """

    def __init__(self) -> None:
        self._origin: Direction | None = None
        self._both = False
        # Of the walk that has an origin, and set as it begins.
        self._near: bool
        self._far: bool
        self._last_near: bool
        self._counted: bool
        self._near_free_at: float
        self._idle_since: float | None

    def update(self, outer: bool, inner: bool, now: float) -> list[InputEvent]:
        """Take both beams (True is broken); return what that means."""
        if self._origin is None:
            if self._both and not (outer and inner):
                return self._uncovered(outer, inner, now)
            self._both = outer and inner
            if outer == inner:
                return []
            self._origin = Direction.IN if outer else Direction.OUT
            self._counted = False
            self._near, self._far = True, False
            self._last_near = True
            self._idle_since = None
            return [LaneEntered()]
        near, far = (outer, inner) if self._origin is Direction.IN else (inner, outer)
        if (near, far) == (self._near, self._far):
            return self._wait(now)
        before, self._near, self._far = self._near, near, far
        if near or far:
            self._idle_since = None
            self._last_near = near and not far
        if far and not near:
            return self._crossed(now)
        if near and not before and self._counted and now - self._near_free_at >= _FOLLOW_S:
            self._counted = False
            return [LaneEntered()]
        if not near and not far:
            return self._left(now)
        return []

    def _uncovered(self, outer: bool, inner: bool, now: float) -> list[InputEvent]:
        """Both beams broke in one poll: the one that is free first was passed first."""
        self._both = False
        if not outer and not inner:
            return [PassageSensed(None)]
        self._origin = Direction.OUT if outer else Direction.IN
        self._counted, self._last_near = True, False
        self._near, self._far = False, True
        self._near_free_at = now
        self._idle_since = None
        return [PassageSensed(self._origin)]

    def _crossed(self, now: float) -> list[InputEvent]:
        self._near_free_at = now
        if self._counted:
            return []
        self._counted = True
        return [PassageSensed(self._origin)]

    def _left(self, now: float) -> list[InputEvent]:
        """Both beams are free again."""
        if self._last_near and not self._counted:
            self._idle_since = now
            return []
        origin, counted = self._origin, self._counted
        self._origin = None
        if not counted:
            return [PassageSensed(origin)]
        if origin is not None and self._last_near:
            return [PassageSensed(origin.opposite)]
        return []

    def _wait(self, now: float) -> list[InputEvent]:
        """Nothing changed: somebody who turned round is known by the second beam staying free."""
        if self._idle_since is None or now - self._idle_since < _GAP_S:
            return []
        self._origin = None
        return [PassageReversed()]


@dataclass(slots=True)
class _Channel:
    line: Line
    debounce: Debounce
    active_since: float | None = None
    stuck: bool = False


class Inputs:
    """All inputs of a gate.

    Args:
        gpio: where the lines are.
        settings: which are fitted.
    """

    def __init__(self, gpio: Gpio, settings: GpioConfig) -> None:
        self._gpio = gpio
        stable_s = settings.debounce_ms / 1000
        self._key_mode = Mode(settings.key_mode)
        self._channels: dict[str, _Channel] = {}
        for line in lines(settings):
            clear_s = _CLEAR_S.get(line.name, stable_s)
            debounce = Debounce(0.0 if line.name == "fire" else stable_s, max(clear_s, stable_s))
            self._channels[line.name] = _Channel(line, debounce)
        self._beams = Beams() if "passage_2" in self._channels else None
        self._beam_free_at = -math.inf

    def setup(self) -> None:
        """Make the lines inputs."""
        for channel in self._channels.values():
            self._gpio.setup_input(channel.line.pin, pull=channel.line.pull)

    def active(self, name: str) -> bool:
        """Return the believed state of an input; one that is not fitted is inactive."""
        channel = self._channels.get(name)
        return channel is not None and bool(channel.debounce.active)

    def poll(self, now: float) -> list[InputEvent]:
        """Read every line once; return what changed, fire first."""
        events: list[InputEvent] = []
        for name, channel in self._channels.items():
            first = channel.debounce.active is None
            level = self._gpio.read(channel.line.pin)
            changed = channel.debounce.update(level == channel.line.active, now)
            if changed:
                channel.active_since = now if channel.debounce.active else None
                events.extend(self._changed(name, now, active=self.active(name), first=first))
            events.extend(_stuck(channel, now))
        if self._beams is not None:
            outer, inner = self.active("passage"), self.active("passage_2")
            events.extend(self._beams.update(outer, inner, now))
        return events

    def _changed(self, name: str, now: float, *, active: bool, first: bool) -> Iterator[InputEvent]:
        """Turn one input's new state into an event; the first sample only if it is not at rest."""
        if first and (not active or name in {"release", "passage"}):
            return
        match name:
            case "fire":
                yield FireChanged(active)
            case "tamper":
                yield TamperChanged(active)
            case "door":
                yield DoorChanged(active)
            case "release" if active:
                yield ReleasePressed()
            case "key":
                yield KeyTurned(self._key_mode if active else Mode.NORMAL)
            case "passage" if self._beams is None:
                if not active:
                    self._beam_free_at = now
                elif now - self._beam_free_at >= _LEGS_S:
                    yield PassageSensed(None)


def _stuck(channel: _Channel, now: float) -> Iterator[InputEvent]:
    """Report a beam or a button that does not come back, once, and when it does after all."""
    if channel.line.name not in {"passage", "passage_2", "release"}:
        return
    detail = f"input {channel.line.name} has been active for {STUCK_S:.0f} s"
    if channel.active_since is None:
        if channel.stuck:
            channel.stuck = False
            yield GateFault(detail, active=False)
    elif not channel.stuck and now - channel.active_since >= STUCK_S:
        channel.stuck = True
        yield GateFault(detail)
