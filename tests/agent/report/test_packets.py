"""The gauge on an MQTT stream: exact at its limit, in whatever pieces the bytes come."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.report.packets import MAX_PACKET_BYTES, PacketGauge, PacketRefused


def length(number: int) -> bytes:
    out = b""
    while True:
        number, low = number >> 7, number & 127
        out += bytes([low | (128 if number else 0)])
        if not number:
            return out


def packet(first: int, body: bytes) -> bytes:
    return bytes([first]) + length(len(body)) + body


def publish(topic: bytes, size: int, first: int = 0x32) -> bytes:
    """Return the beginning of a message whose packet's body has `size` bytes."""
    return bytes([first]) + length(size) + len(topic).to_bytes(2, "big") + topic


def fed(gauge: PacketGauge, stream: bytes, sizes: list[int]) -> bytes:
    """Feed as paho reads: no more than the gauge wants; return what was handed on."""
    out, turn = b"", 0
    while stream:
        size = min(sizes[turn % len(sizes)], gauge.wanted or len(stream))
        turn += 1
        if gauge.feed(stream[:size]):
            out += stream[:size]
        stream = stream[size:]
    return out


@given(
    packets=st.lists(
        st.tuples(st.sampled_from([0x20, 0x30, 0x31, 0x32, 0x3A, 0x40, 0x90, 0xD0, 0xE0]),
                  st.binary(max_size=300)), max_size=8),
    sizes=st.lists(st.integers(1, 400), min_size=1, max_size=5),
)  # fmt: skip
def test_what_is_within_the_limit_passes_unchanged_in_any_pieces(packets, sizes):
    stream = b"".join(packet(first, body) for first, body in packets)
    assert fed(PacketGauge(), stream, sizes) == stream


def test_the_limit_is_exact():
    gauge = PacketGauge(limit=200)
    whole = packet(0x30, bytes(200))
    assert gauge.feed(whole)
    assert gauge.feed(whole), "the next begins where the first ended"
    with pytest.raises(PacketRefused, match="packet of 201 bytes on 'a/b', allowed are 200"):
        fed(gauge, publish(b"a/b", 201), [1])
    assert MAX_PACKET_BYTES == 64 * 1024


@given(sizes=st.lists(st.integers(1, 40), min_size=1, max_size=5), before=st.binary(max_size=60))
def test_a_message_too_large_names_its_topic_and_nothing_of_it_is_handed_on(sizes, before):
    gauge = PacketGauge()
    topic = "gates/v1/s/g/config/\N{LATIN SMALL LETTER E WITH ACUTE}".encode()
    assert fed(gauge, packet(0x40, before), sizes) == packet(0x40, before)
    with pytest.raises(PacketRefused) as refused:
        fed(gauge, publish(topic, 200 << 20), [1, *sizes])
    assert (refused.value.code, refused.value.topic) == (0x95, topic.decode())


@pytest.mark.parametrize(
    ("stream", "code", "topic"),
    [
        (publish(b"x" * 512, 1 << 20), 0x95, "x" * 512),
        (publish(b"x" * 513, 1 << 20), 0x95, ""),
        (publish(b"", 1 << 20), 0x95, ""),
        (publish(b"\xff\xfe", 1 << 20), 0x95, "\ufffd\ufffd"),
        (bytes([0x20]) + length(1 << 20), 0x95, ""),
        (bytes([0x32]) + b"\xff\xff\xff\x7f\0\1a", 0x95, "a"),
        (bytes([0x20]) + b"\xff\xff\xff\xff\1", 0x82, ""),
        (bytes([0x34]), 0x82, ""),
        (bytes([0x3D]), 0x82, ""),
    ],
    ids=["longest topic", "topic too long", "no topic", "topic of no text", "no message",
         "longest packet", "length of five bytes", "QoS 2", "QoS 2 again, retained"],
)  # fmt: skip
def test_what_is_not_taken(stream, code, topic):
    with pytest.raises(PacketRefused) as refused:
        fed(PacketGauge(), stream, [1])
    assert (refused.value.code, refused.value.topic) == (code, topic)


@given(stream=st.binary(max_size=400), sizes=st.lists(st.integers(1, 60), min_size=1, max_size=4))
def test_any_bytes_pass_or_are_refused_and_nothing_else(stream, sizes):
    try:
        assert stream.startswith(fed(PacketGauge(limit=50), stream, sizes))
    except PacketRefused as refused:
        if refused.code not in (0x82, 0x95):
            raise
