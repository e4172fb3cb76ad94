"""Detection: decoding by hand-made outputs, and the shipped networks on the two portraits."""

import msgspec
import numpy as np
import pytest

from agent.biometrics.errors import ModelError
from agent.biometrics.face.detect import open_detector
from agent.biometrics.face.detect_tflite import TfliteDetector, _Level, letterbox, suppress
from agent.biometrics.face.session import open_models
from agent.biometrics.manifest import DetectorSpec, load_manifest, shipped_dir
from agent.biometrics.runtime import Options, Quantisation
from agent.biometrics.types import MAX_FACES
from agent.settings.model import FaceConfig


def test_suppression_keeps_the_best_of_each_place():
    boxes = np.array([[0, 0, 10, 10], [1, 1, 10, 10], [30, 0, 10, 10], [31, 0, 9, 9]], np.float32)
    assert suppress(boxes, 0.4) == [0, 2]
    assert suppress(boxes, 0.99) == [0, 1, 2, 3]
    assert suppress(boxes[:0], 0.4) == []


@pytest.mark.parametrize("shape", [(480, 640), (720, 1280), (640, 480), (60, 45), (1, 900)])
def test_the_letterbox_keeps_the_proportion_and_the_corner(shape):
    picture = np.full((*shape, 3), 200, np.uint8)
    canvas, scale = letterbox(picture, (160, 224), 128)
    assert canvas.shape == (160, 224, 3)
    rows, columns = max(1, round(shape[0] * scale)), max(1, round(shape[1] * scale))
    assert (canvas[:rows, :columns] == 200).all()
    assert (canvas[rows:] == 128).all()
    assert (canvas[:, columns:] == 128).all()
    assert rows == 160 or columns == 224


def outputs(score, box, points, cell=(3, 5)):
    """Return the outputs of one stride 8 with one cell set, as int8 of scale 0.1."""
    planes = [np.full((1, 20, 28, n), 0, np.int8) for n in (1, 4, 10)]
    planes[0][...] = -120
    for plane, values in zip(planes, (score, box, points), strict=True):
        plane[0, cell[0], cell[1]] = np.round(np.asarray(values) * 10)
    return planes


@pytest.mark.parametrize(
    ("how", "box", "expected"),
    [
        (DetectorSpec(), (0.5, -0.5, 1.0, 1.2), (5.5 + 0.5, 3.5 - 0.5, np.e, np.exp(1.2))),
        (DetectorSpec(), (0, 0, 12, 12), (5.5, 3.5, np.exp(4), np.exp(4))),
        (DetectorSpec(box="ltrb"), (1, 2, 3, 4), (5.5 + 1, 3.5 + 1, 4, 6)),
        (
            DetectorSpec(box="ltrb", box_activation="exp"),
            (0, 0, 0.7, 0.7),
            (5.5 + (np.exp(0.7) - 1) / 2, 3.5 + (np.exp(0.7) - 1) / 2, *[1 + np.exp(0.7)] * 2),
        ),
    ],
)
def test_a_cell_is_decoded_as_the_manifest_says(how, box, expected):
    level = _Level(8, 28, 0, 1, 2, (Quantisation(0.1, 0),) * 3)
    points = np.arange(10) / 10
    rows = level.decode(outputs([2.0], box, points), how)
    assert rows.shape == (1, 15)
    assert rows[0, 0] == pytest.approx(1 / (1 + np.exp(-2.0)))
    x, y, width, height = rows[0, 1:5]
    assert np.allclose((x + width / 2, y + height / 2, width, height), 8 * np.array(expected))
    assert np.allclose(rows[0, 5:].reshape(5, 2), 8 * (points.reshape(5, 2) + np.array([5.5, 3.5])))


@pytest.mark.parametrize(("logit", "found"), [(-1.0, 0), (0.0, 1), (3.0, 1)])
def test_the_score_threshold_is_a_probability(logit, found):
    level = _Level(8, 28, 0, 1, 2, (Quantisation(0.1, 0),) * 3)
    assert len(level.decode(outputs([logit], [0] * 4, [0] * 10), DetectorSpec())) == found


