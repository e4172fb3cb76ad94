"""How a command ends: the one table of exit codes.

The service manager reads it too: `RestartPreventExitStatus=` of the unit is `HOPELESS`, and a test
holds the two together. Everything else is started anew for ever: a camera that comes back after an
hour finds a gate that still tries.
"""

from __future__ import annotations

import traceback
from enum import IntEnum
from pathlib import Path
from typing import Final

from hal import library

__all__ = ["HOPELESS", "MEANING", "Exit", "ending"]


class Exit(IntEnum):
    """Why a process ended."""

    DONE = 0
    """Done, granted, or stopped as asked."""
    NO = 1
    """Looked, and the answer is no: denied, no match, a check failed, the other side refused."""
    SETTINGS = 2
    """A call, a file, settings, trust, profile or models that cannot be used: it takes somebody."""
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

MEANING: Final = {
    Exit.DONE: "done, granted, or stopped as asked",
    Exit.NO: "looked, and the answer is no: denied, no match, failed, refused",
    Exit.SETTINGS: "this call, or a file or setting that it names, cannot be used",
    Exit.UNAVAILABLE: "a device, disk or part is not there; it may come back",
    Exit.FAULT: "a fault of this program",
    Exit.INTERRUPTED: "interrupted from the keyboard",
}
"""What help says of each that somebody meets."""


def ending(error: Exception) -> tuple[Exit, str]:
    """Return how a command ends by an exception that is none of its own, and the line that says it.

    The line quotes an exception's text only where it names files, libraries or the database: any
    other may quote what a person showed.
    """
    match error:
        case EOFError():
            return Exit.SETTINGS, "standard input ended before the answer: run it in a terminal"
        case ImportError():
            return Exit.UNAVAILABLE, library.explain(error, "run ./setup.sh")
        case MemoryError():
            return Exit.UNAVAILABLE, "out of memory: end other programs, or give it more"
        case OSError():
            where = f"{error.filename}: " if error.filename else ""
            return Exit.UNAVAILABLE, f"{where}{error.strerror or type(error).__name__}"
    if type(error).__module__ == "sqlite3":
        return Exit.UNAVAILABLE, f"database: {library.explain(error)}"
    if what := library.remedy(error):
        return Exit.UNAVAILABLE, f"a library does not work here ({type(error).__name__}): {what}"
    frames = traceback.extract_tb(error.__traceback__)[-3:]
    where = ", ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames)
    return Exit.FAULT, f"internal fault: {type(error).__name__} at {where}"
