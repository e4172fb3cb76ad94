"""Base45 as RFC 9285 has it, strictly.

Rules:
- only the 45 characters of a QR code's alphanumeric mode; lower case is refused;
- no group may stand for more than its bytes hold (65535 for three characters, 255 for two);
- one character left over is refused.

Decoding works on whole columns at once: the first, second and third characters of all groups become
three big integers with a 32-bit lane for each group, so that one multiplication weighs them all.
"""

from __future__ import annotations

from typing import Final

from agent.credential.model import Rejected
from agent.reason import Reason

__all__ = ["ALPHABET", "decode", "encode"]

ALPHABET: Final = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:"

_DIGITS: Final = bytes(max(ALPHABET.find(character), 0) for character in range(256))


def decode(text: bytes) -> bytes:
    """Decode base45.

    Args:
        text: ASCII characters of the alphabet.

    Raises:
        Rejected: `malformed`.
    """
    if text.translate(None, ALPHABET):
        raise Rejected(Reason.MALFORMED, "base45: a character outside the alphabet")
    groups, rest = divmod(len(text), 3)
    if rest == 1:
        raise Rejected(Reason.MALFORMED, "base45: a character left over")
    digits = text.translate(_DIGITS)
    full = groups * 3
    least, middle, high = (_lanes(digits[place:full:3]) for place in range(3))
    lanes = (least + 45 * middle + 2025 * high).to_bytes(groups * 4, "big")
    out = bytearray(groups * 2)
    out[0::2] = lanes[2::4]
    out[1::2] = lanes[3::4]
    if lanes[1::4].count(0) != groups:
        raise Rejected(Reason.MALFORMED, "base45: a group over 65535")
    if rest:
        last = digits[full] + 45 * digits[full + 1]
        if last > 255:
            raise Rejected(Reason.MALFORMED, "base45: a last group over 255")
        out.append(last)
    return bytes(out)


def _lanes(column: bytes) -> int:
    """Return an integer whose 32-bit lanes are the bytes of `column`."""
    spread = bytearray(len(column) * 4)
    spread[3::4] = column
    return int.from_bytes(spread, "big")


def encode(data: bytes) -> str:
    """Encode bytes; the inverse of `decode`."""
    out = bytearray()
    for at in range(0, len(data) - 1, 2):
        high, low = divmod(data[at] << 8 | data[at + 1], 45 * 45)
        middle, least = divmod(low, 45)
        out += bytes((ALPHABET[least], ALPHABET[middle], ALPHABET[high]))
    if len(data) % 2:
        middle, least = divmod(data[-1], 45)
        out += bytes((ALPHABET[least], ALPHABET[middle]))
    return out.decode("ascii")
