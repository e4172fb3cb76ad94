"""Face detection: where the faces of a picture are, and five points on each.

Rules:
- A detector takes an RGB picture of any size and returns faces in that picture's pixels, largest
  first. It keeps nothing of the picture.
- Points are always five, in the order right eye, left eye, nose, right and left mouth corner; right
  is the person's right, so left in the picture.
- Boxes may reach over the picture's edge; who cuts, clips.

Our own detector is a TFLite network (`face_detect_tflite.py`), decoded as the manifest's
`[model.detector]` says. Operators that bring YuNet's file run it through OpenCV
(`face_detect_yunet.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from agent.biometrics.manifest import Manifest
from agent.biometrics.runtime import DEFAULT_OPTIONS, Options

__all__ = [
    "MAX_FACES",
    "Box",
    "Face",
    "FaceDetector",
    "Points",
    "Rgb",
    "face_from_row",
    "open_detector",
]

MAX_FACES = 4
"""A gate asks for one; the others matter only as being there."""

Rgb = NDArray[np.uint8]
"""Shape (H, W, 3), uint8, red first."""
Points = NDArray[np.float32]
"""Shape (5, 2), float32: (x, y) of right eye, left eye, nose, right and left mouth corner."""


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in pixels; may reach over the picture's edge."""

    x: float
    y: float
    width: float
    height: float

    @property
    def area(self) -> float:
        """Area in square pixels."""
        return self.width * self.height


@dataclass(frozen=True, slots=True, eq=False)
class Face:
    """One face found in a picture.

    Attributes:
        box: around the face, forehead to chin.
        points: (5, 2) float32, see `Points`.
        score: the detector's confidence, 0 to 1.
    """

    box: Box
    points: Points
    score: float

    @property
    def eye_distance(self) -> float:
        """Distance between the eyes in pixels (inter-eye distance, ISO/IEC 39794-5)."""
        return float(np.hypot(*(self.points[1] - self.points[0])))


class FaceDetector(Protocol):
    """Finds faces; one thread at a time."""

    @property
    def name(self) -> str:
        """The model's name in the manifest."""

    @property
    def runtime(self) -> str:
        """What it runs in."""

    def detect(self, picture: Rgb) -> list[Face]:
        """Return the faces of an RGB picture, largest first."""

    def wipe(self) -> None:
        """Overwrite what is left of the last picture."""


def face_from_row(row: NDArray[np.float32]) -> Face:
    """Return a face from (15,) score, x, y, width, height and five points."""
    x, y, width, height = (float(v) for v in row[1:5])
    points = np.ascontiguousarray(row[5:].reshape(5, 2), dtype=np.float32)
    return Face(Box(x, y, width, height), points, float(row[0]))


def open_detector(
    directory: Path,
    manifest: Manifest,
    name: str = "",
    options: Options = DEFAULT_OPTIONS,
) -> FaceDetector:
    """Return the detector of this name; an empty name takes the manifest's default.

    Raises:
        ModelError: it cannot be used.
    """
    from agent.biometrics.face_detect_tflite import TfliteDetector
    from agent.biometrics.face_detect_yunet import YunetDetector

    spec = manifest.find(name, "face-detector")
    if spec.detector is not None and spec.detector.decoder == "yunet":
        return YunetDetector(directory, spec)
    return TfliteDetector(directory, manifest, spec, options)
