"""A simulated module on a pty for each test; the real Adafruit driver talks to it, always."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import serial
from adafruit_fingerprint import Adafruit_Fingerprint

from hal.raspberrypi.fingerprint import AdafruitSensor
from hal.simulated.fingerprint import SimulatedFingerprint
from hal.simulated.fingerprint_script import Script

ANSWER_S = 0.3
"""Longer than a busy machine lets the module's thread wait for its turn; who is silent costs it each time."""


@pytest.fixture
def plug() -> Iterator[Callable[..., tuple[SimulatedFingerprint, str]]]:
    """Return a maker of modules on ptys."""
    modules: list[SimulatedFingerprint] = []

    def make(script: Script | None = None, **options) -> tuple[SimulatedFingerprint, str]:
        link = options.pop("link", None)
        module = SimulatedFingerprint(script, **{"pace": False, **options})
        modules.append(module)
        return module, module.open_pty(link)

    yield make
    for module in modules:
        module.close()


@pytest.fixture
def bare() -> Iterator[Callable[..., Adafruit_Fingerprint]]:
    """Return a maker of the driver as it comes, on pyserial as its documentation shows."""
    ports: list[serial.Serial] = []

    def make(port: str, baud: int = 57_600) -> Adafruit_Fingerprint:
        ports.append(serial.Serial(port, baud, timeout=ANSWER_S))
        return Adafruit_Fingerprint(ports[-1])

    yield make
    for port in ports:
        port.close()


@pytest.fixture
def ours() -> Iterator[Callable[..., AdafruitSensor]]:
    """Return a maker of our sensor."""
    sensors: list[AdafruitSensor] = []

    def make(port: str, baud: int = 57_600, password: bytes = bytes(4)) -> AdafruitSensor:
        sensors.append(AdafruitSensor(port, baud, password, answer_s=ANSWER_S))
        return sensors[-1]

    yield make
    for sensor in sensors:
        sensor.close()
