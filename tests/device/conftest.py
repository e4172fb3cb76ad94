"""Tests on a real Raspberry Pi: `pytest tests/device --device`, wired as docs/wiring.md says."""

from __future__ import annotations

import sys

import pytest


def pytest_collection_modifyitems(config, items) -> None:
    here = [item for item in items if "tests/device" in str(item.path)]
    for item in here:
        item.add_marker(pytest.mark.device)
        if not config.getoption("--device", default=False):
            item.add_marker(pytest.mark.skip(reason="needs a real Raspberry Pi: --device"))


@pytest.fixture(autouse=True)
def no_double(monkeypatch) -> None:
    for name in ("RPi", "RPi.GPIO"):
        monkeypatch.delitem(sys.modules, name, raising=False)
