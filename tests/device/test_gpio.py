"""The GPIO contract on a real Raspberry Pi: a jumper from GPIO20 to GPIO21, nothing on GPIO16."""

from __future__ import annotations

import pytest

from hal.raspberrypi.gpio import RaspberryPiGpio
from tests.hal.gpio_contract import GpioContract


class TestRaspberryPi(GpioContract):
    @pytest.fixture
    def make(self):
        return RaspberryPiGpio
