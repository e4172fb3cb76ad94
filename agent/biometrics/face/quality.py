"""Quality: is this face good enough to be compared, and if not, what should change.

Five checks in the words of ISO/IEC 29794-5: size (inter-eye distance), pose (from the five points),
sharpness, exposure and occlusion (from the aligned chip). Each gives a number and a verdict; the
limits were set on the detector's training pictures so that a check alone refuses about one in a
hundred ordinary faces (`docs/face.md` has the numbers).

A gate's occlusion check without a trained network is coarse: it sees a part of the face without
structure (a mask over the mouth, sunglasses over the eyes), not a hand of a face's own texture.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from agent.biometrics.geometry import pose
from agent.biometrics.types import Face, Hint, Rgb

__all__ = ["Check", "Limits", "Quality", "assess_chip", "assess_face"]


class Check(StrEnum):
    """What a face can fail."""

    SIZE = "size"
    POSE = "pose"
    SHARPNESS = "sharpness"
    EXPOSURE = "exposure"
    OCCLUSION = "occlusion"


HINTS = {
    Check.SIZE: Hint.CLOSER,
    Check.POSE: Hint.LOOK_HERE,
    Check.SHARPNESS: Hint.HOLD_STILL,
    Check.EXPOSURE: Hint.LIGHT,
    Check.OCCLUSION: Hint.UNCOVER,
}


@dataclass(frozen=True, slots=True)
class Limits:
    """Where the checks refuse.

    Attributes:
        eye_distance_px: least distance of the eyes, pixels.
        yaw: most turn to a side; 0 is frontal, 1 has the nose over an eye.
        pitch: least and most height of the nose between eyes (0) and mouth (1).
        roll_deg: most tilt of the head, degrees.
        sharpness: least variance of the normalised chip's Laplacian.
        brightness: least and most mean luma of the face, 0 to 255.
        clipped: most part of the face's pixels that are black or white.
        contrast: least standard deviation of luma.
        structure: least structure of eyes or mouth, relative to the whole face.
    """

    eye_distance_px: float = 24.0
    yaw: float = 0.7
    pitch: tuple[float, float] = (0.38, 0.74)
    roll_deg: float = 30.0
    sharpness: float = 0.012
    brightness: tuple[float, float] = (40.0, 225.0)
    clipped: float = 0.30
    contrast: float = 16.0
    structure: float = 0.6


@dataclass(frozen=True, slots=True)
class Quality:
    """The numbers of one face and the checks that it failed, worst to remedy first."""

    values: dict[str, float]
    failed: tuple[Check, ...]

    @property
    def good(self) -> bool:
        """True when nothing failed."""
        return not self.failed

    @property
    def hint(self) -> Hint:
        """What the person can do about the first failure."""
        return HINTS[self.failed[0]] if self.failed else Hint.NONE


def assess_face(face: Face, limits: Limits) -> Quality:
    """Judge what the points tell: size and pose."""
    yaw, pitch, roll = pose(face)
    failed = []
    if face.eye_distance < limits.eye_distance_px:
        failed.append(Check.SIZE)
    low, high = limits.pitch
    if abs(yaw) > limits.yaw or not low <= pitch <= high or abs(roll) > limits.roll_deg:
        failed.append(Check.POSE)
    values = {"eye_distance_px": face.eye_distance, "yaw": yaw, "pitch": pitch, "roll_deg": roll}
    return Quality(values, tuple(failed))


def assess_chip(chip: Rgb, limits: Limits) -> Quality:
    """Judge what the aligned chip tells: exposure, sharpness, occlusion.

    Args:
        chip: (H, W, 3) uint8, aligned by the embedder's points.
        limits: where to refuse.
    """
    import cv2

    luma = np.asarray(cv2.cvtColor(chip, cv2.COLOR_RGB2GRAY), dtype=np.uint8)
    height, width = luma.shape
    inner = luma[height // 5 : height * 4 // 5, width // 5 : width * 4 // 5]
    mean, deviation = (float(v) for v in (inner.mean(), inner.std()))
    clipped = float(((inner <= 4) | (inner >= 251)).mean())
    even = (luma.astype(np.float32) - mean) / max(deviation, 1.0)
    laplacian = cv2.Laplacian(even, cv2.CV_32F)
    sharp = float(laplacian[height // 5 : height * 4 // 5, width // 5 : width * 4 // 5].var())
    eyes, mouth = _structure(even)
    failed = []
    low, high = limits.brightness
    if not low <= mean <= high or clipped > limits.clipped:
        failed.append(Check.EXPOSURE)
    if sharp < limits.sharpness:
        failed.append(Check.SHARPNESS)
    elif deviation < limits.contrast and not failed:
        failed.append(Check.EXPOSURE)
    if min(eyes, mouth) < limits.structure:
        failed.append(Check.OCCLUSION)
    values = {
        "brightness": mean, "contrast": deviation, "clipped": clipped, "sharpness": sharp,
        "eyes": eyes, "mouth": mouth,
    }  # fmt: skip
    return Quality(values, tuple(failed))


def _structure(even: NDArray[np.float32]) -> tuple[float, float]:
    """Return the vertical gradient of the eye and mouth bands, relative to the face's mean.

    Eyes, brows and lips lie across: where they are covered by cloth or dark glass, the gradient
    down the face falls to that of plain skin.
    """
    import cv2

    height, width = even.shape
    smooth = cv2.GaussianBlur(even, (0, 0), height / 100)
    gradient = np.abs(cv2.Sobel(smooth, cv2.CV_32F, 0, 1, ksize=3))
    face = gradient[height // 5 : height * 17 // 20, width // 5 : width * 4 // 5]
    eyes = gradient[height // 4 : height * 2 // 5, width // 5 : width * 4 // 5]
    mouth = gradient[height * 3 // 5 : height * 3 // 4, width * 3 // 10 : width * 7 // 10]
    whole = max(float(face.mean()), 1e-6)
    return float(eyes.mean()) / whole, float(mouth.mean()) / whole
