"""Photographs of QR codes as people take them, rendered: one class of trouble each, by a seed.

Each is a code (or some) printed on a sheet, the sheet laid before a photograph, seen by a camera under one trouble, and saved
as JPEG. Severities are drawn so wide that no decoder reads a class whole: what is compared are decoders, and orders of
preparations. The long side is 1,280 at most.

Backgrounds are scikit-image's own pictures, which its wheel holds.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

import cv2
import numpy as np
import segno
from numpy.typing import NDArray

__all__ = ["CLASSES", "HARD", "Shot", "shots"]

Rgb = NDArray[np.uint8]
Random = np.random.Generator

MODULE: Final = 10
"""Pixels of a module on the sheet, before the camera."""
SIZES: Final = ((1280, 960), (1280, 720), (960, 1280), (800, 600))
"""Of the picture, (width, height)."""
SCENES: Final = (
    "astronaut", "coffee", "chelsea", "rocket", "brick", "gravel", "grass", "camera", "page", "text"
)  # fmt: skip


class Shot(NamedTuple):
    """A picture, (H, W, 3) uint8 RGB, and the texts that its codes hold."""

    name: str
    picture: Rgb
    texts: tuple[str, ...]


class Sheet(NamedTuple):
    """A print, (H, W, 3) float32 of 0 to 255, and where its code lies on it: left, top, side."""

    print: NDArray[np.float32]
    left: int
    top: int
    side: int


def shots(each: int, seed: int, *, only: tuple[str, ...] = ()) -> Iterator[tuple[str, Shot]]:
    """Render pictures: (class, shot).

    Args:
        each: of a class.
        seed: of all.
        only: classes; all of them where empty.
    """
    for kind in only or CLASSES:
        for number in range(each):
            rng = np.random.default_rng([seed, number, zlib.crc32(kind.encode())])
            picture, texts = CLASSES[kind](rng)
            yield kind, Shot(f"{kind}-{number}", _saved(rng, picture), texts)


# What is printed


def text_of(rng: Random, least: int = 12, most: int = 90) -> str:
    """Return words as codes have them: an address or a credential."""
    letters = "abcdefghijklmnopqrstuvwxyz0123456789-_/"
    length = int(rng.integers(least, most + 1))
    if rng.random() < 0.3:
        letters = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:"
        return "NI1:" + "".join(rng.choice(list(letters), length))
    return "https://example.org/" + "".join(rng.choice(list(letters), length))


def matrix_of(rng: Random, text: str, error: str = "") -> NDArray[np.uint8]:
    """Return a code's modules, 1 dark, without a quiet zone."""
    code = segno.make_qr(text, error=error or rng.choice(list("LMQH")), boost_error=False)
    return np.array([list(row) for row in code.matrix], np.uint8)


def sheet_of(
    modules: NDArray[np.uint8],
    *,
    quiet: int = 4,
    margin: int = 2,
    ink: tuple[int, ...] = (25, 25, 25),
    paper: tuple[int, ...] = (235, 235, 235),
    around: tuple[int, ...] | None = None,
    dots: float = 0.0,
) -> Sheet:
    """Print a code.

    Args:
        modules: 1 dark.
        quiet: modules of paper around it.
        margin: modules of `around` beyond that.
        ink, paper, around: colours; around is paper where None.
        dots: how far modules are shrunk to dots, 0 to 1.
    """
    side = len(modules) * MODULE
    dark = np.kron(modules, np.ones((MODULE, MODULE), np.uint8)).astype(np.float32)
    if dots:
        at = (np.arange(MODULE) - (MODULE - 1) / 2) / (MODULE / 2)
        round_ = np.hypot(*np.meshgrid(at, at)) <= 1.0 - 0.35 * dots
        dotted = dark * np.tile(round_, modules.shape)
        for y, x in ((0, 0), (0, -8), (-8, 0)):  # finder patterns stay whole
            top, left = y % len(modules) * MODULE, x % len(modules) * MODULE
            part = np.s_[top : top + 8 * MODULE, left : left + 8 * MODULE]
            dotted[part] = dark[part]
        dark = dotted
    inside = np.pad(dark, quiet * MODULE)[..., None]
    shown = inside * np.float32(ink) + (1 - inside) * np.float32(paper)
    edge = paper if around is None else around
    pad = margin * MODULE
    whole = np.empty((shown.shape[0] + 2 * pad,) * 2 + (3,), np.float32)
    whole[:] = edge
    whole[pad : pad + len(shown), pad : pad + len(shown)] = shown
    at_px = (quiet + margin) * MODULE
    return Sheet(whole, at_px, at_px, side)


