"""From settings to the drivers and the simulated world of a gate's pins, by name."""

from __future__ import annotations

from pathlib import Path

from agent.config import GpioConfig, SimulationConfig
from hal.gpio import Gpio
from hal.simulated.barrier import Wiring

__all__ = ["make_gpio", "wiring"]


def make_gpio(settings: GpioConfig, simulation: SimulationConfig, base_dir: Path) -> Gpio:
    """Return the driver that the settings name; there is no fallback.

    Raises:
        DeviceUnavailable: it cannot start here.
    """
    if settings.driver == "simulated":
        from hal.simulated.gpio import SimulatedGpio

        name = simulation.pins_file
        return SimulatedGpio(pins_file=Path(base_dir, name) if name else None)
    from hal.raspberrypi.gpio import RaspberryPiGpio

    return RaspberryPiGpio()


def wiring(settings: GpioConfig) -> Wiring:
    """Return what a simulated barrier must know of the pins."""
    return Wiring(
        relay=settings.relay,
        relay_out=settings.relay_out,
        passage=settings.passage,
        passage_2=settings.passage_2,
        fire=settings.fire,
        tamper=settings.tamper,
        release=settings.release,
        door=settings.door,
        key=settings.key,
        relay_active=settings.relay_active == "high",
        passage_active=settings.passage_active == "high",
        release_active=settings.release_active == "high",
        door_active=settings.door_active == "high",
        key_active=settings.key_active == "high",
    )
