"""Rendered clips to try the liveness layer on: people, and prints and screens held up instead.

From one picture of a face come short clips as a gate's camera would see them. They are drawings,
not recordings: what is measured on them is said of rendered attacks and of nothing else.

- `bona-fide`: a head with depth (ellipsoid and nose) that sways and turns before a still room.
- `print-flat`, `print-curved`, `print-cut`: paper with screening, white edge or cut along the face,
  held in the hand. `print-still`: the same on a stand.
- `screen-phone`, `screen-tablet`: a screen's raster, black frame and glare, held in the hand.
- `screen-replay`: a moving head played on a tablet's screen.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agent.biometrics.errors import FaceRejected
from agent.biometrics.geometry import warp
from agent.biometrics.picture import open_picture
from agent.biometrics.types import Face, FaceDetector

__all__ = ["BONA_FIDE", "SPECIES", "render_clip", "render_folder"]

BONA_FIDE = "bona-fide"
SPECIES = (
    "print-flat", "print-curved", "print-cut", "print-still",
    "screen-phone", "screen-tablet", "screen-replay",
)  # fmt: skip
"""Attack instrument species, ISO/IEC 30107-3."""
FRAMES = 15
FPS = 15.0
SPARE_PX = 160
FRAME = (480, 640)
PLATE = 480
"""Side of the square that a face is cut to before it is shown, with the face's box half as wide."""

Rgb = NDArray[np.uint8]
Floats = NDArray[np.float32]
Rng = np.random.Generator


@dataclass(frozen=True, slots=True)
class _Motion:
    """Where the shown thing is, and how it is turned, frame by frame (pixels, radians)."""

    x: Floats
    y: Floats
    yaw: Floats
    pitch: Floats
    roll: Floats
    scale: Floats


def render_clip(
    picture: Rgb, face: Face, species: str, rng: Rng, frames: int = FRAMES
) -> Iterator[Rgb]:
    """Yield the frames of one clip, each (480, 640, 3) uint8 RGB.

    Args:
        picture: (H, W, 3) uint8 with a face.
        face: where.
        species: `bona-fide` or one of `SPECIES`.
        rng: decides everything that is left open; the same seed gives the same clip.
        frames: how many.
    """
    plate = _plate(picture, face)
    room = _room(rng)
    width = float(rng.uniform(95, 190))
    head = _motion(rng, frames, sway=1.0, turn=float(rng.uniform(0.06, 0.2)))
    camera = _Camera(rng)
    if species == BONA_FIDE:
        body = _body(rng)
        for number in range(frames):
            yield camera.take(_head(plate, room, body, motion=head, number=number, width=width))
        return
    still = species == "print-still"
    hand = _motion(rng, frames, sway=0.0 if still else 1.6, turn=0.0 if still else 0.25)
    hand.yaw[...] += rng.uniform(-0.25, 0.25)
    hand.pitch[...] += rng.uniform(-0.15, 0.15)
    instrument = _Instrument(species, rng)
    for number in range(frames):
        shown = plate
        if species == "screen-replay":
            shown = _played(plate, head, number)
        yield camera.take(instrument.hold(shown, room, hand, number, width))


def _plate(picture: Rgb, face: Face) -> Rgb:
    """Cut a square around a face, its box half as wide as the square."""
    scale = 0.5 * PLATE / face.box.width
    middle = (face.box.x + face.box.width / 2, face.box.y + face.box.height / 2)
    matrix = np.array(
        [[scale, 0, PLATE / 2 - scale * middle[0]], [0, scale, PLATE / 2 - scale * middle[1]]]
    )
    return warp(picture, matrix, (PLATE, PLATE))


