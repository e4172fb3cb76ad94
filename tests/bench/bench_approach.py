"""The time to the first right read of a phone that comes up, and what it costs.

    python -m tests.bench.bench_approach                      prints the tables (208 approaches: minutes)
    python -m tests.bench.bench_approach --strips page.html   writes ten strips of frames to look at
    pytest -m bench tests/bench/bench_approach.py             holds the bounds, on a part of the set

- Frames count from the first one at 1.5 pixels a module, which is 1; a phone that is never read counts
  as later than every other, in medians too. Time is the scene's: when that frame was taken.
- The contestants see the same frames in turns, each until its first right read, and zxing-cpp's CPU
  time is taken on all of them: the ratio is of the same frames. A read is right if a payload is the
  code's text; each other payload is a wrong read.
- The product is its live cascade in this process, new for each phone, its memory of empty scenes too.
- At a Pi 4's speed every CPU time takes `PI` times as long, and a frame that comes meanwhile is
  dropped. What is dropped follows from this machine's speed, so it is reported and not asserted.
- Frames and what is never read follow from the seed alone. Seed 1 is for tuning, 2 for reporting.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from agent.scan.cascade import Cascade
from tests.bench.approaches import EXPOSURE, KINDS, SIZE, Approach, approaches
from tests.bench.strips import write_strips

pytestmark = pytest.mark.bench

zxingcpp: Any = import_module("zxingcpp")

Luma = NDArray[np.uint8]
Reader = Callable[[Luma], Iterable[bytes]]

PI = 4.5
SEED = 2
BASE = "zxing-cpp"
PRODUCT = "idgate"
SLOW = "idgate, Pi 4"

MEDIAN_FRAMES = 6
P90_FRAMES = 13
NEVER_SHARE = 0.025
MAY_MISS = {"defocus", "combined"}
CPU_LIMIT = 2.5
"""Times zxing-cpp on the same frames. The cascade that looked at whole pictures took 3.1, when it read after 9
frames at the median and 16 at p90, and 2 of these 64 never."""
HELD_EACH = 4
"""Approaches of a kind in the test."""


def product(approach: Approach, *, slowness: float = 1.0) -> Reader:
    """The product's live cascade, with nothing remembered, told when the next frame is due.

    Args:
        approach: gives the frames' distance.
        slowness: how many times as long everything takes.
    """
    cascade, misses = Cascade(), 0

    def read(luma: Luma) -> list[bytes]:
        nonlocal misses
        began = time.process_time()

        def left() -> float:
            return 1 / approach.fps - slowness * (time.process_time() - began)

        payloads, _ = cascade.decode(luma, turn=misses, left=left)
        misses += not payloads
        return [payload.data for payload in payloads]

    return read


def plain(_: Approach) -> Reader:
    """zxing-cpp on the frame as it is."""
    code = zxingcpp.BarcodeFormat.QRCode
    return lambda luma: [bytes(r.bytes) for r in zxingcpp.read_barcodes(luma, formats=code)]


def zbar(_: Approach) -> Reader:
    """Pyzbar on the frame as it is."""
    from pyzbar.pyzbar import ZBarSymbol, decode

    def read(luma: Luma) -> list[bytes]:
        picture = luma.tobytes(), luma.shape[1], luma.shape[0]
        return [bytes(r.data) for r in decode(picture, symbols=[ZBarSymbol.QRCODE])]

    return read


CONTESTANTS: dict[str, Callable[[Approach], Reader]] = {
    BASE: plain, PRODUCT: product, SLOW: partial(product, slowness=PI), "pyzbar": zbar,
}  # fmt: skip


@dataclass(slots=True)
class Run:
    """What one contestant made of one approach.

    Attributes:
        who: the contestant.
        kind: of the approach.
        frames: until the first right read, that frame too; infinite where there was none.
        at_ms: of scene time until then.
        distance_mm: at that frame.
        seen: frames that came until then.
        dropped: of them, what came while another was decoded.
        cpu_ms: on the frames that were decoded.
        base_ms: zxing-cpp's on the same.
        wrong: payloads that were not the code's text.
    """

    who: str
    kind: str
    frames: float = math.inf
    at_ms: float = math.inf
    distance_mm: float = math.nan
    seen: int = 0
    dropped: int = 0
    cpu_ms: float = 0.0
    base_ms: float = 0.0
    wrong: list[bytes] = field(default_factory=list)
    busy_until_s: float = -math.inf

    @property
    def done(self) -> bool:
        """Whether the code was read."""
        return self.frames < math.inf


def play(approach: Approach, names: Sequence[str]) -> list[Run]:
    """Show one approach to the contestants, in turns, until each has read it or it ends."""
    cv2.setNumThreads(1)
    runs = {name: Run(name, approach.kind) for name in names}
    readers = {name: CONTESTANTS[name](approach) for name in names}
    base, text = plain(approach), approach.text.encode()
    for frame in approach.frames:
        waiting = [run for run in runs.values() if not run.done]
        if not waiting:
            break
        found, base_ms = _timed(base, frame.luma)
        for run in waiting:
            run.seen += 1
            if frame.at_s < run.busy_until_s:
                run.dropped += 1
                continue
            # What zxing-cpp made of this frame is known.
            read, cpu_ms = (
                (found, base_ms) if run.who == BASE else _timed(readers[run.who], frame.luma)
            )
            run.cpu_ms += cpu_ms
            run.base_ms += base_ms
            if run.who == SLOW:
                run.busy_until_s = frame.at_s + PI * cpu_ms / 1e3
            run.wrong += [data for data in read if data != text]
            if text in read:
                run.frames, run.at_ms = run.seen, 1e3 * frame.at_s
                run.distance_mm = frame.distance_mm
    return list(runs.values())


def _timed(reader: Reader, luma: Luma) -> tuple[list[bytes], float]:
    started = time.process_time_ns()
    found = list(reader(luma))
    return found, (time.process_time_ns() - started) / 1e6


def play_all(shown: Iterable[Approach], names: Sequence[str], jobs: int = 1) -> list[Run]:
    """Show all approaches, in so many processes."""
    tasks = [(approach, tuple(names)) for approach in shown]
    if jobs == 1:
        return [run for task in tasks for run in play(*task)]
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        return [run for runs in pool.starmap(play, tasks, chunksize=1) for run in runs]


@dataclass(frozen=True, slots=True)
class Summary:
    """Of several runs of one contestant; a quantile is infinite where too many were never read."""

    median_frames: float
    p90_frames: float
    median_ms: float
    p90_ms: float
    never: int
    count: int
    distance_mm: float
    cpu_ms: float
    ratio: float
    dropped: float
    wrong: int


def summary(runs: Sequence[Run]) -> Summary:
    """Return the figures of runs, of which there is one at least."""
    decoded = sum(run.seen - run.dropped for run in runs)
    read = [run.distance_mm for run in runs if run.done]
    return Summary(
        median_frames=quantile([run.frames for run in runs], 0.5),
        p90_frames=quantile([run.frames for run in runs], 0.9),
        median_ms=quantile([run.at_ms for run in runs], 0.5),
        p90_ms=quantile([run.at_ms for run in runs], 0.9),
        never=sum(not run.done for run in runs),
        count=len(runs),
        distance_mm=statistics.median(read) if read else math.nan,
        cpu_ms=sum(run.cpu_ms for run in runs) / decoded,
        ratio=sum(run.cpu_ms for run in runs) / sum(run.base_ms for run in runs),
        dropped=sum(run.dropped for run in runs) / sum(run.seen for run in runs),
        wrong=sum(len(run.wrong) for run in runs),
    )


def quantile(values: Sequence[float], part: float) -> float:
    """Return the least value that so large a part of the values does not exceed."""
    return sorted(values)[max(0, math.ceil(part * len(values)) - 1)]


def of(runs: Iterable[Run], who: str, kinds: Iterable[str] = KINDS) -> list[Run]:
    """Return one contestant's runs."""
    wanted = set(kinds)
    return [run for run in runs if run.who == who and run.kind in wanted]


