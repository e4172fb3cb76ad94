"""When a gate denies unusually much: tables of people, a minute a step."""

from __future__ import annotations

from collections import Counter

import pytest

from agent.controller.denials import AS_ASKED, HABIT_KEPT, DenialRate
from agent.reason import Reason

UNKNOWN = Reason.UNKNOWN_ISSUER.value


class Gate:
    """A gate's counts, minute by minute."""

    def __init__(self) -> None:
        self.rate = DenialRate()
        self.granted = 0
        self.denied: Counter[str] = Counter()
        self.now = 999_960.0

    def minute(self, granted: int, denied: int, reason: str = UNKNOWN) -> str:
        self.granted += granted
        self.denied[reason] += denied
        alarm = self.rate.look(self.granted, self.denied, self.now)
        self.now += 60.0
        return alarm

    def minutes(self, count: int, granted: int, denied: int, reason: str = UNKNOWN) -> list[bool]:
        return [bool(self.minute(granted, denied, reason)) for _ in range(count)]


@pytest.mark.parametrize(
    ("granted", "denied", "minutes", "alarmed_after"),
    [
        (0, 60, 10, 5),  # a busy gate: in five minutes
        (0, 4, 10, 5),
        (0, 2, 20, 10),  # 20 people
        (0, 1, 30, 20),
        (1, 1, 60, None),  # half: not far over a quarter
        (1, 2, 60, 7),  # two of three
        (4, 7, 60, 5),  # 63.6 %, over the 62.5 % of a gate that has just started
        (3, 5, 60, None),  # 62.5 % itself
        (10, 3, 60, None),
        (10, 0, 60, None),
        (0, 0, 60, None),
    ],
)
def test_a_gate_that_has_just_started(granted, denied, minutes, alarmed_after) -> None:
    alarms = Gate().minutes(minutes, granted, denied)
    first = alarms.index(True) + 1 if True in alarms else None
    assert first == alarmed_after
    assert first is None or all(alarms[first - 1 :])


def test_the_alarm_says_how_many_and_why() -> None:
    gate = Gate()
    gate.minutes(3, 0, 4)
    gate.minute(1, 3, "expired")
    alarm = gate.minute(0, 5)
    assert alarm == "20 of the last 21 denied, usually 25%; 17 times unknown_issuer"
    assert gate.minute(0, 1) == alarm, "told once, as it was at the beginning"


def test_few_people_raise_no_alarm() -> None:
    gate = Gate()
    assert not any(gate.minutes(19, 0, 1))
    for _ in range(100):  # one an hour
        gate.now += 3_600
        assert gate.minute(0, 1) == ""


def test_one_person_who_tries_and_tries_is_no_gate_that_denies_everybody() -> None:
    gate = Gate()
    assert not any(gate.minutes(4, 0, 30))
    assert not any(gate.minutes(10, 0, 0))
    assert gate.minute(0, 1), "but the next one who is denied makes it five minutes"


def test_what_the_operator_asked_for_is_no_alarm() -> None:
    gate = Gate()
    for reason in sorted(AS_ASKED):
        assert not any(gate.minutes(10, 0, 10, reason.value))
    assert Reason.UNKNOWN_ISSUER not in AS_ASKED


def test_it_ends_when_people_are_let_in_again() -> None:
    gate = Gate()
    assert gate.minutes(6, 0, 6)[-1]
    # The newest 20 in five minutes: over at (1 - 1/4) / 4 over the habit, 43.75 %.
    after = gate.minutes(6, 6, 0)
    assert after == [True, True, False, False, False, False]


def test_it_ends_an_hour_after_the_last() -> None:
    gate = Gate()
    assert gate.minutes(6, 0, 6)[-1]
    assert all(gate.minutes(60, 0, 0))
    assert not any(gate.minutes(2, 0, 0))


def test_a_place_that_always_denies_many_grows_used_to_it() -> None:
    gate = Gate()
    gate.minutes(60 * 8, 10, 10)
    assert gate.rate.habit == pytest.approx(0.5, abs=0.05)
    assert not any(gate.minutes(30, 3, 7)), "70 % of a usual half"
    assert gate.minutes(10, 0, 10)[-1], "everybody is far over any habit"


def test_a_gate_that_denies_everybody_for_days_is_still_told_of() -> None:
    gate = Gate()
    assert all(gate.minutes(60 * 72, 0, 3)[10:])
    assert gate.rate.habit < 1.0


def test_the_habit_is_learnt_slowly_while_the_alarm_stands() -> None:
    gate = Gate()
    gate.minutes(60 + 5, 0, 3)
    before = gate.rate.habit
    gate.minutes(10, 0, 3)
    # 30 denials at a tenth, beside the 40 that the habit began with and some more.
    assert before < gate.rate.habit < before + 0.1


def test_memory_is_an_hour_and_the_habit_follows() -> None:
    gate = Gate()
    gate.minutes(3_000, 100, 0)
    assert len(gate.rate._minutes) <= 62
    assert gate.rate._usual[1] <= HABIT_KEPT
    assert gate.rate.habit < 0.01


def test_quick_looks_count_nothing_twice() -> None:
    gate = Gate()
    for _ in range(600):
        assert gate.rate.look(3, {UNKNOWN: 9}, gate.now) == ""
        gate.now += 0.1
    assert sum(len(minute) for minute in gate.rate._minutes) == 12
