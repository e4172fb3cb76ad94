"""Whether one profile demands less than another: what settings from afar may not bring about.

Compared is what keeps people out: level, freshness, biometrics, age, lists, tickets, regions. Which
kinds, formats and hours a place has is not less or more, and is not compared. Nor is what a place
needs to be told beyond that: nobody is kept out by it who chooses to tell, and a fleet may learn
less of people. An age among the needs is compared as an age.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from agent.policy.needs import least_age
from agent.policy.profile import Ask, Profile

__all__ = ["demands_less"]

_COVERED: Final = {
    Ask.NONE: frozenset({Ask.NONE}),
    Ask.FACE: frozenset({Ask.NONE, Ask.EITHER, Ask.FACE}),
    Ask.FINGER: frozenset({Ask.NONE, Ask.EITHER, Ask.FINGER}),
    Ask.EITHER: frozenset({Ask.NONE, Ask.EITHER}),
    Ask.BOTH: frozenset(Ask),
}
"""What each demand answers besides itself."""

_BASIC: Final = 1


def demands_less(profile: Profile, floor: Profile) -> str:
    """Return the first demand of `floor` that `profile` does not make, in words; "" for none."""
    return next(_missing(profile, floor), "")


def _missing(profile: Profile, floor: Profile) -> Iterator[str]:
    if profile.level < floor.level:
        yield f"level {profile.level}, at least {floor.level}"
    if floor.dynamic and not profile.dynamic:
        yield "dynamic = false, at least true"
    if least_age(profile) < least_age(floor):
        yield f"minimum_age {least_age(profile)}, at least {least_age(floor)}"
    if floor.biometric not in _COVERED[profile.biometric]:
        yield f"biometric {profile.biometric.value}, at least {floor.biometric.value}"
    # What is asked of a basic credential counts where one is let in.
    basic, least = (each.biometric_basic or each.biometric for each in (profile, floor))
    if profile.level == _BASIC and least not in _COVERED[basic]:
        yield f"biometric_basic {basic.value}, at least {least.value}"
    if profile.staff_search and not floor.staff_search:
        yield "staff_search = true, at most false"
    for name in ("roster", "blocked"):
        wanted = getattr(floor, name)
        if wanted and getattr(profile, name) != wanted:
            yield f"{name} {getattr(profile, name)!r}, at least {wanted!r}"
    if floor.regions and not (profile.regions and set(profile.regions) <= set(floor.regions)):
        yield f"regions {', '.join(profile.regions) or 'any'}, at most {', '.join(floor.regions)}"
    for name, strict in _STRICT.items():
        if getattr(floor, name) == strict and getattr(profile, name) != strict:
            yield f"{name} {getattr(profile, name)}, at least {strict}"


_STRICT: Final = {
    "ticket": "required",
    "anti_passback": "on",
    "unsensed": "close",
    "status_unknown": "deny",
}
"""Of each word that a profile can say, the one that lets fewer people in."""
