"""What options take."""

from __future__ import annotations

import argparse

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.commands import values


def refused(read, text: str) -> bool:
    said = ""
    try:
        read(text)
    except argparse.ArgumentTypeError as error:
        said = str(error)
    assert "\n" not in said
    assert len(said) < 200
    return said != ""


@pytest.mark.parametrize(
    ("read", "good", "bad"),
    [
        (values.number(0, 10), ["0", "0.5", "10", "010", "10.000"], ["-0", "10.1", "-1", "1e0"]),
        (values.number(0, 10, above=True), ["0.001", "10"], ["0", "0.0", "10.000001", "-1"]),
        (values.number(2, 10, above=True), ["2.1", "10"], ["2", "1.9"]),
        (values.number(2, 10), ["2", "2.0"], ["1.999", "", "inf", "nan", "Infinity", "1_0", " 3"]),
        (values.count(0, 9), ["0", "9", "09"], ["10", "-1", "+1", "1.0", "", "٣", "1_0", "3\n"]),
        (values.count(5, 9), ["5", "9"], ["4", "10", "9" * 5_000, "0x5"]),
        (values.hexadecimal, ["", "00", "ff AA"], ["a", "zz", "0x00"]),
        (values.date, ["2000-02-29", "0001-01-01"], ["1900-02-29", "20000229", "2000-2-29", "٢000-01-01", "2000-01-01\n", ""]),
        (values.moment, ["0", "2026-05-01", "2026-05-01T08:00:00+02:00"], ["inf", "nan", "1e30", "-1", "soon", "x" * 5_000]),
    ],
)  # fmt: skip
def test_both_sides_of_each_limit(read, good: list[str], bad: list[str]) -> None:
    assert [text for text in good if refused(read, text)] == []
    assert [text for text in bad if not refused(read, text)] == []


def test_what_is_read_is_the_value() -> None:
    assert values.number(0, 10)("2.50") == 2.5
    assert values.count(0, 10)("07") == 7
    assert values.hexadecimal("00ff") == b"\x00\xff"
    assert values.date("2000-02-29") == "2000-02-29"
    assert values.moment("1970-01-02") == 86_400


@given(st.text(max_size=30))
def test_any_text_is_a_value_or_a_line(text: str) -> None:
    for read in (values.number(0, 10), values.count(0, 9), values.hexadecimal, values.date):
        refused(read, text)
    refused(values.moment, text)
