"""Two beams as a table of bodies, broken for how long and why."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.gatekeeper.beams import Beams
from agent.gatekeeper.wire import Event

IN, OUT, SOMEHOW = Event("passed", which=1), Event("passed", which=2), Event("passed")
LANE, BACK = Event("lane"), Event("reversed")
PERIOD = 0.005
STATES = {"-": (False, False), "o": (True, False), "b": (True, True), "i": (False, True)}


def play(walk: str) -> list[Event]:
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
    ("steps back, stands, and goes", "o100 -100 o600 b100 i100", [LANE, IN]),
    ("in at a run, and gone while in both", "o5 b100", [LANE, IN]),
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
    ("something over both that goes at once", "b300", [SOMEHOW]),
    ("something over both that goes at once, then a body in", "b300 -300 o100 b100 i100",
     [SOMEHOW, LANE, IN]),
    ("both covered, and a leg behind", "b200 i50 b50 i100", [IN]),
    ("both covered on the way out, and a leg behind", "b200 o50 b50 o100", [OUT]),
    ("both covered, a second person in the first one's back", "b200 i200 b200 i200", [IN, LANE, IN]),
    ("in, and gone while in both", "o100 b100", [LANE, IN]),
    ("out, and gone while in both", "i100 b100", [LANE, OUT]),
    ("in, and the next one looks in", "o200 b200 i200 b200 o200", [LANE, IN, LANE, BACK]),
    ("a body out, then one in", "i150 b150 o150 -100 o150 b150 i150", [LANE, OUT, LANE, IN]),
    ("both covered, in, and back out", "b200 i200 b200 o200", [IN, LANE, BACK]),
    ("nobody", "-500", []),
]  # fmt: skip


@pytest.mark.parametrize(("what", "walk", "events"), TABLE, ids=[row[0] for row in TABLE])
def test_beams(what, walk, events):
    assert play(walk) == events


@pytest.mark.parametrize(
    ("samples", "events"),
    [
        # Gone from the first beam: the second may be broken until 0.4 s later
        ([(0, "o"), (1, "-"), (1.375, "-"), (1.4, "i")], [LANE, IN]),
        ([(0, "o"), (1, "-"), (1.375, "-")], [LANE]),
        ([(0, "o"), (1, "-"), (1.40625, "-")], [LANE, BACK]),
        ([(0, "o"), (0, "-"), (0.4, "-")], [LANE, BACK]),
        # and once somebody has turned round, the next break is another walk
        ([(0, "o"), (1, "-"), (2, "-"), (3, "-"), (4, "i")], [LANE, BACK, LANE]),
        # Through, and the first beam is broken again: by another person from 0.15 s on
        ([(0, "o"), (0, "i"), (0.15, "b"), (1, "i")], [LANE, IN, LANE, IN]),
        ([(0, "o"), (0, "i"), (0.140625, "b"), (1, "i")], [LANE, IN]),
        ([(0, "o"), (1, "i"), (1.15625, "b"), (2, "i")], [LANE, IN, LANE, IN]),
        ([(0, "o"), (1, "i"), (1.125, "b"), (2, "i")], [LANE, IN]),
        # also where both were broken at once
        ([(0, "b"), (0, "i"), (0.15, "b"), (1, "i")], [IN, LANE, IN]),
        ([(0, "b"), (1, "i"), (1.125, "b"), (2, "i")], [IN]),
        ([(0, "b"), (1, "i"), (1.125, "-"), (2, "i")], [IN, LANE]),
        # Free again for a moment only counts from the last time
        ([(0, "o"), (1, "i"), (1.125, "b"), (1.25, "i"), (1.375, "b"), (2, "i")], [LANE, IN]),
    ],
)
def test_moments_of_the_beams(samples, events):
    beams, found = Beams(), []
    for now, state in samples:
        found += beams.update(*STATES[state], now)
    assert found == events


@given(st.lists(st.tuples(st.sampled_from("-obi"), st.integers(5, 900)), max_size=25))
def test_after_any_walk_the_beams_are_ready_for_the_next_person(parts):
    walk = " ".join(f"{state}{ms}" for state, ms in parts)
    assert play(f"{walk} -1000 o150 b150 i150")[-2:] == [LANE, IN]
