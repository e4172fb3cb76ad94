"""From a buffer's bytes to brightness and colour; the bytes are a stranger's.

Rules:
- A length that does not fit the size is no picture.
- A JPEG's header is read here before a decoder sees a byte: 8 bits, one component or three, and the
  size that was set. So nothing is decoded that is larger than what was asked for, and nothing
  progressive, whose scans cost time without end (ITU-T T.81, B.2).
- A JPEG that ends too early is no picture; one with wrong bits inside is one with a wrong stripe,
  which the code's own error correction may bridge.
- What is returned owns its memory: the driver's buffer is free at once.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from hal.camera import Luma, Rgb
from hal.v4l2.device import Format

__all__ = ["BadPicture", "decode"]

HEADER_AT_MOST: Final = 65_536
"""Bytes before the picture's own data: a webcam's are under 1,000."""
_SOI, _SOF0, _SOF1, _SOS = 0xD8, 0xC0, 0xC1, 0xDA
_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""Start-of-frame markers; those that are none are tables."""


class BadPicture(ValueError):
    """The bytes are no picture of this format and size."""


def decode(data: bytes, form: Format, *, colour: bool) -> tuple[Luma, Rgb | None]:
    """Return luma, (H, W) uint8, and colour, (H, W, 3) uint8 RGB, where it is wanted and there is.

    Raises:
        BadPicture: there is none; the message says why.
    """
    if form.name == "MJPG":
        return _jpeg(data, form, colour)
    pixel = {"YUYV": 2, "GREY": 1}[form.name]
    stride = form.stride or form.width * pixel
    row = form.width * pixel
    least = stride * (form.height - 1) + row
    if stride < row or len(data) < least:
        raise BadPicture(f"{len(data)} bytes, {least} are a picture")
    flat = np.frombuffer(data, dtype=np.uint8)
    rows = np.lib.stride_tricks.as_strided(
        flat, (form.height, row), (stride, 1), writeable=False
    )  # within `least`, which was checked
    if pixel == 1:
        return rows.copy(), None
    import cv2

    pairs = np.ascontiguousarray(rows).reshape(form.height, form.width, 2)
    luma = np.asarray(cv2.extractChannel(pairs, 0), dtype=np.uint8)
    if not colour:
        return luma, None
    return luma, np.asarray(cv2.cvtColor(pairs, cv2.COLOR_YUV2RGB_YUY2), dtype=np.uint8)


def _jpeg(data: bytes, form: Format, colour: bool) -> tuple[Luma, Rgb | None]:
    width, height, components = jpeg_size(data)
    if (width, height) != (form.width, form.height):
        raise BadPicture(f"a picture of {width}x{height}, {form.width}x{form.height} was set")
    import cv2

    coloured = colour and components == 3
    kind = cv2.IMREAD_COLOR if coloured else cv2.IMREAD_GRAYSCALE
    try:
        made = cv2.imdecode(np.frombuffer(data, np.uint8), kind | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error as error:
        raise BadPicture("a JPEG that cannot be decoded") from error
    if made is None or made.shape[:2] != (height, width):
        raise BadPicture("a JPEG that ends too early, or cannot be decoded")
    if not coloured:
        return np.asarray(made, dtype=np.uint8), None
    luma = np.asarray(cv2.cvtColor(made, cv2.COLOR_BGR2GRAY), dtype=np.uint8)
    return luma, np.asarray(cv2.cvtColor(made, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def jpeg_size(data: bytes) -> tuple[int, int, int]:
    """Return (width, height, components) as a baseline JPEG's header says.

    Raises:
        BadPicture: it is none, or has not come to its own data within `HEADER_AT_MOST` bytes.
    """
    if data[:2] != bytes((0xFF, _SOI)):
        raise BadPicture("no JPEG")
    size: tuple[int, int, int] | None = None
    at = 2
    while at + 4 <= min(len(data), HEADER_AT_MOST):
        if data[at] != 0xFF:
            raise BadPicture("a JPEG with a broken header")
        marker = data[at + 1]
        if marker == 0xFF:  # padding before a marker
            at += 1
            continue
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        if marker == _SOS:
            if size is None:
                raise BadPicture("a JPEG without a size")
            return size
        if marker in _FRAMES:
            if marker not in (_SOF0, _SOF1):
                raise BadPicture("a JPEG that is not a baseline one")
            if size is not None:
                raise BadPicture("a JPEG of two sizes")
            size = _frame(data[at + 4 : at + 2 + length])
        elif length < 2 or marker < 0xC0:
            raise BadPicture("a JPEG with a broken header")
        at += 2 + length
    raise BadPicture("a JPEG without a picture")


def _frame(segment: bytes) -> tuple[int, int, int]:
    """Return what a start of frame says (B.2.2)."""
    if len(segment) < 6 or segment[0] != 8 or segment[5] not in (1, 3):
        raise BadPicture("a JPEG of a kind that no webcam sends")
    height, width = (int.from_bytes(segment[at : at + 2], "big") for at in (1, 3))
    return width, height, segment[5]
