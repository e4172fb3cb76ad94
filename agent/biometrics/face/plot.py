"""The pictures of an evaluation: DET curve (ISO/IEC 19795-1) and score histogram."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

__all__ = ["plot"]


def plot(path: Path, scores: NDArray[np.float32], same: NDArray[np.bool_]) -> None:
    """Draw both into a PNG.

    Args:
        path: the file.
        scores: (N,) comparison scores.
        same: (N,) whether of one person.

    Raises:
        ValueError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ValueError(
            f"--plot needs matplotlib: {sys.executable} -m pip install matplotlib"
        ) from None
    genuine, impostor = np.sort(scores[same]), np.sort(scores[~same])
    steps = np.unique(scores)
    missed = np.searchsorted(genuine, steps, "left") / genuine.size
    passed = 1 - np.searchsorted(impostor, steps, "left") / impostor.size
    figure = Figure(figsize=(11, 4.5), layout="constrained")
    det, histogram = figure.subplots(1, 2)
    det.loglog(np.maximum(passed, 0.5 / impostor.size), np.maximum(missed, 0.5 / genuine.size))
    det.set(xlabel="false match rate", ylabel="false non-match rate", title="DET")
    det.grid(visible=True, which="both", alpha=0.3)
    low = float(np.percentile(scores, 0.2))
    bins = [float(edge) for edge in np.linspace(low, 1.0, 80)]
    histogram.hist(impostor, bins=bins, alpha=0.6, label=f"impostor ({impostor.size})")
    histogram.hist(genuine, bins=bins, alpha=0.6, label=f"genuine ({genuine.size})")
    histogram.set(xlabel="similarity", ylabel="pairs", title="Scores")
    histogram.legend()
    figure.savefig(path, dpi=120)