def tables(runs: Sequence[Run], names: Sequence[str], kinds: Sequence[str]) -> str:
    """Return the figures of all, and of each kind."""
    lines = [
        (
            f"{'':14}{'frames':>7}{'p90':>6}{'ms':>7}{'p90':>7}{'never':>8}{'mm':>5}"
            f"{'CPU ms':>8}{'ratio':>7}{'dropped':>9}{'wrong':>6}"
        )
    ]
    for name in names:
        s = summary(of(runs, name))
        lines.append(
            f"{name:14}{_n(s.median_frames):>7}{_n(s.p90_frames):>6}{_n(s.median_ms):>7}"
            f"{_n(s.p90_ms):>7}{s.never / s.count:>8.1%}{s.distance_mm:>5.0f}{s.cpu_ms:>8.1f}"
            f"{s.ratio:>7.2f}{s.dropped:>9.1%}{s.wrong:>6}"
        )
    lines += [
        "",
        "median frames, p90, never read of",
        f"{'':16}" + "".join(f"{n:>18}" for n in names),
    ]
    for kind in kinds:
        row = [summary(of(runs, name, [kind])) for name in names]
        cells = (f"{_n(s.median_frames)} {_n(s.p90_frames):>5} {s.never:>3}/{s.count}" for s in row)
        lines.append(f"{kind:16}" + "".join(f"{cell:>18}" for cell in cells))
    return "\n".join(lines)


