"""The CBOR reader: what it takes, what it refuses, and how it compares with cbor2."""

from __future__ import annotations

import io
import math
import struct

import cbor2
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agent.credential import cbor
from agent.credential.model import Rejected
from agent.credential.numbers import Alg, Tag
from agent.reason import Reason
from tests.support.refusals import refused

INTEGERS = st.integers(min_value=-(2**64), max_value=2**64 - 1)
SCALARS = st.one_of(
    INTEGERS,
    st.sampled_from([0, 23, 24, 255, 256, 65535, 65536, 2**32 - 1, 2**32, -1, -24, -25, -257]),
    st.booleans(),
    st.none(),
    st.binary(max_size=40),
    st.text(max_size=40),
    st.floats(allow_nan=False),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=5),
        st.dictionaries(st.one_of(INTEGERS, st.text(max_size=8)), inner, max_size=5),
    ),
    max_leaves=20,
)


def _depth(value) -> int:
    if isinstance(value, dict):
        return 1 + max(map(_depth, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(_depth, value), default=0)
    return 0


def _ours(data: bytes, **options):
    """Return (accepted, value or reason)."""
    try:
        return True, cbor.decode(data, **options)
    except Rejected as error:
        return False, error.reason


@given(VALUES)
def test_round_trip(value):
    data = cbor.encode(value)
    if _depth(value) > 8:
        assert _ours(data, floats=True) == (False, Reason.MALFORMED)
        return
    decoded = cbor.decode(data, floats=True)
    assert decoded == value
    assert cbor.encode(decoded) == data


@given(VALUES)
def test_encoder_agrees_with_cbor2_canonical(value):
    theirs = cbor2.loads(cbor.encode(value))
    assert theirs == value
    # RFC 8949's order of keys is that of their encodings; cbor2 sorts by length first (RFC 7049).
    if isinstance(value, float):  # cbor2 leaves some that fit 16 bits at 32, 43200.0 among them
        assert len(cbor.encode(value)) <= len(cbor2.dumps(value, canonical=True))
    elif not isinstance(value, (dict, list)):
        assert cbor.encode(value) == cbor2.dumps(value, canonical=True)


def _stricter_than_cbor2(data: bytes) -> None:
    accepted, ours = _ours(data, floats=True, tags=(18,), tag_depth=8)
    if not accepted:
        assert ours is Reason.MALFORMED
        return
    stream = io.BytesIO(data)
    theirs = cbor2.CBORDecoder(stream).decode()
    assert stream.read() == b""
    assert _same(ours, theirs)


def _same(ours, theirs) -> bool:
    if isinstance(ours, cbor.Tagged):
        return ours.number == theirs.tag and _same(ours.value, theirs.value)
    if isinstance(ours, list):
        return len(ours) == len(theirs) and all(map(_same, ours, theirs))
    if isinstance(ours, dict):
        return ours.keys() == theirs.keys() and all(_same(ours[key], theirs[key]) for key in ours)
    if isinstance(ours, float) and math.isnan(ours):
        return math.isnan(theirs)
    return type(ours) is type(theirs) and ours == theirs


@given(st.binary(max_size=64))
@example(b"\xd2\x84\x43\xa1\x01\x26\xa0\x40\x40")
@example(b"\xa2\x01\x02\x01\x03")
@example(b"\xa2\x01\x02\xf5\x03")
def test_random_bytes_are_refused_or_read_as_cbor2_reads_them(data):
    _stricter_than_cbor2(data)


@given(VALUES, st.data())
def test_damaged_items_are_refused_or_read_as_cbor2_reads_them(value, data):
    encoded = bytearray(cbor2.dumps(value, canonical=True))
    for _ in range(data.draw(st.integers(1, 3))):
        where = data.draw(st.integers(0, len(encoded) - 1))
        encoded[where] = data.draw(st.integers(0, 255))
    _stricter_than_cbor2(bytes(encoded))


@given(VALUES, st.integers(1, 200))
def test_every_prefix_is_cut_short(value, cut):
    data = cbor.encode(value)
    assert _ours(data[: len(data) - min(cut, len(data))], floats=True) == (False, Reason.MALFORMED)


@pytest.mark.parametrize(
    ("data", "value"),
    [
        ("00", 0),
        ("17", 23),
        ("1818", 24),
        ("1903e8", 1000),
        ("1bffffffffffffffff", 2**64 - 1),
        ("20", -1),
        ("3bffffffffffffffff", -(2**64)),
        ("f4", False),
        ("f5", True),
        ("f6", None),
        ("4401020304", b"\x01\x02\x03\x04"),
        ("18ff", 255),
        ("190100", 256),
        ("19ffff", 65535),
        ("1a00010000", 65536),
        ("1affffffff", 2**32 - 1),
        ("1b0000000100000000", 2**32),
        ("37", -24),
        ("3818", -25),
        ("5818" + "00" * 24, bytes(24)),
        ("62c3bc", "\u00fc"),
        ("7818" + "61" * 24, "a" * 24),
        ("a11703", {23: 3}),
        ("a1181803", {24: 3}),
        ("a10017", {0: 23}),
        ("a1001818", {0: 24}),
        ("60", ""),
        ("80", []),
        ("98190102030405060708090a0b0c0d0e0f101112131415161718181819", list(range(1, 26))),
        ("a201020304", {1: 2, 3: 4}),
        ("a26161016162820203", {"a": 1, "b": [2, 3]}),
    ],
)
def test_appendix_a_of_rfc_8949(data, value):
    assert _same(cbor.decode(bytes.fromhex(data)), value)
    assert cbor.encode(value) == bytes.fromhex(data)


@pytest.mark.parametrize(
    "data",
    [
        "", "18", "1817", "190001", "1900ff", "1a0000ffff", "1b00000000ffffffff", "3817", "5800",
        "580141", "6000", "1c", "1f", "3f", "5f4100ff", "7f6161ff", "9fff", "bfff", "ff", "f7",
        "f0", "f8ff", "f818", "f97e00", "fa47c35000", "a1f500", "a1f600", "a1800000", "a14100",
        "a1a00000", "a1f97e0000", "a201000100", "a2616100616100", "a2180100", "62ff", "61ff",
        "c100", "d818", "d9d9f700", "c249010000000000000000", "9bffffffffffffffff", "bb7fffffffffffffff",
        "5bffffffffffffffff", "818181818181818180", "0000",
    ],
)  # fmt: skip
def test_refused(data):
    assert _ours(bytes.fromhex(data)) == (False, Reason.MALFORMED)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ("", "cut short"),
        ("18", "cut short"),
        ("1903", "cut short"),
        ("4201", "cut short"),
        ("6261", "cut short"),
        ("8201", "cut short"),
        ("a201", "cut short"),
        ("a101", "cut short"),
        ("f93e", "cut short"),
        ("61ff", "text is not UTF-8"),
        ("0000", "bytes after the item"),
        ("1817", "a number not in its shortest form"),
        ("1900ff", "a number not in its shortest form"),
        ("fa3fc00000", "a float not in its shortest form"),
        ("1c", "reserved additional information"),
        ("1d", "reserved additional information"),
        ("1e", "reserved additional information"),
        ("1f", "indefinite length"),
        ("5f4100ff", "indefinite length"),
        ("a14100", "a map key that is neither integer nor text"),
        ("a1f500", "a map key that is neither integer nor text"),
        ("a201000100", "a key twice in one map"),
        ("818181818181818180", "nested deeper than 8"),
        ("c100", "tag 1 is not allowed here"),
        ("e0", "simple value or float 0 is not allowed here"),
        ("f7", "simple value or float 23 is not allowed here"),
        ("f8ff", "simple value or float 24 is not allowed here"),
        ("fc", "simple value or float 28 is not allowed here"),
        # A false length is told before the work that it would make.
        ("82011c", "reserved additional information"),
        ("83011c", "cut short"),
        ("a3011c", "cut short"),
        ("81821c", "cut short"),
    ],
)
def test_the_log_says_what_was_wrong(data, words):
    told = refused(cbor.decode, bytes.fromhex(data), floats=True)
    assert told == (Reason.MALFORMED, f"CBOR: {words}")