# How it is seen


def background(rng: Random, size: tuple[int, int]) -> NDArray[np.float32]:
    """Return a photograph that fills a picture of a size, (H, W, 3) float32."""
    from skimage import data

    picture = np.asarray(getattr(data, str(rng.choice(SCENES)))())
    if picture.ndim == 2:
        picture = cv2.cvtColor(picture, cv2.COLOR_GRAY2RGB)
    width, height = size
    scale = max(width / picture.shape[1], height / picture.shape[0]) * rng.uniform(1.0, 1.5)
    picture = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR)
    top = int(rng.integers(0, picture.shape[0] - height + 1))
    left = int(rng.integers(0, picture.shape[1] - width + 1))
    return picture[top : top + height, left : left + width, :3].astype(np.float32)


class View(NamedTuple):
    """A scene of light, (H, W, 3) float32, and where a code lies in it, (4, 2), clockwise."""

    scene: NDArray[np.float32]
    corners: NDArray[np.float32]
    module_px: float


def seen(
    rng: Random,
    sheet: Sheet,
    *,
    px: tuple[float, float] = (3.0, 9.0),
    tilt: tuple[float, float] = (0, 25),
    roll: float = 180,
    fill: float = 0.0,
    size: tuple[int, int] | None = None,
) -> View:
    """Lay a sheet before a photograph and see it in perspective, antialiased.

    Args:
        sheet: the print.
        px: pixels a module, from to; fewer where the code would not fit.
        tilt: degrees away from the camera, from to, in a direction of its own.
        roll: degrees in the picture's plane at most.
        fill: instead of `px`, the code's share of the picture's short side.
        size: of the picture, (width, height).
    """
    size = size or SIZES[int(rng.integers(len(SIZES)))]
    modules = sheet.side / MODULE
    short = min(size)
    wanted = rng.uniform(*px) * modules
    side = fill * short if fill else min(wanted, 0.68 * short)
    high, wide = sheet.print.shape[:2]
    middle = np.array([sheet.left + sheet.side / 2, sheet.top + sheet.side / 2])
    corners = np.array([[0, 0], [wide, 0], [wide, high], [0, high]], float) - middle
    code = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * sheet.side / 2
    scale = side / sheet.side
    turn, lean = np.radians(rng.uniform(-roll, roll)), np.radians(rng.uniform(*tilt))
    towards = rng.uniform(0, 2 * np.pi)

    def project(points: NDArray[np.float64]) -> NDArray[np.float64]:
        spin = np.array([[np.cos(towards), np.sin(towards)], [-np.sin(towards), np.cos(towards)]])
        at = points * scale @ spin.T
        depth = 1 + at[:, :1] * np.sin(lean) / (1.1 * max(size))
        at = np.hstack([at[:, :1] * np.cos(lean), at[:, 1:]]) / depth
        rolled = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
        return at @ spin @ rolled.T

    placed = project(code)
    low, top = placed.min(axis=0), placed.max(axis=0)
    free = np.maximum(0, (np.array(size) - (top - low) - 8) / 2)
    centre = np.array(size) / 2 - (low + top) / 2 + rng.uniform(-free, free)
    twice = 2.0
    matrix = cv2.getPerspectiveTransform(
        (corners + middle).astype(np.float32),
        ((project(corners) + centre) * twice).astype(np.float32),
    )
    full = (int(size[0] * twice), int(size[1] * twice))
    shrink = max(1.0, MODULE / (scale * MODULE * twice) / 1.5)
    source = cv2.GaussianBlur(sheet.print, (0, 0), 0.45 * shrink) if shrink > 1.2 else sheet.print
    laid = cv2.warpPerspective(source, matrix, full, flags=cv2.INTER_LINEAR)
    cover = cv2.warpPerspective(np.ones(source.shape[:2], np.float32), matrix, full)
    laid = cv2.resize(laid, size, interpolation=cv2.INTER_AREA)
    cover = cv2.resize(cover, size, interpolation=cv2.INTER_AREA)[..., None]
    scene = background(rng, size) * (1 - cover) + laid
    return View(scene, (placed + centre).astype(np.float32), scale * MODULE)


