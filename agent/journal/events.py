"""The events that a gate journals and reports, as closed structures.

Rules:
- A field that is not here cannot be written or sent, so no name, birth date, document number,
  picture or template can leave the gate by mistake.
- `subject` is always the HMAC of `agent.journal.subjects`, 32 hexadecimal digits.

`agent.report.cloudevents` puts them into the envelope in which they are sent.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from agent.reason import Reason

__all__ = [
    "EVENT_CLASSES",
    "BiometricOutcome",
    "Decision",
    "Event",
    "EventType",
    "Fault",
    "Mode",
    "Passage",
    "Tamper",
    "encode_data",
    "event_type",
]
Token = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}$")]
Subject = Annotated[str, Meta(pattern=r"^[0-9a-f]{32}$")]
Hex = Annotated[str, Meta(pattern=r"^[0-9a-f]{2,64}$")]
Direction = Literal["in", "out"]


class EventType(StrEnum):
    """The five kinds of event; the last level of the topic and the middle of the `type`."""

    DECISION = "decision"
    PASSAGE = "passage"
    TAMPER = "tamper"
    FAULT = "fault"
    MODE = "mode"


class _Closed(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A structure without room for anything else."""


class BiometricOutcome(_Closed, frozen=True):
    """One modality of a passage; never a score or a template."""

    modality: Literal["face", "finger"]
    reason: Reason
    attempts: Annotated[int, Meta(ge=0, le=1_000)] = 1


class Decision(_Closed, frozen=True):
    """Somebody asked to pass (or a use was annulled), and the one reason of the answer.

    Attributes:
        passage: links the decision with its passage rows: 32 hexadecimal digits.
        decision: `granted` and `denied` are answers; `annulled` takes a granted use back, in a row
            of its own, since rows never change.
        reason: of the answer; of an annulment why nobody passed: `no_passage`, or what cut the
            opening short (`fire`, `command`, a mode).
        source: who asked: a code, a finger of staff, the release, a command, a mode or fire.
        annuls: `seq` of the grant that this row takes back, in the same boot.
        operator: key id of the operator for `source` command.
        stages_ms: milliseconds by stage.
    """

    passage: Hex
    decision: Literal["granted", "denied", "annulled"]
    reason: Reason
    source: Literal["code", "finger", "release", "command", "mode", "fire"] = "code"
    format: Token | None = None
    kind: Token | None = None
    level: Literal[1, 2] | None = None
    issuer: Annotated[str, Meta(max_length=128)] | None = None
    key_id: Hex | None = None
    subject: Subject | None = None
    dynamic: bool | None = None
    profile: Token | None = None
    zone: Token | None = None
    direction: Direction | None = None
    biometrics: Annotated[tuple[BiometricOutcome, ...], Meta(max_length=8)] = ()
    stages_ms: dict[Token, float] = {}
    total_ms: float | None = None
    annuls: Annotated[int, Meta(ge=1)] | None = None
    operator: Hex | None = None


class Passage(_Closed, frozen=True):
    """What the barrier and its beams saw; `outcome` is `agent.passage.types.Occurrence`'s word.

    Attributes:
        assumed: nobody was seen to pass, and somebody may have: the use stays used.
    """

    passage: Hex
    outcome: Literal[
        "passed", "annulled", "aborted", "repeated_annulment", "tailgating", "crawl_back",
        "wrong_way", "without_grant", "unchecked", "forced_open", "held_open",
        "held_open_cleared", "released",
    ]  # fmt: skip
    reason: Reason | None = None
    direction: Direction | None = None
    zone: Token | None = None
    subject: Subject | None = None
    duration_ms: float | None = None
    assumed: bool = False


class Tamper(_Closed, frozen=True):
    """An input or a check that says somebody works at the gate who should not."""

    input: Token
    active: bool
    detail: Annotated[str, Meta(max_length=200)] = ""


class Fault(_Closed, frozen=True):
    """A part that failed or came back.

    Attributes:
        part: camera, scan, finger, face, gate, journal, clock, trust, mqtt, command, config ...
        code: closed word of that part.
        active: False when the fault is over.
        count: how often since it was last reported.
    """

    part: Token
    code: Token
    active: bool = True
    detail: Annotated[str, Meta(max_length=200)] = ""
    count: Annotated[int, Meta(ge=1)] = 1


class Mode(_Closed, frozen=True):
    """The gate's mode changed; the first row of every boot is one with cause `start`."""

    mode: Literal["normal", "locked", "free", "maintenance", "fire"]
    cause: Literal["start", "stop", "command", "config", "fire", "fault", "schedule", "staff"]
    previous: Literal["normal", "locked", "free", "maintenance", "fire"] | None = None
    operator: Hex | None = None


Event = Decision | Passage | Tamper | Fault | Mode
_TYPES: dict[type[Struct], EventType] = {
    Decision: EventType.DECISION,
    Passage: EventType.PASSAGE,
    Tamper: EventType.TAMPER,
    Fault: EventType.FAULT,
    Mode: EventType.MODE,
}
EVENT_CLASSES: dict[EventType, type[Struct]] = {name: kind for kind, name in _TYPES.items()}


_encoder = msgspec.json.Encoder()


def event_type(event: Event) -> EventType:
    """Return the type of an event."""
    return _TYPES[type(event)]


def encode_data(event: Event) -> bytes:
    """Return the event's own JSON, as the journal keeps it.

    Raises:
        ValueError: a field breaks its type or pattern; msgspec checks only what it decodes, and an
            event that the schema refuses must not reach the disk.
    """
    data = _encoder.encode(event)
    msgspec.json.decode(data, type=type(event))
    return data
