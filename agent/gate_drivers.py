"""From settings to the drivers and the simulated world of a gate's pins, by name."""

from __future__ import annotations

from pathlib import Path

from agent.config import GpioConfig, SimulationConfig
from hal.gpio import Gpio
from hal.simulated.barrier import Wiring
from hal.simulated.timeline import Track

__all__ = ["make_gpio", "tracks", "wiring"]


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


def tracks(settings: GpioConfig) -> tuple[Track, ...]:
    """Return the tracks of the lines that are fitted, outputs first."""
    relay, lamps = settings.relay_active == "high", settings.lamps_active == "high"
    passage = settings.passage_active == "high"
    rows = (
        ("relay", settings.relay, relay, (31, 111, 235)),
        ("relay out", settings.relay_out, relay, (31, 111, 235)),
        ("green", settings.green, lamps, (32, 150, 83)),
        ("red", settings.red, lamps, (208, 52, 44)),
        ("buzzer", settings.buzzer, lamps, (150, 90, 200)),
        ("ready", settings.ready, lamps, (110, 120, 130)),
        ("beam", settings.passage, passage, (214, 128, 20)),
        ("beam 2", settings.passage_2, passage, (214, 128, 20)),
        ("door", settings.door, settings.door_active == "high", (214, 128, 20)),
        ("release", settings.release, settings.release_active == "high", (0, 140, 150)),
        ("key", settings.key, settings.key_active == "high", (0, 140, 150)),
        ("fire", settings.fire, True, (208, 52, 44)),
        ("tamper", settings.tamper, True, (208, 52, 44)),
    )
    return tuple(
        Track(name, pin, active, rgb) for name, pin, active, rgb in rows if pin is not None
    )
