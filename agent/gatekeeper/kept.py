"""What the gatekeeper keeps over restarts: the chosen mode and the last pin map that it could take.

Rules:
- Written to a new file, flushed to the disk, then renamed: after a power cut the old content or the
  new one is there, never half of one.
- No mode means NORMAL. A mode that cannot be read or understood means LOCKED: a damaged disk must
  not turn a locked gate into a working one. FIRE is never written; it is an input, not a choice.
- A pin map that cannot be read or understood means that no line is taken until a decider sends one.
- Only the scribe's thread touches the disk (and the log): one that hangs holds up nobody. What
  could not be written is tried again each second.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path

from agent.gatekeeper.pinmap import SIZE, PinMap, PinMapError, unpack
from agent.gatekeeper.words import Mode

__all__ = ["Scribe", "load_map", "load_mode", "write"]

_LONGEST_MODE = 32
_LINES = 64
_AGAIN_S = 1.0


def _read(path: Path, longest: int) -> bytes:
    """Return a small regular file; neither a pipe nor a link makes anybody wait."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        return os.read(descriptor, longest)
    finally:
        os.close(descriptor)


def load_mode(path: Path) -> tuple[Mode, str]:
    """Return the mode that was saved last, and what is wrong with its file, or ""."""
    try:
        mode = Mode(_read(path, _LONGEST_MODE).decode().strip())
    except FileNotFoundError:
        return Mode.NORMAL, ""
    except (OSError, ValueError) as error:
        return Mode.LOCKED, f"{path}: no mode, the gate is locked ({type(error).__name__})"
    if mode is Mode.FIRE:
        return Mode.LOCKED, f"{path}: fire is no mode to keep, the gate is locked"
    return mode, ""


def load_map(path: Path) -> tuple[PinMap | None, str]:
    """Return the pin map that was taken last, and what is wrong with its file, or ""."""
    try:
        return unpack(_read(path, SIZE + 1)), ""
    except FileNotFoundError:
        return None, ""
    except (OSError, PinMapError) as error:
        return None, f"{path}: {error}"


def write(path: Path, content: bytes) -> None:
    """Replace a file.

    Raises:
        OSError: it could not be written; the old one is still there.
    """
    fresh = path.with_name(f"{path.name}.new")
    with fresh.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


class Scribe:
    """The thread that writes: files, and lines for the log. Nobody waits for it.

    Args:
        say: writes a line of the log.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._look: Callable[[], None] = lambda: None
        self._lines: deque[str] = deque(maxlen=_LINES)
        self._wanted: dict[Path, bytes] = {}
        self._written: dict[Path, bytes] = {}
        self._wake = threading.Event()
        self._ended = False
        self._thread = threading.Thread(target=self._run, name="scribe", daemon=True)

    def watch(self, look: Callable[[], None]) -> None:
        """Look at the disk each second, in the scribe's thread; before `start`."""
        self._look = look

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def say(self, line: str) -> None:
        """Write a line of the log; of too many the oldest are dropped."""
        self._lines.append(line)
        self._wake.set()

    def keep(self, path: Path, content: bytes) -> None:
        """Write a file, as soon as the disk takes it; of several wishes the last one holds."""
        self._wanted[path] = content
        self._wake.set()

    @property
    def behind(self) -> bool:
        """Whether a file is not written yet."""
        wanted = self._wanted.items()
        return any(self._written.get(path) is not content for path, content in wanted)

    def end(self, timeout_s: float = 1.0) -> None:
        """Write what is left, if the disk takes it in time."""
        self._ended = True
        self._wake.set()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        told: dict[Path, str] = {}
        while True:
            self._wake.wait(_AGAIN_S)
            self._wake.clear()
            ended = self._ended
            for path, content in tuple(self._wanted.items()):
                if self._written.get(path) is content:
                    continue
                try:
                    write(path, content)
                except OSError as error:
                    why = str(error.strerror)
                    if told.get(path) != why:
                        told[path] = why
                        self._lines.append(f"{path} is not saved yet: {why}")
                    continue
                told.pop(path, None)
                self._written[path] = content
            while self._lines:
                with contextlib.suppress(OSError):  # a log that is gone is no reason to write less
                    self._say(self._lines.popleft())
            if ended:
                return
            self._look()
