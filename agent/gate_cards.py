"""Grants for an access controller: a subject's card number over Wiegand or OSDP.

The number is derived from the subject's keyed hash, so that it says nothing about the person and
is the same at each passage. The controller learns it as it learns any card. Of 24 bits two in about
5,000 people share one; 34-bit Wiegand or OSDP (64 bits) are meant for more than a few hundred.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from agent.config import GpioConfig, secret_path
from agent.gate import CardOutput
from agent.passage_types import Signal
from hal.errors import DeviceUnavailable
from hal.gpio import Gpio
from hal.osdp import OsdpReader
from hal.wiegand import WiegandLines, encode

__all__ = ["OsdpCards", "WiegandCards", "card_number", "make_card_output", "read_key"]

_OSDP_BYTES = 8


def card_number(subject: str, bits: int) -> int:
    """Return the number that stands for a subject, `bits` wide."""
    digest = hashlib.sha256(b"idgate card\0" + subject.encode()).digest()
    return int.from_bytes(digest) >> (256 - bits)


class WiegandCards:
    """Card numbers as pulses.

    Args:
        lines: the two lines, in the gate's thread.
        bits: 26 or 34.
    """

    def __init__(self, lines: WiegandLines, bits: Literal[26, 34]) -> None:
        self._lines = lines
        self._bits: Literal[26, 34] = bits

    def present(self, subject: str) -> None:
        """Queue the subject's number."""
        self._lines.send(encode(card_number(subject, self._bits - 2), self._bits))

    def poll(self) -> None:
        """Send the next bit."""
        self._lines.poll()

    def close(self) -> None:
        """Nothing to let go of: the lines are the gate's."""


class OsdpCards:
    """Card numbers on an OSDP bus.

    Args:
        reader: the reader on the bus.
    """

    def __init__(self, reader: OsdpReader) -> None:
        self._reader = reader

    def present(self, subject: str) -> None:
        """Send the subject's number.

        Raises:
            DeviceFault: no controller is there to take it.
        """
        number = card_number(subject, _OSDP_BYTES * 8)
        self._reader.present(number.to_bytes(_OSDP_BYTES))

    def poll(self) -> None:
        """Nothing: the bus has its own thread."""

    def close(self) -> None:
        """Leave the bus."""
        self._reader.close()


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
