"""What the gates of the demo with a phone look through: this machine's webcam, or a picture of it.

A webcam belongs to one program, and in it to one gate: there is one gate then, on the driver that a
real gate has. What a file shows, two gates can look at.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from agent.daemon.hardware import camera_settings
from agent.demo.stage import StageError
from agent.settings.model import CameraConfig
from hal.camera import CameraSettings
from hal.errors import HalError
from hal.simulated.sources import SceneSource, open_source

__all__ = ["Eye", "open_eye"]

WIDTH: Final = 1280
HEIGHT: Final = 720
FIRST_PICTURE_S: Final = 5.0
_OR: Final = "--frames FILE plays a picture or a video instead"


@dataclass(frozen=True, slots=True)
class Eye:
    """What gates look through.

    Attributes:
        table: of the settings, `[[camera]]`.
        gates: names of those that look.
        words: what it is, for a person.
        source: what simulated cameras see; None where the camera is a real one.
    """

    table: dict[str, Any]
    gates: tuple[str, ...]
    words: str
    source: SceneSource | None


def open_eye(frames: Path | None, camera: str) -> Eye:
    """Return what the gates look through.

    Args:
        frames: a picture, a folder or a video; None takes the webcam.
        camera: its number, or its path below /dev.

    Raises:
        StageError: there is no such webcam, or it gives no picture.
        HalError: what is named is no picture, folder or video.
    """
    if frames is not None:
        source = open_source(str(frames), CameraSettings(width=WIDTH, height=HEIGHT))
        table = {"driver": "simulated", "fps": 10, "width": WIDTH, "height": HEIGHT}
        return Eye(table, ("north", "south"), str(frames), source)
    if sys.platform != "linux":
        raise StageError(f"webcams are read on Linux only; {_OR}")
    table = {"driver": "v4l2", **_place(camera), "width": WIDTH, "height": HEIGHT}
    return Eye(table, ("north",), _try_out(table), None)


def _place(camera: str) -> dict[str, Any]:
    if camera.startswith("/dev/"):
        return {"device": camera}
    if camera.isdecimal() and camera.isascii() and len(camera) == 1:
        return {"index": int(camera)}
    raise StageError("--camera: the number of a webcam, 0 the first, or its path below /dev")


def _try_out(table: dict[str, Any]) -> str:
    """Take one picture, so that what is wrong is said before anything is made."""
    from hal.v4l2.camera import opener
    from hal.v4l2.survey import survey

    settings = camera_settings(CameraConfig(**table))
    try:
        offer = survey(settings)
        with opener(settings)() as camera, camera.capture(FIRST_PICTURE_S) as frame:
            height, width = frame.luma.shape
    except HalError as error:
        raise StageError(f"{error}; {_OR}") from None
    return f"{offer.card} at {offer.path}, {width}x{height}"
