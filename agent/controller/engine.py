"""The scan engine's thread: payloads in, sightings of codes out, as a camera's thread posts them.

Rules:
- A payload is as hostile as one that a camera's decoder hands over, and goes the same way.
- An engine tells what it read and not what it sees: a code counts as in view for `hold_s` after it
  was last told, and as much longer as telling it took, since a slow line cannot repeat it sooner.
  Then an empty view is posted: the same code may be shown again.
- While it is in view it is posted again and again, as a camera does: one showing is one judgement,
  a poster before an engine that repeats itself is answered once, and a code that came while the
  gate was busy is judged when it is at rest.
- Another code takes the place of the one before.
- At most one payload each 50 ms is posted, as from a camera of 20 frames a second.
- An engine's fault that its own recovery could not mend ends the thread, and with it the daemon.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

from agent.controller.camera import sighted
from agent.controller.ports import FrameCodes
from agent.passage.events import CodesSeen
from agent.scan.scanner import Payload, ScanResult, Variant
from hal.scan_engine import Scan, ScanEngine

__all__ = ["DECODER", "EngineLoop"]

DECODER: Final = "engine"
"""What a sighting names as its decoder."""
READ_S: Final = 0.1
LEAST_APART_S: Final = 0.05
_NOWHERE: Final = ((0, 0), (0, 0), (0, 0), (0, 0))


class EngineLoop:
    """One engine's loop.

    Args:
        engine: set up, recovering by itself where it can.
        post: takes the sightings.
        hold_s: how long after it was told a code counts as in view.
        clock_ns: monotonic nanoseconds.
        pause: waits so many seconds between two payloads; None waits until stopped or over.
    """

    def __init__(
        self,
        engine: ScanEngine,
        *,
        post: Callable[[FrameCodes], None],
        hold_s: float,
        clock_ns: Callable[[], int] = time.monotonic_ns,
        pause: Callable[[float], None] | None = None,
    ) -> None:
        self._engine = engine
        self._post = post
        self._hold_ns = round(hold_s * 1e9)
        self._clock_ns = clock_ns
        self._stopped = threading.Event()
        self._pause = pause or self._stopped.wait
        self._in_view: FrameCodes | None = None
        self._until_ns = 0
        self._sequence = 0
        self.rounds = 0
        """Reads, in vain or not, for the watchdog."""

    def stop(self) -> None:
        """End the loop after the read in hand."""
        self._stopped.set()

    def run(self) -> None:
        """Read until stopped.

        Raises:
            DeviceFault: the engine is gone for good.
        """
        while not self._stopped.is_set():
            self.step()

    def step(self) -> None:
        """Read once, and post what is in view."""
        scan = self._engine.read(READ_S)
        self.rounds += 1
        now_ns = self._clock_ns()
        if scan is not None:
            self._see(scan, now_ns)
        elif self._in_view is None:
            return
        elif now_ns >= self._until_ns:
            self._in_view = None
            self._post(FrameCodes(CodesSeen(()), {}))
        else:
            self._post(self._in_view)

    def _see(self, scan: Scan, now_ns: int) -> None:
        self._sequence += 1
        payload = Payload(scan.data, _NOWHERE, DECODER)
        result = ScanResult((payload,), 0.0, Variant.NONE, self._sequence)
        self._in_view = sighted(result, scan.captured_ns, now_ns)
        self._until_ns = now_ns + self._hold_ns + max(0, now_ns - scan.captured_ns)
        self._post(self._in_view)
        self._pause(LEAST_APART_S)
