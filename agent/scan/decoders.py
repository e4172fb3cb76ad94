"""The decoders, loaded once, and what a picture is prepared by before one of them sees it.

Rules:
- zxing-cpp reads QR codes only, as bytes, and every result counts: the signature decides which is
  real;
- zbar guesses a character set and re-encodes what is not ASCII: its bytes count where they are
  ASCII only;
- a part of a sequence of symbols (structured append) is no payload: a credential is one symbol.

No I/O and no clock. The caller bounds the time: nothing here can be trusted to return.
Standard: ISO/IEC 18004 (QR Code, model 2); model 1, Micro QR and rMQR are not read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agent.scan.bare import islands
from agent.scan.bent import Suspect, straightened, suspects
from agent.scan.places import Place
from agent.scan.preparations import PREPARATIONS, Prepared, moved_back, unsharp
from agent.scan.sequence import is_part
from agent.scan.wire import Corners, Payload, Variant

__all__ = ["Decoders", "Look", "Luma"]

Luma = NDArray[np.uint8]

CALM = (3, 3)
"""Grain is smoothed before contrast is raised: sharpened grain costs zxing-cpp eight times a plain
miss, and hides more codes than it shows."""
SOFT_PX = 1.2
"""Standard deviation of the softening: from 3 pixels a module on a code outlasts it."""
REDUCED_SIDE = 800
"""Longest side of a large still picture when it is read reduced: huge codes, moire."""
_BY_PYZBAR = frozenset({Variant.PYZBAR, Variant.PYZBAR_FULL, Variant.PYZBAR_MEAN})
_SIGHTED_BY = (Variant.MEAN_25, Variant.GLOBAL, Variant.MEAN_51)
"""Preparations by which a bent code's corners are looked for, beside the picture as it is."""
_ALONE = {"try_rotate": False, "try_downscale": False, "try_invert": False}
"""Where there is one code, upright and dark on light."""
CUT_PIXELS = 260_000
"""Of a place that is enlarged, once it is: the bound on what a look at it costs."""
CUT_SCALE = 2.0
"""A place is enlarged so much at most: more costs and finds nothing more."""
CUT_SHARP = 3.0
CUT_BLUR_PX = 1.65
"""Half the side of the square whose mean is sharpened away, in pixels before it was enlarged."""
CUT_WINDOW_PX = 16
"""Side of the square whose mean is the threshold, in pixels before it was enlarged."""


class Look(NamedTuple):
    """What a look at a picture as it is shows.

    Attributes:
        payloads: of the symbols that were read.
        failed: corners of those whose checksum failed. What they say is thrown away here.
    """

    payloads: tuple[Payload, ...]
    failed: tuple[Corners, ...]