def _room(rng: Rng) -> Rgb:
    """Return a still background with soft shapes and straight edges, as rooms have."""
    import cv2

    small = (rng.integers(40, 200, (4, 5, 1)) + rng.integers(-25, 26, (4, 5, 3))).astype(np.uint8)
    room = cv2.resize(small, (FRAME[1], FRAME[0]), interpolation=cv2.INTER_CUBIC)
    for _ in range(int(rng.integers(2, 7))):
        x, y = int(rng.integers(0, FRAME[1])), int(rng.integers(0, FRAME[0]))
        far = (x + int(rng.integers(30, 220)), y + int(rng.integers(60, 400)))
        grey = int(rng.integers(40, 215))
        shade = tuple(float(grey + v) for v in rng.integers(-25, 26, 3))
        cv2.rectangle(room, (x, y), far, shade, -1 if rng.random() < 0.6 else 3)
    return np.asarray(cv2.GaussianBlur(room, (0, 0), float(rng.uniform(0.8, 3))), dtype=np.uint8)


def _motion(rng: Rng, frames: int, sway: float, turn: float) -> _Motion:
    """Return a smooth motion: each part is two slow waves of random phase."""
    time = np.arange(frames, dtype=np.float32) / FPS

    def wave(size: float) -> Floats:
        slow, quick = rng.uniform(0.15, 0.6), rng.uniform(0.6, 1.6)
        phases = rng.uniform(0, 2 * np.pi, 2)
        both = np.sin(2 * np.pi * slow * time + phases[0]) + 0.35 * np.sin(
            2 * np.pi * quick * time + phases[1]
        )
        return np.asarray(size * both, dtype=np.float32)

    still = np.zeros(frames, dtype=np.float32)
    return _Motion(
        x=wave(sway * float(rng.uniform(3, 12))) + float(rng.uniform(-60, 60)),
        y=wave(sway * float(rng.uniform(2, 7))) + float(rng.uniform(-25, 25)),
        yaw=wave(turn) if turn else still.copy(),
        pitch=wave(turn * 0.5) if turn else still.copy(),
        roll=wave(turn * 0.3) if turn else still.copy(),
        scale=1 + (wave(0.02 * sway) if sway else still),
    )


@functools.cache
def _grid() -> tuple[Floats, Floats]:
    """Return row and column of each plate pixel."""
    y, x = np.mgrid[0:PLATE, 0:PLATE].astype(np.float32)
    return y, x


@functools.cache
def _depth() -> Floats:
    """Return the head's height over the plate's plane in plate pixels: ellipsoid and nose."""
    y, x = _grid()
    across, down = (x - PLATE / 2) / (0.30 * PLATE), (y - 0.48 * PLATE) / (0.42 * PLATE)
    bulge = np.sqrt(np.maximum(1 - across**2 - down**2, 0)) * 0.24 * PLATE
    nose = np.exp(-(((x - PLATE / 2) / 22) ** 2 + ((y - 0.53 * PLATE) / 34) ** 2)) * 0.055 * PLATE
    return np.asarray(bulge + nose, dtype=np.float32)


