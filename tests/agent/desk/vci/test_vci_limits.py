"""Limits of the endpoints."""

from __future__ import annotations

import pytest

from agent.desk.vci.errors import VciError
from agent.desk.vci.limits import Buckets, read_form


class Watch:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def refused(buckets: Buckets, address: str) -> bool:
    try:
        buckets.take(address)
    except VciError as error:
        return error.status == 429
    return False


def test_a_bucket_empties_and_fills_again():
    watch = Watch()
    buckets = Buckets(2, 0.5, watch)
    assert [refused(buckets, "a") for _ in range(3)] == [False, False, True]
    assert not refused(buckets, "b")
    watch.now = 2.0
    assert [refused(buckets, "a") for _ in range(2)] == [False, True]
    watch.now = 3_600
    assert [refused(buckets, "a") for _ in range(3)] == [False, False, True]


def test_a_refusal_says_when_to_come_again():
    buckets = Buckets(1, 0.1, Watch())
    buckets.take("a")
    with pytest.raises(VciError) as told:
        buckets.take("a")
    assert told.value.body()["retry_after"] == 10


def test_addresses_in_memory_are_bounded():
    buckets = Buckets(1, 1, Watch())
    for number in range(5_000):
        buckets.take(str(number))
    assert len(buckets._levels) == 4_096


@pytest.mark.parametrize(
    ("body", "form"),
    [
        (b"a=1&b=2", {"a": "1", "b": "2"}),
        (b"a=x%20y+z", {"a": "x y z"}),
        (b"a=", {"a": ""}),
        (b"", {}),
    ],
)
def test_forms(body, form):
    assert read_form(body) == form


@pytest.mark.parametrize(
    "body", [b"a=1&a=2", b"\xff=1", b"&".join(b"a%d=1" % n for n in range(33)), b"a=%ff"]
)
def test_what_is_no_form(body):
    with pytest.raises(VciError) as told:
        read_form(body)
    assert told.value.code == "invalid_request"
