"""The values: which settings rule the machine, what a row may show, and what makes a code the same."""

from __future__ import annotations

from typing import get_args, get_type_hints

import pytest

from agent.journal import events
from agent.passage.events import Record, Refused
from agent.passage.types import (
    Code,
    Direction,
    Occurrence,
    RecordKind,
    Requirement,
    Rules,
    Sensing,
    Use,
)
from agent.reason import Reason
from agent.settings.model import GateConfig, GpioConfig

IN, OUT = Direction.IN, Direction.OUT


@pytest.mark.parametrize(
    ("said", "rules"),
    [
        ({}, Rules()),
        ({"direction": "in"}, Rules(direction=IN)),
        ({"direction": "out"}, Rules(direction=OUT)),
        ({"direction": "both"}, Rules(direction=IN, two_way=True)),
        ({"free_exit": True}, Rules(unchecked=OUT)),
        ({"passage_timeout_s": 7.0}, Rules(passage_timeout_s=7.0)),
        ({"biometric_timeout_s": 4.0}, Rules(biometric_timeout_s=4.0)),
        ({"denial_s": 3.0}, Rules(denial_s=3.0)),
        ({"held_open_s": 20.0}, Rules(held_open_s=20.0)),
        ({"lockout_failures": 5}, Rules(lockout_failures=5)),
        ({"lockout_s": 60.0}, Rules(lockout_s=60.0)),
        ({"give_backs": 2}, Rules(give_backs=2)),
        ({"give_back_window_s": 60.0}, Rules(give_back_window_s=60.0)),
    ],
)
def test_each_setting_of_the_gate_is_the_rule_of_its_name(said, rules):
    gate = GateConfig(site="s", gate="g", **said)
    assert Rules.of(gate, GpioConfig(passage=5)) == rules


@pytest.mark.parametrize(
    ("passage", "door", "sensing"),
    [
        (5, None, Sensing.BEAM),
        (5, 12, Sensing.BEAM),
        (None, 12, Sensing.DOOR),
        (None, None, Sensing.NONE),
    ],
)
def test_a_beam_tells_of_a_passage_before_a_door_does(passage, door, sensing):
    gate = GateConfig(site="s", gate="g")
    assert Rules.of(gate, GpioConfig(passage=passage, door=door)).sensing is sensing


@pytest.mark.parametrize(("way", "other"), [(IN, OUT), (OUT, IN)])
def test_each_way_has_its_opposite(way, other):
    assert way.opposite is other


def test_the_journal_knows_each_word_for_a_passage_and_no_other():
    others = {"granted", "denied", "fault", "fire", "fire_cleared", "mode_changed"}
    others |= {"tamper", "tamper_cleared"}
    known = set(get_args(get_type_hints(events.Passage)["outcome"]))
    assert {*Occurrence} == known | others


def record(context: object = None) -> Record:
    return Record(RecordKind.DECISION, Occurrence.DENIED, Reason.EXPIRED, context=context)


def refused(context: object = None) -> Refused:
    return Refused(1, b"d", Reason.EXPIRED, context)


def use(context: object = None) -> Use:
    return Use("hash", Requirement.NONE, IN, b"k", context)


@pytest.mark.parametrize("make", [record, refused, use])
def test_a_context_is_carried_but_neither_shown_nor_compared(make):
    assert make("Anna Muster").context == "Anna Muster"
    assert "Muster" not in repr(make("Anna Muster"))
    assert make("Anna Muster") == make("Berta Muster")
    assert make().context is None


def test_a_code_is_the_same_by_its_digest():
    assert Code(b"d", b"payload") == Code(b"d", b"")
    assert Code(b"d", b"payload") != Code(b"e", b"payload")
    assert Code(b"d", b"").known
