"""Training pictures for the detector: scenes with boxes and five points, kept decoded in one file.

The annotation is a CSV with the columns file, x, y, w, h, then x and y of the right eye, left eye,
nose, right and left mouth corner (right is the person's right), and a score. Decoding WebP
thousands of times would cost more than the training step, so the first run decodes every picture
once, at full, half and quarter size, into a memory-mapped cache that several runs share.
"""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from models.training.labels import read_annotation

# One scene in this many is kept out of training and used to watch it.
VALIDATION_EVERY = 20
LEVELS = 3  # full, half, quarter
# Left and right change places when a picture is mirrored.
MIRRORED_POINTS = (1, 0, 2, 4, 3)


@dataclass(frozen=True, slots=True)
class Scene:
    """One annotated picture.

    Attributes:
        levels: The picture at full, half and quarter size, (H, W, 3) uint8 RGB.
        boxes: (faces, 4) float32: x, y, width, height in pixels of the full size.
        points: (faces, 5, 2) float32, pixels of the full size.
    """

    levels: tuple[np.ndarray, ...]
    boxes: np.ndarray
    points: np.ndarray


def load_scenes(folder: Path, annotation: Path, cache: Path) -> list[Scene]:
    """Load every annotated picture of `folder`, through the decoded `cache` (made when missing)."""
    table = read_annotation(annotation)
    names = sorted(table)
    if not cache.with_suffix(".npy").exists():
        _build_cache([folder / name for name in names], cache)
    sizes = np.load(cache.with_suffix(".sizes.npy"))
    if len(sizes) != len(names):
        raise ValueError(f"{cache} holds {len(sizes)} pictures, {annotation} names {len(names)}")
    flat = np.load(cache.with_suffix(".npy"), mmap_mode="r")
    scenes = []
    position = 0
    for name, shapes in zip(names, sizes, strict=True):
        levels = []
        for rows, columns in shapes:
            count = int(rows) * int(columns) * 3
            levels.append(flat[position : position + count].reshape(rows, columns, 3))
            position += count
        scenes.append(Scene(tuple(levels), *table[name]))
    return scenes


def _build_cache(files: list[Path], cache: Path) -> None:
    parts, sizes = [], []
    for file in files:
        picture = cv2.imread(str(file))
        if picture is None:
            raise ValueError(f"{file} is not a readable picture")
        picture = cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
        shapes = []
        for _ in range(LEVELS):
            parts.append(picture.ravel())
            shapes.append(picture.shape[:2])
            half = (max(1, picture.shape[1] // 2), max(1, picture.shape[0] // 2))
            picture = cv2.resize(picture, half, interpolation=cv2.INTER_AREA)
        sizes.append(shapes)
    cache.parent.mkdir(parents=True, exist_ok=True)
    np.save(cache.with_suffix(".npy"), np.concatenate(parts))
    np.save(cache.with_suffix(".sizes.npy"), np.array(sizes, np.int32))


def split(scenes: list[Scene]) -> tuple[list[Scene], list[Scene]]:
    """Training and validation scenes."""
    held_out = scenes[::VALIDATION_EVERY]
    training = [s for index, s in enumerate(scenes) if index % VALIDATION_EVERY]
    return training, held_out


def faceless_crop(scene: Scene, rng: np.random.Generator) -> np.ndarray | None:
    """A strip of the scene beside, above or below all its faces, or None where there is no room.

    Hair, necks, shoulders, hands and backgrounds: the hardest negatives a portrait collection has.
    """
    picture = scene.levels[0]
    rows, columns = picture.shape[:2]
    left, top = np.maximum(scene.boxes[:, :2].min(axis=0), 0)
    right, bottom = (scene.boxes[:, :2] + scene.boxes[:, 2:]).max(axis=0)
    strips = [
        (0, 0, int(left), rows),
        (int(right) + 1, 0, columns, rows),
        (0, 0, columns, int(top)),
        (0, int(bottom) + 1, columns, rows),
    ]
    strips = [s for s in strips if s[2] - s[0] >= 40 and s[3] - s[1] >= 40]
    if not strips:
        return None
    x0, y0, x1, y1 = strips[rng.integers(len(strips))]
    return picture[y0:y1, x0:x1]
