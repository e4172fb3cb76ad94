"""The wallet's CBOR, base45 and base64url against the gate's own, in Node."""

from __future__ import annotations

import base64
import random
from typing import Any

import pytest

from agent.credential import base45, cbor
from agent.credential.model import Rejected
from agent.issuing import issue
from tests.support.node import needs_node, run_node
from tests.support.pilot import DAY, NOW

pytestmark = needs_node

HOSTILE = {
    "nothing": "",
    "cut short": "1a0000",
    "bytes after the item": "0000",
    "a number longer than needed": "1817",
    "a two-byte number longer than needed": "1900ff",
    "a four-byte number longer than needed": "1a0000ffff",
    "an eight-byte number longer than needed": "1b00000000ffffffff",
    "an indefinite array": "9fff",
    "an indefinite text": "7f6161ff",
    "reserved information": "1c",
    "a float": "f93c00",
    "undefined": "f7",
    "a simple value": "e0",
    "a key twice": "a201000100",
    "a text key twice": "a2616100616100",
    "a byte string for a key": "a14000",
    "an array for a key": "a18000",
    "true for a key": "a1f500",
    "a tag that was not asked for": "c100",
    "a tag deep inside": "818181d200",
    "nested deeper than eight": "81" * 9 + "00",
    "a false length of bytes": "5b7fffffffffffffff",
    "a false length of an array": "9b7fffffffffffffff",
    "a false length of a map": "bb7fffffffffffffff",
    "text that is not UTF-8": "61ff",
    "a surrogate in text": "63eda080",
    "more than 512 items": "990201" + "00" * 513,
}


def _reading(data: bytes) -> str | None:
    """Return what the gate reads, written again; None where it refuses."""
    try:
        return cbor.encode(cbor.decode(data, tags=(18, 61), tag_depth=1)).hex()
    except Rejected:
        return None


def _mutants(seed: int, many: int) -> list[bytes]:
    city, holder = issue.new_issuer("city"), issue.Holder.new()
    whole = issue.sign_credential(
        city, holder, subject="42", issued_at=NOW, valid_until=NOW + DAY, regions=("ES", "ES-MD")
    )
    payload = cbor.decode(whole, tags=(18,)).value[2]
    chance = random.Random(seed)
    out = []
    for _ in range(many):
        data = bytearray(chance.choice((whole, payload)))
        for _ in range(chance.randint(1, 3)):
            at = chance.randrange(len(data))
            match chance.randrange(3):
                case 0:
                    data[at] = chance.randrange(256)
                case 1:
                    del data[at]
                case _:
                    data.insert(at, chance.randrange(256))
        out.append(bytes(data))
    return out


def test_cbor_is_read_and_refused_as_the_gate_does(tmp_path):
    whole = [
        cbor.encode(value)
        for value in (
            0, 23, 24, 255, 256, 65535, 65536, 2**32 - 1, 2**32, 2**53 - 1, 2**53, 2**64 - 1,
            -1, -24, -25, -(2**53), -(2**53) - 1, -(2**64), True, False, None, b"", b"x" * 300,
            "", "é漢", [], [1, [2, [3]]], {}, {3: 1, -1: 2, "a": {}, 65535: b"", -65539: [None]},
            cbor.Tagged(61, cbor.Tagged(18, [b"", {}])),
        )
    ]  # fmt: skip
    mutants = _mutants(15, 3_000)
    cases = [*whole, *map(bytes.fromhex, HOSTILE.values()), *mutants]
    readings = [_reading(data) for data in cases]
    taken = [reading is not None for reading in readings]
    assert all(taken[: len(whole)])
    assert not any(taken[len(whole) : len(whole) + len(HOSTILE)])
    assert 50 < sum(taken[-len(mutants) :]) < len(mutants) - 50
    given = {"cbor": [[data.hex(), reading] for data, reading in zip(cases, readings, strict=True)]}
    assert run_node("wallet_codec.test.mjs", given | _texts(), tmp_path) == {"cbor": len(cases)}


def _texts() -> dict[str, list[Any]]:
    chance = random.Random(45)
    blocks = [chance.randbytes(length) for length in range(80)]
    wrong = ["A", "ABCD", ":::", "GGX", "ab", "é0", "::"]
    for text in wrong:
        with pytest.raises(Rejected):
            base45.decode(text.encode("latin-1"))
    return {
        "not base45": wrong,
        "base45": [[data.hex(), base45.encode(data)] for data in blocks],
        "base64url": [
            [data.hex(), base64.urlsafe_b64encode(data).rstrip(b"=").decode()] for data in blocks
        ],
    }
