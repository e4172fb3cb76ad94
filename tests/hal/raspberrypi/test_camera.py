"""The Raspberry Pi driver against a picamera2-shaped module."""

from __future__ import annotations

import sys
import time

import cv2
import numpy as np
import pytest

from hal.camera import CameraSettings
from hal.errors import CameraTimeout, DeviceFault, DeviceUnavailable
from hal.raspberrypi.camera import open_camera
from hal.recovery import RecoveringCamera

SIZE = {"width": 64, "height": 48}


def i420(width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
    """Return I420 planes and the RGB picture that they show."""
    across, down = np.meshgrid(np.linspace(40, 220, width), np.linspace(40, 220, height))
    rgb = np.dstack([across, down, 255 - across]).astype(np.uint8)
    rgb[: height // 4, : width // 4] = (255, 0, 0)
    planes = cv2.cvtColor(rgb, cv2.COLOR_RGB2YUV_I420)
    return planes, cv2.cvtColor(planes, cv2.COLOR_YUV2RGB_I420)


def test_it_asks_for_one_yuv_stream_and_the_right_controls(world):
    settings = CameraSettings(
        fps=20, focus="manual", lens_position=5.0, exposure_values=(0.0, -2.0)
    )
    with open_camera(settings):
        (camera,) = world.opened
        asked = camera.configuration
        assert asked["main"] == {"format": "YUV420", "size": (1280, 720)}
        assert (asked["raw"], asked["buffer_count"], asked["queue"]) == (None, 4, False)
        assert asked["controls"] == {
            "FrameDurationLimits": (50_000, 50_000),
            "AeFlickerMode": 1,
            "AeFlickerPeriod": 10_000,
            "ExposureValue": 0.0,
            "AfMode": 0,
            "LensPosition": 5.0,
        }
        assert (asked["transform"].hflip, asked["transform"].vflip) == (False, False)
        assert camera.calls == ["start"]


@pytest.mark.parametrize("padding", [0, 32, 64])
def test_luma_is_a_view_without_the_padding(world, padding):
    world.padding = padding
    world.picture, rgb = i420(64, 48)
    with open_camera(CameraSettings(**SIZE)) as camera, camera.capture(1) as frame:
        assert frame.luma.shape == (48, 64)
        assert (frame.luma == world.picture[:48]).all()
        assert not frame.luma.flags.owndata
        assert frame.noisy, "the same bytes twice would be a camera that stands still"
        assert frame.luma.strides == (64 + padding, 1)
        assert (frame.rgb() == rgb).all()
        copy = frame.copy()
    assert (copy.luma == world.picture[:48]).all()


@pytest.mark.parametrize("padding", [0, 32])
@pytest.mark.parametrize("rotation", [0, 90])
def test_nv12_has_the_same_colours(world, padding, rotation):
    world.format, world.padding = "NV12", padding
    world.picture, rgb = i420(64, 48)
    settings = CameraSettings(**SIZE, rotation=rotation)
    with open_camera(settings) as camera, camera.capture(1) as frame:
        expected = np.rot90(rgb, k=-rotation // 90)
        assert np.abs(frame.rgb().astype(int) - expected).max() <= (0 if rotation == 0 else 2)


def test_a_format_without_a_plane_of_luma_is_refused(world):
    world.format = "YUYV"
    with pytest.raises(DeviceUnavailable, match=r"delivers YUYV, not one of YUV420, NV12"):
        open_camera(CameraSettings(**SIZE))
    assert world.opened[0].calls == ["close"]


def test_a_camera_that_does_not_say_how_long_it_exposed_is_a_fault(world):
    with open_camera(CameraSettings(**SIZE)) as camera:
        world.fail = KeyError("ExposureTime")
        with pytest.raises(DeviceFault, match="reports no 'ExposureTime'"), camera.capture(1):
            pytest.fail("no frame came")


def test_unpadded_chroma_is_a_view_too(world):
    world.picture, _ = i420(64, 48)
    with open_camera(CameraSettings(**SIZE)) as camera, camera.capture(1) as frame:
        assert not frame.chroma.flags.owndata


@pytest.mark.parametrize("rotation", [90, 180, 270])
@pytest.mark.parametrize("padding", [0, 32])
def test_rotation(world, rotation, padding):
    world.padding = padding
    world.picture, rgb = i420(64, 48)
    with open_camera(CameraSettings(**SIZE, rotation=rotation)) as camera:
        with camera.capture(1) as frame:
            luma, turned = frame.luma.copy(), frame.rgb()
        transform = world.opened[0].configuration["transform"]
    if rotation == 180:  # the sensor does it: nothing is copied
        assert (transform.hflip, transform.vflip) == (True, True)
        assert luma.shape == (48, 64)
        return
    assert (transform.hflip, transform.vflip) == (False, False)
    assert (luma == np.rot90(world.picture[:48], k=-rotation // 90)).all()
    assert np.abs(turned.astype(int) - np.rot90(rgb, k=-rotation // 90)).max() <= 2


def test_each_request_is_released_even_when_the_borrower_fails(world):
    with open_camera(CameraSettings(**SIZE)) as camera:
        with camera.capture(1):
            assert world.opened[0].requests[0].released == 0
        with pytest.raises(ZeroDivisionError), camera.capture(1):
            raise ZeroDivisionError
        assert [request.released for request in world.opened[0].requests] == [1, 1]


def test_exposure_alternates_for_phone_screens(world):
    with open_camera(CameraSettings(**SIZE, exposure_values=(0.0, -2.0))) as camera:
        for _ in range(4):
            with camera.capture(1):
                pass
        assert [c["ExposureValue"] for c in world.opened[0].set] == [-2.0, 0.0, -2.0, 0.0]


def test_one_exposure_value_is_set_once(world):
    with open_camera(CameraSettings(**SIZE, exposure_values=(-1.0,))) as camera, camera.capture(1):
        assert world.opened[0].configuration["controls"]["ExposureValue"] == -1.0
        assert world.opened[0].set == []


def test_times_are_of_the_exposure_and_frames_count_up(world):
    with open_camera(CameraSettings(**SIZE)) as camera:
        stamps, numbers = [], []
        for _ in range(3):
            before = time.monotonic_ns()
            with camera.capture(1) as frame:
                stamps.append(before - frame.captured_ns)
                assert abs(time.time() - frame.captured_at) < 5
                numbers.append(frame.sequence)
        assert all(-1_000_000_000 < late < 6_000_000 for late in stamps)
        assert numbers == sorted(set(numbers))
        world.stamps = False
        with camera.capture(1) as frame:
            assert before <= frame.captured_ns <= time.monotonic_ns()


def test_a_timeout_cancels_the_job_that_would_swallow_a_frame(world):
    with open_camera(CameraSettings(**SIZE)) as camera:
        world.fail = TimeoutError()
        with (
            pytest.raises(CameraTimeout, match=r"code: no frame within 0.5 s"),
            camera.capture(0.5),
        ):
            pytest.fail("no frame came")
        assert world.opened[0].calls == ["start", "job left behind", "cancel_all_and_flush"]


def test_a_camera_that_goes_away_is_a_fault(world):
    with open_camera(CameraSettings(**SIZE)) as camera:
        world.fail = RuntimeError("Failed to queue request: No such device")
        with pytest.raises(DeviceFault, match="No such device"), camera.capture(0.5):
            pytest.fail("no frame came")
    with pytest.raises(DeviceFault, match="closed"), camera.capture(0.5):
        pytest.fail("no frame came")


def test_close_may_be_repeated_and_gives_the_camera_back(world):
    camera = open_camera(CameraSettings(**SIZE))
    camera.close()
    camera.close()
    assert world.opened[0].calls == ["start", "cancel_all_and_flush", "stop", "close"]


def test_a_view_kept_past_its_block_is_told(world):
    camera = open_camera(CameraSettings(**SIZE))
    with camera.capture(1) as frame:
        kept = frame.luma
    assert frame.luma.size == 0, "the frame itself has let go"
    with pytest.raises(DeviceFault, match="kept past its block"):
        camera.close()
    del kept


def test_recovery_opens_it_anew(world):
    faults = []

    def heal(error):
        faults.append(error)
        world.fail = None

    opened = RecoveringCamera(
        lambda: open_camera(CameraSettings(**SIZE)), "code", on_fault=heal, sleep=lambda _: None
    )
    world.fail = TimeoutError()
    with opened.capture(0.1) as frame:
        assert frame.luma.shape == (48, 64)
    opened.close()
    assert len(world.opened) == 2
    for camera in world.opened:
        assert camera.calls[-3:] == ["cancel_all_and_flush", "stop", "close"]
    assert (opened.recoveries, len(faults)) == (1, 1)


# What cannot start says so, and what to do.


@pytest.mark.parametrize("missing", ["picamera2", "libcamera"])
def test_a_missing_library_says_what_to_install(world, monkeypatch, missing):
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(DeviceUnavailable, match="apt install python3-picamera2"):
        open_camera(CameraSettings())


@pytest.mark.parametrize(
    ("error", "word"),
    [
        ("ValueError('numpy.dtype size changed')", "remove numpy"),
        ("AttributeError('_ARRAY_API not found')", "remove numpy"),
        ("ImportError('libcamera.so.0.4: undefined symbol: x')", "another system"),
        ("KeyError('whatever')", "apt install python3-picamera2"),
    ],
)
def test_a_library_that_breaks_as_it_is_imported(tmp_path, monkeypatch, error, word):
    (tmp_path / "libcamera.py").write_text("Transform = controls = None\n")
    (tmp_path / "picamera2.py").write_text(f"raise {error}\n")
    for name in ("picamera2", "libcamera"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(DeviceUnavailable, match=f"picamera2 cannot be loaded: .*{word}"):
        open_camera(CameraSettings())


def test_no_camera_says_what_to_check(world):
    world.cameras = []
    with pytest.raises(DeviceUnavailable, match=r"no camera 0, 0 found; check the ribbon cable"):
        open_camera(CameraSettings())


def test_a_busy_camera_says_so(world):
    world.open_error = RuntimeError("Camera __init__ sequence did not complete.")
    with pytest.raises(DeviceUnavailable, match="another program"):
        open_camera(CameraSettings())


@pytest.mark.parametrize("error", [RuntimeError, KeyError, AttributeError])
def test_a_camera_that_does_not_start_is_closed_again(world, error):
    world.start_error = error("Failed to start camera")
    with pytest.raises(DeviceUnavailable, match="does not start"):
        open_camera(CameraSettings())
    assert world.opened[0].calls == ["close"]


@pytest.mark.parametrize("focus", ["manual", "auto"])
def test_a_fixed_lens_cannot_be_focused(world, focus):
    del world.controls["AfMode"]
    with pytest.raises(DeviceUnavailable, match='focus = "fixed"'):
        open_camera(CameraSettings(focus=focus))
    assert world.opened[0].calls == ["close"]


def test_autofocus_is_continuous(world):
    with open_camera(CameraSettings(focus="auto")):
        assert world.opened[0].configuration["controls"]["AfMode"] == 2


def test_what_a_sensor_lacks_and_can_be_done_without_is_noted(world):
    for name in ("AeFlickerMode", "AeFlickerPeriod", "ExposureValue"):
        del world.controls[name]
    with open_camera(CameraSettings(**SIZE)) as camera, camera.capture(1):
        assert camera.unsupported == ("AeFlickerMode", "AeFlickerPeriod", "ExposureValue")
        assert world.opened[0].set == []
