"""What every camera driver keeps, whatever is behind it; also run on a real board."""

from __future__ import annotations

import time

import pytest

from hal.camera import Camera, CameraSettings
from hal.errors import DeviceFault

SETTINGS = CameraSettings(name="entrance", width=128, height=64, fps=60)


class CameraContract:
    """Subclasses offer a fixture `camera`: started with `settings`."""

    settings = SETTINGS

    @property
    def shape(self) -> tuple[int, int]:
        return self.settings.height, self.settings.width

    def test_frames_say_whose_they_are_and_fit_the_settings(self, camera: Camera):
        assert camera.name == self.settings.name
        with camera.capture(2) as frame:
            assert frame.camera == self.settings.name
            assert frame.luma.shape == self.shape
            assert frame.luma.dtype == "uint8"
            assert frame.rgb().shape == (*self.shape, 3)

    def test_sequence_and_time_go_up(self, camera: Camera):
        seen = []
        for _ in range(4):
            with camera.capture(2) as frame:
                seen.append((frame.sequence, frame.captured_ns))
                assert abs(frame.captured_at - time.time()) < 2
                assert frame.captured_ns <= time.monotonic_ns()
        assert seen == sorted(seen)
        assert len({number for number, _ in seen}) == 4

    def test_a_frame_ends_with_its_block_and_a_copy_does_not(self, camera: Camera):
        with camera.capture(2) as frame:
            copy = frame.copy()
            expected = frame.luma.tobytes()
        assert frame.luma.size == 0
        assert frame.chroma is None
        assert copy.luma.tobytes() == expected
        copy.wipe()
        assert not copy.luma.any()

    def test_a_second_frame_can_be_borrowed_after_the_borrower_failed(self, camera: Camera):
        with pytest.raises(LookupError), camera.capture(2):
            raise LookupError
        with camera.capture(2) as frame:
            assert frame.luma.any()

    def test_close_is_idempotent_and_final(self, camera: Camera):
        camera.close()
        camera.close()
        with pytest.raises(DeviceFault), camera.capture(1):
            pytest.fail("closed cameras give no frames")