def test_the_log_says_that_a_float_was_not_asked_for():
    words = "CBOR: simple value or float 25 is not allowed here"
    assert refused(cbor.decode, b"\xf9\x3e\x00") == (Reason.MALFORMED, words)


@pytest.mark.parametrize(
    ("data", "value"),
    [
        ("f90000", 0.0),
        ("f93e00", 1.5),
        ("fa47c35000", 100000.0),
        ("fb3ff199999999999a", 1.1),
        ("f97c00", math.inf),
        ("f9fc00", -math.inf),
        ("f97bff", 65504.0),
        ("fa47800000", 65536.0),
        ("fb7fefffffffffffff", 1.7976931348623157e308),
    ],
)
def test_floats_only_where_asked(data, value):
    raw = bytes.fromhex(data)
    assert cbor.decode(raw, floats=True) == value
    assert cbor.encode(value) == raw
    assert not _ours(raw)[0]


@pytest.mark.parametrize(
    "data", ["fa3fc00000", "fb3ff8000000000000", "fb7ff8000000000000", "f97e01"]
)
def test_floats_in_longer_forms(data):
    raw = bytes.fromhex(data)
    if data == "f97e01":  # another NaN of the same length: a NaN is a NaN
        assert math.isnan(cbor.decode(raw, floats=True))
    else:
        assert not _ours(raw, floats=True)[0]
        assert isinstance(cbor.decode(raw, floats=True, shortest=False), float)


