"""Measure the detector through the product's own code: recall, point error, false faces, time.

    python -m models.training.evaluate_detector --models models

Runs in the product's environment; needs no torch. Recall: labelled faces (LFW, never trained on)
pasted into 640x480 at a given face width in front of drawn backgrounds; found when the boxes
overlap by 0.4 (intersection over union). Point error: mean distance of the five points from the
labels, in percent of the labelled eye distance, over the faces found. False faces: whatever is
found in photographs of QR codes, in noise and in drawn pictures without a face.
"""

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from agent.biometrics.face.detect import open_detector
from agent.biometrics.manifest import load_manifest
from agent.biometrics.runtime import Options
from agent.biometrics.types import Face, FaceDetector
from models.training.labels import read_annotation
from models.training.negatives import clouds, draw_negatives

FRAME = (480, 640)
FOUND_OVERLAP = 0.4
# Photographs of codes that show a person's face, or a drawing of one: not counted as faceless.
WITH_A_FACE = frozenset(
    {
        "qrcode-1/19.png",
        "qrcode-1/20.png",
        "qrcode-2/18.png",
        "qrcode-2/20.png",
        "qrcode-2/21.png",
        "qrcode-2/23.png",
    }
)
WIDTHS_PX = (40, 60, 80, 120, 200, 300)


def main() -> None:
    """Parse the command line, measure, print JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--detector", default="", help="name in the manifest; default: its default")
    parser.add_argument("--faces", type=Path, default=Path("../shared/faces"))
    parser.add_argument("--qr", type=Path, default=Path("../shared/qr"))
    parser.add_argument("--count", type=int, default=1000, help="faces a width")
    parser.add_argument("--runtime", default="auto")
    arguments = parser.parse_args()
    detector = open_detector(
        arguments.models,
        load_manifest(arguments.models),
        arguments.detector,
        Options(runtime=arguments.runtime),
    )
    report = {
        "detector": detector.name,
        "runtime": detector.runtime,
        "faces_a_width": arguments.count,
    }
    report["widths"], displaced = {}, {}
    for width in WIDTHS_PX:
        measured = measure_width(detector, arguments.faces, width, arguments.count)
        report["widths"][width], displaced[width] = measured
    report["repeatability_percent"] = repeatability(displaced)
    report["false_faces"] = measure_false(detector, arguments.qr)
    report["ms"] = measure_time(detector, arguments.faces)
    print(json.dumps(report, indent=1))


def pasted(
    faces: Path, width: int, count: int, rng: np.random.Generator
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Frames (480, 640, 3) with one LFW picture each; its box (4,) and points (5, 2)."""
    table = read_annotation(faces / "lfw_faces.csv")
    names = sorted(table)
    backgrounds = [cv2.resize(clouds(rng), FRAME[::-1]) for _ in range(40)]
    for name in np.random.default_rng(1).permutation(names)[:count]:  # the same at every width
        boxes, points = table[name]
        picture = cv2.imread(str(faces / "lfw" / name))[:, :, ::-1]
        scale = width / boxes[0, 2]
        method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=method)
        # Half a pixel: resizing keeps the corners, labels count from the first pixel's centre.
        moved = (points[0] + 0.5) * scale - 0.5
        box = np.concatenate([boxes[0, :2], boxes[0, 2:]]) * scale
        frame = backgrounds[rng.integers(len(backgrounds))].copy()
        middle = box[:2] + box[2:] / 2
        reach = np.minimum(box[2:] / 2, np.array(FRAME[::-1]) / 2)
        target = rng.uniform(reach, np.array(FRAME[::-1]) - reach)
        shift = np.round(target - middle).astype(int)
        paste(frame, small, shift)
        yield frame, box + np.array([*shift, 0, 0]), moved + shift


def paste(frame: np.ndarray, picture: np.ndarray, shift: np.ndarray) -> None:
    """Put `picture` into `frame` with its corner at (x, y), cut at the frame's edges."""
    x, y = shift
    x0, y0 = max(0, -x), max(0, -y)
    part = picture[y0 : frame.shape[0] - y, x0 : frame.shape[1] - x]
    frame[y + y0 : y + y0 + part.shape[0], x + x0 : x + x0 + part.shape[1]] = part


