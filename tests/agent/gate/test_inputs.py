"""Two beams as a table of bodies: what was broken for how long, and what that means."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.gate.inputs import Beams, Debounce
from agent.passage.events import LaneEntered, PassageReversed, PassageSensed
from agent.passage.types import Direction

IN, OUT = PassageSensed(Direction.IN), PassageSensed(Direction.OUT)
LANE, BACK = LaneEntered(), PassageReversed()
PERIOD = 0.005
STATES = {"-": (False, False), "o": (True, False), "b": (True, True), "i": (False, True)}


def play(walk: str) -> list[object]:
    """Play `o300 b200 i300`: outer, both, inner beam broken, `-` neither; milliseconds each."""
    beams, events, now = Beams(), [], 0.0
    for part in [*walk.split(), "-1000"]:
        for _ in range(round(int(part[1:]) / 1000 / PERIOD)):
            now += PERIOD
            events += beams.update(*STATES[part[0]], now)
    return events


TABLE = [
    ("a body that goes in", "o150 b150 i150", [LANE, IN]),
    ("a body that goes out", "i150 b150 o150", [LANE, OUT]),
    ("somebody slow", "o3000 b3000 i3000", [LANE, IN]),
    ("a hand before the lane", "o100", [LANE, BACK]),
    ("turns round between the beams", "o200 b300 o200", [LANE, BACK]),
    ("turns round twice, then goes", "o200 b100 o100 b100 i100", [LANE, IN]),
    ("a thin body that breaks one after the other", "o100 -100 i100", [LANE, IN]),
    ("too long between the beams to be one body", "o100 -600 i100", [LANE, BACK, LANE, BACK]),
    ("legs: the first beam flickers", "o100 b50 i30 b50 i100", [LANE, IN]),
    ("a second person in the first one's back", "o200 b200 i200 b200 i200", [LANE, IN, LANE, IN]),
    ("a third", "o200 b200 i200 b200 i200 b200 i200", [LANE, IN] + [LANE, IN] * 2),
    (
        "two people with a gap",
        "o200 b200 i200 -300 o200 b200 i200",
        [LANE, IN, LANE, IN],
    ),
    ("through, and at once back out", "o200 b200 i50 b100 o100", [LANE, IN, OUT]),
    ("through, a pause, and back out", "o200 b200 i300 b100 o100", [LANE, IN, LANE, BACK]),
    ("a coat over both, then in", "b200 i200", [IN]),
    ("a coat over both, then out", "b200 o200", [OUT]),
    ("something over both that goes at once", "b300", [PassageSensed(None)]),
    ("both covered, in, and back out", "b200 i200 b200 o200", [IN, LANE, BACK]),
    ("nobody", "-500", []),
]


@pytest.mark.parametrize(("what", "walk", "events"), TABLE, ids=[row[0] for row in TABLE])
def test_beams(what, walk, events):
    assert play(walk) == events


@given(st.lists(st.tuples(st.sampled_from("-obi"), st.integers(5, 900)), max_size=25))
def test_after_any_walk_the_beams_are_ready_for_the_next_person(parts):
    walk = " ".join(f"{state}{ms}" for state, ms in parts)
    assert play(f"{walk} -1000 o150 b150 i150")[-2:] == [LANE, IN]


@given(st.lists(st.booleans(), max_size=200))
def test_debounce_never_believes_what_was_not_stable(samples):
    debounce, believed = Debounce(0.02, 0.02), None
    for index, sample in enumerate(samples):
        debounce.update(sample, index * PERIOD)
        if index and debounce.active != believed:
            assert set(samples[index - 4 : index + 1]) == {sample}
        believed = debounce.active
