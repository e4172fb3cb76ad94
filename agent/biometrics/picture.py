"""Pictures of strangers: opened only after their size is known, in one named format, in bounds.

Rules:
- The format is the one that the first bytes say, one of five; Pillow is given that one alone.
- Width, height, and what makes a decoder work or allocate without end, are read from the header
  here, before a decoder is built: some allocate the whole picture when they are opened.
  WebP (RFC 9649) allocates its canvas, JPEG 2000 (ISO/IEC 15444-1) its tiles; a JPEG (ISO/IEC
  10918-1) may have thousands of scans, each a pass over the whole picture.
- Every failure is `reference_invalid` with what was wrong; a truncated picture is a failure.
"""

from __future__ import annotations

import io
import struct
import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agent.biometrics.errors import FaceRejected
from agent.reason import Reason

__all__ = ["CREDENTIAL_LIMITS", "FILE_LIMITS", "PictureLimits", "open_picture", "sniff"]

Rgb = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class PictureLimits:
    """How large a picture may be.

    Attributes:
        file_bytes: most bytes of the file.
        side_px: most pixels of a side.
        scans: most scans of a progressive JPEG.
        tiles: most tiles of a JPEG 2000.
    """

    file_bytes: int
    side_px: int
    scans: int = 64
    tiles: int = 64


CREDENTIAL_LIMITS = PictureLimits(file_bytes=64 << 10, side_px=1024)
"""For a picture in a credential, whoever signed it."""
FILE_LIMITS = PictureLimits(file_bytes=64 << 20, side_px=12_000, scans=200, tiles=4096)
"""For a picture file that the operator names."""


def sniff(data: bytes) -> str:
    """Return Pillow's name of the format that the first bytes say.

    Raises:
        FaceRejected: none of WEBP, AVIF, JPEG, JPEG2000 and PNG.
    """
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    if data[4:8] == b"ftyp" and b"avif" in data[8:40]:
        return "AVIF"
    if data[:3] == b"\xff\xd8\xff":
        return "JPEG"
    if data[:4] == b"\xff\x4f\xff\x51" or data[4:12] == b"jP  \r\n\x87\n":
        return "JPEG2000"
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        return "PNG"
    raise _invalid("not a WebP, AVIF, JPEG, JPEG 2000 or PNG picture")


def open_picture(data: bytes, limits: PictureLimits = CREDENTIAL_LIMITS) -> Rgb:
    """Decode a picture.

    Args:
        data: the file.
        limits: what is refused before decoding.

    Returns:
        (H, W, 3) uint8 RGB, transparent parts on grey, turned as its EXIF orientation says.

    Raises:
        FaceRejected: `reference_invalid`.
    """
    if len(data) > limits.file_bytes:
        raise _invalid(f"picture file has {len(data)} bytes, allowed are {limits.file_bytes}")
    kind = sniff(data)
    _check_header(kind, data, limits)
    from PIL import Image, ImageOps

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with Image.open(io.BytesIO(data), formats=[kind]) as image:
                _check_size(image.width, image.height, limits)
                if getattr(image, "n_frames", 1) != 1:
                    raise _invalid("picture is animated")
                upright = ImageOps.exif_transpose(image)
                if "A" in upright.getbands() or "transparency" in upright.info:
                    backed = Image.new("RGBA", upright.size, (128, 128, 128, 255))
                    backed.alpha_composite(upright.convert("RGBA"))
                    upright = backed
                return np.array(upright.convert("RGB"), dtype=np.uint8)
        except FaceRejected:
            raise
        except (OSError, ValueError, SyntaxError, EOFError, KeyError, IndexError, TypeError,
                struct.error, ArithmeticError, MemoryError, RuntimeError,
                Image.DecompressionBombError) as error:  # fmt: skip
            raise _invalid(f"{kind} cannot be decoded ({type(error).__name__})") from None


def _check_header(kind: str, data: bytes, limits: PictureLimits) -> None:
    """Refuse what a decoder would choke on when it is merely opened."""
    try:
        if kind == "WEBP":
            _check_size(*_webp_size(data), limits)
        elif kind == "JPEG2000":
            _check_jpeg2000(data, limits)
        elif kind == "JPEG" and data.count(b"\xff\xda") > limits.scans:
            raise _invalid(f"JPEG has more than {limits.scans} scans")
    except (struct.error, IndexError):
        raise _invalid(f"{kind} header is cut off") from None


def _check_size(width: int, height: int, limits: PictureLimits) -> None:
    if not (0 < width <= limits.side_px and 0 < height <= limits.side_px):
        raise _invalid(f"picture is {width}x{height}, allowed are {limits.side_px} a side")


def _webp_size(data: bytes) -> tuple[int, int]:
    """Return width and height of the canvas (RFC 9649, 2.5 to 2.7)."""
    chunk = data[12:16]
    if chunk == b"VP8X":
        if data[20] & 2:
            raise _invalid("picture is animated")
        sides = [int.from_bytes(data[at : at + 3], "little") + 1 for at in (24, 27)]
        if len(data) < 30:
            raise _invalid("WEBP header is cut off")
        return sides[0], sides[1]
    if chunk == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if chunk == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    raise _invalid("WEBP without a picture")


def _check_jpeg2000(data: bytes, limits: PictureLimits) -> None:
    """Refuse sizes, tiles, components and resolutions out of proportion (15444-1, A.5.1, A.6.1)."""
    start = data.find(b"\xff\x4f\xff\x51")
    if start < 0:
        raise _invalid("JPEG 2000 without a codestream")
    fields = struct.unpack_from(">HHIIIIIIIIH", data, start + 4)
    _, _, right, bottom, left, top, tile_w, tile_h, tile_x, tile_y, components = fields
    _check_size(right - left, bottom - top, limits)
    if tile_w == 0 or tile_h == 0 or tile_x > left or tile_y > top:
        raise _invalid("JPEG 2000 tiles are malformed")
    tiles = -(-(right - tile_x) // tile_w) * -(-(bottom - tile_y) // tile_h)
    if tiles > limits.tiles or max(right, bottom) > 4 * limits.side_px:
        raise _invalid(f"JPEG 2000 has {tiles} tiles, allowed are {limits.tiles}")
    if not 1 <= components <= 4:
        raise _invalid(f"JPEG 2000 has {components} components")
    sampling = data[start + 42 : start + 42 + 3 * components]
    if len(sampling) < 3 * components or 0 in sampling[1::3] or 0 in sampling[2::3]:
        raise _invalid("JPEG 2000 components are malformed")
    style = data.find(b"\xff\x52", start)
    if style < 0 or data[style + 9] > MAX_RESOLUTIONS:
        raise _invalid("JPEG 2000 coding style is missing or absurd")


MAX_RESOLUTIONS = 10


def _invalid(detail: str) -> FaceRejected:
    return FaceRejected(Reason.REFERENCE_INVALID, detail)
