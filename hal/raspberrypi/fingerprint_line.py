"""The Adafruit fingerprint driver with a sound line under it.

adafruit-circuitpython-fingerprint knows the commands; its receiving side believes too much: sums
are not checked, a late answer is taken for the next command's, one stray byte shifts everything,
transfers drop a tail, refusals end in UnboundLocalError. Here its four line methods, and what it
builds on them wrongly, are replaced.

Rules:
- Before a command goes out, whatever came in is thrown away.
- An answer is a whole frame with a right sum, of kind ACK, from our address, and as long as this
  command's answer is; a refusal may be shorter, as some makers send it.
- After a doubt, `barrier` asks for the parameters and passes over everything until exactly that
  answer comes: a module answers in order, so nothing older can follow it.
- A transfer to the module ends with an END frame whatever its length, and with a barrier, since a
  module does not acknowledge it.
"""

from __future__ import annotations

import time
from typing import Any, Final

from adafruit_fingerprint import Adafruit_Fingerprint
from serial import Serial

from hal.fingerprint import SensorRefused
from hal.fingerprint_frame import BROADCAST, Frame, FrameError, FrameReader, Kind, encode

__all__ = ["FramedFingerprint"]

OVERHEAD: Final = 11
"""Bytes of an answer beside its payload."""
BITS_A_BYTE: Final = 10
LONGEST_TEMPLATE: Final = 8_192
LONGEST_PICTURE: Final = 65_536
"""Bytes, over what any known module sends: a foreign one must not feed us for ever."""
_READ_PARAMETERS: Final = 0x0F
_READ_INDEX: Final = 0x1F
_BARRIERS: Final = {_READ_PARAMETERS: (b"\x0f", 17), _READ_INDEX: (b"\x1f\x00", 33)}
_SLOW: Final = {0x02: 2, 0x04: 3, 0x0D: 3}
"""Commands (extract, search, empty) that may take so many times as long as others."""
_END_OF_TRANSFER: Final = encode(Kind.END, b"")


