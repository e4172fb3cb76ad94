"""The journal's events as CloudEvents 1.0 structured JSON: the form in which they leave the gate.

Rules:
- `id` is `{boot_id}.{seq}`, so `source` and `id` name an event for ever, however often it is sent.
- One JSON Schema a type lies in `schemas/`; a test holds the structures against it.

Standard: CloudEvents 1.0.2, JSON event format; extension attributes `bootid` and `seq`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from agent.journal.events import EVENT_CLASSES, Event, EventType
from agent.journal.model import Row

__all__ = ["CloudEvent", "decode_event", "encode_event", "schema", "source"]

_encoder = msgspec.json.Encoder()


class CloudEvent(Struct, frozen=True, kw_only=True):
    """The envelope; attribute names are CloudEvents' own."""

    specversion: Literal["1.0"] = "1.0"
    id: Annotated[str, Meta(min_length=1, max_length=128)]
    source: Annotated[str, Meta(min_length=1, max_length=256)]
    type: Annotated[str, Meta(pattern=r"^idgate\.(decision|passage|tamper|fault|mode)\.v1$")]
    time: Annotated[str, Meta(max_length=40)]
    datacontenttype: Literal["application/json"] = "application/json"
    dataschema: str
    bootid: Annotated[str, Meta(pattern=r"^[0-9a-f]{8,64}$")]
    seq: Annotated[int, Meta(ge=1, le=2**31 - 1)]
    data: msgspec.Raw


_decoder = msgspec.json.Decoder(CloudEvent)


def source(site: str, gate: str) -> str:
    """Return the CloudEvents `source` of a gate."""
    return f"urn:idgate:gate:{site}:{gate}"


def encode_event(row: Row, event_source: str) -> bytes:
    """Return a row as CloudEvents structured JSON."""
    time = datetime.fromtimestamp(row.time_us / 1_000_000, UTC)
    return _encoder.encode(
        CloudEvent(
            id=f"{row.boot_id}.{row.seq}",
            source=event_source,
            type=f"idgate.{row.type}.v1",
            time=time.isoformat(timespec="microseconds").replace("+00:00", "Z"),
            dataschema=f"urn:idgate:schema:{row.type}:1",
            bootid=row.boot_id,
            seq=row.seq,
            data=msgspec.Raw(row.data),
        )
    )


def decode_event(payload: bytes) -> tuple[CloudEvent, Event]:
    """Read an event as the collector does: strictly, envelope and data.

    Raises:
        ValueError: it is not an event of this version.
    """
    envelope = _decoder.decode(payload)
    name = EventType(envelope.type.split(".")[1])
    if envelope.id != f"{envelope.bootid}.{envelope.seq}":
        raise ValueError("id does not agree with bootid and seq")
    datetime.fromisoformat(envelope.time)
    data: Any = msgspec.json.decode(envelope.data, type=EVENT_CLASSES[name])
    return envelope, data


def schema(name: EventType) -> dict[str, Any]:
    """Return the JSON Schema of an event's data, as shipped."""
    path = Path(__file__).parent / "schemas" / f"{name}.json"
    found: dict[str, Any] = msgspec.json.decode(path.read_bytes())
    return found
