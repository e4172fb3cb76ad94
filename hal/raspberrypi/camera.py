"""A Raspberry Pi camera through picamera2, which comes from apt (`python3-picamera2`).

Rules, each learnt from the library's behaviour:
- One YUV420 stream: its first plane is the luma that the decoder needs, viewed in place. Nothing
  is converted or copied unless the frame is turned. libcamera may settle on another format than
  was asked for: NV12 has the same luma, and its chroma is put apart; any other is refused.
- `capture_request(wait=seconds, flush=True)`: only a frame that was exposed after the call, and
  never a wait without an end (a frontend that timed out delivers nothing for ever).
- A view on a buffer must be gone before the request is released and the camera reconfigured; so a
  frame is valid inside the `with` block only.
- A capture that timed out leaves a job behind that swallows a later frame: `cancel_all_and_flush`,
  and the camera is done for; who wants more opens it anew (`hal.recovery`).
- Rows may be padded: the stride comes from the configuration that the camera settled on.
- picamera2 tells an old frame by its exposure time; a camera that does not report one (a webcam)
  fails inside the library with a KeyError.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from hal.camera import CameraSettings, Frame
from hal.errors import CameraTimeout, DeviceFault, DeviceUnavailable
from hal.library import starting
from hal.rotation import rotate_chroma, rotate_plane

__all__ = ["PicameraCamera", "open_camera"]

BUFFERS = 4
FORMATS = ("YUV420", "NV12")
LIST = "check the ribbon cable and `rpicam-hello --list-cameras`"
INSTALL = "install it with: apt install python3-picamera2 (the venv needs --system-site-packages)"


def open_camera(settings: CameraSettings) -> PicameraCamera:
    """Open and start a camera.

    Raises:
        DeviceUnavailable: picamera2 or the camera is not there, is busy, or cannot do what the
            settings ask; the message says what to do.
    """
    name = f"camera {settings.name}"
    with starting(f"{name}: picamera2 cannot be loaded", INSTALL):
        from libcamera import Transform, controls
        from picamera2 import Picamera2
    with starting(f"{name}: the cameras cannot be listed", LIST):
        known = Picamera2.global_camera_info()
    if settings.index >= len(known):
        raise DeviceUnavailable(f"{name}: no camera {settings.index}, {len(known)} found; {LIST}")
    with starting(f"{name}: cannot be opened", "is another program using it?"):
        device = Picamera2(settings.index)
    try:
        with starting(f"{name}: does not start"):
            return PicameraCamera(device, settings, controls, Transform)
    except DeviceUnavailable:  # whatever the library raises, the camera is given back
        device.close()
        raise


class PicameraCamera:
    """A started camera; thread-confined but for `close`.

    Args:
        device: a `picamera2.Picamera2`, not configured.
        settings: all are honoured.
        controls: the module `libcamera.controls`.
        transform: the class `libcamera.Transform`.

    Attributes:
        unsupported: controls that the settings ask for and this sensor or libcamera lacks; the
            camera works without them.

    Raises:
        DeviceUnavailable: the lens cannot be focused as the settings ask, or the camera has no
            format with a plane of luma.
    """

    def __init__(
        self, device: Any, settings: CameraSettings, controls: Any, transform: Any
    ) -> None:
        self.unsupported: tuple[str, ...] = ()
        self._device: Any = device
        self._settings = settings
        self._sequence = 0
        self._frames = 0
        self._last_ns = 0
        upside_down = settings.rotation == 180
        self._turn = 0 if upside_down else settings.rotation
        period_us = round(1e6 / settings.fps)
        wanted = {"FrameDurationLimits": (period_us, period_us), **self._controls(controls)}
        configuration = device.create_video_configuration(
            main={"format": "YUV420", "size": (settings.width, settings.height)},
            raw=None,
            buffer_count=BUFFERS,
            queue=False,
            controls=wanted,
            transform=transform(hflip=upside_down, vflip=upside_down),
        )
        device.configure(configuration)
        main = device.camera_configuration()["main"]
        self._width, self._height = (int(side) for side in main["size"])
        self._stride = int(main["stride"])
        self._interleaved = main["format"] == "NV12"
        if main["format"] not in FORMATS:
            raise DeviceUnavailable(
                f"camera {settings.name}: delivers {main['format']}, not one of "
                f"{', '.join(FORMATS)}; use a Raspberry Pi camera module"
            )
        device.start()

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

    @contextmanager
    def capture(self, timeout_s: float) -> Iterator[Frame]:
        """Borrow the next frame; its arrays are views on the driver's buffer.

        Raises:
            CameraTimeout: nothing came within `timeout_s`; the camera must be opened anew.
            DeviceFault: the camera is closed or gone.
        """
        request = self._request(timeout_s)
        try:
            yield from self._borrow(request)
        finally:
            request.release()

    def close(self) -> None:
        """Stop and release the camera; may be called twice, and ends a capture that waits.

        Raises:
            DeviceFault: somebody kept a view on a frame, so the buffers cannot be freed.
        """
        device, self._device = self._device, None
        if device is None:
            return
        try:
            device.cancel_all_and_flush()
            device.stop()
            device.close()
        except BufferError as error:
            raise DeviceFault(
                f"camera {self.name}: a frame was kept past its block ({error})"
            ) from error

    def _request(self, timeout_s: float) -> Any:
        device = self._device
        if device is None:
            raise DeviceFault(f"camera {self.name}: closed")
        self._alternate_exposure()
        try:
            return device.capture_request(wait=timeout_s, flush=True)
        except TimeoutError as error:
            device.cancel_all_and_flush()
            raise CameraTimeout(f"camera {self.name}: no frame within {timeout_s:g} s") from error
        except CancelledError as error:
            raise DeviceFault(f"camera {self.name}: closed") from error
        except KeyError as error:
            raise DeviceFault(
                f"camera {self.name}: reports no {error}; use a Raspberry Pi camera module"
            ) from error
        except (RuntimeError, OSError) as error:
            raise DeviceFault(f"camera {self.name}: {error}") from error

    def _borrow(self, request: Any) -> Iterator[Frame]:
        """Yield the frame while its buffer is mapped; no view outlives this generator."""
        from picamera2 import MappedArray

        captured_ns = self._exposed_ns(request)
        with MappedArray(request, "main", reshape=False, write=False) as mapped:
            buffer = mapped.array
            luma, chroma = self._planes(buffer)
            frame = Frame(
                luma=rotate_plane(luma, self._turn),
                captured_ns=captured_ns,
                captured_at=time.time() - (time.monotonic_ns() - captured_ns) / 1e9,
                sequence=self._sequence,
                camera=self.name,
                chroma=rotate_chroma(chroma, self._turn),
                noisy=True,
            )
            del buffer, luma, chroma
            try:
                yield frame
            finally:
                frame.revoke()

    def _planes(self, buffer: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Return luma (H, W) in place and I420 chroma (H // 2, W), in place where it lies so."""
        width, height, stride = self._width, self._height, self._stride
        luma = buffer[: height * stride].reshape(height, stride)[:, :width]
        chroma = buffer[height * stride : height * stride * 3 // 2]
        if self._interleaved:
            pairs = chroma.reshape(height // 2, stride)[:, :width]
            chroma = np.concatenate((pairs[:, 0::2].ravel(), pairs[:, 1::2].ravel()))
        elif stride != width:
            # Both chroma planes have half the stride; without the padding they are I420 again.
            chroma = np.ascontiguousarray(chroma.reshape(height, stride // 2)[:, : width // 2])
        return luma, chroma.reshape(height // 2, width)

    def _exposed_ns(self, request: Any) -> int:
        """Return the monotonic time of exposure, and count the frames since the last one.

        libcamera stamps with CLOCK_BOOTTIME, which also counts suspended time.
        """
        now_ns = time.monotonic_ns()
        stamp = request.get_metadata().get("SensorTimestamp")
        if stamp is None:
            captured_ns = now_ns
        else:
            captured_ns = min(
                now_ns, int(stamp) - time.clock_gettime_ns(time.CLOCK_BOOTTIME) + now_ns
            )
        period_ns = 1e9 / self._settings.fps
        step = round((captured_ns - self._last_ns) / period_ns) if self._last_ns else 1
        self._sequence += max(1, step)
        self._last_ns = captured_ns
        return captured_ns

    def _alternate_exposure(self) -> None:
        """Ask for the next exposure: faces need the light, phone screens less of it."""
        values = self._settings.exposure_values
        if len(values) < 2 or "ExposureValue" in self.unsupported:
            return
        self._frames += 1
        self._device.set_controls({"ExposureValue": float(values[self._frames % len(values)])})

    def _controls(self, controls: Any) -> dict[str, Any]:
        """Return the start values, noting what this camera lacks."""
        settings = self._settings
        wanted: dict[str, Any] = {}
        if settings.flicker_us:
            wanted["AeFlickerMode"] = controls.AeFlickerModeEnum.Manual
            wanted["AeFlickerPeriod"] = settings.flicker_us
        if settings.exposure_values:
            wanted["ExposureValue"] = float(settings.exposure_values[0])
        if settings.focus == "manual":
            wanted["AfMode"] = controls.AfModeEnum.Manual
            wanted["LensPosition"] = float(settings.lens_position)
        elif settings.focus == "auto":
            wanted["AfMode"] = controls.AfModeEnum.Continuous
        offered = self._device.camera_controls
        missing = tuple(name for name in wanted if name not in offered)
        if "AfMode" in missing or "LensPosition" in missing:
            raise DeviceUnavailable(
                f'camera {self.name}: the lens cannot be focused; set focus = "fixed"'
            )
        self.unsupported = missing
        return {name: value for name, value in wanted.items() if name not in missing}
