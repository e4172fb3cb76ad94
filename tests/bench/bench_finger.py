"""What the fingerprint driver costs above the line: transfers against their bare bytes, and a touch.

Ratios in one run. The module is paced as a real one, so the line's own time is a floor that no
driver can get under. Run as a script or with `pytest -m bench tests/bench/bench_finger.py`.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable

import pytest
import serial
from adafruit_fingerprint import Adafruit_Fingerprint

from agent.biometrics.finger.guard import Guard, pair
from hal.fingerprint import PROBE, REFERENCE, Glass, Light
from hal.fingerprint_frame import Kind, encode
from hal.raspberrypi.fingerprint import AdafruitSensor
from hal.simulated.fingerprint import SimulatedFingerprint
from hal.simulated.fingerprint_module import VARIANTS
from hal.simulated.fingerprint_script import Script

pytestmark = pytest.mark.bench

ROUNDS = 5
TRANSFER_LIMIT = 1.25
"""A template both ways, against the time its bytes take at the line's speed."""
DRIVER_LIMIT = 3.0
"""A command through the checked line, against the bare driver's, neither paced."""
CPU_ROUNDS = 60
CPU_LIMIT = 4.5
"""The driver's CPU for a check, against writing and reading the same bytes bare."""
TOUCH_LIMIT = 1.25
"""Password, light, picture, features, comparison: against the line's bytes and the module's work."""


def timed(act: Callable[[], object]) -> float:
    """Return seconds, the best of some rounds: the machine may be busy, the line is not."""
    found = []
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        act()
        found.append(time.perf_counter() - begin)
    return min(found)


def bare_bytes_s(length: int, packet: int, baud: int) -> float:
    """Return how long command, answer and data frames of a template take on the line."""
    frames = [encode(Kind.DATA, bytes(min(packet, length - at))) for at in range(0, length, packet)]
    count = len(encode(Kind.COMMAND, bytes(2))) + 12 + sum(map(len, frames))
    return count * 10 / baud


def transfer_ratios(variant: str, baud: int) -> tuple[float, float, float]:
    """Return the bare seconds, and upload and download as multiples of them."""
    with SimulatedFingerprint(Script(variant=variant), baud=baud) as module:
        sensor = AdafruitSensor(module.open_pty(), baud)
        module.glass.place("anna")
        sensor.capture()
        sensor.extract(PROBE)
        template = sensor.upload(PROBE)
        floor = bare_bytes_s(len(template), sensor.info.packet_size, baud)
        up = timed(lambda: sensor.upload(PROBE))
        down = timed(lambda: sensor.download(template, REFERENCE))
        sensor.close()
    return floor, up / floor, down / floor


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("baud", [57_600, 115_200])
def test_a_transfer_takes_what_its_bytes_take(variant, baud):
    floor, up, down = transfer_ratios(variant, baud)
    print(f"{variant} {baud} baud: bare {floor * 1e3:.0f} ms, up {up:.3f}, down {down:.3f}")
    # The download ends with a question, since a module does not acknowledge it.
    assert up < TRANSFER_LIMIT
    assert down < TRANSFER_LIMIT


def command_seconds() -> tuple[float, float]:
    """Return seconds of a picture of an empty glass: ours, and the bare driver's."""
    with SimulatedFingerprint(pace=False) as module:
        port = module.open_pty()
        with serial.Serial(port, 57_600, timeout=1) as uart:
            bare = Adafruit_Fingerprint(uart)
            theirs = statistics.median(
                timed(lambda: [bare.get_image() for _ in range(50)]) for _ in range(5)
            )
        sensor = AdafruitSensor(port)
        ours = statistics.median(
            timed(lambda: [sensor.capture() for _ in range(50)]) for _ in range(5)
        )
        sensor.close()
    return ours / 50, theirs / 50


def test_a_checked_line_costs_little():
    ours, theirs = command_seconds()
    print(f"a command: ours {ours * 1e6:.0f} us, bare {theirs * 1e6:.0f} us: {ours / theirs:.2f}")
    assert ours / theirs < DRIVER_LIMIT


class Meter:
    """Adds up what the line and the module take, whatever the driver does."""

    def __init__(self, module: SimulatedFingerprint) -> None:
        self.seconds = 0.0
        self._line, self._work = module._wait_line, module._wait
        module._wait_line = self.line  # type: ignore[method-assign]
        module._wait = self.work  # type: ignore[method-assign]
        self._baud = module.module.baud

    def line(self, count: int) -> None:
        self.seconds += count * 10 / self._baud
        self._line(count)

    def work(self, seconds: float) -> None:
        self.seconds += seconds
        self._work(seconds)


