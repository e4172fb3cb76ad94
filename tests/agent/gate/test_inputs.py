"""The inputs: lines and levels, and two beams as a table of bodies, broken for how long and why."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.gate.inputs import Beams, Debounce, Inputs, Line, lines
from agent.passage.events import (
    DoorChanged,
    FireChanged,
    GateFault,
    KeyTurned,
    LaneEntered,
    PassageReversed,
    PassageSensed,
    ReleasePressed,
    TamperChanged,
)
from agent.passage.types import Direction, Mode
from agent.settings.model import GpioConfig
from hal.gpio import Pull

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
    ("something over both that goes at once", "b300", [PassageSensed(None)]),
    ("something over both that goes at once, then a body in", "b300 -300 o100 b100 i100",
     [PassageSensed(None), LANE, IN]),
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


@given(st.lists(st.booleans(), max_size=200))
def test_debounce_never_believes_what_was_not_stable(samples):
    debounce, believed = Debounce(0.02, 0.02), None
    for index, sample in enumerate(samples):
        debounce.update(sample, index * PERIOD)
        if index and debounce.active != believed:
            assert set(samples[index - 4 : index + 1]) == {sample}
        believed = debounce.active


@pytest.mark.parametrize("active", [False, True])
def test_a_change_is_believed_when_it_was_stable_for_its_time(active):
    debounce = Debounce(rise_s=0.5, fall_s=0.25)
    needed = 0.5 if active else 0.25
    assert debounce.update(not active, 9.0) is True, "the first sample is believed"
    assert debounce.update(active, 10.0) is False
    assert debounce.update(active, 10.0 + needed - 0.0625) is False
    assert debounce.update(not active, 10.0 + needed) is False
    assert debounce.update(active, 20.0) is False, "the time begins anew"
    assert debounce.update(active, 20.0 + needed - 0.0625) is False
    assert debounce.active is not active
    assert debounce.update(active, 20.0 + needed) is True
    assert debounce.active is active
    assert debounce.update(active, 30.0) is False
    assert debounce.update(not active, 40.0) is False, "and again for the way back"


def test_nothing_is_believed_before_the_first_sample():
    assert Debounce(0.0, 0.0).active is None


# --- lines

ALL = {"fire": 1, "tamper": 2, "door": 3, "release": 4, "key": 5, "passage": 6, "passage_2": 7}
UP, DOWN = Pull.UP, Pull.DOWN


@pytest.mark.parametrize(
    ("active", "expected"),
    [
        (
            "high",
            [("fire", UP, True), ("tamper", UP, True), ("door", UP, True), ("release", UP, True),
             ("key", UP, True), ("passage", DOWN, True), ("passage_2", DOWN, True)],
        ),
        (
            "low",
            [("fire", UP, True), ("tamper", UP, True), ("door", UP, False), ("release", UP, False),
             ("key", UP, False), ("passage", UP, False), ("passage_2", UP, False)],
        ),
    ],
)  # fmt: skip
def test_lines_are_as_the_wiring_is_drawn(active, expected):
    """A cut wire of fire or tamper reads as an alarm, whatever the other contacts' polarity."""
    polarity = {f"{name}_active": active for name in ("door", "release", "key", "passage")}
    settings = GpioConfig(**ALL, **polarity)
    assert lines(settings) == tuple(
        Line(name, ALL[name], pull, level) for name, pull, level in expected
    )


@pytest.mark.parametrize("fitted", sorted(ALL))
def test_what_is_not_fitted_has_no_line(fitted):
    settings = GpioConfig(**{name: pin if name == fitted else None for name, pin in ALL.items()})
    assert [(line.name, line.pin) for line in lines(settings)] == [(fitted, ALL[fitted])]


class Levels:
    """Lines that are at rest until told otherwise, by name; times are the test's."""

    def __init__(self, **settings: object) -> None:
        self.settings = GpioConfig(**{"debounce_ms": 0, **settings})
        self.lines = {line.name: line for line in lines(self.settings)}
        self.active: set[str] = set()
        self.pulls: dict[int, Pull] = {}
        self.inputs = Inputs(self, self.settings)
        self.inputs.poll(-100.0)

    def setup_input(self, pin: int, *, pull: Pull) -> None:
        self.pulls[pin] = pull

    def read(self, pin: int) -> bool:
        (line,) = (line for line in self.lines.values() if line.pin == pin)
        return (line.name in self.active) == line.active

    def at(self, now: float, *active: str) -> list[object]:
        self.active = set(active)
        return self.inputs.poll(now)


def test_every_line_is_set_up_with_its_pull():
    levels = Levels(**ALL, passage_active="high")
    assert levels.pulls == {}
    levels.inputs.setup()
    assert levels.pulls == {1: UP, 2: UP, 3: UP, 4: UP, 5: UP, 6: DOWN, 7: DOWN}


