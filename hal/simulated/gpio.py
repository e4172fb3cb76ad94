"""GPIO without a Raspberry Pi: the `hal.gpio.Gpio` interface on a `PinBoard`.

It keeps the real drivers' rules: a line is set up before it is used, an input cannot be written, a
pins file has one owner at a time, and outputs stay driven when the process dies without `close`.
"""

from __future__ import annotations

import fcntl
from pathlib import Path
from typing import BinaryIO

from hal.errors import DeviceFault, DeviceUnavailable
from hal.gpio import Pull
from hal.simulated.pinboard import PINS, Function, PinBoard

__all__ = ["SimulatedGpio"]


class SimulatedGpio:
    """Lines on a pin board.

    Args:
        board: shared with whoever plays the world; None makes one.
        pins_file: where the board is kept, so that other processes see it; not with `board`.

    Raises:
        DeviceUnavailable: another process owns the pins file, or it cannot be used.
    """

    def __init__(self, *, board: PinBoard | None = None, pins_file: Path | None = None) -> None:
        self._owner: BinaryIO | None = None if pins_file is None else _own(pins_file)
        try:
            self.board = PinBoard(pins_file) if board is None else board
        except DeviceUnavailable:
            if self._owner is not None:
                self._owner.close()
            raise
        self._ours: dict[int, Function] = {}
        self._closed = False

    def setup_output(self, pin: int, *, level: bool) -> None:
        """Drive `pin`, first with `level`."""
        self._check(pin)
        self.board.write(pin, level=level)
        self.board.set_function(pin, Function.OUTPUT)
        self._ours[pin] = Function.OUTPUT

    def setup_input(self, pin: int, *, pull: Pull) -> None:
        """Listen on `pin`."""
        self._check(pin)
        self.board.set_function(pin, Function.INPUT, pull)
        self._ours[pin] = Function.INPUT

    def write(self, pin: int, *, level: bool) -> None:
        """Set an output.

        Raises:
            DeviceFault: the line is no output of ours.
        """
        if self._ours.get(pin) is not Function.OUTPUT:
            raise DeviceFault(f"pin {pin} is not set up as an output")
        self.board.write(pin, level=level)

    def read(self, pin: int) -> bool:
        """Return the level on a line, high is True.

        Raises:
            DeviceFault: the line is not set up.
        """
        if pin not in self._ours:
            raise DeviceFault(f"pin {pin} is not set up")
        return self.board.level(pin)

    def close(self) -> None:
        """Turn every line into an input without pull; may be called twice."""
        if self._closed:
            return
        self._closed = True
        for pin in self._ours:
            self.board.set_function(pin, Function.INPUT)
        self._ours.clear()
        if self._owner is not None:
            self.board.close()
            self._owner.close()

    def _check(self, pin: int) -> None:
        if self._closed:
            raise DeviceFault("the pins are closed")
        if not 0 <= pin < PINS:
            raise DeviceUnavailable(f"pin {pin}: BCM 0 to {PINS - 1}")


def _own(pins_file: Path) -> BinaryIO:
    """Take the pins file for this process; the kernel lets go when the process dies."""
    path = pins_file.with_name(f"{pins_file.name}.owner")
    try:
        owner = path.open("ab")
    except OSError as error:
        raise DeviceUnavailable(f"pins file {pins_file}: {error.strerror}") from None
    try:
        fcntl.flock(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        owner.close()
        raise DeviceUnavailable(
            f"pins file {pins_file}: another process drives these pins; stop it first"
        ) from None
    return owner
