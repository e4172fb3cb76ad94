"""What each way to look again at a missed picture finds, and what it costs: rescued a millisecond.

    python -m tests.bench.preparations [--each N] [--seed N]

On frames of approaches from 1.5 pixels a module on that zxing-cpp misses as they are. Each preparation
is tried alone on every one of them: what two find together is for `bench_approach` to say, in the order
in which the cascade has them. CPU times are this machine's; the ratio to zxing-cpp alone on the same
frames travels.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from itertools import islice
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from tests.bench.approaches import approaches

zxingcpp: Any = import_module("zxingcpp")

Luma = NDArray[np.uint8]
Looks = Iterator[tuple[Luma, bytes]]

EVERY = 3
"""Of the frames of an approach, every third: neighbours tell the same."""


def unsharp(luma: Luma) -> Luma:
    """Sharpen, its grain smoothed first."""
    calm = cv2.GaussianBlur(luma, (3, 3), 0)
    return np.asarray(cv2.addWeighted(calm, 3.0, cv2.blur(luma, (5, 5)), -2.0, 0), np.uint8)


def equalised(luma: Luma) -> Luma:
    """Raise contrast place by place."""
    calm = cv2.GaussianBlur(luma, (3, 3), 0)
    return np.asarray(cv2.createCLAHE(4.0, (8, 8)).apply(calm), np.uint8)


def thresholded(luma: Luma) -> Luma:
    """Sharpen, then compare with the mean of 25 pixels around."""
    sharp = unsharp(luma)
    return np.where(sharp > cv2.blur(sharp, (25, 25)), np.uint8(255), np.uint8(0))


def scaled(factor: float) -> Callable[[Luma], Luma]:
    """Return what makes a picture so many times as large."""
    kind = cv2.INTER_CUBIC if factor > 1 else cv2.INTER_AREA

    def change(luma: Luma) -> Luma:
        return np.asarray(
            cv2.resize(luma, None, fx=factor, fy=factor, interpolation=kind), np.uint8
        )

    return change


LOCAL = zxingcpp.Binarizer.LocalAverage
GLOBAL = zxingcpp.Binarizer.GlobalHistogram
BOOL = zxingcpp.Binarizer.BoolCast

PREPARATIONS: dict[str, tuple[Callable[[Luma], Luma], Any]] = {
    "as it is, global histogram": (lambda luma: luma, GLOBAL),
    "unsharp, global histogram": (unsharp, GLOBAL),
    "unsharp": (unsharp, LOCAL),
    "unsharp, mean of 25 px": (thresholded, BOOL),
    "CLAHE": (equalised, LOCAL),
    "CLAHE, global histogram": (equalised, GLOBAL),
    "twice as large, unsharp, global": (lambda luma: unsharp(scaled(2.0)(luma)), GLOBAL),
    "half as large": (scaled(0.5), LOCAL),
}


def frames(seed: int, each: int) -> Looks:
    """Frames of approaches with their text."""
    for approach in approaches(seed=seed, each=each):
        for frame in islice(approach.frames, 0, None, EVERY):
            yield frame.luma, approach.text.encode()


def read(luma: Luma, binarizer: Any) -> tuple[set[bytes], float]:
    """Return what zxing-cpp finds, and the CPU milliseconds that it took."""
    started = time.process_time_ns()
    found = zxingcpp.read_barcodes(luma, formats=zxingcpp.BarcodeFormat.QRCode, binarizer=binarizer)
    return {bytes(result.bytes) for result in found}, (time.process_time_ns() - started) / 1e6


def table(looks: Looks) -> None:
    """Print what each preparation finds of what was missed."""
    rescued = dict.fromkeys(PREPARATIONS, 0)
    spent = dict.fromkeys(PREPARATIONS, 0.0)
    total, missed, base = 0, 0, 0.0
    for luma, text in looks:
        total += 1
        found, took = read(luma, LOCAL)
        if text in found:
            continue
        missed += 1
        base += took
        for who, (prepare, binarizer) in PREPARATIONS.items():
            started = time.process_time_ns()
            picture = prepare(luma)
            spent[who] += (time.process_time_ns() - started) / 1e6
            found, took = read(picture, binarizer)
            spent[who] += took
            rescued[who] += text in found
    if not missed:
        return
    print(f"{missed} of {total} missed as they are, {base / missed:.2f} ms each")
    for who in PREPARATIONS:
        part, took = 100 * rescued[who] / missed, spent[who] / missed
        print(
            f"  {who:32} {rescued[who]:5} {part:5.1f} %  {took:6.2f} ms ({took * missed / base:5.2f}x)"
            f"  {part / took:5.2f} % a ms"
        )


def main() -> int:
    """Print the table."""
    cv2.setNumThreads(1)
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.preparations",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--seed", type=int, default=1, help="of the approaches (default: %(default)s)"
    )
    parser.add_argument(
        "--each", type=int, default=4, help="approaches of a kind (default: %(default)s)"
    )
    options = parser.parse_args()
    table(frames(options.seed, options.each))
    return 0


if __name__ == "__main__":
    sys.exit(main())
