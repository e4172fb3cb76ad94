"""Unpacking with a ceiling."""

from __future__ import annotations

import gzip
import random
import tracemalloc
import zlib

import brotli
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.credential import inflate
from agent.credential.model import Rejected
from agent.reason import Reason
from tests.support.refusals import refused


def _raw(data: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(data) + packer.flush()


CODECS = {
    "zlib": (zlib.compress, inflate.unzlib),
    "raw": (_raw, inflate.raw_deflate),
    "gzip": (lambda data: gzip.compress(data, mtime=0), inflate.gzip),
    "brotli": (brotli.compress, inflate.brotli),
}
LIMIT = 16 * 1024


def _reason(unpack, data, **options) -> Reason | None:
    try:
        unpack(data, **options)
    except Rejected as error:
        return error.reason
    return None


@pytest.mark.parametrize("name", CODECS)
@pytest.mark.parametrize("size", [0, 1, 100, LIMIT - 1, LIMIT])
def test_whole_streams(name, size):
    pack, unpack = CODECS[name]
    data = bytes(range(256)) * (size // 256 + 1)
    assert unpack(pack(data[:size])) == data[:size]


@pytest.mark.parametrize("name", CODECS)
@pytest.mark.parametrize("size", [LIMIT + 1, LIMIT + 2, 40_000, 3_000_000])
def test_over_the_limit(name, size):
    pack, unpack = CODECS[name]
    assert _reason(unpack, pack(bytes(size))) is Reason.TOO_LARGE


@pytest.mark.parametrize("name", CODECS)
def test_the_limit_is_the_callers(name):
    pack, unpack = CODECS[name]
    assert len(unpack(pack(bytes(60_000)), limit=64 * 1024)) == 60_000
    assert _reason(unpack, pack(bytes(100)), limit=99) is Reason.TOO_LARGE


@pytest.mark.parametrize("name", CODECS)
@pytest.mark.parametrize("limit", [1, 32_751, 32_752, 32_753])
def test_the_limit_holds_at_the_edges_of_the_librarys_blocks(name, limit):
    """Brotli's first is of 32 KiB, less a few bytes."""
    pack, unpack = CODECS[name]
    assert len(unpack(pack(bytes(limit)), limit=limit)) == limit
    assert _reason(unpack, pack(bytes(limit + 1)), limit=limit) is Reason.TOO_LARGE


@pytest.mark.parametrize("name", CODECS)
@pytest.mark.parametrize(
    "bend",
    [
        lambda data: data + b"\x00",
        lambda data: data + data,
        lambda data: data[:-1],
        lambda data: data[: len(data) // 2],
        lambda data: b"",
        lambda data: b"\xff" + data,
    ],
)
def test_damaged_streams(name, bend):
    pack, unpack = CODECS[name]
    assert _reason(unpack, bend(pack(b"an honest text, an honest text"))) is Reason.MALFORMED


@pytest.mark.parametrize("name", ["zlib", "raw", "gzip"])
def test_what_was_said_a_whole_window_before(name):
    pack, unpack = CODECS[name]
    data = random.Random(1).randbytes(30_000) * 2
    packed = pack(data)
    assert len(packed) < 31_000
    assert unpack(packed, limit=64 * 1024) == data


@pytest.mark.parametrize("name", CODECS)
@pytest.mark.parametrize("other", CODECS)
def test_each_codec_takes_its_own_alone(name, other):
    if name != other:
        assert _reason(CODECS[name][1], CODECS[other][0](b"an honest text")) is Reason.MALFORMED


TEXT = b"an honest text, an honest text"
TOLD = {
    "damaged": (lambda data: b"\xff" + data, Reason.MALFORMED, "compressed data is damaged"),
    "cut": (lambda data: data[:-1], Reason.MALFORMED, "compressed data is cut short"),
    "behind": (lambda data: data + b"\x00", Reason.MALFORMED, "bytes after the compressed data"),
}


@pytest.mark.parametrize("name", CODECS)
@pytest.mark.parametrize("case", TOLD)
def test_the_log_says_what_was_wrong(name, case):
    pack, unpack = CODECS[name]
    bend, reason, words = TOLD[case]
    if (name, case) == ("brotli", "behind"):  # the library does not tell them apart
        words = "compressed data is damaged"
    assert refused(unpack, bend(pack(TEXT))) == (reason, words)


@pytest.mark.parametrize("name", CODECS)
def test_the_log_says_what_the_limit_was(name):
    pack, unpack = CODECS[name]
    words = "unpacks to more than 29 bytes"
    assert refused(unpack, pack(TEXT), limit=29) == (Reason.TOO_LARGE, words)
    assert unpack(pack(TEXT), limit=30) == TEXT


@pytest.mark.parametrize("name", CODECS)
def test_a_bomb_costs_a_buffer(name):
    pack, unpack = CODECS[name]
    bomb = pack(bytes(5_000_000))
    tracemalloc.start()
    try:
        assert _reason(unpack, bomb) is Reason.TOO_LARGE
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1024 * 1024


def test_a_stream_with_a_dictionary_is_refused():
    packer = zlib.compressobj(zdict=b"an honest text")
    data = packer.compress(b"an honest text") + packer.flush()
    assert _reason(inflate.unzlib, data) is Reason.MALFORMED


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (zlib.compress(b"x"), True),
        (zlib.compress(b"x", 9), True),
        (b"\x78\x9c\x00", True),
        (b"\x78\x9d\x00", False),
        (b"\x18\x19\x00", True),
        (b"\x79\x18\x00", False),  # another method than deflate, though the check fits
        (b"\xd8\x08\x00", False),  # a window that no zlib has, though the check fits
        (b"\xd2\x84\x43", False),
        (b"\xd0\x83\x43", False),
        (b"\x78\x9c", False),  # a header with nothing behind it
        (b"", False),
        (b"\x78", False),
    ],
)
def test_is_zlib(data, expected):
    assert inflate.is_zlib(data) is expected


@pytest.mark.parametrize("name", CODECS)
@given(data=st.binary(max_size=80))
def test_any_bytes_are_unpacked_or_refused(name, data):
    _, unpack = CODECS[name]
    assert _reason(unpack, data) in {None, Reason.MALFORMED, Reason.TOO_LARGE}
