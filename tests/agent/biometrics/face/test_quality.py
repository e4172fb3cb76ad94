"""The quality gate: what ordinary faces pass and spoiled ones do not."""

import numpy as np
import pytest

from agent.biometrics.face.quality import Check, Limits, assess_chip, assess_face
from agent.biometrics.geometry import pose
from agent.biometrics.types import Box, Face, Hint

FRONTAL = np.array([[100, 100], [160, 100], [130, 135], [107, 168], [153, 168]], np.float32)


def face(points=FRONTAL):
    return Face(Box(80, 60, 100, 140), np.asarray(points, np.float32), 0.9)


def turned(by):
    points = FRONTAL.copy()
    points[2, 0] += by
    return points


def rolled(degrees):
    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return FRONTAL @ turn.T


def nodded(by):
    points = FRONTAL.copy()
    points[2, 1] += by
    return points


@pytest.mark.parametrize(
    ("points", "failed"),
    [
        (FRONTAL, ()),
        (FRONTAL * 0.38, (Check.SIZE,)),
        (turned(28), (Check.POSE,)),
        (turned(-28), (Check.POSE,)),
        (turned(10), ()),
        (nodded(22), (Check.POSE,)),
        (nodded(-16), (Check.POSE,)),
        (rolled(45), (Check.POSE,)),
        (rolled(-20), ()),
        (turned(28) * 0.2, (Check.SIZE, Check.POSE)),
    ],
)
def test_size_and_pose(points, failed):
    quality = assess_face(face(points), Limits())
    assert quality.failed == failed
    assert quality.good == (not failed)


def test_pose_has_signs():
    assert pose(face(turned(15)))[0] == pytest.approx(0.5)
    assert pose(face(turned(-15)))[0] == pytest.approx(-0.5)
    assert pose(face(rolled(10)))[2] == pytest.approx(10)
    assert pose(face(np.zeros((5, 2))))[0] == 0.0


@pytest.fixture(scope="module")
def chips(detector, embedder, astronaut, hopper):
    return [embedder.align(p, detector.detect(p)[0].points) for p in (astronaut, hopper)]


def blur(chip, cv2):
    return cv2.GaussianBlur(chip, (0, 0), 6)


def mask(chip, cv2):
    shape = np.array([[20, 74], [72, 66], [128, 74], [116, 122], [73, 142], [32, 122]])
    return cv2.fillPoly(chip.copy(), [shape], (210, 225, 235))


def sunglasses(chip, cv2):
    covered = cv2.rectangle(chip.copy(), (24, 34), (69, 62), (18, 16, 17), -1)
    return cv2.rectangle(covered, (79, 34), (124, 62), (18, 16, 17), -1)


@pytest.mark.parametrize(
    ("spoil", "check", "hint"),
    [
        (blur, Check.SHARPNESS, Hint.HOLD_STILL),
        (mask, Check.OCCLUSION, Hint.UNCOVER),
        (sunglasses, Check.OCCLUSION, Hint.UNCOVER),
        (lambda chip, cv2: (chip * 0.15).astype(np.uint8), Check.EXPOSURE, Hint.LIGHT),
        (
            lambda chip, cv2: np.clip(chip * 3.0, 0, 255).astype(np.uint8),
            Check.EXPOSURE,
            Hint.LIGHT,
        ),
        (lambda chip, cv2: (chip * 0.12 + 110).astype(np.uint8), Check.EXPOSURE, Hint.LIGHT),
    ],
    ids=["blur", "mask", "sunglasses", "dark", "bright", "flat"],
)
def test_spoiled_chips_fail_and_good_ones_do_not(chips, spoil, check, hint):
    import cv2

    for chip in chips:
        assert assess_chip(chip, Limits()).good
        quality = assess_chip(spoil(chip, cv2), Limits())
        assert check in quality.failed
        assert quality.hint is hint


def test_nothing_to_see_fails_without_an_error():
    for shade in (0, 128, 255):
        assert not assess_chip(np.full((150, 150, 3), shade, np.uint8), Limits()).good
