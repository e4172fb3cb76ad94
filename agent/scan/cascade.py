"""The decoder cascade: a luma plane in, the payloads of its QR symbols out.

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
- zbar guesses a character set and re-encodes what is not ASCII: its bytes count where they are
  ASCII only.

No I/O and no clock. The caller bounds the time: nothing here can be trusted to return.
Standard: ISO/IEC 18004 (QR Code); Micro QR and rMQR are not read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.scan.bare import islands
from agent.scan.wire import Corners, Payload, Variant

__all__ = ["Cascade", "Luma"]

Luma = NDArray[np.uint8]

RETRIES = (Variant.UNSHARP, Variant.CLAHE, Variant.PYZBAR, Variant.BARE)
CALM = (3, 3)
"""Grain is smoothed before contrast is raised: sharpened grain costs zxing-cpp eight times a plain
miss, and hides more codes than it shows."""
SOFT_PX = 1.2
"""Standard deviation of the softening: from 3 pixels a module on a code outlasts it."""
STILL_MEAN = 1.5
"""Mean absolute difference of eighth-size pictures, in grey levels: above sensor noise."""
STILL_CELL = 20
"""One cell (8x8 pixels, averaged) that changed this much is a change: a phone far away."""
SCENES = 4
FORCED_EVERY = 16
"""A still scene gets a retry every so many misses all the same: drift, a patient person."""
LARGE_SIDE = 1_600
"""Still pictures longer than this are also read at a reduced size: huge codes, moire."""


@dataclass(slots=True)
class _Scene:
    """A view without a code, and what was tried on it."""

    picture: Luma
    tried: int = 0
    skipped: int = 0


class Cascade:
    """The decoders, loaded, and the memory of the last empty scene.

    Args:
        retry: whether a miss is retried at all.
        pyzbar: whether pyzbar is among the retries.

    Raises:
        ImportError: a decoder is not installed.
    """

    def __init__(self, *, retry: bool = True, pyzbar: bool = True) -> None:
        import cv2

        # Not an import statement: the stub file in zxing-cpp's wheel is not valid Python.
        zxingcpp: Any = import_module("zxingcpp")
        self._cv2: Any = cv2
        cv2.setNumThreads(1)
        self._read = zxingcpp.read_barcodes
        formats = zxingcpp.BarcodeFormat
        self._format = formats.QRCode  # a family, in zxing-cpp 3
        self._unwanted = (formats.MicroQRCode, formats.RMQRCode)
        self._clahe = cv2.createCLAHE(4.0, (8, 8))
        self._zbar: Callable[..., Any] | None = None
        self._zbar_symbols: list[Any] = []
        if pyzbar:
            from pyzbar.pyzbar import ZBarSymbol, decode

            self._zbar = decode
            self._zbar_symbols = [ZBarSymbol.QRCODE]
        self._retries = (
            tuple(variant for variant in RETRIES if pyzbar or variant is not Variant.PYZBAR)
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
        found = self._zxing(luma)
        if found or not self._retries:
            return found, Variant.PLAIN
        scene = self._scene(luma)
        if scene.tried >= len(self._retries) and scene.skipped + 1 < FORCED_EVERY:
            scene.skipped += 1
            return (), Variant.PLAIN
        scene.tried += 1
        scene.skipped = 0
        variant = self._retries[turn % len(self._retries)]
        return self._try(variant, luma), variant

    def decode_wary(self, luma: Luma) -> tuple[tuple[Payload, ...], Variant]:
        """Decode one frame of a stream that took too long as it is.

        Args:
            luma: (H, W) uint8; only read.
        """
        return self._try(Variant.SOFT, luma), Variant.SOFT

    def decode_still(self, luma: Luma) -> tuple[tuple[Payload, ...], Variant]:
        """Decode a still picture: every variant in turn until one finds something."""
        variants = [Variant.PLAIN, *self._retries]
        if max(luma.shape) > LARGE_SIDE:
            variants.append(Variant.REDUCED)
        else:
            variants.append(Variant.ENLARGED)
        if self._zbar is not None:
            variants.append(Variant.PYZBAR_FULL)
        for variant in variants:
            found = self._try(variant, luma)
            if found:
                return found, variant
        return (), variants[-1]

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

    def _try(self, variant: Variant, luma: Luma) -> tuple[Payload, ...]:
        cv2 = self._cv2
        if variant is Variant.UNSHARP:
            calm = cv2.GaussianBlur(luma, CALM, 0)
            return self._zxing(cv2.addWeighted(calm, 3.0, cv2.blur(luma, (5, 5)), -2.0, 0))
        if variant is Variant.CLAHE:
            return self._zxing(self._clahe.apply(cv2.GaussianBlur(luma, CALM, 0)))
        if variant is Variant.PYZBAR:
            return self._pyzbar(luma, 0.5)
        if variant is Variant.PYZBAR_FULL:
            return self._pyzbar(luma, 1.0)
        if variant is Variant.BARE:
            return self._bare(luma)
        if variant is Variant.SOFT:
            return self._zxing(cv2.GaussianBlur(luma, (0, 0), SOFT_PX))
        if variant is Variant.ENLARGED:
            return self._zxing_at(luma, 2.0)
        if variant is Variant.REDUCED:
            return self._zxing_at(luma, LARGE_SIDE / 2 / max(luma.shape))
        return self._zxing(luma)

    def _zxing_at(self, luma: Luma, scale: float) -> tuple[Payload, ...]:
        kind = self._cv2.INTER_CUBIC if scale > 1 else self._cv2.INTER_AREA
        picture = self._cv2.resize(luma, None, fx=scale, fy=scale, interpolation=kind)
        return tuple(
            Payload(p.data, _scaled(p.corners, 1 / scale), p.decoder) for p in self._zxing(picture)
        )

    def _bare(self, luma: Luma) -> tuple[Payload, ...]:
        for island in islands(self._cv2, luma):
            found = self._zxing(island.picture)
            if found:
                return tuple(
                    Payload(p.data, _moved(p.corners, *island.at), p.decoder) for p in found
                )
        return ()

    def _zxing(self, luma: Any) -> tuple[Payload, ...]:
        found: dict[tuple[bytes, Corners], Payload] = {}
        for result in self._read(luma, formats=self._format):
            place = result.position
            corners = (
                (place.top_left.x, place.top_left.y),
                (place.top_right.x, place.top_right.y),
                (place.bottom_right.x, place.bottom_right.y),
                (place.bottom_left.x, place.bottom_left.y),
            )
            data = bytes(result.bytes)
            if data and result.format not in self._unwanted:
                found[data, corners] = Payload(data, corners, "zxing-cpp")
        return tuple(found.values())

    def _pyzbar(self, luma: Luma, scale: float) -> tuple[Payload, ...]:
        if self._zbar is None:
            return ()
        picture = luma
        if scale != 1:
            size = (max(1, int(luma.shape[1] * scale)), max(1, int(luma.shape[0] * scale)))
            picture = self._cv2.resize(luma, size, interpolation=self._cv2.INTER_AREA)
        height, width = picture.shape
        results = self._zbar((picture.tobytes(), width, height), symbols=self._zbar_symbols)
        return tuple(
            Payload(bytes(result.data), _zbar_corners(result, 1 / scale), "pyzbar")
            for result in results
            if result.data and result.data.isascii()
        )


def _moved(corners: Corners, x: int, y: int) -> Corners:
    (ax, ay), (bx, by), (cx, cy), (dx, dy) = corners
    return (ax + x, ay + y), (bx + x, by + y), (cx + x, cy + y), (dx + x, dy + y)


def _scaled(corners: Corners, scale: float) -> Corners:
    (ax, ay), (bx, by), (cx, cy), (dx, dy) = corners
    return (
        (round(ax * scale), round(ay * scale)),
        (round(bx * scale), round(by * scale)),
        (round(cx * scale), round(cy * scale)),
        (round(dx * scale), round(dy * scale)),
    )


def _zbar_corners(result: Any, scale: float) -> Corners:
    """Return zbar's polygon where it has four points, else its bounding box."""
    points = [(int(point.x), int(point.y)) for point in result.polygon]
    if len(points) != 4:
        left, top, width, height = result.rect
        points = [
            (left, top),
            (left + width, top),
            (left + width, top + height),
            (left, top + height),
        ]
    a, b, c, d = points
    return _scaled((a, b, c, d), scale)
