"""A desk for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from agent.desk.desk import Desk
from tests.support.desks import DeskClock, a_desk


@pytest.fixture
def desk_clock() -> DeskClock:
    return DeskClock()


@pytest.fixture
def desk(tmp_path, desk_clock) -> Iterator[Desk]:
    opened = a_desk(tmp_path / "desk", desk_clock)
    yield opened
    opened.close()
