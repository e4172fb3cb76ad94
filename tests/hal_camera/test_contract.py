"""What every camera driver keeps, whatever is behind it."""

from __future__ import annotations

import time

import pytest

from hal.camera import Camera, CameraSettings
from hal.errors import CameraTimeout, DeviceFault
from hal.raspberrypi.camera import open_camera as open_picamera
from hal.recovery import RecoveringCamera
from hal.simulated.camera import FaultKind
from hal.simulated.camera import open_camera as open_simulated

SETTINGS = CameraSettings(name="entrance", width=128, height=64, fps=60)


def _simulated(world) -> Camera:
    return open_simulated(SETTINGS)


def _picamera(world) -> Camera:
    return open_picamera(SETTINGS)


def _recovering(world) -> Camera:
    return RecoveringCamera(lambda: open_simulated(SETTINGS), SETTINGS.name)


@pytest.fixture(params=[_simulated, _picamera, _recovering])
def camera(request, world):
    camera = request.param(world)
    yield camera
    camera.close()


def test_frames_say_whose_they_are_and_fit_the_settings(camera):
    assert camera.name == "entrance"
    with camera.capture(2) as frame:
        assert frame.camera == "entrance"
        assert frame.luma.shape == (64, 128)
        assert frame.luma.dtype == "uint8"
        assert frame.rgb().shape == (64, 128, 3)


def test_sequence_and_time_go_up(camera):
    seen = []
    for _ in range(4):
        with camera.capture(2) as frame:
            seen.append((frame.sequence, frame.captured_ns))
            assert abs(frame.captured_at - time.time()) < 2
            assert frame.captured_ns <= time.monotonic_ns()
    assert seen == sorted(seen)
    assert len({number for number, _ in seen}) == 4


def test_a_frame_ends_with_its_block_and_a_copy_does_not(camera):
    with camera.capture(2) as frame:
        copy = frame.copy()
        expected = frame.luma.tobytes()
    assert frame.luma.size == 0
    assert frame.chroma is None
    assert copy.luma.tobytes() == expected
    copy.wipe()
    assert not copy.luma.any()


def test_a_second_frame_can_be_borrowed_after_the_borrower_failed(camera):
    with pytest.raises(LookupError), camera.capture(2):
        raise LookupError
    with camera.capture(2) as frame:
        assert frame.luma.any()


def test_close_is_idempotent_and_final(camera):
    camera.close()
    camera.close()
    with pytest.raises(DeviceFault), camera.capture(1):
        pytest.fail("closed cameras give no frames")


@pytest.mark.parametrize("make", [_simulated, _picamera])
def test_silence_is_a_timeout_which_is_a_fault(make, world):
    camera = make(world)
    world.fail = TimeoutError()
    if make is _simulated:
        camera.fail(FaultKind.TIMEOUT)
    with pytest.raises(CameraTimeout) as timeout, camera.capture(0.05):
        pytest.fail("nothing comes")
    assert isinstance(timeout.value, DeviceFault)
    assert isinstance(timeout.value, TimeoutError)
    camera.close()
