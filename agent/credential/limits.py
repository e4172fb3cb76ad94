"""Limits of credential reading, all enforced before the work that they bound.

A phone is held up by anybody, so every number here is a promise about the time and memory that a
hostile code can cost. `tests/agent/credential/test_bounds.py` holds the whole reader against them.
"""

from __future__ import annotations

from typing import Final

__all__ = [
    "CBOR_DEPTH",
    "CBOR_ITEMS",
    "DIGITS",
    "IDENTIFIER_BYTES",
    "INFLATED_BYTES",
    "INFLATED_BYTES_AADHAAR",
    "ISSUER_KEYS",
    "LATEST_TIME",
    "PAYLOAD_BYTES",
    "SD_DIGESTS",
    "SD_DISCLOSURES",
    "SHORT_KID_BYTES",
    "SITE_KEYS",
    "STATUS_INDEX",
]

PAYLOAD_BYTES: Final = 4_296
"""A QR code of version 40-L in alphanumeric mode, the most that one symbol holds but for digits."""

DIGITS: Final = 7_089
"""The same symbol in numeric mode."""

INFLATED_BYTES: Final = 16 * 1024
"""What zlib, gzip or Brotli may unpack to."""

INFLATED_BYTES_AADHAAR: Final = 64 * 1024
"""Aadhaar Secure QR carries a JPEG 2000 photo."""

CBOR_DEPTH: Final = 8
"""Arrays, maps and tags inside each other; a byte string that holds CBOR starts anew."""

CBOR_ITEMS: Final = 512
"""Items in one piece of CBOR. The richest code published has 130; a code is parsed four times at
most before its signature is checked, and each time costs no more than checking one."""

ISSUER_KEYS: Final = 8
"""Keys that are tried where several fit one code."""

SHORT_KID_BYTES: Final = 4
"""Of a key's id in version 2 of the native profile: its first ones. Two keys that share them cost
a try each, and nothing else."""

SITE_KEYS: Final = 8
"""Site keys that are tried on an encrypted code."""

IDENTIFIER_BYTES: Final = 64
"""Longest `cti`, `kid` and `cnonce`."""

SD_DIGESTS: Final = 64
"""Digests of redacted claims in one credential."""

SD_DISCLOSURES: Final = 32
"""Disclosures in one code."""

LATEST_TIME: Final = 253_402_300_799
"""9999-12-31T23:59:59Z, the last second that the calendar of the logs can name."""

STATUS_INDEX: Final = 2**32
"""A Token Status List index is below this."""
