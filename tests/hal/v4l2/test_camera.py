"""The V4L2 driver against webcams that answer ioctl by ioctl: the contract, and what goes wrong."""

from __future__ import annotations

import errno
import os
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from hal.camera import CameraSettings
from hal.errors import CameraTimeout, DeviceFault, DeviceUnavailable
from hal.recovery import RecoveringCamera
from hal.v4l2 import abi
from hal.v4l2.camera import BAD_AT_MOST, opener
from tests.hal.camera_contract import CameraContract
from tests.support.webcams import (
    AUTOFOCUS,
    BIAS,
    DYNAMIC,
    EXPOSURE,
    FOCUS,
    INTEGER_MENU,
    MAINS,
    TIME,
    Computer,
    Knob,
    Webcam,
)

SMALL = CameraSettings(name="entrance", width=160, height=120, fps=120, exposure_values=())


@pytest.fixture
def webcam():
    return Webcam()


@pytest.fixture
def computer(webcam):
    made = Computer()
    made.plug(webcam)
    yield made
    assert not made.left_open, "a device was left open"


@pytest.fixture
def told():
    return []


@pytest.fixture
def start(computer, told):
    """Open the camera with some settings; closed in the end."""
    opened = []

    def start(**words):
        opened.append(opener(replace(SMALL, **words), told.append, machine=computer)())
        return opened[-1]

    yield start
    for camera in opened:
        camera.close()


@pytest.mark.parametrize("name", ["MJPG", "YUYV", "GREY"])
class TestContract(CameraContract):
    settings = SMALL

    @pytest.fixture
    def camera(self, computer, webcam, name):
        webcam.formats = {name: webcam.formats["MJPG"]}
        with opener(self.settings, machine=computer)() as camera:
            yield camera


# --- pictures -------------------------------------------------------------------------------------


def colours(number: int, width: int, height: int) -> np.ndarray:
    rgb = np.zeros((height, width, 3), dtype=np.uint8)
    rgb[:, : width // 2] = (200, 30, 30)
    rgb[:, width // 2 :] = (30, 30, 200)
    rgb[: height // 2] //= 2
    return rgb


@pytest.mark.parametrize(("name", "near"), [("MJPG", 8), ("YUYV", 4)])
@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_it_sees_what_is_there_the_right_way_up(start, webcam, name, near, rotation):
    webcam.picture, webcam.quality = colours, 98
    expected = np.rot90(colours(0, 160, 120), k=-rotation // 90)
    with start(format=name, rotation=rotation).capture(2) as frame:
        assert frame.luma.shape == expected.shape[:2]
        assert frame.noisy
        inside = (slice(8, 52), slice(8, 52))  # MJPG shares colours between neighbours
        difference = np.abs(frame.rgb()[inside].astype(int) - expected[inside])
        assert difference.max() <= near


@pytest.mark.parametrize("name", ["MJPG", "YUYV"])
def test_colours_that_nobody_looks_at_are_left_out(start, name):
    with start(format=name, colour=False).capture(2) as frame:
        assert frame.colour is None
        assert frame.luma.shape == (120, 160)


def test_padding_stays_outside(start, webcam):
    webcam.padding = 64
    with start(format="YUYV").capture(2) as frame:
        assert frame.luma.max() < 0xEE


def test_mjpg_is_asked_for_first_and_with_its_size(start, webcam):
    assert start(width=1280, height=720).form.name == "MJPG"
    assert webcam.asked_formats == [("MJPG", 1280, 720)]


def test_what_fits_comes_before_what_is_first(start, webcam):
    webcam.formats = {"MJPG": ((640, 480),), "YUYV": ((640, 480), (160, 120))}
    assert start().form.name == "YUYV"


def test_a_size_that_it_lacks_is_told_and_no_error(start, webcam, told):
    webcam.formats = {"MJPG": ((640, 480),)}
    with start(width=1280, height=720).capture(2) as frame:
        assert frame.luma.shape == (480, 640)
    assert told == ["no 1280x720 in MJPG: pictures are 640x480"]


def test_a_rate_that_it_lacks_is_told_or_kept_to(start, webcam, told):
    webcam.rate = 25.0
    webcam.knobs.clear()
    camera = start(fps=100, flicker_us=0)
    assert not told, "the camera said that it could"
    webcam.slowest = 200.0
    webcam.rate = 200.0
    camera.close()
    times = []
    camera = start(fps=40, flicker_us=0)
    for _ in range(4):
        with camera.capture(2) as frame:
            times.append(frame.captured_ns)
    assert np.diff(times).min() >= 0.75e9 / 40, "more pictures than were asked for"


def test_only_the_newest_picture_counts(start):
    camera = start()
    with camera.capture(2) as frame:
        first = frame.sequence
    time.sleep(0.06)  # both buffers are full of the past now
    called_ns = time.monotonic_ns()
    with camera.capture(2) as frame:
        assert frame.captured_ns >= called_ns
        assert frame.sequence >= first + 4, "pictures that nobody took are gaps"


def test_without_a_clock_of_ours_what_was_there_at_the_call_is_old(start, webcam):
    webcam.stamp_kind = 0
    webcam.lies = {"stamp_ns": 5}
    camera = start()
    for _ in range(2):
        time.sleep(0.03)
        called_ns = time.monotonic_ns()
        with camera.capture(2) as frame:
            assert called_ns < frame.captured_ns <= time.monotonic_ns()


def test_a_stamp_of_tomorrow_is_now(start, webcam):
    webcam.late_ns = -60_000_000_000
    with start().capture(2) as frame:
        assert frame.captured_ns <= time.monotonic_ns()


# --- what goes wrong ------------------------------------------------------------------------------


def cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"silent": True}, r"no frame within 0\.2 s$"),
        ({"late_ns": 10**10}, r"no frame within 0\.2 s; \d+ came that are older than the call"),
        (
            {"spoil": cut},
            r"no frame within 0\.2 s; \d+ came that are no pictures, the last: .*early",
        ),
        ({"error_flag": abi.BUFFER_ERROR}, "no frame within .* that are no pictures"),
        ({"spoil": lambda _: b""}, "that are no pictures, the last: no JPEG"),
    ],
)
def test_no_picture_in_time_is_a_timeout_that_says_what_came(start, webcam, wrong, said):
    camera = start(fps=60)
    for name, value in wrong.items():
        setattr(webcam, name, value)
    began = time.monotonic()
    with pytest.raises(CameraTimeout, match=said), camera.capture(0.2):
        pytest.fail("no frame came")
    assert time.monotonic() - began < 1


