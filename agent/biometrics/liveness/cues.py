"""What can be measured of a flat or repeated picture in one frame or between two.

Pure functions on luma; `passive.py` decides what they mean over time.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.biometrics.types import Box, Face

__all__ = ["Plane", "Side", "Track", "periodicity", "plane", "sides"]

Luma = NDArray[np.uint8]
Tracks = NDArray[np.float32]
"""Shape (N, 2), float32: the same points in some frame, pixels."""

SPECTRUM_PX = 128
BORDER_PX = 224
"""Lines are looked for in a part of the frame made this small."""
MIN_FREQUENCY = 0.06
"""Cycles a pixel below which a face's own shape rules the spectrum."""


def periodicity(luma: Luma, face: Face) -> float:
    """Return how far one frequency stands out of the face's spectrum, in robust deviations.

    A screen's pixel grid or a print's screening, sampled by the camera, is a pair of sharp peaks
    (moire); skin and hair have none. The spectrum is compared with the median of its own ring, so
    sharpness and noise cancel out.

    Args:
        luma: (H, W) uint8, the whole frame.
        face: the presenting face; its inside is looked at in the frame's own pixels.

    Returns:
        0 where the face is smaller than 48 pixels.
    """
    box = face.box
    side = int(min(box.width * 0.9, box.height * 0.9, SPECTRUM_PX))
    x, y = int(box.x + (box.width - side) / 2), int(box.y + (box.height - side) / 2)
    rows, columns = slice(max(y, 0), max(y + side, 0)), slice(max(x, 0), max(x + side, 0))
    part = luma[rows, columns].astype(np.float32)
    if min(part.shape, default=0) < 48:
        return 0.0
    window = np.outer(np.hanning(part.shape[0]), np.hanning(part.shape[1]))
    spectrum = np.log(np.abs(np.fft.rfft2((part - part.mean()) * window)) + 1.0)
    fy, fx = np.fft.fftfreq(part.shape[0])[:, np.newaxis], np.fft.rfftfreq(part.shape[1])
    radius = np.hypot(fy, fx)
    rings = np.minimum((radius * 40).astype(int), 19)
    used = (radius > MIN_FREQUENCY) & (radius < 0.5) & (fx > 0.02) & (np.abs(fy) > 0.0)
    highest = 0.0
    for ring in range(2, 20):
        values = spectrum[(rings == ring) & used]
        if values.size < 24:
            continue
        middle = float(np.median(values))
        spread = float(np.median(np.abs(values - middle))) * 1.4826
        highest = max(highest, (float(values.max()) - middle) / max(spread, 0.15))
    return highest


class Side(StrEnum):
    """A side of the face on which a straight border was seen."""

    LEFT = "left"
    RIGHT = "right"
    TOP = "top"
    BOTTOM = "bottom"


