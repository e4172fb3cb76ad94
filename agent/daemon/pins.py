"""From settings to the drivers of a gate's pins and cards, by name, and to a simulated world."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from PIL import Image

from agent.gate.cards import OsdpCards, WiegandCards
from agent.gate.gate import CardOutput
from agent.passage.types import Signal
from agent.settings.model import Config, GpioConfig, SimulationConfig
from agent.settings.secrets import secret_path
from hal.errors import DeviceUnavailable
from hal.gpio import Gpio
from hal.osdp import OsdpReader
from hal.simulated.barrier import Wiring
from hal.simulated.timeline import Track
from hal.wiegand import WiegandLines

__all__ = ["draw_record", "make_card_output", "make_gpio", "read_key", "tracks", "wiring"]


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


def read_key(path: Path) -> bytes:
    """Return the secure channel key: 32 hexadecimal digits in a file.

    Raises:
        DeviceUnavailable: no such file, or no such key in it.
    """
    try:
        return bytes.fromhex(path.read_text(encoding="ascii").strip())
    except OSError as error:
        raise DeviceUnavailable(f"OSDP key {path}: {error.strerror}") from None
    except ValueError:
        raise DeviceUnavailable(f"OSDP key {path}: 32 hexadecimal digits are expected") from None


def make_card_output(
    settings: GpioConfig,
    gpio: Gpio,
    base_dir: Path,
    on_signal: Callable[[Signal], None],
) -> CardOutput | None:
    """Return the output that the settings name, None for the relay.

    Args:
        settings: pins, port, address.
        gpio: the gate's own driver.
        base_dir: what a relative key file is relative to.
        on_signal: told GRANTED or DENIED when an OSDP controller shows its answer; any thread.

    Raises:
        DeviceUnavailable: the port, the key or the library is not there.
    """
    if settings.output == "relay":
        return None
    if settings.output == "osdp":
        if not settings.osdp_key_file:
            raise DeviceUnavailable("OSDP needs gpio.osdp_key_file: the secure channel is a must")
        reader = OsdpReader(
            settings.osdp_port,
            address=settings.osdp_address,
            key=read_key(secret_path(settings.osdp_key_file, base_dir)),
            on_led=lambda green: on_signal(Signal.GRANTED if green else Signal.DENIED),
        )
        return OsdpCards(reader)
    assert settings.wiegand_d0 is not None
    assert settings.wiegand_d1 is not None
    lines = WiegandLines(gpio, settings.wiegand_d0, settings.wiegand_d1)
    return WiegandCards(lines, 26 if settings.output == "wiegand26" else 34)


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


def draw_record(config: Config, last_s: float) -> Image.Image | None:
    """Draw the last seconds of what a simulated board's pins did; None where nothing records them.

    Args:
        config: the settings.
        last_s: seconds before the newest edge.
    """
    from hal.simulated.pinboard import PinBoard
    from hal.simulated.timeline import draw

    if not config.simulation.pins_file:
        return None
    with PinBoard(config.path(config.simulation.pins_file)) as board:
        edges = board.edges()
    end_ns = edges[-1].at_ns if edges else 0
    return draw(
        edges,
        tracks(config.gpio),
        begin_ns=end_ns - round(last_s * 1e9),
        end_ns=end_ns,
        title=f"{config.gate.site}/{config.gate.gate}",
    )
