"""The chosen mode, kept over restarts in one small file.

Rules:
- Written to a new file, flushed to the disk, then renamed: after a power cut the old mode or the
  new one is there, never half of one.
- No file means NORMAL. A file that cannot be read or understood means LOCKED: a damaged disk must
  not turn a locked gate into a working one.
- FIRE is never written; it is an input, not a choice.
- A mode holds from the moment it is chosen, whatever the disk says: one that could not be written
  is written as soon as the disk takes it.
"""

from __future__ import annotations

import logging
import os
import threading
from pathlib import Path

from agent.passage.types import Mode

__all__ = ["KeptMode", "load_mode", "save_mode"]

_LOG = logging.getLogger(__name__)
_LONGEST = 32


def load_mode(path: Path) -> Mode:
    """Return the mode that was saved last."""
    try:
        with path.open("rb") as file:
            text = file.read(_LONGEST).decode().strip()
    except FileNotFoundError:
        return Mode.NORMAL
    except (OSError, UnicodeDecodeError) as error:
        _LOG.warning("mode file unreadable, the gate is locked: %s", type(error).__name__)
        return Mode.LOCKED
    if text not in {mode.value for mode in Mode if mode is not Mode.FIRE}:
        _LOG.warning("mode file holds no mode, the gate is locked")
        return Mode.LOCKED
    return Mode(text)


def save_mode(path: Path, mode: Mode) -> None:
    """Save the mode.

    Raises:
        OSError: it could not be written; the old mode is still there.
        ValueError: FIRE is not a chosen mode.
    """
    if mode is Mode.FIRE:
        raise ValueError("fire is an input, not a mode to keep")
    fresh = path.with_name(f"{path.name}.new")
    with fresh.open("wb") as file:
        file.write(f"{mode.value}\n".encode())
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


class KeptMode:
    """Writes the chosen mode, again and again where the disk refuses. Thread-safe.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._unsaved: Mode | None = None

    def save(self, mode: Mode) -> None:
        """Keep the mode; what the disk refuses is left to `flush`."""
        with self._lock:
            self._unsaved = mode
        try:
            self.flush()
        except OSError as error:
            _LOG.error("the mode is not saved yet: %s", error.strerror)

    def flush(self) -> None:
        """Write what could not be written.

        Raises:
            OSError: it still cannot.
        """
        with self._lock:
            if self._unsaved is not None:
                save_mode(self._path, self._unsaved)
                self._unsaved = None
