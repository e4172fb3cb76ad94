"""What is special to the real driver: how it starts, what it says, how it takes and lets go."""

from __future__ import annotations

import os
import subprocess
import sys
import types
from pathlib import Path

import pytest

from hal.errors import DeviceFault, DeviceUnavailable
from hal.gpio import Pull
from hal.raspberrypi.gpio import RaspberryPiGpio
from tests.hal.raspberrypi.rpi_double import RpiGpioDouble


@pytest.fixture
def double(monkeypatch) -> RpiGpioDouble:
    double = RpiGpioDouble()
    monkeypatch.setitem(sys.modules, "RPi", types.ModuleType("RPi"))
    monkeypatch.setitem(sys.modules, "RPi.GPIO", double)
    monkeypatch.delenv("LG_WD", raising=False)
    return double


def test_importing_the_driver_imports_no_library():
    script = "import sys, hal.raspberrypi.gpio; print('RPi' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"


@pytest.mark.parametrize(
    ("source", "said", "remedy"),
    [
        (
            "raise RuntimeError('This module can only be run on a Raspberry Pi!')",
            "This module can only be run on a Raspberry Pi!",
            "install python3-rpi-lgpio",
        ),
        (
            "raise RuntimeError('Cannot determine SOC peripheral base address')",
            "Cannot determine SOC peripheral base address",
            "install python3-rpi-lgpio",
        ),
        (
            "raise PermissionError(13, 'Permission denied', '/dev/gpiochip0')",
            "Permission denied",
            "group of the device (gpio",
        ),
        (None, "No module named 'RPi'", "install python3-rpi-lgpio"),
    ],
)
def test_a_driver_that_cannot_start_says_why_and_what_to_do(
    tmp_path, monkeypatch, source, said, remedy
):
    for name in ("RPi", "RPi.GPIO"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    # A Raspberry Pi has the library: it is out of sight here.
    without = [folder for folder in sys.path if not (Path(folder) / "RPi").exists()]
    monkeypatch.setattr(sys, "path", without)
    if source is not None:
        (tmp_path / "RPi").mkdir()
        (tmp_path / "RPi" / "__init__.py").touch()
        (tmp_path / "RPi" / "GPIO.py").write_text(source)
        monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(DeviceUnavailable) as failure:
        RaspberryPiGpio()
    assert said in str(failure.value)
    assert remedy in str(failure.value)
    assert isinstance(failure.value, OSError)


def test_the_level_is_latched_before_the_line_begins_to_drive(double):
    gpio = RaspberryPiGpio()
    gpio.setup_output(17, level=True)
    assert double.calls[-2:] == [("latch", 17, 1), ("direction", 17, double.OUT)]
    gpio.close()


@pytest.mark.parametrize("pull", list(Pull))
def test_pulls(double, pull):
    gpio = RaspberryPiGpio()
    gpio.setup_input(5, pull=pull)
    wanted = {Pull.UP: double.PUD_UP, Pull.DOWN: double.PUD_DOWN, Pull.NONE: double.PUD_OFF}
    assert double.pulls[5] == wanted[pull]
    gpio.close()


def test_a_line_that_another_process_owns(double):
    double.busy.add(17)
    gpio = RaspberryPiGpio()
    with pytest.raises(DeviceUnavailable, match="pin 17 cannot be taken: GPIO busy"):
        gpio.setup_output(17, level=False)
    gpio.close()


def test_the_old_library_on_a_new_board_is_named_with_its_remedy(double, monkeypatch):
    def setup(*_: object, **__: object) -> None:
        raise RuntimeError("Cannot determine SOC peripheral base address")

    monkeypatch.setattr(double, "setup", setup)
    gpio = RaspberryPiGpio()
    with pytest.raises(DeviceUnavailable, match=r"pin 6 cannot be taken: .*python3-rpi-lgpio"):
        gpio.setup_input(6, pull=Pull.UP)
    gpio.close()


def test_a_library_that_fails_later_is_a_fault(double):
    gpio = RaspberryPiGpio()
    gpio.setup_output(17, level=False)
    gpio.setup_input(5, pull=Pull.UP)
    double.broken |= {5, 17}
    with pytest.raises(DeviceFault, match="pin 17 cannot be written"):
        gpio.write(17, level=True)
    with pytest.raises(DeviceFault, match="pin 5 cannot be read"):
        gpio.read(5)
    gpio.close()


def test_close_cleans_up_our_lines_only(double):
    gpio = RaspberryPiGpio()
    gpio.setup_output(17, level=False)
    gpio.setup_input(5, pull=Pull.UP)
    gpio.close()
    assert [call for call in double.calls if call[0] == "cleanup"] == [
        ("cleanup", 17),
        ("cleanup", 5),
    ]


def test_lgpio_is_sent_elsewhere_with_its_fifos(double, tmp_path):
    gpio = RaspberryPiGpio(work_dir=tmp_path)
    assert os.environ["LG_WD"] == str(tmp_path)
    gpio.close()
    del os.environ["LG_WD"]
    gpio = RaspberryPiGpio()
    scratch = Path(os.environ["LG_WD"])
    assert scratch.is_dir()
    gpio.close()
    assert not scratch.exists()
    assert "LG_WD" not in os.environ


LIKE_LGPIO = """
import os
os.chdir(os.environ["LG_WD"])
os.mkfifo(".lgd-nfy0")
BCM = 11
def setwarnings(flag): ...
def setmode(mode): ...
"""


@pytest.mark.parametrize("fails", [False, True])
def test_the_process_stays_where_it_is_though_lgpio_moves_it(tmp_path, monkeypatch, fails):
    for name in ("RPi", "RPi.GPIO"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.delenv("LG_WD", raising=False)
    (tmp_path / "RPi").mkdir()
    (tmp_path / "RPi" / "__init__.py").touch()
    source = LIKE_LGPIO + ("raise RuntimeError('can not open gpiochip')" if fails else "")
    (tmp_path / "RPi" / "GPIO.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    before = Path.cwd()
    if fails:
        with pytest.raises(DeviceUnavailable, match="can not open gpiochip"):
            RaspberryPiGpio()
    else:
        RaspberryPiGpio().close()
    assert Path.cwd() == before
    assert not (before / ".lgd-nfy0").exists()
    assert "LG_WD" not in os.environ
