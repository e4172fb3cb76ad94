"""What people type is kept in one spelling, and what would deceive a reader is refused."""

from __future__ import annotations

import unicodedata
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.desk.text import TextError, birth_date, clean, email, fold

TODAY = date(2027, 1, 15)


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("  Ada   Lovelace ", "Ada Lovelace"),
        ("Jose\u0301", "José"),
        ("Ada\u200bLove\ufefflace\u00ad", "AdaLovelace"),
        ("محمد\u200f", "محمد"),
        ("می\u200cروم", "می\u200cروم"),  # a joiner that Persian needs
        ("王小明", "王小明"),
        ("Ada\u00a0L.\t", "Ada L."),
        ("", ""),
    ],
)
def test_kept(typed, kept) -> None:
    assert clean(typed, "name", most=40) == kept


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("Ada\nAdmin", "name: a character that cannot be shown, U+000A"),
        ("Ada\x1b[2J", "name: a character that cannot be shown, U+001B"),
        ("Ada\0", "name: a character that cannot be shown, U+0000"),
        ("Ada\u2028Admin", "name: a character that cannot be shown, U+2028"),
        ("Ada\ud800", "name: a character that cannot be shown, U+D800"),
        ("Ada\ue000", "name: a character that cannot be shown, U+E000"),
        ("Ada\U000e0041", "name: a character that cannot be shown, U+E0041"),
        ("\u202eadA", "name: a character that turns the direction of writing"),
        ("Ada\u2066", "name: a character that turns the direction of writing"),
        ("A" + "\u0335" * 5, "name: more than 4 marks on one letter"),
        ("A" * 41, "name: over 40 characters"),
        ("A" * 10_000_000, "name: over 40 characters"),
        ("\u200b", "name: empty"),
        ("   ", "name: empty"),
    ],
)
def test_refused(typed, told) -> None:
    with pytest.raises(TextError) as refused:
        clean(typed, "name", most=40, least=1)
    assert str(refused.value) == told


@given(st.text(max_size=60))
def test_what_is_kept_is_kept_as_it_is(typed: str) -> None:
    try:
        kept = clean(typed, "name", most=40)
    except TextError:
        kept = ""
    assert clean(kept, "name", most=40) == kept == unicodedata.normalize("NFC", kept)
    assert len(kept) <= 40
    assert not any(unicodedata.category(each) in ("Cc", "Zl", "Zp", "Cs") for each in kept)


@pytest.mark.parametrize(
    "good", ["ada@example.org", "a.b+c@ex-a.co.uk", "ñ@münchen.example", "x@王.example", ""]
)
def test_addresses(good) -> None:
    assert email(f" {good} ") == good


@pytest.mark.parametrize(
    "bad",
    [
        "ada", "ada@", "@example.org", "a@b", "a b@example.org", "a@example..org", "<a@example.org>",
        "a@example.org, b@example.org", "a@-x.org", "a@x.1", "a@" + "x" * 64 + ".org",
        "a" * 65 + "@example.org", "a@example.org\nBcc: b@example.org", "a@" + "x." * 120 + "org",
    ],
)  # fmt: skip
def test_what_is_no_address(bad) -> None:
    with pytest.raises(TextError, match=r"^e-mail: "):
        email(bad)


@pytest.mark.parametrize("good", ["1990-12-31", "2027-01-15", "1880-01-01", "2024-02-29", ""])
def test_birth_dates(good) -> None:
    assert birth_date(good, TODAY) == good


@pytest.mark.parametrize(
    "bad",
    ["2027-01-16", "1879-12-31", "2023-02-29", "1990-13-01", "31.12.1990", "19901231", "1990-W01-1",
     "\uff11990-12-31"],
)  # fmt: skip
def test_what_is_no_birth_date(bad) -> None:
    with pytest.raises(TextError, match=r"^birth date: "):
        birth_date(bad, TODAY)


def test_a_search_makes_no_difference_of_case_accents_or_width() -> None:
    assert fold("JOSÉ Straße \uff21\uff22") == fold("josé STRASSE ab") == "jose strasse ab"
