"""The pin map: which line is what, its polarity and the gate's own time limits, as one record.

Rules:
- Always `SIZE` bytes, little-endian, with a CRC-32 at the end. There is nothing to parse: a record
  of another size, version or checksum, or with a value outside its range, is no pin map.
- The deciding process makes it of checked settings; the gatekeeper keeps the last one that it could
  take beside the mode, and boots from that: broken settings change no pin.
- `settings` names the file it was made of, so that `idgate gate safe` finds the map of a file that
  cannot be read any more.
"""

from __future__ import annotations

import struct
from binascii import crc32
from typing import NamedTuple

from agent.gatekeeper.words import INPUTS, MODES, Mode

__all__ = ["DRIVERS", "SIZE", "Line", "PinMap", "PinMapError"]
__all__ += ["inputs", "outputs", "pack", "unpack"]

DRIVERS = ("simulated", "rpi-gpio")
_WAYS = ("in", "out", "both")
_PULLED_UP = ("fire", "tamper", "door", "release", "key")
_SWITCHED = ("relay", "relay_out", "green", "red", "buzzer", "ready")
_WIEGAND = ("wiegand_d0", "wiegand_d1")
_LINES = (*_SWITCHED, *_WIEGAND, *INPUTS)
_FLAGS = ("relay", "lamps", "passage", "release", "door", "key")

_MAGIC = b"idgmap01"
_ABSENT = 0xFF
_PINS = 28
_PATH = 256
_BODY = struct.Struct(f"<8s4B15sx7HHII{_PATH}s{_PATH}s")
_CRC = struct.Struct("<I")
SIZE = _BODY.size + _CRC.size
_LONGEST_MS = 60_000


class PinMapError(ValueError):
    """These bytes or values are no pin map."""


class Line(NamedTuple):
    """An input: its pin, bias, the level that means active, and how long that must last.

    Attributes:
        name: as the settings have it.
        pin: BCM number.
        pull_up: biased high, else low.
        active: the level that means active, high is True.
        debounce_s: how long an active level must last to be believed; 0 is at the first sample.
    """

    name: str
    pin: int
    pull_up: bool
    active: bool
    debounce_s: float


class PinMap(NamedTuple):
    """What the gatekeeper knows of its gate.

    Attributes:
        driver: of `DRIVERS`.
        direction: `in`, `out` or `both`: which way a release opens.
        key_mode: the mode while the key switch is turned.
        high: the lines of `relay lamps passage release door key` whose active level is high.
        pins: BCM numbers by name; lines that are not fitted are not there.
        debounce_ms: by input's name.
        poll_hz: how often the inputs are read.
        pulse_ms: width of the relay's pulse, 0 for level mode.
        open_ms: the longest opening.
        device: of the driver: a simulated board's file, a serial port; or empty.
        settings: the file it was made of, an absolute path, or empty.
    """

    driver: str
    direction: str
    key_mode: Mode
    high: frozenset[str]
    pins: dict[str, int]
    debounce_ms: dict[str, int]
    poll_hz: int
    pulse_ms: int
    open_ms: int
    device: str = ""
    settings: str = ""


def outputs(pin_map: PinMap) -> dict[int, bool]:
    """Return every output pin with its inactive level."""
    lamps, relay = "lamps" not in pin_map.high, "relay" not in pin_map.high
    levels = {name: relay if name.startswith("relay") else lamps for name in _SWITCHED}
    levels |= dict.fromkeys(_WIEGAND, True)
    return {pin_map.pins[name]: level for name, level in levels.items() if name in pin_map.pins}


def inputs(pin_map: PinMap) -> tuple[Line, ...]:
    """Return the inputs that are fitted, fire first."""
    found = []
    for name in INPUTS:
        if name not in pin_map.pins:
            continue
        active = name in {"fire", "tamper"} or name.removesuffix("_2") in pin_map.high
        pull_up = name in _PULLED_UP or not active
        debounce_s = pin_map.debounce_ms[name] / 1000
        found.append(Line(name, pin_map.pins[name], pull_up, active, debounce_s))
    return tuple(found)


def pack(pin_map: PinMap) -> bytes:
    """Return the record.

    Raises:
        PinMapError: it holds what a record cannot.
    """
    flags = sum(1 << place for place, name in enumerate(_FLAGS) if name in pin_map.high)
    paths = [path.encode() for path in (pin_map.device, pin_map.settings)]
    for path in paths:
        if len(path) > _PATH or b"\0" in path:
            raise PinMapError(f"a path of the gate has more than {_PATH} bytes: {path.decode()}")
    try:
        body = _BODY.pack(
            _MAGIC,
            DRIVERS.index(pin_map.driver),
            _WAYS.index(pin_map.direction),
            MODES.index(pin_map.key_mode),
            flags,
            bytes(pin_map.pins.get(name, _ABSENT) for name in _LINES),
            *(pin_map.debounce_ms.get(name, 0) for name in INPUTS),
            pin_map.poll_hz,
            pin_map.pulse_ms,
            pin_map.open_ms,
            *paths,
        )
    except (struct.error, ValueError) as error:
        raise PinMapError(f"no pin map: {error}") from None
    return body + _CRC.pack(crc32(body))


def unpack(record: bytes) -> PinMap:
    """Return the pin map of a record.

    Raises:
        PinMapError: it is none; the message says why.
    """
    if len(record) != SIZE or not record.startswith(_MAGIC):
        raise PinMapError(f"a pin map has {SIZE} bytes and begins with {_MAGIC.decode()}")
    body = record[: _BODY.size]
    if _CRC.pack(crc32(body)) != record[_BODY.size :]:
        raise PinMapError("the pin map's checksum is wrong")
    _, driver, way, key_mode, flags, pins, *rest = _BODY.unpack(body)
    *debounce, poll_hz, pulse_ms, open_ms, device, settings = rest
    fitted = {name: pins[place] for place, name in enumerate(_LINES) if pins[place] != _ABSENT}
    if len(set(fitted.values())) != len(fitted) or any(pin >= _PINS for pin in fitted.values()):
        raise PinMapError("two lines of the pin map share a pin, or one is none of the header's")
    ranges = (
        (driver, len(DRIVERS)), (way, len(_WAYS)), (key_mode, len(MODES) - 1), (flags, 1 << 6),
        (max(debounce), 1_001), (pulse_ms, 10_001), (open_ms - 1, _LONGEST_MS),
        (poll_hz - 50, 451),
    )  # fmt: skip
    if ("wiegand_d0" in fitted) != ("wiegand_d1" in fitted):
        raise PinMapError("one line of Wiegand without the other")
    if "passage_2" in fitted and "passage" not in fitted:
        raise PinMapError("a second beam without the first one")
    if "relay" not in fitted or any(not 0 <= value < limit for value, limit in ranges):
        raise PinMapError("a value of the pin map is outside its range")
    try:
        paths = [path.rstrip(b"\0").decode() for path in (device, settings)]
    except UnicodeDecodeError:
        raise PinMapError("a path of the pin map is no text") from None
    if any("\0" in path for path in paths):
        raise PinMapError("a path of the pin map is no text")
    return PinMap(
        DRIVERS[driver],
        _WAYS[way],
        MODES[key_mode],
        frozenset(name for place, name in enumerate(_FLAGS) if flags >> place & 1),
        fitted,
        {name: debounce[place] for place, name in enumerate(INPUTS) if name in fitted},
        poll_hz,
        pulse_ms,
        open_ms,
        *paths,
    )
