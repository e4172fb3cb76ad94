"""From a stranger's bytes to a picture, or to one reason."""

from __future__ import annotations

import struct

import cv2
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hal.v4l2.device import Format
from hal.v4l2.picture import HEADER_AT_MOST, BadPicture, decode, jpeg_size

WIDTH, HEIGHT = 64, 48
JPEG = Format("MJPG", WIDTH, HEIGHT, 0)
RAW = Format("YUYV", WIDTH, HEIGHT, WIDTH * 2)
GREY = Format("GREY", WIDTH, HEIGHT, 0)


def encoded(*options: int, shape: tuple[int, ...] = (HEIGHT, WIDTH, 3)) -> bytes:
    picture = np.random.default_rng(5).integers(0, 255, shape, dtype=np.uint8)
    return cv2.imencode(".jpg", picture, options)[1].tobytes()


WHOLE = encoded()


def without(marker: int, data: bytes) -> bytes:
    """Take a header's segments of one kind out."""
    kept, at = bytearray(data[:2]), 2
    while True:
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if data[at + 1] != marker:
            kept += data[at:end]
        if data[at + 1] == 0xDA:
            return bytes(kept + data[end:])
        at = end


def sized(data: bytes, width: int, height: int) -> bytes:
    """Write another size into the header."""
    at = data.index(b"\xff\xc0")
    return data[: at + 5] + struct.pack(">HH", height, width) + data[at + 9 :]


@pytest.mark.parametrize(
    "data",
    [
        WHOLE,
        WHOLE + bytes(4_000),  # padded to the buffer
        without(0xC4, WHOLE),  # a webcam's: its tables are the standard's, and left out
        b"\xff\xd8" + b"\xff" * 9 + WHOLE[2:],
    ],
    ids=["whole", "padded", "tables left out", "filled"],
)
def test_what_webcams_send_is_read(data):
    luma, colour = decode(data, JPEG, colour=True)
    assert luma.shape == (HEIGHT, WIDTH)
    assert colour.shape == (HEIGHT, WIDTH, 3)
    assert luma.flags.owndata
    assert luma.flags.writeable


def test_a_grey_jpeg_has_no_colour():
    luma, colour = decode(encoded(shape=(HEIGHT, WIDTH)), JPEG, colour=True)
    assert luma.shape == (HEIGHT, WIDTH)
    assert colour is None


def test_a_picture_that_says_it_lies_on_its_side_is_not_turned():
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    lying = WHOLE[:2] + b"\xff\xe1" + struct.pack(">H", 2 + len(exif)) + exif + WHOLE[2:]
    assert decode(lying, JPEG, colour=True)[0].shape == (HEIGHT, WIDTH)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "no JPEG"),
        (b"\x89PNG\r\n\x1a\n" + bytes(99), "no JPEG"),
        (WHOLE[: len(WHOLE) // 2], "ends too early"),
        (WHOLE[:-2], "ends too early"),
        (WHOLE[:100], "without a picture"),
        (sized(WHOLE, 65_000, 65_000), "a picture of 65000x65000, 64x48 was set"),
        (sized(WHOLE, 0, 0), "a picture of 0x0"),
        (sized(WHOLE, HEIGHT, WIDTH), "a picture of 48x64"),
        (encoded(cv2.IMWRITE_JPEG_PROGRESSIVE, 1), "not a baseline one"),
        (without(0xC0, WHOLE), "without a size"),
        (
            WHOLE.replace(b"\xff\xc0", WHOLE[WHOLE.index(b"\xff\xc0") :][:19] + b"\xff\xc0", 1),
            "two",
        ),
        (WHOLE.replace(b"\xff\xc0\x00\x11\x08", b"\xff\xc0\x00\x11\x0c"), "of a kind"),
        (b"\xff\xd8" + b"\xff\xe0\xff\xff" + bytes(65_533) + WHOLE[2:], "without a picture"),
        (b"\xff\xd8" + b"\xff" * (HEADER_AT_MOST + 10), "without a picture"),
        (b"\xff\xd8\xff\xe0\x00\x00" + WHOLE[2:], "broken header"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_picture_says_why(data, why):
    with pytest.raises(BadPicture, match=why):
        decode(data, JPEG, colour=True)


@pytest.mark.parametrize(
    ("form", "length", "fits"),
    [
        (RAW, WIDTH * HEIGHT * 2, True),
        (RAW, WIDTH * HEIGHT * 2 + 4_096, True),
        (RAW, WIDTH * HEIGHT * 2 - 1, False),
        (RAW, 0, False),
        (Format("YUYV", WIDTH, HEIGHT, 192), 192 * (HEIGHT - 1) + WIDTH * 2, True),
        (Format("YUYV", WIDTH, HEIGHT, 192), 192 * (HEIGHT - 1) + WIDTH * 2 - 1, False),
        (Format("YUYV", WIDTH, HEIGHT, 4), WIDTH * HEIGHT * 2, False),
        (GREY, WIDTH * HEIGHT, True),
        (GREY, WIDTH * HEIGHT - 1, False),
    ],
)
@pytest.mark.parametrize("colour", [True, False])
def test_lengths_must_fit(form, length, fits, colour):
    data = bytes(range(256)) * (length // 256 + 1)
    if not fits:
        with pytest.raises(BadPicture, match=r"\d+ bytes, \d+ are a picture"):
            decode(data[:length], form, colour=colour)
        return
    luma, rgb = decode(data[:length], form, colour=colour)
    assert luma.shape == (HEIGHT, WIDTH)
    assert luma.flags.owndata
    assert (rgb is not None) == (colour and form.name == "YUYV")
    assert luma[0, 1] == (2 if form.name == "YUYV" else 1)


@given(
    at=st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.integers(0, 255)), max_size=8),
    end=st.integers(0, len(WHOLE)),
)
@example(at=[], end=0)
def test_wrong_bytes_give_a_picture_of_the_size_or_one_reason(at, end):
    data = bytearray(WHOLE)
    for place, value in at:
        data[place] = value
    try:
        luma, _ = decode(bytes(data[:end]), JPEG, colour=False)
    except BadPicture:
        return
    assert luma.shape == (HEIGHT, WIDTH)


@given(st.binary(max_size=400).map(lambda data: b"\xff\xd8\xff" + data))
def test_headers_of_nobody_are_read_without_harm(data):
    try:
        width, height, components = jpeg_size(data)
    except BadPicture:
        return
    assert 0 <= width < 65_536
    assert 0 <= height < 65_536
    assert components in (1, 3)
