"""Moments as people write and read them.

- Read: ISO 8601 (RFC 3339 among it) with `Z` or an offset; without one it is UTC. A date alone is
  its first second in UTC. Whole or broken Unix seconds are taken too, and cut to the second.
- Written: ISO 8601 in UTC, to the second, with `Z`.
- Between the first second of 1970 and the last of 9999: what no calendar has is refused.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

__all__ = ["LAST", "moment_text", "parse_moment"]

LAST = 253_402_300_799
"""The last second of the year 9999, UTC."""

_UNIX = re.compile(r"([0-9]{1,12})(?:\.[0-9]{1,9})?")
_LONGEST = 40
_SECOND = timedelta(seconds=1)


def parse_moment(text: str) -> int:
    """Return the moment in Unix seconds.

    Raises:
        ValueError: it is none, or one outside of 1970 to 9999.
    """
    if found := _UNIX.fullmatch(text):
        moment = int(found[1])
    else:
        if len(text) > _LONGEST or not text.isascii():
            raise ValueError("neither ISO 8601 nor Unix seconds")
        try:
            parsed = datetime.fromisoformat(text)
        except ValueError:
            raise ValueError("neither ISO 8601 nor Unix seconds") from None
        aware = parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
        moment = (aware - datetime.fromtimestamp(0, UTC)) // _SECOND
    if not 0 <= moment <= LAST:
        raise ValueError("not between 1970 and 9999")
    return moment


def moment_text(unix_s: float) -> str:
    """Return the moment in ISO 8601; seconds of no calendar as they are."""
    if not 0 <= unix_s <= LAST:
        return f"{unix_s:.0f} s"
    return datetime.fromtimestamp(int(unix_s), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
