"""The contract of `hal.camera` over the simulated driver, the Pi's (on a double), and recovery."""

from __future__ import annotations

import pytest

from hal.camera import Camera
from hal.errors import CameraTimeout, DeviceFault
from hal.raspberrypi.camera import open_camera as open_picamera
from hal.recovery import RecoveringCamera
from hal.simulated.camera import FaultKind
from hal.simulated.camera import open_camera as open_simulated
from tests.hal.camera_contract import SETTINGS, CameraContract


def _simulated(world) -> Camera:
    return open_simulated(SETTINGS)


def _picamera(world) -> Camera:
    return open_picamera(SETTINGS)


def _recovering(world) -> Camera:
    return RecoveringCamera(lambda: open_simulated(SETTINGS), SETTINGS.name)


class TestDrivers(CameraContract):
    @pytest.fixture(params=[_simulated, _picamera, _recovering])
    def camera(self, request, world):
        camera = request.param(world)
        yield camera
        camera.close()


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