@functools.cache
def _matte() -> Floats:
    """Return how much of each plate pixel is head, 0 to 1."""
    import cv2

    matte = np.zeros((PLATE, PLATE), dtype=np.float32)
    centre, axes = (PLATE // 2, int(0.47 * PLATE)), (int(0.31 * PLATE), int(0.43 * PLATE))
    cv2.ellipse(matte, centre, axes, 0.0, 0.0, 360.0, (1.0,), -1)
    return np.asarray(cv2.GaussianBlur(matte, (0, 0), 9), dtype=np.float32)


def _turned(plate: Floats, motion: _Motion, number: int) -> Floats:
    """Return the plate as a head with depth turned by yaw and pitch; any channels."""
    import cv2

    depth = _depth()
    y, x = _grid()
    yaw, pitch = float(motion.yaw[number]), float(motion.pitch[number])
    level = depth - 0.12 * PLATE
    middle = np.float32(PLATE / 2)
    source_x = middle + (x - middle - level * np.float32(np.sin(yaw))) / np.float32(np.cos(yaw))
    source_y = middle + (y - middle - level * np.float32(np.sin(pitch))) / np.float32(np.cos(pitch))
    moved = cv2.remap(plate, source_x, source_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, dtype=np.float32)


def _played(plate: Rgb, motion: _Motion, number: int) -> Rgb:
    """Return the plate with its head moving inside it, as a recording would show."""
    matte = _turned(_matte(), motion, number)[..., np.newaxis]
    turned = _turned(plate.astype(np.float32), motion, number)
    mixed = turned * matte + plate.astype(np.float32) * (1 - matte)
    return np.asarray(np.clip(mixed, 0, 255), dtype=np.uint8)


def _place(motion: _Motion, number: int, width: float) -> NDArray[np.float64]:
    """Return the (2, 3) similarity from plate to frame."""
    scale = width / (0.5 * PLATE) * float(motion.scale[number])
    turn = float(motion.roll[number])
    cos, sin = scale * np.cos(turn), scale * np.sin(turn)
    x = FRAME[1] / 2 + float(motion.x[number]) - (cos - sin) * PLATE / 2
    y = FRAME[0] / 2 + float(motion.y[number]) - (sin + cos) * PLATE / 2
    return np.array([[cos, -sin, x], [sin, cos, y]])


def _body(rng: Rng) -> Rgb:
    return np.asarray(rng.integers(20, 200, 3), dtype=np.uint8)


def _head(
    plate: Rgb, room: Rgb, body: Rgb, *, motion: _Motion, number: int, width: float
) -> Floats:
    """Return the room with a head, neck and shoulders in it."""
    import cv2

    place = _place(motion, number, width)
    size = (FRAME[1], FRAME[0])
    frame = room.astype(np.float32)
    x = float(place[0] @ (PLATE / 2, PLATE * 0.8, 1))
    y = float(place[1] @ (PLATE / 2, PLATE * 0.8, 1))
    shoulders: Floats = np.zeros(FRAME, dtype=np.float32)
    centre = (round(x), round(y + width * 1.1))
    axes = (round(width * 1.25), round(width * 0.95))
    cv2.ellipse(shoulders, centre, axes, 0.0, 0.0, 360.0, (1.0,), -1)
    soft = np.asarray(cv2.GaussianBlur(shoulders, (0, 0), 2.0))[..., np.newaxis]
    frame = np.asarray(frame * (1 - soft) + body * soft, dtype=np.float32)
    matte = cv2.warpAffine(_turned(_matte(), motion, number), place, size)[..., np.newaxis]
    shown = _turned(plate.astype(np.float32), motion, number)
    head = cv2.warpAffine(shown, place, size, flags=cv2.INTER_AREA)
    return np.asarray(frame * (1 - matte) + head * matte, dtype=np.float32)


class _Camera:
    """Blur, gain and noise of one camera for one clip."""

    def __init__(self, rng: Rng) -> None:
        self._rng = rng
        self._blur, self._gain = float(rng.uniform(0.5, 1.0)), float(rng.uniform(0.75, 1.15))
        size = (FRAME[0] + SPARE_PX, FRAME[1] + SPARE_PX, 3)
        strength = np.float32(rng.uniform(1.5, 4.0))
        # Drawn once and shown from another corner each time: drawing is the dearest step.
        self._grain = strength * rng.standard_normal(size, dtype=np.float32)

    def take(self, scene: Floats) -> Rgb:
        """Return what the camera makes of a scene."""
        import cv2

        seen = cv2.GaussianBlur(scene, (0, 0), self._blur) * self._gain
        top, left = self._rng.integers(0, SPARE_PX, 2)
        seen = seen + self._grain[top : top + FRAME[0], left : left + FRAME[1]]
        return np.asarray(np.clip(seen, 0, 255), dtype=np.uint8)


class _Instrument:
    """A print or a screen (presentation attack instrument) held before the camera."""

    def __init__(self, species: str, rng: Rng) -> None:
        self._screen = species.startswith("screen")
        self._bend = float(rng.uniform(0.25, 0.6)) if species == "print-curved" else 0.0
        self._cut = species == "print-cut"
        margin = float(rng.uniform(0.0, 0.12))
        if species in ("screen-tablet", "screen-replay"):
            self._sides = (0.0, 0.0, 1.0, 1.0)
        else:
            aside = float(rng.uniform(0.12, 0.2))
            self._sides = (aside, margin, 1 - aside, 1 - margin)
        self._edge = 22 if self._screen else int(rng.integers(0, 24))
        self._period = float(rng.uniform(1.3, 2.8)) if self._screen else float(rng.uniform(1.5, 3))
        self._depth = float(rng.uniform(0.06, 0.22)) * (1.0 if self._screen else 0.6)
        self._angle = 0.0 if self._screen else float(rng.uniform(0.2, 0.9))
        self._glare = [float(rng.uniform(0, high)) for high in (1, 1, 60)]

    def hold(self, plate: Rgb, room: Rgb, motion: _Motion, number: int, width: float) -> Floats:
        """Return the room with the instrument in it."""
        import cv2

        sheet, matte = self._sheet(plate)
        matrix = self._perspective(motion, number, width)
        size = (FRAME[1], FRAME[0])
        scale = width / (0.5 * PLATE)
        if scale < 0.6:
            sheet = np.asarray(cv2.GaussianBlur(sheet, (0, 0), 0.35 / scale), dtype=np.float32)
        there = cv2.warpPerspective(sheet, matrix, size, flags=cv2.INTER_LINEAR)
        mask = cv2.warpPerspective(matte, matrix, size, flags=cv2.INTER_LINEAR)[..., np.newaxis]
        there = there * self._raster(matrix, size)[..., np.newaxis]
        return np.asarray(room * (1 - mask) + there * mask, dtype=np.float32)

    def _sheet(self, plate: Rgb) -> tuple[Floats, Floats]:
        """Return the sheet in plate pixels with its edge, and where it is."""
        import cv2

        left, top, right, bottom = (round(s * (PLATE - 1)) for s in self._sides)
        matte: Floats = np.zeros((PLATE, PLATE), dtype=np.float32)
        if self._cut:
            matte = (_matte() > 0.5).astype(np.float32)
        else:
            matte[top : bottom + 1, left : right + 1] = 1
        shown = plate.astype(np.float32)
        if self._screen:
            shown = shown * 1.05 + 12
        else:
            grey = shown.mean(axis=2, keepdims=True)
            shown = (grey + (shown - grey) * 0.8) * 0.85 + 28
        y, x = (each / PLATE for each in _grid())
        gx, gy, strength = self._glare
        shown = shown + (strength * np.exp(-((x - gx) ** 2 + (y - gy) ** 2) * 9))[..., np.newaxis]
        if self._edge and not self._cut:
            colour = (14.0,) * 3 if self._screen else (238.0,) * 3
            cv2.rectangle(shown, (left, top), (right, bottom), colour, self._edge)
        if self._bend:
            wide = np.sin((x - 0.5) * 2 * self._bend * 1.5) / (2 * self._bend * 1.5) + 0.5
            around = np.asarray(wide * PLATE, dtype=np.float32)
            straight = np.asarray(y * PLATE, dtype=np.float32)
            lift = np.cos((x - 0.5) * 2 * self._bend)[..., np.newaxis]
            shown = cv2.remap(shown, around, straight, cv2.INTER_LINEAR) * lift
        return np.asarray(shown, dtype=np.float32), matte

    def _perspective(self, motion: _Motion, number: int, width: float) -> NDArray[np.float64]:
        """Return the (3, 3) homography from sheet to frame of a sheet turned in space."""
        yaw, pitch = float(motion.yaw[number]), float(motion.pitch[number])
        turn_y = np.array(
            [[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]]
        )
        turn_x = np.array(
            [[1, 0, 0], [0, np.cos(pitch), -np.sin(pitch)], [0, np.sin(pitch), np.cos(pitch)]]
        )
        away = 5.0 * PLATE
        rotated = turn_y @ turn_x
        flat = np.column_stack([rotated[:, 0], rotated[:, 1], (0, 0, away)])
        centre = np.array([[1, 0, -PLATE / 2], [0, 1, -PLATE / 2], [0, 0, 1]])
        lens = np.diag([away, away, 1.0])
        back = np.array([[1, 0, PLATE / 2], [0, 1, PLATE / 2], [0, 0, 1]])
        place = np.vstack([_place(motion, number, width), [0, 0, 1]])
        return np.asarray(place @ back @ lens @ flat @ centre, dtype=np.float64)

    def _raster(self, matrix: NDArray[np.float64], size: tuple[int, int]) -> Floats:
        """Return the screening as the sensor samples it: its period is that of few pixels."""
        y, x = np.mgrid[0 : size[1], 0 : size[0]].astype(np.float32)
        back = np.linalg.inv(matrix).astype(np.float32)
        depth = back[2, 0] * x + back[2, 1] * y + back[2, 2]
        u = (back[0, 0] * x + back[0, 1] * y + back[0, 2]) / depth
        v = (back[1, 0] * x + back[1, 1] * y + back[1, 2]) / depth
        per_pixel = float(
            np.hypot(back[0, 0], back[1, 0]) / max(abs(float(np.median(depth))), 1e-9)
        )
        step = 2 * np.pi / (self._period * max(per_pixel, 1e-6))
        cos, sin = np.cos(self._angle), np.sin(self._angle)
        waves = np.cos(step * (u * cos + v * sin)) + np.cos(step * (v * cos - u * sin))
        return np.asarray(1 + self._depth * waves / 2, dtype=np.float32)


def render_folder(
    faces: Path,
    out: Path,
    detector: FaceDetector,
    *,
    clips: int,
    frames: int = FRAMES,
    seed: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, int]:
    """Write clips of every species as folders of JPEG frames; return how many of each.

    Args:
        faces: pictures, one large face each is enough; searched at any depth.
        out: gets `SPECIES/NUMBER/FRAME.jpg`.
        detector: finds the face.
        clips: clips a species.
        frames: frames a clip.
        seed: decides everything.
        progress: called with clips done and all.

    Raises:
        ValueError: no picture shows a usable face.
    """
    import cv2

    rng = np.random.default_rng(seed)
    names = sorted(p for p in faces.rglob("*") if p.suffix.lower() in (".jpg", ".png", ".webp"))
    usable = _usable(names, detector, rng)
    kinds = (BONA_FIDE, *SPECIES)
    for number in range(clips):
        for place, species in enumerate(kinds):
            picture, face = next(usable)
            folder = out / species / f"{number:04d}"
            folder.mkdir(parents=True, exist_ok=True)
            for at, frame in enumerate(render_clip(picture, face, species, rng, frames)):
                bgr = cv2.cvtColor(frame, cv2.COLOR_RGB2BGR)
                cv2.imwrite(str(folder / f"{at:03d}.jpg"), bgr, [cv2.IMWRITE_JPEG_QUALITY, 95])
            if progress is not None:
                progress(number * len(kinds) + place + 1, clips * len(kinds))
    return dict.fromkeys(kinds, clips)


def _usable(names: list[Path], detector: FaceDetector, rng: Rng) -> Iterator[tuple[Rgb, Face]]:
    """Yield pictures with a face wide enough to be shown, in random order, for ever."""
    found = False
    while True:
        for place in rng.permutation(len(names)):
            try:
                picture = open_picture(names[place].read_bytes())
            except FaceRejected:
                continue
            faces = detector.detect(picture)
            if faces and faces[0].box.width >= MIN_SOURCE_PX:
                found = True
                yield picture, faces[0]
        if not found:
            raise ValueError("no picture shows a face of 60 pixels or more")


MIN_SOURCE_PX = 60
