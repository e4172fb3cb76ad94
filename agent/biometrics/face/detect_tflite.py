"""Our face detector: an anchor-free TFLite network and a second one that refines each face.

The first sees the whole frame, scaled into a corner of its input, and says coarsely where faces
are. The second sees each candidate brought upright by its coarse points, confirms that it is a face
and places the five points. Formats: `DetectorSpec` and `PointsSpec` in `agent.biometrics.manifest`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.biometrics.errors import ModelError
from agent.biometrics.geometry import (
    apply_similarity,
    invert_similarity,
    similarity,
    similarity_scale,
    warp,
)
from agent.biometrics.manifest import DetectorSpec, Manifest, ModelSpec, read_model
from agent.biometrics.runtime import DEFAULT_OPTIONS, Network, Options, Quantisation
from agent.biometrics.types import MAX_FACES, Face, Rgb, face_from_row

__all__ = ["TfliteDetector", "letterbox", "suppress"]

MAX_CANDIDATES = 32
LOG_SIDES = (-2.0, 4.0)
"""A box is e^-2 to e^4 strides wide; hostile pictures must not make infinities."""
SCALES = (0.02, 8.0)
"""Between these a face can be brought to the second network."""

Tensor = NDArray[Any]


def letterbox(picture: Rgb, size: tuple[int, int], fill: int) -> tuple[Rgb, float]:
    """Scale a picture into the upper left corner of `size` (height, width).

    Returns:
        The (height, width, 3) uint8 picture, and the scale that was used.
    """
    import cv2

    height, width = size
    scale = min(width / picture.shape[1], height / picture.shape[0])
    columns = min(width, max(1, round(picture.shape[1] * scale)))
    rows = min(height, max(1, round(picture.shape[0] * scale)))
    # Exact halving is a quarter of the cost of averaging by odd areas, and leaves less than two
    # pixels to one, which a linear step does not skip.
    part = picture
    while part.shape[0] >= 2 * rows and part.shape[1] >= 2 * columns:
        half = (part.shape[1] // 2, part.shape[0] // 2)
        even = part[: half[1] * 2, : half[0] * 2]
        part = np.asarray(cv2.resize(even, half, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    canvas = np.full((height, width, 3), fill, dtype=np.uint8)
    canvas[:rows, :columns] = cv2.resize(part, (columns, rows), interpolation=cv2.INTER_LINEAR)
    return canvas, scale


def suppress(boxes: NDArray[np.float32], iou: float) -> list[int]:
    """Return the rows that remain after greedy non-maximum suppression.

    Args:
        boxes: (N, 4) x, y, width, height, best first.
        iou: boxes that overlap a kept one by more are dropped.
    """
    low, high = boxes[:, :2], boxes[:, :2] + boxes[:, 2:]
    areas = boxes[:, 2] * boxes[:, 3]
    kept: list[int] = []
    for row in range(len(boxes)):
        sides = np.minimum(high[row], high[kept]) - np.maximum(low[row], low[kept])
        shared = np.prod(np.maximum(sides, 0), axis=1)
        if not np.any(shared > iou * (areas[kept] + areas[row] - shared)):
            kept.append(row)
    return kept


class TfliteDetector:
    """An anchor-free network, with a second one that confirms each face and places its points.

    Args:
        directory: where the models lie.
        manifest: names both models.
        spec: the detector's entry.
        options: how networks run.

    Raises:
        ModelError: a model cannot be used.
    """

    def __init__(
        self,
        directory: Path,
        manifest: Manifest,
        spec: ModelSpec,
        options: Options = DEFAULT_OPTIONS,
    ) -> None:
        if spec.detector is None:
            raise ModelError(f"model {spec.name}: no detector table")
        self._spec, self._how = spec, spec.detector
        self._size = (spec.input.height, spec.input.width)
        data = read_model(directory, spec)
        self._network = Network(spec, data, options)
        self._levels = [_Level.find(self._network, spec, each) for each in self._how.strides]
        self._refiner = None
        if self._how.refine:
            second = manifest.find(self._how.refine, "face-points")
            self._refiner = _Refiner(directory, second, options)

    @property
    def name(self) -> str:
        """The model's name in the manifest."""
        return self._spec.name

    @property
    def runtime(self) -> str:
        """The runtime in use."""
        return self._network.runtime

    def detect(self, picture: Rgb) -> list[Face]:
        """Return the faces of an RGB picture, largest first, at most `MAX_FACES`."""
        canvas, scale = letterbox(picture, self._size, self._how.fill)
        outputs = self._network.run(canvas)
        found = np.concatenate([level.decode(outputs, self._how) for level in self._levels])
        found = found[np.argsort(-found[:, 0], kind="stable")][:MAX_CANDIDATES]
        found = found[np.isfinite(found).all(axis=1)]
        found = found[suppress(found[:, 1:5], self._how.iou_threshold)]
        found[:, 1:] /= scale
        found = found[np.argsort(-(found[:, 3] * found[:, 4]), kind="stable")][:MAX_FACES]
        faces = [face_from_row(row) for row in found]
        if self._refiner is None:
            return faces
        refined = [self._refiner.refine(picture, face) for face in faces]
        return [face for face in refined if face is not None]

    def wipe(self) -> None:
        """Overwrite what the networks hold of the last picture."""
        self._network.wipe()
        if self._refiner is not None:
            self._refiner.wipe()


