"""A Raspberry Pi's health, read from a copy of what its kernel shows."""

from __future__ import annotations

from dataclasses import astuple
from pathlib import Path

import pytest

from hal.board import BoardHealth
from hal.errors import DeviceFault
from hal.raspberrypi.board import RaspberryPiBoard

PI_4 = "devices/platform/soc/soc:firmware/get_throttled"
PI_5 = "devices/platform/soc@107c000000/soc@107c000000:firmware/get_throttled"


class Sysfs:
    """Files below a directory that stands for /sys."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def write(self, name: str, text: str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")

    def hwmon(self, alarm: int) -> None:
        self.write("class/hwmon/hwmon0/name", "cpu_thermal")
        self.write("class/hwmon/hwmon1/name", "rpi_volt")
        self.write("class/hwmon/hwmon1/in0_lcrit_alarm", str(alarm))

    def zone(self, number: int, kind: str, milli_c: int) -> None:
        self.write(f"class/thermal/thermal_zone{number}/type", kind)
        self.write(f"class/thermal/thermal_zone{number}/temp", str(milli_c))


@pytest.fixture
def sysfs(tmp_path: Path) -> Sysfs:
    return Sysfs(tmp_path)


def test_a_machine_that_tells_nothing_is_neither_well_nor_ill(sysfs: Sysfs) -> None:
    sysfs.zone(0, "x86_pkg_temp", 99_000)
    assert RaspberryPiBoard(sysfs.root).health() == BoardHealth()


@pytest.mark.parametrize("path", [PI_4, PI_5])
@pytest.mark.parametrize(
    ("word", "health"),  # under-voltage, throttled, too hot; the first two since boot
    [
        ("0", (False, False, False, False, False)),
        ("1", (True, False, False, True, False)),
        ("2", (False, True, False, False, True)),
        ("4", (False, True, False, False, True)),
        ("8", (False, False, True, False, False)),
        ("10000", (False, False, False, True, False)),
        ("20000", (False, False, False, False, True)),
        ("40000", (False, False, False, False, True)),
        ("80000", (False, False, False, False, False)),
        ("50005", (True, True, False, True, True)),
        ("0xe0008", (False, False, True, False, True)),
    ],
)
def test_the_firmwares_word(sysfs: Sysfs, path: str, word: str, health: tuple) -> None:
    sysfs.write(path, word)
    assert astuple(RaspberryPiBoard(sysfs.root).health()) == (None, *health)


def test_the_temperature_is_the_processors(sysfs: Sysfs) -> None:
    sysfs.zone(0, "gpu-thermal", 90_000)
    sysfs.zone(1, "cpu-thermal", 61_828)
    assert RaspberryPiBoard(sysfs.root).health() == BoardHealth(temperature_c=61.828)


def test_the_kernels_alarm_counts_with_and_without_the_word(sysfs: Sysfs) -> None:
    sysfs.hwmon(1)
    health = RaspberryPiBoard(sysfs.root).health()
    assert health == BoardHealth(under_voltage=True, under_voltage_since_boot=True)
    sysfs.write(PI_4, "0")
    assert RaspberryPiBoard(sysfs.root).health().under_voltage
    sysfs.hwmon(0)
    sysfs.write(PI_4, "1")
    assert RaspberryPiBoard(sysfs.root).health().under_voltage


def test_what_the_kernel_clears_is_remembered(sysfs: Sysfs) -> None:
    sysfs.hwmon(0)
    sysfs.write(PI_4, "50005")
    board = RaspberryPiBoard(sysfs.root)
    board.health()
    sysfs.write(PI_4, "0")
    assert astuple(board.health()) == (None, False, False, False, True, True)


@pytest.mark.parametrize(("spoil", "why"), [("nothing", "holds no number"), ("", "no number")])
def test_what_is_no_number_is_a_fault(sysfs: Sysfs, spoil: str, why: str) -> None:
    sysfs.write(PI_4, spoil)
    with pytest.raises(DeviceFault, match=why):
        RaspberryPiBoard(sysfs.root).health()


def test_a_file_that_goes_away_is_a_fault(sysfs: Sysfs) -> None:
    sysfs.zone(0, "cpu-thermal", 50_000)
    board = RaspberryPiBoard(sysfs.root)
    (sysfs.root / "class/thermal/thermal_zone0/temp").unlink()
    with pytest.raises(DeviceFault, match="No such file"):
        board.health()
