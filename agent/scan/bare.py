"""Codes without a quiet zone on a dark page: found by their light, cut out, and given white around.

A decoder looks for a finder pattern by its rings, and the outermost is dark: where the page is dark
too, and no white lies between, the ring has no edge, and no decoder finds the code. Its light
modules lie together all the same, an island in the dark.

Rules:
- an island is what is lighter than Otsu's threshold, gaps of a few modules closed; it does not
  touch the picture's edge, and its smallest rectangle is near a square;
- four islands at most, the largest first; each is cut out twice: white outside its smallest
  rectangle, as a code that is faced has it, and white outside the four sides of a slanted one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Island", "islands"]

Luma = NDArray[np.uint8]

_SMALL_SIDE: Final = 320
"""Islands are looked for in a picture of about this many pixels."""
_GAP: Final = 5
"""Dark runs up to so many pixels of the small picture are inside an island."""
_LEAST_SIDE: Final = 10
"""Of an island in the small picture."""
_MOST: Final = 4
_SQUARE: Final = 0.6
"""Shorter side to longer, at least: a code that is seen at a slant."""
_STRAIGHT: Final = 0.008
"""How far a side may bend, of its length: the steps of pixels."""
_SLANT: Final = 0.35
"""How far a side may run from that of the smallest rectangle, in quarter turns: perspective."""
_MARGIN: Final = 16
"""White pixels around what is cut out."""


class Island(NamedTuple):
    """A cut-out, and where its first pixel lies in the whole picture, (x, y)."""

    picture: Luma
    at: tuple[int, int]


def islands(cv2: Any, luma: Luma) -> Iterator[Island]:
    """Return cut-outs in which a code without a quiet zone has one.

    Args:
        cv2: OpenCV, as the caller has loaded it.
        luma: (H, W) uint8; only read.
    """
    _, light = cv2.threshold(luma, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    scale = max(1, round(max(luma.shape) / _SMALL_SIDE))
    size = tuple(max(1, side // scale) for side in reversed(luma.shape))
    small = cv2.resize(light, size, interpolation=cv2.INTER_AREA)
    closed = cv2.morphologyEx(
        cv2.threshold(small, 32, 255, cv2.THRESH_BINARY)[1],
        cv2.MORPH_CLOSE,
        np.ones((_GAP, _GAP), np.uint8),
    )
    _, _, found, _ = cv2.connectedComponentsWithStats(closed)
    width, height = size
    fitting = [
        (area, left, top, wide, high)
        for left, top, wide, high, area in found[1:].tolist()
        if min(wide, high) >= _LEAST_SIDE
        and min(wide, high) >= _SQUARE * max(wide, high)
        and left > 0
        and top > 0
        and left + wide < width
        and top + high < height
    ]
    for _, left, top, wide, high in sorted(fitting, reverse=True)[:_MOST]:
        x, y = max(0, (left - 1) * scale), max(0, (top - 1) * scale)
        part = np.s_[y : (top + high + 1) * scale, x : (left + wide + 1) * scale]
        yield from _cut(cv2, luma[part], light[part], (x, y))


def _cut(cv2: Any, luma: Luma, light: Luma, at: tuple[int, int]) -> Iterator[Island]:
    """Return the island in a part of the picture, white around it, by each guess at its outline."""
    hull = cv2.convexHull(_rim(light))
    rectangle = cv2.minAreaRect(hull)
    if min(rectangle[1]) < _SQUARE * max(rectangle[1]):
        return
    for corners in (cv2.boxPoints(rectangle), _corners(cv2, hull, rectangle)):
        if corners is None:
            continue
        outside = np.full(luma.shape, 255, np.uint8)
        cv2.fillConvexPoly(outside, np.rint(corners).astype(np.int32), 0)
        picture = cv2.copyMakeBorder(
            cv2.bitwise_or(luma, outside), *(_MARGIN,) * 4, cv2.BORDER_CONSTANT, value=255
        )
        yield Island(picture, (at[0] - _MARGIN, at[1] - _MARGIN))


def _rim(light: Luma) -> NDArray[np.int32]:
    """Return the first and last light pixel of each row, (N, 2) as (x, y)."""
    rows = np.flatnonzero(light.any(axis=1))
    lit = light[rows] > 0
    first, last = lit.argmax(axis=1), light.shape[1] - 1 - lit[:, ::-1].argmax(axis=1)
    rim = np.stack([np.r_[first, last], np.r_[rows, rows]], axis=1)
    return np.asarray(rim, dtype=np.int32)


def _corners(cv2: Any, hull: NDArray[np.int32], rectangle: Any) -> NDArray[np.float64] | None:
    """Return where the four sides of a slanted square meet, (4, 2); None where it is none.

    The hull lacks the corners, where the outermost rings of the finder patterns are dark. Each side
    is its longest edge among those that run as a side of the smallest rectangle does.
    """
    (_, sizes, angle) = rectangle
    points = cv2.approxPolyDP(hull, _STRAIGHT * max(sizes), closed=True)[:, 0].astype(float)
    edges = np.roll(points, -1, axis=0) - points
    length = np.hypot(edges[:, 0], edges[:, 1])
    # Which way an edge runs, in quarter turns from the rectangle's own: 0 to 4.
    turned = (np.degrees(np.arctan2(edges[:, 1], edges[:, 0])) - angle) / 90 % 4
    sides = []
    for quarter in range(4):
        along = np.abs((turned - quarter + 2) % 4 - 2) < _SLANT
        if not along.any():
            return None
        longest = int(np.where(along, length, 0).argmax())
        sides.append((points[longest], edges[longest]))
    corners = []
    for (point, edge), (other, across) in zip(sides, sides[1:] + sides[:1], strict=True):
        step = np.linalg.solve(np.stack([edge, -across], axis=1), other - point)[0]
        corners.append(point + step * edge)
    return np.array(corners)
