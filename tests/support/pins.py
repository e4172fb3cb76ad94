"""Pins that remember what was asked of them."""

from __future__ import annotations

from hal.errors import DeviceFault, DeviceUnavailable
from hal.simulated.gpio import SimulatedGpio


class Recording(SimulatedGpio):
    """Keeps what is done to the lines, and can refuse to write one of them."""

    refuses = -1

    def __init__(self, **options) -> None:
        super().__init__(**options)
        self.done: list[tuple[object, ...]] = []

    def setup_output(self, pin: int, *, level: bool) -> None:
        if pin == self.refuses:
            raise DeviceUnavailable(f"pin {pin} is not ours")
        super().setup_output(pin, level=level)
        self.done.append(("set up", pin, level))

    def write(self, pin: int, *, level: bool) -> None:
        if pin == self.refuses:
            raise DeviceFault(f"pin {pin} is gone")
        super().write(pin, level=level)
        self.done.append((pin, level))

    def close(self) -> None:
        super().close()
        self.done.append(("close",))
