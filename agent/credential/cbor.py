"""The part of CBOR that a credential needs, read strictly, and written deterministically.

Rules of reading (RFC 8949, core deterministic encoding but for the order of keys):
- one item, and nothing after it;
- lengths and integers in their shortest form; no indefinite lengths;
- map keys are integers or text, each once; so 1, 1.0 and true cannot meet in one map;
- containers inside each other to the depth of `limits.CBOR_DEPTH`, and `limits.CBOR_ITEMS` items in
  all of them together, counted before any is made;
- of the simple values, false, true and null; floats only where asked for, in their shortest form;
- `redacted` lets simple(59) be a key of a map and nothing else: there SD-CWT keeps its digests;
- no tag, but the ones asked for and only as near the surface as asked: nothing here ever builds an
  object from a tag;
- `loose` is for what another's signature covers and whose fields are judged one by one: there any
  tag stands as `Tagged`, undefined is None, and numbers may be longer than needed. What makes two
  readers see two things (a key twice, an indefinite length, bytes left over) is refused there too;
- a length is held against the bytes that are left before anything is made of it.

Values: int, bytes, str, list, dict, bool, None, float, `Tagged`; as a key also `REDACTED`.
"""

from __future__ import annotations

import struct
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, NoReturn

from agent.credential.limits import CBOR_DEPTH, CBOR_ITEMS
from agent.credential.model import Rejected
from agent.reason import Reason

__all__ = ["REDACTED", "Simple", "Tagged", "decode", "encode", "head"]

_UNSIGNED, _NEGATIVE, _BYTES, _TEXT, _ARRAY, _MAP, _TAG = range(7)
_SIMPLE: Final = 7 << 5
_LEAST: Final = {25: 1 << 8, 26: 1 << 16, 27: 1 << 32}
"""Additional information -> smallest number that needs that many bytes."""
_FLOATS: Final = {25: ">e", 26: ">f", 27: ">d"}
_CONSTANTS: Final = {20: False, 21: True, 22: None}
_UNDEFINED: Final = 23


@dataclass(frozen=True, slots=True)
class Tagged:
    """A tag and what it marks; made only for tags that the caller asked for."""

    number: int
    value: Any


@dataclass(frozen=True, slots=True)
class Simple:
    """A simple value that is no constant of the language; 32 to 255."""

    number: int


REDACTED: Final = Simple(59)
"""The key under which a map lists digests of what was taken out of it (SD-CWT)."""
_REDACTED: Final = (0xF8, 59)
"""Its encoding."""


def decode(
    data: bytes,
    *,
    tags: Collection[int] = (),
    tag_depth: int = 0,
    floats: bool = False,
    shortest: bool = True,
    loose: bool = False,
    redacted: bool = False,
) -> Any:
    """Decode one item that fills `data`.

    Args:
        data: the bytes.
        tags: tag numbers that are allowed at all.
        tag_depth: how many arrays, maps and tags may stand around an allowed tag.
        floats: whether floating-point numbers are allowed.
        shortest: False takes numbers that are longer than needed, as some issuers write them.
        loose: takes any tag anywhere, floats, undefined, and numbers that are longer than needed.
        redacted: whether `REDACTED` may be a key of a map.

    Raises:
        Rejected: `malformed`.
    """
    rules = _Rules(
        tags, tag_depth, floats or loose, shortest and not loose, loose, redacted,
        room=[CBOR_ITEMS],
    )  # fmt: skip
    try:
        value, end = _item(data, 0, 0, rules)
    except IndexError:
        raise Rejected(Reason.MALFORMED, "CBOR: cut short") from None
    except UnicodeDecodeError:
        raise Rejected(Reason.MALFORMED, "CBOR: text is not UTF-8") from None
    if end != len(data):
        _refuse("bytes after the item")
    return value


class _Rules(NamedTuple):
    """The options of `decode`, and how many items it may still make."""

    tags: Collection[int]
    tag_depth: int
    floats: bool
    shortest: bool
    loose: bool
    redacted: bool
    room: list[int]


def _item(data: bytes, at: int, depth: int, rules: _Rules) -> tuple[Any, int]:
    """Read one item.

    The dispatch stands in one function, the commonest first, and state travels in arguments: calls
    and attributes are what a reader in Python pays for.

    Args:
        data: the whole buffer.
        at: where the item begins.
        depth: how many containers stand around it.
        rules: what is allowed.

    Returns:
        The value, and where the item ends.
    """
    initial = data[at]
    at += 1
    if initial < 24:
        return initial, at
    number = initial & 31
    if initial >= _SIMPLE:
        return _simple(data, number, at, rules)
    if number > 24:
        number, at = _number(data, number, at, rules)
    elif number == 24:
        number = data[at]
        at += 1
        if number < 24 and rules.shortest:
            _refuse("a number not in its shortest form")
    major = initial >> 5
    if major == _TEXT:
        end = at + number
        if end > len(data):
            _refuse("cut short")
        return data[at:end].decode(), end
    if major == _BYTES:
        end = at + number
        if end > len(data):
            _refuse("cut short")
        return data[at:end], end
    if major == _NEGATIVE:
        return -1 - number, at
    if major == _UNSIGNED:
        return number, at
    if depth >= CBOR_DEPTH:
        _refuse(f"nested deeper than {CBOR_DEPTH}")
    if major == _TAG:
        _take(rules.room, 1)
        if not rules.loose and (number not in rules.tags or depth > rules.tag_depth):
            _refuse(f"tag {number} is not allowed here")
        value, at = _item(data, at, depth + 1, rules)
        return Tagged(number, value), at
    # Every element takes a byte at least: a false length is told before the work.
    if number > len(data) - at:
        _refuse("cut short")
    _take(rules.room, number if major == _ARRAY else 2 * number)
    depth += 1
    if major == _MAP:
        return _map(data, number, at, depth, rules)
    items = []
    for _ in range(number):
        value, at = _item(data, at, depth, rules)
        items.append(value)
    return items, at


