"""What an event may hold: at each bound the last value that is written and the first that is not."""

from __future__ import annotations

import json

import msgspec
import pytest

from agent.journal import events
from agent.journal.events import (
    BiometricOutcome,
    Decision,
    EventType,
    Fault,
    Mode,
    Passage,
    Tamper,
    encode_data,
    event_type,
)
from agent.reason import Reason

ID = "ab" * 16
DECISION = Decision(passage=ID, decision="denied", reason=Reason.EXPIRED)
PASSAGE = Passage(passage=ID, outcome="passed")
TAMPER = Tamper(input="case", active=True)
FAULT = Fault(part="camera", code="timeout")
MODE = Mode(mode="normal", cause="start")
FACE = BiometricOutcome(modality="face", reason=Reason.GRANTED)

TOKENS = (["a", "Z9._:/-", "a" * 128], ["", "a" * 129, "-a", ".a", "a b", "ä", "Ada L"])
HEXES = (["00", "f" * 64], ["", "0", "f" * 65, "AB", "xy"])
SUBJECTS = (["0" * 32], ["0" * 31, "0" * 33, "F" * 32, "Ada"])
DETAILS = (["", "x" * 200], ["x" * 201])
FIELDS = [
    (DECISION, "passage", *HEXES),
    (DECISION, "decision", ["granted", "denied", "annulled"], ["open"]),
    (DECISION, "source", ["code", "finger", "release", "command", "mode", "fire"], ["door"]),
    (DECISION, "format", *TOKENS),
    (DECISION, "kind", *TOKENS),
    (DECISION, "profile", *TOKENS),
    (DECISION, "zone", *TOKENS),
    (DECISION, "level", [1, 2], [0, 3]),
    (DECISION, "issuer", ["", "ä" * 128], ["x" * 129]),
    (DECISION, "key_id", *HEXES),
    (DECISION, "operator", *HEXES),
    (DECISION, "subject", *SUBJECTS),
    (DECISION, "direction", ["in", "out"], ["both"]),
    (DECISION, "biometrics", [(FACE,) * 8], [(FACE,) * 9]),
    (DECISION, "stages_ms", [{"decode": 1.5}], [{"Ada L": 1.5}]),
    (DECISION, "annuls", [1], [0, -1]),
    (PASSAGE, "passage", *HEXES),
    (
        PASSAGE,
        "outcome",
        ["passed", "annulled", "aborted", "tailgating", "crawl_back", "wrong_way", "without_grant",
         "unchecked", "forced_open", "held_open", "held_open_cleared", "released"],
        ["jumped"],
    ),
    (PASSAGE, "direction", ["in", "out"], ["both"]),
    (PASSAGE, "zone", *TOKENS),
    (PASSAGE, "subject", *SUBJECTS),
    (TAMPER, "input", *TOKENS),
    (TAMPER, "detail", *DETAILS),
    (FAULT, "part", *TOKENS),
    (FAULT, "code", *TOKENS),
    (FAULT, "detail", *DETAILS),
    (FAULT, "count", [1, 2**40], [0]),
    (MODE, "mode", ["normal", "locked", "free", "maintenance", "fire"], ["open"]),
    (MODE, "previous", ["normal", "locked", "free", "maintenance", "fire"], ["open"]),
    (
        MODE,
        "cause",
        ["start", "stop", "command", "config", "fire", "fault", "schedule", "staff"],
        ["wind"],
    ),
    (MODE, "operator", *HEXES),
]  # fmt: skip


@pytest.mark.parametrize(
    ("event", "name", "allowed", "refused"),
    FIELDS,
    ids=[f"{type(row[0]).__name__}.{row[1]}" for row in FIELDS],
)
def test_a_field_holds_what_it_is_for_and_nothing_else(event, name, allowed, refused):
    for value in allowed:
        encode_data(msgspec.structs.replace(event, **{name: value}))
    for value in refused:
        wrong = msgspec.structs.replace(event, **{name: value})
        with pytest.raises(ValueError, match=name):
            encode_data(wrong)


@pytest.mark.parametrize(
    ("attempts", "fits"), [(-1, False), (0, True), (1_000, True), (1_001, False)]
)
def test_attempts_at_a_biometric_are_bounded(attempts, fits):
    outcome = BiometricOutcome(modality="finger", reason=Reason.GRANTED, attempts=attempts)
    event = msgspec.structs.replace(DECISION, biometrics=(outcome,))
    if fits:
        assert json.loads(encode_data(event))["biometrics"][0]["modality"] == "finger"
    else:
        with pytest.raises(ValueError, match="attempts"):
            encode_data(event)


@pytest.mark.parametrize(
    ("event", "written", "left_out"),
    [
        (
            DECISION,
            {"passage": ID, "decision": "denied", "reason": "expired"},
            {
                "source": "code", "format": None, "kind": None, "level": None, "issuer": None,
                "key_id": None, "subject": None, "dynamic": None, "profile": None, "zone": None,
                "direction": None, "biometrics": (), "stages_ms": {}, "total_ms": None,
                "annuls": None, "operator": None,
            },
        ),
        (
            PASSAGE,
            {"passage": ID, "outcome": "passed"},
            {"reason": None, "direction": None, "zone": None, "subject": None, "duration_ms": None},
        ),
        (TAMPER, {"input": "case", "active": True}, {"detail": ""}),
        (FAULT, {"part": "camera", "code": "timeout"}, {"active": True, "detail": "", "count": 1}),
        (MODE, {"mode": "normal", "cause": "start"}, {"previous": None, "operator": None}),
        (FACE, {"modality": "face", "reason": "granted"}, {"attempts": 1}),
    ],
)  # fmt: skip
def test_what_is_not_said_is_left_out_and_means_the_same_for_ever(event, written, left_out):
    """Rows stay for years: another default would change what the old ones say."""
    data = encode_data(event)
    assert json.loads(data) == written
    found = msgspec.json.decode(data, type=type(event))
    assert {name: getattr(found, name) for name in left_out} == left_out


@pytest.mark.parametrize("event", [DECISION, PASSAGE, TAMPER, FAULT, MODE])
def test_there_is_no_room_for_anything_else(event):
    data = encode_data(event)[:-1] + b',"name":"Ada"}'
    with pytest.raises(msgspec.ValidationError, match="name"):
        msgspec.json.decode(data, type=type(event))


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        (DECISION, EventType.DECISION),
        (PASSAGE, EventType.PASSAGE),
        (TAMPER, EventType.TAMPER),
        (FAULT, EventType.FAULT),
        (MODE, EventType.MODE),
    ],
)
def test_each_event_has_its_type(event, kind):
    assert event_type(event) is kind
    assert events.EVENT_CLASSES[kind] is type(event)
    assert kind == type(event).__name__.lower()
