"""Codes on bottles and cups: found by their finder patterns, read once the bend is taken out.

A decoder lays a flat grid through the corners of a code. Around a cylinder the columns crowd
towards both edges, and rows sag where the camera looks from above or below. The finder patterns are
seen all the same, and the version is read or counted, so that only the bend is unknown. It has two
numbers: the angle that the code covers, and the sag.

Rules:
- only where a decoder found a code's corners and version, and its checksum failed;
- each of few bends is taken out, about either axis of the code, and the code alone is read;
- the fourth corner has no finder pattern: the decoder's guess is tried, and the parallelogram's.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agent.scan.wire import Corners

__all__ = ["Suspect", "straightened", "suspects"]

Luma = NDArray[np.uint8]

_MOST: Final = 2
"""Suspects, those that most preparations agree about first."""
_AGREE: Final = 0.2
"""How far corners of one suspect may lie apart, of its size."""
_LEAST_PX: Final = 1.5
"""Of a module: below, nothing is read whatever its shape."""
_ANGLES: Final = (1.15, 0.9, 0.6, 0.3)
"""Half of what the code covers of the cylinder, radians."""
_SAGS: Final = (0.0, 0.05, -0.05, 0.1, -0.1)
"""Of a row's middle against its ends, of the code's side."""
_MODULE_PX: Final = 5
_QUIET: Final = 4


class Suspect(NamedTuple):
    """A code that was seen and not read: modules of its side, and its corners, (4, 2) as (x, y)."""

    modules: int
    corners: NDArray[np.float64]


def suspects(seen: list[Suspect]) -> list[Suspect]:
    """Return the codes that most sightings agree about, corners by their median."""
    groups: list[list[Suspect]] = []
    for one in seen:
        size = float(np.ptp(one.corners, axis=0).max())
        if size < one.modules * _LEAST_PX:
            continue
        for group in groups:
            first = group[0]
            apart = float(np.abs(first.corners - one.corners).max())
            if first.modules == one.modules and apart < _AGREE * size:
                group.append(one)
                break
        else:
            groups.append([one])
    groups.sort(key=len, reverse=True)
    return [
        Suspect(group[0].modules, np.median([one.corners for one in group], axis=0))
        for group in groups[:_MOST]
    ]


def straightened(cv2: Any, luma: Luma, suspect: Suspect) -> Iterator[tuple[Luma, Corners]]:
    """Return pictures of the code alone, each with one bend taken out, and its corners in luma.

    Args:
        cv2: OpenCV, as the caller has loaded it.
        luma: (H, W) uint8; only read.
        suspect: where the code is.
    """
    a, b, c, d = suspect.corners
    unit = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32)
    side = (suspect.modules + 2 * _QUIET) * _MODULE_PX
    at = ((np.arange(side) + 0.5) / _MODULE_PX - _QUIET) / suspect.modules
    for corners in (np.array([a, b, c, d]), np.array([a, b, b + d - a, d])):
        matrix = cv2.getPerspectiveTransform(unit, corners.astype(np.float32))
        flat = np.rint(corners).astype(int).tolist()
        place: Corners = tuple((x, y) for x, y in flat)  # type: ignore[assignment]
        for angle in _ANGLES:
            turned = np.clip((2 * at - 1) * angle, -np.pi / 2, np.pi / 2)
            along = (np.sin(turned) / np.sin(angle) + 1) / 2
            bow = (np.cos(turned) - np.cos(angle)) / (1 - np.cos(angle))
            for sag in _SAGS:
                u = np.broadcast_to(along, (side, side))
                v = at[:, None] + sag * bow
                for points in (np.stack([u, v], axis=-1), np.stack([v.T, u.T], axis=-1)):
                    grid = cv2.perspectiveTransform(
                        points.reshape(-1, 1, 2).astype(np.float32), matrix
                    ).reshape(side, side, 2)
                    picture = cv2.remap(
                        luma, grid, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
                    )
                    yield picture, place
