"""The wires of a simulated gate: levels, drivers and every edge with its time, in shared memory.

Rules:
- Memory or file have one layout, so that the tests' board is the demo's board. In a file the board
  outlives its process, as the pins of a Raspberry Pi do: after a SIGKILL the outputs are still
  driven, and another process can look at them and set inputs.
- An output belongs to the process that drives it; inputs are driven from outside (`drive`), and
  float to their pull, or low, where nothing drives them.
- Edges go into two rings, one for outputs and one for inputs, so that the two sides never wait for
  each other; the newest 32,768 of each are kept.
"""

from __future__ import annotations

import fcntl
import mmap
import struct
import threading
import time
from collections.abc import Callable
from enum import IntEnum
from pathlib import Path
from typing import NamedTuple, Self

from hal.errors import DeviceUnavailable
from hal.gpio import Pull

__all__ = ["PINS", "Edge", "Function", "PinBoard"]

PINS = 28
_MAGIC = b"idgpins1"
_HEADER = 256
_RING = 32_768
_EDGE = struct.Struct("<QBB6x")
_COUNT = struct.Struct("<Q")
_FUNCTION, _LEVEL, _PULL, _DRIVE = (16 + PINS * index for index in range(4))
_COUNTS = (_HEADER - 16, _HEADER - 8)
_SIZE = _HEADER + 2 * _RING * _EDGE.size
_PULLS = (Pull.NONE, Pull.UP, Pull.DOWN)
_FLOATING = 2


class Function(IntEnum):
    """What a line is set up as."""

    UNUSED = 0
    INPUT = 1
    OUTPUT = 2


class Edge(NamedTuple):
    """One change of level.

    Attributes:
        at_ns: monotonic nanoseconds.
        pin: BCM number.
        level: the new level, high is True.
        output: True for an output of the agent, False for an input.
    """

    at_ns: int
    pin: int
    level: bool
    output: bool


class PinBoard:
    """28 lines, BCM 0 to 27.

    Args:
        path: the file; None keeps the board in this process.
        clock_ns: monotonic nanoseconds.

    Raises:
        DeviceUnavailable: the file is not a pin board or cannot be used.
    """

    def __init__(
        self, path: Path | None = None, *, clock_ns: Callable[[], int] = time.monotonic_ns
    ) -> None:
        self._clock_ns = clock_ns
        self._mutex = threading.Lock()
        self._file = None
        if path is None:
            self._memory = mmap.mmap(-1, _SIZE)
        else:
            try:
                path.touch()
                self._file = path.open("r+b")
            except OSError as error:
                raise DeviceUnavailable(f"pins file {path}: {error.strerror}") from None
            self._memory = self._map(path)
        if self._memory[:8] != _MAGIC:
            self._memory[_DRIVE : _DRIVE + PINS] = bytes([_FLOATING]) * PINS
            self._memory[:8] = _MAGIC

    def _map(self, path: Path) -> mmap.mmap:
        assert self._file is not None
        fcntl.flock(self._file, fcntl.LOCK_EX)
        try:
            size = path.stat().st_size
            if size == 0:
                self._file.truncate(_SIZE)
            elif size != _SIZE or self._file.read(8) not in {_MAGIC, bytes(8)}:
                self._file.close()
                raise DeviceUnavailable(
                    f"pins file {path}: not a pin board; remove it or name another file"
                )
            return mmap.mmap(self._file.fileno(), _SIZE)
        finally:
            if not self._file.closed:
                fcntl.flock(self._file, fcntl.LOCK_UN)

    # --- the agent's side

    def function(self, pin: int) -> Function:
        """Return what a line is set up as."""
        return Function(self._memory[_FUNCTION + pin])

    def set_function(self, pin: int, function: Function, pull: Pull = Pull.NONE) -> None:
        """Set a line up; its level then follows whoever drives it."""
        before = self.level(pin)
        self._memory[_FUNCTION + pin] = function
        self._memory[_PULL + pin] = _PULLS.index(pull)
        after = self.level(pin)
        if after != before:
            self._append(pin, level=after, output=True)

    def write(self, pin: int, *, level: bool) -> None:
        """Set the level that an output drives, or will drive once it is set up as one."""
        changed = self._memory[_LEVEL + pin] != level
        self._memory[_LEVEL + pin] = level
        if changed and self.function(pin) is Function.OUTPUT:
            self._append(pin, level=level, output=True)

    # --- both sides

    def level(self, pin: int) -> bool:
        """Return the level on a line."""
        if self.function(pin) is Function.OUTPUT:
            return bool(self._memory[_LEVEL + pin])
        driven = self._memory[_DRIVE + pin]
        if driven == _FLOATING:
            return _PULLS[self._memory[_PULL + pin]] is Pull.UP
        return bool(driven)

    def edges(self) -> list[Edge]:
        """Return the edges that are still kept, in order of time."""
        found: list[Edge] = []
        for output in (False, True):
            (count,) = _COUNT.unpack_from(self._memory, _COUNTS[output])
            for index in range(max(0, count - _RING), count):
                at_ns, pin, level = _EDGE.unpack_from(self._memory, self._offset(index, output))
                found.append(Edge(at_ns, pin, bool(level), output))
        return sorted(found, key=lambda edge: edge.at_ns)

    # --- the world's side

    def drive(self, pin: int, *, level: bool | None) -> None:
        """Put a level on an input from outside; None lets it float to its pull."""
        with self._mutex:
            if self._file is not None:
                fcntl.flock(self._file, fcntl.LOCK_EX)
            try:
                before = self.level(pin)
                self._memory[_DRIVE + pin] = _FLOATING if level is None else level
                if self.function(pin) is not Function.OUTPUT and self.level(pin) != before:
                    self._append(pin, level=self.level(pin), output=False)
            finally:
                if self._file is not None:
                    fcntl.flock(self._file, fcntl.LOCK_UN)

    def close(self) -> None:
        """Unmap; a board in a file stays as it is. May be called twice."""
        self._memory.close()
        if self._file is not None:
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def _append(self, pin: int, *, level: bool, output: bool) -> None:
        (count,) = _COUNT.unpack_from(self._memory, _COUNTS[output])
        _EDGE.pack_into(self._memory, self._offset(count, output), self._clock_ns(), pin, level)
        _COUNT.pack_into(self._memory, _COUNTS[output], count + 1)

    @staticmethod
    def _offset(index: int, output: bool) -> int:
        return _HEADER + (output * _RING + index % _RING) * _EDGE.size
