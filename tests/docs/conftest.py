"""Fixtures of the pages' tests."""

from tests.support.gate_on_disk import free_port, gate  # noqa: F401
