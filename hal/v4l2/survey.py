"""What a webcam offers, for whoever chooses one or looks for what is wrong; starts nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from hal.camera import CameraSettings
from hal.errors import DeviceFault
from hal.library import explain
from hal.v4l2 import abi
from hal.v4l2.find import FORMATS, Source
from hal.v4l2.port import MACHINE, Machine

__all__ = ["CONTROLS", "Offer", "survey"]

CONTROLS: Final = {
    "focus": abi.FOCUS_ABSOLUTE,
    "autofocus": abi.FOCUS_AUTO,
    "exposure time": abi.EXPOSURE_ABSOLUTE,
    "exposure bias": abi.EXPOSURE_BIAS,
    "mains frequency": abi.POWER_LINE_FREQUENCY,
}


@dataclass(frozen=True, slots=True)
class Offer:
    """What a webcam has.

    Attributes:
        path: where it was found.
        card: the maker's name of it.
        driver: the kernel's.
        sizes: (width, height) pixels of each format that is read, the best format first.
        others: formats on offer that are not read.
        rates: frames a second that it says it can, of each format that has the size asked for; 0
            where it says nothing.
        controls: names of `CONTROLS` that it has.
    """

    path: str
    card: str
    driver: str
    sizes: dict[str, tuple[tuple[int, int], ...]]
    others: tuple[str, ...]
    rates: dict[str, float]
    controls: tuple[str, ...]


def survey(settings: CameraSettings, *, machine: Machine = MACHINE) -> Offer:
    """Ask a webcam what it offers, and let go of it.

    Raises:
        DeviceUnavailable: it is not there, or not ours.
        DeviceFault: it does not answer.
    """
    who = f"camera {settings.name}"
    found = Source(machine, settings.device, settings.index, who).open()
    device = found.device
    size = (settings.width, settings.height)
    try:
        names = device.formats()
        sizes = {name: device.sizes(name) for name in FORMATS if name in names}
        return Offer(
            path=found.path,
            card=found.identity.card,
            driver=found.identity.driver,
            sizes=sizes,
            others=tuple(name for name in names if name not in FORMATS),
            rates={
                name: device.best_rate(name, *size) for name, has in sizes.items() if size in has
            },
            controls=tuple(name for name, number in CONTROLS.items() if device.control(number)),
        )
    except OSError as error:
        raise DeviceFault(f"{who}: {found.path}: {explain(error)}") from error
    finally:
        device.close()
