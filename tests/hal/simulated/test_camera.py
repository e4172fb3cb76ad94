"""The simulated camera: rate, freshness, sources, faults; the contract of `hal.camera`."""

from __future__ import annotations

import threading

import cv2
import numpy as np
import pytest
from PIL import Image

from hal.camera import CameraSettings
from hal.errors import CameraTimeout, DeviceFault, DeviceUnavailable
from hal.simulated import sources
from hal.simulated.camera import Fault, FaultKind, SimulatedCamera, open_camera, parse_faults
from hal.simulated.sources import open_source

SMALL = CameraSettings(width=64, height=48, fps=10)


class Counting:
    """A scene that shows what time it is asked for."""

    def __init__(self, cost=lambda: None) -> None:
        self.asked: list[float] = []
        self.cost = cost

    def render(self, now):
        self.asked.append(now)
        self.cost()
        return np.full((48, 64), len(self.asked), dtype=np.uint8)


def simulated(clock, source=None, settings=SMALL, faults=()):
    return SimulatedCamera(
        source or Counting(),
        settings,
        faults,
        clock_ns=clock.ns,
        wall=lambda: 1e9 + clock.seconds(),
        sleep=clock.sleep,
    )


def test_frames_come_at_the_rate_and_are_newer_than_the_call(clock):
    camera = simulated(clock)
    opened = clock.now_ns
    for tick in range(1, 5):
        asked = clock.now_ns
        with camera.capture(1) as frame:
            assert frame.captured_ns > asked
            assert clock.now_ns == frame.captured_ns == opened + tick * 100_000_000
            assert frame.sequence == tick
            assert frame.captured_at == pytest.approx(1e9 + frame.captured_ns / 1e9)
            assert (frame.luma == tick).all()


def test_frames_that_nobody_took_are_gaps_not_a_queue(clock):
    camera = simulated(clock)
    with camera.capture(1) as frame:
        first = frame.sequence
        clock.sleep(0.75)  # a slow decoder
    with camera.capture(1) as frame:
        assert frame.sequence - first == 8


def test_a_scene_that_renders_slowly_makes_the_frame_late_not_old(clock):
    camera = simulated(clock, Counting(cost=lambda: clock.sleep(0.25)))
    with camera.capture(1) as frame:
        assert frame.sequence == 1
        assert clock.now_ns - frame.captured_ns == 150_000_000


def test_a_frame_is_the_borrowers_for_its_block_only(clock):
    camera = simulated(clock)
    with camera.capture(1) as frame:
        luma, copy = frame.luma, frame.copy()
    assert (luma == 0).all(), "pictures do not linger"
    assert frame.luma.size == 0
    assert (copy.luma == 1).all()


def test_a_slow_rate_times_out(clock):
    camera = simulated(clock, settings=CameraSettings(fps=0.5))
    started = clock.seconds()
    with pytest.raises(CameraTimeout, match="within 1 s"), camera.capture(1):
        pytest.fail("no frame was due")
    assert clock.seconds() - started == pytest.approx(1)


def test_the_scripted_faults(clock):
    faults = parse_faults("1 2 timeout\n3 4 hang  # the driver\n\n5 6 unplug\n")
    camera = simulated(clock, faults=faults)
    opened = clock.seconds()
    told = []
    while clock.seconds() - opened < 7:
        began = clock.seconds() - opened
        try:
            with camera.capture(0.4):
                told.append((began, "frame", clock.seconds() - opened - began))
        except CameraTimeout:
            told.append((began, "timeout", clock.seconds() - opened - began))
        except DeviceFault:
            told.append((began, "unplug", 0))
            clock.sleep(0.1)
    kinds = {second: {k for b, k, _ in told if int(b) == second} for second in range(7)}
    assert kinds[0] == kinds[2] == kinds[4] == kinds[6] == {"frame"}
    assert (kinds[1], kinds[5]) == ({"timeout"}, {"unplug"})
    assert all(spent == pytest.approx(0.4) for _, kind, spent in told if kind == "timeout")
    assert max(spent for b, _, spent in told if 3 <= b < 4) == pytest.approx(1, abs=0.15)


def test_a_frozen_camera_sends_one_frame_again_and_again(clock):
    camera = simulated(clock, faults=parse_faults("0.25 0.65 freeze"))
    sent = []
    for _ in range(9):
        with camera.capture(1) as frame:
            sent.append((frame.sequence, frame.captured_ns, int(frame.luma[0, 0])))
    assert [number for number, _, _ in sent] == [1, 2, 3, 3, 3, 3, 7, 8, 9]
    assert [level for _, _, level in sent] == [1, 2, 3, 3, 3, 3, 7, 8, 9]
    assert len({at for _, at, _ in sent}) == 6


def test_faults_on_demand_and_mending(clock):
    camera = simulated(clock)
    camera.fail(FaultKind.UNPLUG)
    with pytest.raises(DeviceFault, match="unplugged"), camera.capture(1):
        pytest.fail("unplugged")
    camera.mend()
    with camera.capture(1) as frame:
        assert frame.luma.shape == (48, 64)


@pytest.mark.parametrize("script", ["1 2", "a b timeout", "1 2 explode", "1 2 hang now"])
def test_a_script_that_cannot_be_read_names_the_line(script):
    with pytest.raises(ValueError, match="line 2: FROM_S UNTIL_S"):
        parse_faults("0 1 timeout\n" + script)


