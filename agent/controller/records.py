"""From what the passage machine records to what the journal keeps. Pure.

Rules:
- A decision says what was judged and why, never who: the subject is an HMAC, claims stay behind.
- What a code says of a person is let go of with the record that ends the attempt.
- Every row of one attempt carries the attempt's passage id, so that a collector can join them.
- The machine's words (`Occurrence`) are the events' words; nothing is renamed on the way.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, cast

from agent.credential.model import Modality
from agent.journal import events
from agent.journal.events import BiometricOutcome
from agent.journal.subjects import SubjectHasher
from agent.passage.events import Annul, Record
from agent.passage.types import Occurrence, RecordKind
from agent.policy.judge import Judgement
from agent.reason import Reason

__all__ = ["Recorder", "Sighting", "Subject", "Trace"]

_SOURCES: dict[Reason | None, Literal["release", "command"]] = {
    Reason.MANUAL_RELEASE: "release",
    Reason.COMMAND: "command",
}


@dataclass(frozen=True, slots=True)
class Sighting:
    """The frame in which a code was first read.

    Attributes:
        captured_ns: monotonic time of exposure.
        taken_ns: monotonic time at which the agent had the frame; the camera's own delay is before.
        decode_ms: time in the decoders.
        sequence: of the frame.
        decoder: which decoder read it.
        corners: of the code in the picture, (x, y) pixels.
    """

    captured_ns: int
    taken_ns: int
    decode_ms: float
    sequence: int = 0
    decoder: str = ""
    corners: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Subject:
    """A subject as the gate may write it: `local` for ever the same, `reported` for events."""

    local: str
    reported: str

    @classmethod
    def of(cls, judgement: Judgement, hasher: SubjectHasher, now: float) -> Subject | None:
        """Return the hashes of a proven credential's subject, or None without one."""
        credential = judgement.credential
        if credential is None:
            return None
        return cls(
            hasher.local(credential.issuer, credential.subject),
            hasher.reported(credential.issuer, credential.subject, at=now),
        )


@dataclass(slots=True)
class Trace:
    """One attempt, as the controller follows it; the context of its records.

    Attributes:
        passage: the attempt's id, 32 hexadecimal digits.
        judgement: what the code came to.
        sighting: the frame that showed it.
        subject: hashes, where a credential was proven.
        biometrics: ends of the checks so far.
        stages_ms: milliseconds by stage.
        began_ns: monotonic time at which each check began.
        reason: the decision's, once there is one.
        granted_seq: `seq` of the grant's row, for an annulment.
        opened_ns: monotonic time at which the gate was asked to open.
    """

    passage: str
    judgement: Judgement | None = None
    sighting: Sighting | None = None
    subject: Subject | None = None
    biometrics: tuple[BiometricOutcome, ...] = ()
    stages_ms: dict[str, float] = field(default_factory=dict)
    began_ns: dict[Modality, int] = field(default_factory=dict)
    reason: Reason | None = None
    granted_seq: int | None = None
    opened_ns: int | None = None

    def forget(self) -> None:
        """Let go of what the code says of the person; later records need none of it."""
        if self.judgement is not None and self.judgement.credential is not None:
            bare = self.judgement.credential.without_person()
            self.judgement = replace(self.judgement, credential=bare)


