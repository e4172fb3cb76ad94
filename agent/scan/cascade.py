"""The live cascade: a frame of a stream in, the payloads of its QR symbols out.

Order (measured on photographs: tests/bench/bench_scan.py):
- zxing-cpp on the picture as it is, QR only, bytes, every result: the signature decides which is
  real.
- On a miss at most one retry a frame, rotating: zxing-cpp on an unsharp mask, zxing-cpp on CLAHE,
  pyzbar at half size, zxing-cpp on what may be a code without a quiet zone (`bare`). Most frames at
  a gate hold no code, so a miss must be cheap.
- A scene that has not changed since every retry had its turn is not retried, but for every
  16th frame: an eighth-size difference costs a fiftieth of a retry. Four scenes are remembered,
  since the camera alternates its exposure.
- A page of patterns as fine as a pixel takes zxing-cpp longer than any deadline. After a frame that
  did, the next is only read softened, which leaves nothing of such a page and all of a code at a
  gate: whoever fills the view costs one deadline, and a good code beside that page is read.

No I/O and no clock. The caller bounds the time: nothing here can be trusted to return.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from agent.scan.decoders import Decoders, Luma
from agent.scan.wire import Payload, Variant

__all__ = ["Cascade"]

RETRIES = (Variant.UNSHARP, Variant.CLAHE, Variant.PYZBAR, Variant.BARE)
STILL_MEAN = 1.5
"""Mean absolute difference of eighth-size pictures, in grey levels: above sensor noise."""
STILL_CELL = 20
"""One cell (8x8 pixels, averaged) that changed this much is a change: a phone far away."""
SCENES = 4
FORCED_EVERY = 16
"""A still scene gets a retry every so many misses all the same: drift, a patient person."""


@dataclass(slots=True)
class _Scene:
    """A view without a code, and what was tried on it."""

    picture: Luma
    tried: int = 0
    skipped: int = 0


class Cascade:
    """The live rotation, and the memory of the last empty scenes.

    Args:
        decoders: as loaded; None loads them.
        retry: whether a miss is retried at all.

    Raises:
        ImportError: a decoder is not installed.
    """

    def __init__(self, decoders: Decoders | None = None, *, retry: bool = True) -> None:
        self.decoders = decoders = Decoders() if decoders is None else decoders
        self._cv2 = decoders.cv2
        self._retries = (
            tuple(v for v in RETRIES if decoders.has_pyzbar or v is not Variant.PYZBAR)
            if retry
            else ()
        )
        self._scenes: list[_Scene] = []

    def decode(self, luma: Luma, *, turn: int) -> tuple[tuple[Payload, ...], Variant]:
        """Decode one frame of a stream.

        Args:
            luma: (H, W) uint8; only read.
            turn: a number that goes up by one a miss; it picks the retry, and is the caller's,
                so that a variant that kills the decoder is not the next one's first again.

        Returns:
            All payloads, and the last variant tried.
        """
        found = self.decoders.read(Variant.PLAIN, luma)
        if found or not self._retries:
            return found, Variant.PLAIN
        scene = self._scene(luma)
        if scene.tried >= len(self._retries) and scene.skipped + 1 < FORCED_EVERY:
            scene.skipped += 1
            return (), Variant.PLAIN
        scene.tried += 1
        scene.skipped = 0
        variant = self._retries[turn % len(self._retries)]
        return self.decoders.read(variant, luma), variant

    def decode_wary(self, luma: Luma) -> tuple[tuple[Payload, ...], Variant]:
        """Decode one frame of a stream that took too long as it is.

        Args:
            luma: (H, W) uint8; only read.
        """
        return self.decoders.read(Variant.SOFT, luma), Variant.SOFT

    def _scene(self, luma: Luma) -> _Scene:
        """Return the remembered scene that this picture shows, or a new one."""
        picture = self._eighth(luma)
        for scene in self._scenes:
            if scene.picture.shape == picture.shape and not self._differ(scene.picture, picture):
                break
        else:
            scene = _Scene(picture)
            del self._scenes[SCENES - 1 :]
            self._scenes.insert(0, scene)
        return scene

    def _differ(self, before: Luma, now: Luma) -> bool:
        difference = self._cv2.absdiff(before, now)
        return bool(
            self._cv2.mean(difference)[0] > STILL_MEAN or int(difference.max()) > STILL_CELL
        )

    def _eighth(self, luma: Luma) -> Luma:
        """Return the picture at an eighth: three halvings are five times faster than one step."""
        small: Any = luma
        for _ in range(3):
            height, width = small.shape
            size = (max(1, width // 2), max(1, height // 2))
            small = self._cv2.resize(small, size, interpolation=self._cv2.INTER_AREA)
        return np.asarray(small, dtype=np.uint8)
