"""Structured append: whether a symbol that was read is one of a sequence (ISO/IEC 18004, 8).

zxing-cpp gives such a symbol's bytes and does not say that they are a part, but it shows the
modules as it saw them: the first four bits of the data say so, at the bottom right, under the mask.
They are believed where zxing-cpp had no error to correct: a module that was misread must not make a
whole credential a part.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["is_part"]

_APPEND: Final = (False, False, True, True)
"""The mode indicator."""
_FIRST: Final = ((1, 1), (1, 2), (2, 1), (2, 2))
"""Where its bits lie, (row, column) from the last; table of the symbol's first codeword."""
_LEAST_SIDE: Final = 21
_MASKS: Final[tuple[Callable[[int, int], int], ...]] = (
    lambda y, x: (y + x) % 2,
    lambda y, _: y % 2,
    lambda _, x: x % 3,
    lambda y, x: (y + x) % 3,
    lambda y, x: (y // 2 + x // 3) % 2,
    lambda y, x: y * x % 2 + y * x % 3,
    lambda y, x: (y * x % 2 + y * x % 3) % 2,
    lambda y, x: ((y + x) % 2 + y * x % 3) % 2,
)
"""A module is inverted where its mask is 0; table 10, y the row."""


_LEVELS: Final = {"L": 1, "M": 0, "Q": 3, "H": 2}


def is_part(result: Any) -> bool:
    """Return whether a symbol is one of a sequence, and undamaged.

    Args:
        result: zxing-cpp's, of a QR Code.
    """
    extra: dict[str, Any] = result.extra or {}
    level, mask = _LEVELS.get(extra.get("ECLevel", ""), -1), extra.get("DataMask", -1)
    if extra.get("UEC") != 1.0 or level < 0 or mask not in range(len(_MASKS)):
        return False
    dark = np.array(result.to_image(add_quiet_zones=False)) == 0
    side = len(dark)
    if dark.shape != (side, side) or side < _LEAST_SIDE:
        return False
    shown = _format(level, mask)
    if _apart(dark.T, shown) < _apart(dark, shown):
        dark = dark.T  # a mirrored symbol: rows and columns change places
    inverted = _MASKS[mask]
    return all(
        bool(dark[-y, -x]) ^ (inverted(side - y, side - x) == 0) == bit
        for (y, x), bit in zip(_FIRST, _APPEND, strict=True)
    )


def _format(level: int, mask: int) -> int:
    """Return the 15 bits of format information, clause 7.9."""
    word = rest = level << 3 | mask
    for _ in range(10):
        rest = rest << 1 ^ (rest >> 9) * 0x537
    return (word << 10 | rest) ^ 0x5412


def _apart(dark: NDArray[np.bool_], shown: int) -> int:
    """Return in how many bits the second copy of the format differs from what it must show."""
    seen = [*dark[8, :-9:-1], *dark[-7:, 8]]
    return sum(bool(bit) != bool(shown >> place & 1) for place, bit in enumerate(seen))
