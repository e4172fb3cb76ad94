"""Faces as values: what a detector finds, and what a person can be asked to do about it.

Rules:
- A detector takes an RGB picture of any size and returns faces in that picture's pixels, largest
  first. It keeps nothing of the picture.
- Points are always five, in the order right eye, left eye, nose, right and left mouth corner; right
  is the person's right, so left in the picture.
- Boxes may reach over the picture's edge; who cuts, clips.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "MAX_FACES",
    "Box",
    "Face",
    "FaceDetector",
    "Hint",
    "PhotoReader",
    "Points",
    "Rgb",
    "face_from_row",
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


PhotoReader = Callable[[bytes], Rgb]
"""Decodes a photo out of a credential, whose bytes are a stranger's: (H, W, 3) uint8 RGB, the
caller's own and of bounded size, or `FaceRejected` (`reference_invalid`), in bounded time."""


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


class Hint(StrEnum):
    """What a person before the gate can do about it."""

    NONE = ""
    NO_FACE = "no_face"
    CLOSER = "closer"
    LOOK_HERE = "look_here"
    HOLD_STILL = "hold_still"
    LIGHT = "light"
    UNCOVER = "uncover"
    ONE_PERSON = "one_person"
    TURN_LEFT = "turn_left"
    TURN_RIGHT = "turn_right"
