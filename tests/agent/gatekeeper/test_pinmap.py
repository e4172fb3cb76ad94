"""The pin map as bytes: what is packed is unpacked, and nothing else is a pin map."""

from __future__ import annotations

import re
import struct
from binascii import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.gatekeeper.pinmap import SIZE, Line, PinMap, PinMapError, inputs, outputs, pack, unpack
from agent.gatekeeper.words import INPUTS, Mode

OUTPUTS = ("relay", "relay_out", "green", "red", "buzzer", "ready", "wiegand_d0", "wiegand_d1")
FLAGS = ("relay", "lamps", "passage", "release", "door", "key")
PLAIN = PinMap(
    driver="rpi-gpio", direction="in", key_mode=Mode.LOCKED, high=frozenset({"relay", "lamps"}),
    pins={"relay": 17, "fire": 6}, debounce_ms={"fire": 0}, poll_hz=200, pulse_ms=0, open_ms=5_000,
)  # fmt: skip
# Where the values stand in a record, and as what: docs/architecture.md has no say in it.
PINS_AT, DEBOUNCE_AT = 12, 28
FIELDS = {
    "driver": (8, "B"), "direction": (9, "B"), "key_mode": (10, "B"), "flags": (11, "B"),
    "relay": (PINS_AT, "B"), "relay_out": (PINS_AT + 1, "B"), "wiegand_d0": (PINS_AT + 6, "B"),
    "wiegand_d1": (PINS_AT + 7, "B"), "fire": (PINS_AT + 8, "B"), "passage": (PINS_AT + 13, "B"),
    "passage_2": (PINS_AT + 14, "B"), "fire_ms": (DEBOUNCE_AT, "<H"),
    "last_ms": (DEBOUNCE_AT + 12, "<H"), "poll_hz": (42, "<H"), "pulse_ms": (44, "<I"),
    "open_ms": (48, "<I"),
}  # fmt: skip


@st.composite
def pin_maps(draw) -> PinMap:
    optional = draw(st.sets(st.sampled_from([*OUTPUTS[1:6], *INPUTS])))
    if draw(st.booleans()):
        optional |= {"wiegand_d0", "wiegand_d1"}
    if "passage" not in optional:
        optional.discard("passage_2")
    names = ["relay", *sorted(optional)]
    numbers = draw(st.permutations(range(28)))
    path = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=64)
    return PinMap(
        driver=draw(st.sampled_from(["simulated", "rpi-gpio"])),
        direction=draw(st.sampled_from(["in", "out", "both"])),
        key_mode=draw(st.sampled_from([mode for mode in Mode if mode is not Mode.FIRE])),
        high=draw(st.frozensets(st.sampled_from(FLAGS))),
        pins=dict(zip(names, numbers, strict=False)),
        debounce_ms={name: draw(st.integers(0, 1_000)) for name in INPUTS if name in optional},
        poll_hz=draw(st.integers(50, 500)),
        pulse_ms=draw(st.integers(0, 10_000)),
        open_ms=draw(st.integers(1, 60_000)),
        device=draw(path),
        settings=draw(path),
    )


@given(pin_maps())
def test_what_is_packed_is_unpacked(pin_map):
    record = pack(pin_map)
    assert len(record) == SIZE == 568
    assert unpack(record) == pin_map
    assert pack(unpack(record)) == record


@given(pin_maps(), st.integers(0, SIZE - 1), st.integers(1, 255))
def test_no_corrupted_byte_is_taken(pin_map, place, change):
    record = bytearray(pack(pin_map))
    record[place] ^= change
    with pytest.raises(PinMapError):
        unpack(bytes(record))


def test_every_byte_is_looked_at():
    record = pack(PLAIN)
    for place in range(SIZE):
        damaged = bytearray(record)
        damaged[place] ^= 0x10
        with pytest.raises(PinMapError):
            unpack(bytes(damaged))


@given(st.binary(max_size=2 * SIZE))
def test_noise_is_no_pin_map(noise):
    with pytest.raises(PinMapError):
        unpack(noise)


FORM = "a pin map has 568 bytes and begins with idgmap01"
SHARED = "two lines of the pin map share a pin, or one is none of the header's"
RANGE = "a value of the pin map is outside its range"


@pytest.mark.parametrize(
    ("record", "said"),
    [
        (b"", FORM),
        (pack(PLAIN)[:-1], FORM),
        (pack(PLAIN) + b"\0", FORM),
        (b"idgmap02" + pack(PLAIN)[8:], FORM),
        (pack(PLAIN)[:-1] + b"\0", "the pin map's checksum is wrong"),
    ],
)
def test_what_has_another_form_is_none(record, said):
    with pytest.raises(PinMapError, match=f"^{re.escape(said)}$"):
        unpack(record)


