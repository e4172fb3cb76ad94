"""What options take: one way to read a moment, a date, a number or a count, and to refuse one.

Each is the `type=` of an option: text in, value out, and an `ArgumentTypeError` that says what
would do. The parser puts the option's name before it. No number is infinite or NaN, and each has
limits.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable

__all__ = ["count", "date", "hexadecimal", "moment", "number"]

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_COUNT = re.compile(r"[0-9]{1,18}")
_NUMBER = re.compile(r"[0-9]{1,18}(?:\.[0-9]{1,18})?")


def moment(text: str) -> int:
    """Return a moment in Unix seconds: ISO 8601, a date alone, or Unix seconds."""
    from agent.clock.moment import parse_moment

    try:
        return parse_moment(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"{text[:40]!r}: {error}; write it like 2026-05-01T08:00:00Z"
        ) from None


def date(text: str) -> str:
    """Return a day of the calendar, as YYYY-MM-DD."""
    from datetime import date as day

    try:
        found = day.fromisoformat(text) if _DATE.fullmatch(text) else None
    except ValueError:
        found = None
    if found is None:
        raise argparse.ArgumentTypeError(f"{text[:40]!r}: no date; write it like 1990-12-31")
    return found.isoformat()


def number(least: float, most: float, *, above: bool = False) -> Callable[[str], float]:
    """Return a reader of plain numbers from `least`, or `above` it, to `most`."""
    span = f"{'more than' if above else 'at least'} {least:.12g}, at most {most:.12g}"

    def read(text: str) -> float:
        value = float(text) if _NUMBER.fullmatch(text) else -1.0
        if not least <= value <= most or (above and value == least):
            raise argparse.ArgumentTypeError(f"{text[:40]!r}: a number, {span}, is needed")
        return value

    return read


def count(least: int, most: int) -> Callable[[str], int]:
    """Return a reader of whole numbers from `least` to `most`."""

    def read(text: str) -> int:
        value = int(text) if _COUNT.fullmatch(text) else -1
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(
                f"{text[:40]!r}: a whole number, at least {least}, at most {most}, is needed"
            )
        return value

    return read


def hexadecimal(text: str) -> bytes:
    """Return the bytes that hexadecimal digits name."""
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text[:40]!r}: an even number of hexadecimal digits is needed"
        ) from None
