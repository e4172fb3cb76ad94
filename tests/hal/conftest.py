"""Fixtures of the drivers' tests: a board with a camera, a clock, a module on a pty."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from tests.support.fingers import bare, ours, plug  # noqa: F401


def _double():
    """Load the double by its path: test folders are no packages."""
    name = "picamera2_double"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(
            name, Path(__file__).parent / "raspberrypi" / f"{name}.py"
        )
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


@pytest.fixture
def world(monkeypatch):
    """A board with one camera, its libraries installed."""
    world = _double().World()
    for name, module in world.modules().items():
        monkeypatch.setitem(sys.modules, name, module)
    return world


class Clock:
    """Time that passes only when somebody sleeps."""

    def __init__(self) -> None:
        self.now_ns = 1_000_000_000_000

    def ns(self) -> int:
        return self.now_ns

    def seconds(self) -> float:
        return self.now_ns / 1e9

    def sleep(self, seconds: float) -> None:
        self.now_ns += round(seconds * 1e9)


@pytest.fixture
def clock():
    return Clock()
