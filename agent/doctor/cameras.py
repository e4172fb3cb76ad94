"""Looks at each camera that the settings name: there, as set, and able to see."""

from __future__ import annotations

from typing import Final, Literal

from agent.settings.model import CameraConfig, Config

__all__ = ["look_at_cameras"]

FRAMES_LOOKED_AT: Final = 3
WARM_UP_FRAMES: Final = 10
"""A webcam's first pictures are dark: its exposure settles while they come."""
_RIBBON: Final = "check the ribbon cable and `rpicam-hello --list-cameras`"
_SOCKET: Final = (
    "plug it in, directly; the user must be in the group video; `ls -l /dev/v4l/by-id` shows "
    "what camera.device can be"
)


def look_at_cameras(config: Config) -> tuple[Literal["ok", "warning", "failed"], str, str]:
    """Look through each camera.

    Returns:
        How it is, what was seen, and what to do, empty for nothing.
    """
    from hal.errors import HalError

    seen = []
    warned: list[tuple[str, str]] = []
    for camera in config.camera:
        offered = ""
        try:
            if camera.driver == "v4l2":
                from agent.daemon.webcam import look_at_webcam

                offered, wrong, remedy = look_at_webcam(camera)
                offered = f": {offered}"
                if wrong:
                    warned.append((f"{camera.name}: {wrong}", remedy))
            size, wrong, remedy = _look_through(camera, config)
        except HalError as error:
            webcam = camera.driver == "v4l2"
            return "failed", f"{camera.name}: {error}", _SOCKET if webcam else _RIBBON
        if size is None:
            return "failed", f"{camera.name}: {wrong}", remedy
        if wrong:
            warned.append((f"{camera.name}: {wrong}", remedy))
        seen.append(f"{camera.name} {size}{offered}")
    if warned:
        return "warning", "; ".join(words for words, _ in warned), warned[0][1]
    return "ok", ", ".join(seen), ""


def _look_through(camera: CameraConfig, config: Config) -> tuple[str | None, str, str]:
    """Return the pictures' size, None where none comes; what is wrong with them; what to do.

    Raises:
        HalError: it cannot be opened.
    """
    from agent.controller.camera_watch import Blindness, at_first_sight, measure
    from agent.daemon.hardware import open_camera
    from hal.errors import HalError

    device = open_camera(camera, config)
    seems = set()
    skipped = WARM_UP_FRAMES if camera.driver == "v4l2" else 0
    size = None
    try:
        for number in range(skipped + FRAMES_LOOKED_AT):
            with device.capture(camera.timeout_s) as frame:
                height, width = frame.luma.shape
                size = f"{width}x{height}"
                if number >= skipped:
                    seems.add(at_first_sight(measure(frame.luma)))
    except HalError as error:
        return None, str(error), "power the camera off and on"
    finally:
        device.close()
    if seems == {Blindness.COVERED}:
        return (
            size,
            "the picture is black, white or flat",
            "take the cover off the lens, clean it; light the place",
        )
    if seems == {Blindness.DEFOCUSED}:
        return (
            size,
            "nothing in the picture is sharp",
            "set the focus to where codes are held; clean the lens",
        )
    return size, "", ""
