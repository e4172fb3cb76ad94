"""The face chain: what each stage costs in each runtime, as ratios of one run.

    .venv/bin/python tests/bench/bench_face.py          prints milliseconds and ratios
    pytest -m bench tests/bench/bench_face.py           holds the ratios

Milliseconds are this machine's; the ratios (a stage against the embedder's bare inference in the same
runtime, in the same minute) travel.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from agent.biometrics.face.session import FaceVerifier, open_models
from agent.biometrics.liveness.passive import PassiveLiveness
from agent.biometrics.picture import open_picture
from agent.biometrics.runtime import RUNTIMES, choose_runtime
from agent.settings.model import FaceConfig

pytestmark = pytest.mark.bench

ROUNDS = 30
CHAIN_LIMIT = 4.0
"""Detect, align, judge and embed, in bare inferences of the embedder."""
LITERT_GAIN = 1.5
"""How much faster LiteRT embeds than tflite-runtime, at the least: why `auto` prefers it."""


def portrait() -> np.ndarray:
    data = pytest.importorskip("skimage.data")
    room = np.full((480, 640, 3), 118, np.uint8)
    room[40:340, 170:470] = data.astronaut()[:300, 100:400]
    return room


def median_ms(task: Callable[[], object], rounds: int = ROUNDS) -> float:
    """Return the median CPU time of a task after two warm-up rounds, milliseconds."""
    task()
    task()
    times = []
    for _ in range(rounds):
        started = time.process_time()
        task()
        times.append(1e3 * (time.process_time() - started))
    return statistics.median(times)


def in_turns(tasks: dict[str, Callable[[], object]], rounds: int = ROUNDS) -> dict[str, float]:
    """Return the median CPU milliseconds of each; they take turns, so that a busy machine slows all."""
    times: dict[str, list[float]] = {name: [] for name in tasks}
    for number in range(rounds + 2):
        for name, task in tasks.items():
            started = time.process_time()
            task()
            if number >= 2:  # warm
                times[name].append(1e3 * (time.process_time() - started))
    return {name: statistics.median(found) for name, found in times.items()}


def bare_detect(detector: Any) -> None:
    """Run the detector's networks as often as one face takes, with nothing around them."""
    detector._network._interpreter.invoke()
    second = detector._refiner
    if second is not None:
        for _ in range(second._how.passes):
            second._network._interpreter.invoke()


def measure(runtime: str) -> dict[str, float]:
    """Return milliseconds by stage."""
    picture = portrait()
    detector, embedder = open_models(FaceConfig(runtime=runtime))
    face = detector.detect(picture)[0]
    chip = embedder.align(picture, face.points)
    from agent.biometrics.face.quality import Limits, assess_chip

    layer = PassiveLiveness()
    shifted = [np.roll(picture, n, axis=1) for n in range(4)]
    turn = iter(range(10**6))

    def watch() -> None:
        number = next(turn)
        layer.observe(shifted[number % 4], face, number / 15)

    return in_turns(
        {
            "detect": lambda: detector.detect(picture),
            "bare detect": lambda: bare_detect(detector),
            "align": lambda: embedder.align(picture, face.points),
            "quality": lambda: assess_chip(chip, Limits()),
            "embed": lambda: embedder.embed(chip),
            "bare": embedder._network._interpreter.invoke,
            "liveness": watch,
        }
    )


def installed() -> list[str]:
    found = []
    for name in RUNTIMES:
        try:
            found.append(choose_runtime(name))
        except ValueError:
            continue
    return found


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_the_chain_costs_little_more_than_its_networks(runtime):
    if runtime not in installed():
        pytest.skip(f"{runtime} is not installed")
    found = measure(runtime)
    chain = found["detect"] + found["align"] + found["quality"] + found["embed"]
    assert chain < CHAIN_LIMIT * found["bare"], found
    assert found["embed"] < 1.5 * found["bare"] + 0.5, found


def test_auto_prefers_the_faster_runtime():
    if len(installed()) < 2:
        pytest.skip("both runtimes are needed")
    times = {name: measure(name)["embed"] for name in installed()}
    assert times["tflite-runtime"] > LITERT_GAIN * times["litert"], times


def test_a_reference_is_read_in_a_few_inferences():
    """A photo out of a credential: decode, detect, embed twice."""
    import io

    from PIL import Image

    from agent.credential.model import BiometricReference, Modality, ReferenceForm

    verifier = FaceVerifier.from_config(FaceConfig(liveness="off"), photos=open_picture)
    out = io.BytesIO()
    Image.fromarray(portrait()[40:340:4, 170:470:4]).save(out, "WEBP", quality=40)
    reference = BiometricReference(Modality.FACE, ReferenceForm.IMAGE, out.getvalue(), 4)
    assert open_picture(out.getvalue()).shape == (75, 75, 3)
    bare = median_ms(verifier.embedder._network._interpreter.invoke)
    whole = median_ms(lambda: verifier.begin(reference, 0.0).close())
    assert whole < 16 * bare, (whole, bare)


def main() -> None:
    """Print what this machine does."""
    for runtime in installed():
        found = measure(runtime)
        print(f"{runtime}:")
        for stage, value in found.items():
            print(f"    {stage:9} {value:7.2f} ms  {value / found['bare']:5.2f} inferences")
        chain = found["detect"] + found["align"] + found["quality"] + found["embed"]
        print(f"    chain     {chain:7.2f} ms")


if __name__ == "__main__":
    main()
