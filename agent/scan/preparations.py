"""What a still picture is prepared by, beyond what a frame gets, before a decoder sees it.

zxing-cpp makes a picture black and white before it looks for a code, and fails mostly there: by its
blocks of 8 pixels where light changes within a code, by its histogram where it changes across one.
So the same picture is given to it in other black and white, flattened, softened, enlarged, or
turned off the pixels' grid.

Rules:
- a preparation is pure: luma in, a picture out, with the way back from its pixels to luma's;
- windows are in pixels: a few modules (15, 25) follow shadows and moire, more (51) glare.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agent.scan.wire import Corners, Variant

__all__ = ["PREPARATIONS", "Prepared", "moved_back", "unsharp"]

Luma = NDArray[np.uint8]
Affine = NDArray[np.float64]

CALM: Final = (3, 3)
"""Grain is smoothed before contrast is raised."""
TURN_DEGREES: Final = 30.0
"""Far from the axes, on which zxing-cpp looks for finder patterns, and from halfway between."""
FRAME_PX: Final = 40
"""White around a picture whose code touches its edge."""


class Prepared(NamedTuple):
    """A picture for a decoder.

    Attributes:
        picture: (H, W) uint8.
        binarizer: zxing-cpp's, by its name; None where pyzbar reads it.
        back: (2, 3), from its pixels (x, y, 1) to luma's.
    """

    picture: Luma
    binarizer: str | None
    back: Affine


def _scaled(scale: float) -> Affine:
    return np.array([[1 / scale, 0, 0], [0, 1 / scale, 0]])


_SAME: Final = _scaled(1)


def moved_back(corners: Corners, back: Affine) -> Corners:
    """Return corners in luma's pixels."""
    at = np.rint(np.array(corners) @ back[:, :2].T + back[:, 2]).astype(int).tolist()
    (ax, ay), (bx, by), (cx, cy), (dx, dy) = at
    return (ax, ay), (bx, by), (cx, cy), (dx, dy)


def unsharp(cv2: Any, luma: Luma) -> Luma:
    """Return a picture with its edges raised threefold."""
    calm = cv2.GaussianBlur(luma, CALM, 0)
    return np.asarray(cv2.addWeighted(calm, 3.0, cv2.blur(luma, (5, 5)), -2.0, 0))


def _mean(cv2: Any, calm: Luma, window: int) -> Luma:
    """Return black and white by the mean of a window around each pixel."""
    kind = cv2.ADAPTIVE_THRESH_MEAN_C
    return np.asarray(cv2.adaptiveThreshold(calm, 255, kind, cv2.THRESH_BINARY, window, 0))


def _clahe(cv2: Any, luma: Luma) -> Luma:
    return np.asarray(cv2.createCLAHE(4.0, (8, 8)).apply(luma))


def _global(cv2: Any, luma: Luma) -> Prepared:  # noqa: ARG001 - one shape for all
    return Prepared(luma, "GlobalHistogram", _SAME)


def _global_unsharp(cv2: Any, luma: Luma) -> Prepared:
    return Prepared(unsharp(cv2, luma), "GlobalHistogram", _SAME)


def _mean_by(window: int, soft: float = 0.0) -> Callable[[Any, Luma], Prepared]:
    def prepare(cv2: Any, luma: Luma) -> Prepared:
        calm = cv2.GaussianBlur(luma, (0, 0), soft) if soft else cv2.GaussianBlur(luma, CALM, 0)
        return Prepared(_mean(cv2, calm, window), "BoolCast", _SAME)

    return prepare


def _clahe_soft(cv2: Any, luma: Luma) -> Prepared:
    return Prepared(cv2.GaussianBlur(_clahe(cv2, luma), (0, 0), 1.5), "LocalAverage", _SAME)


def _flat(cv2: Any, luma: Luma) -> Prepared:
    """Divide by the light around, so that one threshold fits all of the picture."""
    calm = cv2.GaussianBlur(luma, CALM, 0)
    light = np.maximum(cv2.blur(calm, (31, 31)), 8)  # darker, there is only grain to raise
    return Prepared(cv2.divide(calm, light, scale=128), "GlobalHistogram", _SAME)


def _enlarged_mean(cv2: Any, luma: Luma) -> Prepared:
    large = cv2.resize(luma, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    return Prepared(_mean(cv2, large, 25), "BoolCast", _scaled(2))


def _enlarged_unsharp(cv2: Any, luma: Luma) -> Prepared:
    large = cv2.resize(luma, None, fx=1.5, fy=1.5, interpolation=cv2.INTER_CUBIC)
    sharp = cv2.addWeighted(large, 3.5, cv2.GaussianBlur(large, (0, 0), 3), -2.5, 0)
    return Prepared(sharp, "LocalAverage", _scaled(1.5))


def _turned(cv2: Any, luma: Luma) -> Prepared:
    height, width = luma.shape
    side = int(np.hypot(height, width)) + 2
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), TURN_DEGREES, 1)
    turn[:, 2] += (side - width) / 2, (side - height) / 2
    picture = cv2.warpAffine(luma, turn, (side, side), borderValue=128)
    return Prepared(picture, "LocalAverage", cv2.invertAffineTransform(turn))


def _framed(cv2: Any, luma: Luma) -> Prepared:
    framed = cv2.copyMakeBorder(luma, *(FRAME_PX,) * 4, cv2.BORDER_CONSTANT, value=255)
    return Prepared(framed, "LocalAverage", np.array([[1, 0, -FRAME_PX], [0, 1, -FRAME_PX]]))


def _pyzbar_mean(cv2: Any, luma: Luma) -> Prepared:
    return Prepared(_mean(cv2, cv2.GaussianBlur(luma, CALM, 0), 51), None, _SAME)


PREPARATIONS: Final[dict[Variant, Callable[[Any, Luma], Prepared]]] = {
    Variant.GLOBAL: _global,
    Variant.GLOBAL_UNSHARP: _global_unsharp,
    Variant.MEAN_15: _mean_by(15),
    Variant.MEAN_25: _mean_by(25),
    Variant.MEAN_51: _mean_by(51),
    Variant.MEAN_25_SOFT: _mean_by(25, 2.0),
    Variant.CLAHE_SOFT: _clahe_soft,
    Variant.FLAT: _flat,
    Variant.ENLARGED_MEAN: _enlarged_mean,
    Variant.ENLARGED_UNSHARP: _enlarged_unsharp,
    Variant.TURNED: _turned,
    Variant.FRAMED: _framed,
    Variant.PYZBAR_MEAN: _pyzbar_mean,
}
"""By variant: given OpenCV and luma, (H, W) uint8, which is only read."""
