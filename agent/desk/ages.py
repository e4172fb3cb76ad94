"""The ages that go on a credential instead of a birth date.

An age counts from the day on which it is reached everywhere on earth, so that no time zone makes
anybody older. One that is reached later comes with the next renewal.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Final

__all__ = ["reached"]

_LAST_ZONE: Final = dt.timezone(dt.timedelta(hours=-12))


def reached(birth_date: str, ages: Iterable[int], now: int) -> tuple[int, ...]:
    """Return those ages that somebody has reached.

    Args:
        birth_date: YYYY-MM-DD, or "" where it is not known.
        ages: in years.
        now: Unix seconds.
    """
    if not birth_date:
        return ()
    born = dt.date.fromisoformat(birth_date)
    today = dt.datetime.fromtimestamp(now, _LAST_ZONE).date()
    years = today.year - born.year - ((today.month, today.day) < (born.month, born.day))
    return tuple(age for age in ages if age <= years)
