"""Fixtures of the commands' tests."""

from tests.support.faces import astronaut, hopper, runtime  # noqa: F401
from tests.support.fingers import plug  # noqa: F401
from tests.support.frames import draw, finders  # noqa: F401
from tests.support.pilot import pilot  # noqa: F401
