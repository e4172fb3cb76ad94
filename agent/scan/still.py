"""A still picture: every preparation in turn until one finds something.

Rules:
- One preparation is one step, and a step is one job of the worker: the caller has the clock, keeps
  what was found when time is over, and loses one step to what a decoder cannot take.
- In the order of what a step finds for its time (tests/bench/bench_photos.py), the dear ones last.
- A large picture is read as it is and at a reduced size; most of the rest is tried on about two
  megapixels of it, where a code of a few pixels a module still has them.
- A sheet of codes is read by two more steps, since one preparation rarely finds all of them.
"""

from __future__ import annotations

import numpy as np

from agent.scan.decoders import Decoders, Luma
from agent.scan.preparations import moved_back
from agent.scan.wire import Payload, Variant

__all__ = ["SHEET", "SHEET_STEPS", "merged", "read_step", "steps"]

LARGE_SIDE = 1_600
"""Pictures longer than this are also read at a reduced size: huge codes, moire."""

SHEET = 4
"""So many codes in one picture are a sheet of them."""
SHEET_STEPS = 2

_WHOLE = frozenset({Variant.PLAIN, Variant.REDUCED, Variant.UNSHARP, Variant.CLAHE, Variant.PYZBAR})
"""Read at the picture's own size, however large."""

_RETRIES = (
    Variant.GLOBAL,
    Variant.MEAN_25,
    Variant.UNSHARP,
    Variant.CLAHE,
    Variant.PYZBAR,
    Variant.BARE,
    Variant.GLOBAL_UNSHARP,
    Variant.MEAN_15,
    Variant.TURNED,
    Variant.CLAHE_SOFT,
    Variant.MEAN_51,
    Variant.FLAT,
    Variant.MEAN_25_SOFT,
    Variant.ENLARGED,
    Variant.ENLARGED_MEAN,
    Variant.FRAMED,
    Variant.ENLARGED_UNSHARP,
    Variant.BENT,
    Variant.PYZBAR_MEAN,
    Variant.PYZBAR_FULL,
)
_PYZBAR = frozenset({Variant.PYZBAR, Variant.PYZBAR_FULL, Variant.PYZBAR_MEAN})


def steps(
    shape: tuple[int, ...], *, retry: bool = True, pyzbar: bool = True
) -> tuple[Variant, ...]:
    """Return what is tried on a picture, in this order.

    Args:
        shape: (H, W).
        retry: whether a miss is retried.
        pyzbar: whether it is loaded.
    """
    if not retry:
        return (Variant.PLAIN,)
    reduced = (Variant.REDUCED,) if max(shape) > LARGE_SIDE else ()
    others = (v for v in _RETRIES if pyzbar or v not in _PYZBAR)
    return (Variant.PLAIN, *reduced, *others)


def read_step(decoders: Decoders, luma: Luma, variant: Variant) -> tuple[Payload, ...]:
    """Read a still picture by one of its steps.

    Args:
        decoders: loaded.
        luma: (H, W) uint8; only read.
        variant: of `steps`.
    """
    scale = LARGE_SIDE / max(luma.shape)
    if scale >= 1 or variant in _WHOLE:
        return decoders.read(variant, luma)
    cv2 = decoders.cv2
    small = cv2.resize(luma, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    back = np.array([[1 / scale, 0, 0], [0, 1 / scale, 0]])
    return tuple(
        Payload(p.data, moved_back(p.corners, back), p.decoder)
        for p in decoders.read(variant, small)
    )


def merged(found: tuple[Payload, ...], more: tuple[Payload, ...]) -> tuple[Payload, ...]:
    """Return what was found, and of more what says something new."""
    known = {payload.data for payload in found}
    return found + tuple(payload for payload in more if payload.data not in known)
