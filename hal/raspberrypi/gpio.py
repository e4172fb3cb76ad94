"""GPIO on a Raspberry Pi through the RPi.GPIO interface: RPi.GPIO 0.7.1 or rpi-lgpio.

Rules:
- The library is imported when the driver is made, never before; whatever it raises at start becomes
  one `DeviceUnavailable` that says what to do.
- Polling only: `add_event_detect` fails on kernel 6.6 and later with RPi.GPIO.
- lgpio (under rpi-lgpio) puts FIFOs (`.lgd-nfy*`) into the working directory. `LG_WD` sends them
  elsewhere, but it does so by moving the whole process there (tried with lgpio 0.2.2): so the
  working directory is put back after the import.
- Outputs stay driven when the process dies; the gatekeeper's `--safe` (`ExecStopPost`) drops them.
"""

from __future__ import annotations

import importlib
import os
import tempfile
from pathlib import Path
from typing import Any

from hal.errors import DeviceFault, DeviceUnavailable
from hal.gpio import Pull
from hal.library import starting

__all__ = ["RaspberryPiGpio"]

_HELP = (
    "install python3-rpi-lgpio, run on a Raspberry Pi with access to /dev/gpiochip0 "
    '(group "gpio"), or choose gpio.driver = "simulated"'
)


class RaspberryPiGpio:
    """Lines of the 40-pin header, by BCM number.

    Args:
        work_dir: where rpi-lgpio may put its FIFOs; None takes a private temporary directory.

    Raises:
        DeviceUnavailable: no such library, no such board, or no permission.
    """

    def __init__(self, *, work_dir: Path | None = None) -> None:
        self._scratch: tempfile.TemporaryDirectory[str] | None = None
        if "LG_WD" not in os.environ:
            if work_dir is None:
                self._scratch = tempfile.TemporaryDirectory(prefix="idgate-gpio-")
                work_dir = Path(self._scratch.name)
            os.environ["LG_WD"] = str(work_dir)
        here = os.open(".", os.O_PATH | os.O_DIRECTORY)
        try:
            with starting('GPIO driver "rpi-gpio"', _HELP):
                self._lib: Any = importlib.import_module("RPi.GPIO")
                self._lib.setwarnings(False)
                self._lib.setmode(self._lib.BCM)
        except DeviceUnavailable:
            self._tidy()
            raise
        finally:
            os.fchdir(here)
            os.close(here)
        self._ours: dict[int, bool] = {}
        self._closed = False

    def setup_output(self, pin: int, *, level: bool) -> None:
        """Drive `pin`, first with `level`; the library sets the level before the direction."""
        lib = self._lib
        self._setup(pin, lib.OUT, initial=lib.HIGH if level else lib.LOW)
        self._ours[pin] = True

    def setup_input(self, pin: int, *, pull: Pull) -> None:
        """Listen on `pin`."""
        lib = self._lib
        bias = {Pull.UP: lib.PUD_UP, Pull.DOWN: lib.PUD_DOWN, Pull.NONE: lib.PUD_OFF}[pull]
        self._setup(pin, lib.IN, pull_up_down=bias)
        self._ours[pin] = False

    def write(self, pin: int, *, level: bool) -> None:
        """Set an output.

        Raises:
            DeviceFault: the line is no output of ours, or the library cannot set it.
        """
        if not self._ours.get(pin, False):
            raise DeviceFault(f"pin {pin} is not set up as an output")
        try:
            self._lib.output(pin, self._lib.HIGH if level else self._lib.LOW)
        except Exception as error:
            raise DeviceFault(f"pin {pin} cannot be written: {error}") from error

    def read(self, pin: int) -> bool:
        """Return the level on a line, high is True.

        Raises:
            DeviceFault: the line is not set up, or the library cannot read it.
        """
        if pin not in self._ours:
            raise DeviceFault(f"pin {pin} is not set up")
        try:
            return bool(self._lib.input(pin))
        except Exception as error:
            raise DeviceFault(f"pin {pin} cannot be read: {error}") from error

    def close(self) -> None:
        """Turn every line into an input without pull; may be called twice."""
        if self._closed:
            return
        self._closed = True
        try:
            if self._ours:
                self._lib.cleanup(list(self._ours))
        except Exception as error:
            raise DeviceFault(f"pins cannot be let go: {error}") from error
        finally:
            self._ours.clear()
            self._tidy()

    def _setup(self, pin: int, direction: int, **options: int) -> None:
        if self._closed:
            raise DeviceFault("the pins are closed")
        with starting(f"pin {pin} cannot be taken", "is another process using it?"):
            self._lib.setup(pin, direction, **options)

    def _tidy(self) -> None:
        if self._scratch is not None:
            os.environ.pop("LG_WD", None)
            self._scratch.cleanup()
            self._scratch = None
