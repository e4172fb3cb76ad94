"""Export the trained detector and refiner as int8 TFLite.

    python -m models.training.export_detector --work WORK --out models

Calibration pictures are composed from the held-out scenes. Beside each model, a TOML file of the
same name says what its entry in `models/manifest.toml` must say: hash and golden vector.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import nn

from models.training import compose
from models.training.camera import CameraEffects
from models.training.export import export_int8, write_facts
from models.training.negatives import draw_negatives
from models.training.nets import FaceDetector, PointRefiner
from models.training.scenes import load_scenes, split
from models.training.sizes import DETECTOR_SIZE, POINTS_SIZE

DETECTOR_FILE, REFINER_FILE = "face_detect_int8.tflite", "face_points_int8.tflite"


def main() -> None:
    """Parse the command line and export."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=Path, default=Path("../shared/faces/detect_train"))
    parser.add_argument("--annotation", type=Path, help="default: PICTURES.csv")
    parser.add_argument("--work", type=Path, required=True, help="holds the checkpoints")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--calibration", type=int, default=200, help="pictures to calibrate with")
    arguments = parser.parse_args()
    export(arguments)


def export(arguments: argparse.Namespace) -> None:
    """Write both models; see `main`."""
    rng = np.random.default_rng(7)
    annotation = arguments.annotation or arguments.pictures.with_suffix(".csv")
    scenes = load_scenes(arguments.pictures, annotation, arguments.work / "scenes")
    _, held_out = split(scenes)
    negatives = draw_negatives(60, rng)
    frames = compose.FrameComposer(held_out, negatives, rng)
    crops = compose.CropComposer(held_out, negatives, rng)
    square = (POINTS_SIZE, POINTS_SIZE)
    plans = (
        (FaceDetector(), "detector.pt", DETECTOR_FILE, DETECTOR_SIZE, frames.picture),
        (PointRefiner(), "refiner.pt", REFINER_FILE, square, crops.picture),
    )
    for network, checkpoint, name, size, picture in plans:
        network.load_state_dict(torch.load(arguments.work / checkpoint))
        pictures = as_seen(np.stack([picture() for _ in range(arguments.calibration)]))
        export_one(network, pictures, arguments.out / name)
        write_facts(arguments.out / name, *size)


def export_one(network: nn.Module, pictures: np.ndarray, target: Path) -> None:
    """Export one network; the float model does not stay."""
    export_int8(network, pictures, target).unlink()


def as_seen(pictures: np.ndarray) -> np.ndarray:
    """The pictures through the camera effects, half of them untouched."""
    effects = CameraEffects(torch.Generator().manual_seed(7))
    half = torch.from_numpy(pictures[::2]).permute(0, 3, 1, 2).float()
    half = effects(half.contiguous(memory_format=torch.channels_last))
    result = pictures.copy()
    result[::2] = half.permute(0, 2, 3, 1).round().numpy().astype(np.uint8)
    return result


if __name__ == "__main__":
    main()