def test_longer_forms_where_asked():
    assert cbor.decode(b"\x18\x05", shortest=False) == 5
    assert cbor.decode(b"\x78\x01a", shortest=False) == "a"
    assert cbor.decode(b"\x19\x00\x05", shortest=False) == 5
    assert not _ours(b"\xfa\x3f\xc0\x00\x00", shortest=False)[0]


@pytest.mark.parametrize(
    ("data", "value"),
    [
        ("f7", None),
        ("c100", cbor.Tagged(1, 0)),
        ("82c06161c103", [cbor.Tagged(0, "a"), cbor.Tagged(1, 3)]),
        (
            "a101d9ffff82c6f7d82360",
            {1: cbor.Tagged(65535, [cbor.Tagged(6, None), cbor.Tagged(35, "")])},
        ),
        ("f93e00", 1.5),
        ("fa3fc00000", 1.5),
        ("1b0000000000000005", 5),
        ("c11a00000005", cbor.Tagged(1, 5)),
    ],
)
def test_loose_takes_what_nobody_reads(data, value):
    raw = bytes.fromhex(data)
    assert cbor.decode(raw, loose=True) == value
    assert not _ours(raw)[0]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ("a201000100", "a key twice in one map"),
        ("a20100180100", "a key twice in one map"),
        ("a1c10000", "a map key that is neither integer nor text"),
        ("a1f700", "a map key that is neither integer nor text"),
        ("a1f93c0000", "a map key that is neither integer nor text"),
        ("5f4100ff", "indefinite length"),
        ("c19fff", "indefinite length"),
        ("c1", "cut short"),
        ("c10000", "bytes after the item"),
        ("e0", "simple value or float 0 is not allowed here"),
        ("f83b80", "simple value or float 24 is not allowed here"),
        ("c1c1c1c1c1c1c1c1c100", "nested deeper than 8"),
        ("61ff", "text is not UTF-8"),
    ],
)
def test_loose_is_not_loose_in_structure(data, words):
    told = refused(cbor.decode, bytes.fromhex(data), loose=True)
    assert told == (Reason.MALFORMED, f"CBOR: {words}")


TOO_MANY = (Reason.MALFORMED, "CBOR: more than 512 items")
FULL = {
    "a list": (b"\x99\x02\x00" + b"\x00" * 512, b"\x99\x02\x01" + b"\x00" * 513),
    "a list of lists": (
        b"\x99\x01\x00" + b"\x81\x00" * 256,
        b"\x99\x01\x00" + b"\x81\x00" * 255 + b"\x82\x00\x00",
    ),
    "a map": (
        cbor.encode(dict.fromkeys(range(256), 0)),
        cbor.encode(dict.fromkeys(range(257), 0)),
    ),
    "empty lists": (b"\x99\x02\x00" + b"\x80" * 512, b"\x99\x02\x01" + b"\x80" * 513),
    "lists with tags": (
        b"\x99\x01\x00" + b"\xc1\x00" * 256,
        b"\x99\x01\x01" + b"\xc1\x00" * 256 + b"\x00",
    ),
}


@pytest.mark.parametrize("name", FULL)
def test_items_are_counted_in_all_containers_together(name):
    full, over = FULL[name]
    assert cbor.decode(full, loose=True) is not None
    assert refused(cbor.decode, over, loose=True) == TOO_MANY
    # Each time of reading has its own room.
    assert cbor.decode(full, loose=True) == cbor.decode(full, loose=True)


def test_items_are_counted_before_they_are_made():
    """What is wrong behind the limit is not even looked at."""
    assert refused(cbor.decode, b"\x99\x02\x01" + b"\x1c" * 513) == TOO_MANY
    assert refused(cbor.decode, b"\xb9\x01\x01" + b"\x1c" * 514) == TOO_MANY


def test_options_hold_together():
    tagged = cbor.encode(cbor.Tagged(18, [1.5, 7]))
    assert cbor.decode(tagged, tags=(18,), floats=True) == cbor.Tagged(18, [1.5, 7])
    assert not _ours(tagged, tags=(18,))[0]
    assert not _ours(b"\xd2\x18\x05", tags=(18,))[0]
    assert cbor.decode(b"\xd2\x18\x05", tags=(18,), shortest=False) == cbor.Tagged(18, 5)


REDACTED = b"\xa2\x04\x01\xf8\x3b\x81\x41x"
"""{4: 1, simple(59): [h'78']}"""


