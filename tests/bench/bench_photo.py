"""A photo out of a credential: what the sandbox adds to decoding, and what hostile photos cost.

    .venv/bin/python tests/bench/bench_photo.py         prints milliseconds, MiB and pauses
    pytest -m bench tests/bench/bench_photo.py          holds the bounds

Milliseconds are this machine's; the ratio (through the sandbox against in process, in turns, wall time) travels.
"""

from __future__ import annotations

import io
import statistics
import time
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

import agent.biometrics.photo
from agent.biometrics.errors import FaceRejected
from agent.biometrics.face.session import FaceVerifier
from agent.biometrics.photo import PhotoDecoder
from agent.biometrics.picture import open_picture
from agent.biometrics.picture_header import check_header, sniff
from agent.credential.model import BiometricReference, Modality, ReferenceForm
from agent.settings.model import FaceConfig
from tests.agent.biometrics.test_photo import Watch, high_water
from tests.support.pictures import UNCHECKED

pytestmark = pytest.mark.bench

ROUNDS = 60
ADDED_MS = 15.0
"""What the sandbox may add to a photo; a person does not see it."""


def portrait(side: int) -> bytes:
    data = pytest.importorskip("skimage.data")
    face = Image.fromarray(np.ascontiguousarray(data.astronaut()[5:225, 110:330]))
    out = io.BytesIO()
    face.resize((side, side)).save(out, "WEBP", quality=40)
    return out.getvalue()


def in_turns(tasks: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Return the median wall time of each, milliseconds; they take turns, as people come: apart."""
    times: dict[str, list[float]] = {name: [] for name in tasks}
    for number in range(ROUNDS + 2):
        for name, task in tasks.items():
            time.sleep(0.01)
            started = time.perf_counter()
            task()
            if number >= 2:  # warm
                times[name].append(1e3 * (time.perf_counter() - started))
    return {name: statistics.median(found) for name, found in times.items()}


def measure(decoder: PhotoDecoder) -> dict[str, float]:
    """Return milliseconds of a photo of 64 pixels, alone and as a reference."""
    data = portrait(64)
    inside = FaceVerifier.from_config(FaceConfig(liveness="off"), photos=decoder.decode)
    outside = FaceVerifier.from_config(FaceConfig(liveness="off"), photos=open_picture)
    reference = BiometricReference(Modality.FACE, ReferenceForm.IMAGE, data, 4)
    return in_turns(
        {
            "decode in process": lambda: open_picture(data),
            "decode in the sandbox": lambda: decoder.decode(data),
            "reference in process": lambda: outside.begin(reference, 0.0).close(),
            "reference in the sandbox": lambda: inside.begin(reference, 0.0).close(),
        }
    )


def hostile(decoder: PhotoDecoder) -> dict[str, tuple[float, float, float]]:
    """Return milliseconds, MiB and the longest pause (ms) of each hostile photo, headers unchecked."""
    found = {}
    agent.biometrics.photo.check_header = lambda data, _limits: sniff(data)
    try:
        for name, data in UNCHECKED.items():
            decoder._supervisor.wait(10)
            before = high_water(decoder.worker_pid)
            watch = Watch(decoder.worker_pid)
            watch.start()
            started = time.perf_counter()
            try:
                decoder.decode(data)
            except FaceRejected:
                took = time.perf_counter() - started
            else:
                took = time.perf_counter() - started
            watch.stop()
            grown = max(0, watch.memory - before) / 2**20
            found[name] = (1e3 * took, grown, 1e3 * watch.gap_s)
    finally:
        agent.biometrics.photo.check_header = check_header
    return found


@pytest.fixture(scope="module")
def decoder():
    decoder = PhotoDecoder(lambda _incident: None)
    decoder.start()
    decoder.wait_ready()
    yield decoder
    decoder.close()


def test_the_sandbox_adds_little(decoder):
    found = measure(decoder)
    assert found["decode in the sandbox"] < found["decode in process"] + ADDED_MS, found
    assert found["reference in the sandbox"] < 2 * found["reference in process"], found


def test_no_hostile_photo_costs_more_than_the_bounds(decoder):
    worst = [max(column) for column in zip(*hostile(decoder).values(), strict=True)]
    assert worst[0] < 1_000, worst
    assert worst[1] < 64, worst


def main() -> None:
    """Print what this machine does."""
    decoder = PhotoDecoder(lambda _incident: None)
    started = time.perf_counter()
    decoder.start()
    decoder.wait_ready()
    print(f"start {1e3 * (time.perf_counter() - started):.0f} ms")
    print(f"stem {high_water(decoder.stem_pid) / 2**20:.0f} MiB")
    for name, value in measure(decoder).items():
        print(f"{name:45} {value:7.2f} ms")
    for name, (took, grown, pause) in hostile(decoder).items():
        print(f"{name:45} {took:7.1f} ms  +{grown:3.0f} MiB  pause {pause:5.1f} ms")
    decoder.close()


if __name__ == "__main__":
    main()
