"""What the gatekeeper reports, as the passage machine's events."""

from __future__ import annotations

import pytest

from agent.gate.heard import heard
from agent.gatekeeper.wire import EVENT_NAMES, Event, WireError
from agent.gatekeeper.words import INPUTS, KINDS, MODES, Direction, Mode
from agent.passage.events import (
    DoorChanged,
    FireChanged,
    InputFault,
    KeyTurned,
    LaneEntered,
    PassageReversed,
    PassageSensed,
    ReleasePressed,
    TamperChanged,
)

TABLE = [
    (Event("fire"), FireChanged(active=True)),
    (Event("fire", on=False), FireChanged(active=False)),
    (Event("tamper"), TamperChanged(active=True)),
    (Event("tamper", on=False), TamperChanged(active=False)),
    (Event("door"), DoorChanged(is_open=True)),
    (Event("door", on=False), DoorChanged(is_open=False)),
    (Event("release"), ReleasePressed()),
    *((Event("key", which=MODES.index(mode)), KeyTurned(mode)) for mode in Mode),
    (Event("lane"), LaneEntered()),
    (Event("passed"), PassageSensed(None)),
    (Event("passed", which=1), PassageSensed(Direction.IN)),
    (Event("passed", which=2), PassageSensed(Direction.OUT)),
    (Event("reversed"), PassageReversed()),
    *(
        (Event("fault", on, INPUTS.index(name), KINDS.index(kind)), InputFault(name, kind, on))
        for name in INPUTS
        for kind in KINDS
        for on in (True, False)
    ),
]


@pytest.mark.parametrize(("event", "expected"), TABLE)
def test_each_event_means_one_thing(event, expected):
    assert heard(event) == expected


def test_the_table_is_whole():
    assert {event.name for event, _ in TABLE} == set(EVENT_NAMES)


@pytest.mark.parametrize(
    "event",
    [
        Event("key", which=len(MODES)),
        Event("passed", which=3),
        Event("fault", which=len(INPUTS)),
        Event("fault", kind=len(KINDS)),
    ],
)
def test_a_number_that_stands_for_nothing_is_no_event(event):
    with pytest.raises(WireError, match=r"^an event of nothing that is known$"):
        heard(event)