class Decoders:
    """zxing-cpp, pyzbar and OpenCV.

    Args:
        pyzbar: whether pyzbar is loaded.

    Raises:
        ImportError: a decoder is not installed.
    """

    def __init__(self, *, pyzbar: bool = True) -> None:
        import cv2

        # Not an import statement: the stub file in zxing-cpp's wheel is not valid Python.
        zxingcpp: Any = import_module("zxingcpp")
        import_module("json")  # by which `Barcode.extra` is read: a confined process opens no files
        self.cv2: Any = cv2
        cv2.setNumThreads(1)
        self._read = zxingcpp.read_barcodes
        formats = zxingcpp.BarcodeFormat
        self._format = formats.QRCode  # a family, in zxing-cpp 3
        self._unwanted = (formats.MicroQRCode, formats.RMQRCode, formats.QRCodeModel1)
        self._binarizers = zxingcpp.Binarizer
        self._parts: set[int] = set()
        """Hashes of this picture's parts of sequences: with an error in it, one looks whole."""
        self._clahe = cv2.createCLAHE(4.0, (8, 8))
        self._zbar: Callable[..., Any] | None = None
        self._zbar_symbols: list[Any] = []
        if pyzbar:
            from pyzbar.pyzbar import ZBarSymbol, decode

            self._zbar = decode
            self._zbar_symbols = [ZBarSymbol.QRCODE]

    @property
    def has_pyzbar(self) -> bool:
        """Whether pyzbar is loaded."""
        return self._zbar is not None

    def read(self, variant: Variant, luma: Luma) -> tuple[Payload, ...]:
        """Prepare a picture in a way and read it.

        Args:
            variant: the way; `NONE` and `PLAIN` are none.
            luma: (H, W) uint8; only read.
        """
        if variant is Variant.PLAIN:  # which every picture begins with
            self._parts.clear()
        if self._parts and variant in _BY_PYZBAR:
            return ()  # zbar puts parts together
        return self._whole(self._by(variant, luma))

    def _whole(self, found: tuple[Payload, ...]) -> tuple[Payload, ...]:
        """Return what is no part of a sequence."""
        return tuple(payload for payload in found if hash(payload.data) not in self._parts)

    def _by(self, variant: Variant, luma: Luma) -> tuple[Payload, ...]:
        cv2 = self.cv2
        if variant is Variant.UNSHARP:
            return self._zxing(unsharp(cv2, luma))
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
            return self._zxing_at(luma, REDUCED_SIDE / max(luma.shape))
        if variant is Variant.BENT:
            return self._bent(luma)
        if variant in PREPARATIONS:
            return self._prepared(PREPARATIONS[variant](cv2, luma))
        return self._zxing(luma)

    def _prepared(self, made: Prepared) -> tuple[Payload, ...]:
        if made.binarizer is None:
            found = self._pyzbar(made.picture, 1.0)
        else:
            found = self._zxing(made.picture, binarizer=self._binarizers[made.binarizer])
        return tuple(Payload(p.data, moved_back(p.corners, made.back), p.decoder) for p in found)

    def _bent(self, luma: Luma) -> tuple[Payload, ...]:
        for suspect in suspects(list(self._sighted(luma))):
            for picture, corners in straightened(self.cv2, luma, suspect):
                found = self._zxing(picture, **_ALONE)
                if found:
                    return tuple(Payload(p.data, corners, p.decoder) for p in found)
        return ()

    def _sighted(self, luma: Luma) -> Iterator[Suspect]:
        """Return the codes whose checksum fails, by several preparations that keep their place."""
        pictures = [(luma, self._binarizers.LocalAverage)]
        for variant in _SIGHTED_BY:
            made = PREPARATIONS[variant](self.cv2, luma)
            pictures.append((made.picture, self._binarizers[made.binarizer]))
        for picture, binarizer in pictures:
            for result in self._read(
                picture, formats=self._format, binarizer=binarizer, return_errors=True
            ):
                version = str((result.extra or {}).get("Version", ""))
                if version.isdecimal():  # a letter leads those of Micro QR and rMQR
                    corners = np.array(_corners(result.position), dtype=float)
                    yield Suspect(17 + 4 * int(version), corners)

    def look(self, luma: Luma, *, invert: bool) -> Look:
        """Read a picture as it is, and say where symbols failed.

        Args:
            luma: (H, W) uint8; only read.
            invert: whether light modules on dark are looked for too: half as much again.
        """
        self._parts.clear()
        payloads, failed = self._results(luma, return_errors=True, try_invert=invert)
        return Look(self._whole(payloads), failed)

    def read_place(self, variant: Variant, luma: Luma, place: Place) -> tuple[Payload, ...]:
        """Read a part of a picture.

        Args:
            variant: `PLACE`, enlarged, sharpened and each pixel held against its surroundings,
                which reads at two pixels a module; `PLACE_GLOBAL`, against one threshold for all.
            luma: (H, W) uint8, the whole picture; only read.
            place: inside it.
        """
        cv2 = self.cv2
        part = np.ascontiguousarray(place.of(luma))
        scale = 1.0
        if variant is Variant.PLACE_GLOBAL:
            found = self._zxing(unsharp(cv2, part), binarizer=self._binarizers.GlobalHistogram)
        else:
            scale = min(CUT_SCALE, max(1.0, (CUT_PIXELS / part.size) ** 0.5))
            large = cv2.resize(part, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
            side = 2 * round(CUT_BLUR_PX * scale) + 1
            soft = cv2.blur(large, (side, side))
            sharp = cv2.addWeighted(large, 1 + CUT_SHARP, soft, -CUT_SHARP, 0)
            window = 2 * round(CUT_WINDOW_PX * scale / 2) + 1
            mean, binary = cv2.ADAPTIVE_THRESH_MEAN_C, cv2.THRESH_BINARY
            found = self._zxing(
                cv2.adaptiveThreshold(sharp, 255, mean, binary, window, 0),
                binarizer=self._binarizers.BoolCast,
            )
        return tuple(
            Payload(p.data, _moved(_scaled(p.corners, 1 / scale), *place[:2]), p.decoder)
            for p in self._whole(found)
        )

    def _zxing_at(self, luma: Luma, scale: float) -> tuple[Payload, ...]:
        kind = self.cv2.INTER_CUBIC if scale > 1 else self.cv2.INTER_AREA
        picture = self.cv2.resize(luma, None, fx=scale, fy=scale, interpolation=kind)
        return tuple(
            Payload(p.data, _scaled(p.corners, 1 / scale), p.decoder) for p in self._zxing(picture)
        )

    def _bare(self, luma: Luma) -> tuple[Payload, ...]:
        for island in islands(self.cv2, luma):
            found = self._zxing(island.picture)
            if found:
                return tuple(
                    Payload(p.data, _moved(p.corners, *island.at), p.decoder) for p in found
                )
        return ()

    def _zxing(self, luma: Any, **options: Any) -> tuple[Payload, ...]:
        return self._results(luma, **options)[0]

    def _results(
        self, luma: Any, **options: Any
    ) -> tuple[tuple[Payload, ...], tuple[Corners, ...]]:
        """Return what was read, and where a symbol failed."""
        found: dict[tuple[bytes, Corners], Payload] = {}
        failed = []
        for result in self._read(luma, formats=self._format, **options):
            if result.format in self._unwanted:
                continue
            corners = _corners(result.position)
            if not result.valid:
                failed.append(corners)
                continue
            data = bytes(result.bytes)
            if not data:
                continue
            if is_part(result):
                self._parts.add(hash(data))
            else:
                found[data, corners] = Payload(data, corners, "zxing-cpp")
        return tuple(found.values()), tuple(failed)

    def _pyzbar(self, luma: Luma, scale: float) -> tuple[Payload, ...]:
        if self._zbar is None:
            return ()
        picture = luma
        if scale != 1:
            size = (max(1, int(luma.shape[1] * scale)), max(1, int(luma.shape[0] * scale)))
            picture = self.cv2.resize(luma, size, interpolation=self.cv2.INTER_AREA)
        height, width = picture.shape
        try:
            results = self._zbar((picture.tobytes(), width, height), symbols=self._zbar_symbols)
        except ValueError:  # a part of a sequence, which has no orientation in pyzbar 0.1.9
            return ()
        return tuple(
            Payload(bytes(result.data), _zbar_corners(result, 1 / scale), "pyzbar")
            for result in results
            if result.data and result.data.isascii()
        )


def _corners(place: Any) -> Corners:
    return (
        (place.top_left.x, place.top_left.y),
        (place.top_right.x, place.top_right.y),
        (place.bottom_right.x, place.bottom_right.y),
        (place.bottom_left.x, place.bottom_left.y),
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