def changed(**values: int) -> bytes:
    """Return a record with other numbers in it, and the right checksum."""
    record = bytearray(pack(PLAIN)[:-4])
    for name, value in values.items():
        place, kind = FIELDS[name]
        struct.pack_into(kind, record, place, value)
    return bytes(record) + struct.pack("<I", crc32(record))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"driver": 1}, ""),
        ({"driver": 2}, RANGE),
        ({"direction": 2}, ""),
        ({"direction": 3}, RANGE),
        ({"key_mode": 3}, ""),
        ({"key_mode": 4}, RANGE),  # fire
        ({"flags": 63}, ""),
        ({"flags": 64}, RANGE),
        ({"fire_ms": 1_000}, ""),
        ({"fire_ms": 1_001}, RANGE),
        ({"last_ms": 1_000}, ""),
        ({"last_ms": 1_001}, RANGE),
        ({"poll_hz": 49}, RANGE),
        ({"poll_hz": 50}, ""),
        ({"poll_hz": 500}, ""),
        ({"poll_hz": 501}, RANGE),
        ({"pulse_ms": 10_000}, ""),
        ({"pulse_ms": 10_001}, RANGE),
        ({"open_ms": 0}, RANGE),
        ({"open_ms": 1}, ""),
        ({"open_ms": 60_000}, ""),
        ({"open_ms": 60_001}, RANGE),
        ({"relay": 255}, RANGE),
        ({"relay": 0}, ""),
        ({"relay": 27}, ""),
        ({"relay": 28}, SHARED),
        ({"relay": 254}, SHARED),
        ({"relay_out": 16}, ""),
        ({"relay_out": 17}, SHARED),
        ({"relay_out": 6}, SHARED),
        ({"wiegand_d0": 1, "wiegand_d1": 2}, ""),
        ({"wiegand_d0": 1}, "one line of Wiegand without the other"),
        ({"wiegand_d1": 1}, "one line of Wiegand without the other"),
        ({"passage": 1}, ""),
        ({"passage": 1, "passage_2": 2}, ""),
        ({"passage_2": 2}, "a second beam without the first one"),
    ],
)
def test_no_value_outside_its_range_is_taken(values, said):
    if not said:
        unpack(changed(**values))
        return
    with pytest.raises(PinMapError, match=f"^{re.escape(said)}$"):
        unpack(changed(**values))


@pytest.mark.parametrize("name", ["device", "settings"])
def test_a_path_fills_its_place_and_no_more(name):
    for path in ("", "/a", "/X", "/aX", "/" + "ä" * 127 + "x"):
        made = PLAIN._replace(**{name: path})
        assert unpack(pack(made)) == made
    long = "/" + "ä" * 128
    said = f"a path of the gate has more than 256 bytes: {long}"
    with pytest.raises(PinMapError, match=f"^{re.escape(said)}$"):
        pack(PLAIN._replace(**{name: long}))
    with pytest.raises(PinMapError, match="a path of the gate"):
        pack(PLAIN._replace(**{name: "/a\0b"}))


@pytest.mark.parametrize("place", [52, 52 + 256])
@pytest.mark.parametrize("path", [b"\xff", b"/a\0b"])
def test_a_path_is_text(place, path):
    record = bytearray(pack(PLAIN)[:-4])
    record[place : place + len(path)] = path
    with pytest.raises(PinMapError, match=r"^a path of the pin map is no text$"):
        unpack(bytes(record) + struct.pack("<I", crc32(record)))


@pytest.mark.parametrize(
    "values",
    [
        {"driver": "another"},
        {"direction": "up"},
        {"pins": {"relay": 256}},
        {"pins": {"relay": -1}},
        {"poll_hz": 1 << 16},
        {"pulse_ms": -1},
        {"open_ms": 1 << 32},
        {"debounce_ms": {"fire": 1 << 16}},
    ],
)
def test_what_does_not_fit_a_record_is_not_packed(values):
    with pytest.raises(PinMapError, match=r"^no pin map: ."):
        pack(PLAIN._replace(**values))


# --- what it says of the lines

ALL = {name: number for number, name in enumerate((*OUTPUTS, *INPUTS))}


@pytest.mark.parametrize("relay", [True, False])
@pytest.mark.parametrize("lamps", [True, False])
def test_outputs_rest_at_the_other_level(relay, lamps):
    high = {name for name, on in (("relay", relay), ("lamps", lamps)) if on}
    pin_map = PLAIN._replace(pins=ALL, high=frozenset(high))
    assert list(outputs(pin_map).items()) == [
        (0, not relay), (1, not relay), (2, not lamps), (3, not lamps), (4, not lamps),
        (5, not lamps), (6, True), (7, True),
    ]  # fmt: skip
    assert outputs(PLAIN) == {17: False}


def test_inputs_are_told_with_their_times_fire_first():
    times = {name: 10 * number for number, name in enumerate(INPUTS)}
    pin_map = PLAIN._replace(pins=ALL, debounce_ms=times, high=frozenset({"passage"}))
    assert inputs(pin_map) == (
        Line("fire", 8, True, True, 0.0),
        Line("tamper", 9, True, True, 0.01),
        Line("door", 10, True, False, 0.02),
        Line("release", 11, True, False, 0.03),
        Line("key", 12, True, False, 0.04),
        Line("passage", 13, False, True, 0.05),
        Line("passage_2", 14, False, True, 0.06),
    )
    assert inputs(PLAIN) == (Line("fire", 6, True, True, 0.0),)
    last = PLAIN._replace(pins={"relay": 17, "key": 1}, debounce_ms={"key": 5})
    assert inputs(last) == (Line("key", 1, True, False, 0.005),)
