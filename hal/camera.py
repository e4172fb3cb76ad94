"""What a camera is to the agent: the newest frame, borrowed for a moment.

Rules:
- `capture()` yields a frame that was exposed after the call began; there is no queue of old frames.
- The frame's arrays are views on the driver's buffer and are valid inside the `with` block only.
  Who needs a frame longer takes `Frame.copy()`.
- A camera that delivers nothing raises `CameraTimeout`; one that broke raises `DeviceFault`.
  The caller climbs the recovery ladder (reopen, then exit for the service manager).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

__all__ = ["Camera", "CameraSettings", "Frame", "Luma", "Rgb"]

Luma = NDArray[np.uint8]
"""Shape (H, W), uint8; rows may be strided (padding stays outside the view)."""
Rgb = NDArray[np.uint8]
"""Shape (H, W, 3), uint8, red first."""


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One picture.

    Attributes:
        luma: brightness, (H, W) uint8.
        captured_ns: monotonic clock at exposure, nanoseconds.
        captured_at: wall clock at exposure, Unix seconds.
        sequence: counts up by one a frame in this camera; gaps are frames nobody took.
        camera: the camera's name in the configuration.
        colour: (H, W, 3) uint8 RGB where the driver has it ready, else None.
        chroma: (H // 2, W) uint8, the U plane above the V plane as in I420, else None.
        noisy: whether a sensor took it, whose noise makes no two frames the same; a still that a
            simulated camera plays is the same for ever.
    """

    luma: Luma
    captured_ns: int
    captured_at: float
    sequence: int
    camera: str
    colour: Rgb | None = None
    chroma: NDArray[np.uint8] | None = None
    noisy: bool = False

    def copy(self) -> Frame:
        """Return a frame that owns its arrays, for use after the `with` block."""
        return replace(
            self,
            luma=self.luma.copy(),
            colour=None if self.colour is None else self.colour.copy(),
            chroma=None if self.chroma is None else self.chroma.copy(),
        )

    def rgb(self) -> Rgb:
        """Return colour, (H, W, 3) uint8 RGB; a camera without colour gives grey thrice."""
        if self.colour is not None:
            return self.colour
        import cv2

        if self.chroma is None:
            return np.asarray(cv2.cvtColor(self.luma, cv2.COLOR_GRAY2RGB), dtype=np.uint8)
        height, width = self.luma.shape
        planes = np.empty((height + height // 2, width), dtype=np.uint8)
        planes[:height] = self.luma
        planes[height:] = self.chroma
        return np.asarray(cv2.cvtColor(planes, cv2.COLOR_YUV2RGB_I420), dtype=np.uint8)

    def wipe(self) -> None:
        """Overwrite the arrays with zeros where they may be written: pictures do not linger."""
        for plane in (self.luma, self.colour, self.chroma):
            if plane is not None and plane.flags.writeable:
                plane.fill(0)

    def revoke(self) -> None:
        """Let go of the arrays: the borrower's block is over, the driver wants its buffer back.

        A name that still holds the frame then holds an empty one, not the driver's memory.
        """
        object.__setattr__(self, "luma", np.empty((0, 0), dtype=np.uint8))
        object.__setattr__(self, "colour", None)
        object.__setattr__(self, "chroma", None)


@dataclass(frozen=True, slots=True)
class CameraSettings:
    """What a driver is told; the same words as the configuration's, as plain values.

    Attributes:
        name: given to every frame.
        index: which of the board's cameras.
        device: path of a V4L2 camera; empty takes `index`.
        format: of a V4L2 camera's pictures, `MJPG`, `YUYV` or `GREY`; `auto` chooses.
        width: of the frames before rotation, pixels.
        height: of the frames before rotation, pixels.
        fps: frames a second.
        rotation: 0, 90, 180 or 270 degrees clockwise, done by the driver.
        flicker_us: half the mains period, so that lamps do not band; 0 leaves it to the driver.
        exposure_values: exposure compensation in stops, alternated from frame to frame.
        focus: `fixed`, `manual` (at `lens_position`) or `auto`.
        lens_position: dioptres (1/m).
        colour: whether somebody looks at colours; a driver that pays for them leaves them out
            otherwise.
    """

    name: str = "code"
    index: int = 0
    device: str = ""
    format: str = "auto"
    width: int = 1280
    height: int = 720
    fps: float = 15.0
    rotation: int = 0
    flicker_us: int = 10_000
    exposure_values: tuple[float, ...] = (0.0, -2.0)
    focus: str = "fixed"
    lens_position: float = 5.0
    colour: bool = True


class Camera(Protocol):
    """A started camera; a context manager whose `close()` may be called twice."""

    @property
    def name(self) -> str:
        """The name given in the configuration, as it appears in frames and events."""

    def capture(self, timeout_s: float) -> AbstractContextManager[Frame]:
        """Borrow the next frame exposed after this call.

        Raises:
            CameraTimeout: nothing came within `timeout_s`.
            DeviceFault: the camera is gone.
        """

    def close(self) -> None:
        """Release the device."""
