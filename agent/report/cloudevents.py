"""The journal's events as CloudEvents 1.0 structured JSON: the form in which they leave the gate.

Rules:
- `id` is `{boot_id}.{seq}`, so `source` and `id` name an event for ever, however often it is sent.
- `prevhash`, `key` and `sig` seal it: the hash of the row before, the gate's public key, and its
  signature (`agent.report.seals`). The bytes of `data` are signed as they stand in the message.
- One JSON Schema a type lies in `schemas/`; a test holds the structures against it.

Standard: CloudEvents 1.0.2, JSON event format; extension attributes `bootid`, `seq`, `prevhash`,
`key` and `sig`.
"""

from __future__ import annotations

import binascii
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Struct

from agent.journal.chain import Link
from agent.journal.events import EVENT_CLASSES, Event, EventType
from agent.journal.model import Row
from agent.report.seals import SealKey, event_text, holds

__all__ = [
    "CloudEvent",
    "Seal",
    "decode_event",
    "encode_event",
    "read_seal",
    "schema",
    "source",
    "time_text",
    "time_us",
]

_encoder = msgspec.json.Encoder()
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_BOOT: Final = re.compile(r"[0-9a-f]{8,64}")
_HASH: Final = re.compile(r"[0-9a-f]{64}")


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
    prevhash: Annotated[str, Meta(max_length=64)] = ""
    key: Annotated[str, Meta(max_length=44)] = ""
    sig: Annotated[str, Meta(max_length=88)] = ""
    data: msgspec.Raw


_decoder = msgspec.json.Decoder(CloudEvent)


def source(site: str, gate: str) -> str:
    """Return the CloudEvents `source` of a gate."""
    return f"urn:idgate:gate:{site}:{gate}"


@dataclass(frozen=True, slots=True)
class Seal:
    """What proves an event.

    Attributes:
        previous: hash of the row before it, 32 bytes.
        key: the gate's public key, 32 bytes.
        signature: 64 bytes.
    """

    previous: bytes = field(repr=False)
    key: bytes
    signature: bytes = field(repr=False)


def time_text(time_us: int) -> str:
    """Return Unix microseconds as RFC 3339 with six digits of the second."""
    moment = _EPOCH + timedelta(microseconds=time_us)
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def time_us(text: str) -> int:
    """Return the microseconds of a time as `time_text` writes it.

    Raises:
        ValueError: it is written otherwise.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("the time has no zone")
    return (moment - _EPOCH) // timedelta(microseconds=1)


def read_seal(envelope: CloudEvent) -> Seal | None:
    """Return an event's seal, None where it bears none.

    Raises:
        ValueError: the seal is malformed, or does not hold.
    """
    if not (envelope.prevhash or envelope.key or envelope.sig):
        return None
    if not _HASH.fullmatch(envelope.prevhash):
        raise ValueError("prevhash is no hash")
    try:
        key = binascii.a2b_base64(envelope.key, strict_mode=True)
        signature = binascii.a2b_base64(envelope.sig, strict_mode=True)
    except ValueError:
        raise ValueError("key and sig are not Base64") from None
    seal = Seal(bytes.fromhex(envelope.prevhash), key, signature)
    digest = Link(
        seal.previous,
        envelope.bootid,
        envelope.seq,
        envelope.type.split(".")[1],
        time_us(envelope.time),
        bytes(envelope.data),
    ).digest
    if not holds(seal.key, seal.signature, event_text(envelope.source, digest)):
        raise ValueError("the gate's seal does not hold")
    return seal


def encode_event(row: Row, event_source: str, key: SealKey) -> bytes:
    """Return a row as CloudEvents structured JSON, sealed."""
    signature = key.seal(event_text(event_source, row.digest))
    return _encoder.encode(
        CloudEvent(
            id=f"{row.boot_id}.{row.seq}",
            source=event_source,
            type=f"idgate.{row.type}.v1",
            time=time_text(row.time_us),
            dataschema=f"urn:idgate:schema:{row.type}:1",
            bootid=row.boot_id,
            seq=row.seq,
            prevhash=row.previous.hex(),
            key=_base64(key.public),
            sig=_base64(signature),
            data=msgspec.Raw(row.data),
        )
    )


def _base64(raw: bytes) -> str:
    return binascii.b2a_base64(raw, newline=False).decode()


def decode_event(payload: bytes) -> tuple[CloudEvent, Event]:
    """Read an event as the collector does: strictly, envelope and data; `read_seal` is apart.

    Raises:
        ValueError: it is not an event of this version.
    """
    envelope = _decoder.decode(payload)
    name = EventType(envelope.type.split(".")[1])
    if envelope.id != f"{envelope.bootid}.{envelope.seq}":
        raise ValueError("id does not agree with bootid and seq")
    if not _BOOT.fullmatch(envelope.bootid):
        raise ValueError("bootid is none")
    if envelope.type != f"idgate.{name}.v1":
        raise ValueError("the type is none")
    if time_text(time_us(envelope.time)) != envelope.time:
        raise ValueError("the time is not as a gate writes it")
    data: Any = msgspec.json.decode(envelope.data, type=EVENT_CLASSES[name])
    return envelope, data


def schema(name: EventType) -> dict[str, Any]:
    """Return the JSON Schema of an event's data, as shipped."""
    path = Path(__file__).parent / "schemas" / f"{name}.json"
    found: dict[str, Any] = msgspec.json.decode(path.read_bytes())
    return found
