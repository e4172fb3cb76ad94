"""A repeatable model of fingers: from a name and a condition to features, templates and scores.

A finger is a constellation of minutiae drawn from a hash of its name: position and angle, a byte
each. A touch shifts the whole, moves each minutia a little, loses some and invents a few; a wet
finger gives a smear, a partial one a corner of itself. Scores come from the best alignment of two
constellations, as in a real matcher: strangers share a few minutiae by chance and score low.

Rules:
- The same names, conditions and numbers of touch give the same bytes, everywhere.
- A template of another length, or whose check is wrong, matches nothing.
- Nothing here resembles a maker's template but the length: these are no biometric data.
"""

from __future__ import annotations

import hashlib
import zlib
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["FULL_SCORE", "Condition", "Features", "Impression", "combine", "read_template", "score"]

FULL_SCORE: Final = 300
MINUTIAE: Final = 40
ENOUGH: Final = 12
"""A picture with fewer minutiae is refused as too few features."""
SAME_FINGER: Final = 60
"""Two impressions below this score are not combined into a template."""

_MAGIC: Final = b"IGF1"
_HEAD: Final = 9
_REACH: Final = 20
"""How far two impressions of a finger may be shifted against each other."""
_NEAR: Final = 4
_NEAR_ANGLE: Final = 12

Points = NDArray[np.int16]


class Condition(StrEnum):
    """How a finger lies on the glass."""

    CLEAN = "clean"
    WET = "wet"
    PARTIAL = "partial"
    TIP = "tip"
    """So little of it that no features come of it."""
    NONE = "none"
    """Something that is no finger: a picture fails."""


@dataclass(frozen=True, slots=True)
class Features:
    """A constellation.

    Attributes:
        points: (N, 3) int16, x, y and angle, each 0 to 255.
    """

    points: Points = field(repr=False)

    def template(self, length: int) -> bytes:
        """Return the constellation as `length` bytes.

        Layout: magic, CRC-32 of the rest, count, the points, and filler drawn from them.
        """
        body = bytes([len(self.points)]) + self.points.astype(np.uint8).tobytes()
        filler = hashlib.shake_256(body).digest(length - _HEAD + 1 - len(body))
        body += filler
        return _MAGIC + zlib.crc32(body).to_bytes(4, "big") + body


@dataclass(frozen=True, slots=True)
class Impression:
    """A finger on the glass, once.

    Attributes:
        finger: its name.
        condition: how it lies.
        touch: number of the touch: the same number gives the same picture.
    """

    finger: str
    condition: Condition = Condition.CLEAN
    touch: int = 0

    def features(self) -> Features:
        """Return what a module sees of it."""
        points = _constellation(self.finger)
        rng = _rng("touch", self.finger, self.condition, str(self.touch))
        kept = points[rng.random(len(points)) > 0.12]
        if self.condition is Condition.PARTIAL:
            kept = kept[kept[:, 0] < 128][:16]
        if self.condition is Condition.TIP:
            kept = kept[: ENOUGH // 2]
        moved = kept + rng.integers(-1, 2, kept.shape)
        moved[:, :2] += rng.integers(-8, 9, 2)
        if self.condition is Condition.CLEAN:
            moved = np.vstack([moved, rng.integers(0, 256, (2, 3))])
        moved[:, :2] = np.clip(moved[:, :2], 0, 255)
        moved[:, 2] %= 256
        return Features(moved.astype(np.int16))

    def picture(self, width: int, height: int) -> bytes:
        """Return ridges, two pixels a byte (4 bits each), as a module sends them."""
        rng = _rng("ridges", self.finger)
        across, down = np.meshgrid(np.arange(width), np.arange(height))
        centre_x, centre_y = rng.uniform(0.3, 0.7) * width, rng.uniform(0.3, 0.7) * height
        distance = np.hypot(across - centre_x, (down - centre_y) * rng.uniform(0.6, 0.9))
        grey = np.clip(7.5 + 7.5 * np.sin(distance * 0.8), 0, 15).astype(np.uint8)
        if self.condition in {Condition.PARTIAL, Condition.TIP}:
            grey[:, width // 2 :] = 15
        flat = grey.ravel()
        return bytes((flat[0::2] << 4) | flat[1::2])


def read_template(data: bytes) -> Features | None:
    """Return the constellation of a template; None for bytes that are none."""
    body = data[8:]
    if data[:4] != _MAGIC or len(data) < _HEAD:
        return None
    if zlib.crc32(body) != int.from_bytes(data[4:8], "big") or len(body) < 1 + 3 * body[0]:
        return None
    points = np.frombuffer(body, np.uint8, 3 * body[0], offset=1).reshape(-1, 3)
    return Features(points.astype(np.int16))


def score(one: Features, other: Features) -> int:
    """Return how alike two constellations are, 0 to 300."""
    matched = _matched(one.points, other.points)
    whole = max(1, min(len(one.points), len(other.points)))
    if min(len(one.points), len(other.points)) < 3:
        return 0
    # A corner of a finger proves less than a whole one.
    trust = min(1.0, whole / (0.7 * MINUTIAE))
    return round(FULL_SCORE * trust * (matched / whole) ** 2)


def combine(one: Features, other: Features) -> Features | None:
    """Return the template of two impressions; None where they are of different fingers."""
    if score(one, other) < SAME_FINGER:
        return None
    return one if len(one.points) >= len(other.points) else other


def _matched(one: Points, other: Points) -> int:
    """Return how many points coincide under the best shift."""
    if not len(one) or not len(other):
        return 0
    apart = one[:, None, :].astype(np.int32) - other[None, :, :]
    turned = np.abs((apart[..., 2] + 128) % 256 - 128) <= _NEAR_ANGLE
    shift = apart[..., :2]
    within = turned & (np.abs(shift) <= _REACH).all(axis=-1)
    best = 0
    for candidate in shift[within]:
        near = turned & (np.abs(shift - candidate) <= _NEAR).all(axis=-1)
        # Each point is counted once, on the side where fewer found a partner.
        best = max(best, int(min(near.any(axis=1).sum(), near.any(axis=0).sum())))
    return best


def _constellation(finger: str) -> Points:
    rng = _rng("finger", finger)
    points: Points = rng.integers(16, 240, (MINUTIAE, 3)).astype(np.int16)
    return points


def _rng(*words: str) -> np.random.Generator:
    seed = hashlib.sha256("\0".join(words).encode()).digest()
    return np.random.default_rng(int.from_bytes(seed[:8], "big"))
