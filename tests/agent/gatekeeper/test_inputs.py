"""The inputs: lines and levels, how long each must be steady, and how each misbehaves."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.gatekeeper.inputs import Debounce, Inputs
from agent.gatekeeper.pinmap import Line, inputs
from agent.gatekeeper.wire import Event
from agent.gatekeeper.words import INPUTS, KINDS, MODES, Mode
from agent.settings.model import GpioConfig
from hal.gpio import Pull
from tests.support.rig import lines_of

PERIOD = 0.005


def fault(name: str, kind: str, *, on: bool = True) -> Event:
    return Event("fault", on, INPUTS.index(name), KINDS.index(kind))


def key(mode: str, *, on: bool = True) -> Event:
    return Event("key", on, MODES.index(Mode(mode)))


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
    debounce_s = {"fire": 0.0, "release": 0.05}
    assert inputs(lines_of(settings)) == tuple(
        Line(name, ALL[name], pull is UP, level, debounce_s.get(name, 0.02))
        for name, pull, level in expected
    )


@pytest.mark.parametrize("fitted", sorted(ALL))
def test_what_is_not_fitted_has_no_line(fitted):
    settings = GpioConfig(**{name: pin if name == fitted else None for name, pin in ALL.items()})
    found = inputs(lines_of(settings))
    assert [(line.name, line.pin) for line in found] == [(fitted, ALL[fitted])]


class Levels:
    """Lines that are at rest until told otherwise, by name; times are the test's."""

    def __init__(self, **settings: object) -> None:
        times = {"debounce_ms": 0, "release_debounce_ms": 0}
        self.pin_map = lines_of(GpioConfig(**{**times, **settings}))
        self.lines = {line.name: line for line in inputs(self.pin_map)}
        self.active: set[str] = set()
        self.pulls: dict[int, Pull] = {}
        self.inputs = Inputs(self, self.pin_map)
        self.inputs.poll(-100.0)

    def setup_input(self, pin: int, *, pull: Pull) -> None:
        self.pulls[pin] = pull

    def read(self, pin: int) -> bool:
        (line,) = (line for line in self.lines.values() if line.pin == pin)
        return (line.name in self.active) == line.active

    def at(self, now: float, *active: str) -> list[Event]:
        self.active = set(active)
        return self.inputs.poll(now)


def test_every_line_is_set_up_with_its_pull():
    levels = Levels(**ALL, passage_active="high")
    assert levels.pulls == {}
    levels.inputs.setup()
    assert levels.pulls == {1: UP, 2: UP, 3: UP, 4: UP, 5: UP, 6: DOWN, 7: DOWN}


def other_than(name: str, events: list[Event]) -> list[Event]:
    return [event for event in events if event.name != name]


@pytest.mark.parametrize(
    ("name", "values", "rise_s", "fall_s"),
    [
        ("fire", {}, 0.0, 1.0),
        ("fire", {"debounce_ms": 500}, 0.0, 1.0),
        ("fire", {"fire_debounce_ms": 125}, 0.125, 1.0),
        ("tamper", {}, 0.0, 1.0),
        ("tamper", {"debounce_ms": 500}, 0.5, 1.0),
        ("tamper", {"debounce_ms": 500, "tamper_debounce_ms": 125}, 0.125, 1.0),
        ("tamper", {"tamper_debounce_ms": 1_000}, 1.0, 1.0),
        ("door", {}, 0.0, 0.25),
        ("door", {"debounce_ms": 125}, 0.125, 0.25),
        ("door", {"debounce_ms": 500}, 0.5, 0.5),
        ("key", {}, 0.0, 0.0),
        ("key", {"debounce_ms": 125}, 0.125, 0.125),
        ("release", {"debounce_ms": 125}, 0.0, 0.5),
        ("release", {"release_debounce_ms": 125}, 0.125, 0.5),
        ("release", {"release_debounce_ms": 750}, 0.75, 0.75),
        ("passage", {"debounce_ms": 125}, 0.125, 0.125),
        ("passage_2", {"passage_debounce_ms": 125}, 0.125, 0.125),
    ],
)
def test_how_long_each_input_must_be_steady(name, values, rise_s, fall_s):
    levels = Levels(**ALL, **values)
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


ONE_BEAM = {**ALL, "passage_2": None}


