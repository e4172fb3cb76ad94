"""The sensor contract on a real module: `--device`, and the port in IDGATE_FINGER_PORT.

Keep the glass clean and untouched. IDGATE_FINGER_BAUD names another speed than 57,600.
"""

from __future__ import annotations

import os

import pytest

from hal.raspberrypi.fingerprint import AdafruitSensor
from tests.hal.fingerprint_contract import SensorContract


class TestRealModule(SensorContract):
    @pytest.fixture
    def sensor(self):
        port = os.environ.get("IDGATE_FINGER_PORT", "")
        if not port:
            pytest.skip("IDGATE_FINGER_PORT names no port")
        sensor = AdafruitSensor(port, int(os.environ.get("IDGATE_FINGER_BAUD", "57600")))
        yield sensor
        sensor.close()
