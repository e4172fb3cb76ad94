"""The way to a video device: three system calls, and where devices are. The seam of the tests.

Rules:
- a device is opened without blocking; whoever waits polls it, with a limit.
- whatever the kernel refuses is the `OSError` that it said.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import re
from ctypes import Structure, c_int
from pathlib import Path
from typing import Final, Protocol

__all__ = ["MACHINE", "Machine", "Port", "SystemPort"]

INTERRUPTED_AT_MOST: Final = 16
_NODE: Final = re.compile(r"video(\d+)")


class Port(Protocol):
    """An open video device."""

    def fileno(self) -> int:
        """Return the descriptor, to poll for a filled buffer."""

    def ioctl(self, request: int, argument: Structure | c_int) -> None:
        """Ask the kernel; it fills the argument.

        Raises:
            OSError: as the kernel says.
        """

    def map(self, length: int, offset: int) -> mmap.mmap:
        """Return a buffer's memory, to be read.

        Raises:
            OSError, ValueError: there is none.
        """

    def close(self) -> None:
        """Let go of the device; may be called twice."""


class SystemPort:
    """A device of this machine.

    Args:
        path: `/dev/video0`, or a link to one.

    Raises:
        OSError: it is not there, or not for this user.
    """

    def __init__(self, path: str) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._fd

    def ioctl(self, request: int, argument: Structure | c_int) -> None:
        """Ask the kernel, again where a signal came between."""
        for _ in range(INTERRUPTED_AT_MOST):
            try:
                fcntl.ioctl(self._fd, request, argument)
            except InterruptedError:
                continue
            return
        raise InterruptedError(f"request {request:#x} is interrupted again and again")

    def map(self, length: int, offset: int) -> mmap.mmap:
        """Return a buffer's memory, to be read."""
        return mmap.mmap(self._fd, length, mmap.MAP_SHARED, mmap.PROT_READ, offset=offset)

    def close(self) -> None:
        """Let go of the device; may be called twice."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


class Machine:
    """Where devices are found and opened."""

    def nodes(self) -> list[str]:
        """Return the paths of this machine's video devices, in the order of their numbers."""
        found = ((_NODE.fullmatch(path.name), path) for path in Path("/dev").glob("video*"))
        return [
            str(path) for _, path in sorted((int(name[1]), path) for name, path in found if name)
        ]

    def open(self, path: str) -> Port:
        """Open a device.

        Raises:
            OSError: it is not there, or not for this user.
        """
        return SystemPort(path)


MACHINE: Final = Machine()