def test_a_bad_picture_is_passed_over(start, webcam):
    camera = start()
    spoilt = iter([cut, cut])

    def spoil(data: bytes) -> bytes:
        return next(spoilt, bytes)(data)

    webcam.spoil = spoil
    with camera.capture(2) as frame:
        assert frame.luma.any()


def test_nothing_but_bad_pictures_is_a_fault_long_before_the_timeout(start, webcam):
    webcam.spoil = cut
    with (
        pytest.raises(DeviceFault, match=f"{BAD_AT_MOST} bad pictures: a JPEG that ends too early"),
        start(fps=120).capture(3_600),
    ):
        pytest.fail("no frame came")


def test_a_picture_of_another_size_is_bad(start, webcam):
    camera = start()
    webcam.picture = lambda number, _width, _height: colours(number, 640, 480)
    said = f"{BAD_AT_MOST} bad pictures: a picture of 640x480, 160x120 was set"
    with pytest.raises(DeviceFault, match=said), camera.capture(60):
        pytest.fail("no frame came")


@pytest.mark.parametrize(
    ("lie", "said"),
    [
        ({"used": 1 << 31}, "larger than its buffer"),
        ({"index": 7}, "larger than its buffer"),
        ({"sequence": 0}, ""),
        ({"sequence": 2**32 - 1}, ""),
    ],
)
def test_what_a_device_says_of_a_buffer_is_checked(start, webcam, lie, said):
    camera = start()
    webcam.lies = lie
    if said:
        with pytest.raises(DeviceFault, match=said), camera.capture(1):
            pytest.fail("no frame came")
        return
    numbers = []
    for _ in range(3):
        with camera.capture(1) as frame:
            numbers.append(frame.sequence)
    assert numbers == [1, 2, 3] if lie["sequence"] == 0 else sorted(set(numbers)) == numbers


@pytest.mark.parametrize(
    ("lie", "said"),
    [
        ({"width": 100_000}, "delivers YUYV, MJPG, none of it as MJPG"),
        ({"height": 8}, "none of it as MJPG or YUYV or GREY of 160x120 or more"),
        ({"pixelformat": abi.fourcc("RGB3")}, "none of it as"),
        ({"bytesperline": 1 << 30, "pixelformat": abi.fourcc("YUYV")}, "none of it as"),
        ({"count": 0}, "does not start: .*0 buffers"),
        ({"count": 4_000_000_000}, "does not start: .*4000000000 buffers"),
        ({"length": 1 << 31}, "does not start: .*a buffer of 2147483648 bytes"),
        ({"length": 0}, "a buffer of 0 bytes"),
        ({"length": 1 << 16}, "does not start: .*mmap length"),
    ],
)
def test_sizes_that_cannot_be_are_refused(start, webcam, lie, said):
    webcam.lies = lie
    with pytest.raises(DeviceUnavailable, match=said):
        start()