@pytest.mark.parametrize(
    ("name", "debounce_ms", "rise_s", "fall_s"),
    [
        ("fire", 0, 0.0, 1.0),
        ("fire", 500, 0.0, 1.0),
        ("tamper", 0, 0.0, 1.0),
        ("tamper", 500, 0.5, 1.0),
        ("door", 0, 0.0, 0.25),
        ("door", 125, 0.125, 0.25),
        ("door", 500, 0.5, 0.5),
        ("key", 0, 0.0, 0.0),
        ("key", 125, 0.125, 0.125),
        ("release", 125, 0.125, 0.125),
        ("passage", 125, 0.125, 0.125),
    ],
)
def test_how_long_each_input_must_be_steady(name, debounce_ms, rise_s, fall_s):
    levels = Levels(**ALL, debounce_ms=debounce_ms)
    before = 2**-20
    levels.at(0.0, name)
    if rise_s:
        levels.at(rise_s - before, name)
        assert not levels.inputs.active(name)
    levels.at(rise_s, name)
    assert levels.inputs.active(name)
    levels.at(8.0)
    if fall_s:
        levels.at(8.0 + fall_s - before)
        assert levels.inputs.active(name)
    levels.at(8.0 + fall_s)
    assert not levels.inputs.active(name)


@pytest.mark.parametrize(
    ("name", "begins", "ends"),
    [
        ("fire", [FireChanged(active=True)], [FireChanged(active=False)]),
        ("tamper", [TamperChanged(active=True)], [TamperChanged(active=False)]),
        ("door", [DoorChanged(is_open=True)], [DoorChanged(is_open=False)]),
        ("release", [ReleasePressed()], []),
        ("key", [KeyTurned(Mode.MAINTENANCE)], [KeyTurned(Mode.NORMAL)]),
        ("passage", [PassageSensed(None)], []),
    ],
)
def test_what_each_input_says(name, begins, ends):
    levels = Levels(**{**ALL, "passage_2": None}, key_mode="maintenance")
    assert levels.at(0.0, name) == begins
    assert levels.at(1.0, name) == []
    levels.at(2.0)
    assert levels.at(3.0) + levels.at(4.0) == (ends if name in {"fire", "tamper", "door"} else [])
    levels = Levels(**{**ALL, "passage_2": None}, key_mode="maintenance")
    levels.at(0.0, name)
    assert levels.at(1.0) + levels.at(2.0) == ends


@pytest.mark.parametrize("mode", ["free", "locked", "maintenance"])
def test_the_key_turns_to_the_mode_that_the_settings_name(mode):
    levels = Levels(key=20, key_mode=mode)
    assert levels.at(0.0, "key") == [KeyTurned(Mode(mode))]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("fire", [FireChanged(active=True)]),
        ("tamper", [TamperChanged(active=True)]),
        ("door", [DoorChanged(is_open=True)]),
        ("key", [KeyTurned(Mode.LOCKED)]),
        ("release", []),
        ("passage", []),
    ],
)
def test_what_is_not_at_rest_at_the_start(name, told):
    """A door that stands open is told; a button that is held down, or a beam, is no wish to pass."""
    levels = Levels(**{**ALL, "passage_2": None})
    levels.active = {name}
    fresh = Inputs(levels, levels.settings)
    assert not fresh.active(name)
    assert fresh.poll(0.0) == told
    assert fresh.active(name)


def test_fire_is_told_before_anything_else():
    levels = Levels(**{**ALL, "passage_2": None})
    assert levels.at(0.0, *ALL)[0] == FireChanged(active=True)


def test_what_is_not_fitted_is_not_active():
    levels = Levels(door=None)
    assert levels.inputs.active("door") is False
    assert levels.inputs.active("fire") is False


@pytest.mark.parametrize(("free_s", "people"), [(0.25, 1), (0.296875, 1), (0.3, 2), (0.3125, 2)])
def test_one_beam_tells_legs_from_people_by_the_time_between(free_s, people):
    levels = Levels()
    found = levels.at(-2.0, "passage") + levels.at(0.0) + levels.at(free_s, "passage")
    assert found == [PassageSensed(None)] * people


def test_a_beam_that_was_broken_at_the_start_is_free_before_it_counts():
    levels = Levels()
    levels.active = {"passage"}
    levels.inputs = Inputs(levels, levels.settings)
    assert levels.at(0.0, "passage") + levels.at(1.0) + levels.at(1.25, "passage") == []
    assert levels.at(2.0) + levels.at(3.0, "passage") == [PassageSensed(None)]


@pytest.mark.parametrize("name", ["passage", "passage_2", "release"])
def test_a_beam_or_a_button_that_does_not_come_back_is_a_fault_once(name):
    levels, said = Levels(**ALL), f"input {name} has been active for 10 s"

    def faults(now: float, *active: str) -> list[object]:
        return [event for event in levels.at(now, *active) if isinstance(event, GateFault)]

    for start in (0.0, 100.0):
        assert faults(start, name) == faults(start + 9.984375, name) == []
        assert faults(start + 10.0, name) == [GateFault(said)]
        assert faults(start + 20.0, name) == faults(start + 30.0, name) == []
        assert faults(start + 31.0) == [GateFault(said, active=False)]
        assert faults(start + 32.0) == []
    assert faults(200.0, name) == faults(205.0) == faults(206.0, name) == faults(215.0, name) == []


@pytest.mark.parametrize("name", ["fire", "tamper", "door", "key"])
def test_what_may_stay_active_for_long_is_no_fault(name):
    levels = Levels(**ALL)
    levels.at(0.0, name)
    assert levels.at(1_000.0, name) == []


def test_two_beams_are_looked_at_together():
    levels = Levels(passage_2=7)
    assert levels.at(0.0, "passage_2") == [LaneEntered()]
    assert levels.at(1.0, "passage") == [OUT]
    assert levels.at(2.0) == []
