"""Base45 as RFC 9285 has it, strictly.

Rules:
- only the 45 characters of a QR code's alphanumeric mode; lower case is refused;
- no group may stand for more than its bytes hold (65535 for three characters, 255 for two);
- one character left over is refused.

Decoding works on all groups at once: the digits as they stand are one large integer with a lane of
three bytes for each group, from which masks and two multiplications make a lane for each value.
"""

from __future__ import annotations

from typing import Final

from agent.credential.limits import PAYLOAD_BYTES
from agent.credential.model import Rejected
from agent.reason import Reason

__all__ = ["ALPHABET", "decode", "encode"]

ALPHABET: Final = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:"

_OUTSIDE: Final = 255
_DIGITS: Final = bytes(ALPHABET.find(character) % 256 for character in range(256))
"""Character -> its digit, or `_OUTSIDE`."""
_LOWEST: Final = int.from_bytes(b"\x00\x00\xff" * (PAYLOAD_BYTES // 3))
"""The lowest byte of every lane."""


def decode(text: bytes) -> bytes:
    """Decode base45.

    Args:
        text: ASCII characters of the alphabet, `limits.PAYLOAD_BYTES` of them at most.

    Raises:
        Rejected: `malformed` or `too_large`.
    """
    if len(text) > PAYLOAD_BYTES:
        raise Rejected(Reason.TOO_LARGE, "base45: longer than a code can be")
    digits = text.translate(_DIGITS)
    if _OUTSIDE in digits:
        raise Rejected(Reason.MALFORMED, "base45: a character outside the alphabet")
    groups, rest = divmod(len(text), 3)
    if rest == 1:
        raise Rejected(Reason.MALFORMED, "base45: a character left over")
    full = groups * 3
    digit = int.from_bytes(digits[:full])
    # First character in the lane's highest byte, and the least significant digit (section 3).
    total = (digit >> 16 & _LOWEST) + 45 * (digit >> 8 & _LOWEST) + 2025 * (digit & _LOWEST)
    lanes = total.to_bytes(full)
    if lanes[::3].count(0) != groups:
        raise Rejected(Reason.MALFORMED, "base45: a group over 65535")
    out = bytearray(lanes)
    del out[::3]
    if rest:
        last = digits[full] + 45 * digits[full + 1]
        if last > 255:
            raise Rejected(Reason.MALFORMED, "base45: a last group over 255")
        out.append(last)
    return bytes(out)


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
    return out.decode()