def test_digests_of_redacted_claims_only_where_asked():
    claims = {4: 1, cbor.REDACTED: [b"x"]}
    assert cbor.decode(REDACTED, redacted=True) == claims
    assert cbor.encode(claims) == REDACTED
    assert refused(cbor.decode, REDACTED)[1] == "CBOR: simple value or float 24 is not allowed here"
    nested = b"\xa1\x05" + REDACTED
    assert cbor.decode(nested, redacted=True) == {5: claims}


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\xf8\x3b", "simple value or float 24 is not allowed here"),
        (b"\x81\xf8\x3b", "simple value or float 24 is not allowed here"),
        (b"\xa1\x01\xf8\x3b", "simple value or float 24 is not allowed here"),
        (b"\xa1\xf8\x3a\x80", "simple value or float 24 is not allowed here"),
        (b"\xa1\xf8\x3c\x80", "simple value or float 24 is not allowed here"),
        (b"\xa1\xf5\x80", "a map key that is neither integer nor text"),
        (b"\xa2\xf8\x3b\x80\xf8\x3b\x80", "a key twice in one map"),
        (b"\xa1\xf8", "cut short"),
        (b"\xa1\xf8\x3b", "cut short"),
    ],
)
def test_no_other_simple_value_is_a_key_and_that_one_no_value(data, words):
    assert refused(cbor.decode, data, redacted=True) == (Reason.MALFORMED, f"CBOR: {words}")


def test_the_mark_is_the_simple_value_and_no_number():
    assert cbor.REDACTED not in cbor.decode(b"\xa1\x18\x3b\x01", redacted=True)
    assert cbor.REDACTED == cbor.Simple(59) != 59


def test_tags_only_near_the_surface():
    data = cbor.encode(cbor.Tagged(61, cbor.Tagged(18, [1])))
    decoded = cbor.decode(data, tags=(18, 61), tag_depth=1)
    assert decoded == cbor.Tagged(61, cbor.Tagged(18, [1]))
    assert not _ours(data, tags=(18, 61))[0]
    assert not _ours(data, tags=(61,), tag_depth=1)[0]
    assert not _ours(cbor.encode([[cbor.Tagged(18, 1)]]), tags=(18,), tag_depth=1)[0]


def test_depth_is_eight():
    assert cbor.decode(b"\x81" * 7 + b"\x80") == [[[[[[[[]]]]]]]]
    assert not _ours(b"\x81" * 8 + b"\x80")[0]
    assert not _ours(b"\xa1\x01" * 8 + b"\x80")[0]
    assert cbor.decode(b"\xd2" + b"\x81" * 6 + b"\x80", tags=(18,)).number == 18
    assert not _ours(b"\xd2" + b"\x81" * 7 + b"\x80", tags=(18,))[0]  # a tag is a container too


def test_keys_are_written_in_the_order_of_their_encodings():
    assert cbor.encode({"a": 0, -1: 0, 100: 0, 10: 0}).hex() == "a40a0018640020006161" + "00"


def test_what_python_has_twice_is_written_alike():
    assert cbor.encode(bytearray(b"ab")) == cbor.encode(b"ab")
    assert cbor.encode((1, 2)) == cbor.encode([1, 2])
    assert cbor.encode(Alg.ES256) == cbor.encode(-7)
    assert cbor.encode(Tag.SIGN1) == cbor.encode(18)
    assert cbor.encode(math.nan).hex() == "f97e00"


@pytest.mark.parametrize(
    ("number", "encoded"),
    [
        (0, "40"),
        (23, "57"),
        (24, "5818"),
        (255, "58ff"),
        (256, "590100"),
        (65535, "59ffff"),
        (65536, "5a00010000"),
        (2**32 - 1, "5affffffff"),
        (2**32, "5b0000000100000000"),
        (2**64 - 1, "5bffffffffffffffff"),
    ],
)
def test_a_head_is_as_short_as_it_can_be(number, encoded):
    assert cbor.head(2, number).hex() == encoded


@pytest.mark.parametrize("value", [{1, 2}, object(), 1j])
def test_encoder_refuses_other_types(value):
    with pytest.raises(TypeError, match=f"CBOR: cannot encode {type(value).__name__}"):
        cbor.encode(value)


@pytest.mark.parametrize("value", [2**64, -(2**64) - 1])
def test_encoder_refuses_bignums(value):
    with pytest.raises(OverflowError):
        cbor.encode(value)


@given(st.floats())
def test_floats_round_trip_bit_for_bit(value):
    decoded = cbor.decode(cbor.encode(value), floats=True)
    if math.isnan(value):
        assert math.isnan(decoded)
    else:
        assert struct.pack(">d", decoded) == struct.pack(">d", value)
