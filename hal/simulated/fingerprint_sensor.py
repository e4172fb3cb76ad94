"""The simulated module as a sensor (driver `simulated`): the real driver on the module's pty."""

from __future__ import annotations

from pathlib import Path

from hal.fingerprint import FACTORY_PASSWORD
from hal.raspberrypi.fingerprint import AdafruitSensor
from hal.simulated.fingerprint import SimulatedFingerprint
from hal.simulated.fingerprint_script import Script, load_script

__all__ = ["SimulatedSensor"]


class SimulatedSensor(AdafruitSensor):
    """A module in this process, and the driver that talks to it.

    Args:
        script: a file as `hal.simulated.fingerprint_script` says; None for a glass that nobody
            touches.
        baud: set in the module and in the driver.
        password: 4 bytes, as the module has it in its flash.
        pace: whether time passes as with a real module.

    Raises:
        DeviceUnavailable: the script cannot be used.
        PasswordRefused: the module's flash has another password.
    """

    def __init__(
        self,
        script: Path | None,
        *,
        baud: int = 57_600,
        password: bytes = FACTORY_PASSWORD,
        pace: bool = True,
    ) -> None:
        played = load_script(script) if script is not None else Script()
        base_dir = script.parent if script is not None else Path()
        self.simulation = SimulatedFingerprint(played, pace=pace, base_dir=base_dir, baud=baud)
        try:
            super().__init__(self.simulation.open_pty(), baud, password)
        except BaseException:
            self.simulation.close()
            raise

    def close(self) -> None:
        """Let go of the port, and end the module."""
        super().close()
        self.simulation.close()
