"""A hall, a phone in it and the camera that looks at both: the light, the lens, the sensor.

Rules:
- Light is linear until the sensor. 1.0 is the hall's mean luminance; the camera's automatic exposure
  puts it at `MID_GREY` of what saturates it, at an exposure value of 0. A phone's white is 12 to 20
  times as bright as a hall, so that it saturates at 0 and does not at -2.
- A stop less is half the exposure time, so it halves motion blur too.
- A picture is the mean of what the phone's places were while the shutter was open, with the time of
  each row (rolling shutter); then the lens (core, defocus, halo), falloff to the corners, shot and
  read noise, saturation, and the tone curve of a camera's ISP.
- Everything follows from generators that are given.

Lengths are millimetres, angles degrees, times seconds, unless a name says otherwise.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["Camera", "Crack", "Glare", "Hall", "Page", "Pose", "Sensor", "Shutter", "focal_px"]

Light = NDArray[np.float32]
Luma = NDArray[np.uint8]
Chance = np.random.Generator
Box = tuple[int, int, int, int]
"""Left, top, right, bottom."""

FIELD_OF_VIEW = 66.0
MID_GREY = 0.18
SKIN = np.float32(0.7)
PHONE = (72.0, 150.0)
RIM = (2.0, 6.0)
"""Of the body around the screen: at the sides, above and below."""
FINE = (10.0, 7.0, 5.0, 3.5, 2.5)
"""Pixels a module of the drawn page; that which is at least `OVER` times as fine as seen is taken."""
OVER = 1.5
GAMMA = 1 / 2.2
FULL_WELL = 5_000.0
"""Electrons that saturate a pixel of a 1280x720 picture, at the gain of a lit hall."""
READ_NOISE = 5.0
HALO = ((0.08, 2.0), (0.04, 14.0))
"""Parts of the light that a clean lens scatters, and the spread of each in pixels at 1280."""
BASE_WIDTH = 1280


def focal_px(width: int) -> float:
    """Return the focal length of a picture so many pixels wide."""
    return width / 2 / math.tan(math.radians(FIELD_OF_VIEW / 2))


@dataclass(frozen=True, slots=True)
class Pose:
    """Where the code's centre is before the lens, and how the phone is turned."""

    x: float
    y: float
    z: float
    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0

    def homography(self, focal: float, width: int, height: int) -> NDArray[np.float64]:
        """Return the 3x3 matrix from millimetres on the phone, from the code's centre, to pixels."""
        yaw, pitch, roll = (math.radians(a) for a in (self.yaw, self.pitch, self.roll))
        cy, sy, cp, sp, cr, sr = (
            math.cos(yaw), math.sin(yaw), math.cos(pitch), math.sin(pitch),
            math.cos(roll), math.sin(roll),
        )  # fmt: skip
        about_x = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
        about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
        about_z = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
        turned = about_z @ about_y @ about_x
        plane = np.column_stack([turned[:, 0], turned[:, 1], (self.x, self.y, self.z)])
        lens = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])
        return np.asarray(lens @ plane)


Path = Callable[[float], Pose]
"""The pose at a time."""


@dataclass(frozen=True, slots=True)
class Crack:
    """Broken glass: how many cracks go out from one point, and how much of the picture they cost."""

    at: tuple[float, float]
    rays: int
    wide: float
    dead: float
    """Radius of what shows nothing, around the point."""


