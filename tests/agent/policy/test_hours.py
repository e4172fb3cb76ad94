"""When a place is open: weeks, dates of their own, nights, and the two nights the clock is moved."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import pytest

from agent.policy.decide import local_time
from agent.policy.hours import hours_of, is_open, keeps_hours, told
from agent.policy.profile import Profile, parse_profile
from tests.agent.policy.support import RULES

CLUB = """
hours = [
  { days = ["fri"], open = "22:00" },
  { days = ["sat"], close = "02:00" },
  { days = ["sat"], open = "14:00", close = "18:00" },
]
exceptions = [
  { date = 2026-12-25, name = "Christmas" },
  { date = 2027-01-01, close = "05:00", name = "New Year" },
  { date = 2027-01-01, open = "20:00", close = "23:00" },
  { date = 2026-12-31, open = "18:00" },
]
"""


def profile(lines: str) -> Profile:
    return parse_profile(RULES + lines, source="case")


def at(text: str, zone: str = "UTC") -> dt.datetime:
    return dt.datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone))


@pytest.mark.parametrize(
    ("moment", "open_"),
    [
        ("2026-12-18 21:59:59", False),  # Friday
        ("2026-12-18 22:00:00", True),
        ("2026-12-18 23:59:59", True),
        ("2026-12-19 00:00:00", True),
        ("2026-12-19 01:59:59", True),
        ("2026-12-19 02:00:00", False),
        ("2026-12-19 14:00:00", True),
        ("2026-12-19 18:00:00", False),
        ("2026-12-20 00:30:00", False),  # Sunday
        ("2026-12-25 22:30:00", False),  # Christmas is a Friday
        ("2026-12-26 00:00:00", True),  # the Saturday after it is like every other
        ("2026-12-31 18:00:00", True),  # a Thursday
        ("2027-01-01 04:59:59", True),
        ("2027-01-01 05:00:00", False),
        ("2027-01-01 22:59:59", True),
        ("2027-01-01 23:00:00", False),  # Friday's own hours are not added
    ],
)
def test_the_week_and_the_dates_that_are_not_like_it(moment: str, open_: bool) -> None:
    assert is_open(profile(CLUB), at(moment)) is open_


def test_a_night_into_a_holiday_ends_at_midnight_unless_the_holiday_says_otherwise() -> None:
    week = 'hours = [{ days = ["thu"], open = "22:00" }, { days = ["fri"], close = "02:00" }]\n'
    closed = profile(week + "exceptions = [{ date = 2026-12-25 }]")
    till_two = profile(week + 'exceptions = [{ date = 2026-12-25, close = "02:00" }]')
    for place in (closed, till_two):
        assert is_open(place, at("2026-12-24 23:59:59"))
    assert not is_open(closed, at("2026-12-25 00:00:00"))
    assert is_open(till_two, at("2026-12-25 01:59:59"))


def test_without_hours_only_the_exceptions_close() -> None:
    always = profile("exceptions = [{ date = 2026-12-25 }]")
    assert hours_of(always, dt.date(2026, 12, 24)) == (("00:00", "24:00"),)
    assert hours_of(always, dt.date(2026, 12, 25)) == ()
    assert [keeps_hours(profile(lines)) for lines in ("", CLUB)] == [False, True]
    assert keeps_hours(always)


@pytest.mark.parametrize(
    ("hours", "utc", "open_"),
    [
        # 25 October 2026: 03:00 summer time is 02:00 again, at 01:00 UTC.
        ('open = "02:30", close = "04:00"', "2026-10-25 00:29:59", False),
        ('open = "02:30", close = "04:00"', "2026-10-25 00:30:00", True),
        ('open = "02:30", close = "04:00"', "2026-10-25 01:00:00", False),  # 02:00 again
        ('open = "02:30", close = "04:00"', "2026-10-25 01:30:00", True),
        ('open = "01:00", close = "02:30"', "2026-10-25 00:30:00", False),
        ('open = "01:00", close = "02:30"', "2026-10-25 01:29:59", True),
        # 29 March 2026: 02:00 is 03:00 at once, at 01:00 UTC.
        ('open = "02:30", close = "04:00"', "2026-03-29 00:59:59", False),
        ('open = "02:30", close = "04:00"', "2026-03-29 01:00:00", True),
        ('open = "01:00", close = "02:30"', "2026-03-29 00:59:59", True),
        ('open = "01:00", close = "02:30"', "2026-03-29 01:00:00", False),
        ('open = "02:10", close = "02:50"', "2026-03-29 01:00:00", False),
    ],
)
@pytest.mark.parametrize("named", [False, True])
def test_the_nights_in_which_the_clock_is_moved(
    hours: str, utc: str, open_: bool, named: bool
) -> None:
    place = profile(
        f'hours = [{{ days = ["sun"], {hours} }}]\n' + 'timezone = "Europe/Berlin"' * named
    )
    own = ZoneInfo("Asia/Tokyo" if named else "Europe/Berlin")
    now = int(at(utc).timestamp())
    assert is_open(place, local_time(place, now, own)) is open_


def test_what_an_operator_reads() -> None:
    place = profile(CLUB)
    assert told(place, at("2026-12-19 01:00", "Europe/Berlin")) == (
        "Sat 2026-12-19 01:00 in Europe/Berlin: open 00:00 to 02:00, 14:00 to 18:00"
    )
    assert told(place, at("2026-12-25 12:00").astimezone(dt.UTC)) == (
        "Fri 2026-12-25 12:00 in UTC: closed all day"
    )
    assert told(place, at("2027-01-01 12:00")) == (
        "Fri 2027-01-01 12:00 in UTC: open 00:00 to 05:00, 20:00 to 23:00"
    )
