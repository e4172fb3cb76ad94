"""The board's faults: when each begins and ends, what the metrics say, and the running daemon."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.daemon.board import QUIET_S, STALE_S, BoardWatch, make_board
from agent.journal import events
from agent.journal.faults import Faults
from agent.journal.journal import Journal
from agent.settings.load import load
from hal.raspberrypi.board import RaspberryPiBoard
from hal.simulated.board import SimulatedBoard
from tests.support.gate_on_disk import GateOnDisk, until


class Bench:
    """A watch over a board whose file is written by the test, on a clock of the test's."""

    def __init__(self, folder: Path, faults: Faults) -> None:
        self.now_s = 1_000.0
        self._file = folder / "board"
        self.watch = BoardWatch(
            SimulatedBoard(self._file), faults, hot_c=80.0, monotonic=lambda: self.now_s
        )

    def say(self, text: str, after_s: float = 2.0) -> None:
        self.now_s += after_s
        self._file.write_text(text)
        self.watch.look()


@pytest.fixture
def told() -> list[tuple[str, bool]]:
    return []


@pytest.fixture
def bench(tmp_path: Path, told: list[tuple[str, bool]]) -> Iterator[Bench]:
    def observe(_seq: int, event: events.Event) -> None:
        assert isinstance(event, events.Fault)
        told.append((f"{event.part}:{event.code}", event.active))

    with Journal.open(tmp_path / "journal.sqlite", capacity=1_000, clock=lambda: 1e9) as journal:
        yield Bench(tmp_path, Faults(journal, observe))


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        ("throttled=1", "under_voltage"),
        ("throttled=4", "throttled"),
        ("throttled=8", "hot"),
        ("temperature_c=80", "hot"),
    ],
)
def test_each_is_told_once_however_often_it_comes_and_goes(
    bench: Bench, told: list[tuple[str, bool]], bad: str, code: str
) -> None:
    bench.say("throttled=0 temperature_c=79.9")
    assert told == []
    for _ in range(5):
        bench.say(bad)
        bench.say("throttled=0 temperature_c=20", after_s=QUIET_S - 0.1)
    assert told == [(f"board:{code}", True)]
    bench.say("throttled=0 temperature_c=20", after_s=0.2)
    assert told == [(f"board:{code}", True), (f"board:{code}", False)]
    bench.say(bad)
    assert told[2:] == [(f"board:{code}", True)]


def test_what_was_since_boot_is_no_fault_now(bench: Bench, told: list[tuple[str, bool]]) -> None:
    bench.say("throttled=f0000 temperature_c=50")
    assert told == []
    assert bench.watch.metrics() == {
        "temperature_c": 50.0,
        "under_voltage": 0.0,
        "throttled": 0.0,
        "under_voltage_since_boot": 1.0,
        "throttled_since_boot": 1.0,
    }


def test_a_hot_board_must_cool_down(bench: Bench, told: list[tuple[str, bool]]) -> None:
    bench.say("temperature_c=80")
    bench.say("temperature_c=75", after_s=QUIET_S + 1)
    bench.say("temperature_c=75", after_s=QUIET_S + 1)
    assert told == [("board:hot", True)]
    bench.say("temperature_c=74.9", after_s=QUIET_S + 1)
    assert told == [("board:hot", True), ("board:hot", False)]


def test_a_board_that_is_not_understood_is_a_fault_until_it_is(
    bench: Bench, told: list[tuple[str, bool]]
) -> None:
    bench.say("temperature_c=50")
    bench.say("nonsense")
    bench.say("nonsense")
    assert told == [("board:unreadable", True)]
    assert bench.watch.metrics() == {"temperature_c": 50.0}
    bench.now_s += STALE_S
    assert bench.watch.metrics() == {}
    bench.say("")
    assert told == [("board:unreadable", True), ("board:unreadable", False)]
    assert bench.watch.metrics() == {}


def test_the_driver_is_the_one_that_is_named(gate: GateOnDisk) -> None:
    assert isinstance(make_board(load(gate.config)), RaspberryPiBoard)
    gate.write(board='driver = "simulated"')
    assert make_board(load(gate.config)).health().temperature_c == 45.0
    gate.write(board='driver = "simulated"', simulation='board_file = "board"')
    (gate.path / "board").write_text("temperature_c=12")
    assert make_board(load(gate.config)).health().temperature_c == 12.0


def test_a_running_gate_tells_of_its_supply(gate: GateOnDisk) -> None:
    (gate.path / "board").write_text("throttled=50005\ntemperature_c=61.5\n")
    gate.write(board='driver = "simulated"', simulation='board_file = "board"')
    gate.run()
    gate.ready()

    def faults() -> set[str]:
        return {f"{fault['part']}:{fault['code']}" for fault in gate.faults()}

    until(lambda: faults() == {"board:under_voltage", "board:throttled"}, "the faults")
