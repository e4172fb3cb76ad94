"""Memory that the daemon shares with a worker: of fixed size, so that neither can fault the other.

Rules:
- Sealed against shrinking and growing: who maps it never meets a missing page.
- What the daemon writes only it can write, so that a worker gone astray cannot forge a frame. What
  a worker writes is copied once and judged as the copy: it may change under the reader.
- Pages that nobody touches cost nothing; what was read of a person is wiped by who owns it.
"""

from __future__ import annotations

import fcntl
import mmap
import os

import numpy as np
from numpy.typing import NDArray

__all__ = ["SharedMemory"]

F_SEAL_FUTURE_WRITE = 0x10


class SharedMemory:
    """An anonymous file of fixed size, mapped here.

    Args:
        size: bytes.
        shared_write: whether those that map it later may write.
    """

    def __init__(self, size: int, *, shared_write: bool = False) -> None:
        self.size = size
        self.fd = os.memfd_create("idgate-sandbox", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(self.fd, size)
        self._map = mmap.mmap(self.fd, size)
        seals = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
        seals |= 0 if shared_write else F_SEAL_FUTURE_WRITE
        fcntl.fcntl(self.fd, fcntl.F_ADD_SEALS, seals)
        self._bytes: NDArray[np.uint8] | None = np.frombuffer(self._map, dtype=np.uint8)

    def put(self, values: NDArray[np.uint8]) -> None:
        """Copy an array in, row by row, without its padding: the one copy on the way in.

        Raises:
            ValueError: the memory is closed, or too small.
        """
        if self._bytes is None or values.size > self.size:
            raise ValueError(f"an array of {values.size} bytes does not fit {self.size}")
        np.copyto(self._bytes[: values.size].reshape(values.shape), values)

    def take(self, shape: tuple[int, ...]) -> NDArray[np.uint8]:
        """Copy an array out of the beginning.

        Raises:
            ValueError: the memory is closed, or holds less.
        """
        size = int(np.prod(shape, dtype=np.int64))
        if self._bytes is None or not 0 <= size <= self.size:
            raise ValueError(f"{size} bytes are not in a memory of {self.size}")
        return self._bytes[:size].reshape(shape).copy()

    def wipe(self, size: int) -> None:
        """Overwrite so many bytes at the beginning."""
        if self._bytes is not None:
            self._bytes[:size] = 0

    def close(self) -> None:
        """Forget the contents and the memory; may be called twice."""
        if self._bytes is None:
            return
        self._bytes = None
        self._map.close()
        os.close(self.fd)
