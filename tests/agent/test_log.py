"""Logs: one chain, and nothing personal gets through it."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from agent import log


@pytest.fixture
def chain() -> Iterator[Callable[[], list[dict[str, Any]]]]:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    stream = io.StringIO()
    log.configure(level="debug", style="json", stream=stream)

    def lines() -> list[dict[str, Any]]:
        return [json.loads(line) for line in stream.getvalue().splitlines()]

    yield lines
    root.handlers[:] = before
    root.setLevel(level)


@pytest.mark.parametrize(
    ("key", "value", "shown"),
    [
        ("reason", "granted", "granted"),
        ("payload", "NI1:ABC", log.REDACTED),
        ("Name", "Maria", log.REDACTED),
        ("token", "x", log.REDACTED),
        ("thing", b"\x00\x01", log.REDACTED),
        ("thing", object(), log.REDACTED),
        ("sizes", [1, b"x"], [1, log.REDACTED]),
        ("more", {"dob": "19900101", "n": 1}, {"dob": log.REDACTED, "n": 1}),
        ("long", "x" * 5000, "x" * 300 + "..."),
        ("fault", ValueError("no"), "ValueError: no"),
    ],
)
def test_redaction(chain, key: str, value: object, shown: object) -> None:
    log.get("test").info("event", **{key: value})
    (line,) = chain()
    assert line[key] == shown


def test_foreign_loggers_pass_through_the_same_chain(chain) -> None:
    logging.getLogger("paho.mqtt").warning("lost %s", "broker")
    (line,) = chain()
    assert line["event"] == "lost broker"
    assert line["logger"] == "paho.mqtt"


def test_an_exception_shows_places_and_never_its_text(chain) -> None:
    try:
        int("Maria 19900101")
    except ValueError:
        log.get("test").exception("failed")
    (line,) = chain()
    assert line["error"] == "ValueError"
    assert line["at"]
    assert "Maria" not in json.dumps(line)
