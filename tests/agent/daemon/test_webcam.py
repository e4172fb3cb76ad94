"""A webcam of the settings: opened for what looks through it, and looked at as a doctor does."""

from __future__ import annotations

import pytest

from agent.daemon.hardware import open_camera
from agent.daemon.webcam import look_at_webcam
from agent.settings.model import CameraConfig, Config, FaceConfig, GateConfig
from hal.errors import DeviceFault, DeviceUnavailable
from tests.support.webcams import AUTOFOCUS, FOCUS, TIME, Webcam, plugged_in


def camera_config(**words) -> CameraConfig:
    return CameraConfig(
        driver="v4l2", width=160, height=120, **{"fps": 60, "exposure_values": (), **words}
    )


@pytest.fixture
def webcam():
    return Webcam()


@pytest.fixture(autouse=True)
def computer(monkeypatch, webcam):
    with plugged_in(monkeypatch, webcam) as computer:
        yield computer


@pytest.mark.parametrize(
    ("serves", "face", "coloured"),
    [
        ("both", FaceConfig(), True),
        ("face", FaceConfig(), True),
        ("code", FaceConfig(), False),
        ("both", None, False),
    ],
)
def test_colour_is_read_where_a_face_is_looked_for(serves, face, coloured):
    camera = camera_config(serves=serves)
    config = Config(gate=GateConfig(site="s", gate="g"), camera=(camera,), face=face)
    with open_camera(camera, config) as opened, opened.capture(2) as frame:
        assert (frame.colour is not None) is coloured


def test_what_it_lacks_is_logged_once_however_often_it_comes_back(webcam, computer, capsys, caplog):
    del webcam.knobs[FOCUS]
    camera = camera_config(focus="manual")
    with open_camera(camera, Config(gate=GateConfig(site="s", gate="g"))) as opened:
        for _ in range(3):
            with opened.capture(2):
                pass
            computer.unplug(webcam)
            computer.plug(webcam, 2)
    out, err = capsys.readouterr()
    # By the log where another test has set it up, else by what it prints.
    assert (out + err + caplog.text).count("the lens stays as it is") == 1


def test_it_says_what_there_is(webcam):
    webcam.formats["H264"] = ((1920, 1080),)
    webcam.formats["MJPG"] = tuple((160 * at, 120 * at) for at in range(1, 9))
    words, wrong, remedy = look_at_webcam(camera_config(fps=30))
    assert words == (
        "Example HD: Example HD (uvcvideo) at /dev/video0; "
        "MJPG 160x120 320x240 480x360 640x480 800x600 960x720 ...; "
        "YUYV 1280x720 640x480 160x120; not read: H264; "
        "has focus, autofocus, exposure time, mains frequency"
    )
    assert (wrong, remedy) == ("", "")


def test_it_says_what_there_is_not(webcam):
    webcam.formats = {"GREY": ()}
    webcam.knobs.clear()
    words, wrong, _ = look_at_webcam(camera_config())
    assert words.endswith("GREY of sizes that it does not tell; has no controls")
    assert not wrong


BIG = {"width": 1280, "height": 720, "fps": 15}


@pytest.mark.parametrize(
    ("formats", "words", "wrong", "remedy"),
    [
        (["MJPG", "YUYV"], {"width": 1280, "height": 720, "fps": 15}, "", ""),
        (
            ["MJPG", "YUYV"], {**BIG, "format": "YUYV"},
            "10 frames a second at most in YUYV 1280x720, 15 are set",
            'camera.format = "MJPG"',
        ),
        (["YUYV"], BIG, "10 frames a second at most in YUYV 1280x720", "a smaller size or camera.fps"),
        (["YUYV"], {**BIG, "fps": 13}, "is no more", ""),
        (["MJPG"], {**BIG, "fps": 60}, "30 frames a second at most in MJPG", "another webcam"),
        (["MJPG"], {**BIG, "width": 1920, "height": 1080}, "no 1920x1080 in MJPG", "camera.width"),
    ],
)  # fmt: skip
def test_what_is_set_is_held_against_what_it_offers(webcam, formats, words, wrong, remedy):
    webcam.formats = dict.fromkeys(formats, webcam.formats["MJPG"])
    found = look_at_webcam(CameraConfig(driver="v4l2", **words))
    if wrong == "is no more":
        assert found[1] == ""
        return
    assert wrong in found[1]
    assert bool(found[1]) is bool(wrong)
    assert remedy in found[2]


def test_a_bus_that_is_too_small_for_what_the_camera_promises(webcam, monkeypatch):
    from hal.v4l2.device import Device

    monkeypatch.setattr(Device, "best_rate", lambda *_: 0.0)
    webcam.formats = {"YUYV": ((1280, 720),)}
    _, wrong, remedy = look_at_webcam(CameraConfig(driver="v4l2", fps=30))
    assert wrong == "YUYV 1280x720 at 30 frames a second is more than a USB 2 bus carries"
    assert "USB 3" in remedy


def test_it_lets_go_and_says_when_it_is_gone(webcam, computer):
    with pytest.raises(DeviceUnavailable, match="there is no webcam 1"):
        look_at_webcam(camera_config(index=1))
    del webcam.knobs[TIME], webcam.knobs[AUTOFOCUS]
    formats = webcam.formats

    class Gone(dict):
        def __iter__(self):
            computer.unplug(webcam)
            return iter(formats)

        def get(self, *_):
            return ()

    webcam.formats = Gone()
    with pytest.raises((DeviceFault, DeviceUnavailable)):
        look_at_webcam(camera_config(device="/dev/video0"))