def _take(room: list[int], items: int) -> None:
    """Take items from what may still be made."""
    room[0] -= items
    if room[0] < 0:
        _refuse(f"more than {CBOR_ITEMS} items")


def _map(
    data: bytes, pairs: int, at: int, depth: int, rules: _Rules
) -> tuple[dict[int | str, Any], int]:
    """Read the pairs of a map; small keys and values without a call for each."""
    out: dict[Any, Any] = {}
    key: Any
    for _ in range(pairs):
        key = data[at]
        if key < 24:
            at += 1
        elif key == _REDACTED[0] and rules.redacted and data[at + 1] == _REDACTED[1]:
            key, at = REDACTED, at + 2
        else:
            key, at = _item(data, at, depth, rules)
            if type(key) is not int and type(key) is not str:
                _refuse("a map key that is neither integer nor text")
        value = data[at]
        if value < 24:
            out[key] = value
            at += 1
        else:
            out[key], at = _item(data, at, depth, rules)
    if len(out) != pairs:
        _refuse("a key twice in one map")
    return out, at


def _number(data: bytes, info: int, at: int, rules: _Rules) -> tuple[int, int]:
    """Read the number in the 2, 4 or 8 bytes after an initial byte."""
    if info > 27:
        _refuse("indefinite length" if info == 31 else "reserved additional information")
    end = at + (1 << (info - 24))
    if end > len(data):
        _refuse("cut short")
    number = int.from_bytes(data[at:end])
    if number < _LEAST[info] and rules.shortest:
        _refuse("a number not in its shortest form")
    return number, end


def _simple(data: bytes, info: int, at: int, rules: _Rules) -> tuple[Any, int]:
    """Read what follows an initial byte of major type 7."""
    if info in _CONSTANTS:
        return _CONSTANTS[info], at
    if info == _UNDEFINED and rules.loose:
        return None, at
    if info not in _FLOATS or not rules.floats:
        _refuse(f"simple value or float {info} is not allowed here")
    end = at + (1 << (info - 24))
    if end > len(data):
        _refuse("cut short")
    value: float = struct.unpack(_FLOATS[info], data[at:end])[0]
    if rules.shortest and len(_float(value)) != end - at + 1:
        _refuse("a float not in its shortest form")
    return value, end


def encode(value: Any) -> bytes:
    """Encode a value in core deterministic encoding (RFC 8949 section 4.2.1).

    Raises:
        TypeError: the value is none of the reader's types.
    """
    out = bytearray()
    _write(value, out)
    return bytes(out)


def head(major: int, number: int) -> bytes:
    """Return the initial bytes of an item: its major type with a number, in shortest form."""
    if number < 24:
        return bytes((major << 5 | number,))
    info = 24 + (number > 0xFF) + (number > 0xFFFF) + (number > 0xFFFF_FFFF)
    return bytes((major << 5 | info,)) + number.to_bytes(1 << (info - 24))


def _write(value: Any, out: bytearray) -> None:
    match value:
        case bool() | None:
            out.append(_SIMPLE | {False: 20, True: 21, None: 22}[value])
        case int() if value >= 0:
            out += head(_UNSIGNED, int(value))
        case int():
            out += head(_NEGATIVE, -1 - value)
        case float():
            out += _float(value)
        case bytes() | bytearray():
            out += head(_BYTES, len(value)) + value
        case str():
            text = value.encode()
            out += head(_TEXT, len(text)) + text
        case list() | tuple():
            out += head(_ARRAY, len(value))
            for element in value:
                _write(element, out)
        case dict():
            out += head(_MAP, len(value))
            for key, element in sorted((encode(key), element) for key, element in value.items()):
                out += key
                _write(element, out)
        case Simple():
            out += bytes((_SIMPLE | 24, value.number))
        case Tagged():
            out += head(_TAG, value.number)
            _write(value.value, out)
        case _:
            raise TypeError(f"CBOR: cannot encode {type(value).__name__}")


def _float(value: float) -> bytes:
    """Encode a float in the shortest form that keeps its value; NaN is the canonical one."""
    if value != value:  # noqa: PLR0124 - the test for NaN
        return b"\xf9\x7e\x00"
    for head_byte, form in (b"\xf9", ">e"), (b"\xfa", ">f"):
        try:
            raw = struct.pack(form, value)
        except OverflowError:
            continue
        if struct.unpack(form, raw)[0] == value:
            return head_byte + raw
    return b"\xfb" + struct.pack(">d", value)


def _refuse(detail: str) -> NoReturn:
    raise Rejected(Reason.MALFORMED, f"CBOR: {detail}")
