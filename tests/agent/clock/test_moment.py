"""Moments as people write and read them."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.clock.moment import LAST, moment_text, parse_moment

READ = [
    ("1970-01-01T00:00:00Z", 0),
    ("1970-01-01", 0),
    ("1970-01-02", 86_400),
    ("2026-05-01T08:00:00Z", 1_777_622_400),
    ("2026-05-01T08:00:00", 1_777_622_400),
    ("2026-05-01 08:00", 1_777_622_400),
    ("2026-05-01T10:00:00+02:00", 1_777_622_400),
    ("2026-05-01T02:30:00-05:30", 1_777_622_400),
    ("2026-05-01T08:00:00.999999Z", 1_777_622_400),
    ("2026-05-01T08:00:00.123456789012+00:00", 1_777_622_400),
    ("2026-05-01T08:00:00." + "9" * 20, 1_777_622_400),  # 40 characters, the longest
    ("0", 0),
    ("1777622400", 1_777_622_400),
    ("1777622400.9", 1_777_622_400),
    ("1777622400.999999999", 1_777_622_400),
    ("20260501", 20_260_501),  # digits are Unix seconds, whatever date they resemble
    ("9999-12-31T23:59:59Z", LAST),
    ("253402300799", LAST),
    ("253402300799.9", LAST),
    ("1970-01-01T01:00:00+01:00", 0),
]

NONE = [
    "",
    "inf",
    "-inf",
    "nan",
    "1e30",
    "1e9",
    "0x10",
    "1_000",
    "+5",
    "-5",
    " 5",
    "5\n",
    "5.",
    ".5",
    "5.1234567890",
    "1234567890123",
    "now",
    "tomorrow",
    "2026-02-30",
    "2026-05-01T25:00:00Z",
    "2026-05-01T08:00:00Z\n",
    "2026-05-01T08:00:00 Europe/Berlin",
    "2026-05-01T08:00:00." + "9" * 21,
    "2026-05-01\u00e908:00:00",  # any character stands between date and time, if Python is asked
    "\u0661\u0667\u0667",  # digits of another script
    "\uff12026-05-01",
    "2026-05-01T08:00:00Z" + "0" * 30,
    "9" * 5_000,
]

OUTSIDE = [
    "253402300800",
    "999999999999",
    "1969-12-31T23:59:59Z",
    "1969-12-31T23:59:59.999Z",
    "0001-01-01",
    "0001-01-01T00:00:00+14:00",
    "1970-01-01T00:00:00+01:00",
    "9999-12-31T23:59:59-00:01",
]


@pytest.mark.parametrize(("text", "moment"), READ)
def test_a_moment_is_read(text: str, moment: int) -> None:
    assert parse_moment(text) == moment
    assert isinstance(parse_moment(text), int)


@pytest.mark.parametrize("text", NONE)
def test_what_is_no_moment_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^neither ISO 8601 nor Unix seconds$"):
        parse_moment(text)


@pytest.mark.parametrize("text", OUTSIDE)
def test_a_moment_of_no_calendar_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^not between 1970 and 9999$"):
        parse_moment(text)


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (0.9, "1970-01-01T00:00:00Z"),
        (1_777_622_400, "2026-05-01T08:00:00Z"),
        (1_777_622_400.999, "2026-05-01T08:00:00Z"),
        (LAST, "9999-12-31T23:59:59Z"),
        (LAST + 1, "253402300800 s"),
        (2**53, "9007199254740992 s"),
        (-1, "-1 s"),
        (float("inf"), "inf s"),
        (float("nan"), "nan s"),
    ],
)
def test_a_moment_is_written_in_utc(moment: float, text: str) -> None:
    assert moment_text(moment) == text


def test_the_zone_of_this_machine_is_of_no_concern(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        assert moment_text(0) == "1970-01-01T00:00:00Z"
        assert parse_moment("1970-01-01T00:00:00") == 0
    finally:
        monkeypatch.undo()
        time.tzset()


@given(st.integers(0, LAST))
def test_what_is_written_is_read(moment: int) -> None:
    assert parse_moment(moment_text(moment)) == moment


@given(st.text(max_size=50))
def test_any_text_is_a_moment_or_a_value_error(text: str) -> None:
    try:
        found = parse_moment(text)
    except ValueError:
        return
    assert 0 <= found <= LAST