def enrol(sensor: AdafruitSensor) -> tuple[bytes, Guard]:
    """Return the template of the finger on the glass, and a guard of the paired module."""
    sensor.capture()
    sensor.extract(PROBE)
    template = sensor.upload(PROBE)
    secret = pair(sensor)
    guard = Guard(sensor, secret=secret, decoy_rate=0.0, threshold=50, rng=random.Random(1))
    return template, guard


def touch(sensor: AdafruitSensor, template: bytes, guard: Guard) -> None:
    """One carried 1:1 check with the finger on the glass."""
    guard.prove()
    sensor.download(template, REFERENCE)
    sensor.light(Light.WAITING)
    assert sensor.wait_for_finger(1.0) is Glass.FINGER
    sensor.light(Light.WORKING)
    sensor.extract(PROBE)
    assert sensor.compare() >= 50


def touch_seconds() -> tuple[float, float]:
    """Return seconds of one check, and of its floor: the line's bytes and the module's work."""
    with SimulatedFingerprint() as module:
        sensor = AdafruitSensor(module.open_pty())
        module.glass.place("anna")
        template, guard = enrol(sensor)
        meter = Meter(module)
        begin = time.perf_counter()
        touch(sensor, template, guard)
        spent = time.perf_counter() - begin
        sensor.close()
    return spent, meter.seconds


Exchange = list[tuple[bytes, int]]
"""What was written, and how many bytes came back before the next was."""


def recorded(port: serial.Serial, act: Callable[[], object]) -> Exchange:
    """Return what goes over the line while `act` runs."""
    written: list[bytes] = []
    answered: list[int] = []
    write, read = port.write, port.read

    def writing(data: bytes) -> int:
        written.append(bytes(data))
        answered.append(0)
        return write(data)

    def reading(size: int = 1) -> bytes:
        data = read(size)
        answered[-1] += len(data)
        return data

    port.write, port.read = writing, reading  # type: ignore[method-assign]
    try:
        act()
    finally:
        port.write, port.read = write, read  # type: ignore[method-assign]
    return list(zip(written, answered, strict=True))


def repeat(port: serial.Serial, exchange: Exchange) -> None:
    """Send the same bytes and take as many back, with no look at them."""
    for data, size in exchange:
        port.write(data)
        if size:
            assert len(port.read(size)) == size


def touch_cpu() -> tuple[float, float, int]:
    """Return CPU seconds of the driver's thread for one check, of a bare exchange of its bytes, and their number.

    Neither is paced: what the line and the module take is no work of ours. The module is simulated in a
    thread of its own, whose time is not in the figures.
    """
    ours: list[float] = []
    bare: list[float] = []
    with SimulatedFingerprint(pace=False) as module:
        sensor = AdafruitSensor(module.open_pty())
        module.glass.place("anna")
        template, guard = enrol(sensor)
        port = sensor._serial
        exchange = recorded(port, lambda: touch(sensor, template, guard))
        for _ in range(CPU_ROUNDS):
            begin = time.thread_time()
            touch(sensor, template, guard)
            ours.append(time.thread_time() - begin)
            port.timeout = 1
            begin = time.thread_time()
            repeat(port, exchange)
            bare.append(time.thread_time() - begin)
        sensor.close()
    count = sum(len(data) + size for data, size in exchange)
    return statistics.median(ours), statistics.median(bare), count


def test_a_touch_costs_the_processor_little_more_than_its_bytes():
    ours, bare, _ = touch_cpu()
    print(
        f"a touch: {ours * 1e3:.2f} ms of CPU, bare exchange {bare * 1e3:.2f} ms: {ours / bare:.2f}"
    )
    assert ours / bare < CPU_LIMIT


def test_a_touch_takes_what_line_and_module_take():
    best = min((touch_seconds() for _ in range(3)), key=lambda pair: pair[0] / pair[1])
    spent, floor = best
    print(
        f"a touch: {spent * 1e3:.0f} ms, line and module {floor * 1e3:.0f} ms: {spent / floor:.3f}"
    )
    assert spent / floor < TOUCH_LIMIT


if __name__ == "__main__":
    for name in VARIANTS:
        for speed in (57_600, 115_200):
            test_a_transfer_takes_what_its_bytes_take(name, speed)
    test_a_checked_line_costs_little()
    test_a_touch_takes_what_line_and_module_take()
    test_a_touch_costs_the_processor_little_more_than_its_bytes()
