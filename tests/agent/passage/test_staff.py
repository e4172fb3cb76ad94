"""Staff by finger alone: only at rest, only in the normal mode, committed before it opens."""

from __future__ import annotations

import pytest

from agent.passage.events import (
    CodesSeen,
    Commit,
    Committed,
    FireChanged,
    OpenGate,
    StaffFound,
    TamperChanged,
)
from agent.passage.machine import start, step
from agent.passage.types import Code, Mode, Phase, Rules

RULES = Rules()


def play(mode: Mode, *events: object):
    state, _ = start(mode, 0.0, RULES)
    effects: list[object] = []
    for number, event in enumerate(events, 1):
        state, more = step(state, event, number * 0.1, RULES)  # type: ignore[arg-type]
        effects += more
    return state, effects


def test_it_is_committed_and_then_opened() -> None:
    state, effects = play(Mode.NORMAL, StaffFound("s"))
    assert state.phase is Phase.GRANTED
    (commit,) = [effect for effect in effects if isinstance(effect, Commit)]
    assert commit.use is not None
    assert (commit.use.subject, commit.use.replay_key) == ("s", b"")
    assert not any(isinstance(effect, OpenGate) for effect in effects)
    state, effects = step(state, Committed(state.attempt), 0.3, RULES)
    assert state.phase is Phase.OPEN
    assert any(isinstance(effect, OpenGate) for effect in effects)


@pytest.mark.parametrize(
    ("mode", "before"),
    [
        (Mode.LOCKED, ()),
        (Mode.MAINTENANCE, ()),
        (Mode.FREE, ()),
        (Mode.NORMAL, (FireChanged(active=True),)),
        (Mode.NORMAL, (TamperChanged(active=True),)),
        (Mode.NORMAL, (CodesSeen((Code(b"d", b"p"),)),)),
        (Mode.NORMAL, (StaffFound("first"),)),
    ],
)
def test_it_changes_nothing_otherwise(mode: Mode, before: tuple[object, ...]) -> None:
    without, _ = play(mode, *before)
    state, effects = play(mode, *before, StaffFound("s"))
    assert state.attempt == without.attempt
    assert [each for each in effects if isinstance(each, Commit)][len(before) :] == []
