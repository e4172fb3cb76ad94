"""The QR code of a code's text, and from how far away a gate's camera reads it.

Rules:
- the symbol is the smallest that holds the text with error correction L on a screen, which a camera
  reads from farther away, and with M on paper, where a fold or a stain must be borne; L there too
  where M does not fit any symbol;
- whatever stronger correction the same symbol has room for is taken: it costs no distance;
- a distance is computed, not measured: where a module is `MODULE_PX` pixels of the camera.
"""

from __future__ import annotations

import io
import math
from enum import StrEnum
from typing import Any, Final

__all__ = [
    "CAMERA_PX", "CODE_MM", "MODULE_PX", "VIEW_DEGREES", "Medium", "described", "modules_of",
    "qr_png", "qr_symbol", "reading_distance_mm",
]  # fmt: skip

CODE_MM: Final = 55
"""How wide a code is on a phone, without its quiet zone."""
VIEW_DEGREES: Final = 66
"""How wide a gate's camera sees (Raspberry Pi camera 3)."""
CAMERA_PX: Final = 1_280
"""Pixels over that view."""
MODULE_PX: Final = 3
"""Pixels of the camera to a module, at which codes begin to be read."""


class Medium(StrEnum):
    """What a code is shown on."""

    SCREEN = "screen"
    PAPER = "paper"


_LEVELS: Final = {Medium.SCREEN: ("l",), Medium.PAPER: ("m", "l")}


def qr_symbol(text: str, *, medium: Medium) -> Any:
    """Return the `segno` QR code of a code's text, alphanumeric.

    Args:
        text: the code.
        medium: SCREEN asks for error correction L; PAPER for M, or L where M does not fit. The
            symbol has more where it has the room.

    Raises:
        ValueError: the text does not fit one symbol.
    """
    import segno
    from segno.encoder import DataOverflowError

    for level in _LEVELS[medium]:
        try:
            return segno.make_qr(text, error=level, boost_error=True, mode="alphanumeric")
        except DataOverflowError:
            continue
    raise ValueError(f"{len(text)} characters do not fit a QR code; leave biometrics out")


def qr_png(text: str, *, medium: Medium = Medium.SCREEN, module_px: int = 4) -> bytes:
    """Return a PNG of the QR code with its quiet zone of 4 modules.

    Args:
        text: the code.
        medium: see `qr_symbol`.
        module_px: pixels to a module.
    """
    out = io.BytesIO()
    qr_symbol(text, medium=medium).save(out, kind="png", scale=module_px, border=4)
    return out.getvalue()


def modules_of(version: int) -> int:
    """Return how many modules a side of a QR code of a version has, without its quiet zone."""
    return 17 + 4 * version


def reading_distance_mm(version: int) -> int:
    """Return from how far away a code of a version is read; computed from the constants above.

    At a distance d the camera sees 2 d tan(view / 2) with its pixels; a module is the code's width
    by their number.
    """
    modules_mm = CODE_MM / modules_of(version)
    spread = 2 * math.tan(math.radians(VIEW_DEGREES / 2))
    return int(CAMERA_PX * modules_mm / (MODULE_PX * spread))


def described(symbol: Any) -> str:
    """Return one line about a symbol: version and level, modules, reading distance."""
    distance = reading_distance_mm(symbol.version)
    return (
        f"QR version {symbol.version}-{symbol.error}, {modules_of(symbol.version)} modules a side; "
        f"read from about {distance // 10} cm (computed: {CODE_MM} mm wide, a camera of "
        f"{VIEW_DEGREES} degrees and {CAMERA_PX} pixels, {MODULE_PX} of them a module)"
    )