@dataclass(frozen=True, slots=True, eq=False)
class Page:
    """What the phone's screen shows, as light: a code on a page, in a body.

    Attributes:
        modules: (n, n) uint8 without quiet zone, 1 is dark.
        code_mm: side of the code.
        quiet: modules of quiet zone that the page gives; the page around is dark where it is under 4.
        white: luminance of the white, in halls.
        black: luminance of the black, reflections included.
        inverted: light modules on a dark page.
        crack: broken glass.
        seed: of the crack's course.
    """

    modules: NDArray[np.uint8]
    code_mm: float
    quiet: float = 4.0
    white: float = 16.0
    black: float = 0.15
    inverted: bool = False
    crack: Crack | None = None
    seed: int = 0

    @property
    def module_mm(self) -> float:
        """Side of a module."""
        return self.code_mm / self.modules.shape[0]

    def drawn(self, fine: float) -> tuple[Light, float]:
        """Return the phone as (H, W) light, and pixels a millimetre."""
        per_mm = 8 / self.module_mm
        wide, tall = (round(side * per_mm) for side in PHONE)
        dark, light = (1.0, 0.0) if self.inverted else (0.0, 1.0)
        face = np.full((tall, wide), 0.0, np.float32)
        rim_x, rim_y = (round(r * per_mm) for r in RIM)
        face[rim_y : tall - rim_y, rim_x : wide - rim_x] = 0.06 if self.quiet < 4 else light
        code = cv2.resize(
            np.where(self.modules, dark, light).astype(np.float32), None, fx=8, fy=8,
            interpolation=cv2.INTER_NEAREST,
        )  # fmt: skip
        side, quiet = code.shape[0], round(self.quiet * 8)
        left, top = (wide - side) // 2, (tall - side) // 2
        face[
            max(rim_y, top - quiet) : top + side + quiet,
            max(rim_x, left - quiet) : min(wide - rim_x, left + side + quiet),
        ] = light
        face[top : top + side, left : left + side] = code
        self._letters(face, left, top, side, 1 - light if self.quiet >= 4 else 0.5)
        if self.crack:
            self._break(face, self.crack, per_mm)
        scale = fine / 8
        size = (round(wide * scale), round(tall * scale))
        small = cv2.resize(
            face, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        )
        return small * np.float32(self.white) + np.float32(self.black), fine / self.module_mm

    def _letters(self, face: Light, left: int, top: int, side: int, ink: float) -> None:
        """Draw lines of bars above and below, where a wallet has its text."""
        chance = np.random.default_rng((self.seed, 1))
        for y in (top - 110, top - 75, top + side + 70, top + side + 105, top + side + 140):
            x = left
            while x < left + side * 0.8 and 20 < y < face.shape[0] - 40:
                end = x + int(chance.integers(8, 40))
                cv2.rectangle(face, (x, y), (end, y + 12), [ink], -1)
                x = end + 8

    def _break(self, face: Light, crack: Crack, per_mm: float) -> None:
        chance = np.random.default_rng((self.seed, 2))
        middle = np.array([face.shape[1] / 2, face.shape[0] / 2]) + np.array(crack.at) * per_mm
        wide = max(1, round(crack.wide * per_mm))
        for ray in range(crack.rays):
            angle = 2 * math.pi * (ray + chance.uniform(-0.3, 0.3)) / crack.rays
            place, points = middle.copy(), [middle.copy()]
            for _ in range(12):
                angle += chance.normal(0, 0.18)
                place = place + chance.uniform(4, 8) * per_mm * np.array(
                    [math.cos(angle), math.sin(angle)]
                )
                points.append(place)
            course = np.array(points, np.int32)[None]
            cv2.polylines(face, list(course), False, [0.1], 2 * wide, cv2.LINE_AA)
            cv2.polylines(face, list(course + wide // 2), False, [0.8], wide, cv2.LINE_AA)
        cv2.circle(face, tuple(int(v) for v in middle), round(crack.dead * per_mm), [0.03], -1)


@dataclass(frozen=True, slots=True)
class Glare:
    """A lamp's reflection on the glass: a soft-edged tube, in halls; it goes half as far as the phone."""

    strength: float
    at: tuple[float, float]
    size: tuple[float, float]
    angle: float


@dataclass(frozen=True, slots=True)
class Shutter:
    """How the sensor is exposed.

    Attributes:
        exposure_s: at an exposure value of 0.
        readout_s: from the first row to the last.
        pwm_hz: of the screen's dimming; 0 is none.
        pwm_duty: part of the period in which the screen is lit.
        wobble: amplitude in millimetres and frequency of what shakes the phone within a frame.
    """

    exposure_s: float = 0.014
    readout_s: float = 0.016
    pwm_hz: float = 0.0
    pwm_duty: float = 0.5
    wobble: tuple[float, float] = (0.0, 0.0)


class Hall:
    """A wall, a floor, posters, lamps, and people who walk through.

    Args:
        seed: of everything in it.
        size: (width, height) pixels.
        people: how many walk.
        speed: of the walk, in parts of the picture's width a second.
    """

    def __init__(
        self, seed: int, size: tuple[int, int], *, people: int = 3, speed: float = 0.15
    ) -> None:
        self._size = size
        chance = np.random.default_rng((seed, 11))
        self._wall = self._furnish(chance)
        self._people = [self._person(chance, speed) for _ in range(people)]

    def at(self, when: float) -> Light:
        """Return the hall at that moment, (H, W) float32, its mean about 1."""
        picture = self._wall.copy()
        width, height = self._size
        for figure, mask, x, y, speed in self._people:
            tall, wide = figure.shape
            way = width + 2 * wide
            left = int((x * way + speed * width * when) % way) - wide
            bob = int(0.008 * height * math.sin(11 * when + x * 6))
            top = int(y * height) + bob
            x0, x1, y0, y1 = (
                max(0, left),
                min(width, left + wide),
                max(0, top),
                min(height, top + tall),
            )
            if x0 < x1 and y0 < y1:
                inner = np.s_[y0 - top : y1 - top, x0 - left : x1 - left]
                place = picture[y0:y1, x0:x1]
                place += (figure[inner] - place) * mask[inner]
        return picture

    def _furnish(self, chance: Chance) -> Light:
        width, height = self._size
        hall: Any = np.full((height, width), chance.uniform(0.8, 1.3), np.float32)
        hall[int(height * 0.72) :] *= 0.6
        for _ in range(16):
            x, y = int(chance.integers(-40, width)), int(chance.integers(-40, height))
            w, h = (
                int(chance.integers(width // 24, width // 5)),
                int(chance.integers(height // 12, height // 2)),
            )
            cv2.rectangle(hall, (x, y), (x + w, y + h), [chance.uniform(0.15, 1.9)], -1)
        for _ in range(int(chance.integers(2, 6))):
            x, y = int(chance.integers(0, width)), int(chance.integers(0, height * 2 // 3))
            self._poster(hall, x, y, chance)
        for _ in range(int(chance.integers(1, 4))):
            x, y = int(chance.integers(0, width)), int(chance.integers(0, height // 4))
            cv2.rectangle(
                hall, (x, y), (x + width // 8, y + height // 40), [chance.uniform(6, 20)], -1
            )
        hall = np.asarray(cv2.GaussianBlur(hall, (0, 0), 1.6 * width / BASE_WIDTH), np.float32)
        rough = chance.normal(0, 1, (height // 2, width // 2)).astype(np.float32)
        hall *= 1 + 0.05 * cv2.resize(rough, self._size, interpolation=cv2.INTER_LINEAR)
        return np.asarray(hall / np.clip(hall, 0, 4).mean(), np.float32)

    def _poster(self, hall: Light, x: int, y: int, chance: Chance) -> None:
        """Print lines of letters: what costs a decoder most."""
        paper = float(chance.uniform(1.2, 2.2))
        wide, tall = (int(v) for v in chance.integers(110, 260, 2))
        cv2.rectangle(hall, (x, y), (x + wide, y + tall), [paper], -1)
        step = int(chance.integers(8, 18))
        for row in range(y + step, y + tall - step, step):
            at = x + step
            while at < x + wide - 2 * step:
                end = at + int(chance.integers(2, 9))
                cv2.rectangle(hall, (at, row), (end, row + step // 2), [paper * 0.15], -1)
                at = end + int(chance.integers(2, 6))

    def _person(self, chance: Chance, speed: float) -> tuple[Light, Light, float, float, float]:
        height = self._size[1]
        tall = int(height * chance.uniform(0.7, 1.1))
        wide = int(tall * chance.uniform(0.3, 0.42))
        cloth: Any = np.full((tall, wide), chance.uniform(0.1, 1.0), np.float32)
        period, angle = chance.uniform(5, 30), chance.uniform(0, math.pi)
        across, down = np.meshgrid(
            np.arange(wide, dtype=np.float32), np.arange(tall, dtype=np.float32)
        )
        stripes = np.sin((across * math.cos(angle) + down * math.sin(angle)) * 2 * math.pi / period)
        cloth *= 1 + np.float32(chance.uniform(0, 0.7)) * np.sign(stripes)
        fold = cv2.resize(
            chance.normal(1, 0.25, (12, 6)).astype(np.float32),
            (wide, tall),
            interpolation=cv2.INTER_CUBIC,
        )
        cloth *= np.clip(fold, 0.3, 1.7)
        mask: Any = np.zeros((tall, wide), np.float32)
        head = (wide // 2, round(tall * 0.12)), (round(tall * 0.075), round(tall * 0.11))
        cv2.ellipse(cloth, *head, 0, 0, 360, [chance.uniform(0.5, 1.4)], -1)
        cv2.ellipse(mask, *head, 0, 0, 360, [1.0], -1)
        hair = (wide // 2, round(tall * 0.06)), (round(tall * 0.08), round(tall * 0.06))
        cv2.ellipse(cloth, *hair, 0, 180, 360, [0.12], -1)
        body = (wide // 2, round(tall * 0.75)), (wide // 2 - 4, round(tall * 0.53))
        cv2.ellipse(mask, *body, 0, 0, 360, [1.0], -1)
        mask = np.asarray(cv2.GaussianBlur(mask, (0, 0), 2), np.float32)
        cloth = np.asarray(cv2.GaussianBlur(cloth, (0, 0), 1.5), np.float32)
        way = float(chance.choice([-1, 1]) * chance.uniform(0.5, 1.5) * speed)
        return cloth, mask, float(chance.uniform()), float(chance.uniform(0.05, 0.35)), way


@functools.lru_cache(maxsize=4)
def _grain(seed: int, size: tuple[int, int]) -> Light:
    """Noise of standard deviation 1, larger than the picture, so that each frame takes another part."""
    width, height = size
    return np.random.default_rng((seed, 5)).standard_normal((height + 64, width + 64), np.float32)


@functools.lru_cache(maxsize=4)
def _falloff(size: tuple[int, int], corner: float) -> Light:
    width, height = size
    across = (np.arange(width, dtype=np.float32) - width / 2)[None] / (width / 2)
    down = (np.arange(height, dtype=np.float32) - height / 2)[:, None] / (width / 2)
    return np.asarray(1 - corner * (across**2 + down**2) / (1 + (height / width) ** 2), np.float32)


@functools.lru_cache(maxsize=1)
def _tones() -> Luma:
    """Grey levels of linear light in 4,096 steps."""
    return np.rint(255 * np.linspace(0, 1, 4096) ** GAMMA).astype(np.uint8)


class Sensor:
    """A lens's halo, and the sensor behind it.

    Args:
        size: (width, height) pixels.
        halo: what the lens scatters more than a clean one: grease, bloom; 1 is clean.
        full_well: electrons that saturate a pixel of a picture 1280 wide.
        grain: seed of the noise.
    """

    def __init__(
        self,
        size: tuple[int, int],
        *,
        halo: float = 1.0,
        full_well: float = FULL_WELL,
        grain: int = 0,
    ) -> None:
        self._size = size
        self._scale = size[0] / BASE_WIDTH
        self._halo = halo
        self._well = full_well / self._scale**2
        self._grain = _grain(grain, size)

    def take(self, light: Light, ev: float, chance: Chance) -> Luma:
        """Take one picture, (H, W) uint8.

        Args:
            light: what comes to the lens, (H, W) float32.
            ev: exposure value in stops.
            chance: of noise.
        """
        light = self._scattered(light)
        light *= _falloff(self._size, 0.35)
        light *= np.float32(MID_GREY * 2**ev)
        return self._sensed(light, chance)

    def _scattered(self, light: Light) -> Light:
        """Return the light with the lens's halo, whose wide part is drawn at an eighth of the size."""
        kept = 1.0
        halo = np.zeros_like(light)
        for (part, spread), shrink in zip(HALO, (2, 8), strict=True):
            share = min(0.35, part * self._halo)
            size = (self._size[0] // shrink, self._size[1] // shrink)
            small = cv2.resize(light, size, interpolation=cv2.INTER_AREA)
            wide = spread * self._scale * math.sqrt(max(1.0, self._halo)) / shrink
            small = cv2.GaussianBlur(small, (0, 0), wide)
            halo += np.float32(share) * cv2.resize(
                small, self._size, interpolation=cv2.INTER_LINEAR
            )
            kept -= share
        return np.asarray(cv2.addWeighted(light, kept, halo, 1.0, 0), np.float32)

    def _sensed(self, light: Light, chance: Chance) -> Luma:
        width, height = self._size
        left, top = (int(v) for v in chance.integers(0, 64, 2))
        grain = self._grain[top : top + height, left : left + width]
        # In OpenCV: a frame of a set is drawn five thousand times.
        read = (READ_NOISE / self._well) ** 2
        sigma = cv2.sqrt(cv2.addWeighted(light, 1 / self._well, light, 0, read))
        noisy = cv2.add(light, cv2.multiply(grain, sigma))
        steps = np.clip(noisy, 0, 1, out=noisy)
        return np.take(_tones(), cv2.multiply(steps, 4095).astype(np.uint16), mode="clip")


class Camera:
    """A camera before which a phone is held.

    Args:
        page: what the phone shows.
        size: (width, height) pixels.
        shutter: how it is exposed.
        sharp_px: standard deviation of the lens's core at 1280 pixels.
        defocus_mm: how large a point of the code's plane is smeared, as the aperture does.
        moire: depth of the beat between the screen's grid and the sensor's, and its period in pixels.
        glare: a reflection.
        finger: (x, y, half width, half height, angle) of a thumb over the phone, from the code's centre.
        halo: see `Sensor`.
        full_well: see `Sensor`.
    """

    def __init__(
        self,
        page: Page,
        size: tuple[int, int],
        *,
        shutter: Shutter,
        sharp_px: float = 0.55,
        defocus_mm: float = 0.0,
        halo: float = 1.0,
        full_well: float = FULL_WELL,
        moire: tuple[float, float] = (0.0, 4.0),
        glare: Glare | None = None,
        finger: tuple[float, float, float, float, float] | None = None,
    ) -> None:
        self._size = size
        self._focal = focal_px(size[0])
        self._scale = size[0] / BASE_WIDTH
        self._page = page
        self._shutter = shutter
        self._sharp = sharp_px
        self._defocus = defocus_mm
        self._sensor = Sensor(size, halo=halo, full_well=full_well)
        self._moire = moire
        self._glare = glare
        self._finger = finger
        self._drawn = functools.cache(page.drawn)

    def px_per_module(self, distance: float) -> float:
        """Return pixels a module of a code held straight at that distance."""
        return self._focal * self._page.module_mm / distance

    def expose(
        self,
        hall: Light,
        path: Path,
        when: float,
        ev: float,
        chance: Chance,
    ) -> Luma:
        """Take one picture, (H, W) uint8.

        Args:
            hall: what is behind, (H, W) float32.
            path: the phone's pose at a time.
            when: middle of the exposure of the middle row.
            ev: exposure value in stops.
            chance: of noise and phases.
        """
        light = hall.copy()
        open_s = self._shutter.exposure_s * 2**ev
        box, steps = self._reach(path, when, open_s)
        x0, y0, x1, y1 = box
        if x0 < x1 and y0 < y1:
            pose = path(when)
            lit, cover = self._phone(path, when, open_s, box, steps)
            lit = self._lit(lit, box, pose, open_s, chance)
            if self._finger:
                thumb = self._thumb(self._finger, box, pose)
                lit += (SKIN - lit) * thumb
                cover = np.maximum(cover, thumb)
            part = light[y0:y1, x0:x1]
            part *= 1 - cover
            part += lit
        return self._sensor.take(light, ev, chance)

    def _reach(self, path: Path, when: float, open_s: float) -> tuple[Box, int]:
        """Return where the phone is while the shutter is open, and in how many steps it goes."""
        width, height = self._size
        first, last = (self._corners(path(when + s * open_s / 2)) for s in (-1, 1))
        both = np.vstack([first, last])
        reach = math.ceil(8 * self._scale + self._defocus * self._focal / path(when).z)
        x0, y0 = (int(v) for v in np.maximum(np.floor(both.min(0)) - reach, 0))
        x1, y1 = (int(v) for v in np.minimum(np.ceil(both.max(0)) + reach, (width, height)))
        moved = float(np.abs(last - first).max())
        return (x0, y0, x1, y1), int(np.clip(math.ceil(moved / (1.4 * self._scale)), 1, 10))

    def _phone(
        self, path: Path, when: float, open_s: float, box: Box, steps: int
    ) -> tuple[Light, Light]:
        """Return the phone's light and how much it covers, each (h, w), where `box` is."""
        light = np.zeros((box[3] - box[1], box[2] - box[0]), np.float32)
        cover = np.zeros_like(light)
        for step in range(steps):
            part = self._still(path, when + ((step + 0.5) / steps - 0.5) * open_s, box)
            for total, one in zip((light, cover), part, strict=True):
                cv2.scaleAdd(one, 1 / steps, total, total)
        return self._focused(light, path(when).z), self._focused(cover, path(when).z)

    def _corners(self, pose: Pose) -> NDArray[np.float64]:
        wide, tall = PHONE[0] / 2, PHONE[1] / 2
        matrix = pose.homography(self._focal, *self._size)
        corners = np.array([[-wide, -tall, 1], [wide, -tall, 1], [wide, tall, 1], [-wide, tall, 1]])
        seen = corners @ matrix.T
        return np.asarray(seen[:, :2] / seen[:, 2:])

    def _still(self, path: Path, at: float, box: Box) -> tuple[Light, Light]:
        """Return the phone's light and cover as rows see it, each at its own time."""
        pose = path(at)
        seen = self.px_per_module(pose.z)
        fine = next((f for f in reversed(FINE) if f >= OVER * seen), FINE[0])
        page, per_mm = self._drawn(fine)
        # The first and the last row are half a readout apart from the middle one: a shear.
        half = self._shutter.readout_s / 2
        early, late = path(at - half), path(at + half)
        per_row = self._focal / pose.z / self._size[1]
        drift_x, drift_y = (late.x - early.x) * per_row, (late.y - early.y) * per_row
        middle = self._size[1] / 2
        shear = [[1, drift_x, -drift_x * middle], [0, 1 + drift_y, -drift_y * middle], [0, 0, 1]]
        to_mm = [[1 / per_mm, 0, -PHONE[0] / 2], [0, 1 / per_mm, -PHONE[1] / 2], [0, 0, 1]]
        to_box = [[1, 0, -box[0]], [0, 1, -box[1]], [0, 0, 1]]
        lens = pose.homography(self._focal, *self._size)
        matrix = np.array(to_box) @ np.array(shear) @ lens @ np.array(to_mm)
        size = (box[2] - box[0], box[3] - box[1])
        light = cv2.warpPerspective(page, matrix, size, flags=cv2.INTER_LINEAR)
        tall, wide = page.shape
        corners = np.array([[0, 0, 1], [wide, 0, 1], [wide, tall, 1], [0, tall, 1]]) @ matrix.T
        outline = np.rint(16 * (corners[:, :2] / corners[:, 2:] - 0.5)).astype(np.int32)
        cover = np.zeros(light.shape, np.uint8)
        cv2.fillConvexPoly(cover, outline, 255, cv2.LINE_AA, 4)
        covered = cover.astype(np.float32) * np.float32(1 / 255)
        if self._shutter.wobble[0] > 0:
            return self._wobbled(light, box, at, pose.z), self._wobbled(covered, box, at, pose.z)
        return np.asarray(light, np.float32), covered

    def _wobbled(self, picture: Light, box: Box, at: float, z: float) -> Light:
        amplitude, hertz = self._shutter.wobble
        x0, y0, x1, y1 = box
        row_s = at + (np.arange(y0, y1) / self._size[1] - 0.5) * self._shutter.readout_s
        shift = amplitude * self._focal / z * np.sin(2 * math.pi * hertz * row_s)
        across = np.arange(x1 - x0, dtype=np.float32)[None] + shift.astype(np.float32)[:, None]
        down = np.repeat(np.arange(y1 - y0, dtype=np.float32)[:, None], x1 - x0, 1)
        return np.asarray(cv2.remap(picture, across, down, cv2.INTER_LINEAR), np.float32)

    def _focused(self, phone: Light, z: float) -> Light:
        core = math.hypot(self._sharp * self._scale, 0.3)
        phone = np.asarray(cv2.GaussianBlur(phone, (0, 0), core), np.float32)
        disc = self._defocus * self._focal / z
        if disc > 0.4:
            phone = np.asarray(cv2.filter2D(phone, -1, _disc(round(disc, 1))), np.float32)
        return phone

    def _lit(self, lit: Light, box: Box, pose: Pose, open_s: float, chance: Chance) -> Light:
        """Return the phone's light with what time and reflections do to it."""
        x0, y0, x1, y1 = box
        down = np.arange(y0, y1, dtype=np.float32)
        phase = float(chance.uniform())
        turn = float(chance.uniform(0, 2 * math.pi))
        if self._shutter.pwm_hz:
            row_s = down / self._size[1] * self._shutter.readout_s + phase / self._shutter.pwm_hz
            lit = lit * self._dimmed(row_s, open_s)[:, None]
        across = np.arange(x0, x1, dtype=np.float32)
        depth, period = self._moire
        if depth:
            beat = period * (0.6 + 200 / pose.z)
            angle = math.radians(20 + 3 * pose.roll)
            wave = np.sin(
                (across[None] * math.cos(angle) + down[:, None] * math.sin(angle))
                * 2
                * math.pi
                / beat
                + turn
            )
            lit = lit * (1 + np.float32(depth) * wave)
        if self._glare:
            lit = lit + self._reflection(self._glare, across, down, pose)
        return np.asarray(lit, np.float32)

    def _dimmed(self, row_s: Light, open_s: float) -> Light:
        """Return the part of the exposure in which the screen was lit, row by row, relative to its mean."""
        hertz, duty = self._shutter.pwm_hz, self._shutter.pwm_duty

        def lit_until(seconds: Light) -> Light:
            whole = np.floor(seconds * hertz)
            return (whole * duty + np.minimum(seconds * hertz - whole, duty)) / np.float32(hertz)

        part = (lit_until(row_s + np.float32(open_s)) - lit_until(row_s)) / np.float32(
            open_s * duty
        )
        return np.asarray(part, np.float32)

    def _reflection(self, glare: Glare, across: Light, down: Light, pose: Pose) -> Light:
        width, height = self._size
        px = self._focal / pose.z
        x = across[None] - (width / 2 + (pose.x * 0.5 + glare.at[0]) * px)
        y = down[:, None] - (height / 2 + (pose.y * 0.5 + glare.at[1]) * px)
        angle = math.radians(glare.angle)
        along = (x * math.cos(angle) + y * math.sin(angle)) / (glare.size[0] * px)
        beside = (y * math.cos(angle) - x * math.sin(angle)) / (glare.size[1] * px)
        return np.asarray(np.float32(glare.strength) * np.exp(-(along**4) - beside**2), np.float32)

    def _thumb(
        self, finger: tuple[float, float, float, float, float], box: Box, pose: Pose
    ) -> Light:
        """Return how much of each pixel the thumb covers."""
        x, y, wide, tall, angle = finger
        matrix = pose.homography(self._focal, *self._size)
        seen = matrix @ np.array([x, y, 1.0])
        px = self._focal / pose.z
        middle = (round(seen[0] / seen[2]) - box[0], round(seen[1] / seen[2]) - box[1])
        mask = np.zeros((box[3] - box[1], box[2] - box[0]), np.float32)
        cv2.ellipse(
            mask, middle, (round(wide * px), round(tall * px)), angle + pose.roll, 0, 360, [1.0], -1
        )
        return np.asarray(cv2.GaussianBlur(mask, (0, 0), max(0.8, 0.5 * px)), np.float32)


@functools.lru_cache(maxsize=256)
def _disc(diameter: float) -> Light:
    """Return the kernel of a point out of focus, its edge smooth."""
    reach = math.ceil(diameter / 2 + 0.5)
    across = np.arange(-reach, reach + 1)
    radius = np.hypot(across[None], across[:, None])
    kernel = np.clip(diameter / 2 + 0.5 - radius, 0, 1)
    return np.asarray(kernel / kernel.sum(), np.float32)