@pytest.mark.parametrize(
    ("name", "begins", "ends"),
    [
        ("fire", [Event("fire")], [Event("fire", on=False)]),
        ("tamper", [Event("tamper")], [Event("tamper", on=False)]),
        ("door", [Event("door")], [Event("door", on=False)]),
        ("release", [Event("release")], []),
        ("key", [key("maintenance")], [key("normal", on=False)]),
        ("passage", [Event("passed")], []),
    ],
)
def test_what_each_input_says(name, begins, ends):
    slow = name in {"fire", "tamper", "door"}
    levels = Levels(**ONE_BEAM, key_mode="maintenance")
    assert levels.at(0.0, name) == begins
    assert levels.at(1.0, name) == []
    assert levels.at(2.0) == ([] if slow else ends)
    assert levels.at(3.0) + levels.at(4.0) == (ends if slow else [])


@pytest.mark.parametrize("mode", ["free", "locked", "maintenance"])
def test_the_key_turns_to_the_mode_that_the_settings_name(mode):
    levels = Levels(key=20, key_mode=mode)
    assert levels.at(0.0, "key") == [key(mode)]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("fire", [Event("fire")]),
        ("tamper", [Event("tamper")]),
        ("door", [Event("door")]),
        ("key", [key("locked")]),
        ("release", []),
        ("passage", []),
    ],
)
def test_what_is_not_at_rest_at_the_start(name, told):
    """A door that stands open is told; a button that is held down, or a beam, is no wish to pass."""
    levels = Levels(**ONE_BEAM)
    levels.active = {name}
    fresh = Inputs(levels, levels.pin_map)
    assert not fresh.active(name)
    assert fresh.poll(0.0) == told
    assert fresh.active(name)
    assert fresh.standing() == told


def test_what_stands_is_told_in_one_order_to_who_comes_later():
    levels = Levels(**ALL)
    assert levels.inputs.standing() == []
    levels.at(0.0, *ALL)
    levels.at(20.0, *ALL)
    assert levels.inputs.standing() == [
        Event("fire"), Event("tamper"), Event("door"), key("locked"),
        fault("release", "stuck"), fault("passage", "stuck"), fault("passage_2", "stuck"),
    ]  # fmt: skip


def test_a_key_that_was_turned_back_meanwhile_is_told():
    levels = Levels(**ALL)
    assert levels.inputs.standing(key_moved=True) == [key("normal", on=False)]
    levels.at(0.0, "key")
    assert levels.inputs.standing(key_moved=True) == [key("locked")]


def test_fire_is_told_before_anything_else():
    levels = Levels(**ONE_BEAM)
    assert levels.at(0.0, *ONE_BEAM)[0] == Event("fire")


def test_what_is_not_fitted_is_not_active():
    levels = Levels(door=None)
    assert levels.inputs.active("door") is False
    assert levels.inputs.active("fire") is False


@pytest.mark.parametrize("name", INPUTS)
def test_levels_are_bits_and_not_debounced(name):
    levels = Levels(**ALL, debounce_ms=1_000, fire_debounce_ms=1_000, release_debounce_ms=1_000)
    assert levels.inputs.levels == 0
    levels.at(0.0, name)
    assert levels.inputs.levels == 1 << INPUTS.index(name)
    assert not levels.inputs.active(name)
    levels.at(1.0, *INPUTS)
    assert levels.inputs.levels == 0b1111111


def test_levels_before_the_first_poll_are_none():
    levels = Levels()
    assert Inputs(levels, levels.pin_map).levels == 0


@pytest.mark.parametrize(("free_s", "people"), [(0.25, 1), (0.296875, 1), (0.3, 2), (0.3125, 2)])
def test_one_beam_tells_legs_from_people_by_the_time_between(free_s, people):
    levels = Levels()
    found = levels.at(-2.0, "passage") + levels.at(0.0) + levels.at(free_s, "passage")
    assert found == [Event("passed")] * people


def test_a_beam_that_was_broken_at_the_start_is_free_before_it_counts():
    levels = Levels()
    levels.active = {"passage"}
    levels.inputs = Inputs(levels, levels.pin_map)
    assert levels.at(0.0, "passage") + levels.at(1.0) + levels.at(1.25, "passage") == []
    assert levels.at(2.0) + levels.at(3.0, "passage") == [Event("passed")]


def test_two_beams_are_looked_at_together():
    levels = Levels(passage_2=7)
    assert levels.at(0.0, "passage_2") == [Event("lane")]
    assert levels.at(1.0, "passage") == [Event("passed", which=2)]
    assert levels.at(2.0) == []


# --- stuck


