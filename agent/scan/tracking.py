"""Where the last code was seen, for the frames that follow.

Rules:
- a symbol whose checksum failed is a place and nothing else: what it says is never looked at;
- a place is believed for `PATIENCE` frames after it was last seen, wider each time: hands move;
- this frame's own places come first: failed symbols, then busy ones, then the remembered place
  where none of them holds it. Pictures may change their size: what lies outside is none.

The memory is the decoder process's: a picture that ends the process ends the memory of it too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from agent.scan.places import MOST, Place
from agent.scan.wire import Corners

__all__ = ["Tracker", "around"]

PATIENCE: Final = 8
_AROUND: Final = 0.15
"""Around a symbol's corners, of its side: the quiet zone, and corners that were guessed."""
_DRIFT: Final = 0.06
"""A frame, of the place's side: at 15 frames a second what a hand moves."""
_LEAST_PX: Final = 24


class Tracker:
    """The last place of a code, and how long ago."""

    def __init__(self) -> None:
        self._last: Place | None = None
        self._age = 0

    def see(self, corners: Corners, shape: tuple[int, ...]) -> Place | None:
        """Remember a symbol's place; return it, or None for corners that span nothing."""
        place = around(corners, shape)
        if place is not None:
            self._last, self._age = place, 0
        return place

    def miss(self) -> None:
        """Count a frame in which no symbol was seen."""
        self._age += 1
        if self._age > PATIENCE:
            self._last = None

    def places(
        self, seen: Sequence[Place], busy: Sequence[Place], shape: tuple[int, ...]
    ) -> list[Place]:
        """Return where to look in this frame, at most `MOST`.

        Args:
            seen: of this frame's failed symbols.
            busy: this frame's, as `busy_places` has them.
            shape: (H, W) of the frame.
        """
        chosen = list(seen)
        last = self._last
        chosen += [b for b in busy if not any(b.holds(one) for one in chosen)]
        if last is not None and not any(place.holds(last) for place in chosen):
            grown = _grown(last, self._age * _DRIFT, shape)
            chosen += [] if grown is None else [grown]
        return chosen[:MOST]


def around(corners: Corners, shape: tuple[int, ...]) -> Place | None:
    """Return a symbol's place with what belongs around it, inside a picture of (H, W)."""
    across, down = zip(*corners, strict=True)
    place = Place(min(across), min(down), max(across), max(down))
    if min(place.right - place.left, place.bottom - place.top) < _LEAST_PX:
        return None
    return _grown(place, _AROUND, shape)


def _grown(place: Place, share: float, shape: tuple[int, ...]) -> Place | None:
    """Return the place with so much more around it, None where none of it is in the picture."""
    more = round(share * max(place.right - place.left, place.bottom - place.top))
    height, width = shape
    grown = Place(
        max(0, place.left - more),
        max(0, place.top - more),
        min(width, place.right + more),
        min(height, place.bottom + more),
    )
    return grown if grown.right > grown.left and grown.bottom > grown.top else None
