"""Pictures without a face that a gate's camera sees: codes, textures, text, hands, lamps, noise.

Everything is drawn here; no evaluation picture is used. Each picture is (240, 320, 3) uint8 RGB.
"""

from collections.abc import Callable

import cv2
import numpy as np
import segno

ROWS, COLUMNS = 240, 320
# Skin from dark to light, RGB; interpolated between.
SKIN = np.array([[60, 38, 28], [110, 72, 52], [170, 120, 92], [225, 180, 155], [245, 215, 198]])


def draw_negatives(count: int, rng: np.random.Generator) -> np.ndarray:
    """Draw `count` pictures, (count, 240, 320, 3) uint8."""
    kinds = (code, code, gratings, checks, text, clouds, clouds, hand, hand, shapes, shapes, noise)
    return np.stack([kinds[index % len(kinds)](rng) for index in range(count)])


def clouds(rng: np.random.Generator) -> np.ndarray:
    """Noise with a 1/f spectrum: foliage, stone, cloth, out-of-focus rooms."""
    total = np.zeros((ROWS, COLUMNS, 3), np.float32)
    tint = rng.uniform(0.2, 1, 3)
    for octave in range(1, 8):
        size = (2**octave * 4 // 3 + 1, 2**octave)
        layer = rng.normal(0, 1, (size[1], size[0], 3)).astype(np.float32)
        layer = layer.mean(axis=2, keepdims=True) * tint + layer * rng.uniform(0, 0.6)
        layer = cv2.resize(layer, (COLUMNS, ROWS), interpolation=cv2.INTER_CUBIC)
        total += layer * 2.0 ** (-octave * rng.uniform(0.4, 1.1))
    total = (total - total.mean()) / (total.std() + 1e-6)
    return _clip(total * rng.uniform(15, 60) + rng.uniform(40, 200, 3))


def noise(rng: np.random.Generator) -> np.ndarray:
    """Sensor noise alone, from fine to blotchy, in colour or grey."""
    scale = int(rng.choice([1, 1, 2, 4, 8]))
    channels = int(rng.choice([1, 3]))
    small = rng.normal(
        rng.uniform(20, 230), rng.uniform(5, 90), (ROWS // scale, COLUMNS // scale, channels)
    )
    big = cv2.resize(_clip(small), (COLUMNS, ROWS), interpolation=int(rng.integers(0, 3)))
    return np.ascontiguousarray(
        np.broadcast_to(big.reshape(ROWS, COLUMNS, channels), (ROWS, COLUMNS, 3))
    )


def gratings(rng: np.random.Generator) -> np.ndarray:
    """Stripes and moire: blinds, tiles, shirts, screens."""
    y, x = np.mgrid[0:ROWS, 0:COLUMNS].astype(np.float32)
    wave = np.zeros((ROWS, COLUMNS), np.float32)
    for _ in range(int(rng.integers(1, 4))):
        angle, period = rng.uniform(0, np.pi), np.exp(rng.uniform(np.log(4), np.log(80)))
        wave += np.sin(
            (x * np.cos(angle) + y * np.sin(angle)) * 2 * np.pi / period + rng.uniform(0, 6)
        )
    if rng.random() < 0.5:
        wave = np.sign(wave)
    return _clip(wave[..., None] * rng.uniform(-90, 90, 3) + rng.uniform(50, 200, 3))


def checks(rng: np.random.Generator) -> np.ndarray:
    """Chequered or dotted fields, turned in space."""
    size = int(rng.integers(6, 40))
    y, x = np.mgrid[0:ROWS, 0:COLUMNS]
    pattern = (x // size + y // size) % 2
    if rng.random() < 0.4:
        pattern = ((x % size - size / 2) ** 2 + (y % size - size / 2) ** 2) < (size * 0.35) ** 2
    colours = rng.uniform(0, 255, (2, 3))
    return _tilted(colours[pattern.astype(np.intp)].astype(np.uint8), clouds(rng), rng, 0.4)


def code(rng: np.random.Generator) -> np.ndarray:
    """A QR code on a phone or a sheet in front of something."""
    length = int(np.exp(rng.uniform(np.log(8), np.log(700))))
    payload = bytes(rng.integers(0, 256, length, dtype=np.uint8))
    matrix = np.array(segno.make_qr(payload, error=str(rng.choice(list("LMQ")))).matrix, np.uint8)
    matrix = np.pad(1 - matrix, 4, constant_values=1)
    dark, light = rng.uniform(0, 60, 3), rng.uniform(160, 255, 3)
    card = np.where(matrix[..., None] > 0, light, dark).astype(np.uint8)
    side = int(rng.integers(120, 220))
    card = cv2.resize(card, (side, side), interpolation=cv2.INTER_NEAREST)
    border = int(rng.integers(0, 40))
    colour = [int(v) for v in rng.uniform(0, 255, 3)]
    card = cv2.copyMakeBorder(
        card, border, border, border // 3, border // 3, cv2.BORDER_CONSTANT, value=colour
    )
    behind = (clouds, gratings, shapes)[int(rng.integers(3))](rng)
    return _tilted(card, behind, rng, 0.25)


def text(rng: np.random.Generator) -> np.ndarray:
    """Lines of letters: signs, papers, screens."""
    picture = np.full((ROWS, COLUMNS, 3), rng.uniform(120, 255, 3), np.float32).astype(np.uint8)
    letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,:-  "
    height = float(rng.uniform(0.3, 2.5))
    colour = [int(v) for v in rng.uniform(0, 110, 3)]
    for y in range(15, ROWS + 20, int(12 + 26 * height)):
        line = "".join(rng.choice(list(letters), 60))
        cv2.putText(
            picture, line, (-int(rng.integers(40)), y), 0, height, colour, 1 + int(height * 2)
        )
    return _tilted(picture, clouds(rng), rng, 0.2)


def hand(rng: np.random.Generator) -> np.ndarray:
    """Skin-coloured blobs: a palm with fingers, an arm, a fist, softly shaded."""
    picture = (clouds, shapes, gratings)[int(rng.integers(3))](rng)
    tone = rng.uniform(0, len(SKIN) - 1)
    low = int(tone)
    skin = SKIN[low] + (SKIN[min(low + 1, len(SKIN) - 1)] - SKIN[low]) * (tone - low)
    for _ in range(int(rng.integers(1, 3))):
        mask = np.zeros((ROWS, COLUMNS), np.uint8)
        centre = rng.uniform((60, 50), (COLUMNS - 60, ROWS - 50))
        size = rng.uniform(18, 60)
        axes = (int(size), int(size * rng.uniform(0.8, 1.4)))
        turn = float(rng.uniform(0, 360))
        cv2.ellipse(mask, _pixel(centre), axes, turn, 0, 360, 255, -1)
        spread, start = rng.uniform(0.15, 0.4), rng.uniform(0, 2 * np.pi)
        for finger in range(int(rng.integers(0, 6))):
            angle = start + finger * spread
            tip = centre + size * rng.uniform(1.3, 2.4) * np.array([np.cos(angle), np.sin(angle)])
            cv2.line(mask, _pixel(centre), _pixel(tip), 255, int(size * rng.uniform(0.3, 0.5)))
        alpha = cv2.GaussianBlur(mask, (0, 0), 1.2).astype(np.float32)[..., None] / 255
        depth = cv2.GaussianBlur(mask, (0, 0), size * 0.35).astype(np.float32)[..., None] / 255
        shade = skin * (0.45 + 0.65 * depth) + rng.normal(0, 5, (ROWS, COLUMNS, 1))
        picture = _clip(picture * (1 - alpha) + shade * alpha)
    return picture


def shapes(rng: np.random.Generator) -> np.ndarray:
    """Discs, boxes and bars: lamps, buttons, bags, furniture; now and then two discs over a bar."""
    picture = np.full((ROWS, COLUMNS, 3), rng.uniform(0, 255, 3), np.float32).astype(np.uint8)
    for _ in range(int(rng.integers(4, 22))):
        colour = [int(v) for v in rng.uniform(0, 255, 3)]
        centre = rng.uniform((0, 0), (COLUMNS, ROWS))
        size = rng.uniform(5, 70, 2)
        kind = rng.random()
        if kind < 0.4:
            axes = (int(size[0]), int(size[1]))
            cv2.ellipse(
                picture, _pixel(centre), axes, float(rng.uniform(0, 180)), 0, 360, colour, -1
            )
        elif kind < 0.75:
            cv2.rectangle(picture, _pixel(centre - size), _pixel(centre + size), colour, -1)
        else:
            end = rng.uniform((0, 0), (COLUMNS, ROWS))
            cv2.line(picture, _pixel(centre), _pixel(end), colour, int(rng.integers(1, 16)))
    return cv2.GaussianBlur(picture, (0, 0), float(rng.uniform(0.3, 2.5)))


def _tilted(
    card: np.ndarray, behind: np.ndarray, rng: np.random.Generator, strength: float
) -> np.ndarray:
    """Hold `card` in front of `behind`, turned in space."""
    rows, columns = card.shape[:2]
    source = np.array([[0, 0], [columns, 0], [columns, rows], [0, rows]], np.float32)
    size = rng.uniform(0.35, 1.1) * ROWS / max(rows, 1)
    centre = np.array([COLUMNS, ROWS]) * rng.uniform(0.3, 0.7, 2)
    angle = rng.uniform(-0.5, 0.5)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    corners = (source - source.mean(axis=0)) * size
    corners = corners * (1 + rng.uniform(-strength, strength, (4, 2)))
    target = (corners @ turn.T + centre).astype(np.float32)
    matrix = cv2.getPerspectiveTransform(source, target)
    front = cv2.warpPerspective(card, matrix, (COLUMNS, ROWS), flags=cv2.INTER_AREA)
    mask = cv2.warpPerspective(np.full((rows, columns), 255, np.uint8), matrix, (COLUMNS, ROWS))
    return np.where(mask[..., None] > 127, front, behind)


def _pixel(point: np.ndarray) -> tuple[int, int]:
    return int(point[0]), int(point[1])


def _clip(values: np.ndarray) -> np.ndarray:
    return np.clip(values, 0, 255).astype(np.uint8)


DRAWERS: tuple[Callable[[np.random.Generator], np.ndarray], ...] = (
    code, gratings, checks, text, clouds, hand, shapes, noise,
)  # fmt: skip
