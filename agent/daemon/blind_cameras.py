"""The faults of cameras that cannot see: `camera:covered` and its like, whichever camera has them.

A fault that two cameras share begins with the first and ends with the last of them.
"""

from __future__ import annotations

import threading

from agent.controller.camera_watch import Blindness
from agent.journal.faults import Faults

__all__ = ["BlindCameras"]


class BlindCameras:
    """Joins what each camera's watch says; for every camera's thread.

    Args:
        faults: where faults are told.
    """

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._lock = threading.Lock()
        self._names: dict[Blindness, set[str]] = {fault: set() for fault in Blindness}

    def changed(self, name: str, before: Blindness | None, after: Blindness | None) -> None:
        """Tell what is over and what began at the camera of that name."""
        with self._lock:
            if before is not None:
                self._names[before].remove(name)
                if not self._names[before]:
                    self._faults.end("camera", before.value)
            if after is not None:
                if not self._names[after]:
                    self._faults.begin("camera", after.value, name)
                self._names[after].add(name)
