"""What the log says of journaled rows: alarms loudly, the usual only when asked, nobody's subject."""

from __future__ import annotations

import io
import json

import pytest

from agent import log
from agent.journal import events, log_rows
from agent.reason import Reason

PASSAGE, SUBJECT = "0" * 32, "5ec4e7" + "0" * 26


def said(event: events.Event, level: str = "info") -> dict[str, object]:
    stream = io.StringIO()
    log.configure(level=level, style="json", stream=stream)
    log_rows.say(event)
    text = stream.getvalue()
    assert SUBJECT not in text
    return json.loads(text) if text else {}


def decision(word: str, reason: Reason) -> events.Decision:
    return events.Decision(passage=PASSAGE, decision=word, reason=reason, subject=SUBJECT)  # type: ignore[arg-type]


def passage(outcome: str) -> events.Passage:
    return events.Passage(passage=PASSAGE, outcome=outcome, subject=SUBJECT)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("event", "level", "words"),
    [
        (decision("denied", Reason.FACE_MISMATCH), "info", {"reason": "face_mismatch"}),
        (decision("denied", Reason.GATE_LOCKED), "info", {"reason": "gate_locked"}),
        (events.Mode(mode="fire", cause="fire"), "warning", {"mode": "fire"}),
        (events.Mode(mode="locked", cause="command"), "info", {"cause": "command"}),
        (events.Tamper(input="housing", active=True), "warning", {"input": "housing"}),
        (events.Tamper(input="housing", active=False), "info", {"active": False}),
        (passage("tailgating"), "warning", {"outcome": "tailgating"}),
        (passage("held_open"), "warning", {"outcome": "held_open"}),
        (events.Fault(part="config", code="refused"), "warning", {"part": "config"}),
        (events.Fault(part="config", code="refused", active=False), "info", {"active": False}),
        (
            events.Fault(part="camera", code="reopened", active=False, detail="unplugged"),
            "warning",
            {"part": "camera"},
        ),
    ],
)
def test_what_is_told(event: events.Event, level: str, words: dict[str, object]) -> None:
    line = said(event)
    assert line["event"] == events.event_type(event).value
    assert line["level"] == level
    assert words.items() <= line.items()


@pytest.mark.parametrize("event", [decision("granted", Reason.GRANTED), passage("passed")])
def test_the_usual_is_told_only_when_asked(event: events.Event) -> None:
    assert said(event) == {}
    assert said(event, "debug")["event"] == events.event_type(event).value
