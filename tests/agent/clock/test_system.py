"""The daemon's clocks are the machine's, and the guard's word is passed on."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest

from agent.clock.system import SystemClock


def test_the_times_are_the_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 1_780_000_000.25)
    monkeypatch.setattr(time, "monotonic_ns", lambda: 42)
    clock = SystemClock(SimpleNamespace(trusted=True))
    assert (clock.wall(), clock.monotonic_ns()) == (1_780_000_000.25, 42)


@pytest.mark.parametrize("trusted", [True, False])
def test_it_is_believed_as_far_as_its_guard_believes_it(trusted: bool) -> None:
    assert SystemClock(SimpleNamespace(trusted=trusted)).trusted() is trusted
