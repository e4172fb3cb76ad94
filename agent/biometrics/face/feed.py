"""Frames for the face check: the newest one only, copied only while one is wanted."""

from __future__ import annotations

import threading

from hal.camera import Frame

__all__ = ["FaceFeed"]


class FaceFeed:
    """The newest frame for the face check, while one is wanted. Thread-safe."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._frame: Frame | None = None
        self._takers = 0

    @property
    def wanted(self) -> bool:
        """Whether frames should be offered."""
        return self._takers > 0

    def open(self) -> None:
        """Begin to want frames."""
        with self._condition:
            self._takers += 1

    def close(self) -> None:
        """Stop wanting frames; what is left is wiped."""
        with self._condition:
            self._takers -= 1
            if self._takers <= 0:
                self._takers = 0
                self._drop()

    def offer(self, frame: Frame) -> None:
        """Hand in a borrowed frame; copied where one is wanted."""
        if not self.wanted:
            return
        copy = frame.copy()
        with self._condition:
            self._drop()
            if self._takers:
                self._frame = copy
                self._condition.notify()
            else:
                copy.wipe()

    def take(self, timeout_s: float) -> Frame | None:
        """Wait for a frame and take it; the taker wipes it. None when none came in time."""
        with self._condition:
            if self._frame is None:
                self._condition.wait(timeout_s)
            frame, self._frame = self._frame, None
            return frame

    def _drop(self) -> None:
        if self._frame is not None:
            self._frame.wipe()
            self._frame = None
