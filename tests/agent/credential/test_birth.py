"""Birth dates of less than a day's precision."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from agent.credential import birth
from agent.credential.cbor import Tagged


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("1964-08-17", (1964, 8, 17), (1964, 8, 17)),
        ("1964-08", (1964, 8, 1), (1964, 8, 31)),
        ("1964-02", (1964, 2, 1), (1964, 2, 29)),
        ("1900-02", (1900, 2, 1), (1900, 2, 28)),
        ("1964-12", (1964, 12, 1), (1964, 12, 31)),
        ("1964", (1964, 1, 1), (1964, 12, 31)),
        ("0001", (1, 1, 1), (1, 12, 31)),
        ("9999-12", (9999, 12, 1), (9999, 12, 31)),
    ],
)
def test_days(text: str, first: tuple[int, int, int], last: tuple[int, int, int]) -> None:
    assert birth.days(text) == (date(*first), date(*last))


@pytest.mark.parametrize(
    "text",
    [
        "", "0000", "0000-01", "0000-01-01", "1964-00", "1964-13", "1964-00-01", "1964-02-30", "1964-08-00",
        "64", "196", "19640", "196408", "19640817", "1964-8", "1964-", "1964-08-", "1964-08-1", "1964-08-17T",
        "1964\n", "1964-08\n", "1964-08-17\n", " 1964", "\u0661\u0669\u0666\u0664", "1964-\u0660\u0668", "1964/08",
        "+1964", "-1964", "1964-W08",
    ],
)  # fmt: skip
def test_no_days(text: str) -> None:
    assert birth.days(text) is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("1964", "1964"), ("1964-08", "1964-08"), ("1964-08-17", "1964-08-17"), ("19640817", "1964-08-17"),
        ("1964-0817", "1964-08-17"), (Tagged(0, "1964-08-17"), "1964-08-17"), (Tagged(1004, "1964"), "1964"),
        ("196408", None), ("19640230", None), ("1964-02-30", None), ("1964-13", None), ("19640817\n", None),
        ("\u0661" * 8, None), (1964, None), (19640817, None), (None, None), (b"1964", None), (["1964"], None),
        (Tagged(1, -170_000_000), None), (Tagged(0, Tagged(0, "1964")), None),
    ],
)  # fmt: skip
def test_parsed(value: Any, expected: str | None) -> None:
    assert birth.parsed(value) == expected
