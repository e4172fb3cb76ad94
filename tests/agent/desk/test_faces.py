"""A face at the desk, by the real sandbox and the real models."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from agent.biometrics.face.compare import cosine
from agent.credential.model import Modality
from agent.desk.faces import FaceError, Faces
from tests.support.faces import astronaut, embedder, hopper, models  # noqa: F401


@pytest.fixture(scope="module")
def faces():
    made = Faces()
    yield made
    made.close()


def jpeg(picture, quality=88) -> bytes:
    out = io.BytesIO()
    image = Image.fromarray(picture)
    image.thumbnail((640, 640))
    image.save(out, "JPEG", quality=quality)
    return out.getvalue()


def test_template_is_the_gates_own(faces, embedder, astronaut, hopper):  # noqa: F811
    ada = faces.take([jpeg(astronaut), jpeg(astronaut, 70)])
    grace = faces.take([jpeg(hopper)])
    assert ada.modality is Modality.FACE
    assert (len(ada.data), ada.issuer) == (128, embedder.model_id)
    again = faces.take([jpeg(astronaut, 60)])
    mine, yours, other = (embedder.read_template(each.data) for each in (ada, again, grace))
    threshold = embedder.thresholds.at("1e-4")
    assert cosine(mine, yours) > threshold > cosine(mine, other)


def test_two_people_are_refused(faces, astronaut, hopper):  # noqa: F811
    with pytest.raises(FaceError, match="do not show one person"):
        faces.take([jpeg(astronaut), jpeg(hopper)])


def test_what_a_picture_shows(faces, astronaut, hopper):  # noqa: F811
    assert faces.look(jpeg(astronaut)).good
    two = np.full((300, 620, 3), 118, dtype=np.uint8)
    two[20:240, 40:260] = astronaut
    two[20:240, 360:580] = np.array(Image.fromarray(hopper).resize((220, 220)))
    tiny = np.full((480, 640, 3), 118, dtype=np.uint8)
    tiny[200:240, 300:340] = np.array(Image.fromarray(astronaut).resize((40, 40)))
    found = {
        "none": faces.look(jpeg(np.full((240, 320, 3), 90, dtype=np.uint8))).problem,
        "two": faces.look(jpeg(two)).problem,
        "dark": faces.look(jpeg((astronaut // 12).astype(np.uint8))).good,
        "far": faces.look(jpeg(tiny)).good,
    }
    assert found == {"none": "no_face", "two": "many_faces", "dark": False, "far": False}


@pytest.mark.parametrize("data", [b"", b"GIF89a", b"\xff\xd8\xff" + bytes(99), b"x" * (300 << 10)])
def test_file_that_is_no_picture(faces, data):
    assert faces.look(data).problem == "picture"
    with pytest.raises(FaceError):
        faces.take([data])


@pytest.mark.parametrize("count", [0, 5])
def test_number_of_pictures(faces, astronaut, count):  # noqa: F811
    with pytest.raises(FaceError, match="one to 4 pictures"):
        faces.take([jpeg(astronaut)] * count)


def test_closed_is_closed(astronaut):  # noqa: F811
    made = Faces()
    made.close()
    made.close()
    with pytest.raises(FaceError, match="closing"):
        made.look(jpeg(astronaut))
