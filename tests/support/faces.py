"""Shared parts of the face tests: two people that packages carry as samples, and the real chain."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from agent.biometrics.face.embed import Embedder
from agent.biometrics.face.session import FaceVerifier, open_models
from agent.biometrics.photo import PhotoDecoder
from agent.biometrics.runtime import RUNTIMES
from agent.biometrics.types import Face, FaceDetector
from agent.sandbox.supervisor import Incident
from agent.settings.model import FaceConfig
from hal.camera import Frame
from tests.support.paths import shared

Rgb = NDArray[np.uint8]


@pytest.fixture(scope="session")
def astronaut() -> Rgb:
    """Eileen Collins, (220, 220, 3), from scikit-image."""
    data = pytest.importorskip("skimage.data")
    return np.ascontiguousarray(data.astronaut()[5:225, 110:330])


@pytest.fixture(scope="session")
def hopper() -> Rgb:
    """Grace Hopper, (460, 460, 3), from matplotlib."""
    cbook = pytest.importorskip("matplotlib.cbook")
    with cbook.get_sample_data("grace_hopper.jpg") as file:
        return np.array(Image.open(file).convert("RGB"))[:460, 30:490]


@pytest.fixture(scope="session", params=tuple(RUNTIMES))
def runtime(request: pytest.FixtureRequest) -> str:
    """Each TFLite runtime that is installed, in turn."""
    name: str = request.param
    pytest.importorskip(RUNTIMES[name])
    return name


@pytest.fixture(scope="session")
def models() -> tuple[FaceDetector, Embedder]:
    """The shipped models in the default runtime."""
    return open_models(FaceConfig())


@pytest.fixture(scope="session")
def detector(models: tuple[FaceDetector, Embedder]) -> FaceDetector:
    return models[0]


@pytest.fixture(scope="session")
def embedder(models: tuple[FaceDetector, Embedder]) -> Embedder:
    return models[1]


@pytest.fixture(scope="session")
def photos() -> Iterator[PhotoDecoder]:
    """The photo decoder in its real processes; an incident that no test expects is an error."""

    def report(incident: Incident) -> None:
        raise AssertionError(incident)

    decoder = PhotoDecoder(report)
    decoder.start()
    decoder.wait_ready()
    yield decoder
    decoder.close()


@pytest.fixture
def verifier(detector: FaceDetector, embedder: Embedder, photos: PhotoDecoder) -> FaceVerifier:
    """The shipped chain without a liveness layer, deciding on three frames."""
    return FaceVerifier(detector, embedder, liveness="off", photos=photos.decode)


@pytest.fixture(scope="session")
def astronaut_face(detector: FaceDetector, astronaut: Rgb) -> Face:
    return detector.detect(astronaut)[0]


def _as_frame(picture: Rgb, sequence: int = 0) -> Frame:
    import cv2

    luma = np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), dtype=np.uint8)
    return Frame(luma, sequence, 0.0, sequence, "test", colour=picture.copy())


@pytest.fixture(scope="session")
def as_frame() -> Callable[..., Frame]:
    """Picture (and sequence number) to what a camera would deliver."""
    return _as_frame


def _scene(*people: Rgb, sides: tuple[int, ...] = (), shift: int = 0) -> Rgb:
    import cv2

    room = np.full((480, 640, 3), 118, dtype=np.uint8)
    step = 640 // max(len(people), 1)
    for place, person in enumerate(people):
        side = sides[place] if sides else min(260, step - 10)
        tall = round(side * person.shape[0] / person.shape[1])
        shown = cv2.resize(person, (side, tall), interpolation=cv2.INTER_AREA)[:440]
        left = place * step + (step - side) // 2 + shift
        room[20 : 20 + shown.shape[0], left : left + side] = shown
    return room


@pytest.fixture(scope="session")
def scene() -> Callable[..., Rgb]:
    """People side by side in a grey room, 640x480, each `sides[i]` pixels wide."""
    return _scene


def _encoded(picture: Rgb, kind: str, **how: object) -> bytes:
    out = io.BytesIO()
    Image.fromarray(picture).save(out, kind, **how)
    return out.getvalue()


@pytest.fixture(scope="session")
def encoded() -> Callable[..., bytes]:
    """Picture and Pillow's name of a format to a file's bytes."""
    return _encoded


@pytest.fixture(scope="session")
def shared_faces() -> Path:
    """Faces for training and tests, outside the project."""
    return shared("faces")
