"""A Raspberry Pi's health from sysfs, which any user may read; no device file, no group, no root.

Sources, each left out where this kernel or board has none:
- `get_throttled` of the firmware's device: the whole word, in hexadecimal. The kernel keeps it
  fresh for its own voltage monitor, every two seconds. It calls the file deprecated, once in its
  log, and offers nothing else for throttling.
- `in0_lcrit_alarm` of the hwmon device `rpi_volt`: under-voltage in the last two seconds. Asking
  for it, the kernel clears the firmware's own mark of under-voltage since boot, so that what was
  seen here is remembered here.
- `temp` of the thermal zone `cpu-thermal`, in thousandths of a degree.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from hal.board import BoardHealth, health_of
from hal.errors import DeviceFault

__all__ = ["RaspberryPiBoard"]

SYS = Path("/sys")
FIRMWARE = "devices/platform/soc*/soc*:firmware/get_throttled"
"""`soc/soc:firmware` up to the Pi 4; the Pi 5's names have an address in them."""


class RaspberryPiBoard:
    """The board this runs on.

    Args:
        sys: where sysfs is mounted.
    """

    def __init__(self, sys: Path = SYS) -> None:
        self._word = next(iter(sys.glob(FIRMWARE)), None)
        self._alarm = _named(sys / "class/hwmon", "name", "rpi_volt", "in0_lcrit_alarm")
        self._temperature = _named(sys / "class/thermal", "type", "cpu-thermal", "temp")
        self._was_low = False
        self._was_slow = False

    def health(self) -> BoardHealth:
        """Return how the board is now.

        Raises:
            DeviceFault: a file that was there cannot be read, or holds no number.
        """
        milli_c = _number(self._temperature, 10)
        temperature_c = None if milli_c is None else milli_c / 1000
        word = _number(self._word, 16)
        if word is None:
            health = BoardHealth(temperature_c=temperature_c)
        else:
            health = health_of(word, temperature_c)
        alarm = _number(self._alarm, 10)
        if alarm is not None:
            health = replace(health, under_voltage=bool(alarm) or bool(health.under_voltage))
        self._was_low |= bool(health.under_voltage or health.under_voltage_since_boot)
        self._was_slow |= bool(health.throttled or health.throttled_since_boot)
        return replace(
            health,
            under_voltage_since_boot=None if health.under_voltage is None else self._was_low,
            throttled_since_boot=None if health.throttled is None else self._was_slow,
        )


def _named(folder: Path, key: str, name: str, file: str) -> Path | None:
    """Return the file of the device that says it is called so."""
    for device in sorted(folder.glob("*")):
        try:
            found = (device / key).read_text(encoding="ascii", errors="replace").strip()
        except OSError:
            continue  # a device that does not say what it is called
        if found == name and (device / file).exists():
            return device / file
    return None


def _number(path: Path | None, base: int) -> int | None:
    if path is None:
        return None
    try:
        return int(path.read_text(encoding="ascii"), base)
    except OSError as error:
        raise DeviceFault(f"board: {path}: {error.strerror}") from None
    except ValueError:
        raise DeviceFault(f"board: {path} holds no number") from None
