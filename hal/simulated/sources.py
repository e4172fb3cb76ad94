"""What a simulated camera can be pointed at: a picture, a folder of pictures, a video, nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import numpy as np

from hal.camera import CameraSettings, Luma, Rgb
from hal.errors import DeviceUnavailable

__all__ = ["EmptyPlace", "PictureSource", "SceneSource", "VideoSource", "open_source"]

PICTURES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".pgm", ".ppm", ".tif", ".tiff"})
MAX_PIXELS = 40_000_000
SHOWN_S = 1.0
"""How long each picture of a folder is in view."""


class SceneSource(Protocol):
    """What the simulated camera looks at."""

    def render(self, now: float) -> Luma | Rgb:
        """Return what is in view.

        Args:
            now: monotonic seconds at exposure (`time.monotonic`).

        Returns:
            (H, W) uint8 or (H, W, 3) uint8 RGB of any size; the camera fits it into its own.
        """


class PictureSource:
    """Shows pictures in turn, each for a while, for ever; one picture stands still.

    A file that is replaced (by a rename, so that it is never half written) is shown anew.

    Args:
        paths: at least one.
        shown_s: seconds a picture.

    Raises:
        DeviceUnavailable: one of them is no picture.
    """

    def __init__(self, paths: list[Path], shown_s: float = SHOWN_S) -> None:
        self._paths = paths
        self._shown_s = shown_s
        self._at = 0
        self._stamp = _stamp(paths[0])  # first: what is replaced meanwhile is seen to be another
        self._current = _read(paths[0])
        self._since: float | None = None

    def render(self, now: float) -> Luma | Rgb:
        """Return the picture whose turn it is."""
        if self._since is None:
            self._since = now
        at = int((now - self._since) / self._shown_s) % len(self._paths)
        stamp = _stamp(self._paths[at])
        if at != self._at or stamp != self._stamp:
            self._at, self._stamp, self._current = at, stamp, _read(self._paths[at])
        return self._current


class VideoSource:
    """Plays a video in real time, over and over.

    Args:
        path: anything that OpenCV reads.

    Raises:
        DeviceUnavailable: it reads nothing from it.
    """

    def __init__(self, path: Path) -> None:
        import cv2

        self._cv2: Any = cv2
        self._video = cv2.VideoCapture(str(path))
        self._fps = float(self._video.get(cv2.CAP_PROP_FPS)) or 25.0
        self._next = 0
        self._since: float | None = None
        self._path = path
        self._current = self._read_next()

    def render(self, now: float) -> Luma | Rgb:
        """Return the frame that is due; frames that nobody asked for are passed over."""
        if self._since is None:
            self._since = now
        due = int((now - self._since) * self._fps)
        while self._next <= due:
            if not self._video.grab():
                self._rewind(now)
                break
            self._next += 1
            if self._next > due:
                ok, picture = self._video.retrieve()
                if ok:
                    self._current = self._rgb(picture)
        return self._current

    def _rewind(self, now: float) -> None:
        self._video.release()
        self._video = self._cv2.VideoCapture(str(self._path))
        self._since, self._next = now, 0
        self._current = self._read_next()

    def _read_next(self) -> Rgb:
        ok, picture = self._video.read()
        if not ok:
            raise DeviceUnavailable(f"simulated camera: {self._path} is not a video")
        self._next += 1
        return self._rgb(picture)

    def _rgb(self, picture: Any) -> Rgb:
        return np.asarray(self._cv2.cvtColor(picture, self._cv2.COLOR_BGR2RGB), dtype=np.uint8)


class EmptyPlace:
    """A grey wall with a little sensor noise; the same frames in every run.

    Args:
        width: pixels.
        height: pixels.
    """

    def __init__(self, width: int, height: int) -> None:
        rng = np.random.default_rng(1)
        shade = np.linspace(90, 150, width)[None, :] + np.linspace(20, -20, height)[:, None]
        self._frames: list[Luma] = [
            np.clip(shade + rng.normal(0, 2, shade.shape), 0, 255).astype(np.uint8)
            for _ in range(3)
        ]
        self._at = 0

    def render(self, now: float) -> Luma | Rgb:  # noqa: ARG002 - nothing moves here
        """Return the wall."""
        self._at = (self._at + 1) % len(self._frames)
        return self._frames[self._at]


def _stamp(path: Path) -> tuple[int, int]:
    """Return what tells one content of a file from another.

    Raises:
        DeviceUnavailable: it is gone.
    """
    try:
        found = path.stat()
    except OSError as error:
        raise DeviceUnavailable(f"simulated camera: {path}: {error.strerror}") from None
    return found.st_ino, found.st_mtime_ns


def open_source(frames: str, settings: CameraSettings) -> SceneSource:
    """Choose the source for what a path holds.

    Raises:
        DeviceUnavailable: there is nothing there, or nothing that can be shown.
    """
    if not frames:
        return EmptyPlace(settings.width, settings.height)
    path = Path(frames)
    if path.is_dir():
        pictures = sorted(p for p in path.iterdir() if p.suffix.lower() in PICTURES)
        if not pictures:
            raise DeviceUnavailable(f"simulated camera: no pictures in {path}")
        return PictureSource(pictures)
    if not path.is_file():
        raise DeviceUnavailable(f"simulated camera: {path} does not exist")
    if path.suffix.lower() in PICTURES:
        return PictureSource([path])
    return VideoSource(path)


def _read(path: Path) -> Luma | Rgb:
    """Read a picture as RGB, or grey where it is grey."""
    from PIL import Image

    try:
        with Image.open(path) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                raise DeviceUnavailable(f"simulated camera: {path} is over 40 megapixels")
            mode = "L" if picture.mode in {"1", "L"} else "RGB"
            return np.asarray(picture.convert(mode), dtype=np.uint8)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        if isinstance(error, DeviceUnavailable):
            raise
        raise DeviceUnavailable(f"simulated camera: {path} is not a picture") from None
