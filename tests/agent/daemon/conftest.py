"""Fixtures of the tests with a whole daemon."""

from tests.support.faces import encoded  # noqa: F401
from tests.support.fingers import plug  # noqa: F401
from tests.support.gate_on_disk import free_port, gate  # noqa: F401