def _n(value: float) -> str:
    return f"{value:.0f}" if value < math.inf else "never"


@pytest.fixture(scope="module")
def held() -> list[Run]:
    """A part of the reported set at 15 frames a second, shown to the product."""
    return play_all(approaches(seed=SEED, each=HELD_EACH, fps=15), [PRODUCT])


@pytest.mark.timeout(900)
def test_a_phone_is_read_soon(held: list[Run]) -> None:
    found = summary(held)
    assert found.median_frames <= MEDIAN_FRAMES, found
    assert found.p90_frames <= P90_FRAMES, found


@pytest.mark.timeout(900)
def test_hardly_a_phone_is_never_read(held: list[Run]) -> None:
    missed = [run.kind for run in held if not run.done]
    assert set(missed) <= MAY_MISS, missed
    assert len(missed) <= NEVER_SHARE * len(held), missed


@pytest.mark.timeout(900)
def test_what_is_read_is_what_was_shown(held: list[Run]) -> None:
    assert not [run.wrong for run in held if run.wrong]


@pytest.mark.timeout(900)
def test_a_frame_of_an_approach_costs_no_more_than_it_did(held: list[Run]) -> None:
    assert summary(held).ratio <= CPU_LIMIT


def main(words: Sequence[str] | None = None) -> int:
    """Print the tables, or write the strips."""
    options = _options().parse_args(words)
    shown = list(
        approaches(
            seed=options.seed, classes=options.classes, each=options.each, fps=options.fps,
            exposure=options.exposure, size=(options.width, options.width * 9 // 16),
            cache=options.cache,
        )
    )  # fmt: skip
    if options.strips:
        write_strips(options.strips, shown)
        return 0
    names = [name for name in CONTESTANTS if name in {BASE, *options.contestants}]
    runs = play_all(shown, names, options.jobs)
    print(
        f"{len(shown)} approaches (seed {options.seed}, {options.each} of a kind), "
        f"exposure {' '.join(f'{ev:g}' for ev in options.exposure)}, {options.width} pixels wide"
    )
    print(tables(runs, names, options.classes))
    return 0


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.bench_approach",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seed", type=int, default=SEED, help="of the set (default: %(default)s)")
    parser.add_argument(
        "--each", type=int, default=13, help="approaches of a kind (default: %(default)s)"
    )
    parser.add_argument(
        "--classes",
        nargs="+",
        default=list(KINDS),
        choices=KINDS,
        metavar="KIND",
        help="default: all",
    )
    parser.add_argument(
        "--exposure",
        nargs="+",
        type=float,
        default=list(EXPOSURE),
        metavar="EV",
        help="in turns, frame by frame (default: 0 -2)",
    )
    parser.add_argument("--fps", type=float, help="frames a second (default: 10 to 30, drawn)")
    parser.add_argument(
        "--width", type=int, default=SIZE[0], help="pixels, 16:9 (default: %(default)s)"
    )
    parser.add_argument(
        "--contestants",
        nargs="+",
        default=[PRODUCT, SLOW],
        choices=list(CONTESTANTS),
        metavar="NAME",
        help=f"of {', '.join(CONTESTANTS)} (default: without pyzbar)",
    )
    parser.add_argument("--jobs", type=int, default=1, help="processes (default: %(default)s)")
    parser.add_argument(
        "--cache", type=Path, help="folder that keeps rendered frames: 5 GB for all"
    )
    parser.add_argument(
        "--strips", type=Path, help="write ten strips of frames to a .html or .png instead"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