@pytest.mark.parametrize("name", ["passage", "passage_2", "release"])
def test_a_beam_or_a_button_that_does_not_come_back_is_a_fault_once(name):
    levels = Levels(**ALL)

    def faults(now: float, *active: str) -> list[Event]:
        return [event for event in levels.at(now, *active) if event.name == "fault"]

    for start in (0.0, 100.0):
        assert faults(start, name) == faults(start + 9.984375, name) == []
        assert faults(start + 10.0, name) == [fault(name, "stuck")]
        assert faults(start + 20.0, name) == faults(start + 30.0, name) == []
        faults(start + 31.0)
        faults(start + 31.5)
        assert levels.inputs.standing() == []
        assert faults(start + 32.0) == []
    assert faults(200.0, name) == faults(205.0) == faults(205.5) == []
    assert faults(206.0, name) == faults(215.0, name) == []


@pytest.mark.parametrize(("name", "clear_s"), [("passage", 0.0), ("release", 0.5)])
def test_what_comes_back_after_all_is_told(name, clear_s):
    levels = Levels(**ONE_BEAM)
    levels.at(0.0, name)
    levels.at(10.0, name)
    found = levels.at(11.0)
    assert found == ([] if clear_s else [fault(name, "stuck", on=False)])
    assert levels.at(11.5) == ([fault(name, "stuck", on=False)] if clear_s else [])


@pytest.mark.parametrize("name", ["fire", "tamper", "door", "key"])
def test_what_may_stay_active_for_long_is_no_fault(name):
    levels = Levels(**ALL)
    levels.at(0.0, name)
    assert levels.at(1_000.0, name) == []


# --- chatter

FLIPS = {
    "fire": 12, "tamper": 12, "door": 20, "release": 12, "key": 12, "passage": 60, "passage_2": 60,
}  # fmt: skip


def flip(levels: Levels, name: str, times: int, every_s: float, start: float = 0.0) -> list[Event]:
    """Flip a line and return the faults; the first flip, to active, is at `start`."""
    found: list[Event] = []
    for number in range(times):
        active = () if number % 2 else (name,)
        found += levels.at(start + number * every_s, *active)
    return [event for event in found if event.name == "fault" and event.kind == 2]


@pytest.mark.parametrize("name", INPUTS)
def test_a_line_that_flips_more_often_than_people_can_is_a_fault(name):
    """So many flips in five seconds, first to last."""
    most = FLIPS[name]
    every_s = 5.0 / (most - 1)
    slower_s = 5.0 / (most - 1) + 2**-10
    quicker_s = every_s - 2**-10
    assert flip(Levels(**ALL), name, most - 1, quicker_s) == []
    assert flip(Levels(**ALL), name, most, quicker_s) == [fault(name, "chatter")]
    assert flip(Levels(**ALL), name, 3 * most, quicker_s) == [fault(name, "chatter")]
    assert flip(Levels(**ALL), name, 10 * most, slower_s) == []


def test_five_seconds_to_the_moment():
    moments = [0.0, *(4.0 + n / 16 for n in range(10)), 5.0]
    for last, told in ((5.0, [fault("key", "chatter")]), (5.0 + 2**-20, [])):
        levels, found = Levels(**ALL), []
        for number, now in enumerate([*moments[:-1], last]):
            found += levels.at(now, *(() if number % 2 else ("key",)))
        assert other_than("key", found) == told


def test_a_line_is_quiet_after_two_seconds_without_a_flip():
    levels = Levels(**ALL)
    assert flip(levels, "tamper", 12, 0.125) == [fault("tamper", "chatter")]
    last = 11 * 0.125
    assert other_than("tamper", levels.at(last + 2.0 - 2**-20)) == []
    assert levels.inputs.standing()[-1:] == [fault("tamper", "chatter")]
    found = levels.at(last + 2.0)
    assert found == [fault("tamper", "chatter", on=False)]
    assert levels.inputs.standing() == []


def test_what_flipped_before_the_quiet_does_not_count_any_more():
    levels = Levels(**ALL)
    flip(levels, "key", 12, 0.125)
    levels.at(3.5)
    assert flip(levels, "key", 1, 0.125, start=4.0) == []


def test_a_line_that_goes_on_more_slowly_still_chatters():
    """It is quiet when nothing flips, not when it flips less often."""
    levels = Levels(**ALL)
    assert flip(levels, "key", 12, 0.125) == [fault("key", "chatter")]
    assert flip(levels, "key", 10, 1.75, start=2.0) == []
    assert levels.inputs.standing()[-1:] == [fault("key", "chatter")]


