"""Geometry of a face: its pose, and the way from its five points to where a network expects them.

The transform is the similarity (rotation, one scale, translation; no reflection) with the least
squared distance between the points, in closed form: in two dimensions a similarity is one complex
number and one offset (S. Umeyama, IEEE PAMI 13, 1991, for the general case).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.biometrics.types import Face, Points, Rgb

__all__ = [
    "apply_similarity",
    "invert_similarity",
    "pose",
    "similarity",
    "similarity_scale",
    "warp",
]

Matrix = NDArray[np.float64]
"""Shape (2, 3): x' = M[:, :2] @ x + M[:, 2]."""

MAX_SHRINK = 0.5
"""Below this scale a bilinear warp skips pixels, so the picture is halved by areas first."""


def similarity(source: NDArray[np.floating[Any]], target: NDArray[np.floating[Any]]) -> Matrix:
    """Return the (2, 3) similarity that takes `source` nearest to `target`.

    Args:
        source: (N, 2) points, N at least 2.
        target: (N, 2) points.

    Raises:
        ValueError: the source points coincide or are not finite.
    """
    a, b = source.astype(np.float64), target.astype(np.float64)
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError("points coincide or are not finite")
    mean_a, mean_b = a.mean(axis=0), b.mean(axis=0)
    za, zb = (a - mean_a) @ (1, 1j), (b - mean_b) @ (1, 1j)
    spread = float(np.sum(np.abs(za) ** 2))
    if not (math.isfinite(spread) and spread > 1e-9):
        raise ValueError("points coincide or are not finite")
    factor = complex(np.sum(np.conj(za) * zb)) / spread
    turn = np.array([[factor.real, -factor.imag], [factor.imag, factor.real]])
    return np.hstack([turn, (mean_b - turn @ mean_a)[:, np.newaxis]])


def similarity_scale(matrix: Matrix) -> float:
    """Return the scale of a similarity."""
    (a, b, _), (c, d, _) = matrix
    return math.sqrt(abs(float(a * d - b * c)))


def invert_similarity(matrix: Matrix) -> Matrix:
    """Return the inverse of a similarity, (2, 3)."""
    (a, b, _), (c, d, _) = matrix
    back = np.array([[d, -b], [-c, a]]) / (a * d - b * c)
    return np.hstack([back, -(back @ matrix[:, 2:])])


def apply_similarity(matrix: Matrix, points: NDArray[np.floating[Any]]) -> Points:
    """Return (N, 2) points after the transform, float32."""
    moved = points.astype(np.float64) @ matrix[:, :2].T + matrix[:, 2]
    return np.asarray(moved, dtype=np.float32)


def warp(picture: Rgb, matrix: Matrix, size: tuple[int, int], fill: int | None = None) -> Rgb:
    """Return the part of a picture that a similarity shows, (height, width, 3) uint8.

    Args:
        picture: (H, W, 3) uint8 RGB.
        matrix: picture pixels to result pixels.
        size: (height, width) of the result.
        fill: value beyond the picture's edge; None repeats the edge.
    """
    import cv2

    picture, matrix = _shrink(picture, matrix, size)
    warped = cv2.warpAffine(
        picture,
        matrix,
        (size[1], size[0]),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE if fill is None else cv2.BORDER_CONSTANT,
        borderValue=(fill or 0,) * 3,
    )
    return np.asarray(warped, dtype=np.uint8)


def _shrink(picture: Rgb, matrix: Matrix, size: tuple[int, int]) -> tuple[Rgb, Matrix]:
    """Cut to the part that is needed, and halve it while the warp would skip pixels."""
    import cv2

    if similarity_scale(matrix) >= MAX_SHRINK:
        return picture, matrix
    height, width = size
    corners = np.array([[0, 0], [width, 0], [0, height], [width, height]], dtype=np.float64)
    seen = apply_similarity(invert_similarity(matrix), corners)
    low = np.maximum(np.floor(seen.min(axis=0)) - 2, 0).astype(int)
    high = np.ceil(seen.max(axis=0)).astype(int) + 2
    part = picture[low[1] : max(high[1], low[1] + 1), low[0] : max(high[0], low[0] + 1)]
    if 0 in part.shape[:2]:
        return picture, matrix
    matrix = matrix.copy()
    matrix[:, 2] += matrix[:, :2] @ low
    while similarity_scale(matrix) < MAX_SHRINK and min(part.shape[:2]) >= 4:
        rows, columns = part.shape[0] // 2, part.shape[1] // 2
        even = part[: rows * 2, : columns * 2]
        halved = cv2.resize(even, (columns, rows), interpolation=cv2.INTER_AREA)
        part = np.asarray(halved, dtype=np.uint8)
        matrix = matrix @ np.array([[2.0, 0, 0.5], [0, 2.0, 0.5], [0, 0, 1]])
    return part, matrix


def pose(face: Face) -> tuple[float, float, float]:
    """Return yaw, pitch and roll (degrees) as the five points tell them.

    Yaw is the nose's distance from the middle line in half eye distances, positive to the picture's
    right; pitch is the nose's height between eyes (0) and mouth (1). Both are proxies, not angles.
    """
    right_eye, left_eye, nose, right_mouth, left_mouth = face.points.astype(np.float64)
    across = left_eye - right_eye
    eyes, mouth = (right_eye + left_eye) / 2, (right_mouth + left_mouth) / 2
    down = mouth - eyes
    distance = max(float(np.hypot(*across)), 1e-6)
    height = float(np.dot(nose - eyes, down)) / max(float(np.dot(down, down)), 1e-6)
    middle = eyes + down * height
    yaw = float(np.dot(nose - middle, across)) / (distance * distance / 2)
    roll = float(np.degrees(np.arctan2(across[1], across[0])))
    return yaw, height, roll
