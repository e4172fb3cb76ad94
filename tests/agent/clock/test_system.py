"""The daemon's clocks are the machine's, and the guard's word is passed on."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest

from agent.clock.system import SystemClock


def test_the_times_are_the_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 1_780_000_000.25)
    monkeypatch.setattr(time, "monotonic_ns", lambda: 42)
    clock = SystemClock(SimpleNamespace())
    assert (clock.wall(), clock.monotonic_ns()) == (1_780_000_000.25, 42)


@pytest.mark.parametrize("believed", [None, 1_780_000_000.25])
def test_a_time_is_believed_as_far_as_its_guard_believes_it(believed: float | None) -> None:
    clock = SystemClock(SimpleNamespace(now=lambda: believed))
    assert clock.believed_wall() == believed