@dataclass(frozen=True, slots=True)
class _Level:
    """The three outputs of one stride, by their place among the network's outputs."""

    stride: int
    columns: int
    score: int
    box: int
    points: int
    quantisations: tuple[Quantisation, ...]

    @classmethod
    def find(cls, network: Network, spec: ModelSpec, stride: int) -> _Level:
        """Find the outputs of a stride by shape.

        Raises:
            ModelError: one is missing.
        """
        rows, columns = -(-spec.input.height // stride), -(-spec.input.width // stride)
        places = []
        for channels in (1, 4, 10):
            shape = (1, rows, columns, channels)
            if shape not in network.shapes:
                raise ModelError(f"model {spec.name}: no output of shape {shape}")
            places.append(network.shapes.index(shape))
        return cls(stride, columns, places[0], places[1], places[2], network.quantisations)

    def decode(self, outputs: list[Tensor], how: DetectorSpec) -> NDArray[np.float32]:
        """Return (N, 15) rows of score, x, y, width, height and five points, in input pixels."""
        threshold = how.score_threshold
        if how.activation == "sigmoid":
            threshold = math.log(threshold / (1 - threshold))
        scores = self._real(outputs, self.score)[:, 0]
        cells = np.flatnonzero(scores >= threshold)
        cells = cells[np.argsort(-scores[cells], kind="stable")][:MAX_CANDIDATES]
        centre = np.stack([cells % self.columns, cells // self.columns], axis=1) + 0.5
        rows = np.empty((len(cells), 15), dtype=np.float32)
        rows[:, 0] = _sigmoid(scores[cells]) if how.activation == "sigmoid" else scores[cells]
        rows[:, 1:5] = self._box(self._real(outputs, self.box)[cells], centre, how)
        points = self._real(outputs, self.points)[cells].reshape(-1, 5, 2) + centre[:, np.newaxis]
        rows[:, 5:] = points.reshape(-1, 10)
        rows[:, 1:] *= self.stride
        return rows

    @staticmethod
    def _box(raw: Tensor, centre: Tensor, how: DetectorSpec) -> Tensor:
        if how.box == "centre-exp":
            sides = np.exp(np.clip(raw[:, 2:], *LOG_SIDES))
            return np.hstack([centre + raw[:, :2] - sides / 2, sides])
        if how.box_activation == "exp":
            raw = np.exp(np.clip(raw, *LOG_SIDES))
        return np.hstack([centre - raw[:, :2], np.maximum(raw[:, :2] + raw[:, 2:], 0)])

    def _real(self, outputs: list[Tensor], place: int) -> Tensor:
        how = self.quantisations[place]
        raw = outputs[place].reshape(-1, outputs[place].shape[-1]).astype(np.float32)
        return (raw - how.zero_point) * how.scale


class _Refiner:
    """The second network: is this a face, and where exactly are its points."""

    def __init__(self, directory: Path, spec: ModelSpec, options: Options) -> None:
        if spec.points is None or spec.chip is None:
            raise ModelError(f"model {spec.name}: no points table or chip")
        self._how, self._chip = spec.points, spec.chip.array()
        self._size = (spec.input.height, spec.input.width)
        data = read_model(directory, spec)
        self._network = Network(spec, data, options)
        rows, columns = (side // spec.points.stride for side in self._size)
        wanted = ((1, rows, columns, 5), (1, 1))
        if self._network.shapes != wanted:
            raise ModelError(f"model {spec.name}: outputs are {self._network.shapes}, not {wanted}")
        middle = (spec.points.stride - 1) / 2
        cells = np.mgrid[0:rows, 0:columns][::-1].reshape(2, -1).T
        self._cells = (cells * spec.points.stride + middle).astype(np.float32)

    def refine(self, picture: Rgb, face: Face) -> Face | None:
        """Return the face with better points and the second network's score, None if it is none."""
        points, score = face.points, 0.0
        for _ in range(self._how.passes):
            try:
                matrix = similarity(points, self._chip)
            except ValueError:
                return None
            if not SCALES[0] < similarity_scale(matrix) < SCALES[1]:
                return None
            outputs = self._network.run(warp(picture, matrix, self._size, self._how.fill))
            maps, logit = (
                (out[0].astype(np.float32) - each.zero_point) * each.scale
                for out, each in zip(outputs, self._network.quantisations, strict=True)
            )
            score = float(_sigmoid(logit)[0])
            points = apply_similarity(invert_similarity(matrix), self._place(maps))
        # Only the last look judges: coarse points that are off show a true face askew in the first.
        return Face(face.box, points, score) if score >= self._how.score_threshold else None

    def _place(self, maps: Tensor) -> Tensor:
        """Return (5, 2) points in the input, each the mean cell of its map."""
        logits = maps.reshape(-1, 5)
        weights = np.exp(logits - logits.max(axis=0))
        return np.asarray((weights / weights.sum(axis=0)).T @ self._cells)

    def wipe(self) -> None:
        """Overwrite what the network holds."""
        self._network.wipe()


def _sigmoid(logits: Tensor) -> Tensor:
    return np.asarray(1 / (1 + np.exp(-np.clip(logits, -60, 60))), dtype=np.float32)
