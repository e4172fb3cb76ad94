"""What settings say of drivers and pins that works on a desk and not at a gate. Pure but `look`.

Facts of the boards (BCM numbers; docs/wiring.md has them for who wires):
- GPIO0 and GPIO1 are read at power-on as the bus of an add-on board's EEPROM.
- From reset on, GPIO0 to GPIO8 are pulled up, the others down; GPIO2 and GPIO3 have 1.8 kOhm to
  3.3 V on the board besides. What is active at a high level there is active while the Pi boots.
- A bus that is switched on owns its pins: I2C 2 and 3, the serial port 14 and 15, SPI 7 to 11.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agent.settings.checks import OPTIONAL_LINES
from agent.settings.model import Config

__all__ = ["Surroundings", "look", "risky_pins", "simulated"]

EEPROM: Final = frozenset({0, 1})
PULLED_UP: Final = frozenset(range(9))
I2C: Final = frozenset({2, 3})
SERIAL: Final = frozenset({14, 15})
SPI: Final = frozenset({7, 8, 9, 10, 11})
SERIAL_PORTS: Final = ("/dev/serial0", "/dev/ttyAMA0", "/dev/ttyS0")
"""Names of the port on the header's pins."""
INSTALLED: Final = "/etc/idgate"
_LAMPS: Final = frozenset({"green", "red", "buzzer", "ready"})
_RELAYS: Final = frozenset({"relay", "relay_out"})


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the machine is and which buses are switched on there.

    Attributes:
        raspberry_pi: whether it is one.
        i2c, spi: whether the bus on the header is on.
        console: whether the kernel writes to the serial port on the header.
    """

    raspberry_pi: bool = False
    i2c: bool = False
    spi: bool = False
    console: bool = False


def look(root: Path = Path("/")) -> Surroundings:
    """Look at the machine; what cannot be read is taken not to be there."""
    words = _text(root / "proc/cmdline").split()
    ports = tuple(f"console={Path(port).name}" for port in SERIAL_PORTS)
    return Surroundings(
        raspberry_pi="Raspberry Pi" in _text(root / "proc/device-tree/model"),
        i2c=(root / "dev/i2c-1").exists(),
        spi=any((root / "dev").glob("spidev0.*")),
        console=any(word.startswith(ports) for word in words),
    )


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def simulated(config: Config, around: Surroundings) -> tuple[bool, str]:
    """Return whether simulated drivers stand where people would pass, and what is simulated.

    They do on a Raspberry Pi, in the settings of an installed service, with the gatekeeper's unit,
    and beside a real driver: who can write the file of a simulated camera opens a real gate.
    """
    drivers = {
        "gpio": config.gpio.driver,
        **{f"camera {camera.name}": camera.driver for camera in config.camera},
        **({"engine": config.scan_engine.driver} if config.scan_engine else {}),
        **({"finger": config.finger.driver} if config.finger else {}),
    }
    names = [name for name, driver in drivers.items() if driver == "simulated"]
    real = (
        around.raspberry_pi
        or config.file.startswith(f"{INSTALLED}/")
        or bool(config.gpio.gatekeeper)
        or len(names) < len(drivers)
    )
    return bool(names) and real, ", ".join(names)


def risky_pins(config: Config, around: Surroundings) -> Iterator[str]:
    """Yield what is wrong with the pins, a line each; nothing for simulated ones."""
    if config.gpio.driver == "simulated":
        return
    taken = {"fingerprint module": config.finger.port} if config.finger else {}
    if config.scan_engine is not None and config.scan_engine.driver == "serial":
        taken["scan engine"] = config.scan_engine.port
    if config.gpio.output == "osdp":
        taken["OSDP reader"] = config.gpio.osdp_port
    on_header = [who for who, port in taken.items() if port in SERIAL_PORTS]
    for name in ("relay", *OPTIONAL_LINES):
        pin = getattr(config.gpio, name)
        if pin is not None:
            yield from _one(config, around, name, pin, on_header)
    if around.console and on_header:
        yield (
            f"the kernel's console writes to the port of the {on_header[0]}: switch it off "
            "(raspi-config, serial port: no login shell)"
        )


def _one(
    config: Config, around: Surroundings, name: str, pin: int, on_header: list[str]
) -> Iterator[str]:
    where = f"gpio.{name}: GPIO{pin}"
    if pin in EEPROM:
        yield f"{where} is read at power-on as an add-on board's EEPROM"
    high = (name in _RELAYS and config.gpio.relay_active == "high") or (
        name in _LAMPS and config.gpio.lamps_active == "high"
    )
    if high and pin in PULLED_UP:
        what = "the gate opens" if name in _RELAYS else "it is on"
        yield f"{where} is pulled up from power-on: {what} while the Pi boots; take GPIO9 to GPIO27"
    if pin in I2C and around.i2c:
        yield f"{where} belongs to I2C, which is switched on"
    if pin in SPI and around.spi:
        yield f"{where} belongs to SPI, which is switched on"
    if pin in SERIAL and on_header:
        yield f"{where} is the serial port of the {on_header[0]}"
    elif pin in SERIAL and around.console:
        yield f"{where} is the serial port, to which the kernel's console writes"