class Recorder:
    """Makes journal events out of records, for one place.

    Args:
        boot_id: names the daemon's run; passage ids begin with it.
        profile: the site profile's name.
        zone: the gate's zone.
    """

    def __init__(self, *, boot_id: str, profile: str, zone: str) -> None:
        self._boot_id = boot_id
        self.profile = profile
        """Changes when another profile comes into force."""
        self._zone = zone

    def passage_id(self, attempt: int) -> str:
        """Return the id that joins the rows of an attempt."""
        return f"{self._boot_id[:24]}{attempt & 0xFFFFFFFF:08x}"

    def event(self, record: Record, trace: Trace | None, *, now_ns: int = 0) -> events.Event:
        """Return the journal event of a record.

        Args:
            record: from the machine.
            trace: the attempt it belongs to, where there is one.
            now_ns: monotonic time, for the decision's total.
        """
        match record.kind:
            case RecordKind.DECISION:
                return self.decision(record, trace, now_ns=now_ns)
            case RecordKind.PASSAGE:
                return self._passage(record, trace)
            case RecordKind.TAMPER:
                return events.Tamper(input="housing", active=record.what is Occurrence.TAMPER)
            case RecordKind.FAULT:
                return _fault(record)
            case RecordKind.MODE:
                return _mode(record)

    def decision(self, record: Record, trace: Trace | None, *, now_ns: int) -> events.Decision:
        """Return the decision's event."""
        granted = record.what is Occurrence.GRANTED
        reason = record.reason or Reason.INTERNAL_ERROR
        values: dict[str, Any] = {}
        if trace is not None:
            values.update(_judged(trace))
            if trace.sighting is not None and now_ns:
                values["total_ms"] = round((now_ns - trace.sighting.captured_ns) / 1e6, 3)
            if not granted:
                trace.forget()
        direction = record.data.get("direction")
        return events.Decision(
            passage=self.passage_id(record.attempt),
            decision="granted" if granted else "denied",
            reason=reason,
            source=_source(record),
            profile=self.profile,
            zone=self._zone,
            direction=cast("Any", direction),
            **values,
        )

    def annulment(self, annul: Annul, trace: Trace | None) -> events.Decision:
        """Return the event that takes a grant back: nobody passed on it, and why."""
        values: dict[str, Any] = {}
        if trace is not None:
            values = _judged(trace)
            trace.forget()
        return events.Decision(
            passage=self.passage_id(annul.attempt),
            decision="annulled",
            reason=annul.reason,
            profile=self.profile,
            zone=self._zone,
            direction=annul.use.direction.value,
            annuls=None if trace is None else trace.granted_seq,
            **values,
        )

    def _passage(self, record: Record, trace: Trace | None) -> events.Passage:
        opened = record.data.get("open_ms")
        if trace is not None:
            trace.forget()
        return events.Passage(
            passage=self.passage_id(record.attempt),
            outcome=cast("Any", record.what.value),
            reason=record.reason,
            direction=cast("Any", record.data.get("direction")),
            zone=self._zone,
            subject=None if trace is None or trace.subject is None else trace.subject.reported,
            duration_ms=None if opened is None else float(opened),
            assumed=bool(record.data.get("assumed", False)),
        )


def _fault(record: Record) -> events.Fault:
    """Return the event of a fault: an input's by its name, any other of the gate's hardware."""
    data = record.data
    return events.Fault(
        part=str(data.get("part", "gate")),
        code=str(data.get("code", "hardware")),
        active=bool(data.get("active", True)),
        detail=str(data.get("detail", ""))[:200],
    )


def _source(record: Record) -> Literal["code", "finger", "release", "command"]:
    """Return who asked: a use without a credential is a member of staff's finger."""
    if record.use is not None and record.use.context is None:
        return "finger"
    return _SOURCES.get(record.reason, "code")


def _judged(trace: Trace) -> dict[str, Any]:
    """Return the fields that a judgement fills."""
    values: dict[str, Any] = {
        "biometrics": trace.biometrics,
        "stages_ms": {name: round(ms, 3) for name, ms in trace.stages_ms.items()},
    }
    if trace.subject is not None:
        values["subject"] = trace.subject.reported
    judgement = trace.judgement
    if judgement is None:
        return values
    if judgement.format is not None:
        values["format"] = judgement.format.value
    if judgement.kind is not None:
        values["kind"] = judgement.kind.value
    credential = judgement.credential
    if credential is not None:
        values |= {
            "level": int(credential.level),
            "issuer": credential.issuer[:128],
            "key_id": credential.key_id[:32].hex(),
            "dynamic": credential.dynamic,
        }
    return values


def _mode(record: Record) -> events.Mode:
    data: Mapping[str, object] = record.data
    mode = cast("Any", data.get("mode", "normal"))
    if record.what is Occurrence.FIRE:
        return events.Mode(mode="fire", cause="fire")
    if record.what is Occurrence.FIRE_CLEARED:
        return events.Mode(mode=mode, cause="fire", previous="fire")
    cause = {"key": "staff", "fault": "fault"}.get(str(data.get("source")), "command")
    return events.Mode(mode=mode, cause=cast("Any", cause), previous=cast("Any", data["before"]))
