"""Pillow's part: the bytes of one picture to upright RGB. Nothing of it trusts the header's check.

Only Pillow and the standard library are imported: the photo worker starts with this.
"""

from __future__ import annotations

import io
import struct
import warnings
from typing import TYPE_CHECKING

from agent.biometrics.picture_header import PictureLimits

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

__all__ = ["NotDecoded", "unpack"]


class NotDecoded(ValueError):
    """There is no picture; the message is one word for why."""


def unpack(kind: str, data: bytes, limits: PictureLimits) -> Picture:
    """Decode a picture.

    Args:
        kind: Pillow's name of its format.
        data: the file.
        limits: how many pixels a side.

    Returns:
        An RGB picture, transparent parts on grey, turned as its EXIF orientation says.

    Raises:
        NotDecoded: it cannot be decoded, is animated, or larger than its header said.
    """
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with Image.open(io.BytesIO(data), formats=[kind]) as image:
                _check(image, limits)
                return _upright(image)
        except NotDecoded:
            raise
        except (OSError, ValueError, SyntaxError, EOFError, KeyError, IndexError, TypeError,
                struct.error, ArithmeticError, MemoryError, RuntimeError, ImportError,
                Image.DecompressionBombError) as error:  # fmt: skip
            raise NotDecoded(type(error).__name__) from None


def _check(image: Picture, limits: PictureLimits) -> None:
    """Refuse what its decoder says of itself, before it decodes."""
    if max(image.size) > limits.side_px:
        raise NotDecoded("size")
    if getattr(image, "n_frames", 1) != 1:
        raise NotDecoded("animated")


def _upright(image: Picture) -> Picture:
    from PIL import Image, ImageOps

    upright = ImageOps.exif_transpose(image)
    if "A" in upright.getbands() or "transparency" in upright.info:
        backed = Image.new("RGBA", upright.size, (128, 128, 128, 255))
        backed.alpha_composite(upright.convert("RGBA"))
        upright = backed
    return upright.convert("RGB")
