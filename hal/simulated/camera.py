"""A camera without a sensor: plays pictures, a video or a rendered scene at a real frame rate.

Rules:
- The contract of `hal.camera`: a frame is exposed after the call that takes it, at the next tick of
  the frame clock; ticks that nobody took are gaps in `sequence`.
- Faults come from a script in seconds since opening, or from `fail` while it runs. They behave as
  the real camera's do: `hang` does not honour the timeout, and an unplugged camera cannot be
  reopened until it is back.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from types import TracebackType
from typing import Self

import numpy as np

from hal.camera import CameraSettings, Frame, Luma, Rgb
from hal.errors import CameraTimeout, DeviceFault, DeviceUnavailable
from hal.rotation import rotate_plane
from hal.simulated.sources import SceneSource, open_source

__all__ = ["Fault", "FaultKind", "SimulatedCamera", "open_camera", "parse_faults"]


class FaultKind(StrEnum):
    """How the camera fails."""

    TIMEOUT = "timeout"
    """No frame: the call returns with `CameraTimeout` after its time."""
    HANG = "hang"
    """No frame, and the call does not return until the fault is over."""
    UNPLUG = "unplug"
    """`DeviceFault` at once; opening again fails too."""
    FREEZE = "freeze"
    """The same frame again and again, with the time at which it was taken."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A time during which the camera fails.

    Attributes:
        kind: how.
        from_s: seconds since opening.
        until_s: seconds since opening.
    """

    kind: FaultKind
    from_s: float
    until_s: float = float("inf")


def parse_faults(text: str) -> tuple[Fault, ...]:
    """Read a script: `FROM_S UNTIL_S KIND` a line; `#` begins a comment.

    Raises:
        ValueError: a line is none of it; the message names the line.
    """
    faults = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        try:
            start, end, kind = words
            faults.append(Fault(FaultKind(kind), float(start), float(end)))
        except ValueError:
            kinds = ", ".join(FaultKind)
            raise ValueError(f"line {number}: FROM_S UNTIL_S and one of {kinds}") from None
    return tuple(faults)


class SimulatedCamera:
    """A started camera over a scene.

    Args:
        source: what it looks at.
        settings: name, size, rate and rotation are honoured.
        faults: the script.
        clock_ns: monotonic nanoseconds.
        wall: Unix seconds.
        sleep: waits so many seconds; a test brings its own with its own clock.
    """

    def __init__(
        self,
        source: SceneSource,
        settings: CameraSettings,
        faults: Sequence[Fault] = (),
        *,
        clock_ns: Callable[[], int] = time.monotonic_ns,
        wall: Callable[[], float] = time.time,
        sleep: Callable[[float], None] | None = None,
    ) -> None:
        self._source = source
        self._settings = settings
        self._faults = list(faults)
        self._clock_ns = clock_ns
        self._wall = wall
        self._closed = threading.Event()
        self._sleep = sleep if sleep is not None else self._wait
        self._opened_ns = clock_ns()
        self._period_ns = round(1e9 / settings.fps)
        self._frozen: Frame | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def name(self) -> str:
        """The name given in the settings."""
        return self._settings.name

    def fail(self, kind: FaultKind, for_s: float = float("inf")) -> None:
        """Begin to fail now."""
        now_s = self._age_s()
        self._faults.append(Fault(kind, now_s, now_s + for_s))

    def mend(self) -> None:
        """End every fault."""
        self._faults.clear()

    @contextmanager
    def capture(self, timeout_s: float) -> Iterator[Frame]:
        """Borrow the next frame.

        Raises:
            CameraTimeout: nothing came within `timeout_s`.
            DeviceFault: the camera is closed or unplugged.
        """
        if self._closed.is_set():
            raise DeviceFault(f"camera {self.name}: closed")
        self._suffer(timeout_s)
        tick = (self._clock_ns() - self._opened_ns) // self._period_ns + 1
        exposed_ns = self._opened_ns + tick * self._period_ns
        if (exposed_ns - self._clock_ns()) / 1e9 > timeout_s:
            self._sleep(timeout_s)
            raise CameraTimeout(f"camera {self.name}: no frame within {timeout_s:g} s")
        frame = self._freeze(self._expose(tick, exposed_ns))
        try:
            yield frame
        finally:
            frame.wipe()
            frame.revoke()

    def close(self) -> None:
        """Let go; may be called twice, and ends a capture that waits in another thread."""
        self._closed.set()

    def _expose(self, tick: int, exposed_ns: int) -> Frame:
        """Render ahead of the tick, deliver at the tick."""
        picture = _fit(self._source.render(exposed_ns / 1e9), self._settings)
        wait_s = (exposed_ns - self._clock_ns()) / 1e9
        if wait_s > 0:
            self._sleep(wait_s)
        if self._closed.is_set():
            raise DeviceFault(f"camera {self.name}: closed")
        luma, colour = picture, None
        if picture.ndim == 3:
            import cv2

            luma = np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), dtype=np.uint8)
            colour = picture
        return Frame(
            luma=luma,
            captured_ns=exposed_ns,
            captured_at=self._wall() - (self._clock_ns() - exposed_ns) / 1e9,
            sequence=tick,
            camera=self.name,
            colour=colour,
        )

    def _freeze(self, frame: Frame) -> Frame:
        """Return the frame, or while the picture is frozen the first one since it is."""
        fault = self._current_fault()
        if fault is None or fault.kind is not FaultKind.FREEZE:
            self._frozen = None
            return frame
        if self._frozen is None:
            self._frozen = frame.copy()
        return self._frozen.copy()

    def _suffer(self, timeout_s: float) -> None:
        fault = self._current_fault()
        if fault is None or fault.kind is FaultKind.FREEZE:
            return
        if fault.kind is FaultKind.UNPLUG:
            raise DeviceFault(f"camera {self.name}: unplugged")
        if fault.kind is FaultKind.TIMEOUT:
            self._sleep(timeout_s)
            raise CameraTimeout(f"camera {self.name}: no frame within {timeout_s:g} s")
        while self._current_fault() is fault and not self._closed.is_set():
            self._sleep(0.05)
        if self._closed.is_set():
            raise DeviceFault(f"camera {self.name}: closed")

    def _current_fault(self) -> Fault | None:
        age_s = self._age_s()
        return next((f for f in self._faults if f.from_s <= age_s < f.until_s), None)

    def _age_s(self) -> float:
        return (self._clock_ns() - self._opened_ns) / 1e9

    def _wait(self, seconds: float) -> None:
        self._closed.wait(seconds)


def open_camera(
    settings: CameraSettings,
    frames: str = "",
    *,
    source: SceneSource | None = None,
    faults: Sequence[Fault] = (),
) -> SimulatedCamera:
    """Start a simulated camera.

    Args:
        settings: as for a real one.
        frames: a picture, a folder of pictures or a video; empty shows an empty place.
        source: a scene, instead of `frames`.
        faults: the script.

    Raises:
        DeviceUnavailable: `frames` cannot be played; the message says why.
    """
    if any(fault.kind is FaultKind.UNPLUG and fault.from_s <= 0 for fault in faults):
        raise DeviceUnavailable(f"camera {settings.name}: unplugged")
    return SimulatedCamera(source or open_source(frames, settings), settings, faults)


def _fit(picture: Luma | Rgb, settings: CameraSettings) -> Luma | Rgb:
    """Scale into the frame with grey borders, keeping the proportions; turn; own the memory."""
    width, height = settings.width, settings.height
    if picture.shape[:2] != (height, width):
        import cv2

        scale = min(width / picture.shape[1], height / picture.shape[0])
        size = (
            max(1, min(width, round(picture.shape[1] * scale))),
            max(1, min(height, round(picture.shape[0] * scale))),
        )
        kind = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        small = cv2.resize(picture, size, interpolation=kind)
        left, top = (width - size[0]) // 2, (height - size[1]) // 2
        framed = np.full((height, width, *picture.shape[2:]), 128, dtype=np.uint8)
        framed[top : top + size[1], left : left + size[0]] = small
        picture = framed
    turned = rotate_plane(picture, settings.rotation)
    return turned if turned.flags.owndata and turned is not picture else turned.copy()
