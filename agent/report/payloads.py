"""JSON payloads beside the events: info, state, metrics, ack, responses, config.

Closed structures like the events', for the same reason; unknown fields from outside are refused.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from agent.reason import Reason

__all__ = [
    "Ack",
    "CommandStatus",
    "GateInfo",
    "GateState",
    "Metrics",
    "OutboxReport",
    "Reported",
    "ReporterCounters",
    "Response",
    "StateReport",
    "decode_ack",
    "encode",
]


class _Payload(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A closed payload."""


class GateInfo(_Payload, frozen=True):
    """What this gate is; published at every connection and when it changes."""

    version: str
    site: str
    gate: str
    profile: str
    direction: str
    boot_id: str
    started_at: float
    drivers: dict[str, str] = {}
    models: dict[str, str] = {}
    trust_version: int = 0
    trust_updated_at: int | None = None
    commands: bool = True


class GateState(_Payload, frozen=True):
    """How the gate is; what the daemon provides.

    Attributes:
        reasons: denials since the start, by reason code.
    """

    mode: Literal["normal", "locked", "free", "maintenance", "fire"]
    barrier: Literal["open", "closed", "unknown"] = "closed"
    health: Literal["ok", "degraded", "failed"] = "ok"
    fire: bool = False
    tamper: bool = False
    clock_trusted: bool = True
    trust_age_s: int | None = None
    trust_set_aside: tuple[str, ...] = ()
    granted: int = 0
    denied: int = 0
    passages: int = 0
    last_decision: str | None = None
    last_reason: str | None = None
    reasons: dict[Reason, Annotated[int, Meta(ge=0)]] = {}
    latency_ms: float | None = None
    faults: tuple[str, ...] = ()
    days_left: dict[str, int] = {}


class OutboxReport(_Payload, frozen=True):
    """What waits to be collected; `boots` maps a boot with waiting rows to its last `seq`."""

    boot_id: str
    last_seq: int
    unacknowledged: int
    boots: dict[str, int] = {}


class StateReport(_Payload, frozen=True):
    """The retained `state`: the daemon's part, the outbox, and the reporter's own faults."""

    gate: GateState
    outbox: OutboxReport
    faults: tuple[str, ...] = ()


class ReporterCounters(_Payload, frozen=True):
    """What the reporter counted since start."""

    connections: int = 0
    published: int = 0
    confirmed: int = 0
    acknowledged: int = 0
    resent: int = 0
    refused_commands: int = 0
    refused_messages: int = 0
    no_listener: int = 0


class Metrics(_Payload, frozen=True):
    """Every `metrics_s`, QoS 0; a lost one is no loss."""

    at: float
    gate: dict[str, float]
    reporter: ReporterCounters
    outbox: OutboxReport


class Ack(_Payload, frozen=True):
    """The collector's word, sealed: every `seq` up to this one is stored.

    Attributes:
        key: the collector's public key, in hexadecimal.
        sig: its signature, in hexadecimal; see `agent.report.seals`.
    """

    boot_id: Annotated[str, Meta(pattern=r"^[0-9a-f]{8,64}$")]
    seq: Annotated[int, Meta(ge=0, le=2**31 - 1)]
    key: Annotated[str, Meta(pattern=r"^([0-9a-f]{64})?$")] = ""
    sig: Annotated[str, Meta(pattern=r"^([0-9a-f]{128})?$")] = ""


class CommandStatus(StrEnum):
    """State of a command; the words of AWS IoT Jobs."""

    QUEUED = "QUEUED"
    IN_PROGRESS = "IN_PROGRESS"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    REJECTED = "REJECTED"
    TIMED_OUT = "TIMED_OUT"


class Response(_Payload, frozen=True):
    """The answer to a command; `transaction` is the request's own id, in hexadecimal."""

    transaction: str
    status: CommandStatus
    error: str | None = None
    detail: str = ""
    at: float = 0.0


class Reported(_Payload, frozen=True):
    """What became of the desired configuration."""

    version: int
    status: Literal["applied", "rejected", "none"]
    reason: str | None = None
    detail: str = ""
    rejected_version: int | None = None
    values: dict[str, Any] = {}


_ack_decoder = msgspec.json.Decoder(Ack)
_encoder = msgspec.json.Encoder()


def decode_ack(payload: bytes) -> Ack:
    """Read an acknowledgement.

    Raises:
        ValueError: it is not one.
    """
    return _ack_decoder.decode(payload)


def encode(payload: Struct) -> bytes:
    """Return a payload as JSON."""
    return _encoder.encode(payload)