def test_the_first_sample_is_no_flip():
    levels = Levels(**ALL)
    levels.active = {"key"}
    levels.inputs = Inputs(levels, levels.pin_map)
    levels.at(0.0, "key")
    found = [
        levels.at(0.25 * number, *(("key",) if number % 2 == 0 else ())) for number in range(1, 12)
    ]
    assert not [event for events in found for event in events if event.name == "fault"]
    assert fault("key", "chatter") in levels.at(3.0, "key")


# --- the release amid interference


def presses(levels: Levels, *samples: tuple[float, bool]) -> list[float]:
    """Return when a press counted."""
    return [
        now
        for now, down in samples
        if Event("release") in levels.at(now, *(("release",) if down else ()))
    ]


@pytest.mark.parametrize(
    ("what", "samples", "counted"),
    [
        ("a spark", [(0, True), (0.046875, True), (0.0625, False), (1, False)], []),
        ("a press", [(0, True), (0.05, True), (0.3, False), (1, False)], [0.05]),
        ("two presses with a rest",
         [(0, True), (0.05, True), (0.25, False), (0.75, False), (1, True), (1.0625, True)],
         [0.05, 1.0625]),
        ("a contact that bounces back within the rest is one press",
         [(0, True), (0.05, True), (0.25, False), (0.6875, False), (0.7, True), (0.8, True),
          (0.9, False), (1.3, True), (1.4, True)], [0.05]),
    ],
)  # fmt: skip
def test_a_press_and_what_is_none(what, samples, counted):
    assert presses(Levels(release_debounce_ms=50), *samples) == counted


def test_while_the_release_chatters_only_a_long_press_counts():
    levels = Levels(release_debounce_ms=50)
    assert flip(levels, "release", 12, 0.03125) == [fault("release", "chatter")]
    assert not levels.inputs.active("release")
    assert presses(levels, (1.0, True), (1.984375, True), (1.9921875, False)) == []
    assert presses(levels, (2.0, True), (2.984375, True), (3.0, True), (3.5, True)) == [3.0]


def test_a_release_that_chatters_no_more_is_believed_as_before():
    levels = Levels(release_debounce_ms=50)
    flip(levels, "release", 12, 0.03125)
    assert levels.at(2.5) == [fault("release", "chatter", on=False)]
    assert presses(levels, (3.0, True), (3.046875, True), (3.0625, True)) == [3.0625]


@pytest.mark.parametrize("name", ["key", "tamper", "door"])
def test_no_other_input_has_long_presses(name):
    levels = Levels(**ALL)
    flip(levels, name, 3 * FLIPS[name], 0.03125)
    levels.at(10.0)
    levels.at(20.0)
    flip(levels, name, FLIPS[name], 0.03125, start=30.0)
    levels.at(32.0)
    assert not levels.inputs.active(name)
    levels.at(32.5, name)
    assert levels.inputs.active(name), "at once, although it chatters"


# --- a beam that never breaks


def walk(levels: Levels, name: str, times: int, start: float) -> list[Event]:
    found: list[Event] = []
    for number in range(times):
        found += levels.at(start + 2 * number, name) + levels.at(start + 2 * number + 1)
    return [event for event in found if event.name == "fault"]


@pytest.mark.parametrize(("breaks", "other"), [("passage", "passage_2"), ("passage_2", "passage")])
def test_a_beam_that_never_breaks_beside_one_that_does_is_a_fault_once(breaks, other):
    levels = Levels(**ALL)
    assert walk(levels, breaks, 4, 0.0) == []
    assert walk(levels, breaks, 1, 100.0) == [fault(other, "silent")]
    assert walk(levels, breaks, 9, 200.0) == []
    assert levels.inputs.standing() == [fault(other, "silent")]
    assert walk(levels, other, 1, 300.0) == [fault(other, "silent", on=False)]
    assert walk(levels, breaks, 4, 400.0) == [], "counted anew"
    assert walk(levels, breaks, 1, 500.0) == [fault(other, "silent")]


def test_beams_that_break_one_after_the_other_are_no_fault():
    levels = Levels(**ALL)
    for number in range(20):
        assert walk(levels, "passage", 4, 100.0 * number) == []
        assert walk(levels, "passage_2", 4, 100.0 * number + 50) == []


def test_a_single_beam_has_none_beside_it():
    assert walk(Levels(**ONE_BEAM), "passage", 20, 0.0) == []
