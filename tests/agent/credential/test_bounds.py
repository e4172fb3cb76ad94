"""What the worst code costs: calls and memory are counted, since time is the machine's."""

from __future__ import annotations

import random
import sys
import tracemalloc
import zlib
from collections.abc import Callable

import pytest

from agent.credential import base45, cbor
from agent.credential.limits import PAYLOAD_BYTES
from agent.credential.numbers import Claim
from agent.issuing import issue
from agent.reason import Reason

NOW = 1_800_000_000
MEMORY = 8 * 1024 * 1024
CALLS = 13_000
"""Python and C calls: four pieces of CBOR of 512 items at six calls each, and a constant."""
ROOM = (PAYLOAD_BYTES - 4) // 3 * 2


def _message(pilot, payload: bytes, protected: bytes | None = None) -> bytes:
    """Return a COSE_Sign1 with a known kid and a bad signature: all of it is parsed."""
    raw = cbor.encode({1: -7, 4: pilot.city.kid}) if protected is None else protected
    return cbor.encode(cbor.Tagged(18, [raw, {}, payload, bytes(64)]))


def _array(item: bytes, size: int) -> bytes:
    count = (size - 9) // len(item)
    return cbor.head(4, count) + item * count


def _packed(data: bytes) -> bytes:
    return zlib.compress(data, 9)


def _filled(pilot, item: bytes, size: int) -> bytes:
    return _message(pilot, b"\xa1\x18\x63" + _array(item, size))


def _digests(count: int) -> bytes:
    """Return claims with so many digests in claim 169."""
    digests = b"".join(b"\x58\x20" + bytes([number]) * 32 for number in range(count))
    return b"\xa1\x18\xa9\xa1\xf8\x3b" + cbor.head(4, count) + digests


def _disclosing(pilot, count: int, size: int, payload: bytes = b"\xa0") -> bytes:
    """Return a message with so many disclosures of so many bytes."""
    raws = [number.to_bytes(size) for number in range(count)]
    raw = cbor.encode({1: -7, 4: pilot.city.kid})
    return cbor.encode(cbor.Tagged(18, [raw, {17: raws}, payload, bytes(64)]))


def _map(size: int) -> bytes:
    """Return a map with as many distinct keys as fit."""
    pairs = {}
    while len(pairs) < size // 4:
        pairs[256 + len(pairs)] = 0
    return b"\xa1\x18\x63" + cbor.encode(pairs)


def _clashing(size: int) -> bytes:
    """Return a map of keys that fall into the same places of a hash table for as long as they can."""
    keys = [(n << 50) | 5 for n in range(1 << 11)][: size // 10]
    return (
        b"\xa1\x18\x63"
        + cbor.head(5, len(keys))
        + b"".join(cbor.encode(key) + b"\x00" for key in keys)
    )


WORST: dict[str, Callable] = {
    "random characters": lambda pilot: bytes(
        random.Random(7).choices(base45.ALPHABET, k=PAYLOAD_BYTES)
    ),
    "random characters of the format": lambda pilot: b"NI1:"
    + bytes(random.Random(8).choices(base45.ALPHABET[:40], k=PAYLOAD_BYTES - 4)),
    "small integers": lambda pilot: _filled(pilot, b"\x00", ROOM - 120),
    "small integers, packed": lambda pilot: _packed(_filled(pilot, b"\x00", 16_000)),
    "empty arrays, packed": lambda pilot: _packed(_filled(pilot, b"\x80", 16_000)),
    "empty maps, packed": lambda pilot: _packed(_filled(pilot, b"\xa0", 16_000)),
    "empty texts, packed": lambda pilot: _packed(_filled(pilot, b"\x60", 16_000)),
    "deep arrays, packed": lambda pilot: _packed(_filled(pilot, b"\x81\x81\x81\x81\x80", 16_000)),
    "maps of maps, packed": lambda pilot: _packed(_filled(pilot, b"\xa1\x00\xa1\x00\xa0", 16_000)),
    "one large map": lambda pilot: _packed(_message(pilot, _map(5_000))),
    "clashing keys": lambda pilot: _packed(_message(pilot, _clashing(10_000))),
    "a large protected header": lambda pilot: _packed(
        _message(pilot, b"\xa0", b"\xa3\x01\x26\x04\x48" + pilot.city.kid + b"\x18\x63" + _array(b"\x00", 16_000))
    ),
    "a false length": lambda pilot: _message(pilot, b"\xa1\x18\x63\x9b" + b"\x00\x00\x00\x7f" + b"\xff" * 4),
    "a bomb": lambda pilot: _packed(bytes(2_700_000)),
    "a bomb, encrypted": lambda pilot: issue.encrypt(_packed(bytes(2_700_000)), b"k" * 32),
    "disclosures, packed": lambda pilot: _packed(_disclosing(pilot, 500, 30)),
    "disclosures and digests, packed": lambda pilot: _packed(
        _disclosing(pilot, 32, 200, _digests(64))
    ),
    "digests in digests, packed": lambda pilot: _packed(
        _message(pilot, b"\xa1\x18\xa9" + b"\xa1\xf8\x3b\x81" * 3 + _array(b"\xd8\x3c\x40", 15_000))
    ),
    "encrypted noise": lambda pilot: issue.encrypt(random.Random(9).randbytes(ROOM - 60), b"x" * 32),
}  # fmt: skip


def _payload(pilot, name: str, version: int) -> bytes:
    data = WORST[name](pilot)
    start = b"NI%d:" % version
    if name.startswith("random"):
        return data.replace(b"NI1:", start)
    payload = start + base45.encode(data).encode()
    assert len(payload) <= PAYLOAD_BYTES
    return payload


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("name", WORST)
def test_memory_of_the_worst_codes(pilot, name, version):
    payload = _payload(pilot, name, version)
    pilot.reason(payload)  # what is imported and cached once is not the code's
    tracemalloc.start()
    try:
        assert pilot.reason(payload) is not Reason.GRANTED
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < MEMORY


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("name", WORST)
def test_calls_of_the_worst_codes(pilot, name, version):
    payload = _payload(pilot, name, version)
    pilot.reason(payload)
    calls = 0

    def count(frame, event, argument) -> None:
        nonlocal calls
        calls += event in {"call", "c_call"}

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        reason = pilot.reason(payload)
    finally:
        sys.setprofile(before)
    assert reason is not Reason.GRANTED
    assert calls < CALLS


def test_signatures_are_checked_a_bounded_number_of_times(pilot, monkeypatch):
    """Eight keys of one id, and a ticket with eight more: no code makes the gate do more."""
    from agent.credential.algorithms import Es256

    checked = 0
    original = Es256.verify.__func__

    def verify(cls, key, signature, message) -> bool:
        nonlocal checked
        checked += 1
        return original(cls, key, signature, message)

    monkeypatch.setattr(Es256, "verify", classmethod(verify))
    kid, other = pilot.city.kid, pilot.rail.kid
    strangers = [
        issue.new_issuer("s").issuer_key(kid=each) for each in (kid, other) for _ in range(7)
    ]
    keys = pilot.trusting(*strangers, pilot.city.issuer_key(), pilot.rail.issuer_key())
    assert pilot.reason(pilot.dynamic(ticket=pilot.ticket()), keys=keys) is Reason.GRANTED
    assert checked == 8 + 1 + 8


def test_a_ticket_holds_no_ticket(pilot):
    ticket = pilot.ticket(claims={Claim.BUSINESS: pilot.ticket()})
    assert pilot.reason(pilot.dynamic(ticket=ticket)) is Reason.TICKET_INVALID