@pytest.mark.parametrize(
    "lie", [{"denominator": 0}, {"numerator": 0}, {"numerator": 2**32 - 1}, {"denominator": 1}]
)
def test_a_rate_that_cannot_be_stops_nobody(start, webcam, lie):
    webcam.lies = lie
    with start().capture(2) as frame:
        assert frame.luma.any()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"busy": True}, "camera entrance: /dev/video0 does not start: .*another program has it"),
        ({"full_bus": True}, r"no room for the pictures on the USB bus.*format = \"MJPG\""),
        (
            {"formats": {"H264": ((160, 120),)}},
            "Example HD: Example HD at /dev/video0 delivers H264",
        ),
        ({"formats": {}}, "there is no webcam 0: none found"),
    ],
)
def test_what_cannot_start_says_what_to_do(start, webcam, wrong, said):
    for name, value in wrong.items():
        setattr(webcam, name, value)
    with pytest.raises(DeviceUnavailable, match=said):
        start(device="/dev/video0" if webcam.formats else "")


def test_a_format_that_is_named_and_lacking(start, webcam):
    webcam.formats = {"YUYV": ((160, 120),)}
    with pytest.raises(DeviceUnavailable, match="delivers YUYV, none of it as MJPG of"):
        start(format="MJPG")


def test_whoever_may_not_is_told_of_the_group(start, computer):
    computer.forbidden.add("/dev/video0")
    for words in ({}, {"device": "/dev/video0"}):
        with pytest.raises(
            DeviceUnavailable, match=r"Permission denied.*group of the device .*video"
        ):
            start(**words)


def test_unplugged_is_a_fault_at_once(start, computer, webcam):
    camera = start()
    webcam.silent = True
    threading.Timer(0.02, computer.unplug, [webcam]).start()
    with pytest.raises(DeviceFault, match="camera entrance: unplugged"), camera.capture(5):
        pytest.fail("no frame came")


@pytest.mark.parametrize("gone", [True, False])
def test_a_device_that_stops_is_a_fault(start, computer, webcam, gone):
    """The kernel's queue reports an error without a picture to take."""
    webcam.silent = True
    camera = start()
    reader, writer = os.pipe()
    os.close(writer)  # from now on a poll says that it is over, and nothing to read
    (port,) = (port for port in computer.ports if not port.closed)
    port.fileno = lambda: reader
    webcam.plugged = not gone
    said = "unplugged" if gone else "the device stopped"
    with pytest.raises(DeviceFault, match=said), camera.capture(5):
        pytest.fail("no frame came")
    os.close(reader)


def test_it_comes_back_wherever_the_kernel_puts_it(computer, webcam):
    computer.plug(Webcam(bus="usb-0000:00:14.0-9"), 8)
    faults = []

    def plug_in_again(_seconds: float) -> None:
        webcam.silent = False
        computer.plug(Webcam(bus="usb-0000:00:14.0-7"), 0)  # its number is another's now
        computer.plug(webcam, 4)

    reopen = opener(replace(SMALL, index=0), machine=computer)
    with RecoveringCamera(
        reopen, "entrance", on_fault=faults.append, sleep=plug_in_again
    ) as camera:
        with camera.capture(2) as frame:
            before = frame.sequence
        computer.unplug(webcam)
        with camera.capture(2) as frame:
            assert frame.sequence > before
        assert [str(fault) for fault in faults] == ["camera entrance: unplugged"]
        assert [port.webcam for port in computer.ports if not port.closed] == [webcam]
        assert camera.recoveries == 1


def test_close_ends_a_capture_in_another_thread_and_never_waits(start, webcam, computer):
    webcam.silent = True
    camera = start()
    ended = []

    def wait() -> None:
        with pytest.raises(DeviceFault, match="closed"), camera.capture(60):
            pytest.fail("no frame came")
        ended.append(time.monotonic())

    thread = threading.Thread(target=wait)
    thread.start()
    while not camera._lock.locked():
        time.sleep(0.001)
    time.sleep(0.01)
    began = time.monotonic()
    camera.close()
    closed = time.monotonic()
    thread.join(5)
    assert closed - began < 0.5
    assert ended
    assert ended[0] - began < 0.5
    assert computer.left_open == 0, "whoever left last let go"


def test_close_while_a_frame_is_borrowed(start):
    camera = start()
    with camera.capture(2) as frame:
        camera.close()
        assert frame.luma.any(), "it owns its memory"


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_failure_while_starting_leaves_nothing_open(start, webcam, computer):
    webcam.full_bus = True
    before = open_files()
    for _ in range(3):
        with pytest.raises(DeviceUnavailable):
            start()
    assert computer.left_open == 0
    assert open_files() == before


# --- controls -------------------------------------------------------------------------------------


