"""Seals of events and acknowledgements: what they cover, whose they are, and the files of their keys."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from agent.fleet.memory import MemoryOutbox
from agent.issuing.keys import SigningKey
from agent.journal.events import Fault
from agent.journal.model import Position
from agent.report import seals
from agent.report.cloudevents import (
    Seal,
    decode_event,
    encode_event,
    read_seal,
    source,
    time_text,
    time_us,
)
from agent.report.seals import CollectorPin, SealKey, ack_text, event_text, holds
from agent.report.topics import GateAddress

KEY = SealKey.new()
GATE = GateAddress("s", "g")


def sealed(count: int = 1) -> list[bytes]:
    """Return events as a gate sends them."""
    outbox = MemoryOutbox(lambda: 1_800_000_000.123456)
    for _ in range(count):
        outbox.append(Fault(part="camera", code="timeout", detail="a \\u0041 b"))
    rows = outbox.pending(after=Position(0, 0), upto=outbox.head(), limit=count)
    return [encode_event(row, source("s", "g"), KEY) for row in rows]


def seal_of(payload: bytes) -> Seal | None:
    return read_seal(decode_event(payload)[0])


# --- events


def test_an_event_proves_its_gate_and_names_the_row_before():
    first, second = map(json.loads, sealed(2))
    assert seal_of(sealed()[0]).key == KEY.public
    assert first["prevhash"] == "00" * 32 != second["prevhash"]
    assert len(json.dumps(first)) < 800


def test_the_seal_is_ed25519_over_the_text_that_is_documented():
    """Written out once more, for collectors of others."""
    import base64
    import hashlib

    event = json.loads(sealed()[0])
    framed = lambda *parts: b"".join(len(part).to_bytes(4, "big") + part for part in parts)  # noqa: E731
    payload = sealed()[0]
    data = payload[payload.index(b'"data":') + 7 : -1]
    row = hashlib.sha256(
        b"idgate-journal-chain-1"
        + framed(
            bytes(32), decode_event(payload)[0].bootid.encode(), b"1", b"fault",
            b"1800000000123456", data,
        )
    ).digest()  # fmt: skip
    text = b"idgate-event-1" + framed(event["source"].encode(), row)
    signature = base64.b64decode(json.loads(payload)["sig"])
    Ed25519PublicKey.from_public_bytes(base64.b64decode(event["key"])).verify(signature, text)


CHANGES: dict[str, Callable[[dict], None]] = {
    "seq": lambda event: event.update(seq=2, id=event["id"][:-1] + "2"),
    "boot": lambda event: event.update(bootid="ab" * 16, id="ab" * 16 + ".1"),
    "source": lambda event: event.update(source="urn:idgate:gate:s:h"),
    "time": lambda event: event.update(time="2027-01-15T08:00:00.123457Z"),
    "type": lambda event: event.update(
        type="idgate.mode.v1", data={"mode": "free", "cause": "start"}
    ),
    "data": lambda event: event["data"].update(code="timeouts"),
    "row before": lambda event: event.update(prevhash="01" * 32),
    "key": lambda event: event.update(key=json.loads(sealed_by(SealKey.new()))["key"]),
    "signature": lambda event: event.update(sig="A" * 86 + "=="),
    "no signature": lambda event: event.update(sig=""),
    "no key": lambda event: event.update(key=""),
    "no row before": lambda event: event.update(prevhash=""),
    "capital hash": lambda event: event.update(prevhash="AB" * 32),
    "not Base64": lambda event: event.update(sig="!" * 88),
    "short key": lambda event: event.update(key="AAAA"),
}


def sealed_by(key: SealKey) -> bytes:
    outbox = MemoryOutbox(lambda: 1_800_000_000.0)
    outbox.append(Fault(part="camera", code="timeout"))
    (row,) = outbox.pending(after=Position(0, 0), upto=outbox.head(), limit=1)
    return encode_event(row, source("s", "g"), key)


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_whatever_is_changed_breaks_the_seal(change):
    payload = sealed()[0]
    # Compact, as msgspec writes it: without a change the seal holds.
    plain = json.dumps(json.loads(payload), separators=(",", ":")).encode()
    assert plain == payload
    assert seal_of(plain) is not None
    event = json.loads(payload)
    change(event)
    with pytest.raises(ValueError, match=r"seal does not hold|no hash|not Base64"):
        seal_of(json.dumps(event, separators=(",", ":")).encode())


def test_the_bytes_of_the_data_count_not_what_they_mean():
    payload = sealed()[0]
    for other in (
        payload.replace(b'"part":"camera"', b'"part": "camera"'),
        payload.replace(b"timeout", b"\\u0074imeout"),
    ):
        assert decode_event(other)[1] == decode_event(payload)[1]
        with pytest.raises(ValueError, match="does not hold"):
            seal_of(other)


def test_an_event_without_any_seal_is_just_that():
    event = json.loads(sealed()[0])
    for name in ("prevhash", "key", "sig"):
        del event[name]
    assert seal_of(json.dumps(event).encode()) is None


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("bootid", "ab" * 16 + "\n"),
        ("time", "2027-01-15T08:00:00.123456+00:00"), ("time", "2027-01-15T08:00:00.123456"),
        ("time", "2027-01-15"), ("type", "idgate.fault.v1\n"),
    ],
)  # fmt: skip
def test_names_and_times_are_as_a_gate_writes_them(key, value):
    event = json.loads(sealed()[0])
    event[key] = value
    event["id"] = f"{event['bootid']}.{event['seq']}"
    with pytest.raises(ValueError, match=r"none|zone|as a gate writes"):
        decode_event(json.dumps(event).encode())


@pytest.mark.parametrize(
    "microseconds", [0, 1, 999_999, 1_800_000_000_123_456, 4_000_000_000_999_999]
)
def test_a_time_comes_back_to_the_microsecond(microseconds):
    assert time_us(time_text(microseconds)) == microseconds


# --- texts


def test_a_text_is_of_one_purpose_and_its_parts_do_not_run_together():
    texts = [
        ack_text(GateAddress("a", "bc"), "d", 1), ack_text(GateAddress("ab", "c"), "d", 1),
        ack_text(GateAddress("a", "bc"), "d", 11), ack_text(GateAddress("a", "bc"), "d1", 1),
        event_text("a", b"bcd1"), event_text("ab", b"cd1"),
    ]  # fmt: skip
    assert len(set(texts)) == len(texts)


def test_any_bytes_may_be_held_up_as_a_seal():
    text = b"text"
    assert holds(KEY.public, KEY.seal(text), text)
    for public, seal in [
        (b"", b""),
        (KEY.public, b""),
        (b"", KEY.seal(text)),
        (KEY.public, bytes(64)),
    ]:
        assert not holds(public, seal, b"another")
    assert not holds(SealKey.new().public, KEY.seal(text), text)


def test_a_key_for_which_anybody_can_seal_is_none():
    """The neutral point: R the same and S zero hold over every text."""
    neutral = (1).to_bytes(32, "little")
    Ed25519PublicKey.from_public_bytes(neutral).verify(neutral + bytes(32), b"any")
    assert not holds(neutral, neutral + bytes(32), b"any")


# --- keys in files


def test_a_key_is_made_once_readable_by_its_owner_and_forced_out(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", lambda fd: synced.append(os.fstat(fd).st_size))
    path = tmp_path / "gate-key.pem"
    first = SealKey.load_or_create(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert synced[0] == path.stat().st_size
    assert len(synced) == 2  # and its directory
    assert SealKey.load_or_create(path).public == first.public
    assert [each.name for each in tmp_path.iterdir()] == ["gate-key.pem"]
    assert "PRIVATE" not in repr(first)


def test_of_two_starts_at_once_both_have_the_first_ones_key(tmp_path, monkeypatch):
    path = tmp_path / "gate-key.pem"
    other = SealKey.load_or_create(tmp_path / "other")
    link = os.link

    def late(scratch, target):
        link(tmp_path / "other", target)
        link(scratch, target)

    monkeypatch.setattr(os, "link", late)
    assert SealKey.load_or_create(path).public == other.public
    assert sorted(each.name for each in tmp_path.iterdir()) == ["gate-key.pem", "other"]


@pytest.mark.parametrize(
    "content",
    [b"", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", b"\xff" * 99,
     SigningKey.new("ES256").private_pem()],
    ids=["empty", "damaged", "noise", "another algorithm"],
)  # fmt: skip
def test_a_file_without_such_a_key_is_named(tmp_path, content):
    path = tmp_path / "gate-key.pem"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"^{path}: no Ed25519 key in PEM; put the right one back"):
        SealKey.load_or_create(path)
    assert path.read_bytes() == content


def test_a_disk_that_refuses_leaves_nothing(tmp_path, monkeypatch):
    def full(_fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(seals.os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        SealKey.load_or_create(tmp_path / "gate-key.pem")
    assert list(tmp_path.iterdir()) == []


# --- whom a gate believes

TEXT = ack_text(GATE, "ab" * 16, 7)


def test_the_collector_that_the_settings_name_is_believed_alone():
    pin = CollectorPin(KEY.public)
    pin.check(KEY.public, KEY.seal(TEXT), TEXT)
    other = SealKey.new()
    with pytest.raises(ValueError, match=r"^sealed by [0-9a-f]{16}; this gate believes"):
        pin.check(other.public, other.seal(TEXT), TEXT)
    with pytest.raises(ValueError, match=r"^not sealed; this gate believes"):
        pin.check(b"", b"", TEXT)
    with pytest.raises(ValueError, match="does not hold"):
        pin.check(KEY.public, KEY.seal(TEXT + b"x"), TEXT)
    pin.keep(other.public)
    pin.check(KEY.public, KEY.seal(TEXT), TEXT)


def test_the_first_collector_is_believed_from_then_on_over_restarts_too(tmp_path):
    path, other = tmp_path / "collector-key", SealKey.new()
    pin = CollectorPin(file=path)
    for key in (KEY, other):  # nobody has freed anything yet
        pin.check(key.public, key.seal(TEXT), TEXT)
    with pytest.raises(ValueError, match="does not hold"):
        pin.check(b"", b"", TEXT)
    pin.keep(KEY.public)
    pin.keep(other.public)
    assert path.read_text() == KEY.public.hex() + "\n"
    for again in (pin, CollectorPin(file=path)):
        again.check(KEY.public, KEY.seal(TEXT), TEXT)
        with pytest.raises(ValueError, match="this gate believes"):
            again.check(other.public, other.seal(TEXT), TEXT)
    CollectorPin(other.public, path).check(
        other.public, other.seal(TEXT), TEXT
    )  # the settings first


def test_a_key_that_the_disk_would_not_keep_is_tried_again(tmp_path, monkeypatch):
    pin = CollectorPin(file=tmp_path / "collector-key")
    with monkeypatch.context() as patch:
        patch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(OSError(30, "Read-only")))
        with pytest.raises(OSError, match="Read-only"):
            pin.keep(KEY.public)
    with pytest.raises(ValueError, match="this gate believes"):
        pin.check(SealKey.new().public, b"", TEXT)
    pin.keep(KEY.public)
    assert (tmp_path / "collector-key").read_text().strip() == KEY.public.hex()


@pytest.mark.parametrize("content", [b"", b"\xff", KEY.public.hex().encode() * 2, b"AB" * 32])
def test_a_file_without_a_collectors_key_is_named(tmp_path, content):
    path: Path = tmp_path / "collector-key"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"^{path}: no public key; remove it"):
        CollectorPin(file=path)
