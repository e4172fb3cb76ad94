"""The simulated board says what stands in its file."""

from __future__ import annotations

from pathlib import Path

import pytest

from hal.board import BoardHealth, health_of
from hal.errors import DeviceFault
from hal.simulated.board import SimulatedBoard


@pytest.mark.parametrize(
    ("text", "health"),
    [
        ("", BoardHealth()),
        ("throttled=50005\ntemperature_c=61.5\n", health_of(0x50005, 61.5)),
        ("temperature_c=-3", BoardHealth(temperature_c=-3.0)),
        ("throttled=0", health_of(0, None)),
    ],
)
def test_the_file_is_read_at_each_call(tmp_path: Path, text: str, health: BoardHealth) -> None:
    path = tmp_path / "board"
    board = SimulatedBoard(path)
    path.write_text("throttled=8")
    assert board.health().too_hot
    path.write_text(text)
    assert board.health() == health


def test_without_a_file_it_is_well() -> None:
    health = SimulatedBoard().health()
    assert health.under_voltage is health.throttled is health.too_hot is False


@pytest.mark.parametrize(
    "text", ["throttled", "throttled=x", "temperature_c=warm", "voltage=5", "a=b=c"]
)
def test_what_is_not_understood_is_a_fault(tmp_path: Path, text: str) -> None:
    (tmp_path / "board").write_text(text)
    with pytest.raises(DeviceFault, match="board"):
        SimulatedBoard(tmp_path / "board").health()


def test_no_file_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(DeviceFault, match="No such file"):
        SimulatedBoard(tmp_path / "board").health()
