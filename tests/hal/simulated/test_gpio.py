"""The simulated board: edges with times, one owner, and a life longer than its process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from hal.errors import DeviceUnavailable
from hal.gpio import Pull
from hal.simulated.gpio import SimulatedGpio
from hal.simulated.pinboard import Edge, Function, PinBoard


@pytest.fixture
def clocked():
    now = [0]
    board = PinBoard(clock_ns=lambda: now[0])
    return board, now


def test_every_edge_is_kept_with_its_time_and_nothing_else(clocked):
    board, now = clocked
    gpio = SimulatedGpio(board=board)
    gpio.setup_output(17, level=False)
    gpio.setup_input(5, pull=Pull.UP)
    for now[0], level in ((10, True), (20, True), (30, False)):
        gpio.write(17, level=level)
    now[0] = 40
    board.drive(5, level=False)
    board.drive(5, level=False)
    now[0] = 50
    board.drive(5, level=None)
    assert board.edges() == [
        Edge(0, 5, True, True),
        Edge(10, 17, True, True),
        Edge(30, 17, False, True),
        Edge(40, 5, False, False),
        Edge(50, 5, True, False),
    ]


def test_an_output_that_goes_away_is_an_edge_only_if_the_level_changes(clocked):
    board, _ = clocked
    board.drive(17, level=True)
    gpio = SimulatedGpio(board=board)
    gpio.setup_output(17, level=True)
    gpio.close()
    assert board.edges() == [Edge(0, 17, True, False)]
    again = SimulatedGpio(board=board)
    again.setup_output(17, level=False)
    again.close()
    assert [edge.level for edge in board.edges()] == [True, False, True]


def test_the_ring_keeps_the_newest(clocked):
    board, now = clocked
    gpio = SimulatedGpio(board=board)
    gpio.setup_output(17, level=False)
    for now[0] in range(1, 40_001):
        gpio.write(17, level=now[0] % 2 == 1)
    edges = board.edges()
    assert len(edges) == 32_768
    assert edges[-1] == Edge(40_000, 17, False, True)


def test_a_pin_out_of_range_is_refused():
    with pytest.raises(DeviceUnavailable, match="pin 28"):
        SimulatedGpio().setup_output(28, level=False)


@pytest.mark.parametrize("content", [b"not a pin board", b"x" * 1_048_832])
def test_a_file_that_is_no_board_is_left_alone(tmp_path, content):
    path = tmp_path / "pins"
    path.write_bytes(content)
    with pytest.raises(DeviceUnavailable, match="not a pin board"):
        SimulatedGpio(pins_file=path)
    assert path.read_bytes() == content


def test_a_file_that_cannot_be_made_is_one_clear_error(tmp_path):
    with pytest.raises(DeviceUnavailable, match="No such file or directory"):
        SimulatedGpio(pins_file=tmp_path / "nowhere" / "pins")


def test_a_pins_file_has_one_owner(tmp_path):
    first = SimulatedGpio(pins_file=tmp_path / "pins")
    with pytest.raises(DeviceUnavailable, match="another process drives these pins"):
        SimulatedGpio(pins_file=tmp_path / "pins")
    first.close()
    SimulatedGpio(pins_file=tmp_path / "pins").close()


CHILD = """
import sys, time
from pathlib import Path
from hal.gpio import Pull
from hal.simulated.gpio import SimulatedGpio
gpio = SimulatedGpio(pins_file=Path(sys.argv[1]))
gpio.setup_output(17, level=False)
gpio.setup_input(6, pull=Pull.UP)
gpio.write(17, level=True)
print("on", flush=True)
while gpio.read(6):
    time.sleep(0.001)
print("low", flush=True)
time.sleep(60)
"""


def test_pins_outlive_a_killed_process_and_inputs_come_from_another(tmp_path):
    path = tmp_path / "pins"
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(path)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert child.stdout.readline() == "on\n"
        with PinBoard(path) as board:
            board.drive(6, level=False)
            assert child.stdout.readline() == "low\n"
            with pytest.raises(DeviceUnavailable):
                SimulatedGpio(pins_file=path)
            os.kill(child.pid, signal.SIGKILL)
            child.wait(10)
            assert board.level(17) is True
            assert board.function(17) is Function.OUTPUT
            heir = SimulatedGpio(pins_file=path)
            heir.setup_output(17, level=False)
            assert board.level(17) is False
            heir.close()
            assert [(e.pin, e.level) for e in board.edges()] == [
                (6, True), (17, True), (6, False), (17, False),
            ]  # fmt: skip
            assert board.function(17) is Function.INPUT
    finally:
        child.kill()
        child.wait(10)
        child.stdout.close()
