"""A still picture: every preparation in turn until one finds something. Time is the caller's."""

from __future__ import annotations

from agent.scan.decoders import Decoders, Luma
from agent.scan.wire import Payload, Variant

__all__ = ["decode_still"]

LARGE_SIDE = 1_600
"""Pictures longer than this are also read at a reduced size: huge codes, moire."""


def decode_still(
    decoders: Decoders, luma: Luma, *, retry: bool = True
) -> tuple[tuple[Payload, ...], Variant]:
    """Decode a still picture.

    Args:
        decoders: loaded.
        luma: (H, W) uint8; only read.
        retry: whether a miss is retried.

    Returns:
        All payloads, and the last variant tried.
    """
    large = max(luma.shape) > LARGE_SIDE
    variants = [Variant.PLAIN]
    if retry:
        variants += [Variant.UNSHARP, Variant.CLAHE]
        if decoders.has_pyzbar:
            variants.append(Variant.PYZBAR)
        variants += [Variant.BARE, Variant.REDUCED if large else Variant.ENLARGED]
        if decoders.has_pyzbar:
            variants.append(Variant.PYZBAR_FULL)
    for variant in variants:
        found = decoders.read(variant, luma)
        if found:
            return found, variant
    return (), variants[-1]
