"""Unpacking with a ceiling: zlib, raw deflate, gzip and Brotli.

Rules:
- the output is capped before it is made: a bomb costs one buffer, not its size;
- the stream must be complete, and nothing may follow it;
- the one error is `Rejected`: `too_large` over the cap, `malformed` otherwise.

Standards: RFC 1950 (zlib), RFC 1951 (deflate), RFC 1952 (gzip), RFC 7932 (Brotli).
"""

from __future__ import annotations

import zlib

from agent.credential.limits import INFLATED_BYTES
from agent.credential.model import Rejected
from agent.reason import Reason

__all__ = ["brotli", "gzip", "is_zlib", "raw_deflate", "unzlib"]


def is_zlib(data: bytes) -> bool:
    """Return whether `data` opens with a zlib header: deflate, a window, a check that fits."""
    return len(data) > 2 and data[0] & 0x8F == 8 and (data[0] << 8 | data[1]) % 31 == 0


def unzlib(data: bytes, *, limit: int = INFLATED_BYTES) -> bytes:
    """Inflate a zlib stream.

    Args:
        data: one whole stream.
        limit: most bytes to make.

    Raises:
        Rejected: `too_large` or `malformed`.
    """
    return _deflated(data, zlib.MAX_WBITS, limit)


def raw_deflate(data: bytes, *, limit: int = INFLATED_BYTES) -> bytes:
    """Inflate a raw deflate stream; see `unzlib`."""
    return _deflated(data, -zlib.MAX_WBITS, limit)


def gzip(data: bytes, *, limit: int = INFLATED_BYTES) -> bytes:
    """Inflate a gzip stream of one member; see `unzlib`."""
    return _deflated(data, zlib.MAX_WBITS + 16, limit)


def _deflated(data: bytes, window_bits: int, limit: int) -> bytes:
    stream = zlib.decompressobj(window_bits)
    try:
        # One byte over the limit tells "just full" from "too much".
        out = stream.decompress(data, limit + 1)
    except zlib.error:
        raise Rejected(Reason.MALFORMED, "compressed data is damaged") from None
    if len(out) > limit:
        raise Rejected(Reason.TOO_LARGE, f"unpacks to more than {limit} bytes")
    if not stream.eof:
        raise Rejected(Reason.MALFORMED, "compressed data is cut short")
    if stream.unused_data:
        raise Rejected(Reason.MALFORMED, "bytes after the compressed data")
    return out


def brotli(data: bytes, *, limit: int = INFLATED_BYTES) -> bytes:
    """Unpack a Brotli stream; see `unzlib`."""
    import brotli as library

    stream = library.Decompressor()
    try:
        # The library stops at or over the limit, never short of it while there is more to come.
        out: bytes = stream.process(data, output_buffer_limit=limit + 1)
    except library.error:
        # The library reports bytes after the stream in the same way.
        raise Rejected(Reason.MALFORMED, "compressed data is damaged") from None
    if len(out) > limit:
        raise Rejected(Reason.TOO_LARGE, f"unpacks to more than {limit} bytes")
    if not stream.is_finished():
        raise Rejected(Reason.MALFORMED, "compressed data is cut short")
    return out
