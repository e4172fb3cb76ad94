"""What a daemon's deciding part keeps: memory, files and threads over many passages.

The real controller, judge, journal (its file on the disk, synchronous OFF), gate and clock guard of the soak's
station, with whole passages: a fresh code, a grant, its mark, the walk, the end, the acknowledgement.
Run as a script with a number of passages, or with `pytest -m bench tests/bench/bench_leaks.py`.

The first fifth is warm-up: caches fill, and the journal reaches the capacity that it then keeps.
"""

from __future__ import annotations

import gc
import hashlib
import logging
import sys
import tempfile
from pathlib import Path

import psutil
import pytest
import structlog

from agent.issuing.issue import Holder, new_issuer, present, sign_credential
from agent.passage.events import CodesSeen, PassageSensed, Tick
from agent.passage.types import Code, Direction
from agent.reason import Reason
from agent.trust.snapshot import TrustSnapshot
from tests.soak.station import T0, Station

pytestmark = [pytest.mark.bench, pytest.mark.timeout(600)]

PASSAGES = 20_000
WARM = 0.2
GROWTH_LIMIT_MIB = 5.0
"""Over 100,000 passages."""
WALLETS = 200


def measure(passages: int = PASSAGES) -> dict[str, float]:
    """Return growth of memory over 100,000 passages (MiB), of files and of threads, and the curve."""
    process = psutil.Process()
    with tempfile.TemporaryDirectory() as name:
        station, wallets = _station(Path(name))
        curve: list[tuple[int, float]] = []
        files = threads = 0
        warm = int(passages * WARM)
        for number in range(passages):
            _pass(station, *wallets[number % WALLETS])
            if number % max(1, passages // 100) == 0:
                gc.collect()
                curve.append((number, process.memory_info().rss / 2**20))
            if number == warm:
                files, threads = process.num_fds(), process.num_threads()
        passed = station.counts["passed"]
        more_files, more_threads = process.num_fds() - files, process.num_threads() - threads
        station.stop()
    assert passed == passages
    return {
        "mib_per_100000": slope([point for point in curve if point[0] >= warm]) * 100_000,
        "files": more_files,
        "threads": more_threads,
        "passages": passed,
        "curve": curve,
    }


def slope(points: list[tuple[int, float]]) -> float:
    """Return the least-squares slope: one late allocation is not a leak, a trend is."""
    count = len(points)
    mean_x = sum(x for x, _ in points) / count
    mean_y = sum(y for _, y in points) / count
    over = sum((x - mean_x) * (y - mean_y) for x, y in points)
    return over / sum((x - mean_x) ** 2 for x, _ in points)


def _station(folder: Path) -> tuple[Station, list[tuple[bytes, Holder]]]:
    issuer = new_issuer("town", "ES256")
    trust = TrustSnapshot(keys=(issuer.issuer_key(),), updated_at=T0)
    station = Station(folder, lambda: trust, lambda _: (0.0, True, Reason.GRANTED))
    wallets = []
    for number in range(WALLETS):
        holder = Holder.new()
        signed = sign_credential(
            issuer, holder, subject=str(number), issued_at=T0 - 60, valid_until=T0 + 10**9,
            kind="library-card",
        )  # fmt: skip
        wallets.append((signed, holder))
    return station, wallets


def _pass(station: Station, credential: bytes, holder: Holder) -> None:
    """One whole passage, 5 simulated seconds."""
    text = present(credential, holder, at=int(station.times.true), audience="soak/g").encode()
    digest = hashlib.sha256(text).digest()
    station.may_pass[digest] = True
    station.controller.handle(CodesSeen((Code(digest, text),)))
    station.advance(station.times.now + 0.1)
    station.controller.handle(PassageSensed(Direction.IN))
    station.advance(station.times.now + 0.1)
    station.controller.handle(CodesSeen())
    station.advance(station.times.now + 1.5)
    station.controller.handle(Tick())
    station.advance(station.times.now + 3.3)
    rows = station.journal.pending(limit=50)
    station.journal.acknowledge(rows[-1].boot_id, rows[-1].seq)
    # The bench's own account of what was seen must not count as the product's.
    station.may_pass.clear()
    station.verdicts.clear()
    station.spent.clear()
    station._granted.clear()
    station._told.clear()
    station._ended.clear()
    station._codes.clear()
    station._believed.clear()


def test_nothing_grows_with_passages() -> None:
    found = measure()
    print(
        f"\n{found['mib_per_100000']:.2f} MiB per 100,000 passages (limit {GROWTH_LIMIT_MIB}), "
        f"{found['files']:+.0f} files, {found['threads']:+.0f} threads, "
        f"over {found['passages']:.0f} passages"
    )
    assert found["mib_per_100000"] <= GROWTH_LIMIT_MIB
    assert found["files"] <= 0
    assert found["threads"] <= 0


if __name__ == "__main__":
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    answer = measure(int(sys.argv[1]) if len(sys.argv) > 1 else PASSAGES)
    print({key: value for key, value in answer.items() if key != "curve"})
