"""The QR decoder as a tenant of the sandbox; its words are two: RETRY and PYZBAR, 1 or 0.

Frames are read from a sealed memory file that only the daemon can write. Only standard library,
numpy and the decoders are imported, so that start is fast.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from agent.sandbox.confine import Confinement
from agent.sandbox.stem import Mapped, map_readable, serve
from agent.sandbox.wire import WireError
from agent.scan.cascade import Cascade
from agent.scan.decoders import Decoders
from agent.scan.places import Place, busy_places
from agent.scan.still import read_step, steps
from agent.scan.wire import (
    MAX_PAYLOADS,
    MAX_STILL_PAYLOADS,
    NO_HURRY,
    Answer,
    Variant,
    pack_answer,
    unpack_job,
)

__all__ = ["QrDecoder", "main"]


class QrDecoder:
    """Reads the symbols of the frame in the shared memory.

    Args:
        decoders: as loaded.
        memory: (N,) uint8, the frame at its start.
        retry: whether a miss is retried.
    """

    confinement = Confinement("idgate-scan", extra_memory=384 << 20)

    def __init__(
        self, decoders: Decoders, memory: NDArray[np.uint8], *, retry: bool = True
    ) -> None:
        self._decoders = decoders
        self._cascade = Cascade(decoders, retry=retry)
        self._retry = retry
        self._memory = memory

    def answer(self, job: bytes) -> bytes:
        """Decode a frame.

        Raises:
            WireError: the job is none, or names a frame that does not fit the memory.
        """
        wanted = unpack_job(job)
        area = wanted.width * wanted.height
        if not 0 < area <= self._memory.size:
            raise WireError("a frame that does not fit the memory")
        luma = self._memory[:area].reshape(wanted.height, wanted.width)
        started = time.perf_counter_ns()
        if wanted.thorough:
            plan = steps(luma.shape, retry=self._retry, pyzbar=self._decoders.has_pyzbar)
            variant = plan[wanted.turn % len(plan)]
            payloads = read_step(self._decoders, luma, variant)
        elif wanted.wary:
            payloads, variant = self._cascade.decode_wary(luma)
        else:
            due = started + wanted.spare_ms * 1_000_000 if wanted.spare_ms < NO_HURRY else math.inf
            payloads, variant = self._cascade.decode(
                luma, turn=wanted.turn, left=lambda: (due - time.perf_counter_ns()) / 1e9
            )
        spent_us = (time.perf_counter_ns() - started) // 1000
        return pack_answer(
            Answer(wanted.sequence, spent_us, variant, payloads),
            most=MAX_STILL_PAYLOADS if wanted.thorough else MAX_PAYLOADS,
        )


def main(arguments: list[str]) -> int:
    """Be the scanner's stem until the daemon goes.

    Args:
        arguments: the sandbox's own two, 1 to retry misses, 1 to load pyzbar.
    """
    return serve(arguments, _load)


def _load(memories: Sequence[Mapped], words: Sequence[str]) -> QrDecoder:
    retry, pyzbar = (word == "1" for word in words)
    decoders = Decoders(pyzbar=pyzbar)
    _warm(decoders)
    memory = np.frombuffer(map_readable(memories[0]), dtype=np.uint8)
    return QrDecoder(decoders, memory, retry=retry)


def _warm(decoders: Decoders) -> None:
    """Run every variant once."""
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (96, 128), dtype=np.uint8)
    for variant in steps(noise.shape, pyzbar=decoders.has_pyzbar):
        read_step(decoders, noise, variant)
    decoders.look(noise, invert=True)
    decoders.read(Variant.SOFT, noise)
    for variant in (Variant.PLACE, Variant.PLACE_GLOBAL):
        decoders.read_place(variant, noise, Place(0, 0, 128, 96))
    busy_places(decoders.cv2, noise)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
