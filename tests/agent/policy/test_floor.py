"""Which profile demands less than another; each row is one demand, from both sides."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from agent.policy.floor import demands_less
from agent.policy.load import shipped_profile
from agent.policy.profile import SHIPPED, Ask, Profile

BASE = Profile(name="base", title="Base", kinds=(), dynamic=False)
STRICT = {
    "level": (1, 2, "level 1, at least 2"),
    "dynamic": (False, True, "dynamic = false, at least true"),
    "minimum_age": (17, 18, "minimum_age 17, at least 18"),
    "roster": ("", "staff", "roster '', at least 'staff'"),
    "blocked": ("other", "banned", "blocked 'other', at least 'banned'"),
    "ticket": ("none", "required", "ticket none, at least required"),
    "anti_passback": ("off", "on", "anti_passback off, at least on"),
    "unsensed": ("passed", "close", "unsensed passed, at least close"),
    "status_unknown": ("accept", "deny", "status_unknown accept, at least deny"),
    "regions": ((), ("CN-31",), "regions any, at most CN-31"),
    "staff_search": (True, False, "staff_search = true, at most false"),
}


def changed(**values: Any) -> Profile:
    # As lax as can be, so that a row compares what it names alone.
    return msgspec.structs.replace(BASE, **({"status_unknown": "accept"} | values))


@pytest.mark.parametrize("name", STRICT)
def test_each_demand_counts(name: str) -> None:
    lax, strict, said = STRICT[name]
    assert demands_less(changed(**{name: lax}), changed(**{name: strict})) == said
    for same in (lax, strict):
        assert demands_less(changed(**{name: same}), changed(**{name: same})) == ""
    assert demands_less(changed(**{name: strict}), changed(**{name: lax})) == (
        "blocked 'banned', at least 'other'" if name == "blocked" else ""
    )


AGES = [
    ({"minimum_age": 18}, {"needs": ("age-18",)}, ""),
    ({"needs": ("age-18",)}, {"minimum_age": 18}, ""),
    ({"needs": ("age-17", "name")}, {"minimum_age": 18}, "minimum_age 17, at least 18"),
    ({"minimum_age": 17}, {"needs": ("age-18",)}, "minimum_age 17, at least 18"),
    # What a place is told beyond an age keeps nobody out: a fleet may learn less.
    ({}, {"needs": ("name", "birth-date", "face", "finger")}, ""),
    ({"needs": ("name",)}, {}, ""),
]


@pytest.mark.parametrize(("values", "floor", "said"), AGES)
def test_an_age_among_the_needs_is_an_age_and_other_needs_are_not_compared(
    values, floor, said
) -> None:
    assert demands_less(changed(**values), changed(**floor)) == said


REGIONS = [
    (("CN-31",), ("CN-31", "CN-33"), ""),
    (("CN-31", "CN-33"), ("CN-31", "CN-33"), ""),
    (("CN-31", "DE"), ("CN-31", "CN-33"), "regions CN-31, DE, at most CN-31, CN-33"),
    (("DE",), (), ""),
]


@pytest.mark.parametrize(("regions", "floor", "said"), REGIONS)
def test_regions_may_be_fewer_and_never_more(regions, floor, said) -> None:
    assert demands_less(changed(regions=regions), changed(regions=floor)) == said


ENOUGH = {
    Ask.NONE: "none",
    Ask.FACE: "none either face",
    Ask.FINGER: "none either finger",
    Ask.EITHER: "none either",
    Ask.BOTH: "none either face finger both",
}


@pytest.mark.parametrize("asked", list(Ask))
@pytest.mark.parametrize("least", list(Ask))
def test_a_biometric_demand_is_answered_by_itself_and_by_more(asked: Ask, least: Ask) -> None:
    enough = least.value in ENOUGH[asked].split()
    said = demands_less(changed(biometric=asked), changed(biometric=least))
    assert said == ("" if enough else f"biometric {asked.value}, at least {least.value}")


BASIC = [
    ("weaker for basic ones alone", {"biometric_basic": Ask.NONE}, {}, "biometric_basic none, at least face"),
    ("basic ones are not let in", {"biometric_basic": Ask.NONE, "level": 2}, {}, ""),
    ("the floor lets them off too", {"biometric_basic": Ask.NONE}, {"biometric_basic": Ask.NONE}, ""),
    ("the floor asks more of them", {}, {"biometric_basic": Ask.BOTH}, "biometric_basic face, at least both"),
    ("as much", {"biometric_basic": Ask.BOTH}, {"biometric_basic": Ask.BOTH}, ""),
]  # fmt: skip


@pytest.mark.parametrize(
    ("values", "floor", "said"), [row[1:] for row in BASIC], ids=[row[0] for row in BASIC]
)
def test_what_is_asked_of_basic_credentials_counts_where_they_are_let_in(
    values: dict[str, Any], floor: dict[str, Any], said: str
) -> None:
    profile, least = changed(biometric=Ask.FACE, **values), changed(biometric=Ask.FACE, **floor)
    assert demands_less(profile, least) == said


def test_the_first_demand_is_told() -> None:
    assert demands_less(changed(), changed(level=2, minimum_age=18)) == "level 1, at least 2"


def test_the_library_is_the_least_of_the_shipped_ones() -> None:
    for name in SHIPPED:
        profile = shipped_profile(name)
        assert demands_less(profile, profile) == ""
        assert demands_less(profile, shipped_profile("library")) == ""
