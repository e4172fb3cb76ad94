"""The seam below the Raspberry Pi driver: modules shaped like picamera2 and libcamera.

What it models, because the driver depends on it: strides with padding, buffers that are reused
while views on them live, `BufferError` when such a view is kept past `stop`/`close`, a request
that must be released, `capture_request(wait, flush)` that times out and leaves its job behind, and
controls that a sensor lacks.
"""

from __future__ import annotations

import enum
import mmap
import time
from types import ModuleType
from typing import Any, Self

import numpy as np


class AeFlickerModeEnum(enum.IntEnum):
    Off = 0
    Manual = 1


class AfModeEnum(enum.IntEnum):
    Manual = 0
    Auto = 1
    Continuous = 2


class Controls:
    AeFlickerModeEnum = AeFlickerModeEnum
    AfModeEnum = AfModeEnum


class Transform:
    def __init__(self, *, hflip: bool = False, vflip: bool = False) -> None:
        self.hflip, self.vflip = bool(hflip), bool(vflip)


ALL_CONTROLS = {
    "FrameDurationLimits": (100, 1_000_000, None),
    "AeFlickerMode": (0, 1, 0),
    "AeFlickerPeriod": (100, 1_000_000, None),
    "ExposureValue": (-8.0, 8.0, 0.0),
    "AfMode": (0, 2, 0),
    "LensPosition": (0.0, 32.0, 1.0),
}


class Request:
    """One completed request; its buffer goes back to the camera when released."""

    def __init__(self, camera: Picamera2, number: int) -> None:
        self.camera = camera
        self.number = number
        self.released = 0

    def get_metadata(self) -> dict[str, Any]:
        if not self.camera.world.stamps:
            return {}
        return {"SensorTimestamp": time.clock_gettime_ns(time.CLOCK_BOOTTIME) - 5_000_000}

    def release(self) -> None:
        assert self.released == 0, "released twice"
        assert not self.camera.mapped, "released while mapped"
        self.released += 1


class MappedArray:
    """Views the request's buffer in place, as the real one does; writes need `write=True`."""

    def __init__(self, request: Request, stream: str, *, reshape: bool, write: bool) -> None:
        assert stream == "main"
        assert not reshape
        assert not write
        self._request = request

    def __enter__(self) -> Self:
        camera = self._request.camera
        camera.mapped += 1
        self.array = np.frombuffer(camera.buffer, dtype=np.uint8)
        return self

    def __exit__(self, *_: object) -> None:
        self._request.camera.mapped -= 1
        del self.array


class World:
    """What the test decides about the hardware, and what the driver did to it."""

    def __init__(self) -> None:
        self.cameras = [{"Model": "imx708", "Num": 0}]
        self.padding = 0
        self.format: str | None = None  # what libcamera settles on, where that differs
        self.controls = dict(ALL_CONTROLS)
        self.open_error: Exception | None = None
        self.start_error: Exception | None = None
        self.fail: Exception | None = None
        self.stamps = True
        self.picture: np.ndarray | None = None
        self.opened: list[Picamera2] = []

    def modules(self) -> dict[str, ModuleType]:
        picamera2 = ModuleType("picamera2")
        libcamera = ModuleType("libcamera")
        picamera2.Picamera2 = type("Picamera2", (Picamera2,), {"world": self})  # type: ignore[attr-defined]
        picamera2.MappedArray = MappedArray  # type: ignore[attr-defined]
        libcamera.controls = Controls  # type: ignore[attr-defined]
        libcamera.Transform = Transform  # type: ignore[attr-defined]
        return {"picamera2": picamera2, "libcamera": libcamera}


class Picamera2:
    """The part of `picamera2.Picamera2` that the driver touches."""

    world: World

    @classmethod
    def global_camera_info(cls) -> list[dict[str, Any]]:
        return cls.world.cameras

    def __init__(self, camera_num: int) -> None:
        if self.world.open_error is not None:
            raise self.world.open_error
        self.camera_num = camera_num
        self.camera_controls = self.world.controls
        self.set: list[dict[str, Any]] = []
        self.requests: list[Request] = []
        self.calls: list[str] = []
        self.mapped = 0
        self.world.opened.append(self)

    def create_video_configuration(self, **configuration: Any) -> dict[str, Any]:
        assert set(configuration) == {
            "main",
            "raw",
            "buffer_count",
            "queue",
            "controls",
            "transform",
        }
        unknown = set(configuration["controls"]) - set(self.camera_controls)
        assert not unknown, f"libcamera knows no {unknown}"
        return configuration

    def configure(self, configuration: dict[str, Any]) -> None:
        self.configuration = configuration
        width, height = configuration["main"]["size"]
        stride = width + self.world.padding
        self.main = {**configuration["main"], "stride": stride}
        if self.world.format is not None:
            self.main["format"] = self.world.format
        self.buffer = mmap.mmap(-1, stride * height * 3 // 2 + 4096)

    def camera_configuration(self) -> dict[str, Any]:
        return {"main": self.main}

    def start(self) -> None:
        if self.world.start_error is not None:
            raise self.world.start_error
        self.calls.append("start")

    def set_controls(self, controls: dict[str, Any]) -> None:
        self.set.append(controls)

    def capture_request(self, *, wait: float, flush: bool) -> Request:
        assert 0 < wait < 60, "without a limit the caller blocks for ever"
        assert flush, "without flush an old frame may come"
        if self.world.fail is not None:
            self.calls.append("job left behind")
            raise self.world.fail
        self.requests.append(Request(self, len(self.requests)))
        self._expose()
        return self.requests[-1]

    def cancel_all_and_flush(self) -> None:
        self.calls.append("cancel_all_and_flush")

    def stop(self) -> None:
        self.calls.append("stop")

    def close(self) -> None:
        self.calls.append("close")
        if hasattr(self, "buffer"):
            self.buffer.close()  # raises BufferError while somebody holds a view

    def _expose(self) -> None:
        """Fill the buffer as the hardware does: rows with padding, planes one after the other."""
        width, height = self.main["size"]
        stride = self.main["stride"]
        planes = self.world.picture
        if planes is None:
            planes = np.full((height * 3 // 2, width), 16 + len(self.requests), dtype=np.uint8)
        whole = np.frombuffer(self.buffer, dtype=np.uint8)
        whole[:] = 0xEE  # what padding holds is nobody's business
        whole[: stride * height].reshape(height, stride)[:, :width] = planes[:height]
        chroma = planes[height:].reshape(height, width // 2)
        at = stride * height
        if self.main["format"] == "NV12":
            pairs = whole[at : at + stride * height // 2].reshape(height // 2, stride)
            pairs[:, 0:width:2], pairs[:, 1:width:2] = chroma[: height // 2], chroma[height // 2 :]
            return
        whole[at : at + stride * height // 2].reshape(height, stride // 2)[:, : width // 2] = chroma
