"""Fixtures of the formats' tests."""

from tests.support.pilot import pilot, vectors  # noqa: F401
