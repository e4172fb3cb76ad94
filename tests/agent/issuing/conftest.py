"""Fixtures of the issuing side's tests."""

from tests.support.pilot import pilot  # noqa: F401
