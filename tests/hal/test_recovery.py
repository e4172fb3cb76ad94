"""The recovery ladder: reopen, go on, give up."""

from __future__ import annotations

from contextlib import contextmanager

import numpy as np
import pytest

from hal.camera import Frame
from hal.errors import CameraTimeout, DeviceFault, DeviceUnavailable
from hal.recovery import PATIENCE_S, RecoveringCamera, RecoveringEngine
from hal.scan_engine import EngineCounts, Scan


class Unreliable:
    """Cameras that fail by a list: one entry a capture, over all openings."""

    def __init__(self, clock, script, *, unavailable: int = 0) -> None:
        self.clock = clock
        self.script = list(script)
        self.unavailable = unavailable
        self.log: list[str] = []

    def open(self):
        if self.log and self.unavailable:
            self.unavailable -= 1
            self.log.append("unavailable")
            raise DeviceUnavailable("no camera 0")
        self.log.append("open")
        return _One(self)


class _One:
    name = "code"

    def __init__(self, world: Unreliable) -> None:
        self.world = world
        self.sequence = 0

    @contextmanager
    def capture(self, timeout_s):
        failure = self.world.script.pop(0) if self.world.script else None
        if failure is not None:
            if issubclass(failure, CameraTimeout):
                self.world.clock.sleep(timeout_s)
            raise failure("camera code: " + failure.__name__)
        self.sequence += 1
        self.world.log.append("frame")
        yield Frame(
            np.full((2, 2), 9, dtype=np.uint8), self.world.clock.ns(), 0.0, self.sequence, "code"
        )
        self.world.log.append("returned")

    def close(self):
        self.world.log.append("close")


def recovering(world, **options):
    return RecoveringCamera(
        world.open, "code", clock=world.clock.seconds, sleep=world.clock.sleep, **options
    )


def take(camera, timeout_s=2.0):
    with camera.capture(timeout_s) as frame:
        assert frame.luma.shape == (2, 2)
        return frame.sequence


def test_a_sound_camera_is_opened_once(clock):
    world = Unreliable(clock, [])
    with recovering(world) as camera:
        assert [take(camera) for _ in range(3)] == [1, 2, 3]
    assert world.log == ["open", *["frame", "returned"] * 3, "close"]
    assert camera.recoveries == 0


@pytest.mark.parametrize("fault", [CameraTimeout, DeviceFault])
def test_one_fault_is_mended_within_the_call(clock, fault):
    world = Unreliable(clock, [None, fault])
    told = []
    with recovering(world, on_fault=told.append) as camera:
        assert [take(camera), take(camera), take(camera)] == [1, 2, 3]  # numbers go on
        assert camera.recoveries == 1
    assert world.log == [
        "open",
        "frame",
        "returned",
        "close",
        "open",
        *["frame", "returned"] * 2,
        "close",
    ]
    assert [type(error) for error in told] == [fault]
    assert told[0].__traceback__ is None


def test_a_camera_that_stays_silent_is_given_up_after_one_reopening(clock):
    world = Unreliable(clock, [CameraTimeout] * 50)
    started = clock.seconds()
    with recovering(world) as camera, pytest.raises(DeviceFault, match=r"reopened 1 times"):
        take(camera, timeout_s=2.0)
    assert world.log == ["open", "close", "open", "close"]
    assert clock.seconds() - started < PATIENCE_S


def test_one_reopening_is_tried_however_long_the_wait(clock):
    world = Unreliable(clock, [CameraTimeout])
    with recovering(world) as camera:
        assert take(camera, timeout_s=30.0) == 1


def test_a_loose_cable_is_tried_until_patience_is_over(clock):
    world = Unreliable(clock, [DeviceFault], unavailable=10)
    with recovering(world) as camera:
        assert take(camera) == 1
    assert world.log.count("unavailable") == 10

    gone = Unreliable(clock, [DeviceFault], unavailable=10_000)
    started = clock.seconds()
    with recovering(gone) as camera, pytest.raises(DeviceFault, match="no camera 0"):
        take(camera)
    assert clock.seconds() - started <= PATIENCE_S
    assert gone.log.count("unavailable") > 5


def test_what_cannot_be_opened_at_all_is_not_recovered(clock):
    world = Unreliable(clock, [], unavailable=1)
    world.log.append("booted")
    with pytest.raises(DeviceUnavailable):
        recovering(world)


def test_the_borrowers_error_is_no_fault_of_the_camera(clock):
    world = Unreliable(clock, [])
    with recovering(world) as camera:
        with pytest.raises(CameraTimeout), camera.capture(1):
            raise CameraTimeout("the borrower's own")
        assert take(camera) == 2
    assert world.log.count("open") == 1


def test_a_closed_camera_stays_closed(clock):
    world = Unreliable(clock, [])
    camera = recovering(world)
    camera.close()
    camera.close()
    with pytest.raises(DeviceFault, match="closed"):
        take(camera)
    assert world.log == ["open", "close"]


def test_closing_while_it_opens_leaves_nothing_open(clock):
    world = Unreliable(clock, [DeviceFault])
    camera = recovering(world)
    reopen = world.open

    def slow_open():
        opened = reopen()
        camera.close()  # another thread, in the midst of it
        return opened

    camera._reopen = slow_open
    with pytest.raises(DeviceFault, match="closed"):
        take(camera)
    assert world.log.count("open") == world.log.count("close") == 2


class Engines:
    """Scan engines that fail by a list, one entry a read, over all openings."""

    def __init__(self, *script: Exception | Scan | None) -> None:
        self.script = list(script)
        self.opened = 0
        self.counts = EngineCounts()

    def open(self) -> Engines:
        self.opened += 1
        return self

    def read(self, _timeout_s: float) -> Scan | None:
        step = self.script.pop(0)
        if isinstance(step, Exception):
            raise step
        return step

    def close(self) -> None:
        self.counts.cut += 1


def read_from(engines: Engines, clock) -> RecoveringEngine:
    return RecoveringEngine(engines.open, engines.counts, clock=clock.seconds, sleep=clock.sleep)


def test_an_engine_that_reads_nothing_is_sound(clock):
    engines = Engines(None, Scan(b"a", 1))
    engine = read_from(engines, clock)
    assert engine.read(0.1) is None
    assert engine.read(0.1) == Scan(b"a", 1)
    assert (engines.opened, engine.recoveries) == (1, 0)


def test_an_engine_that_broke_is_opened_anew_and_told(clock):
    engines, told = Engines(DeviceFault("gone"), Scan(b"a", 1)), []
    engine = read_from(engines, clock)
    engine.listen(lambda error: told.append(str(error)))
    assert engine.read(0.1) == Scan(b"a", 1)
    assert (engines.opened, engine.recoveries, told) == (2, 1, ["gone"])


def test_an_engine_that_stays_broken_is_given_up(clock):
    engines = Engines(*[DeviceFault("gone")] * 100)
    with pytest.raises(DeviceFault, match=r"gone \(reopened \d+ times\)"):
        read_from(engines, clock).read(0.1)
    assert 2 < engines.opened < 100


def test_an_engine_that_is_closed_reads_nothing_more(clock):
    engine = read_from(Engines(None), clock)
    engine.close()
    engine.close()
    with pytest.raises(DeviceFault, match="engine: closed"):
        engine.read(0.1)
