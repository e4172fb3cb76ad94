"""A holiday calendar (iCalendar, RFC 5545) read for its whole days. Pure; no part of a gate.

What such calendars hold is taken: days and spans of days, each year by date (`FREQ=YEARLY`, also
`BYMONTH`, `BYMONTHDAY`, `BYDAY=4TH`), further dates and dates left out, moved and cancelled ones.
Events with a time of day are counted and passed over. Libraries that read all of iCalendar are four
packages to lock and to keep, for a command that somebody runs once a year and whose outcome is a
list of dates to look at.

Rules:
- A repetition of another sort refuses the file: a holiday that is missed is an open door.
- Lines are unfolded as bytes, since folding may stand inside a character.
- Size, events and dates are bounded, and no year is counted one by one that nobody asked for.
"""

from __future__ import annotations

import calendar
import datetime as dt
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

__all__ = ["CALENDAR_BYTES", "CalendarError", "Holidays", "read_holidays"]

CALENDAR_BYTES: Final = 1 << 20
_MOST_EVENTS: Final = 5_000
_MOST_STEPS: Final = 500_000
"""Days looked at to find those of all repetitions."""
_FIRST_YEAR: Final = 1900
_MOST_DATES: Final = 1_000
"""In one RDATE or EXDATE, or by one COUNT."""
_MOST_DAYS: Final = 366
"""In one event."""
_NAME_LENGTH: Final = 128

_LINE: Final = re.compile(
    r'([A-Za-z0-9-]+)((?:;[A-Za-z0-9-]+=(?:"[^"]*"|[^":;])*)*):(.*)', re.DOTALL
)
_DATE: Final = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})(?:T[0-9]{6}Z?)?")
_DURATION: Final = re.compile(r"\+?P([0-9]{1,3})([DW])")
_NTH: Final = re.compile(r"([+-]?[1-5])(MO|TU|WE|TH|FR|SA|SU)")
_NUMBER: Final = re.compile(r"[0-9]{1,4}")
_MONTH_DAY: Final = re.compile(r"-?[0-9]{1,2}")
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)
_WEEKDAYS: Final = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
_RULE_PARTS: Final = frozenset(
    {"FREQ", "INTERVAL", "COUNT", "UNTIL", "BYMONTH", "BYMONTHDAY", "BYDAY", "WKST"}
)


class CalendarError(ValueError):
    """A calendar cannot be used; one line for the operator."""


@dataclass(frozen=True, slots=True)
class Holidays:
    """What a calendar says of a time.

    Attributes:
        days: each date once, with the event's summary, in order.
        timed: events that were passed over, since they have a time of day.
    """

    days: tuple[tuple[dt.date, str], ...]
    timed: int


@dataclass(slots=True)
class _Event:
    """One VEVENT: its properties by name, each with parameters and value."""

    line: int
    properties: dict[str, list[tuple[str, str]]] = field(default_factory=dict)

    def value(self, name: str) -> str:
        """Return the first value of a property; empty for none."""
        return next((value for _, value in self.properties.get(name, [])), "")

    def refuse(self, words: str) -> CalendarError:
        return CalendarError(f"event of line {self.line}: {words}")


def read_holidays(data: bytes, *, first: dt.date, last: dt.date) -> Holidays:
    """Return the whole days that a calendar has from `first` to `last`, both included.

    Raises:
        CalendarError: it is no calendar, too large, or repeats in a way that is not understood.
    """
    if len(data) > CALENDAR_BYTES:
        raise CalendarError(f"{len(data)} bytes; a calendar of at most {CALENDAR_BYTES} is read")
    whole, timed = [], 0
    for event in _events(data):
        start = event.properties.get("DTSTART")
        if not start:
            raise event.refuse("no DTSTART")
        if "T" in start[0][1]:
            timed += 1
        else:
            whole.append(event)
    moved: dict[str, set[dt.date]] = {}
    for event in whole:
        if instance := event.value("RECURRENCE-ID"):
            moved.setdefault(event.value("UID"), set()).add(_date(event, instance))
    days: dict[dt.date, str] = {}
    room = [_MOST_STEPS]
    for event in whole:
        if event.value("STATUS").upper() == "CANCELLED":
            continue
        own = set() if event.value("RECURRENCE-ID") else moved.get(event.value("UID"), set())
        for day in _days(event, own, first, last, room):
            days.setdefault(day, _summary(event))
    return Holidays(tuple(sorted(days.items())), timed)


