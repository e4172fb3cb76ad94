"""The words that both processes share: modes, directions, signals, inputs.

A number on the wire is the place in the enumeration: new words go to the end.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

__all__ = ["DIRECTIONS", "INPUTS", "KINDS", "MODES", "SIGNALS", "Direction", "Mode", "Signal"]


class Mode(StrEnum):
    """What the gate is for at the moment."""

    NORMAL = "normal"
    FREE = "free"
    LOCKED = "locked"
    MAINTENANCE = "maintenance"
    FIRE = "fire"
    """Never chosen, never persisted: the fire input puts it above the others."""


class Direction(StrEnum):
    """A way through the gate, seen from the controlled area."""

    IN = "in"
    OUT = "out"

    @property
    def opposite(self) -> Direction:
        """The other way."""
        return Direction.OUT if self is Direction.IN else Direction.IN


class Signal(StrEnum):
    """What the person sees and hears; `agent.gatekeeper.signals` knows the patterns."""

    READY = "ready"
    PROMPT_FACE = "prompt_face"
    PROMPT_FINGER = "prompt_finger"
    TURN_LEFT = "turn_left"
    """The liveness challenge: turn the head to your left (single flashes)."""
    TURN_RIGHT = "turn_right"
    """To your right (double flashes)."""
    GRANTED = "granted"
    DENIED = "denied"
    ALARM = "alarm"
    """Sounded over what is shown; the lamps return by themselves."""
    FREE = "free"
    LOCKED = "locked"
    MAINTENANCE = "maintenance"
    FIRE = "fire"


MODES = tuple(Mode)
DIRECTIONS = tuple(Direction)
SIGNALS = tuple(Signal)
INPUTS = ("fire", "tamper", "door", "release", "key", "passage", "passage_2")
"""The lines that a gate listens to, as the settings name them; fire is looked at first."""
KINDS: tuple[Literal["stuck", "silent", "chatter"], ...] = ("stuck", "silent", "chatter")
"""How an input misbehaves."""
