"""Frames of the serial protocol of R30x, R503 and ZFM modules.

    EF01 | address 4 | kind 1 | length 2 (payload + 2) | payload | sum 2 (from kind on)

Rules:
- The sum is modulo 65536.
- Bytes before a start code are passed over: a module says 0x55 when it has started.
- A frame whose sum, length or kind is wrong is an error, never half believed.
- A length over what the protocol knows is refused before anything is waited for.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

__all__ = ["LONGEST_PAYLOAD", "START", "Frame", "FrameError", "FrameReader", "Kind", "encode"]

START: Final = b"\xef\x01"
BROADCAST: Final = b"\xff\xff\xff\xff"
HEAD: Final = 9
LONGEST_PAYLOAD: Final = 256


class Kind(IntEnum):
    """What a frame carries."""

    COMMAND = 0x01
    DATA = 0x02
    ACK = 0x07
    END = 0x08


class FrameError(ValueError):
    """What was received is no sound frame."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame.

    Attributes:
        kind: what it carries.
        payload: 0 to 256 bytes.
        address: 4 bytes.
    """

    kind: Kind
    payload: bytes = field(repr=False)
    address: bytes = BROADCAST


def encode(kind: Kind, payload: bytes, address: bytes = BROADCAST) -> bytes:
    """Return the bytes of a frame.

    Raises:
        FrameError: the payload is longer than the protocol knows.
    """
    if len(payload) > LONGEST_PAYLOAD:
        raise FrameError(f"{len(payload)} bytes of payload, {LONGEST_PAYLOAD} at most")
    body = bytes([kind]) + (len(payload) + 2).to_bytes(2, "big") + payload
    return START + address + body + (sum(body) & 0xFFFF).to_bytes(2, "big")


class FrameReader:
    """Finds frames in a stream of bytes.

    Attributes:
        passed_over: bytes that belonged to no frame.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self.passed_over = 0

    def feed(self, data: bytes) -> None:
        """Take received bytes."""
        self._buffer += data

    def clear(self) -> None:
        """Forget what was received."""
        self._buffer.clear()

    def next(self) -> Frame | None:
        """Return the next whole frame, or None until more bytes come.

        Raises:
            FrameError: a frame is unsound; it has been passed over.
        """
        self._find_start()
        buffer = self._buffer
        if len(buffer) < HEAD:
            return None
        length = int.from_bytes(buffer[7:9], "big")
        if not 2 <= length <= LONGEST_PAYLOAD + 2:
            self._pass_over(len(START))
            raise FrameError(f"a frame claims {length} bytes")
        if len(buffer) < HEAD + length:
            return None
        raw = bytes(buffer[: HEAD + length])
        if sum(raw[6:-2]) & 0xFFFF != int.from_bytes(raw[-2:], "big"):
            self._pass_over(len(START))
            raise FrameError("the checksum is wrong")
        del buffer[: HEAD + length]
        try:
            kind = Kind(raw[6])
        except ValueError:
            raise FrameError(f"a frame of unknown kind 0x{raw[6]:02X}") from None
        return Frame(kind, raw[HEAD:-2], raw[2:6])

    def _find_start(self) -> None:
        at = self._buffer.find(START)
        if at < 0:
            # The last byte may be the first half of a start code.
            at = len(self._buffer) - (self._buffer[-1:] == START[:1])
        self._pass_over(at)

    def _pass_over(self, count: int) -> None:
        self.passed_over += count
        del self._buffer[:count]
