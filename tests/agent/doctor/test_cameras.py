"""Each camera that the settings name, looked through: webcams here, simulated ones in test_examine."""

from __future__ import annotations

import pytest

from agent.doctor.cameras import WARM_UP_FRAMES, look_at_cameras
from agent.settings.model import CameraConfig, Config, GateConfig
from hal.recovery import RecoveringCamera
from hal.simulated.scene import Scene
from tests.support.webcams import Webcam, plugged_in

SCENE = Scene(width=160, height=120, seed=1, noise=0)


@pytest.fixture
def webcam():
    made = Webcam()
    made.rate = 1_000.0
    picture = SCENE.compose([])
    made.picture = lambda _number, _width, _height: picture
    return made


@pytest.fixture
def computer(monkeypatch, webcam):
    with plugged_in(monkeypatch, webcam) as computer:
        yield computer


def look(**words):
    camera = CameraConfig(
        **{
            "driver": "v4l2", "width": 160, "height": 120, "fps": 120, "timeout_s": 0.2,
            "exposure_values": (), **words,
        }
    )  # fmt: skip
    return look_at_cameras(Config(gate=GateConfig(site="s", gate="g"), camera=(camera,)))


def test_a_webcam_that_sees(computer):
    state, detail, remedy = look(fps=24)
    assert (state, remedy) == ("ok", "")
    assert detail.startswith(
        "code 160x120: Example HD: Example HD (uvcvideo) at /dev/video0; MJPG "
    )
    assert "focus, autofocus, exposure time" in detail


def test_dark_pictures_at_the_start_are_a_webcams_way(computer, webcam):
    seen = webcam.picture
    webcam.picture = lambda number, width, height: (
        seen(number, width, height) // (200 if number < WARM_UP_FRAMES else 1)
    )
    assert look(fps=24)[0] == "ok"
    webcam.picture = lambda number, width, height: seen(number, width, height) // 200
    assert look(fps=24)[:2] == ("warning", "code: the picture is black, white or flat")


def test_what_it_cannot_as_set_is_a_warning(computer):
    state, detail, remedy = look(width=320, height=240, fps=24)
    assert state == "warning"
    assert detail == "code: no 320x240 in MJPG or YUYV: it takes another size"
    assert "camera.width" in remedy


@pytest.mark.parametrize(
    ("wrong", "words", "detail", "remedy"),
    [
        ({}, {"index": 1}, "there is no webcam 1", "/dev/v4l/by-id"),
        ({"busy": True}, {}, "another program has it", "/dev/v4l/by-id"),
        ({"silent": True}, {}, "no frame within 0.2 s", "power the camera off and on"),
    ],
)
def test_what_is_wrong_is_a_failure_with_a_remedy(
    computer, webcam, monkeypatch, wrong, words, detail, remedy
):
    monkeypatch.setitem(RecoveringCamera.__init__.__kwdefaults__, "patience_s", 0.1)
    for name, value in wrong.items():
        setattr(webcam, name, value)
    state, said, what = look(fps=24, **words)
    assert state == "failed"
    assert detail in said
    assert remedy in what


def test_whoever_is_not_in_the_group_is_told(computer):
    computer.forbidden.add("/dev/video0")
    state, detail, remedy = look()
    assert state == "failed"
    assert "Permission denied" in detail
    assert "group video" in remedy
