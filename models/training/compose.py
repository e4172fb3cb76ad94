"""Training samples from scenes: whole frames for the detector, upright crops for the refiner.

Coordinates are pixel indices (the centre of the first pixel is 0), as OpenCV's warps have them.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from models.training.scenes import MIRRORED_POINTS, Scene, faceless_crop
from models.training.sizes import (
    DETECTOR_SIZE,
    DETECTOR_STRIDE,
    POINTS_SIZE,
    POINTS_TEMPLATE,
)

TEMPLATE = np.array(POINTS_TEMPLATE, np.float32)
PADDING = 128  # what the letterbox and the crops are filled with
MAP_SIZE = (DETECTOR_SIZE[0] // DETECTOR_STRIDE, DETECTOR_SIZE[1] // DETECTOR_STRIDE)
# Face widths in the 224x160 input: 640 px of frame become 213, so 12..110 is 36..330 px there.
FACE_WIDTHS = (11.0, 115.0)
MAX_ROTATION_DEG = 28.0
# Shares of a face's box inside the frame: enough to be asked for; too much to count as none.
VISIBLE_SHARE, IGNORED_SHARE = 0.62, 0.3
DIRECTIONS = 14  # 4 box values and 10 point values a cell


@dataclass(frozen=True, slots=True)
class FrameSample:
    """A detector sample.

    Attributes:
        picture: (160, 224, 3) uint8.
        heat: (20, 28) float32, 1 at a face's centre, falling off around it; -1 where ignored.
        values: (14, 20, 28) float32, box then points, as the network gives them.
        weight: (20, 28) float32, weight of `values`, already divided by the face's size in strides.
    """

    picture: np.ndarray
    heat: np.ndarray
    values: np.ndarray
    weight: np.ndarray


def similarity(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The least-squares similarity transform (2, 3) without reflection from (n, 2) to (n, 2)."""
    a = source - source.mean(axis=0)
    b = target - target.mean(axis=0)
    power = float((a * a).sum()) + 1e-9
    along = float((a * b).sum()) / power
    across = float((a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum()) / power
    matrix = np.array([[along, -across], [across, along]], np.float32)
    return np.hstack([matrix, (target.mean(axis=0) - matrix @ source.mean(axis=0))[:, None]])


def transformed(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Apply a (2, 3) transform to (..., 2) points."""
    return points @ matrix[:, :2].T + matrix[:, 2]


def warped(scene: Scene, matrix: np.ndarray, size: tuple[int, int], border: int) -> np.ndarray:
    """Warp a scene to (rows, columns), from the level whose scale fits, so that nothing aliases."""
    scale = float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))
    level = int(np.clip(np.floor(-np.log2(max(scale, 1e-6)) + 0.2), 0, len(scene.levels) - 1))
    picture = scene.levels[level]
    matrix = matrix @ level_matrix(level)
    return cv2.warpAffine(
        picture,
        matrix,
        size[::-1],
        flags=cv2.INTER_LINEAR,
        borderMode=border,
        borderValue=(PADDING,) * 3,
    )


def level_matrix(level: int) -> np.ndarray:
    """Indices at a smaller level -> indices at full size, (3, 3)."""
    factor = float(2**level)
    shift = (factor - 1) / 2
    return np.array([[factor, 0, shift], [0, factor, shift], [0, 0, 1]])


class FrameComposer:
    """Composes detector samples: faces of every gate scale in front of anything."""

    def __init__(
        self, scenes: list[Scene], negatives: np.ndarray, rng: np.random.Generator
    ) -> None:
        self._scenes = scenes
        self._negatives = negatives
        self._rng = rng

    def background(self, size: tuple[int, int]) -> np.ndarray:
        """A faceless picture of (rows, columns): drawn, or cut beside somebody's face."""
        rng = self._rng
        crop = None
        if rng.random() < 0.6:
            crop = faceless_crop(self._scenes[rng.integers(len(self._scenes))], rng)
        if crop is None:
            crop = self._negatives[rng.integers(len(self._negatives))]
        rows, columns = crop.shape[:2]
        zoom = rng.uniform(0.45, 1.0)
        height, width = max(16, int(rows * zoom)), max(16, int(columns * zoom))
        y, x = (
            rng.integers(rows - min(height, rows) + 1),
            rng.integers(columns - min(width, columns) + 1),
        )
        crop = crop[y : y + height, x : x + width]
        if rng.random() < 0.5:
            crop = crop[:, ::-1]
        return cv2.resize(np.ascontiguousarray(crop), size[::-1], interpolation=cv2.INTER_LINEAR)

    def sample(self) -> FrameSample:
        """Compose one frame with no, one or two people."""
        rng = self._rng
        picture = self.background(DETECTOR_SIZE)
        boxes = np.zeros((0, 4), np.float32)
        points = np.zeros((0, 5, 2), np.float32)
        visible = np.zeros(0, np.float32)
        for _ in range(int(rng.choice([0, 1, 2], p=[0.18, 0.57, 0.25]))):
            scene = self._scenes[rng.integers(len(self._scenes))]
            matrix = self._placement(scene)
            new_points = transformed(matrix, scene.points)
            if np.linalg.det(matrix[:, :2]) < 0:
                new_points = new_points[:, MIRRORED_POINTS]
            new_boxes = _moved_boxes(matrix, scene.boxes)
            picture, cover = self._paste(picture, scene, matrix, new_boxes)
            visible = visible * (1 - _covered(boxes, cover))
            boxes = np.concatenate([boxes, new_boxes])
            points = np.concatenate([points, new_points.astype(np.float32)])
            visible = np.concatenate([visible, _covered(new_boxes, cover)])
        for index in range(len(boxes)):
            if rng.random() < 0.14:
                draw_mask(picture, points[index], rng)
            elif rng.random() < 0.1:
                draw_obstacle(picture, boxes[index], rng)
        edge = self._letterbox(picture)
        visible = visible * _inside(boxes, edge)
        return FrameSample(picture, *frame_targets(boxes, points, visible))

    def picture(self) -> np.ndarray:
        """The picture of one frame alone."""
        return self.sample().picture

    def _placement(self, scene: Scene) -> np.ndarray:
        """A transform that brings one of the scene's faces to a random size, place and turn."""
        rng = self._rng
        x, y, w, h = scene.boxes[rng.integers(len(scene.boxes))]
        low, high = FACE_WIDTHS
        width = np.exp(rng.uniform(np.log(low), np.log(high)))
        width = min(width, w * 2.2)  # do not ask for more pixels than there are
        scale = width / w
        angle = np.deg2rad(np.clip(rng.normal(0, 11), -MAX_ROTATION_DEG, MAX_ROTATION_DEG))
        mirror = -1.0 if rng.random() < 0.5 else 1.0
        cos, sin = scale * np.cos(angle), scale * np.sin(angle)
        matrix = np.array([[cos * mirror, -sin], [sin * mirror, cos]])
        rows, columns = DETECTOR_SIZE
        overhang = 0.3 if rng.random() < 0.2 else -0.5  # how far the centre may be near the border
        margin = -overhang * width
        centre = np.array(
            [
                rng.uniform(min(margin, columns / 2), max(columns - margin, columns / 2)),
                rng.uniform(min(margin * 1.3, rows / 2), max(rows - margin * 1.3, rows / 2)),
            ]
        )
        middle = np.array([x + w / 2, y + h / 2])
        return np.hstack([matrix, (centre - matrix @ middle)[:, None]])

    def _paste(
        self, picture: np.ndarray, scene: Scene, matrix: np.ndarray, boxes: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Put the scene over the picture: its whole rectangle, or the head with a soft border."""
        rng = self._rng
        front = warped(scene, matrix, DETECTOR_SIZE, cv2.BORDER_REPLICATE)
        cover = np.zeros(DETECTOR_SIZE, np.uint8)
        kind = rng.random()
        if kind < 0.25:  # the scene is the whole frame, its border smeared outwards
            cover[:] = 255
        elif kind < 0.7 or len(boxes) > 1:
            rows, columns = scene.levels[0].shape[:2]
            corners = np.array([[0, 0], [columns, 0], [columns, rows], [0, rows]], np.float64)
            cv2.fillConvexPoly(cover, np.round(transformed(matrix, corners)).astype(np.int32), 255)
        else:
            x, y, w, h = boxes[0]
            centre = (int(x + w / 2), int(y + h * 0.48))
            axes = (int(w * rng.uniform(0.6, 0.9)) + 1, int(h * rng.uniform(0.62, 0.9)) + 1)
            cv2.ellipse(cover, centre, axes, 0, 0, 360, 255, -1)
            soft = cv2.GaussianBlur(cover, (0, 0), max(0.6, float(w) * 0.04))
            alpha = soft.astype(np.float32)[..., None] / 255
            return (picture + (front - picture.astype(np.float32)) * alpha).astype(np.uint8), cover
        return np.where(cover[..., None] > 0, front, picture), cover

    def _letterbox(self, picture: np.ndarray) -> tuple[int, int]:
        """Fill what a 4:3 or 16:9 frame would not cover; give the (rows, columns) left."""
        rows, columns = DETECTOR_SIZE
        kind = self._rng.random()
        if kind < 0.35:
            columns = rows * 4 // 3
        elif kind < 0.6:
            rows = columns * 9 // 16
        picture[rows:] = PADDING
        picture[:, columns:] = PADDING
        return rows, columns


def frame_targets(
    boxes: np.ndarray, points: np.ndarray, visible: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What the detector should answer; see `FrameSample`."""
    rows, columns = MAP_SIZE
    heat = np.zeros(MAP_SIZE, np.float32)
    values = np.zeros((DIRECTIONS, rows, columns), np.float32)
    weight = np.zeros(MAP_SIZE, np.float32)
    cell_y, cell_x = np.mgrid[0:rows, 0:columns].astype(np.float32) + 0.5
    # Large faces first, so that where two meet the smaller one keeps its centre.
    for index in np.argsort(-boxes[:, 2] * boxes[:, 3]):
        x, y, w, h = boxes[index] / DETECTOR_STRIDE
        centre_x, centre_y = x + w / 2, y + h / 2
        size = float(np.sqrt(w * h))
        if visible[index] < VISIBLE_SHARE:
            if visible[index] > IGNORED_SHARE / 2:
                inside = (abs(cell_x - centre_x) < w / 2 + 0.5) & (
                    abs(cell_y - centre_y) < h / 2 + 0.5
                )
                heat[inside & (heat < 0.5)] = -1
            continue
        sigma = max(0.6, 0.11 * size)
        bump = np.exp(-((cell_x - centre_x) ** 2 + (cell_y - centre_y) ** 2) / (2 * sigma**2))
        peak = np.unravel_index(int(bump.argmax()), MAP_SIZE)
        bump[peak] = 1.0
        stronger = bump > np.maximum(heat, 0.02)
        heat[stronger] = bump[stronger]
        mine = stronger & (bump > 0.3)
        weight[mine] = bump[mine] / size
        values[0][mine] = (centre_x - cell_x)[mine]
        values[1][mine] = (centre_y - cell_y)[mine]
        values[2][mine], values[3][mine] = np.log(w), np.log(h)
        for k in range(5):
            values[4 + 2 * k][mine] = points[index, k, 0] / DETECTOR_STRIDE - cell_x[mine]
            values[5 + 2 * k][mine] = points[index, k, 1] / DETECTOR_STRIDE - cell_y[mine]
    return heat, values, weight


class CropComposer:
    """Composes refiner samples: faces as the detector's rough points crop them, and mistakes."""

    def __init__(
        self, scenes: list[Scene], negatives: np.ndarray, rng: np.random.Generator
    ) -> None:
        self._scenes = scenes
        self._rng = rng
        self._frames = FrameComposer(scenes, negatives, rng)
        self.mined = np.zeros((0, POINTS_SIZE, POINTS_SIZE, 3), np.uint8)

    def sample(self) -> tuple[np.ndarray, np.ndarray, float]:
        """One crop (96, 96, 3) uint8, its points (5, 2), and 1.0 for a face, 0.0 for none."""
        kind = self._rng.random()
        if kind < 0.7:
            return self._face()
        nothing = np.zeros((5, 2), np.float32)
        if kind < 0.78:
            return self._misplaced(), nothing, 0.0
        if kind < 0.9 and len(self.mined):
            crop = self.mined[self._rng.integers(len(self.mined))]
            return crop[:, ::-1] if self._rng.random() < 0.5 else crop, nothing, 0.0
        return self._frames.background((POINTS_SIZE, POINTS_SIZE)), nothing, 0.0

    def picture(self) -> np.ndarray:
        """The picture of one crop alone."""
        return self.sample()[0]

    def _pick(self) -> tuple[Scene, np.ndarray]:
        scene = self._scenes[self._rng.integers(len(self._scenes))]
        return scene, scene.points[self._rng.integers(len(scene.points))]

    def _face(self) -> tuple[np.ndarray, np.ndarray, float]:
        rng = self._rng
        scene, points = self._pick()
        # How the detector's rough points are off (measured), or the refiner's own at a second look.
        spread = 1.0 if rng.random() < 0.65 else 0.35
        jitter = nudge(
            float(rng.normal(0, 5.5) * spread),
            float(np.exp(rng.normal(0.02, 0.12) * spread)),
            rng.normal(0, 4.8, 2) * spread,
        )
        matrix = (jitter @ np.vstack([similarity(points, TEMPLATE), [0, 0, 1]]))[:2]
        picture = warped(scene, matrix, (POINTS_SIZE, POINTS_SIZE), cv2.BORDER_CONSTANT)
        target = transformed(matrix, points).astype(np.float32)
        if rng.random() < 0.5:
            picture = np.ascontiguousarray(picture[:, ::-1])
            target[:, 0] = POINTS_SIZE - 1 - target[:, 0]
            target = target[list(MIRRORED_POINTS)]
        kind = rng.random()
        if kind < 0.1:
            draw_mask(picture, target, rng)
        elif kind < 0.2:
            draw_obstacle(picture, np.array([20, 20, 56, 60], np.float32), rng)
        return self._resampled(picture), target, 1.0

    def _misplaced(self) -> np.ndarray:
        """Part of a face, one much too large or small, or on its side: not to be accepted."""
        rng = self._rng
        scene, points = self._pick()
        kind = rng.random()
        turn, zoom, shift = rng.normal(0, 10), np.exp(rng.normal(0, 0.2)), rng.normal(0, 4, 2)
        if kind < 0.5:
            angle = rng.uniform(0, 2 * np.pi)
            shift = np.array([np.cos(angle), np.sin(angle)]) * rng.uniform(30, 60)
        elif kind < 0.8:
            zoom = rng.uniform(2.2, 4) if rng.random() < 0.5 else rng.uniform(0.2, 0.42)
        else:
            turn = rng.uniform(80, 280)
        jitter = nudge(float(turn), float(zoom), shift)
        matrix = (jitter @ np.vstack([similarity(points, TEMPLATE), [0, 0, 1]]))[:2]
        return warped(scene, matrix, (POINTS_SIZE, POINTS_SIZE), cv2.BORDER_CONSTANT)

    def _resampled(self, picture: np.ndarray) -> np.ndarray:
        """As a distant face looks: fewer pixels, brought back up."""
        rng = self._rng
        if rng.random() > 0.35:
            return picture
        side = int(rng.integers(36, 90))
        small = cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA)
        return cv2.resize(small, (POINTS_SIZE, POINTS_SIZE), interpolation=cv2.INTER_LINEAR)


def nudge(turn_deg: float, zoom: float, shift: np.ndarray) -> np.ndarray:
    """A turn and zoom about the crop's centre and a shift, (3, 3)."""
    middle = float(TEMPLATE[:, 0].mean()), float(TEMPLATE[:, 1].mean())
    matrix = cv2.getRotationMatrix2D(middle, turn_deg, zoom)
    matrix[:, 2] += shift
    return np.vstack([matrix, [0, 0, 1]])


def draw_mask(picture: np.ndarray, points: np.ndarray, rng: np.random.Generator) -> None:
    """Draw a medical or cloth mask over nose and mouth, in place."""
    eyes = points[:2].mean(axis=0)
    mouth = points[3:].mean(axis=0)
    down = mouth - eyes
    side = (points[1] - points[0]) * rng.uniform(0.75, 1.0)
    top = eyes + down * rng.uniform(0.3, 0.5)
    outline = np.array(
        [
            top - side, points[2] - down * 0.15, top + side,
            mouth + side * 0.8, mouth + down * 0.75 + side * 0.3,
            mouth + down * 0.75 - side * 0.3, mouth - side * 0.8,
        ]
    )  # fmt: skip
    colour = rng.choice([[225, 230, 235], [150, 190, 225], [30, 30, 35], [90, 140, 120]])
    colour = np.clip(colour + rng.normal(0, 18, 3), 0, 255)
    cv2.fillPoly(picture, [np.round(outline).astype(np.int32)], colour.tolist(), cv2.LINE_AA)


def draw_obstacle(picture: np.ndarray, box: np.ndarray, rng: np.random.Generator) -> None:
    """Put a bar, a phone or a hand-sized disc before part of a face, in place."""
    x, y, w, h = box
    colour = rng.uniform(0, 255, 3).tolist()
    centre = (int(x + w * rng.uniform(0, 1)), int(y + h * rng.uniform(0, 1)))
    size = (max(1, int(w * rng.uniform(0.1, 0.3))), max(1, int(h * rng.uniform(0.1, 0.3))))
    if rng.random() < 0.5:
        cv2.ellipse(picture, centre, size, float(rng.uniform(0, 180)), 0, 360, colour, -1)
    else:
        corner = (centre[0] + size[0], centre[1] + size[1])
        cv2.rectangle(picture, (centre[0] - size[0], centre[1] - size[1]), corner, colour, -1)


def _moved_boxes(matrix: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Boxes of the same aspect about the moved centres: a turned face keeps its own size."""
    scale = float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))
    centres = transformed(matrix, boxes[:, :2] + boxes[:, 2:] / 2)
    sizes = boxes[:, 2:] * scale
    return np.hstack([centres - sizes / 2, sizes]).astype(np.float32)


def _covered(boxes: np.ndarray, cover: np.ndarray) -> np.ndarray:
    """The share of each box's whole area where `cover` is set."""
    shares = []
    for x, y, w, h in boxes:
        x0, y0 = max(0, int(x)), max(0, int(y))
        patch = cover[y0 : max(y0, int(y + h)), x0 : max(x0, int(x + w))]
        shares.append(
            min(1.0, cv2.countNonZero(patch) / max(1.0, float(w * h))) if patch.size else 0.0
        )
    return np.array(shares, np.float32)


def _inside(boxes: np.ndarray, edge: tuple[int, int]) -> np.ndarray:
    """The share of each box that lies in the (rows, columns) the letterbox left."""
    rows, columns = edge
    right = np.minimum(boxes[:, 0] + boxes[:, 2], columns) - np.maximum(boxes[:, 0], 0)
    down = np.minimum(boxes[:, 1] + boxes[:, 3], rows) - np.maximum(boxes[:, 1], 0)
    area = np.maximum(right, 0) * np.maximum(down, 0)
    return (area / np.maximum(boxes[:, 2] * boxes[:, 3], 1e-6)).astype(np.float32)