def test_an_unplugged_camera_does_not_open():
    with pytest.raises(DeviceUnavailable, match="unplugged"):
        open_camera(SMALL, faults=[Fault(FaultKind.UNPLUG, 0)])


@pytest.mark.parametrize("kind", [FaultKind.TIMEOUT, FaultKind.HANG])
def test_close_ends_a_wait_in_another_thread(kind):
    camera = SimulatedCamera(Counting(), SMALL)
    camera.fail(kind)
    ended = []

    def wait():
        try:
            with camera.capture(60):
                ended.append("frame")
        except DeviceFault as error:
            ended.append(type(error))

    waiting = threading.Thread(target=wait)
    waiting.start()
    camera.close()
    camera.close()
    waiting.join(10)
    assert not waiting.is_alive()
    assert ended in ([CameraTimeout], [DeviceFault])


# Shapes and sources


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_rotation_turns_clockwise(clock, rotation):
    picture = np.arange(48 * 64 * 3, dtype=np.uint32).astype(np.uint8).reshape(48, 64, 3)

    class Still:
        def render(self, now):
            return picture

    settings = CameraSettings(width=64, height=48, fps=10, rotation=rotation)
    with simulated(clock, Still(), settings).capture(1) as frame:
        assert (frame.colour == np.rot90(picture, -rotation // 90)).all()
        assert (frame.luma == cv2.cvtColor(frame.colour, cv2.COLOR_RGB2GRAY)).all()
    assert picture.any(), "the source's own picture is not wiped"


@pytest.mark.parametrize("shape", [(48, 64), (480, 640), (100, 10), (10, 100), (1, 1), (48, 64, 3)])
def test_any_size_fits_the_frame_without_distortion(clock, shape):
    class Still:
        def render(self, now):
            return np.full(shape, 200, dtype=np.uint8)

    with simulated(clock, Still()).capture(1) as frame:
        assert frame.luma.shape == (48, 64)
        seen = np.argwhere(frame.luma == 200)
        tall, wide = seen.max(0) - seen.min(0) + 1
        scale = min(48 / shape[0], 64 / shape[1])
        assert (tall, wide) == pytest.approx((shape[0] * scale, shape[1] * scale), abs=1)


@pytest.fixture
def films(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    for number in range(3):
        Image.new("L", (64, 48), 50 * (number + 1)).save(folder / f"{number}.png")
    (folder / "notes.txt").write_text("not shown")
    video = cv2.VideoWriter(
        str(tmp_path / "film.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 10, (64, 48)
    )
    assert video.isOpened()
    for number in range(10):
        video.write(np.full((48, 64, 3), 20 * number, dtype=np.uint8))
    video.release()
    Image.new("RGB", (64, 48), (255, 0, 0)).save(tmp_path / "red.png")
    (tmp_path / "broken.png").write_text("no")
    (tmp_path / "broken.avi").write_text("no")
    (tmp_path / "empty").mkdir()
    return tmp_path


def shown(source, times):
    return [int(np.median(source.render(now))) for now in times]


def test_a_folder_is_shown_in_order_and_again(films):
    source = open_source(str(films / "folder"), SMALL)
    assert shown(source, [7.0, 7.9, 8.1, 9.5, 10.1]) == [50, 50, 100, 150, 50]


def test_a_video_plays_in_real_time_and_again(films):
    source = open_source(str(films / "film.avi"), SMALL)
    levels = shown(source, [100.0, 100.32, 100.38, 100.95, 101.05, 101.28])
    assert levels == pytest.approx([0, 60, 60, 180, 0, 40], abs=4)


def test_a_picture_that_is_replaced_while_it_is_first_read_is_shown_anew(tmp_path, monkeypatch):
    """A camera that is opened again just then would show the old one for ever."""
    picture, read = tmp_path / "view.png", sources._read
    Image.new("L", (64, 48), 50).save(picture)
    Image.new("L", (64, 48), 200).save(tmp_path / "next.png")

    def read_and_replaced(path):
        plane = read(path)
        if (tmp_path / "next.png").exists():
            (tmp_path / "next.png").rename(picture)
        return plane

    monkeypatch.setattr(sources, "_read", read_and_replaced)
    source = open_source(str(picture), SMALL)
    assert shown(source, [1.0, 1.1]) == [200, 200]


def test_a_picture_that_goes_away_is_a_fault_of_the_camera(tmp_path):
    picture = tmp_path / "view.png"
    Image.new("L", (64, 48), 50).save(picture)
    source = open_source(str(picture), SMALL)
    picture.unlink()
    with pytest.raises(DeviceUnavailable, match=r"view\.png: No such file"):
        source.render(1.0)


def test_a_picture_keeps_its_colour(films):
    with (
        open_camera(CameraSettings(width=64, height=48, fps=100), str(films / "red.png")) as camera,
        camera.capture(1) as frame,
    ):
        assert (frame.colour == (255, 0, 0)).all()
        assert (frame.rgb() == frame.colour).all()


def test_an_empty_place_has_grain(clock):
    camera = simulated(clock, open_source("", SMALL))
    with camera.capture(1) as one:
        first = one.luma.copy()
    with camera.capture(1) as two:
        assert 0 < np.abs(two.luma.astype(int) - first).mean() < 10


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("missing", "does not exist"),
        ("empty", "no pictures"),
        ("broken.png", "not a picture"),
        ("broken.avi", "not a video"),
    ],
)
def test_what_cannot_be_shown_does_not_open(films, name, why, capfd):
    with pytest.raises(DeviceUnavailable, match=why):
        open_camera(SMALL, str(films / name))
