"""Collect what the detector takes for faces where there are none: the refiner's hard lessons.

    python -m models.training.mine --models models --work WORK --out mined.npy

Runs in the product's environment. Coarse candidates, found with a low threshold in drawn pictures
and in strips beside the faces of the training scenes, are cut out as the refiner would see them.
`train_detector crops --mined mined.npy` then shows them as no faces. A strip may hold a face that
nobody labelled: strips in which the present refiner is sure of one are left out.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import cv2
import msgspec
import numpy as np

from agent.biometrics.face.detect import open_detector
from agent.biometrics.geometry import similarity, warp
from agent.biometrics.manifest import Manifest, load_manifest
from agent.biometrics.types import FaceDetector
from models.training.negatives import draw_negatives
from models.training.scenes import faceless_crop, load_scenes, split
from models.training.sizes import POINTS_SIZE, POINTS_TEMPLATE

COARSE_THRESHOLD = 0.12
SURE = 0.9
FRAME = (480, 640)


def main() -> None:
    """Parse the command line and collect."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--pictures", type=Path, default=Path("../shared/faces/detect_train"))
    parser.add_argument("--annotation", type=Path, help="default: PICTURES.csv")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--frames", type=int, default=1500)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    manifest = load_manifest(arguments.models)
    coarse = open_detector(arguments.models, coarse_only(manifest))
    whole = open_detector(arguments.models, manifest)
    annotation = arguments.annotation or arguments.pictures.with_suffix(".csv")
    scenes, _ = split(load_scenes(arguments.pictures, annotation, arguments.work / "scenes"))
    rng = np.random.default_rng(17)
    crops = [
        crop
        for frame, drawn in faceless_frames(scenes, arguments.frames, rng)
        if drawn or not any(face.score > SURE for face in whole.detect(frame))
        for crop in candidates(coarse, frame)
    ]
    np.save(arguments.out, np.stack(crops))
    print(f"{len(crops)} crops from {arguments.frames} frames")


def coarse_only(manifest: Manifest) -> Manifest:
    """The manifest with a detector that names every weak candidate and refines none."""
    replace = msgspec.structs.replace
    spec = manifest.find("", "face-detector")
    weak = replace(spec.detector, refine="", score_threshold=COARSE_THRESHOLD)
    models = tuple(
        replace(each, detector=weak) if each.name == spec.name else each for each in manifest.model
    )
    return replace(manifest, model=models)


def faceless_frames(
    scenes: list, count: int, rng: np.random.Generator
) -> Iterator[tuple[np.ndarray, bool]]:
    """Frames without a labelled face, and whether they were drawn, half and half."""
    for picture in draw_negatives(count // 2, rng):
        yield cv2.resize(picture, FRAME[::-1]), True
    made = 0
    while made < count - count // 2:
        strip = faceless_crop(scenes[rng.integers(len(scenes))], rng)
        if strip is not None:
            made += 1
            yield cv2.resize(np.ascontiguousarray(strip), FRAME[::-1]), False


def candidates(coarse: FaceDetector, frame: np.ndarray) -> Iterator[np.ndarray]:
    """The refiner's crops (96, 96, 3) of every coarse candidate of a frame."""
    template = np.array(POINTS_TEMPLATE, np.float32)
    for face in coarse.detect(frame):
        matrix = similarity(face.points, template)
        yield warp(frame, matrix, (POINTS_SIZE, POINTS_SIZE), 128)


if __name__ == "__main__":
    main()
