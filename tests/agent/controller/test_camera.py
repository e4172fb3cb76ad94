"""The camera thread's loop: a simulated camera, the real decoder in its process."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from numpy.typing import NDArray

from agent.biometrics.face.feed import FaceFeed
from agent.controller.camera import CameraLoop
from agent.controller.ports import FrameCodes
from agent.scan.scanner import Scanner
from agent.settings.model import ScanConfig
from hal.camera import CameraSettings, Frame
from hal.errors import DeviceFault
from hal.simulated.camera import SimulatedCamera
from hal.simulated.scene import Phone, Scene

SETTINGS = CameraSettings(fps=1_000.0)
POSTER = "https://example.org/visit-us"


class Hall:
    """What the camera looks at: a picture at a time, in order; the last one stays."""

    def __init__(self, *views: tuple[str, ...]) -> None:
        scene = Scene(seed=1, noise=0)
        spots = (0.27, 0.75)
        self._views = [
            np.asarray(
                scene.compose(
                    [
                        Phone(text, x=x).at_module_px(4.0)
                        for text, x in zip(view, spots, strict=False)
                    ]
                )
            )
            for view in views
        ]
        self.rendered = 0

    def render(self, _now: float) -> NDArray[np.uint8]:
        self.rendered += 1
        return self._views[min(self.rendered, len(self._views)) - 1]


class Lender:
    """A real simulated camera, and whether its frame is out at the moment."""

    def __init__(self, hall: Hall) -> None:
        self._camera = SimulatedCamera(hall, SETTINGS)
        self.name = "code"
        self.lent: Frame | None = None

    @contextmanager
    def capture(self, timeout_s: float) -> Iterator[Frame]:
        with self._camera.capture(timeout_s) as self.lent:
            yield self.lent
        self.lent = None

    def close(self) -> None:
        self._camera.close()


@pytest.fixture(scope="module")
def scanner() -> Iterator[Scanner]:
    # A machine that runs much else at a time must not change what is seen.
    with Scanner(ScanConfig(deadline_ms=2_000)) as made:
        made.wait_ready()
        yield made


def watch(
    scanner: Scanner, camera: Lender, frames: int, feed: FaceFeed | None = None,
    post: Callable[[FrameCodes], None] = lambda _seen: None,
) -> list[FrameCodes]:  # fmt: skip
    """Run the loop for so many frames; return what it posted."""
    posted: list[FrameCodes] = []

    def take(seen: FrameCodes) -> None:
        posted.append(seen)
        post(seen)

    camera_loop = CameraLoop(camera, scanner=scanner, feed=feed, post=take, timeout_s=1.0)
    capture = camera.capture

    @contextmanager
    def counted(timeout_s: float) -> Iterator[Frame]:
        with capture(timeout_s) as frame:
            yield frame
        if camera_loop.rounds >= frames:
            camera_loop.stop()

    camera.capture = counted  # type: ignore[method-assign]
    camera_loop.run()
    return posted


def test_a_code_is_told_with_the_frame_that_showed_it(scanner: Scanner) -> None:
    (seen,) = watch(scanner, Lender(Hall((POSTER,))), frames=1)
    digest = hashlib.sha256(POSTER.encode()).digest()
    (code,) = seen.event.codes
    assert (code.digest, code.payload, code.known) == (digest, POSTER.encode(), False)
    sighting = seen.sightings[digest]
    assert sighting.taken_ns >= sighting.captured_ns > 0
    assert sighting.decode_ms > 0
    assert len(sighting.corners) == 4


def test_two_codes_in_one_frame_are_one_sighting(scanner: Scanner) -> None:
    (seen,) = watch(scanner, Lender(Hall(("HELLO-1", "HELLO-2"))), frames=1)
    assert {code.payload for code in seen.event.codes} == {b"HELLO-1", b"HELLO-2"}


def test_the_same_code_twice_in_view_is_one_code(scanner: Scanner) -> None:
    (seen,) = watch(scanner, Lender(Hall(("HELLO-1", "HELLO-1"))), frames=1)
    assert [code.payload for code in seen.event.codes] == [b"HELLO-1"]


def test_an_empty_view_is_told_once_after_a_code_left_it(scanner: Scanner) -> None:
    hall = Hall((), ("HELLO-1",), (), (), ("HELLO-1",), ())
    posted = watch(scanner, Lender(hall), frames=7)
    assert [len(seen.event.codes) for seen in posted] == [1, 0, 1, 0]


def test_the_decision_does_not_wait_for_the_frame_to_be_wiped(scanner: Scanner) -> None:
    camera = Lender(Hall(("HELLO-1",)))
    pictures: list[int] = []

    def look(_seen: FrameCodes) -> None:
        assert camera.lent is not None
        pictures.append(int(camera.lent.luma.max()))

    watch(scanner, camera, frames=1, post=look)
    assert pictures[0] > 0
    assert camera.lent is None


def test_a_frame_for_the_face_is_a_copy_made_only_while_one_is_wanted(scanner: Scanner) -> None:
    camera, feed = Lender(Hall(("HELLO-1",))), FaceFeed()
    watch(scanner, camera, frames=1, feed=feed)
    feed.open()
    assert feed.take(0.0) is None
    watch(scanner, camera, frames=1, feed=feed)
    frame = feed.take(0.0)
    assert frame is not None
    assert frame.luma.shape == (720, 1280)
    assert frame.luma.max() > 0
    feed.close()


def test_what_nobody_took_is_wiped(scanner: Scanner) -> None:
    feed = FaceFeed()
    feed.open()
    camera = SimulatedCamera(Hall(("HELLO-1",)), SETTINGS)
    with camera.capture(1.0) as frame:
        feed.offer(frame)
        kept = feed._frame
        assert kept is not None
        feed.offer(frame)
        assert kept.luma.max() == 0
        kept = feed._frame
        assert kept is not None
        feed.close()
    assert kept.luma.max() == 0


def test_a_camera_for_faces_alone_rests_until_a_face_is_wanted() -> None:
    hall, feed = Hall(()), FaceFeed()
    camera = Lender(hall)
    camera_loop = CameraLoop(
        camera, scanner=None, feed=feed, post=lambda _seen: None, timeout_s=1.0
    )
    thread = threading.Thread(target=camera_loop.run)
    thread.start()
    try:
        while camera_loop.rounds < 3:
            assert thread.is_alive()
        assert hall.rendered == 0
        feed.open()
        frame = feed.take(10.0)
        assert frame is not None
        assert hall.rendered > 0
    finally:
        camera_loop.stop()
        thread.join(10)
    assert not thread.is_alive()


def test_a_camera_that_is_gone_ends_the_loop(scanner: Scanner) -> None:
    camera = Lender(Hall(()))
    camera.close()
    camera_loop = CameraLoop(
        camera, scanner=scanner, feed=None, post=lambda _seen: None, timeout_s=1.0
    )
    with pytest.raises(DeviceFault):
        camera_loop.run()