def grain(rng: Random, scene: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    return scene + rng.normal(0, sigma, scene.shape).astype(np.float32)


def _saved(rng: Random, scene: NDArray[Any]) -> Rgb:
    """Return the picture as a phone saves it."""
    picture = np.asarray(scene.clip(0, 255), np.uint8)
    quality = int(rng.integers(70, 95))
    _, data = cv2.imencode(
        ".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality]
    )
    return cv2.cvtColor(cv2.imdecode(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def _grid(scene: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    height, width = scene.shape[:2]
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    return x, y


def _inside(rng: Random, view: View, spread: float = 0.5) -> tuple[float, float]:
    """Return a place on the code."""
    u, v = rng.uniform(0.5 - spread, 0.5 + spread, 2)
    a, b, c, d = view.corners
    at = (a * (1 - u) + b * u) * (1 - v) + (d * (1 - u) + c * u) * v
    return float(at[0]), float(at[1])


def _side(view: View) -> float:
    return float(np.sqrt(cv2.contourArea(view.corners)))


# The classes

Made = tuple[NDArray[np.float32], tuple[str, ...]]


def _plain(rng: Random) -> tuple[Sheet, tuple[str, ...]]:
    text = text_of(rng)
    return sheet_of(matrix_of(rng, text)), (text,)


def blurred(rng: Random) -> Made:
    sheet, texts = _plain(rng)
    view = seen(rng, sheet, px=(3, 10))
    if rng.random() < 0.5:
        sigma = view.module_px * rng.uniform(0.35, 0.85)
        scene = cv2.GaussianBlur(view.scene, (0, 0), sigma)
    else:
        length = max(3, int(view.module_px * rng.uniform(0.8, 2.0)))
        kernel = np.zeros((length, length), np.float32)
        kernel[length // 2] = 1
        about = cv2.getRotationMatrix2D((length / 2 - 0.5,) * 2, rng.uniform(0, 180), 1)
        kernel = cv2.warpAffine(kernel, about, (length, length))
        scene = cv2.filter2D(view.scene, -1, kernel / kernel.sum())
    return grain(rng, scene, 2), texts


def bright_spots(rng: Random) -> Made:
    sheet, texts = _plain(rng)
    view = seen(rng, sheet)
    x, y = _grid(view.scene)
    scene = view.scene * rng.uniform(0.4, 0.8)
    for _ in range(int(rng.integers(2, 7))):
        (cx, cy), radius = _inside(rng, view, 0.6), _side(view) * rng.uniform(0.03, 0.12)
        spot = np.exp(-(((x - cx) ** 2 + (y - cy) ** 2) / (2 * radius**2)))
        scene = scene + (spot * rng.uniform(150, 600))[..., None]
    return grain(rng, scene, 2), texts


def brightness(rng: Random) -> Made:
    sheet, texts = _plain(rng)
    view = seen(rng, sheet)
    if rng.random() < 0.5:
        scene = grain(rng, view.scene * rng.uniform(0.04, 0.15) + rng.uniform(0, 12), 2.5)
    else:
        bloom = cv2.GaussianBlur(view.scene, (0, 0), view.module_px * 1.5)
        scene = grain(rng, view.scene * 1.5 + bloom * rng.uniform(0.8, 2.0), 2)
    return scene, texts


def close(rng: Random) -> Made:
    sheet, texts = _plain(rng)
    view = seen(rng, sheet, fill=rng.uniform(0.8, 1.02), roll=12, tilt=(0, 15))
    scene = cv2.GaussianBlur(view.scene, (0, 0), view.module_px * rng.uniform(0.1, 0.5))
    return grain(rng, scene, 3), texts


def curved(rng: Random) -> Made:
    sheet, texts = _plain(rng)
    wide = sheet.print.shape[1]
    half = np.radians(rng.uniform(35, 75))  # of the cylinder that the code itself covers
    radius = sheet.side / 2 / half
    x, y = _grid(sheet.print)
    out = np.clip((x - wide / 2) / radius, -0.999, 0.999)
    angle = np.arcsin(out)
    sag = rng.uniform(-0.6, 0.6) * radius * (1 - np.cos(angle))
    bent = cv2.remap(
        sheet.print, (wide / 2 + angle * radius).astype(np.float32), (y + sag).astype(np.float32),
        cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=(120, 120, 120),
    )  # fmt: skip
    bent *= (0.35 + 0.65 * np.cos(angle + rng.uniform(-0.5, 0.5)))[..., None]
    view = seen(rng, sheet._replace(print=bent.astype(np.float32)), px=(4, 11), tilt=(0, 20))
    return grain(rng, view.scene, 2), texts


def damaged(rng: Random) -> Made:
    sheet, texts = _plain(rng)
    printed = sheet.print.copy()
    left, side = sheet.left, sheet.side
    for _ in range(int(rng.integers(1, 5))):
        at = rng.uniform(left, left + side, (4, 2)).astype(np.int32)
        colour = [float(c) for c in rng.choice([20, 90, 160, 235]) + rng.uniform(-15, 15, 3)]
        kind = rng.integers(3)
        if kind == 0:  # a pen
            cv2.polylines(printed, [at], False, colour, int(side * rng.uniform(0.01, 0.03)))
        elif kind == 1:  # a stain
            spread = side * rng.uniform(0.03, 0.13)
            cv2.ellipse(
                printed, (at[0].tolist(), (spread, spread * 1.6), rng.uniform(0, 180)), colour, -1
            )
        else:  # a tear from the edge
            corner = np.array([left + side, left + side])
            torn = np.array([corner, corner - [side * rng.uniform(0.1, 0.45), 0],
                             corner - [0, side * rng.uniform(0.1, 0.45)]])  # fmt: skip
            cv2.fillPoly(printed, [torn.astype(np.int32)], colour)
    if rng.random() < 0.5:  # a fold
        x, _ = _grid(printed)
        at_x = rng.uniform(left, left + side)
        printed *= (1 - 0.5 * np.exp(-np.abs(x - at_x) / (0.02 * side)))[..., None]
    view = seen(rng, sheet._replace(print=printed), px=(4, 11))
    return grain(rng, view.scene, 2), texts


def glare(rng: Random) -> Made:
    sheet, texts = _plain(rng)
    view = seen(rng, sheet, px=(4, 11))
    x, y = _grid(view.scene)
    (cx, cy), turn = _inside(rng, view), rng.uniform(0, np.pi)
    long, short = _side(view) * rng.uniform(0.15, 0.6), _side(view) * rng.uniform(0.08, 0.3)
    u = (x - cx) * np.cos(turn) + (y - cy) * np.sin(turn)
    v = (y - cy) * np.cos(turn) - (x - cx) * np.sin(turn)
    blob = np.exp(-((u / long) ** 2 + (v / short) ** 2) / 2)
    scene = view.scene * rng.uniform(0.4, 0.8) + (blob * rng.uniform(150, 420))[..., None]
    return grain(rng, scene, 2), texts


def high_version(rng: Random) -> Made:
    text = text_of(rng, 400, 1600)
    sheet = sheet_of(matrix_of(rng, text, "L"))
    view = seen(rng, sheet, fill=rng.uniform(0.7, 0.95), roll=15, tilt=(0, 15))
    scene = cv2.GaussianBlur(view.scene, (0, 0), view.module_px * rng.uniform(0.1, 0.45))
    return grain(rng, scene, 3), (text,)


def lots(rng: Random) -> Made:
    across, down = int(rng.integers(3, 9)), int(rng.integers(2, 7))
    texts = tuple(text_of(rng, 6, 24) for _ in range(across * down))
    sheets = [sheet_of(matrix_of(rng, text, "M"), quiet=3, margin=0).print for text in texts]
    cell = max(len(one) for one in sheets)
    whole = np.full((down * cell, across * cell, 3), 235, np.float32)
    for number, one in enumerate(sheets):
        y, x = divmod(number, across)
        whole[y * cell : y * cell + len(one), x * cell : x * cell + len(one)] = one
    side = max(whole.shape[:2])
    square = np.full((side, side, 3), 235, np.float32)
    square[: whole.shape[0], : whole.shape[1]] = whole
    view = seen(
        rng,
        Sheet(square, 0, 0, side),
        fill=rng.uniform(0.8, 1.0),
        roll=10,
        tilt=(0, 25),
        size=(1280, 960),
    )
    scene = cv2.GaussianBlur(view.scene, (0, 0), view.module_px * rng.uniform(0.1, 0.35))
    return grain(rng, scene, 2), texts


def low_contrast(rng: Random) -> Made:
    text = text_of(rng)
    paper = int(rng.integers(110, 230))
    ink = paper - int(rng.integers(12, 45))
    view = seen(rng, sheet_of(matrix_of(rng, text), ink=(ink,) * 3, paper=(paper,) * 3))
    return grain(rng, view.scene, 2.5), (text,)


def monitor(rng: Random) -> Made:
    sheet, texts = _plain(rng)
    printed = sheet.print.copy()
    pitch = int(rng.integers(4, 9))  # pixels of the sheet to one of the screen
    x, y = _grid(printed)
    for channel in range(3):
        printed[..., channel] *= ((x + channel * pitch / 3) % pitch < pitch / 2) * 1.4 + 0.2
    printed *= (((y % pitch) < pitch * 0.7) * 0.8 + 0.4)[..., None]
    view = seen(rng, sheet._replace(print=printed), px=(3, 10), tilt=(0, 15), roll=20)
    bands = 1 - rng.uniform(0, 0.6) * (np.sin(_grid(view.scene)[1] / rng.uniform(20, 90)) > 0.2)
    return grain(rng, view.scene * bands[..., None], 3), texts


def noncompliant(rng: Random) -> Made:
    text = text_of(rng, 8, 50)
    modules = matrix_of(rng, text, "H" if rng.random() < 0.5 else "M")
    kind = int(rng.integers(6))
    light, dark = tuple(rng.integers(190, 250, 3)), tuple(rng.integers(10, 70, 3))
    if kind == 0:  # light on dark, as on a dark page
        sheet = sheet_of(modules, ink=light, paper=dark)
    elif kind == 1:  # colours of nearly one brightness
        hue = [int(v) for v in rng.permutation([int(rng.integers(150, 230)), 60, 60])]
        other = [int(v) for v in (np.array(hue) @ [0.3, 0.59, 0.11] + rng.uniform(15, 60, 3))]
        sheet = sheet_of(modules, ink=tuple(hue), paper=tuple(other))
    elif kind == 2:  # no quiet zone
        sheet = sheet_of(modules, quiet=int(rng.integers(0, 2)), around=dark, ink=dark, paper=light)
    elif kind == 3:  # dots
        sheet = sheet_of(modules, dots=rng.uniform(0.3, 1.0), ink=dark, paper=light)
    elif kind == 4:  # a logo in its middle
        sheet = sheet_of(modules, ink=dark, paper=light)
        half = sheet.side * rng.uniform(0.08, 0.17)
        at = (sheet.left + sheet.side // 2,) * 2
        cv2.circle(sheet.print, at, int(half), tuple(float(v) for v in rng.uniform(0, 255, 3)), -1)
    else:  # printed on a picture
        sheet = sheet_of(modules, ink=dark, paper=light)
        photo = background(rng, sheet.print.shape[1::-1])
        sheet = sheet._replace(print=sheet.print * 0.55 + photo * 0.45)
    view = seen(rng, sheet)
    return grain(rng, view.scene, 2), (text,)


def pathological(rng: Random) -> Made:
    """Finder patterns that belong to no code, all around one."""
    sheet, texts = _plain(rng)
    view = seen(rng, sheet, px=(3, 7))
    module = int(rng.integers(2, 6))
    one = np.zeros((8, 8), np.float32)
    one[:7, :7], one[1:6, 1:6], one[2:5, 2:5] = 1, 0, 1
    height, width = view.scene.shape[:2]
    page = np.tile(
        np.kron(1 - one, np.ones((module, module))),
        (height // (8 * module) + 1, width // (8 * module) + 1),
    )
    cover = np.zeros((height, width), np.float32)
    middle = view.corners.mean(axis=0)
    grown = (view.corners - middle) * (1 + 8 / (_side(view) / view.module_px)) + middle
    cv2.fillConvexPoly(cover, grown.astype(np.int32), 1.0)
    cover = cover[..., None]
    scene = view.scene * cover + (page[:height, :width, None] * 200 + 30) * (1 - cover)
    return grain(rng, scene.astype(np.float32), 2), texts


def perspective(rng: Random) -> Made:
    sheet, texts = _plain(rng)
    view = seen(rng, sheet, px=(5, 14), tilt=(45, 75))
    return grain(rng, view.scene, 2), texts


def rotations(rng: Random) -> Made:
    sheet, texts = _plain(rng)
    view = seen(rng, sheet, px=(2.2, 5), tilt=(0, 10))
    return grain(rng, view.scene, 3), texts


def shadows(rng: Random) -> Made:
    sheet, texts = _plain(rng)
    view = seen(rng, sheet)
    x, y = _grid(view.scene)
    light = np.ones(x.shape, np.float32)
    for _ in range(int(rng.integers(1, 4))):
        turn, (cx, cy) = rng.uniform(0, np.pi), _inside(rng, view)
        off = (x - cx) * np.cos(turn) + (y - cy) * np.sin(turn)
        if rng.random() < 0.4:  # a blind
            off = np.sin(off / (_side(view) * rng.uniform(0.05, 0.2))) * _side(view) * 0.2
        light *= np.where(off > 0, rng.uniform(0.15, 0.5), 1).astype(np.float32)
    light = cv2.GaussianBlur(light, (0, 0), rng.uniform(0.5, 4))
    return grain(rng, view.scene * light[..., None], 2), texts


def tiny(rng: Random) -> Made:
    sheet, texts = _plain(rng)
    view = seen(rng, sheet, px=(1.5, 2.6), tilt=(0, 10))
    return grain(rng, view.scene, 2), texts


CLASSES: Final[dict[str, Callable[[Random], Made]]] = {
    made.__name__: made
    for made in (
        blurred, bright_spots, brightness, close, curved, damaged, glare, high_version, lots, low_contrast,
        monitor, noncompliant, pathological, perspective, rotations, shadows, tiny,
    )
}  # fmt: skip
HARD: Final = frozenset(
    {"blurred", "bright_spots", "curved", "damaged", "glare", "low_contrast", "noncompliant", "pathological", "shadows"}
)  # fmt: skip