def sides(luma: Luma, box: Box) -> dict[Side, float]:
    """Return the straight borders around a face and where each crosses the face's axis, pixels.

    A border is a line at least `0.7` face widths long, roughly upright or level, within a face
    width and a half of the box and beside it; of several the longest counts.

    Args:
        luma: (H, W) uint8, the whole frame.
        box: the presenting face.
    """
    import cv2

    reach = 1.5 * box.width
    left, top = max(int(box.x - reach), 0), max(int(box.y - reach), 0)
    right = max(int(box.x + box.width + reach), 0)
    bottom = max(int(box.y + box.height + reach), 0)
    part = luma[top:bottom, left:right]
    if min(part.shape, default=0) < 32:
        return {}
    shrink = min(1.0, BORDER_PX / max(part.shape))
    small = cv2.resize(part, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
    found: Any = cv2.createLineSegmentDetector().detect(small)[0]
    if found is None:
        return {}
    lines = found.reshape(-1, 4) / shrink + np.array([left, top, left, top])
    best: dict[Side, tuple[float, float]] = {}
    for x1, y1, x2, y2 in lines:
        placed = _place(box, float(x1), float(y1), float(x2), float(y2))
        if placed is not None and placed[1] > best.get(placed[0], (0.0, 0.0))[0]:
            best[placed[0]] = (placed[1], placed[2])
    return {side: at for side, (_, at) in best.items()}


def _place(
    box: Box, x1: float, y1: float, x2: float, y2: float
) -> tuple[Side, float, float] | None:
    """Return the side a line stands on, its length, and where it crosses the face's axis."""
    across, down = abs(x2 - x1), abs(y2 - y1)
    length = float(np.hypot(across, down))
    if length < 0.7 * box.width:
        return None
    middle_x, middle_y = box.x + box.width / 2, box.y + box.height / 2
    slack = 0.1 * box.width
    if down > 3 * across and min(y1, y2) < middle_y < max(y1, y2) + box.height / 2:
        at = x1 + (x2 - x1) * (middle_y - y1) / (y2 - y1)
        if at < box.x + slack:
            return Side.LEFT, length, at
        if at > box.x + box.width - slack:
            return Side.RIGHT, length, at
    elif across > 3 * down and min(x1, x2) < middle_x < max(x1, x2):
        at = y1 + (y2 - y1) * (middle_x - x1) / (x2 - x1)
        if at < box.y + slack:
            return Side.TOP, length, at
        if at > box.y + box.height - slack:
            return Side.BOTTOM, length, at
    return None


@dataclass(frozen=True, slots=True)
class Plane:
    """How well one plane explains a motion.

    Attributes:
        turn: foreshortening between the frames, 0 for none (ratio of the affine part's singular
            values less 1).
        residual: median distance of the tracks from the best homography, in eye distances.
        motion: median length of the tracks, pixels.
    """

    turn: float
    residual: float
    motion: float


def plane(before: Tracks, after: Tracks, eye_distance: float) -> Plane | None:
    """Return how well a plane explains the motion of tracked points, None with too few.

    Args:
        before: (N, 2) points in an earlier frame, N at least `MIN_TRACKS`.
        after: (N, 2) the same points now.
        eye_distance: of the face now, pixels.
    """
    import cv2

    if len(before) < MIN_TRACKS:
        return None
    matrix, _ = cv2.findHomography(before, after, cv2.LMEDS)
    if matrix is None or not np.isfinite(matrix).all():
        return None
    moved = cv2.perspectiveTransform(before[:, np.newaxis], matrix)[:, 0]
    distances = np.linalg.norm(moved - after, axis=1)
    centred_a, centred_b = before - before.mean(axis=0), after - after.mean(axis=0)
    affine = np.linalg.lstsq(centred_a, centred_b, rcond=None)[0]
    stretched = np.linalg.svd(affine, compute_uv=False)
    return Plane(
        turn=float(stretched[0] / max(stretched[1], 1e-6)) - 1,
        residual=float(np.percentile(distances, 75)) / max(eye_distance, 1.0),
        motion=float(np.median(np.linalg.norm(after - before, axis=1))),
    )


MIN_TRACKS = 16


class Track:
    """Points of a face followed from a first frame to the newest, by Lucas-Kanade flow.

    Args:
        luma: (H, W) uint8, the first frame.
        face: the presenting face in it.
    """

    def __init__(self, luma: Luma, face: Face) -> None:
        import cv2

        box = face.box
        # What is around the face is kept too, so that it may move without being lost.
        left, top = max(int(box.x - box.width * 0.4), 0), max(int(box.y - box.height * 0.3), 0)
        right, bottom = int(box.x + box.width * 1.4), int(box.y + box.height * 1.3)
        self._window = (slice(top, max(bottom, top + 1)), slice(left, max(right, left + 1)))
        self._shape = luma.shape
        self._last: Luma = luma[self._window].copy()
        mask = np.zeros(self._last.shape, dtype=np.uint8)
        centre = (round(box.x + box.width / 2) - left, round(box.y + box.height / 2) - top)
        axes = (max(round(box.width * 0.42), 1), max(round(box.height * 0.44), 1))
        cv2.ellipse(mask, centre, axes, 0.0, 0.0, 360.0, (255,), -1)
        found: Any = None
        if min(self._last.shape) >= MIN_WINDOW_PX:
            spacing = max(3.0, box.width / 18)
            found = cv2.goodFeaturesToTrack(self._last, 70, 0.01, spacing, mask=mask)
        corners = np.empty((0, 2)) if found is None else np.asarray(found).reshape(-1, 2)
        self.first: Tracks = corners.astype(np.float32)
        self.now: Tracks = self.first.copy()

    def follow(self, luma: Luma) -> bool:
        """Move on to the next frame; False when too few points are left to say anything."""
        if len(self.now) < MIN_TRACKS or luma.shape != self._shape:
            return False
        newest = luma[self._window]
        ahead, found = _flow(self._last, newest, self.now)
        back, found_back = _flow(newest, self._last, ahead)
        error = np.linalg.norm(back - self.now, axis=1)
        kept = found & found_back & (error < MAX_RETURN_PX)
        self.first, self.now = self.first[kept], ahead[kept]
        self._last[...] = newest
        return len(self.now) >= MIN_TRACKS

    def wipe(self) -> None:
        """Overwrite the kept part of the frame."""
        self._last.fill(0)


MIN_WINDOW_PX = 32
MAX_RETURN_PX = 0.5
"""A point followed there and back must come home as near as this."""


def _flow(before: Luma, after: Luma, points: Tracks) -> tuple[Tracks, NDArray[np.bool_]]:
    """Return where points went, (N, 2), and which were found, (N,)."""
    import cv2

    start = points.reshape(-1, 1, 2)
    moved, found, _ = cv2.calcOpticalFlowPyrLK(
        before, after, start, start.copy(), winSize=(15, 15), maxLevel=3
    )
    there = np.asarray(moved, dtype=np.float32).reshape(-1, 2)
    return there, np.asarray(found).reshape(-1) == 1
