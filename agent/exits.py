"""How a command ends: the one table of exit codes.

The service manager reads it too: `RestartPreventExitStatus=` of the unit is `HOPELESS`, and a test
holds the two together. Everything else is started anew for ever: a camera that comes back after an
hour finds a gate that still tries.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

__all__ = ["HOPELESS", "Exit"]


class Exit(IntEnum):
    """Why a process ended."""

    DONE = 0
    """Done, granted, or stopped as asked."""
    NO = 1
    """Denied, or a check failed."""
    SETTINGS = 2
    """Usage, or settings, trust, profile or models that cannot be used: it takes somebody."""
    UNAVAILABLE = 3
    """A device, disk or part is not there; it may come back."""
    FAULT = 70
    """A thread died or a loop stood still: sysexits.h, EX_SOFTWARE."""
    RESTART = 75
    """The daemon's parts start anew in the same process; never seen outside."""
    INTERRUPTED = 130
    """By the keyboard, as shells have it."""
    NO_READER = 141
    """Nobody reads the output, as shells have it."""


HOPELESS: Final = frozenset({Exit.SETTINGS})
"""What no new start mends: the service stays down, and says why, until somebody was there."""
