"""What keeps everybody out is told: no issuer, denials over the habit, keys that nobody trusts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from agent.controller.counters import CounterSnapshot
from agent.credential.issuers import IssuerKey
from agent.daemon.outlook import Outlook, no_issuer
from agent.daemon.unknown_keys import AGAIN_S, KEPT, TOLD_IN_AN_HOUR, UnknownKeys
from agent.issuing.issue import new_issuer
from agent.journal import events
from agent.journal.faults import Faults
from agent.journal.journal import Journal
from tests.support.gate_on_disk import GateOnDisk, until

NOW = 1_800_000_000
KEY = new_issuer("city", "ES256").issuer_key()
NONE = CounterSnapshot(0, 0, 0, 0, 0, {}, None, None, None, None)


def key(valid_from: int, valid_until: int) -> IssuerKey:
    return replace(KEY, valid_from=valid_from, valid_until=valid_until)


@pytest.mark.parametrize(
    ("keys", "trusted", "said"),
    [
        ([], True, "the trust data names no issuer that can be used"),
        ([], False, "the trust data names no issuer that can be used"),
        ([key(0, NOW)], True, ""),
        ([key(NOW, NOW + 1)], True, ""),
        (
            [key(0, NOW - 1)],
            True,
            "every issuer's key has expired, the last one at 2027-01-15T07:59:59Z",
        ),
        ([key(0, NOW - 1)], False, ""),
        (
            [key(0, NOW - 9), key(0, NOW - 1), key(0, NOW - 5)],
            True,
            "every issuer's key has expired, the last one at 2027-01-15T07:59:59Z",
        ),
        (
            [key(0, NOW - 1), key(NOW + 1, NOW + 9)],
            True,
            "every issuer's key has expired or is not valid yet",
        ),
        ([key(0, NOW - 1), key(0, NOW)], True, ""),
    ],
)
def test_whether_any_issuer_can_be_believed(keys, trusted, said) -> None:
    assert no_issuer(keys, NOW, clock_trusted=trusted) == said


@pytest.fixture
def told(tmp_path: Path) -> Iterator[tuple[Faults, list[events.Fault]]]:
    rows: list[events.Fault] = []

    def observe(_seq: int, event: events.Event) -> None:
        assert isinstance(event, events.Fault)
        rows.append(event)

    with Journal.open(tmp_path / "journal.sqlite", capacity=1_000, clock=lambda: 1e9) as journal:
        yield Faults(journal, observe), rows


def words(rows: list[events.Fault]) -> list[tuple[str, bool]]:
    return [(f"{row.part}:{row.code}", row.active) for row in rows]


def test_a_gate_without_issuers_says_so_once_and_when_it_is_over(told) -> None:
    faults, rows = told
    outlook = Outlook(faults)
    for why in ("", "none", "none at all", "", ""):
        outlook.look(why, NONE, 0.0)
    assert words(rows) == [("trust:no_trusted_issuer", True), ("trust:no_trusted_issuer", False)]
    assert rows[0].detail == "none"
    assert faults.now() == ()


def test_denials_far_over_the_habit_are_a_fault_with_their_reason(told) -> None:
    faults, rows = told
    outlook = Outlook(faults)
    for minute in range(30):
        denied = 5 * min(minute, 10)
        counts = replace(NONE, proven=5 * (minute - min(minute, 10)), reasons={"stale": denied})
        outlook.look("", counts, minute * 60.0)
    assert words(rows) == [("gate:denies_unusually", True), ("gate:denies_unusually", False)]
    assert rows[0].detail == "25 of the last 25 denied, usually 25%; 25 times stale"


def test_it_looks_once_a_second(told) -> None:
    outlook = Outlook(told[0])
    assert [outlook.due(now) for now in (5.0, 5.9, 6.0, 6.5, 7.1)] == [
        True, False, True, False, True,
    ]  # fmt: skip


class Clock:
    now = 0.0


@pytest.fixture
def keys() -> tuple[UnknownKeys, Clock, list[tuple[str, int]]]:
    clock, said = Clock(), []
    watch = UnknownKeys(lambda text, times: said.append((text, times)), lambda: clock.now)
    return watch, clock, said


def test_a_key_is_told_at_once_and_then_each_hour_with_how_often(keys) -> None:
    watch, clock, said = keys
    for now in (0.0, 1.0, AGAIN_S - 1, AGAIN_S, AGAIN_S + 1):
        clock.now = now
        watch.met("00aa", "native")
    assert said == [("key id 00aa, native", 1), ("key id 00aa, native", 3)]


def test_a_code_without_a_key_id_tells_nothing(keys) -> None:
    watch, _, said = keys
    watch.met("", "pretix")
    assert said == []


@pytest.mark.parametrize(("kid", "told"), [("ab" * 16, "ab" * 16), ("ab" * 17, "ab" * 16 + "...")])
def test_a_long_id_is_cut(keys, kid, told) -> None:
    watch, _, said = keys
    watch.met(kid, "dcc")
    assert said == [(f"key id {told}, dcc", 1)]


def test_who_makes_up_ids_fills_neither_memory_nor_journal(keys) -> None:
    watch, clock, said = keys
    for number in range(10_000):
        clock.now = number / 10  # a thousand seconds
        watch.met(f"{number:08x}", "native")
    assert len(said) == TOLD_IN_AN_HOUR
    assert len(watch._met) == KEPT
    clock.now = AGAIN_S
    watch.met("ffff", "native")
    assert len(said) == TOLD_IN_AN_HOUR + 1, "an hour after the first of them there is room again"
    clock.now = AGAIN_S + 0.05
    watch.met("fffe", "native")
    assert len(said) == TOLD_IN_AN_HOUR + 1


def test_a_running_gate_without_an_issuer_and_its_denials_say_why(gate: GateOnDisk) -> None:
    gate.write()
    for file in (gate.path / "trust").iterdir():
        file.unlink()
    gate.run()
    gate.ready()
    until(gate.faults, "a fault")
    assert gate.faults() == [
        {
            "part": "trust",
            "code": "no_trusted_issuer",
            "detail": "the trust data names no issuer that can be used",
        }
    ]
    gate.show(gate.code())
    until(lambda: [row["reason"] for row in gate.decisions()] == ["unknown_issuer"], "a denial")
    until(lambda: len(gate.faults()) == 2, "the key")
    kid = gate.issuer.kid.hex()
    assert gate.faults()[1] == {
        "part": "trust", "code": "unknown_key", "active": False,
        "detail": f"key id {kid}, native",
    }  # fmt: skip
