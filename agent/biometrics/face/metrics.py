"""Error rates of comparison scores, in the words of ISO/IEC 19795-1.

False match rate (FMR): part of impostor comparisons at or above a threshold. True accept rate: part
of genuine comparisons at or above it (1 less the false non-match rate). A comparison that could not
be made, because no face was found, counts as a score of `NO_SCORE`: never a match.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["NO_SCORE", "Rates", "accuracy", "fmr_threshold", "rates"]

NO_SCORE = -1.0
RULE_OF_30 = 30
"""Errors that a measured rate rests on, at the least (Doddington's rule; 19795-1, B.1)."""

Scores = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Rates:
    """What a set of scores amounts to.

    Attributes:
        eer: equal error rate.
        tar: true accept rate by false accept rate, for rates that the impostor pairs can show.
        thresholds: the scores at which.
    """

    eer: float
    tar: dict[str, float]
    thresholds: dict[str, float]


def fmr_threshold(impostor: Scores, rate: float) -> float:
    """Return the lowest score that at most `rate` of the impostor scores reach.

    Args:
        impostor: scores of different people.
        rate: false match rate, over 0.
    """
    ordered = np.sort(impostor)[::-1]
    allowed = int(np.floor(rate * len(ordered)))
    return float(np.nextafter(np.float32(ordered[min(allowed, len(ordered) - 1)]), np.float32(2)))


def rates(
    genuine: Scores, impostor: Scores, wanted: tuple[str, ...] = ("1e-2", "1e-3", "1e-4")
) -> Rates:
    """Return error rates.

    Args:
        genuine: scores of the same people.
        impostor: scores of different people.
        wanted: rates as `1e-N`; those that would rest on no impostor score at all are left out.

    Raises:
        ValueError: one of the two is empty.
    """
    if not genuine.size or not impostor.size:
        raise ValueError("genuine and impostor pairs are both needed")
    low, high = np.sort(genuine), np.sort(impostor)
    steps = np.unique(np.concatenate([low, high]))
    missed = np.searchsorted(low, steps, "left") / len(low)
    passed = 1 - np.searchsorted(high, steps, "left") / len(high)
    at = int(np.argmin(np.abs(missed - passed)))
    tar, thresholds = {}, {}
    for name in wanted:
        rate = float(name)
        if rate * len(impostor) < 1:
            continue
        threshold = fmr_threshold(impostor, rate)
        tar[name] = float((genuine >= threshold).mean())
        thresholds[name] = threshold
    return Rates(float(missed[at] + passed[at]) / 2, tar, thresholds)


def accuracy(
    scores: Scores, same: NDArray[np.bool_], folds: NDArray[np.int64]
) -> tuple[float, float]:
    """Return mean and standard deviation of the accuracy over folds.

    For each fold the threshold is the best of the other folds (the protocol of Labeled Faces in the
    Wild); with one fold, the best of the fold itself.

    Args:
        scores: (N,) float32.
        same: (N,) whether a pair is of one person.
        folds: (N,) number of the fold.
    """
    reached = []
    for fold in np.unique(folds):
        inside = folds == fold
        outside = ~inside if (~inside).any() else inside
        threshold = _best_threshold(scores[outside], same[outside])
        reached.append(float(((scores[inside] >= threshold) == same[inside]).mean()))
    return float(np.mean(reached)), float(np.std(reached))


def _best_threshold(scores: Scores, same: NDArray[np.bool_]) -> float:
    order = np.argsort(scores, kind="stable")
    ordered, ours = scores[order], same[order]
    rejected_same = np.concatenate([[0], np.cumsum(ours)])
    rejected_other = np.concatenate([[0], np.cumsum(~ours)])
    correct = (ours.sum() - rejected_same) + rejected_other
    best = int(np.argmax(correct))
    if best == 0:
        return float(ordered[0])
    if best == len(ordered):
        return float(np.nextafter(ordered[-1], np.float32(2)))
    return float(ordered[best - 1] + ordered[best]) / 2
