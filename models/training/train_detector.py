"""Train the face detector or its point refiner on annotated scenes.

    python -m models.training.train_detector frames --minutes 40 --work WORK
    python -m models.training.train_detector crops --minutes 30 --work WORK

`WORK` receives the decoded pictures, the checkpoint and nothing that may be committed.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from models.training import compose, losses
from models.training.camera import CameraEffects
from models.training.loop import Arrays, SamplePool, Schedule, train
from models.training.negatives import draw_negatives
from models.training.nets import FaceDetector, PointRefiner, expected_points
from models.training.scenes import load_scenes, split

NEGATIVE_COUNT = 480


def main() -> None:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("frames", "crops"))
    parser.add_argument("--pictures", type=Path, default=Path("../shared/faces/detect_train"))
    parser.add_argument("--annotation", type=Path, help="default: PICTURES.csv")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=40)
    parser.add_argument("--steps", type=int, default=0, help="instead of --minutes")
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--start", type=Path, help="checkpoint to go on from")
    parser.add_argument("--mined", type=Path, help="crops that are no faces, from `mine.py`")
    parser.add_argument("--pool", type=int, default=12000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    schedule = Schedule(
        0 if arguments.steps else arguments.minutes,
        arguments.steps,
        arguments.batch,
        arguments.rate,
    )
    run(arguments, schedule)


def run(arguments: argparse.Namespace, schedule: Schedule) -> nn.Module:
    """Train what the arguments name; the checkpoint is WORK/detector.pt or WORK/refiner.pt."""
    cv2.setNumThreads(1)
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    rng = np.random.default_rng(arguments.seed)
    annotation = arguments.annotation or arguments.pictures.with_suffix(".csv")
    scenes, _ = split(load_scenes(arguments.pictures, annotation, arguments.work / "scenes"))
    negatives = draw_negatives(min(NEGATIVE_COUNT, arguments.pool), rng)
    effects = CameraEffects(torch.Generator().manual_seed(arguments.seed))
    if arguments.what == "frames":
        network: nn.Module = FaceDetector()
        frames = compose.FrameComposer(scenes, negatives, rng)
        loss, sample, name = frame_loss, lambda: frame_arrays(frames.sample()), "detector.pt"
    else:
        network = PointRefiner()
        crops = compose.CropComposer(scenes, negatives, rng)
        if arguments.mined:
            crops.mined = np.load(arguments.mined)
        loss, sample, name = crop_loss, lambda: crop_arrays(*crops.sample()), "refiner.pt"
    if arguments.start:
        network.load_state_dict(torch.load(arguments.start))
    network = network.to(memory_format=torch.channels_last)
    pool = SamplePool(sample, arguments.pool, reuse=3)
    drawing = np.random.default_rng(arguments.seed + 1)

    def batch(count: int) -> tuple[Tensor, ...]:
        picture, *rest = pool.draw(count, drawing)
        x = torch.from_numpy(picture).permute(0, 3, 1, 2).float()
        x = effects(x.contiguous(memory_format=torch.channels_last))
        return x, *(torch.from_numpy(array.astype(np.float32)) for array in rest)

    try:
        return train(network, batch, loss, schedule=schedule, checkpoint=arguments.work / name)
    finally:
        pool.close()


def frame_arrays(sample: compose.FrameSample) -> Arrays:
    """A detector sample as the pool stores it."""
    return (
        sample.picture,
        sample.heat,
        sample.values.astype(np.float16),
        sample.weight.astype(np.float16),
    )


def crop_arrays(picture: np.ndarray, points: np.ndarray, is_face: float) -> Arrays:
    """A refiner sample as the pool stores it."""
    return picture, points, np.array(is_face, np.float32)


def frame_loss(
    network: nn.Module, x: Tensor, heat: Tensor, values: Tensor, weight: Tensor
) -> dict[str, Tensor]:
    """Heat map and values of the detector."""
    with torch.autocast("cpu", torch.bfloat16):
        score, box, points = network(x)
    found = torch.cat([box, points], dim=1).float()
    return {
        "heat": losses.heat_loss(score[:, 0].float(), heat),
        "values": losses.values_loss(found, values, weight),
    }


def crop_loss(network: nn.Module, x: Tensor, points: Tensor, is_face: Tensor) -> dict[str, Tensor]:
    """Points of the faces, and whether it is one."""
    with torch.autocast("cpu", torch.bfloat16):
        score, heat = network(x)
    faces = is_face > 0
    heat, points = heat[faces].float(), points[faces]
    return {
        "points": losses.points_loss(expected_points(heat), points),
        "maps": losses.maps_loss(heat, points) * 0.2,
        "face": functional.binary_cross_entropy_with_logits(score[:, 0].float(), is_face),
    }


if __name__ == "__main__":
    main()
