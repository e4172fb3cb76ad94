"""A pilot in memory."""

from tests.support.pilot import pilot  # noqa: F401
