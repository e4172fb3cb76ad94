"""What a picture's header says: one reason, in little time, before any decoder is built."""

from __future__ import annotations

import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agent.biometrics.errors import FaceRejected
from agent.biometrics.picture_header import CREDENTIAL_LIMITS, check_header, sniff
from agent.reason import Reason
from tests.support.pictures import (
    BOMBS,
    KINDS,
    avif,
    cod,
    encode,
    jp2,
    jpeg2000,
    png,
    png_chunk,
    segment,
    tile_part,
)


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_refused_for_what_they_are(name):
    data, message = BOMBS[name]
    with pytest.raises(FaceRejected, match=message) as refused:
        check_header(data, CREDENTIAL_LIMITS)
    assert refused.value.reason is Reason.REFERENCE_INVALID


@pytest.mark.parametrize("side", [1, 64, 1024])
@pytest.mark.parametrize(
    ("kind", "how"),
    [
        ("WEBP", {"quality": 30}),
        ("WEBP", {"lossless": True}),
        ("WEBP", {"quality": 30, "exif": b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0"}),
        ("AVIF", {"quality": 40, "speed": 10}),
        ("AVIF", {"quality": 40, "speed": 10, "tile_rows": 2, "tile_cols": 2}),
        ("JPEG", {}),
        ("JPEG", {"progressive": True, "restart_marker_rows": 1, "comment": b"by hand"}),
        ("JPEG2000", {"num_resolutions": 1}),
        ("JPEG2000", {"quality_mode": "rates", "quality_layers": [80, 40, 20]}),
        ("JPEG2000", {"no_jp2": True, "tile_size": (256, 256), "irreversible": True}),
        ("JPEG2000", {"precinct_size": (256, 256), "codeblock_size": (32, 32), "comment": b"x"}),
        ("JPEG2000", {"precinct_size": (128, 128), "progression": "RPCL", "plt": True}),
        ("PNG", {}),
    ],
)  # fmt: skip
def test_what_encoders_make_is_let_through(kind, how, side):
    assert check_header(encode(kind, side, side, **how), CREDENTIAL_LIMITS) == kind


def test_ordinary_neighbours_of_the_bombs_are_let_through():
    """Each is a bomb's own builder, used for nothing bad: what is refused above is the bad part."""
    plain = jpeg2000(64, 64)
    calm = segment(0xFF53, b"\0\0\5\4\4\0\1")
    for data in (plain, jp2(plain), jpeg2000(64, 64, before=calm),
                 jpeg2000(64, 64, tiles=tile_part(header=cod() + calm)), jpeg2000(1024, 1024, precincts=b"\x88" * 6),
                 png(64, 64, first=png_chunk(b"tEXt", b"a\0b") * 4), avif(1024)):  # fmt: skip
        check_header(data, CREDENTIAL_LIMITS)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=200, deadline=None)
@given(places=st.lists(st.tuples(st.integers(0, 2**16), st.integers(0, 255)), max_size=20))
@example(places=[])
def test_damaged_headers_are_read_or_refused_and_nothing_else(kind, places):
    data = bytearray(encode(kind, 24, 24, **KINDS[kind]))
    for place, value in places:
        data[place % min(len(data), 200)] = value
    _read(bytes(data))


@pytest.mark.parametrize("kind", KINDS)
def test_headers_cut_anywhere_are_read_or_refused_and_nothing_else(kind):
    data = encode(kind, 24, 24, **KINDS[kind])
    for length in range(len(data)):
        _read(data[:length])


@settings(max_examples=300, deadline=None)
@given(
    start=st.sampled_from(
        [encode(kind, 8, 8, **how)[:40] for kind, how in KINDS.items()] + [b"\xff\x4f\xff\x51"]
    ),
    rest=st.binary(max_size=200),
)
def test_any_bytes_are_read_or_refused_and_nothing_else(start, rest):
    _read(start + rest)


def _read(data: bytes) -> None:
    try:
        kind = check_header(data, CREDENTIAL_LIMITS)
    except FaceRejected as refused:
        if refused.reason is not Reason.REFERENCE_INVALID:
            raise
    else:
        assert kind == sniff(data)


LONGEST = {
    "jpeg of fill bytes": b"\xff\xd8" + b"\xff" * 65_000,
    "jpeg of empty segments": b"\xff\xd8" + b"\xff\xe0\0\2" * 16_000,
    "png of empty chunks": png(8, 8, first=png_chunk(b"abcd", b"") * 5_400)[: 1 << 16],
    "jpeg 2000 of empty segments": jpeg2000(8, 8, before=b"\xff\x64\0\2" * 16_000),
    "avif of empty boxes": b"\0\0\0\x14ftypavif\0\0\0\0avif" + b"\0\0\0\x08free" * 8_000,
    "avif of empty units": (
        b"\0\0\0\x14ftypavif\0\0\0\0avif" + b"\0\0\xfa\0mdat" + b"\x12\0" * 31_996
    ),
}


@pytest.mark.parametrize("name", LONGEST)
def test_a_header_of_64_kib_takes_little_time(name):
    """Of the thread alone; the interpreter hands over to others every 5 ms of it."""
    data = LONGEST[name][: CREDENTIAL_LIMITS.file_bytes]
    started = time.thread_time()
    _read(data)
    assert time.thread_time() - started < 0.2
