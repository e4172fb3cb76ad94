"""What each signal looks and sounds like, as people are told in docs/operation.md."""

from __future__ import annotations

import pytest

from agent.gatekeeper.signals import DARK, PATTERNS, Indication, Pattern, Player
from agent.gatekeeper.words import Signal

LOOKS = {
    "-": DARK,
    "g": Indication(green=True),
    "r": Indication(red=True),
    "G": Indication(green=True, buzzer=True),
    "R": Indication(red=True, buzzer=True),
}
ALARM = "R200 -100 R200 -100 R200 -100 R200 -100 R200 -100"
# Small letters are lamps, capitals sound too; milliseconds each, then the look that stays.
TABLE = [
    (Signal.READY, "g50 -1950", None),
    (Signal.PROMPT_FACE, "g250 -250", None),
    (Signal.PROMPT_FINGER, "g100 -100 g100 -400", None),
    (Signal.TURN_LEFT, "G150 -850", None),
    (Signal.TURN_RIGHT, "G150 -150 G150 -550", None),
    (Signal.GRANTED, "G100", "g"),
    (Signal.DENIED, "R300 r100 R300", "r"),
    (Signal.ALARM, ALARM, "-"),
    (Signal.FREE, "", "g"),
    (Signal.LOCKED, "", "r"),
    (Signal.MAINTENANCE, "r1000 g1000", None),
    (Signal.FIRE, "G200 -200", None),
]


def pattern(steps: str, after: str | None) -> Pattern:
    return Pattern(
        tuple((int(step[1:]) / 1000, LOOKS[step[0]]) for step in steps.split()),
        None if after is None else LOOKS[after],
    )


def player(*signals: Signal, since: float = 100.0) -> Player:
    made = Player()
    for signal in signals:
        made.show(signal, since)
    return made


@pytest.mark.parametrize(("signal", "steps", "after"), TABLE)
def test_each_signal_has_the_look_that_people_were_told(signal, steps, after):
    assert PATTERNS[signal] == pattern(steps, after)


def test_the_table_is_whole():
    assert [row[0] for row in TABLE] == list(Signal)


@pytest.mark.parametrize(
    ("after", "looks"),
    [
        (None, [(0, "g"), (0.4375, "g"), (0.5, "r"), (0.75, "-"), (0.9375, "-"), (1.0, "g"),
                (7.5, "r"), (7.75, "-"), (8.0, "g")]),
        ("R", [(0, "g"), (0.5, "r"), (0.75, "-"), (1.0, "R"), (1.5, "R"), (900, "R")]),
    ],
)  # fmt: skip
def test_a_step_lasts_until_the_next_and_the_last_until_the_end(monkeypatch, after, looks):
    monkeypatch.setitem(PATTERNS, Signal.DENIED, pattern("g500 r250 -250", after))
    shown = player(Signal.DENIED)
    assert [(at, shown.indication(100 + at)) for at, _ in looks] == [
        (at, LOOKS[look]) for at, look in looks
    ]


def test_a_pattern_is_as_long_as_its_steps():
    assert pattern("g500 r250 -250", None).seconds == 1.0
    assert pattern("g500", None).at(0.5) is None


def test_nothing_is_shown_before_anything_is_asked_for():
    assert Player().indication(0.0) == DARK
    assert player(Signal.ALARM).indication(110.0) == DARK


def test_the_signal_that_plays_goes_on_and_another_begins_anew():
    shown = player(Signal.DENIED)
    shown.show(Signal.DENIED, 100.5)
    assert shown.indication(100.75) == LOOKS["r"], "begun anew"
    shown.show(Signal.GRANTED, 101.0)
    assert shown.indication(101.05) == LOOKS["G"]
    shown.show(Signal.DENIED, 102.0)
    assert shown.indication(102.05) == LOOKS["R"]


@pytest.mark.parametrize(
    ("at", "look"),
    [(0.0, "R"), (0.25, "-"), (0.35, "R"), (1.3, "R"), (1.45, "-"), (1.51, "g"), (9.0, "g")],
)
def test_an_alarm_hides_the_lamps_until_it_is_over(at, look):
    assert player(Signal.FREE, Signal.ALARM).indication(100 + at) == LOOKS[look]


def test_the_lamps_come_back_at_the_very_end_of_an_alarm(monkeypatch):
    monkeypatch.setitem(PATTERNS, Signal.ALARM, pattern("R250 -250", "-"))
    shown = player(Signal.FREE, Signal.ALARM)
    assert [shown.indication(100 + at) for at in (0.4375, 0.5)] == [LOOKS["-"], LOOKS["g"]]


def test_another_alarm_begins_anew():
    shown = player(Signal.FREE, Signal.ALARM)
    shown.indication(100.0)
    shown.show(Signal.ALARM, 101.4)
    assert shown.indication(101.5) == LOOKS["R"]
    assert shown.indication(102.85) == LOOKS["-"]
    assert shown.indication(103.0) == LOOKS["g"]


def test_a_signal_during_an_alarm_is_there_after_it():
    shown = player(Signal.FREE, Signal.ALARM)
    shown.show(Signal.LOCKED, 100.5)
    assert shown.indication(100.65) == LOOKS["R"]
    assert shown.indication(102.0) == LOOKS["r"]
