"""Where a code may be: cells that are busy both across and down, as modules are and few halls.

Rules:
- a cell is 16 pixels square; it is busy where its neighbouring pixels differ, in a picture of half
  the size, by `BUSY` on the mean both across and down, and by `RATHER` times the picture's median;
- busy cells that touch are a place if they fill a good part of a box that is not far from a
  square; where they are less than three across they are an outline and are left out;
- the busiest first, two at most: what is not among them is still read with the whole picture.

A guess that costs a tenth of a decoder's look. No code is believed or refused for it.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["MOST", "Place", "busy_places"]

Luma = NDArray[np.uint8]

MOST: Final = 2
BUSY: Final = 5
RATHER: Final = 1.7
_CELL: Final = 16
_LEAST_CELLS: Final = 4
"""Of a place's shorter side: 64 pixels hold no code of a credential from 1.5 pixels a module on."""
_FILLED: Final = 0.4
_SLENDER: Final = 2.2
"""Longest side by shortest: a code at a slant, with the letters above it."""
_MARGIN: Final = 24
_BROAD: Final = np.ones((3, 3), np.uint8)
"""Cells: what is narrower is an outline, and joins a code to the edge of its phone."""


class Place(NamedTuple):
    """A part of the picture, pixels: left, top, and one past the right and the bottom."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def area(self) -> int:
        """Pixels."""
        return (self.right - self.left) * (self.bottom - self.top)

    def of(self, luma: Luma) -> Luma:
        """Return the part of a picture, rows strided."""
        return luma[self.top : self.bottom, self.left : self.right]

    def holds(self, other: Place) -> bool:
        """Whether the middle of the other lies in this."""
        x, y = (other.left + other.right) / 2, (other.top + other.bottom) / 2
        return self.left <= x < self.right and self.top <= y < self.bottom


def busy_places(cv2: Any, luma: Luma) -> list[Place]:
    """Return the places in which a code may be, the busiest first, at most `MOST`.

    Args:
        cv2: OpenCV, as the caller has loaded it.
        luma: (H, W) uint8; only read.
    """
    height, width = luma.shape
    if min(height, width) < _LEAST_CELLS * _CELL:
        return []
    half = _halved(cv2, luma)
    rows, columns = ((side - 1) // 8 * 8 for side in half.shape)
    across = cv2.absdiff(half[:rows, 1 : columns + 1], half[:rows, :columns])
    down = cv2.absdiff(half[1 : rows + 1, :columns], half[:rows, :columns])
    for _ in range(3):
        across, down = _halved(cv2, across), _halved(cv2, down)
    busy = cv2.min(across, down)
    limit = max(BUSY, RATHER * float(np.median(busy)))
    broad = cv2.morphologyEx((busy >= limit).astype(np.uint8), cv2.MORPH_OPEN, _BROAD)
    _, labels, boxes, _ = cv2.connectedComponentsWithStats(broad)
    found = []
    for label, (x, y, wide, high, count) in enumerate(boxes.tolist()):
        short, long = sorted((wide, high))
        fits = short >= _LEAST_CELLS and long <= _SLENDER * short and count >= _FILLED * wide * high
        if label and fits:
            part = np.s_[y : y + high, x : x + wide]
            weight = int(busy[part][labels[part] == label].sum())
            found.append((weight, x * _CELL, y * _CELL, (x + wide) * _CELL, (y + high) * _CELL))
    found.sort(reverse=True)
    return [
        Place(
            max(0, left - _MARGIN),
            max(0, top - _MARGIN),
            min(width, right + _MARGIN),
            min(height, bottom + _MARGIN),
        )
        for _, left, top, right, bottom in found[:MOST]
    ]


def _halved(cv2: Any, picture: Any) -> Any:
    height, width = picture.shape
    return cv2.resize(
        picture, (max(1, width // 2), max(1, height // 2)), interpolation=cv2.INTER_AREA
    )
