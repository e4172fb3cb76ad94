"""A portrait turned to a side: laid on a cylinder and looked at from another angle."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from agent.biometrics.types import FaceDetector

__all__ = ["jpeg", "turned_head"]

Rgb = NDArray[np.uint8]
RADIUS = 1.5
"""Of the head, in eye distances."""
NOSE = 0.5
"""How far the nose stands out, in eye distances."""


def turned_head(picture: Rgb, detector: FaceDetector, degrees: float) -> Rgb:
    """Return the picture with its face turned; positive to the picture's right."""
    import cv2

    face = detector.detect(picture)[0]
    eye, width = face.points[2], face.eye_distance
    middle = float(face.points[:2, 0].mean())
    rows, columns = np.mgrid[: picture.shape[0], : picture.shape[1]].astype(np.float32)
    turn, radius = np.radians(degrees), RADIUS * width
    seen = np.arcsin(np.clip((columns - middle) / radius, -1, 1)) - turn
    source = middle + radius * np.sin(np.clip(seen, -np.pi / 2, np.pi / 2))
    beyond = np.clip((np.abs(columns - middle) / radius - 0.75) / 0.25, 0, 1)
    source = source * (1 - beyond) + columns * beyond
    moved = NOSE * width * np.sin(turn)
    tip = middle + radius * np.sin(turn) + moved
    near = ((columns - tip) / (0.45 * width)) ** 2 + ((rows - eye[1]) / (0.6 * width)) ** 2
    source -= moved * np.exp(-near)
    return np.asarray(cv2.remap(picture, source.astype(np.float32), rows, cv2.INTER_LINEAR))


def jpeg(picture: Rgb, quality: int = 88) -> bytes:
    out = io.BytesIO()
    Image.fromarray(picture).save(out, "JPEG", quality=quality)
    return out.getvalue()
