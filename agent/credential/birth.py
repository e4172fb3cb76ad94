"""Birth dates as credentials have them: a day, or only its month or year.

Rules:
- the text is ISO 8601, of the precision that was signed: YYYY-MM-DD, YYYY-MM or YYYY;
- a month or a year is every day in it, and proves what each of them would prove: who asks for an
  age asks `days`, and nothing reads a month or a year as a day.
"""

from __future__ import annotations

import calendar
import re
from datetime import date
from typing import Any, Final

from agent.credential.cbor import Tagged

__all__ = ["days", "parsed"]

_ISO: Final = re.compile(r"[0-9]{4}(-[0-9]{2}(-[0-9]{2})?)?")
_FIRST_DAY: Final = "0000-01-01"
_COMPACT: Final = re.compile(r"([0-9]{4})-?([0-9]{2})-?([0-9]{2})")


def days(text: str) -> tuple[date, date] | None:
    """Return the first and the last day that a birth date may stand for.

    Args:
        text: YYYY-MM-DD, YYYY-MM or YYYY.

    Returns:
        The same day twice where the text names one; None where it names nothing in the calendar.
    """
    match = _ISO.fullmatch(text)
    if match is None:
        return None
    try:
        first = date.fromisoformat(text + _FIRST_DAY[len(text) :])
    except ValueError:
        return None
    if match[2]:
        return first, first
    if match[1]:
        return first, first.replace(day=calendar.monthrange(first.year, first.month)[1])
    return first, first.replace(month=12, day=31)


def parsed(value: Any) -> str | None:
    """Return a birth date in the text that `days` takes, None for what is none.

    Args:
        value: text as above, or YYYYMMDD; a CBOR tag around it is passed over. Six digits are
            nothing: they would be a year and month to one reader, a day to another.
    """
    if isinstance(value, Tagged):
        value = value.value
    if not isinstance(value, str):
        return None
    match = _COMPACT.fullmatch(value)
    text = "-".join(match.groups()) if match else value
    return text if days(text) else None
