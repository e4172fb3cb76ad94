"""What a place asks wallets for: of its own list, and of what it checks anyway."""

from __future__ import annotations

import pytest

from agent.policy.load import shipped_profile
from agent.policy.needs import least_age, needs_of, place_code
from agent.policy.profile import SHIPPED, parse_profile
from tests.agent.policy.support import RULES

NEEDS = [
    ("", 0, ""),
    ("minimum_age = 18", 18, "age-18"),
    ('needs = ["age-18"]', 18, "age-18"),
    ('needs = ["age-9", "age-18"]', 18, "age-18"),
    ('minimum_age = 21\nneeds = ["age-18"]', 21, "age-21"),
    ('minimum_age = 16\nneeds = ["age-18"]', 18, "age-18"),
    ('needs = ["name", "birth-date", "name"]', 0, "birth-date name"),
    ('biometric = "face"', 0, "face"),
    ('biometric = "finger"', 0, "finger"),
    ('biometric = "both"', 0, "face finger"),
    ('biometric = "either"', 0, "face finger"),
    ('biometric = "face"\nneeds = ["face", "age-1"]', 1, "age-1 face"),
    ('biometric = "face"\nbiometric_basic = "finger"', 0, "face finger"),
    ('biometric = "none"\nbiometric_basic = "face"', 0, "face"),
    ('biometric = "face"\nbiometric_basic = "none"', 0, "face"),
    ('level = 2\nbiometric = "face"\nbiometric_basic = "finger"', 0, "face"),
]


@pytest.mark.parametrize(
    ("lines", "age", "words"), NEEDS, ids=[row[0].replace("\n", ", ") for row in NEEDS]
)
def test_what_a_profile_needs(lines: str, age: int, words: str) -> None:
    profile = parse_profile(RULES + lines, source="case")
    assert (least_age(profile), " ".join(needs_of(profile))) == (age, words)


SHIPPED_NEEDS = {
    "railway": "face",
    "library": "",
    "government-hall": "face finger",
    "hotel": "face",
    "airport": "face finger",
    "internet-cafe": "age-18 face",
    "logistics": "",
}


@pytest.mark.parametrize("name", SHIPPED)
def test_no_shipped_place_asks_for_a_birth_date_or_a_name(name: str) -> None:
    assert " ".join(needs_of(shipped_profile(name))) == SHIPPED_NEEDS[name]


def test_a_place_code() -> None:
    cafe, library = shipped_profile("internet-cafe"), shipped_profile("library")
    assert place_code("mall", "g1", cafe) == "idgate:mall/g1?need=age-18,face"
    assert place_code("mall", "g1", cafe, b"\x00\xff" * 4) == (
        "idgate:mall/g1?cnonce=00ff00ff00ff00ff&need=age-18,face"
    )
    # A place that needs nothing says so: without the word a wallet tells what it would anywhere.
    assert place_code("town", "in", library) == "idgate:town/in?need="
