"""The rendered scene: repeatable, readable, and as hard as it says."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import zxingcpp

from hal.camera import CameraSettings
from hal.simulated.camera import open_camera
from hal.simulated.scene import Face, Phone, Scene, Timeline, qr_matrix

CODE = "NI1:" + "6BFOXN-IDENTITY" * 20


@pytest.fixture(scope="module")
def scene():
    return Scene(seed=4)


def read(picture):
    return [(r.bytes, r.position) for r in zxingcpp.read_barcodes(picture)]


def test_the_same_seed_and_time_give_the_same_picture():
    def picture(seed, now):
        place = Scene(seed=seed, width=320, height=180)
        place.show(Phone("code", yaw=10))
        return place.render(now)

    assert (picture(1, 2.5) == picture(1, 2.5)).all()
    assert (picture(1, 2.5) != picture(1, 2.6)).any()
    assert (picture(1, 2.5) != picture(2, 2.5)).any()


def test_an_empty_place_holds_no_code(scene):
    scene.show()
    assert scene.shown == ()
    picture = scene.render(0)
    assert (picture.shape, picture.dtype) == ((720, 1280, 3), np.uint8)
    assert read(picture) == []


@pytest.mark.parametrize(
    "pose",
    [
        {},
        {"yaw": 25},
        {"pitch": -25},
        {"roll": 90},
        {"inverted": True},
        {"x": 0.25, "y": 0.6},
        {"screen": 0.35},
        {"glare": 0.4},
        {"motion_px": 3},
        {"distance_m": 0.25},
        {"error": "h"},
    ],
    ids=str,
)
def test_a_phone_can_be_read(scene, pose):
    payload = CODE[:200]
    scene.show(Phone(payload, **{"distance_m": 0.16, **pose}))
    assert [data for data, _ in read(scene.render(1))] == [payload.encode()]


@pytest.mark.parametrize(
    "pose", [{"distance_m": 1.5}, {"blur_px": 6}, {"glare": 3}, {"yaw": 80}, {"x": 1.4}], ids=str
)
def test_a_phone_can_be_unreadable(scene, pose):
    scene.show(Phone(CODE, **pose))
    assert read(scene.render(1)) == []


@pytest.mark.parametrize("pixels", [3.0, 4.5])
def test_distance_is_what_makes_a_module_so_many_pixels(scene, pixels):
    phone = Phone(CODE).at_module_px(pixels)
    scene.show(phone)
    ((_, place),) = read(scene.render(0))
    span = place.top_right.x - place.top_left.x
    assert span / qr_matrix(CODE).shape[0] == pytest.approx(pixels, rel=0.03)
    assert (place.top_left.x + place.bottom_right.x) / 2 == pytest.approx(640, abs=3)


def test_a_face_stands_behind_a_phone(scene):
    person = np.zeros((200, 160, 3), dtype=np.uint8)
    person[:] = (200, 30, 40)
    scene.show(
        Phone("in front", x=0.5), Face(person, x=0.2, y=0.5, height=0.5), Face(person, x=0.5, y=0.5)
    )
    picture = scene.compose(scene.shown)
    assert np.abs(picture[360, 256].astype(int) - (200, 30, 40)).max() < 10
    assert [data for data, _ in read(scene.render(0))] == [b"in front"]


def test_a_face_partly_or_wholly_outside_is_cut(scene):
    person = np.full((100, 100, 3), 250, dtype=np.uint8)
    scene.show(Face(person, x=0.0, y=0.0), Face(person, x=3.0, y=3.0))
    assert scene.compose(scene.shown)[20, 20].mean() > 200


def test_a_payload_that_fits_no_code_is_refused(scene):
    with pytest.raises(ValueError, match="does not fit"):
        scene.show(Phone("A" * 5_000))


def test_a_timeline_shows_things_in_their_time(scene):
    first, second = (Phone("first"),), (Phone("second"),)
    timeline = Timeline(scene, [(1.0, 2.0, first), (3.0, 4.0, second)])
    shown = [
        [data for data, _ in read(timeline.render(500.0 + age))]
        for age in (0.0, 1.0, 1.9, 2.5, 3.5, 9.0)
    ]
    assert shown == [[], [b"first"], [b"first"], [], [b"second"], []]


def test_the_camera_delivers_the_scene(scene):
    scene.show(Phone("through the lens"))
    with open_camera(CameraSettings(fps=30), source=scene) as camera, camera.capture(2) as frame:
        assert [data for data, _ in read(frame.luma)] == [b"through the lens"]
        assert (frame.luma == cv2.cvtColor(frame.colour, cv2.COLOR_RGB2GRAY)).all()
