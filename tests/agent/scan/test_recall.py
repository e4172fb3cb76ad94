"""Photographs that others took: how many the cascade reads, and that it reads none wrongly."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from agent.scan.cascade import RETRIES, Cascade
from agent.scan.decoders import Decoders
from agent.scan.picture import load_luma
from agent.scan.wire import Payload
from tests.support.photographs import right, wrong
from tests.support.stills import decode_still

FIRST_FRAME = 95
"""Of 97, with the retries of one frame; 94 without any."""
SOME_FRAMES = 96
"""When the same picture is seen again, so that every retry has its turn."""
STILL = 97
"""As still pictures; one of them by no preparation of a frame."""


@pytest.fixture(scope="module")
def seen(photographs: Path) -> list[tuple[str, list[tuple[Payload, ...]]]]:
    """Each photograph's expected text, and what some frames of it gave."""
    with (photographs / "manifest.csv").open(encoding="utf-8", newline="") as table:
        rows = list(csv.DictReader(table))
    results = []
    for row in rows:
        luma = load_luma(photographs / row["file"])
        cascade = Cascade()
        results.append(
            (row["expected"], [cascade.decode(luma, turn=n)[0] for n in range(len(RETRIES) + 1)])
        )
    return results


def test_recall(seen):
    assert len(seen) == 97
    first = sum(any(right(p.data, expected) for p in frames[0]) for expected, frames in seen)
    some = sum(any(right(p.data, expected) for f in frames for p in f) for expected, frames in seen)
    assert first >= FIRST_FRAME
    assert some >= SOME_FRAMES


def test_nothing_is_read_wrongly(seen):
    false = [
        (expected, payload.data)
        for expected, frames in seen
        for payload in {p for frame in frames for p in frame}
        if wrong(payload.data, (expected,))
    ]
    assert false == []


def test_still_pictures(photographs: Path, decoders: Decoders) -> None:
    with (photographs / "manifest.csv").open(encoding="utf-8", newline="") as table:
        rows = list(csv.DictReader(table))
    read, false = 0, []
    for row in rows:
        found, _ = decode_still(decoders, load_luma(photographs / row["file"]))
        read += any(right(payload.data, row["expected"]) for payload in found)
        false += [p.data for p in found if wrong(p.data, (row["expected"],))]
    assert read >= STILL
    assert false == []
