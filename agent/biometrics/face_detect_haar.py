"""OpenCV's Haar cascade behind the detector interface, until our own network is in the manifest.

The cascade gives boxes; the points are where they are on average in such a box (measured on the
detector's training pictures), moved to the eyes that the eye cascade finds.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agent.biometrics.face_detect import MAX_FACES, Box, Face, Points, Rgb

__all__ = ["HaarDetector"]

MEAN_POINTS = np.array(
    [[0.307, 0.382], [0.689, 0.382], [0.498, 0.605], [0.346, 0.766], [0.672, 0.766]],
    dtype=np.float32,
)
MIN_FACE = 0.1


class HaarDetector:
    """Boxes by cascade, points by average."""

    name = "opencv-haar"
    runtime = "opencv"

    def __init__(self) -> None:
        import cv2

        folder = str(Path(cv2.__file__).parent / "data") + "/"
        self._faces = cv2.CascadeClassifier(folder + "haarcascade_frontalface_default.xml")
        self._eyes = cv2.CascadeClassifier(folder + "haarcascade_eye.xml")

    def detect(self, picture: Rgb) -> list[Face]:
        """Return the faces of an RGB picture, largest first."""
        import cv2

        grey = np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), dtype=np.uint8)
        least = max(24, round(min(grey.shape) * MIN_FACE))
        boxes, _, weights = self._faces.detectMultiScale3(
            grey, 1.1, 5, minSize=(least, least), outputRejectLevels=True
        )
        faces = []
        for (x, y, side, _), weight in zip(boxes, weights, strict=True):
            points = self._points(grey[y : y + side, x : x + side]) + np.array([x, y])
            box = Box(x + side * 0.09, y - side * 0.05, side * 0.83, side * 1.1)
            score = float(1 / (1 + np.exp(-weight / 4)))
            faces.append(Face(box, points.astype(np.float32), score))
        return sorted(faces, key=lambda face: -face.box.area)[:MAX_FACES]

    def wipe(self) -> None:
        """Cascades keep nothing."""

    def _points(self, grey: NDArray[np.uint8]) -> Points:
        """Return the mean points, moved and turned to the eyes where two are found."""
        from agent.biometrics.face_align import apply_similarity, similarity

        side = grey.shape[0]
        points = MEAN_POINTS * side
        least = max(8, side // 7)
        found = self._eyes.detectMultiScale(
            grey[side // 6 : side * 6 // 10], 1.1, 4, minSize=(least, least)
        )
        eyes = [(x + w / 2, side // 6 + y + h / 2) for x, y, w, h in found]
        near = [
            [eye for eye in eyes if np.hypot(*(np.subtract(eye, points[k]))) < 0.13 * side]
            for k in (0, 1)
        ]
        if all(near):
            target = np.array([np.mean(each, axis=0) for each in near])
            points = apply_similarity(similarity(points[:2], target), points)
        return points
