"""The camera contract on a real webcam: the first one that is plugged in, in some light."""

from __future__ import annotations

import itertools
import statistics

import pytest

from hal.camera import CameraSettings
from hal.v4l2.camera import opener
from hal.v4l2.survey import survey
from tests.hal.camera_contract import CameraContract


class TestWebcam(CameraContract):
    settings = CameraSettings(name="entrance", width=640, height=480, fps=15)

    @pytest.fixture
    def camera(self):
        with opener(self.settings)() as camera:
            yield camera

    def test_it_says_what_it_offers(self):
        offer = survey(self.settings)
        assert offer.card
        assert any((640, 480) in sizes for sizes in offer.sizes.values())

    def test_the_rate_is_kept_and_every_picture_is_newer_than_its_call(self, camera):
        times = []
        for _ in range(30):
            with camera.capture(2) as frame:
                times.append(frame.captured_ns)
        gaps_ms = [(b - a) / 1e6 for a, b in itertools.pairwise(times)]
        assert statistics.median(gaps_ms) < 2.5 * 1000 / self.settings.fps

    def test_it_can_be_opened_again_and_by_one_program_at_a_time(self):
        reopen = opener(self.settings)
        with reopen() as one, one.capture(2) as frame:
            assert frame.luma.shape == self.shape
            with pytest.raises(OSError, match="another program has it"):
                reopen()
        with reopen() as again, again.capture(2) as frame:
            assert frame.luma.shape == self.shape
