"""A file descriptor that is read with a limit and closed without waiting."""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable

from hal.errors import DeviceFault

__all__ = ["Descriptor"]


class Descriptor:
    """One reader's descriptor; `close` may come from another thread, and wakes the reader.

    Args:
        number: an open descriptor in non-blocking mode.
        what: names the device in messages.
        release: closes it; called once, by whoever is last in it.
    """

    def __init__(self, number: int, what: str, release: Callable[[], None]) -> None:
        self._number, self._what, self._release = number, what, release
        self._lock = threading.Lock()
        self._waking = threading.Lock()
        self._closed = threading.Event()
        self._released = False
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._poll = select.poll()
        self._poll.register(number, select.POLLIN)
        self._poll.register(self._wake_read, select.POLLIN)

    def read(self, size: int, timeout_s: float) -> bytes:
        """Return what is there, at most `size` bytes; empty when nothing came in time.

        Raises:
            DeviceFault: closed, or the device is gone.
        """
        try:
            with self._lock:
                return self._read(size, timeout_s)
        finally:
            if self._closed.is_set():
                self._let_go()

    def close(self) -> None:
        """Let go of the descriptor, or have the reader do so; may be called twice."""
        self._closed.set()
        if not self._let_go():
            # Whoever reads lets go of it; a number that is closed may be another file's already.
            with self._waking:
                if not self._released:
                    os.write(self._wake_write, b"x")

    def _read(self, size: int, timeout_s: float) -> bytes:
        if self._closed.is_set():
            raise DeviceFault(f"{self._what}: closed")
        events = dict(self._poll.poll(max(0.0, timeout_s) * 1e3))
        if self._closed.is_set():
            raise DeviceFault(f"{self._what}: closed")
        seen = events.get(self._number, 0)
        if not seen:
            return b""
        try:
            data = os.read(self._number, size)
        except BlockingIOError:
            return b""
        except OSError as error:
            raise DeviceFault(f"{self._what}: gone ({error.strerror})") from error
        if not data:
            raise DeviceFault(f"{self._what}: gone (hung up)")
        return data

    def _let_go(self) -> bool:
        """Close everything unless a reader is in it; tell whether it is closed."""
        if not self._lock.acquire(blocking=False):
            return False
        try:
            with self._waking:
                first, self._released = not self._released, True
                if first:
                    os.close(self._wake_read)
                    os.close(self._wake_write)
            if first:
                self._release()
        finally:
            self._lock.release()
        return True
