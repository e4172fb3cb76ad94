"""A log that nobody reads: its faults, and the gate that goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.daemon.log_watch import STUCK_S, LogWatch
from agent.journal import events
from agent.journal.faults import Faults
from agent.journal.journal import Journal
from agent.log import LogHealth
from tests.agent.test_log_writer import full_pipe
from tests.support.gate_on_disk import FIRE, RELAY, GateOnDisk, until

READY = 24
WELL = LogHealth()


@pytest.fixture
def told(tmp_path: Path) -> Iterator[tuple[LogWatch, list[tuple[str, bool]]]]:
    rows: list[tuple[str, bool]] = []

    def observe(_seq: int, event: events.Event) -> None:
        assert isinstance(event, events.Fault)
        rows.append((f"{event.part}:{event.code}", event.active))

    with Journal.open(tmp_path / "journal.sqlite", capacity=1_000, clock=lambda: 1e9) as journal:
        yield LogWatch(Faults(journal, observe)), rows


@pytest.mark.parametrize(
    ("looks", "rows"),
    [
        ([WELL, LogHealth(stuck_s=STUCK_S - 0.1, waiting=True), WELL], []),
        (
            [LogHealth(stuck_s=STUCK_S), LogHealth(stuck_s=99, waiting=True), WELL, WELL],
            [("log:stuck", True), ("log:stuck", False)],
        ),
        # It begins to flow, and is not through yet.
        ([LogHealth(stuck_s=STUCK_S), LogHealth(waiting=True)], [("log:stuck", True)]),
        (
            [LogHealth(lost=3, waiting=True), LogHealth(lost=9, waiting=True), LogHealth(lost=9)],
            [("log:lines_lost", True), ("log:lines_lost", False)],
        ),
        ([LogHealth(lost=3), LogHealth(lost=4)], [("log:lines_lost", True)]),
        # Nobody is there: each line is lost, the two faults are told once.
        (
            [LogHealth(lost=number, stuck_s=float(number)) for number in range(1, 50)],
            [("log:lines_lost", True), ("log:stuck", True)],
        ),
        (
            [LogHealth(lost=1), LogHealth(lost=1), LogHealth(lost=2), LogHealth(lost=2)],
            [("log:lines_lost", True), ("log:lines_lost", False)] * 2,
        ),
    ],
)
def test_what_is_told_when(told, looks: list[LogHealth], rows: list[tuple[str, bool]]) -> None:
    watch, found = told
    for look in looks:
        watch.look(look)
    assert found == rows


def faults(gate: GateOnDisk) -> list[tuple[str, bool]]:
    return [(f"{each['part']}:{each['code']}", each.get("active", True)) for each in gate.faults()]


def start(gate: GateOnDisk, stderr: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "agent.cli", "run", "--config", str(gate.config)]
    process = subprocess.Popen(command, stderr=stderr)
    gate.processes.append(process)
    os.close(stderr)
    until(lambda: gate.board.level(READY), "the ready output")
    return process


def opens(gate: GateOnDisk, subject: str) -> None:
    before = gate.openings()
    gate.show(gate.code(subject=subject))
    until(lambda: gate.openings() > before, "the relay")
    gate.show()
    until(lambda: not gate.board.level(RELAY), "closed again")


def test_a_log_that_nobody_reads_stops_nothing_and_is_told_once(gate: GateOnDisk) -> None:
    reading, writing = full_pipe()
    process = start(gate, writing)
    opens(gate, "1")
    until(lambda: faults(gate) == [("log:stuck", True)], "the fault")
    gate.board.drive(FIRE, level=True)
    until(lambda: gate.board.level(RELAY), "open for the fire")
    gate.board.drive(FIRE, level=False)
    until(lambda: not gate.board.level(RELAY), "closed again")
    opens(gate, "2")
    with os.fdopen(reading, "rb") as log:
        os.set_blocking(log.fileno(), False)
        said = b""

        def heard(word: bytes) -> bool:
            nonlocal said
            said += log.read(1 << 20) or b""
            return word in said

        until(lambda: heard(b'"ready"'), "what was said meanwhile")
        until(lambda: faults(gate)[1:] == [("log:stuck", False)], "the end of the fault")
        process.send_signal(signal.SIGTERM)
        assert process.wait(40) == 0


def test_a_log_whose_reader_is_gone_stops_nothing(gate: GateOnDisk) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    process = start(gate, writing)
    opens(gate, "1")
    until(lambda: ("log:lines_lost", True) in faults(gate), "the fault")
    until(lambda: ("log:stuck", True) in faults(gate), "the fault")
    opens(gate, "2")
    assert len(faults(gate)) == 2
    process.send_signal(signal.SIGTERM)
    assert process.wait(40) == 0


def test_a_gate_that_cannot_start_ends_though_nobody_reads_why(gate: GateOnDisk) -> None:
    gate.write(camera='driver = "picamera2"')
    gate.config.write_text(gate.config.read_text().replace('driver = "simulated"\nfps', "fps"))
    reading, writing = full_pipe()
    command = [sys.executable, "-m", "agent.cli", "run", "--config", str(gate.config)]
    with subprocess.Popen(command, stderr=writing) as process:
        os.close(writing)
        assert process.wait(40) == 3
    os.close(reading)
