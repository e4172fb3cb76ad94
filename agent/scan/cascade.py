"""The live cascade: a frame of a stream in, the payloads of its QR symbols out.

Order (measured on approaches and photographs: decision 43, tests/bench/bench_approach.py):
- zxing-cpp on the picture as it is, QR only, every result: the signature decides which is real.
  Light modules on dark are looked for in it every other miss, every fourth where nothing moves.
- On a miss, where a code may be (`tracking`, `places`): two places at most, each sharpened against
  one threshold, and enlarged with a threshold for every pixel, light on dark among it. Both cost
  what their area costs, and read at two pixels a module what the whole picture needs three for.
- The whole picture once more, in turn sharpened, with its contrast equalised, sharpened against one
  threshold, and what may be a code without a quiet zone (`bare`): every `WHOLE_EVERY`th miss, and
  every miss of a scene that stands still. There pyzbar has one turn too, at half size.
- A scene that has not changed since every retry had its turn is not retried, but for every
  24th frame: an eighth-size difference costs a fiftieth of a retry. Four scenes are remembered,
  since the camera alternates its exposure.
- A frame has a time, its distance from the next: a retry that would not end in it is left out, but
  once in `OWED_EVERY` misses, so that a slow machine drops few frames and no person waits for ever.
- A page of patterns as fine as a pixel takes zxing-cpp longer than any deadline. After a frame that
  did, the next is only read softened, which leaves nothing of such a page and all of a code at a
  gate: whoever fills the view costs one deadline, and a good code beside that page is read.

No I/O and no clock but the one that is passed. The caller bounds the time: nothing here can be
trusted to return.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from agent.scan.decoders import CUT_PIXELS, CUT_SCALE, Decoders, Luma
from agent.scan.places import Place, busy_places
from agent.scan.tracking import Tracker
from agent.scan.wire import Payload, Variant

__all__ = ["Cascade"]

MOVING = (Variant.GLOBAL_UNSHARP, Variant.CLAHE, Variant.BARE, Variant.UNSHARP)
"""Of the whole picture while something moves."""
RETRIES = (*MOVING, Variant.PYZBAR)
"""Of the whole picture of a scene that stands still."""
WHOLE_EVERY = 5
"""Not a multiple of how many exposures a camera alternates, so that each has its turn."""
OWED_EVERY = 16
STILL_MEAN = 1.5
"""Mean absolute difference of eighth-size pictures, in grey levels: above sensor noise."""
STILL_CELL = 20
"""One cell (8x8 pixels, averaged) that changed this much is a change: a phone far away."""
SCENES = 4
FORCED_EVERY = 24
"""A still scene gets a retry every so many misses all the same: drift, a patient person."""
CONTRAST = 30.0
"""Standard deviation of a place's grey levels from which it is enlarged: rendered clothes have 17
to 28, 98 of 100 codes that were read so 35 and more."""
COSTS = {
    Variant.PLACE: 8.0, Variant.PLACE_GLOBAL: 4.5, Variant.GLOBAL_UNSHARP: 2.0, Variant.CLAHE: 6.0,
    Variant.BARE: 1.5, Variant.UNSHARP: 6.0, Variant.PYZBAR: 15.0,
}  # fmt: skip
"""Of a pixel, as a multiple of what the look at the picture as it is has just cost, and half as
much again: pictures differ, and a frame that is dropped is not read at all."""

Found = tuple[tuple[Payload, ...], Variant]


def _endless() -> float:
    return math.inf


@dataclass(slots=True)
class _Scene:
    """A view without a code, and what was tried on it."""

    picture: Luma
    tried: int = 0
    skipped: int = 0


@dataclass(slots=True)
class _Purse:
    """The time that a frame has left, and what a look at its pixels costs now, seconds."""

    left: Callable[[], float]
    a_pixel: float
    owed: int
    """How many retries may begin all the same."""

    def affords(self, variant: Variant, pixels: int) -> bool:
        left = self.left()
        if left > self.a_pixel * pixels * COSTS[variant]:
            return True
        self.owed -= 1
        return self.owed >= 0 and left > 0


class Cascade:
    """The live order, and the memory of the last empty scenes and of the last code's place.

    Args:
        decoders: as loaded; None loads them.
        retry: whether a miss is retried at all.

    Raises:
        ImportError: a decoder is not installed.
    """

    def __init__(self, decoders: Decoders | None = None, *, retry: bool = True) -> None:
        self.decoders = decoders = Decoders() if decoders is None else decoders
        self._cv2 = decoders.cv2
        self._retry = retry
        self._retries = tuple(v for v in RETRIES if decoders.has_pyzbar or v is not Variant.PYZBAR)
        self._scenes: list[_Scene] = []
        self._tracker = Tracker()
        self._quiet = False

    def decode(self, luma: Luma, *, turn: int, left: Callable[[], float] = _endless) -> Found:
        """Decode one frame of a stream.

        Args:
            luma: (H, W) uint8; only read.
            turn: a number that goes up by one a miss; it picks the retry, and is the caller's,
                so that a variant that kills the decoder is not the next one's first again.
            left: says how many seconds are left until the next frame is due; less than none is
                none, and what was begun is ended.

        Returns:
            All payloads, and the last variant tried.
        """
        before = left()
        look = self.decoders.look(luma, invert=turn % (4 if self._quiet else 2) == 0)
        self._quiet = False
        if look.payloads or not self._retry:
            for payload in look.payloads[:1]:
                self._tracker.see(payload.corners, luma.shape)
            return look.payloads, Variant.PLAIN
        spent = 0.0 if math.isinf(before) else before - left()
        seen = [self._tracker.see(corners, luma.shape) for corners in look.failed[:1]]
        if not seen:
            self._tracker.miss()
        scene = self._scene(luma)
        if scene.tried > len(self._retries) and scene.skipped + 1 < FORCED_EVERY:
            scene.skipped += 1
            self._quiet = True
            return (), Variant.PLAIN
        still = scene.tried > 0
        scene.tried += 1
        scene.skipped = 0
        purse = _Purse(left, spent / luma.size, owed=turn % OWED_EVERY == 1)
        found = self._places(luma, [place for place in seen if place is not None], turn, purse)
        if found[0]:
            return found
        if still:
            # pyzbar, which costs ten looks, has one turn in a scene that stands still.
            variant = self._retries[turn % len(self._retries)]
            if scene.tried > len(self._retries) + 1:
                variant = MOVING[scene.tried % len(MOVING)]
        elif turn % WHOLE_EVERY == 0:
            variant = MOVING[turn // WHOLE_EVERY % len(MOVING)]
        else:
            return found
        if not still:
            purse.owed = 0
        if not purse.affords(variant, luma.size):
            return found
        return self.decoders.read(variant, luma), variant

    def decode_wary(self, luma: Luma) -> Found:
        """Decode one frame of a stream that took too long as it is.

        Args:
            luma: (H, W) uint8; only read.
        """
        return self.decoders.read(Variant.SOFT, luma), Variant.SOFT

    def _places(self, luma: Luma, seen: list[Place], turn: int, purse: _Purse) -> Found:
        """Read where a code may be, the second place fully where inversion left time for it."""
        last = Variant.PLAIN
        busy = busy_places(self._cv2, luma)
        for number, place in enumerate(self._tracker.places(seen, busy, luma.shape)):
            cut = max(place.area, min(place.area * CUT_SCALE**2, CUT_PIXELS))
            looks = [(Variant.PLACE_GLOBAL, place.area), (Variant.PLACE, round(cut))]
            spread = float(self._cv2.meanStdDev(place.of(luma))[1][0, 0])
            thin = spread < CONTRAST or (number > 0 and turn % 2 == 0)
            for variant, pixels in looks[: 1 if thin else 2]:
                if not purse.affords(variant, pixels):
                    continue
                last = variant
                found = self.decoders.read_place(variant, luma, place)
                if found:
                    self._tracker.see(found[0].corners, luma.shape)
                    return found, variant
        return (), last

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
