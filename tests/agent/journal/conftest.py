"""Helpers of the journal's tests: a clock that is told the time, and a journal on disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.journal.journal import Journal

T0 = 1_800_000_000.0


class FakeClock:
    """Unix seconds that move only when told to."""

    def __init__(self, now: float = T0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def make(tmp_path: Path, clock: FakeClock) -> Iterator[Callable[..., Journal]]:
    opened: list[Journal] = []

    def build(**options: object) -> Journal:
        options.setdefault("clock", clock)
        options.setdefault("synchronous", "OFF")
        journal = Journal.open(tmp_path / "journal.sqlite", **options)
        opened.append(journal)
        return journal

    yield build
    for journal in opened:
        journal.close()
