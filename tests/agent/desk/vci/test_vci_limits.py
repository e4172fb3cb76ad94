"""Limits of the endpoints."""

from __future__ import annotations

import anyio
import pytest
from starlette.requests import Request

from agent.desk.vci.errors import VciError
from agent.desk.vci.limits import Buckets, read_body, read_form


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


def reading(receive, most: int = 100) -> str:
    """Read a body of these messages; return it, or how it was refused."""
    request = Request({"type": "http", "method": "POST", "headers": []}, receive)

    async def read() -> str:
        return (await read_body(request, most)).decode()

    try:
        return anyio.run(read)
    except VciError as told:
        return f"{told.status} {told.description}"


def test_a_body_comes_in_parts_and_is_counted():
    def parts(*bodies):
        left = [
            {"type": "http.request", "body": body, "more_body": number < len(bodies)}
            for number, body in enumerate(bodies, start=1)
        ]

        async def receive():
            return left.pop(0)

        return receive

    assert reading(parts(b"a" * 60, b"b" * 40)) == "a" * 60 + "b" * 40
    assert reading(parts(b"a" * 60, b"b" * 41)) == "413 over 100 bytes"


def test_a_body_that_never_ends_is_given_up(monkeypatch):
    monkeypatch.setattr("agent.desk.vci.limits.BODY_S", 0.01)
    assert reading(anyio.sleep_forever) == "408 the body took over 0 s"


def test_who_goes_away_in_the_middle():
    async def receive():
        return {"type": "http.disconnect"}

    assert reading(receive) == "400 the request ended early"


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
