"""The command set of Grow's GM65 and its kin (GM67, GM805, Waveshare's module): bytes only.

| what | bytes |
|---|---|
| command | `7E 00`, kind, length, address (2), data, CRC (2) |
| answer | `02 00`, kind (00 is yes), length, data, CRC (2) |
| kinds | 07 read (data: how many registers), 08 write, 09 save to the flash |

The CRC is XMODEM's (polynomial 0x1021, start 0) over everything between the first two bytes and it.
What the registers mean is from the maker's manual; those used here:

| address | meaning |
|---|---|
| 0000 | bits 0-1 mode: 0 manual, 1 on command, 2 continuous, 3 sensor |
| 0003 | bit 1: printed set-up codes are off |
| 0005 | pause between two readings, 0.1 s |
| 0013 | bit 7: the same code is held back for a while |
| 002A | speed, 2 bytes, the low one first: 0139 is 9,600, 001A is 115,200 |
| 003F | bit 0: QR is read |
| 00D0 | bit 7: AIM identifiers are sent |
"""

from __future__ import annotations

import binascii
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

__all__ = [
    "BAUDS", "FACTORY_BAUD", "MODES", "RESTING", "Kind", "Register", "Setting", "answer",
    "command", "read_answer", "settings",
]  # fmt: skip

COMMAND_HEAD: Final = b"\x7e\x00"
ANSWER_HEAD: Final = b"\x02\x00"
FACTORY_BAUD: Final = 9_600
BAUDS: Final = {
    9_600: b"\x39\x01", 19_200: b"\x9c\x00", 38_400: b"\x4e\x00", 57_600: b"\x34\x00",
    115_200: b"\x1a\x00",
}  # fmt: skip
"""Speeds, and what register 002A holds for them (3 MHz by the speed)."""


class Kind(IntEnum):
    """What a command does."""

    READ = 0x07
    WRITE = 0x08
    SAVE = 0x09


class Register(IntEnum):
    """Addresses of the registers used here."""

    MODE = 0x0000
    TRIGGER = 0x0002
    SETUP_CODES = 0x0003
    PAUSE = 0x0005
    SAME_CODE = 0x0013
    BAUD = 0x002A
    QR = 0x003F
    AIM = 0x00D0


MODE_BITS: Final = 0x03
ON_COMMAND: Final = 0x01
MODES: Final = {"continuous": 0x02, "sensor": 0x03}
SETUP_CODES_OFF: Final = 0x02
AIM_ON: Final = 0x80
SAME_CODE_HELD: Final = 0x80
PAUSE_TENTHS: Final = 3
"""0.3 s: a code that stays in view is told thrice a second, and is known to have left soon."""


@dataclass(frozen=True, slots=True)
class Setting:
    """Bits of a register that must have a value.

    Attributes:
        register: its address.
        mask: which bits.
        value: of those bits.
        words: what it says, for the operator.
        needed: whether an engine that does not keep it is not used.
    """

    register: Register
    mask: int
    value: int
    words: str
    needed: bool = True

    def holds(self, found: int) -> bool:
        """Tell whether a register's value has it."""
        return found & self.mask == self.value

    def put(self, found: int) -> int:
        """Return the register's value with it."""
        return found & ~self.mask & 0xFF | self.value


RESTING: Final = Setting(Register.MODE, MODE_BITS, ON_COMMAND, "mode on command")
"""What keeps it from reading codes while it is asked."""
_ALWAYS: Final = (
    Setting(Register.SETUP_CODES, SETUP_CODES_OFF, SETUP_CODES_OFF, "printed set-up codes off"),
    Setting(Register.PAUSE, 0xFF, PAUSE_TENTHS, "0.3 s between two readings", needed=False),
    Setting(Register.SAME_CODE, SAME_CODE_HELD, 0, "the same code told again", needed=False),
    Setting(Register.QR, 0x01, 0x01, "QR read"),
)


def settings(*, mode: str, aim: bool) -> tuple[Setting, ...]:
    """Return what must hold while the engine serves; the mode comes last.

    Args:
        mode: `continuous` or `sensor`.
        aim: whether identifiers are wanted.
    """
    identifiers = Setting(
        Register.AIM, AIM_ON, AIM_ON * aim, f"AIM identifiers {'on' if aim else 'off'}"
    )
    reading = Setting(Register.MODE, MODE_BITS, MODES[mode], f"mode {mode}")
    return (*_ALWAYS, identifiers, reading)


def _crc(body: bytes) -> bytes:
    return binascii.crc_hqx(body, 0).to_bytes(2, "big")


def command(kind: Kind, address: int, data: bytes) -> bytes:
    """Return a command's bytes; `data` has 1 to 255."""
    body = bytes([kind, len(data)]) + address.to_bytes(2, "big") + data
    return COMMAND_HEAD + body + _crc(body)


def answer(data: bytes, kind: int = 0) -> bytes:
    """Return an answer's bytes."""
    body = bytes([kind, len(data)]) + data
    return ANSWER_HEAD + body + _crc(body)


def read_answer(data: bytes, size: int) -> bytes | None:
    """Return what a whole answer of `size` bytes at the start says; None where there is none.

    An answer that says no, has another length or a wrong sum is none.
    """
    end = 4 + size
    body = data[2:end]
    if data[:4] != ANSWER_HEAD + bytes([0, size]) or data[end : end + 2] != _crc(body):
        return None
    return body[2:]
