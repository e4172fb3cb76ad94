"""Clean the five-point labels with a trained refiner.

    python -m models.training.relabel --pictures PICTURES --work WORK --out cleaned.csv

Labels that another detector made, unchecked, are off by a few percent of the eye distance at
random. A network trained on thousands of them averages that out. Each face is looked at several
times, turned and shifted differently and mirrored; the mean answer is the new label. Where old and
new are far apart, nobody knows who is right, and the old label stays.
"""

import argparse
import csv
from pathlib import Path

import cv2
import numpy as np
import torch

from models.training import compose
from models.training.nets import PointRefiner, expected_points
from models.training.scenes import MIRRORED_POINTS, Scene, load_scenes
from models.training.sizes import POINTS_SIZE

LOOKS = 6
# Of the eye distance: mean change of the five points above which a face is in doubt.
DOUBT = 0.16


def main() -> None:
    """Parse the command line and write the cleaned annotation."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=Path, default=Path("../shared/faces/detect_train"))
    parser.add_argument("--annotation", type=Path, help="default: PICTURES.csv")
    parser.add_argument("--work", type=Path, required=True, help="holds refiner.pt")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    annotation = arguments.annotation or arguments.pictures.with_suffix(".csv")
    network = PointRefiner()
    network.load_state_dict(torch.load(arguments.work / "refiner.pt"))
    scenes = load_scenes(arguments.pictures, annotation, arguments.work / "scenes")
    rng = np.random.default_rng(11)
    answers = {}
    for index, scene in enumerate(scenes):
        answers[index] = [looked_at(network.eval(), scene, p, rng) for p in scene.points]
    changed, doubtful = rewrite(annotation, arguments.out, answers)
    print(f"{changed} faces relabelled, {doubtful} in doubt kept as they were")


@torch.inference_mode()
def looked_at(
    network: PointRefiner, scene: Scene, points: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """The mean answer (5, 2) of several looks at one face, in the scene's pixels."""
    upright = np.vstack([compose.similarity(points, compose.TEMPLATE), [0, 0, 1]])
    matrices, crops = [], []
    size = (POINTS_SIZE, POINTS_SIZE)
    for look in range(LOOKS):
        turn, zoom = float(rng.normal(0, 4)), float(np.exp(rng.normal(0, 0.05)))
        matrix = (compose.nudge(turn, zoom, rng.normal(0, 1.5, 2)) @ upright)[:2]
        crop = compose.warped(scene, matrix, size, cv2.BORDER_CONSTANT)
        matrices.append(matrix)
        crops.append(crop if look % 2 == 0 else crop[:, ::-1])
    x = torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).float()
    found = expected_points(network(x)[1]).numpy()
    answers = []
    for look, (matrix, answer) in enumerate(zip(matrices, found, strict=True)):
        placed = answer
        if look % 2:
            placed = answer[list(MIRRORED_POINTS)]
            placed = np.stack([POINTS_SIZE - 1 - placed[:, 0], placed[:, 1]], axis=1)
        answers.append((placed - matrix[:, 2]) @ np.linalg.inv(matrix[:, :2]).T)
    return np.mean(answers, axis=0)


def rewrite(source: Path, target: Path, answers: dict[int, list[np.ndarray]]) -> tuple[int, int]:
    """Copy the CSV with new points ; give how many changed and were in doubt."""
    with source.open(newline="") as stream:
        header, *rows = list(csv.reader(stream))
    order = {name: index for index, name in enumerate(sorted({row[0] for row in rows}))}
    seen: dict[str, int] = {}
    changed = doubtful = 0
    for row in rows:
        position = seen.get(row[0], 0)
        seen[row[0]] = position + 1
        old = np.array(row[5:15], float).reshape(5, 2)
        new = answers[order[row[0]]][position]
        eyes = float(np.hypot(*(old[1] - old[0])))
        if np.hypot(*(new - old).T).mean() > DOUBT * max(eyes, 1):
            doubtful += 1
            continue
        changed += 1
        row[5:15] = [f"{value:.2f}" for value in new.ravel()]
    with target.open("w", newline="") as stream:
        csv.writer(stream).writerows([header, *rows])
    return changed, doubtful


if __name__ == "__main__":
    main()