def measure_width(
    detector: FaceDetector, faces: Path, width: int, count: int
) -> tuple[dict[str, float], dict[int, np.ndarray]]:
    """Recall, precision of the points and further faces at one face width.

    Returns:
        The numbers, and by the face's number how its points (5, 2) are displaced from the
        labels, in eye distances.
    """
    rng = np.random.default_rng(width)
    displaced, extra, total = {}, 0, 0
    for frame, box, points in pasted(faces, width, count, rng):
        total += 1
        found = detector.detect(frame)
        best = max(found, key=lambda face: overlap(face, box), default=None)
        if best is None or overlap(best, box) < FOUND_OVERLAP:
            continue
        extra += len(found) - 1
        eyes = float(np.hypot(*(points[1] - points[0])))
        difference = (best.points - points) / max(eyes, 1.0)
        displaced[total] = difference
    if not displaced:
        return {"recall": 0.0}, displaced
    table = np.linalg.norm(np.array(list(displaced.values())), axis=2)
    numbers = {
        "recall": round(len(displaced) / total, 4),
        "point_error_percent": round(100 * float(table.mean()), 2),
        "point_error_percent_median": round(100 * float(np.median(table.mean(axis=1))), 2),
        "point_error_percent_95": round(100 * float(np.quantile(table.mean(axis=1), 0.95)), 2),
        "by_point_percent": [round(100 * float(v), 2) for v in table.mean(axis=0)],
        "further_faces_a_frame": round(extra / total, 4),
    }
    return numbers, displaced


def repeatability(displaced: dict[int, dict[int, np.ndarray]]) -> dict[str, float]:
    """How far the points of one face at 80 and 200 px lie from those at 120 px, in % of the eyes.

    The same label is subtracted from both, so its errors cancel: this is the detector's own scatter
    over scale, place and background.
    """
    result = {}
    for width in (80, 200):
        both = displaced[width].keys() & displaced[120].keys()
        apart = [np.linalg.norm(displaced[width][k] - displaced[120][k], axis=1) for k in both]
        if apart:
            result[f"{width}_to_120_px"] = round(100 * float(np.mean(apart)), 2)
    return result


def overlap(face: Face, box: np.ndarray) -> float:
    """Intersection over union of a found face and a labelled box."""
    x, y, w, h = box
    right = min(face.box.x + face.box.width, x + w) - max(face.box.x, x)
    down = min(face.box.y + face.box.height, y + h) - max(face.box.y, y)
    if right <= 0 or down <= 0:
        return 0.0
    return float(right * down / (face.box.area + w * h - right * down))


def measure_false(detector: FaceDetector, qr: Path) -> dict[str, float]:
    """Faces a frame where there are none."""
    rng = np.random.default_rng(99)
    result = {}
    photographs = sorted(
        path
        for path in qr.rglob("*")
        if path.suffix in {".png", ".jpg", ".jpeg", ".webp"}
        and f"{path.parent.name}/{path.name}" not in WITH_A_FACE
    )
    sets = {
        "qr_photographs": (as_frame(cv2.imread(str(path))[:, :, ::-1]) for path in photographs),
        "noise": (rng.integers(0, 256, (*FRAME, 3), dtype=np.uint8) for _ in range(100)),
        "drawn": (cv2.resize(p, FRAME[::-1]) for p in draw_negatives(240, rng)),
    }
    for name, frames in sets.items():
        counts = [len(detector.detect(frame)) for frame in frames]
        result[name] = {"frames": len(counts), "faces_a_frame": round(float(np.mean(counts)), 4)}
    return result


def as_frame(picture: np.ndarray) -> np.ndarray:
    """A photograph scaled to at most the camera's width and height."""
    scale = min(FRAME[0] / picture.shape[0], FRAME[1] / picture.shape[1])
    return cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)


def measure_time(detector: FaceDetector, faces: Path, rounds: int = 60) -> dict[str, float]:
    """Milliseconds a frame with one face of 120 px, one thread: the median and the best."""
    rng = np.random.default_rng(5)
    times = []
    for frame, _, _ in pasted(faces, 120, rounds, rng):
        began = time.perf_counter()
        detector.detect(frame)
        times.append((time.perf_counter() - began) * 1e3)
    return {"median": round(float(np.median(times)), 2), "best": round(min(times), 2)}


if __name__ == "__main__":
    main()