# --- lines


def _events(data: bytes) -> Iterator[_Event]:
    """Yield the events of the calendar."""
    stack: list[str] = []
    event: _Event | None = None
    count = 0
    begun = False
    for number, line in _lines(data):
        found = _LINE.fullmatch(line)
        if found is None:
            raise CalendarError(f"line {number}: no property of a calendar")
        name, parameters, value = found[1].upper(), found[2].upper(), found[3]
        if name == "BEGIN":
            stack.append(value.strip().upper())
            if stack[0] != "VCALENDAR" or len(stack) > 4:
                raise CalendarError(f"line {number}: {stack[-1][:20]} does not belong here")
            begun = True
            if stack == ["VCALENDAR", "VEVENT"]:
                count += 1
                if count > _MOST_EVENTS:
                    raise CalendarError(f"more than {_MOST_EVENTS} events")
                event = _Event(number)
        elif not stack:
            raise CalendarError(f"line {number}: no calendar has begun")
        elif name == "END":
            if stack.pop() != value.strip().upper():
                raise CalendarError(f"line {number}: END of what did not begin")
            if event is not None and stack == ["VCALENDAR"]:
                yield event
                event = None
        elif event is not None and len(stack) == 2:
            event.properties.setdefault(name, []).append((parameters, value))
    if stack or not begun:
        raise CalendarError("the calendar is cut short" if begun else "no calendar")


def _lines(data: bytes) -> Iterator[tuple[int, str]]:
    """Yield unfolded lines, each with the number of its first."""
    raw = data.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    began = 1
    parts: list[bytes] = []
    for number, piece in enumerate((*raw.split(b"\n"), b""), start=1):
        if piece[:1] in (b" ", b"\t") and parts:
            parts.append(piece[1:])
            continue
        if line := b"".join(parts):
            yield began, _text(line, began)
        parts, began = [piece], number


def _text(line: bytes, number: int) -> str:
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError:
        raise CalendarError(f"line {number}: not UTF-8") from None


# --- dates


def _date(event: _Event, text: str) -> dt.date:
    found = _DATE.fullmatch(text.strip())
    try:
        if found is not None:
            return dt.date(*(int(group) for group in found.groups()))
    except ValueError as error:
        raise event.refuse(f"{text[:20]!r} is no date: {error}") from None
    raise event.refuse(f"{text[:20]!r} is no date")


def _dates(event: _Event, name: str) -> set[dt.date]:
    found: set[dt.date] = set()
    for _, value in event.properties.get(name, []):
        found.update(_date(event, text) for text in value.split(",", _MOST_DATES))
        if len(found) > _MOST_DATES:
            raise event.refuse(f"more than {_MOST_DATES} dates")
    return found


def _length(event: _Event, start: dt.date) -> int:
    """Return how many days the event takes."""
    if end := event.value("DTEND"):
        days = (_date(event, end) - start).days
    elif duration := event.value("DURATION"):
        found = _DURATION.fullmatch(duration.strip())
        if found is None:
            raise event.refuse(f"a duration of {duration[:20]!r} is no whole days")
        days = int(found[1]) * (7 if found[2] == "W" else 1)
    else:
        return 1
    if not 0 <= days <= _MOST_DAYS:
        raise event.refuse(f"it takes {days} days")
    return max(days, 1)  # an end on its own first day is written for one day by some


def _days(
    event: _Event, moved: set[dt.date], first: dt.date, last: dt.date, room: list[int]
) -> Iterator[dt.date]:
    """Yield the days of an event that lie in the time asked for."""
    start = _date(event, event.value("DTSTART"))
    if start.year < _FIRST_YEAR:
        raise event.refuse(f"it begins before {_FIRST_YEAR}")
    length = _length(event, start)
    # What begins before the time may reach into it.
    early = first - dt.timedelta(days=min(length, (first - dt.date.min).days))
    begins = set(_repeated(event, start, early, last, room)) | _dates(event, "RDATE")
    for begin in begins - _dates(event, "EXDATE") - moved:
        for more in range(length):
            if begin <= last - dt.timedelta(days=more) and begin + dt.timedelta(days=more) >= first:
                yield begin + dt.timedelta(days=more)


