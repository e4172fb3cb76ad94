"""Frames: what is sent is found again, whatever lies around it, and nothing damaged is believed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hal.fingerprint_frame import FrameError, FrameReader, Kind, encode

KINDS = st.sampled_from(list(Kind))
PAYLOADS = st.binary(max_size=256)


def read_all(reader: FrameReader) -> list[tuple[Kind, bytes]]:
    found = []
    for _ in range(10_000):
        try:
            frame = reader.next()
        except FrameError:
            continue
        if frame is None:
            return found
        found.append((frame.kind, frame.payload))
    raise AssertionError("no end")


def test_the_manuals_own_example():
    """Verify password 00000000, as R307's manual prints it."""
    assert encode(Kind.COMMAND, b"\x13\0\0\0\0").hex() == "ef01ffffffff010007130000000" + "0001b"


@given(st.lists(st.tuples(KINDS, PAYLOADS), max_size=6), st.integers(1, 40))
def test_frames_in_pieces(frames, size):
    stream = b"".join(encode(kind, payload) for kind, payload in frames)
    reader, found = FrameReader(), []
    for at in range(0, len(stream), size):
        reader.feed(stream[at : at + size])
        while (frame := reader.next()) is not None:
            found.append((frame.kind, frame.payload))
    assert found == frames
    assert reader.passed_over == 0


@given(st.binary(max_size=60).filter(lambda data: b"\xef" not in data), KINDS, PAYLOADS)
def test_bytes_before_a_frame_are_passed_over(noise, kind, payload):
    reader = FrameReader()
    reader.feed(noise + encode(kind, payload))
    assert read_all(reader) == [(kind, payload)]
    assert reader.passed_over == len(noise)


@given(KINDS, PAYLOADS, st.data())
def test_a_changed_byte_is_never_believed(kind, payload, data):
    """Everything but the address, which no sum covers."""
    whole = bytearray(encode(kind, payload))
    at = data.draw(st.sampled_from([at for at in range(len(whole)) if not 2 <= at < 6]))
    whole[at] ^= data.draw(st.integers(1, 255))
    reader = FrameReader()
    reader.feed(bytes(whole))
    assert read_all(reader) == []


@given(st.binary(max_size=2_000))
def test_any_bytes_end(noise):
    reader = FrameReader()
    reader.feed(noise)
    read_all(reader)


@given(st.binary(max_size=600), PAYLOADS)
def test_a_frame_after_noise_is_found_within_one_longest_frame(noise, payload):
    """Noise may look like the head of a frame and swallow; it cannot swallow for ever."""
    reader = FrameReader()
    reader.feed(noise)
    frame = encode(Kind.ACK, payload)
    reader.feed(frame * (2 + 800 // len(frame)))
    assert (Kind.ACK, payload) in read_all(reader)


def test_too_long():
    with pytest.raises(FrameError):
        encode(Kind.DATA, bytes(257))
    reader = FrameReader()
    reader.feed(b"\xef\x01\xff\xff\xff\xff\x07\xff\xff")
    with pytest.raises(FrameError, match="65535"):
        reader.next()
