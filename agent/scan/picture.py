"""Still pictures on their way to the decoder: hostile files, so the header is judged first.

Rules:
- Size is read from the header and refused above 50 megapixels before a pixel is unpacked; a file
  over 64 MiB is not opened.
- Only formats that phones and screens make; the first frame of an animation.
- The EXIF orientation is applied, so that corners are in the picture as a person sees it; what is
  transparent is white.
"""

from __future__ import annotations

import stat
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

__all__ = ["PictureError", "load_luma", "load_reduced"]

MAX_FILE_BYTES = 64 * 1024 * 1024
MAX_PIXELS = 50_000_000
MAX_SIDE = 4_096
MAX_AREA = 4_096 * 3_072
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "PPM", "AVIF")


class PictureError(ValueError):
    """The file is no picture that can be read; the message is one line that names it."""


class _Unusable(ValueError):
    """Why; without the file's name."""


def load_luma(path: Path) -> NDArray[np.uint8]:
    """Read a picture's brightness, (H, W) uint8, at most 12 megapixels.

    Raises:
        PictureError: it cannot be read, is no picture, or is too large.
    """
    return load_reduced(path)[0]


def load_reduced(path: Path) -> tuple[NDArray[np.uint8], float]:
    """Read a picture's brightness, and how far it had to be reduced.

    Args:
        path: a file.

    Returns:
        The plane, (H, W) uint8, at most 12 megapixels, and how many pixels of the picture one of
        its pixels spans (1 unless the picture had to be reduced).

    Raises:
        PictureError: it cannot be read, is no picture, or is too large.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of metadata that does not concern us
            return _load(path)
    except _Unusable as error:
        raise PictureError(f"{path}: {error}") from None
    except UnidentifiedImageError:
        raise PictureError(f"{path}: not a picture") from None
    except Image.DecompressionBombError:
        raise PictureError(f"{path}: unpacks to more than 50 megapixels") from None
    except OSError as error:
        raise PictureError(f"{path}: {error.strerror or 'a broken picture'}") from None
    except Exception as error:  # noqa: BLE001 - a hostile file finds every corner of a codec
        raise PictureError(f"{path}: a broken picture ({type(error).__name__})") from None


def _load(path: Path) -> tuple[NDArray[np.uint8], float]:
    from PIL import Image, ImageOps

    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise _Unusable("not a file")
    if status.st_size > MAX_FILE_BYTES:
        raise _Unusable("larger than 64 MiB")
    Image.init()
    formats = [name for name in FORMATS if name in Image.OPEN]  # a build may lack a codec
    with Image.open(path, formats=formats) as picture:
        width, height = picture.size
        if width * height > MAX_PIXELS:
            raise _Unusable(f"{width} x {height} pixels; 50 megapixels at most")
        return _reduced(_grey(ImageOps.exif_transpose(picture)))


def _grey(picture: Picture) -> Picture:
    """Return 8-bit brightness on white paper."""
    from PIL import Image

    if picture.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8))
    if picture.mode in {"RGBA", "LA", "PA"} or "transparency" in picture.info:
        coloured = picture.convert("RGBA")
        paper = Image.new("RGBA", coloured.size, "white")
        return Image.alpha_composite(paper, coloured).convert("L")
    return picture.convert("L")


def _reduced(grey: Picture) -> tuple[NDArray[np.uint8], float]:
    """Return the plane no larger than the decoder takes, and the reduction."""
    from PIL import Image

    width, height = grey.size
    scale = max(1.0, max(width, height) / MAX_SIDE, (width * height / MAX_AREA) ** 0.5)
    if scale > 1:
        size = (max(1, int(width / scale)), max(1, int(height / scale)))
        grey = grey.resize(size, Image.Resampling.BOX)
    return np.asarray(grey, dtype=np.uint8), scale
