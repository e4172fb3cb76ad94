"""Holiday calendars as countries and calendar programs write them, and hostile ones."""

from __future__ import annotations

import datetime as dt

import pytest

from agent.issuing.holidays import CALENDAR_BYTES, CalendarError, Holidays, read_holidays

FIRST, LAST = dt.date(2026, 1, 1), dt.date(2028, 12, 31)


def event(*lines: str) -> str:
    return "\r\n".join(("BEGIN:VEVENT", *lines, "END:VEVENT"))


def calendar(*events: str) -> bytes:
    return "\r\n".join(("BEGIN:VCALENDAR", "VERSION:2.0", *events, "END:VCALENDAR", "")).encode()


def read(*lines: str, first: dt.date = FIRST, last: dt.date = LAST) -> list[str]:
    found = read_holidays(calendar(event(*lines)), first=first, last=last)
    return [day.isoformat() for day, _ in found.days]


@pytest.mark.parametrize(
    ("lines", "days"),
    [
        (["DTSTART;VALUE=DATE:20261225"], ["2026-12-25"]),
        (["DTSTART;VALUE=DATE:20261225", "DTEND;VALUE=DATE:20261226"], ["2026-12-25"]),
        (["DTSTART;VALUE=DATE:20261225", "DTEND;VALUE=DATE:20261225"], ["2026-12-25"]),
        (["DTSTART;VALUE=DATE:20261225", "DTEND;VALUE=DATE:20261227"], ["2026-12-25", "2026-12-26"]),
        (["DTSTART;VALUE=DATE:20261225", "DURATION:P2D"], ["2026-12-25", "2026-12-26"]),
        (["DTSTART;VALUE=DATE:20261228", "DURATION:P1W"], [f"2026-12-{n}" for n in range(28, 32)] + [f"2027-01-0{n}" for n in range(1, 4)]),
        (["DTSTART:20261225"], ["2026-12-25"]),  # as some programs write it
        # on and over the ends of the time asked for
        (["DTSTART;VALUE=DATE:20251231"], []),
        (["DTSTART;VALUE=DATE:20251230", "DTEND;VALUE=DATE:20260102"], ["2026-01-01"]),
        (["DTSTART;VALUE=DATE:20281231", "DTEND;VALUE=DATE:20290102"], ["2028-12-31"]),
        (["DTSTART;VALUE=DATE:20290101"], []),
        # every year
        (["DTSTART;VALUE=DATE:20201225", "RRULE:FREQ=YEARLY"], ["2026-12-25", "2027-12-25", "2028-12-25"]),
        (["DTSTART;VALUE=DATE:20271225", "RRULE:FREQ=YEARLY"], ["2027-12-25", "2028-12-25"]),
        (["DTSTART;VALUE=DATE:20201225", "RRULE:FREQ=YEARLY;INTERVAL=4"], ["2028-12-25"]),
        (["DTSTART;VALUE=DATE:20241225", "RRULE:FREQ=YEARLY;COUNT=3"], ["2026-12-25"]),
        (["DTSTART;VALUE=DATE:20201225", "RRULE:FREQ=YEARLY;UNTIL=20271225"], ["2026-12-25", "2027-12-25"]),
        (["DTSTART;VALUE=DATE:20201225", "RRULE:FREQ=YEARLY;UNTIL=20271224T235959Z"], ["2026-12-25"]),
        (["DTSTART;VALUE=DATE:20240229", "RRULE:FREQ=YEARLY"], ["2028-02-29"]),
        (["DTSTART;VALUE=DATE:20240229", "RRULE:FREQ=YEARLY;COUNT=2"], ["2028-02-29"]),
        (["DTSTART;VALUE=DATE:20200101", "RRULE:FREQ=YEARLY;BYMONTH=1;BYMONTHDAY=1,6", "EXDATE;VALUE=DATE:20270106"], ["2026-01-01", "2026-01-06", "2027-01-01", "2028-01-01", "2028-01-06"]),
        (["DTSTART;VALUE=DATE:20200131", "RRULE:FREQ=YEARLY;BYMONTHDAY=-1;UNTIL=20260301"], ["2026-01-31", "2026-02-28"]),
        (["DTSTART;VALUE=DATE:19971127", "RRULE:FREQ=YEARLY;BYMONTH=11;BYDAY=4TH;WKST=SU"], ["2026-11-26", "2027-11-25", "2028-11-23"]),
        (["DTSTART;VALUE=DATE:19970526", "RRULE:FREQ=YEARLY;BYMONTH=5;BYDAY=-1MO"], ["2026-05-25", "2027-05-31", "2028-05-29"]),
        (["DTSTART;VALUE=DATE:19970526", "RRULE:FREQ=YEARLY;BYMONTH=5;BYDAY=5MO"], ["2027-05-31", "2028-05-29"]),
        (["DTSTART;VALUE=DATE:20201225", "DTEND;VALUE=DATE:20201227", "rrule:freq=yearly;until=20260101"], []),
        (["DTSTART;VALUE=DATE:20201231", "DURATION:P2D", "RRULE:FREQ=YEARLY;UNTIL=20260601"], ["2026-01-01"]),
        # dates more, dates less
        (["DTSTART;VALUE=DATE:20261225", "RDATE;VALUE=DATE:20270101,20270106", "RDATE;VALUE=DATE:20280101"], ["2026-12-25", "2027-01-01", "2027-01-06", "2028-01-01"]),
        (["DTSTART;VALUE=DATE:20201225", "RRULE:FREQ=YEARLY", "EXDATE;VALUE=DATE:20261225,20281225"], ["2027-12-25"]),
        (["DTSTART;VALUE=DATE:20201225", "RRULE:FREQ=YEARLY", "EXDATE:20261225T000000Z"], ["2027-12-25", "2028-12-25"]),
        (["DTSTART;VALUE=DATE:20261225", "STATUS:CANCELLED"], []),
        (["DTSTART;VALUE=DATE:20261225", "STATUS:CONFIRMED", "TRANSP:TRANSPARENT"], ["2026-12-25"]),
        # what stands inside or beside is not the event's
        (["BEGIN:VALARM", "DTSTART;VALUE=DATE:20270101", "END:VALARM", "DTSTART;VALUE=DATE:20261225"], ["2026-12-25"]),
    ],
)  # fmt: skip
def test_days(lines: list[str], days: list[str]) -> None:
    assert read(*lines) == days


