"""Comparison: the similarity of two templates, and what it means as a false match rate.

The comparison score is the cosine of the two vectors, 1 for the same, after the zero point of the
int8 values is taken off. A threshold belongs to a false match rate (FMR, ISO/IEC 2382-37.09.08),
measured on pairs of different people; between two measured rates the logarithm of the rate is taken
as linear in the score, and beyond the measured ones nothing better is claimed than the last.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["Thresholds", "cosine", "fuse"]

Vector = NDArray[np.float32]


def cosine(a: Vector, b: Vector) -> float:
    """Return the cosine of two vectors of equal length, -1 to 1; 0 where one has no length."""
    lengths = float(np.linalg.norm(a)) * float(np.linalg.norm(b))
    if not (math.isfinite(lengths) and lengths > 0):
        return 0.0
    return max(-1.0, min(1.0, float(np.dot(a, b)) / lengths))


def fuse(vectors: Sequence[Vector]) -> Vector:
    """Return the mean direction of several vectors of one person, of length 1.

    Raises:
        ValueError: there are none.
    """
    if not vectors:
        raise ValueError("nothing to fuse")
    total = np.sum([v / max(float(np.linalg.norm(v)), 1e-9) for v in vectors], axis=0)
    return np.asarray(total / max(float(np.linalg.norm(total)), 1e-9), dtype=np.float32)


class Thresholds:
    """Score against false match rate, as measured.

    Args:
        table: false match rate as `1e-N` to the score that gives it, at least one.
    """

    def __init__(self, table: Mapping[str, float]) -> None:
        if not table:
            raise ValueError("no thresholds")
        self._table = dict(table)
        pairs = sorted((score, float(rate)) for rate, score in table.items())
        self._scores = [score for score, _ in pairs]
        self._logs = [math.log10(rate) for _, rate in pairs]

    @property
    def rates(self) -> list[str]:
        """The measured rates, highest first."""
        return sorted(self._table, key=float, reverse=True)

    def at(self, rate: str) -> float:
        """Return the score of a measured rate.

        Raises:
            KeyError: this rate was not measured.
        """
        return self._table[rate]

    def false_match_rate(self, score: float) -> float:
        """Return the rate at which different people reach this score; 1 below what was measured."""
        if score < self._scores[0]:
            return 1.0
        return float(10 ** np.interp(score, self._scores, self._logs))
