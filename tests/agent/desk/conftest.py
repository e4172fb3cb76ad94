"""A desk for each test."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from agent.desk.desk import Desk
from tests.support.desk_browser import chromium  # noqa: F401
from tests.support.desks import DeskClock, a_desk
from tests.support.faces import astronaut, detector, embedder, hopper, models  # noqa: F401
from tests.support.postgresql import new_database, postgres  # noqa: F401


@pytest.fixture
def desk_clock() -> DeskClock:
    return DeskClock()


@pytest.fixture
def make_desk(tmp_path, desk_clock) -> Iterator[Callable[..., Desk]]:
    """Return a maker of desks, by `tests.support.desks.a_desk`'s words; all are closed."""
    opened: list[Desk] = []

    def make(name: str = "desk", **words: str) -> Desk:
        opened.append(a_desk(tmp_path / name, desk_clock, **words))
        return opened[-1]

    yield make
    for each in opened:
        each.close()


@pytest.fixture
def desk(make_desk) -> Desk:
    return make_desk()


@pytest.fixture(params=["sqlite", "postgresql"])
def any_desk(request, make_desk) -> Desk:
    """A desk with each of the databases."""
    if request.param == "sqlite":
        return make_desk()
    return make_desk(database=new_database(request.getfixturevalue("postgres")))
