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
    """Return the line without its time, {} for none."""
    stream = io.StringIO()
    log.configure(level=level, style="json", stream=stream)
    log_rows.say(event)
    text = stream.getvalue()
    assert SUBJECT not in text
    line = json.loads(text) if text else {}
    line.pop("timestamp", None)
    return line


def decision(word: str, reason: Reason, source: str = "code") -> events.Decision:
    return events.Decision(
        passage=PASSAGE, decision=word, reason=reason, source=source, subject=SUBJECT
    )  # type: ignore[arg-type]


def passage(outcome: str, reason: Reason | None = None) -> events.Passage:
    return events.Passage(passage=PASSAGE, outcome=outcome, reason=reason, subject=SUBJECT)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("event", "level", "words"),
    [
        (
            decision("denied", Reason.FACE_MISMATCH),
            "info",
            {"decision": "denied", "reason": "face_mismatch", "source": "code"},
        ),
        (
            decision("denied", Reason.GATE_LOCKED, "finger"),
            "info",
            {"decision": "denied", "reason": "gate_locked", "source": "finger"},
        ),
        (
            events.Decision(
                passage=PASSAGE,
                decision="granted",
                reason=Reason.GRANTED,
                subject=SUBJECT,
                issuer="city",
                key_id="00",
                profile="library",
                kind="library-card",
                format="native",
                direction="in",
                zone="main",
                level=1,
            ),
            "info",
            {
                "decision": "granted",
                "reason": "granted",
                "source": "code",
                "profile": "library",
                "kind": "library-card",
                "format": "native",
                "direction": "in",
            },
        ),
        (
            decision("annulled", Reason.NO_PASSAGE),
            "info",
            {"decision": "annulled", "reason": "no_passage", "source": "code"},
        ),
        (events.Mode(mode="fire", cause="fire"), "warning", {"mode": "fire", "cause": "fire"}),
        (
            events.Mode(mode="locked", cause="command", previous="free"),
            "info",
            {"mode": "locked", "cause": "command", "previous": "free"},
        ),
        (
            events.Tamper(input="housing", active=True, detail="lid"),
            "warning",
            {"input": "housing", "active": True, "detail": "lid"},
        ),
        (
            events.Tamper(input="housing", active=False),
            "info",
            {"input": "housing", "active": False},
        ),
        (passage("tailgating"), "warning", {"outcome": "tailgating"}),
        (passage("without_grant"), "warning", {"outcome": "without_grant"}),
        (passage("forced_open"), "warning", {"outcome": "forced_open"}),
        (
            passage("held_open", Reason.INTERNAL_ERROR),
            "warning",
            {"outcome": "held_open", "reason": "internal_error"},
        ),
        (
            events.Fault(part="config", code="refused"),
            "warning",
            {"part": "config", "code": "refused", "active": True},
        ),
        (
            events.Fault(part="config", code="refused", active=False),
            "info",
            {"part": "config", "code": "refused", "active": False},
        ),
        (
            events.Fault(part="camera", code="reopened", active=False, detail="unplugged"),
            "warning",
            {"part": "camera", "code": "reopened", "active": False, "detail": "unplugged"},
        ),
    ],
)
def test_what_is_told(event: events.Event, level: str, words: dict[str, object]) -> None:
    assert said(event) == {
        "event": events.event_type(event).value, "level": level,
        "logger": "agent.journal.log_rows", **words,
    }  # fmt: skip


@pytest.mark.parametrize(
    "event",
    [
        *(passage(word) for word in (
            "passed", "annulled", "aborted", "crawl_back", "wrong_way", "unchecked",
            "held_open_cleared", "released",
        )),
    ],
)  # fmt: skip
def test_the_usual_is_told_only_when_asked(event: events.Event) -> None:
    assert said(event) == {}
    line = said(event, "debug")
    assert (line["event"], line["level"]) == (events.event_type(event).value, "debug")
