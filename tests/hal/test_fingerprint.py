"""The sensor contract on both simulated variants, and the simulated driver by its own name."""

from __future__ import annotations

import pytest

from hal.simulated.fingerprint_script import Script
from hal.simulated.fingerprint_sensor import SimulatedSensor
from tests.hal.fingerprint_contract import SensorContract


class TestR503(SensorContract):
    @pytest.fixture
    def sensor(self, plug, ours):
        return ours(plug()[1])


class TestR307(SensorContract):
    @pytest.fixture
    def sensor(self, plug, ours):
        module, port = plug(Script(variant="r307"))
        module.module.library[3] = bytes(512)
        return ours(port)


class TestByName(SensorContract):
    @pytest.fixture
    def sensor(self):
        sensor = SimulatedSensor(None, pace=False)
        yield sensor
        sensor.close()
