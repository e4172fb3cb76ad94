"""`idgate holidays CALENDAR.ics`: the whole days of a holiday calendar as exceptions of a profile.

    idgate holidays berlin.ics                          prints them as TOML
    idgate holidays berlin.ics --profile pool.toml      writes them into the profile

They are plain dates in the profile, so that a gate needs no calendar and reads none. Written again,
they take the place of those that were written before; a date that the profile has an exception of
its own for is left to it. Exit codes: 0, or 2 where calendar or profile cannot be used.
"""

from __future__ import annotations

import argparse
import datetime as dt
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agent.issuing.holidays import Holidays

__all__ = ["add_arguments", "run"]

BEGIN = "# --- holidays, written by `idgate holidays`: from here"
END = "# --- to here"
_MOST_YEARS = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command line."""
    parser.add_argument("calendar", type=Path, metavar="FILE", help="iCalendar file (.ics)")
    parser.add_argument(
        "--profile", type=Path, metavar="FILE",
        help="site profile to write them into; default: print them",
    )  # fmt: skip
    parser.add_argument(
        "--from", dest="first", type=_date, metavar="DATE", help="first date; default: today"
    )
    parser.add_argument(
        "--until", dest="last", type=_date, metavar="DATE",
        help="last date; default: the end of the year after next",
    )  # fmt: skip


def run(arguments: argparse.Namespace) -> int:
    """Read the calendar, print or write its days; return the exit code."""
    from agent.issuing.holidays import CALENDAR_BYTES, CalendarError, read_holidays
    from agent.policy.profile import ProfileError

    # The day of whoever writes the profile, by the clock on the wall there.
    first = arguments.first or dt.datetime.now().astimezone().date()
    last = arguments.last or dt.date(first.year + 2, 12, 31)
    if not first <= last <= dt.date(min(first.year + _MOST_YEARS, 9999), 12, 31):
        return _failed(f"--from {first} --until {last}: at most {_MOST_YEARS} years, in order")
    try:
        with arguments.calendar.open("rb") as file:
            data = file.read(CALENDAR_BYTES + 1)
        found = read_holidays(data, first=first, last=last)
    except OSError as error:
        return _failed(f"{arguments.calendar}: {error.strerror}")
    except CalendarError as error:
        return _failed(f"{arguments.calendar}: {error}")
    if found.timed:
        print(f"idgate holidays: {found.timed} events with a time of day left out", file=sys.stderr)
    if arguments.profile is None:
        print(_tables(found, frozenset()), end="")
        return 0
    try:
        kept = _write(arguments.profile, found)
    except OSError as error:
        return _failed(f"{arguments.profile}: {error.strerror}")
    except (ProfileError, UnicodeDecodeError) as error:
        return _failed(str(error))
    print(f"{arguments.profile}: {kept} holidays from {first} until {last}")
    return 0


def _failed(message: str) -> int:
    print(f"idgate holidays: {message}", file=sys.stderr)
    return 2


def _date(text: str) -> dt.date:
    return dt.date.fromisoformat(text)


def _tables(found: Holidays, left_out: frozenset[dt.date]) -> str:
    """Return the days as TOML tables."""
    import json

    return "".join(
        f"[[exceptions]]\ndate = {day.isoformat()}\n"
        # What JSON escapes TOML reads; a summary has no control characters.
        f"name = {json.dumps(name, ensure_ascii=False)}\n\n"
        for day, name in found.days
        if day not in left_out
    )


def _write(path: Path, found: Holidays) -> int:
    """Write the days into a profile, in one step; return how many.

    Raises:
        ProfileError: the profile cannot be used, with them or without.
        OSError, UnicodeDecodeError: it cannot be read or written.
    """
    from agent.policy.profile import parse_profile

    text = _without(path.read_text("utf-8"))
    own = frozenset(day.date for day in parse_profile(text, source=str(path)).exceptions)
    tables = _tables(found, own)
    written = f"{text.rstrip()}\n\n{BEGIN}\n{tables}{END}\n" if tables else text
    profile = parse_profile(written, source=f"{path} with the holidays")
    scratch = path.with_name(path.name + ".new")
    scratch.write_text(written, "utf-8")
    scratch.chmod(path.stat().st_mode & 0o7777)
    scratch.replace(path)
    return len(profile.exceptions) - sum(day.date in own for day in profile.exceptions)


def _without(text: str) -> str:
    """Return a profile without the holidays that were written before."""
    begin, end = text.find(BEGIN), text.find(END)
    if not 0 <= begin < end:
        return text
    return f"{text[:begin].rstrip()}\n{text[end + len(END) :].lstrip()}"
