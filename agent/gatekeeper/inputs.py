"""From levels on lines to events: debounce, polarity, faults of the inputs, the beams' direction.

Wiring that is meant here (docs/wiring.md):
- fire and tamper are normally closed loops to ground with a pull-up: a cut wire reads as an alarm.
- the door contact has a pull-up, release and key switch close to ground.

What a spark does:
- fire is believed at the first sample (unless `fire_debounce_ms` says otherwise), since it must win
  within one poll; only its end is debounced, and long: a spark opens for a second.
- release must last `release_debounce_ms`, and be at rest for `RELEASE_REST_S` before the next
  press: a spark opens nothing, and a chattering contact is one press. While it chatters only a
  press that lasts `LONG_PRESS_S` counts.
- everything else must be stable for its debounce; tamper and door must be at rest for longer before
  that is believed.
- A line whose raw level flips more often than hands and people can is a fault (`chatter`); so is a
  beam or a button that does not come back (`stuck`), and a beam that never breaks while the one
  beside it does (`silent`).
- A release that is held down already at the start opens nothing: an edge is needed.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator

from agent.gatekeeper.beams import Beams
from agent.gatekeeper.pinmap import Line, PinMap, inputs
from agent.gatekeeper.wire import Event
from agent.gatekeeper.words import INPUTS, KINDS, MODES, Mode
from hal.gpio import Gpio, Pull

__all__ = ["FLIPS", "LONG_PRESS_S", "LOOP_CLEAR_S", "RELEASE_REST_S", "SILENT_BREAKS"]
__all__ += ["STUCK_S", "Debounce", "Inputs"]

LOOP_CLEAR_S = 1.0
"""How long the fire or tamper loop must be whole before the alarm is over: a loose contact gives
one event a second at most, and cannot fill the journal."""
_DOOR_CLEAR_S = 0.25
RELEASE_REST_S = 0.5
"""How long a release must be at rest before the next press."""
LONG_PRESS_S = 1.0
STUCK_S = 10.0
"""A beam or a button active for longer is a fault."""
_CLEAR_S = {
    "fire": LOOP_CLEAR_S, "tamper": LOOP_CLEAR_S, "door": _DOOR_CLEAR_S, "release": RELEASE_REST_S,
}  # fmt: skip
_LEGS_S = 0.3
"""A single beam must be free for so long before its next break is another person, not a leg."""
FLIPS = {"passage": 60, "passage_2": 60, "door": 20}
"""Flips of the raw level within `_FLIPS_S` that are a fault; of the other lines `_FEWEST_FLIPS`."""
_FEWEST_FLIPS = 12
_FLIPS_S = 5.0
_QUIET_S = 2.0
"""Without a flip for so long a line chatters no more."""
SILENT_BREAKS = 5
"""Breaks of one beam without any of the other that are a fault of the other."""
_MAY_STICK = ("passage", "passage_2", "release")
_BEAMS = ("passage", "passage_2")
_STUCK, _SILENT, _CHATTER = range(len(KINDS))


class Debounce:
    """A level that must be stable for a while; the first sample is believed.

    Args:
        rise_s: how long inactive -> active must last.
        fall_s: how long active -> inactive must last.
    """

    def __init__(self, rise_s: float, fall_s: float) -> None:
        self.rise_s = rise_s
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
        if now - self._since < (self.rise_s if active else self._fall_s):
            return False
        self._since = None
        self.active = active
        return True


class _Channel:
    """One line, what is believed of it, and how it misbehaves."""

    def __init__(self, line: Line) -> None:
        self.line = line
        self.index = INPUTS.index(line.name)
        clear_s = max(_CLEAR_S.get(line.name, 0.0), line.debounce_s)
        self.debounce = Debounce(line.debounce_s, clear_s)
        self.raw: bool | None = None
        self.flips: deque[float] = deque(maxlen=FLIPS.get(line.name, _FEWEST_FLIPS))
        self.active_since: float | None = None
        self.faults: set[int] = set()

    def set_fault(self, kind: int, *, active: bool) -> Iterator[Event]:
        """Note a fault or its end; tell it where that is news."""
        if active == (kind in self.faults):
            return
        self.faults ^= {kind}
        yield Event("fault", active, self.index, kind)

    def watch(self, now: float) -> Iterator[Event]:
        """Tell a line that chatters or does not come back, once, and when it does after all."""
        flips = self.flips
        if _CHATTER in self.faults:
            if now - flips[-1] >= _QUIET_S:
                flips.clear()
                yield from self.set_fault(_CHATTER, active=False)
        elif len(flips) == flips.maxlen and now - flips[0] <= _FLIPS_S:
            yield from self.set_fault(_CHATTER, active=True)
        if self.line.name == "release":
            long = _CHATTER in self.faults
            self.debounce.rise_s = LONG_PRESS_S if long else self.line.debounce_s
        if self.line.name in _MAY_STICK:
            since = self.active_since
            yield from self.set_fault(_STUCK, active=since is not None and now - since >= STUCK_S)


class Inputs:
    """All inputs of a gate.

    Args:
        gpio: where the lines are.
        pin_map: which are fitted.
    """

    def __init__(self, gpio: Gpio, pin_map: PinMap) -> None:
        self._gpio = gpio
        self._key_mode = pin_map.key_mode
        self._channels = {line.name: _Channel(line) for line in inputs(pin_map)}
        self._beams = Beams() if "passage_2" in self._channels else None
        self._beam_free_at = -math.inf
        self._breaks = dict.fromkeys(_BEAMS, 0)

    def setup(self) -> None:
        """Make the lines inputs."""
        for channel in self._channels.values():
            pull = Pull.UP if channel.line.pull_up else Pull.DOWN
            self._gpio.setup_input(channel.line.pin, pull=pull)

    def active(self, name: str) -> bool:
        """Return the believed state of an input; one that is not fitted is inactive."""
        channel = self._channels.get(name)
        return channel is not None and bool(channel.debounce.active)

    @property
    def levels(self) -> int:
        """Which levels were the active ones at the last poll: a bit each, as in `INPUTS`."""
        return sum(1 << channel.index for channel in self._channels.values() if channel.raw)

    def standing(self, *, key_moved: bool = False) -> list[Event]:
        """Return what a decider that begins now must know: what is not at rest, and the faults.

        Args:
            key_moved: the key switch was turned meanwhile, so that its rest is news too.
        """
        told = [Event(name) for name in ("fire", "tamper", "door") if self.active(name)]
        if self.active("key") or key_moved:
            told.append(self._key(active=self.active("key")))
        for channel in self._channels.values():
            told += [Event("fault", True, channel.index, kind) for kind in sorted(channel.faults)]
        return told

    def poll(self, now: float) -> list[Event]:
        """Read every line once; return what changed, fire first."""
        events: list[Event] = []
        for name, channel in self._channels.items():
            first = channel.raw is None
            level = self._gpio.read(channel.line.pin) == channel.line.active
            if level != channel.raw:
                if not first:
                    channel.flips.append(now)
                channel.raw = level
            if channel.debounce.update(level, now):
                channel.active_since = now if channel.debounce.active else None
                events.extend(self._changed(name, now, active=self.active(name), first=first))
            events.extend(channel.watch(now))
        if self._beams is not None:
            outer, inner = self.active("passage"), self.active("passage_2")
            events.extend(self._beams.update(outer, inner, now))
        return events

    def _changed(self, name: str, now: float, *, active: bool, first: bool) -> Iterator[Event]:
        """Turn one input's new state into an event; the first sample only if it is not at rest."""
        if active and self._beams is not None and name in _BEAMS:
            yield from self._broke(name)
        if first and (not active or name in {"release", "passage"}):
            return
        if name in {"fire", "tamper", "door"}:
            yield Event(name, active)
        elif name == "release" and active:
            yield Event("release")
        elif name == "key":
            yield self._key(active=active)
        elif name == "passage" and self._beams is None:
            if not active:
                self._beam_free_at = now
            elif now - self._beam_free_at >= _LEGS_S:
                yield Event("passed")

    def _key(self, *, active: bool) -> Event:
        return Event("key", active, MODES.index(self._key_mode if active else Mode.NORMAL))

    def _broke(self, name: str) -> Iterator[Event]:
        """Count a beam's break against the other, which should break too."""
        other = _BEAMS[name == "passage"]
        self._breaks[name] += 1
        self._breaks[other], silent = 0, self._breaks[name] >= SILENT_BREAKS
        yield from self._channels[name].set_fault(_SILENT, active=False)
        if silent:
            yield from self._channels[other].set_fault(_SILENT, active=True)