def _repeated(
    event: _Event, start: dt.date, first: dt.date, last: dt.date, room: list[int]
) -> Iterator[dt.date]:
    """Yield the first days of an event and of its repetitions, from `first` to `last`."""
    rules = event.properties.get("RRULE", [])
    if not rules:
        yield start
        return
    if len(rules) > 1:
        raise event.refuse("two rules of repetition")
    rule = _rule(event, rules[0][1])
    every = _positive(event, rule.get("INTERVAL", "1"))
    count = _positive(event, rule["COUNT"]) if "COUNT" in rule else None
    until = min(last, _date(event, rule["UNTIL"])) if "UNTIL" in rule else last
    year = start.year
    if count is None and year < first.year:
        year += (first.year - year) // every * every
    seen = 0
    while year <= until.year:
        candidates = sorted(set(_in_year(event, rule, start, year)))
        room[0] -= 1 + len(candidates)
        if room[0] < 0:
            raise event.refuse("the calendar repeats too much")
        for day in candidates:
            if day < start or day > until:
                continue
            seen += 1
            if count is not None and seen > count:
                return
            yield day
        year += every


def _rule(event: _Event, text: str) -> dict[str, str]:
    """Return the parts of a rule of repetition, where it is one that holidays have."""
    parts = [part.partition("=") for part in text.strip().upper().split(";") if part]
    rule = {name: value for name, _, value in parts}
    if len(rule) != len(parts) or rule.get("FREQ") != "YEARLY" or rule.keys() - _RULE_PARTS:
        raise event.refuse(f"its repetition {text[:60]!r} is not understood")
    if "BYDAY" in rule and ("BYMONTH" not in rule or "BYMONTHDAY" in rule):
        raise event.refuse(f"its repetition {text[:60]!r} is not understood")
    return rule


def _in_year(event: _Event, rule: dict[str, str], start: dt.date, year: int) -> Iterator[dt.date]:
    months = [start.month]
    if "BYMONTH" in rule:
        months = [_positive(event, month) for month in rule["BYMONTH"].split(",", 12)]
    elif "BYMONTHDAY" in rule:
        months = list(range(1, 13))
    for month in months:
        if month > 12:
            raise event.refuse(f"there is no month {month}")
        if "BYDAY" in rule:
            yield from _nth(event, rule["BYDAY"], year, month)
            continue
        for text in rule.get("BYMONTHDAY", str(start.day)).split(",", 31):
            yield from _month_day(event, text, year, month)


def _nth(event: _Event, text: str, year: int, month: int) -> Iterator[dt.date]:
    """Yield the n-th weekday of a month, counted from its end where n is negative."""
    found = _NTH.fullmatch(text)
    if found is None:
        raise event.refuse(f"BYDAY={text[:20]} is not understood")
    weekday = _WEEKDAYS.index(found[2])
    first, length = calendar.monthrange(year, month)
    days = range(1 + (weekday - first) % 7, length + 1, 7)
    number = int(found[1])
    if abs(number) <= len(days):
        yield dt.date(year, month, days[number - 1 if number > 0 else number])


def _month_day(event: _Event, text: str, year: int, month: int) -> Iterator[dt.date]:
    """Yield a day of a month, where that year has it: 29 February does not move."""
    if _MONTH_DAY.fullmatch(text) is None or not 1 <= abs(int(text)) <= 31:
        raise event.refuse(f"there is no day {text[:20]!r} of a month")
    length, number = calendar.monthrange(year, month)[1], int(text)
    day = number if number > 0 else length + 1 + number
    if 1 <= day <= length:
        yield dt.date(year, month, day)


def _positive(event: _Event, text: str) -> int:
    if _NUMBER.fullmatch(text) is None or not 0 < int(text) <= _MOST_DATES:
        raise event.refuse(f"{text[:20]!r} is no number from 1 to {_MOST_DATES}")
    return int(text)


def _summary(event: _Event) -> str:
    text = _ESCAPED.sub(lambda found: " " if found[1] in "nN" else found[1], event.value("SUMMARY"))
    return "".join(letter if letter.isprintable() else " " for letter in text).strip()[
        :_NAME_LENGTH
    ]
