"""Mutates CBOR and JSON by their structure, where flipping bytes would only break a length.

A byte string that holds CBOR itself (a COSE payload, a wrapped claim) is entered as well. What is
neither, also not behind its first byte, is left to libFuzzer.
"""

from __future__ import annotations

import json
import random
from typing import Any

from agent.credential import cbor
from agent.credential.model import Rejected

__all__ = ["structural"]

_ANY_TAG = range(1 << 17)
_NASTY: tuple[Any, ...] = (
    0, 1, -1, 23, 24, 255, 2**31, 2**32, 2**53, 2**63, 2**64 - 1, -(2**64), True, False, None, "", "x", "1984",
    "19840231", "\u0661", "\ud800", "x" * 300, b"", b"\0", b"\xff" * 8, bytes(64), bytes(300), [], [[]], {}, {1: {}}, 0.5,
    1e300, float("nan"), float("inf"), cbor.Tagged(18, []), cbor.Tagged(35, "a*"), cbor.Tagged(61, {}),
)  # fmt: skip
_LABELS: tuple[Any, ...] = (*range(-4, 20), 33, 39, 50, 62, 169, -260, 65535, -65537, "v", "t", "r")


def structural(data: bytes, seed: int) -> bytes | None:
    """Return a changed encoding of the item in `data`, or None where it holds no container."""
    rng = random.Random(seed)
    changed = _changed_cbor(data, rng) or _changed_json(data, rng)
    if changed is None and data:
        inner = _changed_cbor(data[1:], rng) or _changed_json(data[1:], rng)
        return None if inner is None else data[:1] + inner
    return changed


def _changed_json(data: bytes, rng: random.Random) -> bytes | None:
    if data[:1] not in (b"{", b"["):
        return None
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return None
    try:
        for _ in range(rng.randint(1, 3)):
            value = _change(value, rng, depth=0)
        return json.dumps(value, default=str).encode()
    except (OverflowError, TypeError, UnicodeEncodeError, RecursionError):
        return None  # a key of a kind that JSON has not


def _changed_cbor(data: bytes, rng: random.Random) -> bytes | None:
    value = _decode(data)
    if value is None:
        return None
    try:
        for _ in range(rng.randint(1, 3)):
            value = _change(value, rng, depth=0)
        return cbor.encode(value)
    except (OverflowError, TypeError, UnicodeEncodeError):
        return None  # a number of more than 64 bits, or what has no encoding or no order


def _decode(data: bytes) -> Any:
    try:
        value = cbor.decode(data, tags=_ANY_TAG, tag_depth=99, floats=True, shortest=False)
    except Rejected:
        return None
    return value if isinstance(value, dict | list | cbor.Tagged) and value else None


def _change(value: Any, rng: random.Random, depth: int) -> Any:
    """Return the value with one place in it changed."""
    inner = _decode(value) if isinstance(value, bytes) else None
    if inner is not None and rng.random() < 0.8:
        return cbor.encode(_change(inner, rng, depth + 1))
    if isinstance(value, cbor.Tagged) and rng.random() < 0.9:
        return cbor.Tagged(value.number, _change(value.value, rng, depth + 1))
    if isinstance(value, list) and value and rng.random() < 0.9:
        return _change_list(list(value), rng, depth)
    if isinstance(value, dict) and value and rng.random() < 0.9:
        return _change_map(dict(value), rng, depth)
    match rng.randrange(5):
        case 0:
            return [value]
        case 1:
            return cbor.encode(value)
        case 2 if type(value) is int:
            return value + rng.choice((-1, 1, 1000, -1000))
    return rng.choice(_NASTY)


def _change_list(items: list[Any], rng: random.Random, depth: int) -> list[Any]:
    at = rng.randrange(len(items))
    match rng.randrange(6):
        case 0:
            del items[at]
        case 1:
            items.insert(at, items[rng.randrange(len(items))])
        case _:
            items[at] = _change(items[at], rng, depth + 1)
    return items


def _change_map(pairs: dict[Any, Any], rng: random.Random, depth: int) -> dict[Any, Any]:
    label = rng.choice(list(pairs))
    match rng.randrange(6):
        case 0:
            del pairs[label]
        case 1:
            pairs[rng.choice(_LABELS)] = rng.choice((pairs[label], rng.choice(_NASTY)))
        case 2:
            pairs[rng.choice(_LABELS)] = pairs.pop(label)
        case _:
            pairs[label] = _change(pairs[label], rng, depth + 1)
    return pairs
