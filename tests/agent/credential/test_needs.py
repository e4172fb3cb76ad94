"""The words of selective disclosure."""

from __future__ import annotations

import pytest

from agent.credential.needs import OLDEST, WORDS, Redact, age_of, parse_need


@pytest.mark.parametrize("word", [*WORDS, "age-1", "age-18", "age-150"])
def test_words(word):
    assert parse_need(word) == word


@pytest.mark.parametrize(
    "word",
    ["", "age", "age-", "age-0", "age-018", "age-151", "age-1000", "age--1", "Age-18", "age-18 ",
     "age-٣", "birth_date", "photo", "face,finger"],
)  # fmt: skip
def test_what_is_no_word(word):
    assert age_of(word) is None
    with pytest.raises(
        ValueError, match="is no need; known: birth-date, face, finger, name, age-N"
    ):
        parse_need(word)


def test_a_long_word_is_cut_in_the_message():
    with pytest.raises(ValueError, match=r"'x{40}' is no need"):
        parse_need("x" * 900)


def test_ages():
    assert [age_of(word) for word in ("age-1", f"age-{OLDEST}", "face")] == [1, OLDEST, None]


def test_what_can_be_redacted():
    assert [*Redact] == ["birth-date", "ages", "face", "fingers", "names"]