def test_every_control_is_set_its_automatic_off_first(start, webcam, told):
    start(focus="manual", lens_position=5.0, flicker_us=10_000, exposure_values=(0.0,))
    assert webcam.set == [(MAINS, 1), (AUTOFOCUS, 0), (FOCUS, 125), (DYNAMIC, 0), (EXPOSURE, 3)]
    assert told == []


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ({"flicker_us": 8_333}, (MAINS, 2)),
        ({"focus": "auto"}, (AUTOFOCUS, 1)),
        ({"focus": "manual", "lens_position": 0.0}, (FOCUS, 0)),
        ({"focus": "manual", "lens_position": 32.0}, (FOCUS, 250)),
    ],
)
def test_one_control(start, webcam, words, expected):
    start(**words)
    assert expected in webcam.set


def test_a_fixed_lens_and_mains_of_none_leave_the_camera_as_it_is(start, webcam):
    start(flicker_us=0)
    assert {number for number, _ in webcam.set} == {DYNAMIC, EXPOSURE}


@pytest.mark.parametrize(
    ("lacking", "words", "said"),
    [
        (MAINS, {}, "flicker_us: it cannot be told the mains frequency; lamps may band"),
        (
            FOCUS,
            {"focus": "manual"},
            'focus: it cannot be set to "manual"; the lens stays as it is',
        ),
        (
            AUTOFOCUS,
            {"focus": "auto"},
            'focus: it cannot be set to "auto"; the lens stays as it is',
        ),
        (TIME, {"exposure_values": (0.0, -2.0)}, "exposure_values: it exposes as it likes"),
        (EXPOSURE, {"exposure_values": (0.0, -2.0)}, "exposure_values: it exposes as it likes"),
    ],
)
@pytest.mark.parametrize("how", ["absent", "disabled"])
def test_what_it_lacks_is_told_once_and_is_no_error(start, webcam, told, lacking, words, said, how):
    if how == "absent":
        del webcam.knobs[lacking]
    else:
        webcam.knobs[lacking].flags = abi.CONTROL_DISABLED
    camera = start(**words)
    for _ in range(2):
        with camera.capture(2) as frame:
            assert frame.luma.any()
    assert told == [said]


def test_a_bias_alternates(start, webcam):
    steps = dict(enumerate(range(-3_000, 3_001, 1_000)))
    webcam.knobs[BIAS] = Knob(INTEGER_MENU, 0, 6, value=3, menu=steps)
    camera = start(exposure_values=(0.0, -2.0))
    for _ in range(4):
        with camera.capture(2):
            pass
    assert [value for number, value in webcam.set if number == BIAS] == [3, 1, 3, 1]


def test_unplugged_while_a_control_is_set(start, computer, webcam):
    webcam.knobs[BIAS] = Knob(INTEGER_MENU, 0, 1, menu={0: 0, 1: -2_000})
    camera = start(exposure_values=(0.0, -2.0))
    computer.unplug(webcam)
    with pytest.raises(DeviceFault, match="unplugged"), camera.capture(2):
        pytest.fail("no frame came")


# --- whatever it says -----------------------------------------------------------------------------

NUMBERS = st.one_of(st.integers(0, 2**32 - 1), st.sampled_from([0, 1, 120, 160, 2**32 - 1]))


@given(
    lies=st.dictionaries(
        st.sampled_from(
            ["width", "height", "bytesperline", "count", "length", "used", "index", "sequence"]
        ),
        NUMBERS,
        max_size=3,
    ),
    name=st.sampled_from(["MJPG", "YUYV", "GREY"]),
    junk=st.one_of(st.none(), st.binary(max_size=200)),
    stamp=st.integers(-(2**60), 2**60),
)
@hypothesis_settings(max_examples=60, deadline=None)
def test_a_hostile_device_has_three_answers(lies, name, junk, stamp):
    webcam = Webcam((160, 120))
    webcam.formats = {name: ((160, 120),)}
    webcam.rate = 1_000.0
    webcam.lies = {**lies, "stamp_ns": time.monotonic_ns() + stamp}
    if junk is not None:
        webcam.spoil = lambda _data: junk
    computer = Computer()
    computer.plug(webcam)
    began = time.monotonic()
    try:
        with (
            opener(replace(SMALL, fps=1_000), machine=computer)() as camera,
            camera.capture(0.01) as frame,
        ):
            assert frame.luma.size <= 4096 * 3072
            assert frame.luma.shape == (camera.form.height, camera.form.width)
    except (DeviceUnavailable, DeviceFault):
        assert time.monotonic() - began < 1
    assert computer.left_open == 0


@pytest.mark.parametrize("number", [errno.EIO, errno.EPIPE, errno.ETIMEDOUT, errno.EPROTO])
def test_controls_that_stall_are_controls_that_it_lacks(start, computer, monkeypatch, told, number):
    from tests.support import webcams

    def stall(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setitem(webcams.HANDLERS, abi.S_CTRL, stall)
    with start(focus="manual", exposure_values=(0.0, -2.0)).capture(2) as frame:
        assert frame.luma.any()
    assert len(told) == 3