class FramedFingerprint(Adafruit_Fingerprint):  # type: ignore[misc]
    """The driver, on a line that proves what it hands up.

    It does not speak when it is made, where the base does and cannot say why that failed.

    Args:
        uart: the open port; its own timeout is not used.
        password: 4 bytes.
        answer_s: how long a command may take to answer, beside its bytes.
    """

    confidence: int

    def __init__(self, uart: Serial, password: bytes, *, answer_s: float) -> None:
        self._frames = FrameReader()
        self._answer_s = answer_s
        self._last = 0
        uart.timeout = 0
        uart.write_timeout = 10.0
        self._uart = uart
        self.password = tuple(password)

    def hello(self) -> int:
        """Verify the password on a line of unknown state; return the confirmation.

        Raises:
            TimeoutError, FrameError, SerialException: no module answers.
        """
        try:
            return int(self.verify_password())
        except (FrameError, TimeoutError):
            # Half a frame from before, or a module that waits for the rest of a template.
            self.end_transfer()
            self.barrier(self._answer_s)
            return int(self.verify_password())

    @property
    def packet_bytes(self) -> int:
        """Size of a data packet's payload.

        Raises:
            FrameError: the module says a size that no module has.
        """
        if self.data_packet_size not in range(4):
            raise FrameError(f"the module claims packet size {self.data_packet_size}")
        return 32 << int(self.data_packet_size)

    # -- what the driver's commands stand on -------------------------------------------------------

    def _send_packet(self, data: list[int]) -> None:
        self._last = data[0]
        self._uart.reset_input_buffer()
        self._frames.clear()
        self._uart.write(encode(Kind.COMMAND, bytes(data)))

    def _get_packet(self, expected: int) -> list[int]:
        patience_s = self._answer_s * _SLOW.get(self._last, 1)
        payload = self._next(Kind.ACK, patience_s + self._line_s(expected)).payload
        size = expected - OVERHEAD
        if len(payload) == size:
            return list(payload)
        if payload and payload[0]:
            return [payload[0], *bytes(size - 1)]
        raise FrameError(f"an answer of {len(payload)} bytes where {size} belong")

    def _get_data(self, expected: int) -> list[int]:  # noqa: ARG002 - the base's signature
        found, strays = bytearray(), self._frames.passed_over
        longest = LONGEST_PICTURE if self._last == 0x0A else LONGEST_TEMPLATE
        until = time.monotonic() + self._answer_s + 2 * self._line_s(longest)
        while True:
            patience_s = self._answer_s + self._line_s(self.packet_bytes)
            frame = self._next(None, min(patience_s, until - time.monotonic()))
            if frame.kind not in {Kind.DATA, Kind.END}:
                raise FrameError(f"a frame of kind {frame.kind.name} in a transfer")
            if self._frames.passed_over != strays:
                raise FrameError("bytes between the frames of a transfer: one may be lost")
            found += frame.payload
            if len(found) > longest or time.monotonic() > until:
                raise FrameError("a transfer without an end")
            if frame.kind is Kind.END:
                return list(found)

    def _send_data(self, data: list[int]) -> None:
        size, raw = self.packet_bytes, bytes(data)
        parts = [raw[at : at + size] for at in range(0, len(raw), size)] or [b""]
        frames = [encode(Kind.DATA, part) for part in parts[:-1]]
        frames.append(encode(Kind.END, parts[-1]))
        whole = b"".join(frames)
        self._uart.write(whole)
        self.barrier(self._answer_s + self._line_s(len(whole)))

    def get_fpdata(self, sensorbuffer: str = "char", slot: int = 1) -> list[int]:
        """Read a buffer.

        Raises:
            SensorRefused: the module answers no, where the base trips over its own feet.
        """
        self._send_packet([0x0A] if sensorbuffer == "image" else [0x08, slot])
        code = self._get_packet(12)[0]
        if code:
            raise SensorRefused("upload", code)
        return self._get_data(9)

    def send_fpdata(self, data: list[int], sensorbuffer: str = "char", slot: int = 1) -> bool:
        """Send a buffer.

        Raises:
            SensorRefused: the module answers no, where the base says True.
        """
        self._send_packet([0x0B] if sensorbuffer == "image" else [0x09, slot])
        code = self._get_packet(12)[0]
        if code:
            raise SensorRefused("download", code)
        self._send_data(data)
        return True

    def compare_templates(self) -> int:
        """Compare both buffers; leaves a number in `confidence`, where the base leaves a tuple."""
        self._send_packet([0x03])
        answer = self._get_packet(14)
        self.confidence = int.from_bytes(bytes(answer[1:3]), "big")
        return answer[0]

    # -- what the driver lacks ---------------------------------------------------------------------

    def simple(self, *command: int) -> int:
        """Send a command whose answer is a confirmation only; return that."""
        self._send_packet(list(command))
        return self._get_packet(12)[0]

    def read_note(self, page: int) -> tuple[int, bytes]:
        """Return confirmation and 32 bytes of a page of the notepad."""
        self._send_packet([0x19, page])
        answer = self._get_packet(44)
        return answer[0], bytes(answer[1:])

    def barrier(self, timeout_s: float) -> None:
        """Make sure that the module listens, and that no older answer can still come.

        Raises:
            TimeoutError: it does not answer.
            SerialException: the port is gone.
        """
        # An older answer to the very question could be mistaken for this one's.
        code = _READ_INDEX if self._last == _READ_PARAMETERS else _READ_PARAMETERS
        command, size = _BARRIERS[code]
        self._last = code
        self._frames.clear()
        self._uart.write(encode(Kind.COMMAND, command))
        until = time.monotonic() + timeout_s
        while True:
            try:
                frame = self._next(Kind.ACK, until - time.monotonic())
            except FrameError:
                if time.monotonic() > until:
                    raise
                continue
            if len(frame.payload) == size and not frame.payload[0]:
                return
            if frame.payload and frame.payload[0] == 0x21:
                # It asks for the password: nothing older than its power-up can come.
                return
            if time.monotonic() > until:
                raise TimeoutError("answers to everything but the question")

    def end_transfer(self) -> None:
        """Release a module that waits for the rest of a template; others pass over it."""
        self._uart.write(_END_OF_TRANSFER)

    # -- the line ----------------------------------------------------------------------------------

    def _line_s(self, count: int) -> float:
        return count * BITS_A_BYTE / float(self._uart.baudrate)

    def _next(self, kind: Kind | None, timeout_s: float) -> Frame:
        until = time.monotonic() + timeout_s
        while True:
            frame = self._frames.next()
            if frame is not None:
                # No sum covers the address: a wrong one is a damaged frame, not another module's.
                if frame.address != BROADCAST:
                    raise FrameError("a frame from another address")
                if kind is None or frame.kind is kind:
                    return frame
                raise FrameError(f"a frame of kind {frame.kind.name} for an answer")
            left = until - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"no answer to command 0x{self._last:02X} in time")
            self._uart.timeout = left
            # One byte wakes; the rest of what is there comes along.
            self._frames.feed(self._uart.read(1) + self._read_waiting())

    def _read_waiting(self) -> bytes:
        waiting = self._uart.in_waiting
        if not waiting:
            return b""
        data: Any = self._uart.read(waiting)
        return bytes(data)
