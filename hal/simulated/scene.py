"""What stands before a simulated camera: a phone that shows a QR code, a face, a hall behind.

A pinhole camera looks at a flat phone held at a distance and tilted; the picture is then darkened
by the light of the place, lit by the screen, smeared by motion or defocus, glared on, and grained
by the sensor. Everything follows from the seed and the time, so a run can be repeated.

Lengths are metres, angles degrees. The code is 55 mm wide on a 72 x 150 mm phone, and the lens sees
66 degrees across, as a Raspberry Pi camera module 3 does.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hal.camera import Luma, Rgb

__all__ = ["Face", "Phone", "Scene", "Shown", "Timeline", "qr_matrix"]

CODE_M = 0.055
PHONE_M = (0.072, 0.150)
FIELD_OF_VIEW = 66.0
QUIET_MODULES = 4
NOISE_MARGIN = 64


@functools.lru_cache(maxsize=64)
def qr_matrix(payload: str | bytes, error: str = "l") -> NDArray[np.uint8]:
    """Return the modules of a QR symbol, 1 is dark, (n, n) uint8 without a quiet zone.

    Raises:
        ValueError: the payload does not fit any version.
    """
    import segno

    try:
        symbol = segno.make_qr(payload, error=error, boost_error=False)
    except segno.DataOverflowError as problem:
        raise ValueError(f"the payload does not fit a QR symbol: {problem}") from None
    return np.array([list(row) for row in symbol.matrix], dtype=np.uint8)


@dataclass(frozen=True, slots=True)
class Phone:
    """A phone held before the camera with a code on its screen.

    Attributes:
        payload: what the code holds.
        distance_m: from the lens to the code.
        x: of the code's centre, 0 left to 1 right of the picture.
        y: of the code's centre, 0 top to 1 bottom.
        yaw: turned about the vertical.
        pitch: turned about the horizontal.
        roll: turned in the picture.
        screen: brightness of the screen, 0 to 1.
        blur_px: standard deviation of defocus.
        motion_px: length of a sideways smear.
        glare: strength of a lamp's reflection on the screen, 0 to 1.
        inverted: light modules on dark, as in a dark theme.
        error: QR error correction level: l, m, q or h.
    """

    payload: str | bytes
    distance_m: float = 0.2
    x: float = 0.5
    y: float = 0.5
    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    screen: float = 0.9
    blur_px: float = 0.6
    motion_px: int = 0
    glare: float = 0.0
    inverted: bool = False
    error: str = "l"

    def at_module_px(self, pixels: float, width: int = 1280) -> Phone:
        """Return the phone at the distance where a module spans so many pixels, held straight."""
        modules = qr_matrix(self.payload, self.error).shape[0]
        return replace(self, distance_m=_focal_px(width) * CODE_M / (modules * pixels))


@dataclass(frozen=True, slots=True, eq=False)
class Face:
    """A picture of a person, as if they stood there.

    Attributes:
        picture: (H, W, 3) uint8 RGB.
        height: of the picture in the frame, as a part of the frame's height.
        x: of its centre, 0 to 1.
        y: of its centre, 0 to 1.
    """

    picture: Rgb
    height: float = 0.6
    x: float = 0.5
    y: float = 0.4


Shown = Phone | Face


class Scene:
    """A place with things in view; a `SceneSource` for the simulated camera.

    `show` renders in the caller's thread; `render` then only adds the grain, so that the camera's
    thread keeps its rate.

    Args:
        width: pixels.
        height: pixels.
        seed: of background and grain.
        light: of the place, 1 is a bright hall.
        noise: standard deviation of the grain, grey levels.
    """

    def __init__(
        self,
        *,
        width: int = 1280,
        height: int = 720,
        seed: int = 0,
        light: float = 0.8,
        noise: float = 2.0,
    ) -> None:
        self.width = width
        self.height = height
        self.seed = seed
        self._background = _background(width, height, seed, light)
        self._grain = _Grain(width, height, seed, noise)
        self._picture = self._background
        self.shown: tuple[Shown, ...] = ()

    def show(self, *things: Shown) -> None:
        """Put these in view, faces behind phones, in place of what was there; none: an empty place.

        Raises:
            ValueError: a payload does not fit a QR symbol.
        """
        self._picture = self.compose(things)
        self.shown = things

    def compose(self, things: Sequence[Shown]) -> Rgb:
        """Return the picture without grain, (H, W, 3) uint8 RGB."""
        picture = self._background.copy()
        for thing in things:
            if isinstance(thing, Face):
                _paste_face(picture, thing)
        for thing in things:
            if isinstance(thing, Phone):
                picture = _hold_up(picture, thing)
        return picture

    def render(self, now: float) -> Luma | Rgb:
        """Return what is in view, (H, W, 3) uint8 RGB, with the grain of this moment."""
        return self._grain.over(self._picture, now)


@dataclass(slots=True)
class Timeline:
    """Things that come into view and go: a `SceneSource` over a scene.

    Attributes:
        scene: where.
        entries: (from, until, things) in seconds since the first frame; the first that fits counts.
    """

    scene: Scene
    entries: Sequence[tuple[float, float, tuple[Shown, ...]]]
    _started: float | None = field(default=None, init=False)

    def render(self, now: float) -> Luma | Rgb:
        """Return what is in view at this moment."""
        if self._started is None:
            self._started = now
        age_s = now - self._started
        things = next((t for start, end, t in self.entries if start <= age_s < end), ())
        if things != self.scene.shown:
            self.scene.show(*things)
        return self.scene.render(now)


class _Grain:
    """Sensor noise: drawn once, laid over each frame at another offset."""

    def __init__(self, width: int, height: int, seed: int, noise: float) -> None:
        rng = np.random.default_rng((seed, 7))
        shape = (height + NOISE_MARGIN, width + NOISE_MARGIN, 3)
        grain = np.rint(rng.standard_normal(shape, dtype=np.float32) * np.float32(noise))
        self._up = np.clip(grain, 0, 255).astype(np.uint8)
        self._down = np.clip(-grain, 0, 255).astype(np.uint8)
        self._seed = seed
        self._size = (height, width)

    def over(self, picture: Rgb, now: float) -> Rgb:
        import cv2

        rng = np.random.default_rng((self._seed, max(0, round(now * 1e6))))
        top, left = (int(v) for v in rng.integers(0, NOISE_MARGIN, 2))
        height, width = self._size
        window = np.s_[top : top + height, left : left + width]
        lighter = cv2.add(picture, self._up[window])
        return np.asarray(cv2.subtract(lighter, self._down[window]), dtype=np.uint8)


def _focal_px(width: int) -> float:
    return width / 2 / math.tan(math.radians(FIELD_OF_VIEW / 2))


def _background(width: int, height: int, seed: int, light: float) -> Rgb:
    """Return a blurred hall: a wall, a floor, panels and lamps."""
    import cv2

    rng = np.random.default_rng((seed, 3))
    hall: Any = np.empty((height, width, 3), dtype=np.float32)
    hall[:] = rng.uniform(120, 170, 3)
    hall[int(height * 0.7) :] *= 0.7
    for _ in range(14):
        left, top = int(rng.integers(0, width)), int(rng.integers(0, height))
        right = left + int(rng.integers(width // 20, width // 5))
        bottom = top + int(rng.integers(height // 12, height // 2))
        cv2.rectangle(hall, (left, top), (right, bottom), rng.uniform(40, 210, 3).tolist(), -1)
    blurred = np.asarray(cv2.GaussianBlur(hall, (0, 0), width / 160), dtype=np.float32)
    falloff = np.linspace(1.1, 0.8, width, dtype=np.float32)[None, :, None]
    return np.clip(blurred * falloff * light, 0, 255).astype(np.uint8)


def _paste_face(picture: Rgb, face: Face) -> None:
    """Put the face into the picture with a soft edge."""
    import cv2

    height, width = picture.shape[:2]
    tall = max(8, round(face.height * height))
    wide = max(8, round(tall * face.picture.shape[1] / face.picture.shape[0]))
    person = cv2.resize(face.picture, (wide, tall), interpolation=cv2.INTER_AREA)
    edge = max(1, tall // 20)
    mask: Any = np.zeros((tall, wide), dtype=np.float32)
    mask[edge:-edge, edge:-edge] = 1
    mask = cv2.blur(mask, (2 * edge + 1, 2 * edge + 1))
    left, top = round(face.x * width - wide / 2), round(face.y * height - tall / 2)
    x0, y0, x1, y1 = max(0, left), max(0, top), min(width, left + wide), min(height, top + tall)
    if x0 >= x1 or y0 >= y1:
        return
    inner = np.s_[y0 - top : y1 - top, x0 - left : x1 - left]
    weight = mask[inner][..., None]
    behind = picture[y0:y1, x0:x1]
    picture[y0:y1, x0:x1] = (person[inner] * weight + behind * (1 - weight)).astype(np.uint8)


def _hold_up(picture: Rgb, phone: Phone) -> Rgb:
    """Return the picture with the phone in front."""
    import cv2

    height, width = picture.shape[:2]
    screen, mask = _screen(phone, width)
    onto = _projection(phone, screen.shape[1], screen.shape[0], width, height)
    size = (width, height)
    body = cv2.warpPerspective(screen, onto, size, flags=cv2.INTER_LINEAR)
    cover = cv2.warpPerspective(mask, onto, size, flags=cv2.INTER_LINEAR).astype(np.float32) / 255
    shade = cover[..., None]
    mixed = picture * (1 - shade) + cv2.cvtColor(body, cv2.COLOR_GRAY2RGB) * shade
    if phone.glare > 0:
        mixed += _glare(phone, width, height)[..., None] * shade
    lit = np.clip(mixed, 0, 255).astype(np.uint8)
    return _smear(lit, phone)


def _screen(phone: Phone, width: int) -> tuple[Luma, Luma]:
    """Draw the phone flat, about twice as fine as the camera will see it; and its outline."""
    import cv2

    modules = qr_matrix(phone.payload, phone.error)
    count = modules.shape[0]
    seen_px = _focal_px(width) * CODE_M / phone.distance_m / count
    fine = int(np.clip(round(seen_px * 2), 2, 24))
    white = round(255 * phone.screen)
    dark = round(18 * phone.screen)
    code = np.kron(1 - modules if phone.inverted else modules, np.ones((fine, fine), np.uint8))
    paper = dark if phone.inverted else white
    per_m = count * fine / CODE_M
    wide, tall = (round(side * per_m) for side in PHONE_M)
    face = np.full((tall, wide), 12, dtype=np.uint8)
    rim = round(0.002 * per_m)
    cv2.rectangle(face, (rim, rim * 4), (wide - rim, tall - rim * 4), paper, -1)
    left, top = (wide - code.shape[1]) // 2, (tall - code.shape[0]) // 2
    face[top : top + code.shape[0], left : left + code.shape[1]] = np.where(code, dark, white)
    _letter(face, (left, top), code.shape[0], fine, round(120 * phone.screen))
    softness = fine / seen_px / 2
    if softness > 0.3:
        face = np.asarray(cv2.GaussianBlur(face, (0, 0), softness), dtype=np.uint8)
    return face, np.full((tall, wide), 255, dtype=np.uint8)


def _letter(face: Luma, corner: tuple[int, int], span: int, fine: int, ink: int) -> None:
    """Draw bars where the wallet's own text stands, outside the quiet zone."""
    import cv2

    left, top = corner
    quiet = QUIET_MODULES * fine
    for number, share in enumerate((0.5, 0.8)):
        y = top - quiet - (number + 2) * max(4, span // 14)
        if y > span // 10:
            end = (left + round(span * share), y + max(2, span // 28))
            cv2.rectangle(face, (left, y), end, ink, -1)


def _projection(phone: Phone, wide: int, tall: int, width: int, height: int) -> NDArray[Any]:
    """Return the 3x3 homography from the flat phone to the picture."""
    import cv2

    focal = _focal_px(width)
    half_w, half_h = PHONE_M[0] / 2, PHONE_M[1] / 2
    flat = np.array(
        [[-half_w, -half_h, 0], [half_w, -half_h, 0], [half_w, half_h, 0], [-half_w, half_h, 0]]
    )
    turned = flat @ _rotation(phone).T
    depth = turned[:, 2] + phone.distance_m
    seen = turned[:, :2] / depth[:, None] * focal + (phone.x * width, phone.y * height)
    corners = np.array([[0, 0], [wide, 0], [wide, tall], [0, tall]], dtype=np.float32)
    return np.asarray(cv2.getPerspectiveTransform(corners, seen.astype(np.float32)))


def _rotation(phone: Phone) -> NDArray[np.float64]:
    pitch, yaw, roll = (math.radians(a) for a in (phone.pitch, phone.yaw, phone.roll))
    about_x = np.array(
        [[1, 0, 0], [0, math.cos(pitch), -math.sin(pitch)], [0, math.sin(pitch), math.cos(pitch)]]
    )
    about_y = np.array(
        [[math.cos(yaw), 0, math.sin(yaw)], [0, 1, 0], [-math.sin(yaw), 0, math.cos(yaw)]]
    )
    about_z = np.array(
        [[math.cos(roll), -math.sin(roll), 0], [math.sin(roll), math.cos(roll), 0], [0, 0, 1]]
    )
    return np.asarray(about_z @ about_y @ about_x, dtype=np.float64)


def _glare(phone: Phone, width: int, height: int) -> NDArray[np.float32]:
    """Return a lamp's reflection over the code's upper right, in grey levels."""
    spread = _focal_px(width) * CODE_M / phone.distance_m * 0.22
    across = np.arange(width, dtype=np.float32) - (phone.x * width + spread)
    down = np.arange(height, dtype=np.float32) - (phone.y * height - spread)
    spot = np.exp(-(across**2)[None, :] / (2 * spread**2) - (down**2)[:, None] / spread**2)
    return np.asarray(spot * 255 * phone.glare, dtype=np.float32)


def _smear(picture: Rgb, phone: Phone) -> Rgb:
    import cv2

    if phone.blur_px > 0:
        picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), phone.blur_px), dtype=np.uint8)
    if phone.motion_px > 1:
        picture = np.asarray(cv2.blur(picture, (phone.motion_px, 1)), dtype=np.uint8)
    return picture
