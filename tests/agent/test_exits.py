"""Exit codes are an interface: service managers and scripts know the numbers."""

from __future__ import annotations

from agent.exits import HOPELESS, Exit


def test_the_numbers_stay() -> None:
    assert {code.name: int(code) for code in Exit} == {
        "DONE": 0,
        "NO": 1,
        "SETTINGS": 2,
        "UNAVAILABLE": 3,
        "FAULT": 70,
        "RESTART": 75,
        "INTERRUPTED": 130,
        "NO_READER": 141,
    }


def test_only_what_takes_somebody_is_hopeless() -> None:
    assert {Exit.SETTINGS} == HOPELESS
