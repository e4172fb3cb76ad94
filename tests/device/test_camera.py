"""The camera contract on a real Raspberry Pi: any camera on the first connector, in some light."""

from __future__ import annotations

import itertools
import statistics

import pytest

from hal.camera import CameraSettings
from hal.raspberrypi.camera import open_camera
from tests.hal.camera_contract import CameraContract


# picamera2 0.3.38 still says setDaemon().
@pytest.mark.filterwarnings("ignore:setDaemon:DeprecationWarning")
class TestRaspberryPi(CameraContract):
    settings = CameraSettings(name="entrance", width=1280, height=720, fps=15)

    @pytest.fixture
    def camera(self):
        with open_camera(self.settings) as camera:
            yield camera

    def test_the_luma_is_in_place_and_the_rate_is_kept(self, camera):
        times = []
        for _ in range(30):
            with camera.capture(2) as frame:
                assert not frame.luma.flags.owndata
                times.append(frame.captured_ns)
        gaps_ms = [(b - a) / 1e6 for a, b in itertools.pairwise(times)]
        assert statistics.median(gaps_ms) < 2.5 * 1000 / self.settings.fps

    def test_it_can_be_opened_again(self, camera):
        camera.close()
        with open_camera(self.settings) as again, again.capture(2) as frame:
            assert frame.luma.shape == self.shape
