"""The camera threads: frames in, sightings of codes and frames for the face check out.

Rules:
- Newest frame only: a frame that comes while the last is being decoded is never seen.
- A frame is borrowed. What the face check gets is a copy, made only while a face is wanted, and
  wiped when the next one replaces it or the check is over.
- A camera fault that its own recovery could not mend ends the thread, and with it the daemon.
- Each frame passes by the camera's watch: one that cannot see is told, and goes on being asked.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable

from agent import log
from agent.biometrics.face.feed import FaceFeed
from agent.controller.camera_watch import Blindness, CameraWatch
from agent.controller.ports import FrameCodes
from agent.controller.records import Sighting
from agent.credential import registry
from agent.passage.events import CodesSeen
from agent.passage.types import Code
from agent.scan.scanner import Scanner, ScanResult
from hal.camera import Camera, Frame

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
        on_blindness: told (what was wrong, what is wrong) when that changes; must not block.
    """

    def __init__(
        self,
        camera: Camera,
        *,
        scanner: Scanner | None,
        feed: FaceFeed | None,
        post: Callable[[FrameCodes], None],
        timeout_s: float,
        on_blindness: Callable[[Blindness | None, Blindness | None], None] = lambda _old, _new: (
            None
        ),
    ) -> None:
        self._camera = camera
        self._scanner = scanner
        self._feed = feed
        self._post = post
        self._timeout_s = timeout_s
        self._stopped = threading.Event()
        self._in_view = False
        self._watch = CameraWatch()
        self._on_blindness = on_blindness
        self.rounds = 0
        """Frames taken, for the watchdog."""

    @property
    def reads_codes(self) -> bool:
        """Whether codes shown to this camera are read."""
        return self._scanner is not None

    @property
    def blind(self) -> bool:
        """Whether the camera delivers frames in which nothing could be read."""
        return self._watch.fault is not None

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
                self._look(frame, taken_ns, read=False)
                return
            result = self._scanner.scan(frame)
            # Empty frames matter once: a code that left the view may be shown again.
            if result.payloads or self._in_view:
                self._in_view = bool(result.payloads)
                self._post(sighted(result, frame.captured_ns, taken_ns))
                # Yield the interpreter: the deciding thread goes before the frame is wiped and
                # given back, and before the next one.
                time.sleep(0)
            self._look(frame, taken_ns, read=bool(result.payloads))

    def _look(self, frame: Frame, taken_ns: int, *, read: bool) -> None:
        before = self._watch.fault
        if self._watch.see(frame, taken_ns / 1e9, read=read):
            self._on_blindness(before, self._watch.fault)


def sighted(result: ScanResult, captured_ns: int, taken_ns: int) -> FrameCodes:
    """Return a scan's different codes as the machine's event, each with its sighting."""
    codes: dict[bytes, Code] = {}
    sightings: dict[bytes, Sighting] = {}
    for payload in result.payloads:
        digest = hashlib.sha256(payload.data).digest()
        known = registry.may_be_credential(payload.data)
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
