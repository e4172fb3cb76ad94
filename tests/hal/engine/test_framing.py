"""Where payloads begin and end, also in bytes that somebody chose to do harm."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hal.engine.framing import MAX_WAITING, Framer
from hal.scan_engine import MAX_PAYLOAD_BYTES, EngineCounts

S = 1_000_000_000
CODE = b"NI1:" + b"6BFOXN" * 100


def fed(*chunks: bytes, silent: bool = False, **options) -> tuple[list[bytes], EngineCounts]:
    """Feed chunks, a millisecond apart; return the payloads and the counts."""
    framer = Framer(**options)
    found = []
    for at, chunk in enumerate(chunks):
        framer.feed(chunk, S + at * 1_000_000)
        while (scan := framer.take()) is not None:
            found.append(scan.data)
    if silent:
        framer.silence()
        while (scan := framer.take()) is not None:
            found.append(scan.data)
    return found, framer.counts


GOOD = [
    ("whole", [b"]Q1" + CODE + b"\r"], {}),
    ("byte by byte", [bytes([byte]) for byte in b"]Q1" + CODE + b"\r"], {}),
    ("line feed behind", [b"]Q1" + CODE + b"\r", b"\n"], {}),
    ("other QR models", [b"]Q0" + CODE + b"\r"], {}),
    ("without identifiers", [CODE + b"\r"], {"aim": False}),
    ("prefix", [b"\x02#]Q1" + CODE + b"\r"], {"prefix": b"\x02#"}),
    ("long suffix, cut in two", [b"]Q1" + CODE + b"\r", b"\n\x03"], {"suffix": b"\r\n\x03"}),
    ("no suffix", [b"]Q1" + CODE[:99], CODE[99:]], {"suffix": b""}),
]


@pytest.mark.parametrize(("chunks", "options"), [row[1:] for row in GOOD], ids=[r[0] for r in GOOD])
def test_a_payload_is_found(chunks, options):
    found, counts = fed(*chunks, silent=True, **options)
    assert found == [CODE]
    assert counts == EngineCounts(scans=1)


IGNORED = [
    ("a bar code with a credential's bytes", [b"]C0" + CODE + b"\r"], {}, {"foreign": 1}),
    ("a data matrix", [b"]d1" + CODE + b"\r"], {}, {"foreign": 1}),
    ("no identifier", [CODE + b"\r"], {}, {"noise": 1}),
    ("an identifier alone", [b"]Q1\r"], {}, {"noise": 1}),
    ("half an identifier", [b"]Q\r"], {}, {"noise": 1}),
    ("another prefix", [b"]Q1" + CODE + b"\r"], {"prefix": b"#"}, {"noise": 1}),
    ("nothing between two suffixes", [b"\r\r\n\r"], {}, {}),
    ("no suffix came", [b"]Q1" + CODE], {}, {"cut": 1}),
    ("longer than a code", [b"]Q1" + b"a" * 7_090 + b"\r"], {}, {"overlong": 1}),
    ("the same, in gaps", [b"]Q1" + b"a" * 7_090], {"suffix": b""}, {"overlong": 1}),
    ("endless", [b"a" * 4_096] * 50, {}, {"overlong": 1}),
]


@pytest.mark.parametrize(
    ("chunks", "options", "counted"), [row[1:] for row in IGNORED], ids=[row[0] for row in IGNORED]
)
def test_what_is_no_payload_is_counted(chunks, options, counted):
    found, counts = fed(*chunks, silent=True, **options)
    assert found == []
    assert counts == EngineCounts(**counted)


def test_the_longest_code_passes():
    longest = b"1" * MAX_PAYLOAD_BYTES
    assert fed(b"]Q1" + longest + b"\r")[0] == [longest]


def test_after_what_was_too_long_the_next_one_counts():
    found, counts = fed(b"x" * 9_000, b"x" * 9_000 + b"\r]Q1" + CODE + b"\r")
    assert found == [CODE]
    assert counts == EngineCounts(scans=1, overlong=1)


def test_a_payload_that_drips_is_passed_over():
    framer = Framer(payload_s=1.0)
    for at in range(20):
        framer.feed(b"a", at * S // 10)
    framer.feed(b"\r]Q1" + CODE + b"\r", 2 * S)
    scan = framer.take()
    assert scan is not None
    assert (scan.data, framer.counts.overlong) == (CODE, 1)


def test_time_counts_from_the_first_byte():
    framer = Framer()
    framer.feed(b"]Q1", 5 * S)
    framer.feed(CODE + b"\r]Q1b", 6 * S)
    framer.feed(b"\r", 7 * S)
    scans = [framer.take(), framer.take()]
    assert [(scan.captured_ns, scan.symbology) for scan in scans] == [(5 * S, "Q1"), (6 * S, "Q1")]


def test_the_newest_of_a_flood_are_kept():
    framer = Framer()
    framer.feed(b"".join(b"]Q1%d\r" % at for at in range(100)), S)
    kept = []
    while (scan := framer.take()) is not None:
        kept.append(scan.data)
    assert kept == [b"%d" % at for at in range(100 - MAX_WAITING, 100)]
    assert framer.counts == EngineCounts(scans=100, flooded=100 - MAX_WAITING)


@given(
    chunks=st.lists(st.binary(max_size=400) | st.sampled_from([b"\r", b"]Q1", b"a" * 4_000]), max_size=12),
    suffix=st.sampled_from([b"\r", b"\r\n", b"\x03\x04\x05", b""]),
    prefix=st.sampled_from([b"", b"\x02"]),
    aim=st.booleans(),
)  # fmt: skip
def test_whatever_comes_memory_and_payloads_are_bounded(chunks, suffix, prefix, aim):
    framer = Framer(suffix=suffix, prefix=prefix, aim=aim)
    for chunk in chunks:
        framer.feed(chunk, S)
        assert len(framer._buffer) <= MAX_PAYLOAD_BYTES + 16
        assert len(framer._waiting) <= MAX_WAITING
    framer.silence()
    assert not framer.pending
    while (scan := framer.take()) is not None:
        assert 0 < len(scan.data) <= MAX_PAYLOAD_BYTES
        assert scan.symbology.startswith("Q") or not aim
    # And whatever came, the next code is read.
    framer.feed(prefix + b"]Q1" * aim + b"NI1:A" + suffix, 2 * S)
    framer.silence()
    scan = framer.take()
    assert scan is not None
    assert scan.data == b"NI1:A"


@given(st.lists(st.binary(min_size=1, max_size=300), max_size=6), st.integers(1, 50))
def test_how_the_bytes_are_cut_does_not_matter(parts, size):
    stream = b"\r".join(parts) + b"\r"
    pieces = [stream[at : at + size] for at in range(0, len(stream), size)]
    assert fed(*pieces, aim=False)[0][-MAX_WAITING:] == fed(stream, aim=False)[0]


def test_work_is_linear_in_the_bytes():
    def cost(count: int) -> float:
        framer = Framer()
        began = time.process_time()
        for _ in range(count):
            framer.feed(b"\x00" * 64, S)
        return time.process_time() - began

    cost(2_000)
    assert min(cost(8_000) for _ in range(3)) < 16 * min(cost(2_000) for _ in range(3)) + 0.01
