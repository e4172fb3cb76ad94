"""The whole pipeline on drawn pictures: train, export, and what the product's runtimes make of it.

Trains in the interpreter that has torch (see `conftest.training_python`), as an operator would:
through the command line. A few steps teach nothing; the tests hold that the parts fit together,
and that both TFLite runtimes compute what the export wrote down.
"""

import hashlib
import re
import subprocess
import tomllib
from pathlib import Path

import numpy as np
import pytest

from agent.biometrics.manifest import InputSpec, ModelSpec
from agent.biometrics.runtime import Network, Options, golden_heads
from models.training.labels import read_annotation
from models.training.sizes import DETECTOR_SIZE, EMBEDDER_SIZE, POINTS_SIZE
from tests.support.paths import ROOT

pytestmark = pytest.mark.timeout(600)


def training(python: str, module: str, *arguments: object) -> str:
    """Run one step of the pipeline; give what it printed."""
    command = [python, "-m", f"models.training.{module}", *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def check(path: Path, size: tuple[int, int], runtime: str) -> None:
    """Hold a model file against the facts that its export wrote, in one runtime."""
    data, fact = path.read_bytes(), tomllib.loads(path.with_suffix(".toml").read_text())
    assert hashlib.sha256(data).hexdigest() == fact["sha256"]
    spec = ModelSpec(
        name="tried", kind="face-points", file=path.name, sha256=fact["sha256"], licence="", origin="",
        input=InputSpec(height=size[0], width=size[1]),
    )  # fmt: skip
    heads = golden_heads(Network(spec, data, Options(runtime=runtime)))
    assert [len(head) for head in heads] == [len(head) for head in fact["heads"]]
    for ours, printed in zip(heads, fact["heads"], strict=True):
        assert np.abs(np.subtract(ours, printed)).max() <= 4


@pytest.fixture(scope="module")
def detector(training_python, drawn_scenes, tmp_path_factory):
    """Detector and refiner after a few steps: folder, what training printed."""
    work = tmp_path_factory.mktemp("detector")
    common = ("--pictures", drawn_scenes, "--work", work, "--pool", 64, "--batch", 8)
    printed = [
        training(training_python, "train_detector", "frames", *common, "--steps", 3),
        training(training_python, "train_detector", "crops", *common, "--steps", 3),
    ]
    training(
        training_python, "relabel",
        "--pictures", drawn_scenes, "--work", work, "--out", work / "cleaned.csv",
    )  # fmt: skip
    training(
        training_python, "export_detector",
        "--pictures", drawn_scenes, "--work", work, "--out", work, "--calibration", 8,
    )  # fmt: skip
    return work, printed


def test_the_detector_trains(detector):
    _, (frames, crops) = detector
    assert re.search(r"step 3 .* heat \d+\.\d+ values \d+\.\d+", frames)
    assert re.search(r"step 3 .* points \d+\.\d+ maps \d+\.\d+ face \d+\.\d+", crops)


@pytest.mark.parametrize("runtime", ["litert", "tflite-runtime"])
def test_the_detector_runs_in_the_product(detector, runtime):
    work, _ = detector
    check(work / "face_detect_int8.tflite", DETECTOR_SIZE, runtime)
    check(work / "face_points_int8.tflite", (POINTS_SIZE, POINTS_SIZE), runtime)
    assert sum(p.stat().st_size for p in work.glob("*.tflite")) < 1_000_000


@pytest.fixture(scope="module")
def embedder(training_python, drawn_people, tmp_path_factory):
    """An embedder after a few steps from nothing, and what was printed."""
    work = tmp_path_factory.mktemp("embedder")
    trained = training(
        training_python, "train_embedder",
        "--chips", drawn_people, "--work", work, "--steps", 2, "--batch", 4,
    )  # fmt: skip
    again = training(
        training_python, "train_embedder",
        "--chips", drawn_people, "--work", work, "--steps", 2, "--batch", 4,
        "--start", work / "embedder.pt",
    )  # fmt: skip
    training(
        training_python, "export_embedder",
        "--chips", drawn_people, "--checkpoint", work / "embedder.pt", "--out", work / "e_int8.tflite",
    )  # fmt: skip
    return work, trained, again


def test_the_embedder_trains_from_nothing_and_from_weights(embedder):
    _, trained, again = embedder
    assert re.search(r"step 2 .* margin \d+\.\d+", trained)
    assert "distillation" not in trained
    assert re.search(r"step 2 .* distillation \d+\.\d+ margin \d+\.\d+", again)


@pytest.mark.parametrize("runtime", ["litert", "tflite-runtime"])
def test_the_embedder_runs_in_the_product(embedder, runtime):
    check(embedder[0] / "e_int8.tflite", (EMBEDDER_SIZE, EMBEDDER_SIZE), runtime)


def test_losses_fall_where_they_should(training_python):
    """Run the checks that need torch itself."""
    done = subprocess.run(
        [training_python, str(ROOT / "tests/models/check_losses.py")],
        cwd=ROOT, capture_output=True, text=True, check=False, env={"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]


def test_labels_are_cleaned_only_where_the_network_agrees(detector, drawn_scenes):
    """After three steps it agrees nowhere, and every label stays."""
    work, _ = detector
    old = read_annotation(drawn_scenes.with_suffix(".csv"))
    new = read_annotation(work / "cleaned.csv")
    assert old.keys() == new.keys()
    for name, (boxes, points) in old.items():
        np.testing.assert_array_equal(new[name][0], boxes)
        eyes = np.hypot(*(points[0, 1] - points[0, 0]))
        assert np.hypot(*(new[name][1][0] - points[0]).T).mean() <= 0.161 * eyes