def test_a_repetition_that_was_moved_or_cancelled_is_not_where_it_was() -> None:
    data = calendar(
        event("UID:1", "DTSTART;VALUE=DATE:20201226", "RRULE:FREQ=YEARLY", "SUMMARY:Boxing Day"),
        event("UID:1", "RECURRENCE-ID;VALUE=DATE:20261226", "DTSTART;VALUE=DATE:20261228", "SUMMARY:Substitute"),
        event("UID:1", "RECURRENCE-ID;VALUE=DATE:20271226", "DTSTART;VALUE=DATE:20271226", "STATUS:CANCELLED"),
        event("UID:2", "DTSTART;VALUE=DATE:20271226", "SUMMARY:Another"),
    )  # fmt: skip
    found = read_holidays(data, first=FIRST, last=LAST)
    assert found == Holidays(
        (
            (dt.date(2026, 12, 28), "Substitute"),
            (dt.date(2027, 12, 26), "Another"),
            (dt.date(2028, 12, 26), "Boxing Day"),
        ),
        0,
    )


@pytest.mark.parametrize(
    ("summary", "name"),
    [
        ("SUMMARY:Weihnachten", "Weihnachten"),
        ("SUMMARY;LANGUAGE=de:Weihnachten", "Weihnachten"),
        ('SUMMARY;X-A="a:b;c":Weihnachten', "Weihnachten"),
        (r"SUMMARY:a\, b\; c\\ d\n e", r"a, b; c\ d  e"),
        ("SUMMARY:\u540d\u524d \x07\x7f\u202e bell", "\u540d\u524d     bell"),
        ("SUMMARY:" + "x" * 200, "x" * 128),
        ("SUMMARY:", ""),
        ("DESCRIPTION:none", ""),
    ],
)
def test_names(summary: str, name: str) -> None:
    data = calendar(event("DTSTART;VALUE=DATE:20261225", summary))
    assert read_holidays(data, first=FIRST, last=LAST).days == ((dt.date(2026, 12, 25), name),)


@pytest.mark.parametrize("end", ["\r\n", "\n", "\r"])
def test_folded_lines_are_joined_as_bytes(end: str) -> None:
    text = calendar(event("DTSTART;VALUE=DATE:20261225", "SUMMARY:F\u00eate")).replace(
        b"\r\n", end.encode()
    )
    for at in range(text.index(b"SUMMARY"), text.index(b"END:VEVENT") - len(end)):
        for blank in (b" ", b"\t"):
            folded = text[: at + 1] + end.encode() + blank + text[at + 1 :]
            found = read_holidays(b"\xef\xbb\xbf" + folded, first=FIRST, last=LAST)
            assert found.days == ((dt.date(2026, 12, 25), "F\u00eate"),)


def test_events_with_a_time_of_day_are_counted_and_the_first_name_of_a_date_stays() -> None:
    data = calendar(
        event("DTSTART;TZID=Europe/Berlin:20261224T180000", "RRULE:FREQ=DAILY"),
        event("DTSTART:20261224T180000Z"),
        event("DTSTART;VALUE=DATE:20261225", "SUMMARY:one"),
        event("DTSTART;VALUE=DATE:20261225", "SUMMARY:two"),
    )
    found = read_holidays(data, first=FIRST, last=LAST)
    assert found == Holidays(((dt.date(2026, 12, 25), "one"),), 2)


def test_a_calendar_without_events_is_one() -> None:
    assert read_holidays(calendar(), first=FIRST, last=LAST) == Holidays((), 0)


