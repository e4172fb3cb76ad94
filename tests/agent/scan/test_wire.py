"""The messages between daemon and decoder: exact for honest ones, a refusal for all else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.sandbox.wire import WireError
from agent.scan.wire import (
    ANSWER_LIMIT,
    MAX_PAYLOAD_BYTES,
    MAX_PAYLOADS,
    MAX_STILL_PAYLOADS,
    NO_HURRY,
    Answer,
    Job,
    Payload,
    Variant,
    pack_answer,
    pack_job,
    unpack_answer,
    unpack_job,
)

SIDE = st.integers(-8192, 8192)
POINT = st.tuples(SIDE, SIDE)
PAYLOAD = st.builds(
    Payload,
    st.binary(max_size=300),
    st.tuples(POINT, POINT, POINT, POINT),
    st.sampled_from(["zxing-cpp", "pyzbar"]),
)
ANSWER = st.builds(
    Answer,
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**32 - 1),
    st.sampled_from(Variant),
    st.lists(PAYLOAD, max_size=MAX_PAYLOADS).map(tuple),
)
CORNERS = ((0, 0), (1, 0), (1, 1), (0, 1))


def an_answer(*, data: bytes = b"abc", count: int = 1) -> Answer:
    payloads = tuple(Payload(data, CORNERS, "zxing-cpp") for _ in range(count))
    return Answer(7, 1000, Variant.PLAIN, payloads)


@given(ANSWER)
def test_an_answer_survives_the_wire(answer):
    assert unpack_answer(pack_answer(answer), sequence=answer.sequence) == answer


@given(
    st.builds(
        Job,
        st.integers(0, 2**32 - 1),
        st.integers(1, 65535),
        st.integers(1, 65535),
        st.integers(0, 2**32 - 1),
        st.integers(0, NO_HURRY),
        thorough=st.booleans(),
        wary=st.booleans(),
    )
)
def test_a_job_survives_the_wire(job):
    assert unpack_job(pack_job(job)) == job


def test_time_to_spare_is_kept_within_its_field():
    assert unpack_job(pack_job(Job(1, 2, 3, 4, spare_ms=10**9))).spare_ms == NO_HURRY
    assert unpack_job(pack_job(Job(1, 2, 3, 4, spare_ms=-5))).spare_ms == 0


def test_a_job_of_no_kind_is_refused():
    message = pack_job(Job(1, 2, 3, 4, thorough=True, wary=True))
    with pytest.raises(WireError, match="an unknown kind"):
        unpack_job(message[:-1] + b"\x04")


@given(st.binary(max_size=200))
def test_noise_is_refused_or_is_what_it_says(message):
    try:
        answer = unpack_answer(message, sequence=0)
    except WireError:
        return
    assert pack_answer(answer) == message


@given(ANSWER, st.data())
def test_a_cut_or_lengthened_answer_is_refused(answer, data):
    message = pack_answer(answer)
    cut = data.draw(st.integers(0, len(message) - 1))
    for bad in (message[:cut], message + b"\0"):
        with pytest.raises(WireError):
            unpack_answer(bad, sequence=answer.sequence)


@pytest.mark.parametrize(
    ("offset", "value", "why"),
    [
        (0, 99, "another frame"),
        (8, 200, "variant"),
        (9, MAX_PAYLOADS + 1, "symbols"),
        (9, 2, "cut short"),
        (9, 0, "left over"),
        (10, 9, "decoder"),
        (28, 0xFF, "length"),
    ],
)
def test_each_field_is_checked(offset, value, why):
    message = bytearray(pack_answer(an_answer()))
    message[offset] = value
    with pytest.raises(WireError, match=why):
        unpack_answer(bytes(message), sequence=7)


def test_what_is_over_the_caps_is_not_sent():
    many = an_answer(count=MAX_PAYLOADS + 5)
    assert len(unpack_answer(pack_answer(many), sequence=7).payloads) == MAX_PAYLOADS
    huge = an_answer(data=bytes(MAX_PAYLOAD_BYTES + 1))
    assert unpack_answer(pack_answer(huge), sequence=7).payloads == ()
    full = pack_answer(an_answer(data=bytes(MAX_PAYLOAD_BYTES), count=MAX_PAYLOADS))
    assert len(full) == ANSWER_LIMIT
    with pytest.raises(WireError, match="bytes"):
        unpack_answer(full + b"\0", sequence=7)


@pytest.mark.parametrize("length", [0, 1, 16, 18, 100])
def test_a_job_of_the_wrong_size_is_refused(length):
    with pytest.raises(WireError):
        unpack_job(bytes(length))


def test_a_still_picture_may_hold_more_symbols_and_no_more_bytes():
    here = ((0, 0), (1, 0), (1, 1), (0, 1))
    many = tuple(Payload(bytes([n]), here, "zxing-cpp") for n in range(70))
    message = pack_answer(Answer(5, 1, Variant.MEAN_25, many), most=MAX_STILL_PAYLOADS)
    answer = unpack_answer(message, sequence=5, most=MAX_STILL_PAYLOADS)
    assert answer.payloads == many[:MAX_STILL_PAYLOADS]
    with pytest.raises(WireError, match="too many symbols"):
        unpack_answer(message, sequence=5)
    large = (Payload(bytes(MAX_PAYLOAD_BYTES), here, "zxing-cpp"),) * 9
    message = pack_answer(Answer(5, 1, Variant.PLAIN, large), most=MAX_STILL_PAYLOADS)
    assert len(message) <= ANSWER_LIMIT
    assert len(unpack_answer(message, sequence=5).payloads) == 8
