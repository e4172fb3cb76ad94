"""What general-purpose pins are to the agent: electrical levels on BCM-numbered lines.

Polarity, debounce and meaning belong to `agent.gatekeeper`; here a level is a level.

Rules:
- `setup_output` sets the first level before the line begins to drive.
- `close()` turns every line it set up into an input without pull, which is the safe state of the
  wiring, and may be called twice.
- One process owns the lines; a line already owned elsewhere raises `DeviceUnavailable`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol

__all__ = ["Gpio", "Pull"]


class Pull(StrEnum):
    """The bias on an input."""

    UP = "up"
    DOWN = "down"
    NONE = "none"


class Gpio(Protocol):
    """Lines by BCM number; confined to the thread that owns them."""

    def setup_output(self, pin: int, *, level: bool) -> None:
        """Drive `pin`, first with `level`."""

    def setup_input(self, pin: int, *, pull: Pull) -> None:
        """Listen on `pin`."""

    def write(self, pin: int, *, level: bool) -> None:
        """Set an output."""

    def read(self, pin: int) -> bool:
        """Return the level on a line, high is True."""

    def close(self) -> None:
        """Let go of every line."""
