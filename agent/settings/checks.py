"""What the types of the settings cannot say: doubled pins and names, keys that contradict others.

Each rule names the key and what would be right; the first that is broken is told.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from agent.settings.broker_url import parse_url
from agent.settings.model import Config

__all__ = ["OPTIONAL_LINES", "REGION", "contradiction"]

OPTIONAL_LINES: Final = (
    "relay_out", "green", "red", "buzzer", "ready", "passage", "passage_2", "fire",
    "tamper", "release", "door", "key", "wiegand_d0", "wiegand_d1",
)  # fmt: skip
"""The keys of `[gpio]` at which a pin or `false` can stand."""

COLLECTOR_KEY: Final = re.compile(r"[0-9a-f]{64}")

HEX: Final = re.compile(r"([0-9A-Fa-f]{2}){0,64}")

REGION: Final = re.compile(r"[A-Z]{2}(-[A-Z0-9]{1,3})?")
"""ISO 3166-1 or 3166-2, as gates read it in credentials (`agent.credential.native`)."""


def contradiction(config: Config) -> str:
    """Return the first contradiction as `key NAME: what is wrong`, "" where there is none.

    Args:
        config: settings whose types are right.
    """
    rules = (_pins, _place, _ways, _cameras, _engine, _cards, _trust, _broker)
    return next((wrong for rule in rules for wrong in rule(config)), "")


def _pins(config: Config) -> Iterator[str]:
    pins: dict[int, str] = {}
    for field in ("relay", *OPTIONAL_LINES):
        pin = getattr(config.gpio, field)
        if pin is None:
            continue
        if pin in pins:
            yield (
                f"key gpio.{field}: pin {pin} is already gpio.{pins[pin]}; "
                "every line needs a pin of its own"
            )
        pins[pin] = field
    if config.gpio.passage_2 is not None and config.gpio.passage is None:
        yield "key gpio.passage_2: a second beam needs the first one, gpio.passage"


def _place(config: Config) -> Iterator[str]:
    region = config.gate.region
    if region and not REGION.fullmatch(region):
        yield f"key gate.region: {region!r} is no ISO 3166-2 code, such as DE-BE or CN-31"


def _ways(config: Config) -> Iterator[str]:
    gate, seen = config.gate, config.gpio.passage_2 is not None
    if gate.direction == "both" and not seen:
        yield (
            "key gate.direction: both needs gpio.passage_2: with one beam nobody knows "
            "which way somebody went"
        )
    if gate.free_exit and gate.direction == "out":
        yield "key gate.free_exit: at a gate whose codes open outwards nobody would need one"
    if gate.free_exit and not seen:
        yield "key gate.free_exit: the way out is known by a second beam only, gpio.passage_2"


def _cameras(config: Config) -> Iterator[str]:
    names = [camera.name for camera in config.camera]
    if len(set(names)) != len(names) or len(names) > 2:
        yield "key camera: one or two cameras, each with its own name"
    if not names and config.scan_engine is None:
        yield "key camera: a gate without a camera needs a table [scan_engine]"
    serving = {camera.serves for camera in config.camera}
    if serving == {"face"} and config.scan_engine is None:
        yield "key camera.serves: no camera serves codes"
    if config.face is not None and not serving & {"face", "both"}:
        yield "key camera.serves: [face] needs a camera that serves faces"
    webcams = [camera for camera in config.camera if camera.driver == "v4l2"]
    places = [camera.device or camera.index for camera in webcams]
    if len(set(places)) != len(places):
        yield "key camera.device: two webcams, and both are the same one"
    for camera in config.camera:
        if (camera.device or camera.format != "auto") and camera.driver != "v4l2":
            name = "device" if camera.device else "format"
            yield f'key camera.{name}: it is for driver = "v4l2"'
        if camera.device and not camera.device.startswith("/dev/"):
            yield "key camera.device: a path below /dev, such as /dev/v4l/by-id/..."
        if camera.timeout_s * camera.fps <= 1:
            yield (
                f"key camera.timeout_s: camera {camera.name} brings a frame each "
                f"{1 / camera.fps:g} s; it must wait longer than that"
            )


def _engine(config: Config) -> Iterator[str]:
    engine = config.scan_engine
    if engine is None:
        return
    if engine.driver != "simulated" and not engine.port:
        yield "key scan_engine.port: the engine's device, as /dev/serial/by-id names it"
    if engine.driver == "simulated" and not config.simulation.codes_file:
        yield "key simulation.codes_file: a simulated scan engine reads its codes there"
    if engine.model != "generic" and (engine.start_commands or engine.start_answers):
        yield 'key scan_engine.start_commands: they are for model = "generic"'
    if engine.start_answers and len(engine.start_answers) != len(engine.start_commands):
        yield "key scan_engine.start_answers: one for each of the start_commands"
    for field in ("start_commands", "start_answers"):
        if not all(HEX.fullmatch(text) for text in getattr(engine, field)):
            yield f"key scan_engine.{field}: bytes in hexadecimal, 64 at most each"
    if not (engine.prefix + engine.suffix).isascii() or len(engine.prefix + engine.suffix) > 64:
        yield "key scan_engine.suffix: prefix and suffix are ASCII, 64 characters at most together"
    if engine.driver == "hid" and engine.suffix != "\r":
        yield 'key scan_engine.suffix: a keyboard ends a payload with Enter, "\\r"'
    taken = {
        "finger.port": config.finger.port if config.finger else "",
        "gpio.osdp_port": config.gpio.osdp_port if config.gpio.output == "osdp" else "",
    }
    for key, port in taken.items():
        if engine.port and engine.port == port:
            yield f"key scan_engine.port: {port} is already {key}; every device needs its own"


def _cards(config: Config) -> Iterator[str]:
    gpio = config.gpio
    if gpio.output.startswith("wiegand") and None in (gpio.wiegand_d0, gpio.wiegand_d1):
        yield "key gpio.wiegand_d0: Wiegand needs wiegand_d0 and wiegand_d1"
    if gpio.output == "osdp" and not gpio.osdp_port:
        yield "key gpio.osdp_port: OSDP needs a serial port"
    if gpio.output == "osdp" and not gpio.osdp_key_file:
        yield "key gpio.osdp_key_file: OSDP needs a file with the secure channel key"


def _trust(config: Config) -> Iterator[str]:
    if config.trust.url and not config.trust.signed:
        yield "key trust.url: only signed sets are fetched: trust.signed = true"
    if config.trust.ca and not config.trust.url.startswith("https://"):
        yield "key trust.ca: it is for an https trust.url"


def _broker(config: Config) -> Iterator[str]:
    mqtt = config.mqtt
    if mqtt is None:
        return
    if mqtt.collector_key and not COLLECTOR_KEY.fullmatch(mqtt.collector_key):
        yield (
            "key mqtt.collector_key: 64 hexadecimal digits are needed, in small letters, as "
            "`idgate fleet collect` says them at its start"
        )
    try:
        _, _, tls = parse_url(mqtt.url)
    except ValueError as error:
        yield f"key mqtt.url: {error}"
        return
    for name in ("ca_file", "cert_file", "key_file"):
        if getattr(mqtt, name) and not tls:
            yield f"key mqtt.{name}: nothing is encrypted with mqtt://; the url needs mqtts://"
    if bool(mqtt.cert_file) != bool(mqtt.key_file):
        missing = "key_file" if mqtt.cert_file else "cert_file"
        yield f"key mqtt.{missing}: a client certificate needs both cert_file and key_file"
