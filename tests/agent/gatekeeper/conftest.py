"""A gate's lines on a simulated board (`tests.support.rig`)."""

from __future__ import annotations

import pytest

from tests.support.rig import Rig


@pytest.fixture
def rig() -> Rig:
    return Rig()


@pytest.fixture
def make_rig() -> type[Rig]:
    return Rig