DAY = "DTSTART;VALUE=DATE:20261225"


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "no calendar"),
        (b"\r\n\r\n", "no calendar"),
        (b"<html>", "line 1: no property of a calendar"),
        (b"VERSION:2.0", "line 1: no calendar has begun"),
        (b"BEGIN:VEVENT", "line 1: VEVENT does not belong here"),
        (b"BEGIN:VCALENDAR", "the calendar is cut short"),
        (b"BEGIN:VCALENDAR\nEND:VEVENT", "line 2: END of what did not begin"),
        (b"BEGIN:VCALENDAR\n" * 5, "line 5: VCALENDAR does not belong here"),
        (b"BEGIN:VCALENDAR\nEND:VCALENDAR\nX:1", "line 3: no calendar has begun"),
        (b"BEGIN:VCALENDAR\nSUMMARY:\xff\nEND:VCALENDAR", "line 2: not UTF-8"),
        (b"x" * (CALENDAR_BYTES + 1), f"{CALENDAR_BYTES + 1} bytes; a calendar of at most {CALENDAR_BYTES} is read"),
        (calendar(*[event(DAY)] * 5_001), "more than 5000 events"),
        (calendar(event("SUMMARY:x")), "event of line 3: no DTSTART"),
        (calendar(event("DTSTART;VALUE=DATE:20261325")), "event of line 3: '20261325' is no date: month must be in 1..12"),
        (calendar(event("DTSTART;VALUE=DATE:2026-12-25")), "event of line 3: '2026-12-25' is no date"),
        (calendar(event("DTSTART;VALUE=DATE:2026122\u0665")), "event of line 3: '2026122\u0665' is no date"),
        (calendar(event("DTSTART;VALUE=DATE:18991231")), "event of line 3: it begins before 1900"),
        (calendar(event(DAY, "DTEND;VALUE=DATE:20261224")), "event of line 3: it takes -1 days"),
        (calendar(event(DAY, "DTEND;VALUE=DATE:20271227")), "event of line 3: it takes 367 days"),
        (calendar(event(DAY, "DURATION:PT12H")), "event of line 3: a duration of 'PT12H' is no whole days"),
        (calendar(event(DAY, "DURATION:-P1D")), "event of line 3: a duration of '-P1D' is no whole days"),
        *(
            (calendar(event(DAY, f"RRULE:{rule}")), f"event of line 3: its repetition {rule!r} is not understood")
            for rule in (
                "FREQ=DAILY", "FREQ=MONTHLY;BYMONTHDAY=1", "", "INTERVAL=1", "FREQ=YEARLY;BYEASTER=1",
                "FREQ=YEARLY;BYDAY=4TH", "FREQ=YEARLY;BYWEEKNO=20", "FREQ=YEARLY;BYYEARDAY=1",
                "FREQ=YEARLY;FREQ=YEARLY", "FREQ=YEARLY;BYMONTH=5;BYDAY=1MO;BYMONTHDAY=1",
                "FREQ=YEARLY;BYSETPOS=1",
            )
        ),
        *(
            (calendar(event(DAY, f"RRULE:FREQ=YEARLY;{part}")), f"event of line 3: {words}")
            for part, words in (
                ("INTERVAL=0", "'0' is no number from 1 to 1000"),
                ("INTERVAL=-1", "'-1' is no number from 1 to 1000"),
                ("INTERVAL=1001", "'1001' is no number from 1 to 1000"),
                ("COUNT=x", "'X' is no number from 1 to 1000"),
                ("BYMONTH=13", "there is no month 13"),
                ("BYMONTHDAY=0", "there is no day '0' of a month"),
                ("BYMONTHDAY=32", "there is no day '32' of a month"),
                ("BYMONTH=5;BYDAY=MO", "BYDAY=MO is not understood"),
                ("BYMONTH=5;BYDAY=6MO", "BYDAY=6MO is not understood"),
                ("BYMONTH=5;BYDAY=1MO,2MO", "BYDAY=1MO,2MO is not understood"),
                ("UNTIL=soon", "'SOON' is no date"),
            )
        ),
        (calendar(event(DAY, "RRULE:FREQ=YEARLY", "RRULE:FREQ=YEARLY")), "event of line 3: two rules of repetition"),
        (calendar(event(DAY, "EXDATE;VALUE=DATE:tomorrow")), "event of line 3: 'tomorrow' is no date"),
        (calendar(event(DAY, *["RDATE:" + ",".join(f"20{n:02}{m:02}{d:02}" for m in range(1, 13) for d in range(1, 29)) for n in range(26, 30)])), "event of line 3: more than 1000 dates"),
    ],
)  # fmt: skip
def test_a_calendar_that_cannot_be_used_is_one_line(data: bytes, told: str) -> None:
    with pytest.raises(CalendarError) as error:
        read_holidays(data, first=FIRST, last=LAST)
    assert str(error.value) == told


def test_a_calendar_made_to_take_long_is_refused_soon() -> None:
    days = ",".join(map(str, range(1, 32)))
    months = ",".join(map(str, range(1, 13)))
    rule = f"RRULE:FREQ=YEARLY;COUNT=1000;BYMONTH={months};BYMONTHDAY={days}"
    late = event("DTSTART;VALUE=DATE:19000101", rule + ";INTERVAL=2")
    with pytest.raises(CalendarError, match="the calendar repeats too much"):
        read_holidays(calendar(*[late] * 2_000), first=FIRST, last=LAST)
