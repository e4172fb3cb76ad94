"""Drawn people for the training pipeline, and the interpreter that has torch."""

import csv
import importlib.util
import os
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

HEADER = [
    "file",
    "x",
    "y",
    "w",
    "h",
    "right_eye_x",
    "right_eye_y",
    "left_eye_x",
    "left_eye_y",
    "nose_x",
    "nose_y",
    "mouth_right_x",
    "mouth_right_y",
    "mouth_left_x",
    "mouth_left_y",
    "score",
]
# Of a face 100 wide and 130 high, from its corner.
POINTS = np.array([[30, 55], [70, 55], [50, 78], [34, 100], [66, 100]], np.float32)
# One colour a point: a label that has come off its point shows.
COLOURS = ((255, 0, 0), (0, 0, 255), (0, 255, 0), (255, 255, 0), (255, 0, 255))


def draw_face(picture: np.ndarray, corner: tuple[float, float], width: float) -> np.ndarray:
    """Draw an egg with five coloured points into (H, W, 3) RGB; give the (5, 2) points."""
    scale = width / 100
    x, y = corner
    centre = (int(x + 50 * scale), int(y + 65 * scale))
    cv2.ellipse(picture, centre, (int(50 * scale), int(65 * scale)), 0, 0, 360, (190, 150, 130), -1)
    points = POINTS * scale + (x, y)
    for (px, py), colour in zip(points, COLOURS, strict=True):
        cv2.circle(picture, (round(float(px)), round(float(py))), int(8 * scale), colour, -1)
    return points


@pytest.fixture(scope="session")
def drawn_scenes(tmp_path_factory) -> Path:
    """A folder `drawn` of 24 scenes with `drawn.csv` beside it."""
    root = tmp_path_factory.mktemp("scenes")
    folder = root / "drawn"
    folder.mkdir()
    rng = np.random.default_rng(3)
    with (root / "drawn.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(HEADER)
        for index in range(24):
            picture = np.full((300, 240, 3), rng.integers(20, 120), np.uint8)
            width = float(rng.uniform(70, 110))
            corner = (float(rng.uniform(20, 100)), float(rng.uniform(20, 120)))
            points = draw_face(picture, corner, width)
            name = f"{index:03}.png"
            cv2.imwrite(str(folder / name), picture[:, :, ::-1])
            writer.writerow([name, *corner, width, width * 1.3, *points.ravel(), 0.9])
    return folder


@pytest.fixture(scope="session")
def drawn_people(tmp_path_factory) -> Path:
    """A folder of three people with three 150x150 chips each."""
    root = tmp_path_factory.mktemp("people")
    rng = np.random.default_rng(4)
    for person in ("ann", "bo", "cy"):
        (root / person).mkdir()
        background = int(rng.integers(0, 255))
        for index in range(3):
            picture = np.full((150, 150, 3), background, np.uint8)
            draw_face(picture, (25 + index, 10), 96)
            cv2.imwrite(str(root / person / f"{index}.png"), picture[:, :, ::-1])
    return root


@pytest.fixture(scope="session")
def training_python() -> str:
    """The interpreter to train with: IDGATE_TRAINING_PYTHON, or this one where it has torch."""
    named = os.environ.get("IDGATE_TRAINING_PYTHON")
    if named:
        return named
    missing = [m for m in ("torch", "litert_torch") if importlib.util.find_spec(m) is None]
    if missing:
        pytest.skip(
            f"{', '.join(missing)} not installed here: set IDGATE_TRAINING_PYTHON to the python of an"
            " environment made from models/training/requirements.txt"
        )
    return sys.executable
