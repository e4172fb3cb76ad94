"""Photographs that others took: how many the cascade reads, and that it reads none wrongly."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from agent.scan.cascade import RETRIES, Cascade
from agent.scan.picture import load_luma
from agent.scan.wire import Payload

FIRST_FRAME = 95
"""Of 97, with the retries of one frame; 94 without any."""
SOME_FRAMES = 96
"""When the same picture is seen again, so that every retry has its turn."""


SECOND_CODE = "[内側QRコード]"
"""One photograph shows a code within a code; the manifest names the outer one."""


def says(payload: Payload, expected: str) -> bool:
    """Compare texts: the manifest has neither the codes' line ends nor their character sets."""
    for encoding in ("utf-8", "shift_jis", "cp932", "gb18030", "latin-1"):
        try:
            text = payload.data.decode(encoding)
        except UnicodeDecodeError:
            continue
        if _plain(text) == _plain(expected):
            return True
    return False


def _plain(text: str) -> str:
    return text.replace("\r\n", "\n").strip()


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
    first = sum(any(says(p, expected) for p in frames[0]) for expected, frames in seen)
    some = sum(any(says(p, expected) for f in frames for p in f) for expected, frames in seen)
    assert first >= FIRST_FRAME
    assert some >= SOME_FRAMES


def test_nothing_is_read_wrongly(seen):
    wrong = [
        (expected, payload.data)
        for expected, frames in seen
        for payload in {p for frame in frames for p in frame}
        if not says(payload, expected)
        and not payload.data.decode("shift_jis", "replace").startswith(SECOND_CODE)
    ]
    assert wrong == []
