"""The contract, on the simulated board (in memory, in a file) and on the RPi.GPIO-shaped module."""

from __future__ import annotations

import sys
import types

import pytest

from hal.raspberrypi.gpio import RaspberryPiGpio
from hal.simulated.gpio import SimulatedGpio
from hal.simulated.pinboard import Function, PinBoard
from tests.hal.gpio_contract import BACK, OUT, GpioContract
from tests.hal.raspberrypi.rpi_double import RpiGpioDouble


class JumperedBoard(PinBoard):
    """A board with a wire between two lines."""

    def write(self, pin: int, *, level: bool) -> None:
        super().write(pin, level=level)
        self._carry()

    def set_function(self, pin: int, *arguments, **options) -> None:
        super().set_function(pin, *arguments, **options)
        self._carry()

    def _carry(self) -> None:
        for one, other in ((OUT, BACK), (BACK, OUT)):
            driven = self.function(one) is Function.OUTPUT
            self.drive(other, level=self.level(one) if driven else None)


class TestSimulatedInMemory(GpioContract):
    @pytest.fixture
    def make(self):
        board = JumperedBoard()
        return lambda: SimulatedGpio(board=board)


class TestSimulatedInAFile(GpioContract):
    @pytest.fixture
    def make(self, tmp_path, monkeypatch):
        monkeypatch.setattr("hal.simulated.gpio.PinBoard", JumperedBoard)
        return lambda: SimulatedGpio(pins_file=tmp_path / "pins")


class TestRaspberryPiDouble(GpioContract):
    @pytest.fixture
    def make(self, monkeypatch):
        double = RpiGpioDouble({OUT: BACK, BACK: OUT})
        package = types.ModuleType("RPi")
        monkeypatch.setitem(sys.modules, "RPi", package)
        monkeypatch.setitem(sys.modules, "RPi.GPIO", double)
        return RaspberryPiGpio