# Right eye, left eye, nose, right and left mouth corner as read off the enlarged pictures by eye.
ASTRONAUT = ((93.8, 95.8), (136.3, 97.5), (113.3, 122.0), (95.5, 135.8), (133.8, 136.3))
HOPPER = ((192.0, 188.5), (274.5, 186.5), (236.0, 242.5), (196.0, 280.0), (279.0, 277.5))


def test_the_portraits_are_found_with_their_points(runtime, astronaut, hopper):
    detector, _ = open_models(FaceConfig(runtime=runtime))
    for picture, points in ((astronaut, ASTRONAUT), (hopper, HOPPER)):
        faces = detector.detect(picture)
        assert len(faces) == 1
        off = np.linalg.norm(faces[0].points - np.array(points), axis=1)
        assert off.max() < 0.15 * faces[0].eye_distance, off
        assert faces[0].score > 0.7


@pytest.mark.parametrize("side", [80, 120, 200])
def test_faces_are_found_at_the_sizes_of_a_gate(detector, scene, astronaut, hopper, side):
    for person in (astronaut, hopper):
        room = scene(person, sides=(round(side * 2.7),))
        faces = detector.detect(room)
        assert len(faces) == 1
        assert faces[0].box.width == pytest.approx(side, rel=0.25)


def test_more_faces_than_matter_are_cut(detector, scene, astronaut):
    faces = detector.detect(scene(*[astronaut] * 6, sides=(100,) * 6))
    assert len(faces) == MAX_FACES


@pytest.mark.parametrize("shape", [(480, 640), (7, 9), (1, 1), (1000, 3)])
@pytest.mark.parametrize("kind", ["black", "white", "noise"])
def test_pictures_without_a_face_give_none(detector, shape, kind):
    picture = np.zeros((*shape, 3), np.uint8)
    if kind == "white":
        picture[...] = 255
    elif kind == "noise":
        picture[...] = np.random.default_rng(1).integers(0, 256, picture.shape)
    assert detector.detect(picture) == []


def test_strided_views_are_taken(detector, astronaut):
    """A camera's rows may be padded, and a mirrored picture runs backwards."""
    padded = np.zeros((astronaut.shape[0], astronaut.shape[1] + 13, 3), np.uint8)
    padded[:, :-13] = astronaut
    assert len(detector.detect(padded[:, :-13])) == 1
    assert len(detector.detect(astronaut[:, ::-1])) == 1


def test_wiping_changes_what_the_networks_hold(detector, astronaut):
    detector.detect(astronaut)
    network = detector._network
    held = network._interpreter.get_tensor(network._input).copy()
    detector.wipe()
    after = network._interpreter.get_tensor(network._input)
    assert held.std() > 5
    assert after.std() == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"strides": (16,)}, "no output of shape"),
        ({"refine": "other"}, "no face-points named 'other'"),
    ],
)
def test_a_detector_that_is_not_as_declared_is_refused(change, message):
    manifest = load_manifest()
    spec = manifest.find("", "face-detector")
    wrong = msgspec.structs.replace(spec, detector=msgspec.structs.replace(spec.detector, **change))
    with pytest.raises(ModelError, match=message):
        TfliteDetector(shipped_dir(), manifest, wrong, Options())


def test_a_detector_without_a_second_network_gives_the_coarse_points(astronaut):
    manifest = load_manifest()
    spec = manifest.find("", "face-detector")
    alone = msgspec.structs.replace(
        spec, detector=msgspec.structs.replace(spec.detector, refine="")
    )
    coarse = TfliteDetector(shipped_dir(), manifest, alone).detect(astronaut)[0]
    fine = TfliteDetector(shipped_dir(), manifest, spec).detect(astronaut)[0]
    distance = np.linalg.norm(coarse.points - fine.points, axis=1).max() / fine.eye_distance
    assert 0 < distance < 0.4


def test_a_file_that_is_no_yunet_is_refused(tmp_path):
    import hashlib

    data = b"not onnx" * 100
    (tmp_path / "y.onnx").write_bytes(data)
    manifest = load_manifest()
    spec = msgspec.structs.replace(
        manifest.find("", "face-detector"),
        file="y.onnx",
        sha256=hashlib.sha256(data).hexdigest(),
        detector=DetectorSpec(decoder="yunet"),
    )
    manifest = msgspec.structs.replace(manifest, model=(spec,))
    with pytest.raises(ModelError, match="OpenCV cannot load it"):
        open_detector(tmp_path, manifest)
