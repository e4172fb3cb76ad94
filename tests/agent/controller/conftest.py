"""The bench fixture."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.agent.controller.support import Bench


@pytest.fixture(autouse=True)
def journals_closed() -> Iterator[None]:
    """A database that nobody closes is told by Python 3.13, in whichever test comes next."""
    yield
    while Bench.made:
        Bench.made.pop().journal.close()


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)
