"""From settings to the pin map and the card output of a gate, and to a simulated world."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from PIL import Image

from agent.gate.cards import CardOutput, OsdpCards, WiegandCards
from agent.gatekeeper.pinmap import PinMap, PinMapError, pack
from agent.gatekeeper.wire import Request
from agent.gatekeeper.words import INPUTS, Mode, Signal
from agent.settings.checks import OPTIONAL_LINES
from agent.settings.model import Config, ConfigError, GpioConfig
from agent.settings.secrets import secret_path
from hal.errors import DeviceUnavailable
from hal.osdp import OsdpReader
from hal.simulated.barrier import Wiring
from hal.simulated.timeline import Track

__all__ = ["draw_record", "make_card_output", "pin_map", "read_key", "tracks", "wiring"]


def pin_map(config: Config) -> PinMap:
    """Return what the gatekeeper must know of the gate.

    Raises:
        ConfigError: a path is longer than its record.
    """
    gpio, gate = config.gpio, config.gate
    names: tuple[str, ...] = ("relay", *OPTIONAL_LINES)
    if not gpio.output.startswith("wiegand"):
        names = tuple(name for name in names if not name.startswith("wiegand"))
    pins = {name: pin for name in names if (pin := getattr(gpio, name)) is not None}
    own = {name: getattr(gpio, f"{name.removesuffix('_2')}_debounce_ms") for name in INPUTS}
    made = PinMap(
        driver=gpio.driver,
        direction=gate.direction,
        key_mode=Mode(gpio.key_mode),
        high=frozenset(
            name
            for name in ("relay", "lamps", "passage", "release", "door", "key")
            if getattr(gpio, f"{name}_active") == "high"
        ),
        pins=pins,
        debounce_ms={
            name: gpio.debounce_ms if value is None else value
            for name, value in own.items()
            if name in pins
        },
        poll_hz=gpio.poll_hz,
        pulse_ms=gate.pulse_ms if gate.relay_mode == "pulse" else 0,
        open_ms=round(gate.passage_timeout_s * 1000),
        device=_device(config),
        settings=config.file,
    )
    try:
        pack(made)
    except PinMapError as error:
        raise ConfigError(str(error)) from None
    return made


def _device(config: Config) -> str:
    """Return what the driver must know of where its lines are."""
    if config.gpio.driver == "simulated" and config.simulation.pins_file:
        return str(config.path(config.simulation.pins_file).absolute())
    return ""


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
    send: Callable[[Request], None],
    base_dir: Path,
    on_signal: Callable[[Signal], None],
) -> CardOutput | None:
    """Return the output that the settings name, None for the relay.

    Args:
        settings: pins, port, address.
        send: hands a request to the gatekeeper.
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
    return WiegandCards(send, 26 if settings.output == "wiegand26" else 34)


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
