"""Turning frames by quarter turns, where the sensor hangs sideways.

The planes are I420: chroma is the U plane above the V plane, each at half the size.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["rotate_chroma", "rotate_plane"]

Plane = NDArray[np.uint8]


def rotate_plane(plane: Plane, degrees: int) -> Plane:
    """Return the plane turned clockwise; its own memory unless `degrees` is 0.

    Args:
        plane: (H, W) or (H, W, 3) uint8.
        degrees: 0, 90, 180 or 270.
    """
    if degrees == 0:
        return plane
    return np.ascontiguousarray(np.rot90(plane, k=-degrees // 90))


def rotate_chroma(chroma: Plane, degrees: int) -> Plane:
    """Return I420 chroma turned clockwise.

    Args:
        chroma: (H // 2, W) uint8; H and W divisible by 4 where the turn is a quarter.
        degrees: 0, 90, 180 or 270.
    """
    if degrees == 0:
        return chroma
    half_height, width = chroma.shape
    planes = chroma.reshape(2, half_height, width // 2)
    turned = np.stack([np.rot90(plane, k=-degrees // 90) for plane in planes])
    shape = (half_height, width) if degrees == 180 else (width // 2, half_height * 2)
    return np.asarray(turned.reshape(shape), dtype=np.uint8)
