"""A still picture read in one process, by the steps that `Scanner.scan_still` has a worker do."""

from __future__ import annotations

from agent.scan.decoders import Decoders, Luma
from agent.scan.still import read_step, steps
from agent.scan.wire import Payload, Variant

__all__ = ["decode_still"]


def decode_still(
    decoders: Decoders, luma: Luma, *, retry: bool = True
) -> tuple[tuple[Payload, ...], Variant]:
    """Read a still picture in one process, by the steps that `Scanner.scan_still` has a worker do.

    Args:
        decoders: loaded.
        luma: (H, W) uint8; only read.
        retry: whether a miss is retried.

    Returns:
        What the first step that finds something finds, and that step; all of them may be tried,
        and nobody bounds their time.
    """
    variant = Variant.PLAIN
    for variant in steps(luma.shape, retry=retry, pyzbar=decoders.has_pyzbar):
        found = read_step(decoders, luma, variant)
        if found:
            return found, variant
    return (), variant
