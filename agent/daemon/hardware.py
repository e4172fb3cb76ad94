"""Opens the hardware that the settings name; part of the composition root.

A driver is chosen by name. One that cannot start is an error; nothing falls back to another, least
of all to a simulated one.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from agent import log
from agent.daemon.engine import open_engine
from agent.daemon.gatekeeper import connector
from agent.gate.gate import Connect
from agent.settings.model import CameraConfig, Config
from hal.camera import Camera, CameraSettings
from hal.errors import DeviceUnavailable
from hal.recovery import RecoveringCamera, RecoveringEngine
from hal.scan_engine import ScanEngine

if TYPE_CHECKING:
    from hal.simulated.camera import Fault

__all__ = ["Hardware", "camera_settings", "open_camera", "open_hardware"]
_log = log.get(__name__)


@dataclass(frozen=True, slots=True)
class Hardware:
    """What a daemon runs on.

    Attributes:
        cameras: in the order of the settings, started.
        gatekeeper: reaches the process that owns the pins.
        engine: set up, where one is fitted.
    """

    cameras: tuple[Camera, ...]
    gatekeeper: Connect
    engine: ScanEngine | None = None

    def listen(self, told: Callable[[str, str], None], engine_told: Callable[[str], None]) -> None:
        """Be told (camera, fault), or the engine's fault, when one had to be reopened."""
        if isinstance(self.engine, RecoveringEngine):
            self.engine.listen(lambda error: engine_told(str(error)))
        for camera in self.cameras:
            if isinstance(camera, RecoveringCamera):
                camera.listen(lambda error, name=camera.name: told(name, str(error)))  # type: ignore[misc]

    def close(self) -> None:
        """Release every device."""
        for camera in self.cameras:
            camera.close()
        if self.engine is not None:
            self.engine.close()


def open_hardware(config: Config) -> Hardware:
    """Open everything that the settings name.

    Raises:
        DeviceUnavailable: a device or its driver is not there; the message says what to do.
    """
    gatekeeper = connector(config)
    cameras: list[Camera] = []
    try:
        # `extend` keeps what was opened before one fails.
        cameras.extend(open_camera(camera, config) for camera in config.camera)
        engine = None if config.scan_engine is None else open_engine(config)
    except BaseException:
        Hardware(tuple(cameras), gatekeeper).close()
        raise
    return Hardware(tuple(cameras), gatekeeper, engine)


def camera_settings(camera: CameraConfig) -> CameraSettings:
    """Return a camera's settings as hal takes them."""
    return CameraSettings(
        name=camera.name,
        index=camera.index,
        device=camera.device,
        format=camera.format,
        width=camera.width,
        height=camera.height,
        fps=camera.fps,
        rotation=camera.rotation,
        flicker_us=camera.flicker_us,
        exposure_values=camera.exposure_values,
        focus=camera.focus,
        lens_position=camera.lens_position,
    )


def open_camera(camera: CameraConfig, config: Config) -> Camera:
    """Open a camera that mends itself where it can.

    Raises:
        DeviceUnavailable: it is not there.
    """
    settings = camera_settings(camera)
    if camera.driver == "v4l2":
        from hal.v4l2.camera import opener

        looked_at = config.face is not None and camera.serves != "code"
        settings = replace(settings, colour=looked_at)
        return RecoveringCamera(opener(settings, _say_once(camera.name)), name=camera.name)
    if camera.driver == "picamera2":
        from hal.raspberrypi.camera import open_camera as open_real

        return RecoveringCamera(lambda: open_real(settings), name=camera.name)
    from hal.simulated.camera import open_camera as open_simulated

    frames = config.simulation.frames and str(config.path(config.simulation.frames))
    faults = _camera_faults(config)
    began = time.monotonic()

    def reopen() -> Camera:
        # The script counts from the start; a camera, from each opening.
        past_s = time.monotonic() - began
        ahead = [
            replace(fault, from_s=fault.from_s - past_s, until_s=fault.until_s - past_s)
            for fault in faults
            if fault.until_s > past_s
        ]
        return open_simulated(settings, frames, faults=ahead)

    return RecoveringCamera(reopen, name=camera.name)


def _say_once(name: str) -> Callable[[str], None]:
    """Return what logs a camera's lacks: each once, however often it is opened."""
    said: set[str] = set()

    def say(lack: str) -> None:
        if lack not in said:
            said.add(lack)
            _log.warning("the camera lacks", camera=name, lack=lack)

    return say


def _camera_faults(config: Config) -> tuple[Fault, ...]:
    """Read the script of the simulated cameras.

    Raises:
        DeviceUnavailable: it cannot be read.
    """
    from hal.simulated.camera import parse_faults

    if not config.simulation.camera_script:
        return ()
    path = config.path(config.simulation.camera_script)
    try:
        return parse_faults(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DeviceUnavailable(f"camera script {path}: {error.strerror}") from None
    except ValueError as error:
        raise DeviceUnavailable(f"camera script {path}: {error}") from None
