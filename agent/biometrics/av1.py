"""How large the frames of an AV1 bitstream may be, by its sequence headers.

Standard: AV1 Bitstream & Decoding Process Specification, 5.3 (OBU), 5.5 (sequence header). A frame
may be smaller than its sequence header says, never larger.
"""

from __future__ import annotations

from collections.abc import Iterator

__all__ = ["coded_sizes"]

_SEQUENCE_HEADER = 1
_RESERVED = {0, *range(9, 15)}
_MAX_OBUS = 512


def coded_sizes(stream: bytes) -> Iterator[tuple[int, int]]:
    """Yield width and height of each sequence header.

    Args:
        stream: OBUs one after the other. Of a file's whole media data the first is enough where
            something else follows: reading ends at what is no OBU.

    Raises:
        EOFError: a sequence header is cut off.
    """
    at = 0
    for _ in range(_MAX_OBUS):
        if at >= len(stream):
            return
        head = stream[at]
        kind, extended, sized = head >> 3 & 15, head & 4, head & 2
        at += 2 if extended else 1
        if head & 0x80 or kind in _RESERVED:
            return
        length, at = _leb128(stream, at) if sized else (len(stream) - at, at)
        if kind == _SEQUENCE_HEADER:
            yield _max_frame_size(_Bits(stream[at : at + length]))
        at += length


def _leb128(stream: bytes, at: int) -> tuple[int, int]:
    """Return the number (4.10.5) and where it ends."""
    value = 0
    for place in range(8):
        if at >= len(stream):
            raise EOFError
        byte = stream[at]
        at += 1
        value |= (byte & 0x7F) << 7 * place
        if not byte & 0x80:
            break
    return value, at


class _Bits:
    """Reads bits, the highest first."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data[:512], "big")
        self._left = 8 * min(len(data), 512)

    def take(self, count: int) -> int:
        """Return the next bits as a number."""
        self._left -= count
        if self._left < 0:
            raise EOFError
        return self._value >> self._left & (1 << count) - 1

    def skip_uvlc(self) -> None:
        """Pass over a variable-length number (4.10.3)."""
        zeros = 0
        while not self.take(1):
            zeros += 1
        self.take(zeros if zeros < 32 else 0)


def _max_frame_size(bits: _Bits) -> tuple[int, int]:
    """Return what `max_frame_width_minus_1` and its like say (5.5.1)."""
    bits.take(3 + 1)  # profile, still picture
    if bits.take(1):  # reduced still picture header
        bits.take(5)
    else:
        _skip_operating_points(bits)
    width_bits, height_bits = bits.take(4) + 1, bits.take(4) + 1
    return bits.take(width_bits) + 1, bits.take(height_bits) + 1


def _skip_operating_points(bits: _Bits) -> None:
    delay_bits = 0
    model = 0
    if bits.take(1):  # timing info
        bits.take(64)
        if bits.take(1):  # equal picture interval
            bits.skip_uvlc()
        model = bits.take(1)
        if model:
            delay_bits = bits.take(5) + 1
            bits.take(32 + 5 + 5)
    delays = bits.take(1)
    for _ in range(bits.take(5) + 1):
        bits.take(12)
        if bits.take(5) > 7:  # a level with tiers
            bits.take(1)
        if model and bits.take(1):
            bits.take(2 * delay_bits + 1)
        if delays and bits.take(1):
            bits.take(4)
