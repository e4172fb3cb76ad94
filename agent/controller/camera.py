"""The camera threads: frames in, sightings of codes and frames for the face check out.

Rules:
- Newest frame only: a frame that comes while the last is being decoded is never seen.
- A frame is borrowed. What the face check gets is a copy, made only while a face is wanted, and
  wiped when the next one replaces it or the check is over.
- A camera fault that its own recovery could not mend ends the thread, and with it the daemon.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable

from agent import log
from agent.biometrics.face.feed import FaceFeed
from agent.controller.ports import FrameCodes
from agent.controller.records import Sighting
from agent.credential import registry
from agent.passage.events import CodesSeen
from agent.passage.types import Code
from agent.scan.scanner import Scanner, ScanResult
from hal.camera import Camera

__all__ = ["CameraLoop", "sighted"]
_log = log.get(__name__)


class CameraLoop:
    """One camera's loop.

    Args:
        camera: started, recovering by itself where it can.
        scanner: decodes; None for a camera that serves faces only.
        feed: gets frames while a face is wanted; None for a camera that serves codes only.
        post: takes the sightings.
        timeout_s: longest wait for one frame.
    """

    def __init__(
        self,
        camera: Camera,
        *,
        scanner: Scanner | None,
        feed: FaceFeed | None,
        post: Callable[[FrameCodes], None],
        timeout_s: float,
    ) -> None:
        self._camera = camera
        self._scanner = scanner
        self._feed = feed
        self._post = post
        self._timeout_s = timeout_s
        self._stopped = threading.Event()
        self._in_view = False
        self.rounds = 0
        """Frames taken, for the watchdog."""

    def stop(self) -> None:
        """End the loop after the frame in hand."""
        self._stopped.set()

    def run(self) -> None:
        """Take frames until stopped.

        Raises:
            DeviceFault: the camera is gone for good.
        """
        while not self._stopped.is_set():
            if self._scanner is None and (self._feed is None or not self._feed.wanted):
                self.rounds += 1
                self._stopped.wait(0.02)
                continue
            self._one()

    def _one(self) -> None:
        with self._camera.capture(self._timeout_s) as frame:
            taken_ns = time.monotonic_ns()
            self.rounds += 1
            if self._feed is not None:
                self._feed.offer(frame)
            if self._scanner is None:
                return
            result = self._scanner.scan(frame)
            # Empty frames matter once: a code that left the view may be shown again.
            if result.payloads or self._in_view:
                self._in_view = bool(result.payloads)
                self._post(sighted(result, frame.captured_ns, taken_ns))
                # Yield the interpreter: the deciding thread goes before the frame is wiped and
                # given back, and before the next one.
                time.sleep(0)


def sighted(result: ScanResult, captured_ns: int, taken_ns: int) -> FrameCodes:
    """Return a scan's different codes as the machine's event, each with its sighting."""
    codes: dict[bytes, Code] = {}
    sightings: dict[bytes, Sighting] = {}
    for payload in result.payloads:
        digest = hashlib.sha256(payload.data).digest()
        known = registry.sniff(payload.data) is not None
        codes[digest] = Code(digest, payload.data, known=known)
        sightings[digest] = Sighting(
            captured_ns=captured_ns,
            taken_ns=taken_ns,
            decode_ms=result.decode_ms,
            sequence=result.sequence,
            decoder=str(payload.decoder),
            corners=tuple((int(x), int(y)) for x, y in payload.corners),
        )
    return FrameCodes(CodesSeen(tuple(codes.values())), sightings)
