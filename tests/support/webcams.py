"""Webcams without a socket: what the kernel answers at `/dev/video*`, one ioctl after the other.

What it models, because the driver depends on it: two nodes a webcam; formats that settle on a size
of their own; buffers that belong to the device while queued, and whose memory is used again; a
queue that stands full of old pictures while nobody takes them; a descriptor that is readable while
one is filled, and when the camera is gone; controls that refuse while their automatic is on; ENODEV
for everything once it is unplugged, EBUSY while another has it, ENOSPC where the bus is full.
"""

from __future__ import annotations

import errno
import mmap
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np

from hal.v4l2 import abi
from hal.v4l2.port import Machine

INTEGER, BOOLEAN, MENU, INTEGER_MENU = 1, 2, 3, 9
MAINS, EXPOSURE, TIME, DYNAMIC, FOCUS, AUTOFOCUS, BIAS = (
    abi.POWER_LINE_FREQUENCY, abi.EXPOSURE_AUTO, abi.EXPOSURE_ABSOLUTE, abi.EXPOSURE_DYNAMIC_RATE,
    abi.FOCUS_ABSOLUTE, abi.FOCUS_AUTO, abi.EXPOSURE_BIAS,
)  # fmt: skip
HANDLED_BY = {TIME: (EXPOSURE, (1,)), FOCUS: (AUTOFOCUS, (0,))}
"""A control that takes a value only while the other one has one of these."""


@dataclass
class Knob:
    kind: int
    low: int
    high: int
    step: int = 1
    value: int = 0
    menu: dict[int, int] = field(default_factory=dict)
    flags: int = 0


def knobs() -> dict[int, Knob]:
    """Return what a good webcam has."""
    return {
        MAINS: Knob(MENU, 0, 2, value=2, menu={0: 0, 1: 0, 2: 0}),
        EXPOSURE: Knob(MENU, 0, 3, value=3, menu={1: 0, 3: 0}),
        TIME: Knob(INTEGER, 3, 2047, value=250),
        DYNAMIC: Knob(BOOLEAN, 0, 1, value=1),
        FOCUS: Knob(INTEGER, 0, 250, step=5),
        AUTOFOCUS: Knob(BOOLEAN, 0, 1, value=1),
    }


class Webcam:
    """The camera in one's hand: what it can, what it sees, what is wrong with it."""

    def __init__(self, *sizes: tuple[int, int], bus: str = "usb-0000:00:14.0-5") -> None:
        sizes = sizes or ((1280, 720), (640, 480), (160, 120))
        self.card = b"Example HD: Example HD"
        self.driver = b"uvcvideo"
        self.bus = bus.encode()
        self.formats: dict[str, tuple[tuple[int, int], ...]] = {"YUYV": sizes, "MJPG": sizes}
        self.knobs = knobs()
        self.rate = 200.0
        self.slowest = 0.0
        self.padding = 0
        self.picture: Callable[[int, int, int], np.ndarray] = grey_steps
        self.plugged = True
        self.busy = False
        self.full_bus = False
        self.silent = False
        self.quality = 90
        self.spoil: Callable[[bytes], bytes] = bytes
        self.late_ns = 0
        self.stamp_kind = abi.STAMP_MONOTONIC
        self.error_flag = 0
        self.lies: dict[str, Any] = {}
        self.set: list[tuple[int, int]] = []
        self.asked_formats: list[tuple[str, int, int]] = []
        self.open_ports = 0
        self.light = 250.0
        """Exposure time that gives a middling picture, 100 us."""

    def brightness(self) -> float:
        """Return the mean of the picture that it would take now, 0 to 255."""
        if self.knobs[EXPOSURE].value != 1:
            self.knobs[TIME].value = round(self.light)  # its automatic tells what it chose
        return min(255.0, 110.0 * self.knobs[TIME].value / self.light)


def grey_steps(number: int, width: int, height: int) -> np.ndarray:
    """Return a picture with a slope of grey that differs from the last; (H, W, 3) uint8 RGB."""
    slope = np.linspace(40, 200, width, dtype=np.float32) + number % 16
    return np.repeat(np.tile(slope.astype(np.uint8), (height, 1))[..., None], 3, axis=2)


def yuyv(rgb: np.ndarray, padding: int = 0) -> bytes:
    """Return the bytes of a YUYV picture."""
    height, width = rgb.shape[:2]
    rows = np.full((height, width * 2 + padding), 0xEE, dtype=np.uint8)
    pairs = cv2.cvtColor(np.ascontiguousarray(rgb), cv2.COLOR_RGB2YUV_YUY2)
    rows[:, : width * 2] = pairs.reshape(height, width * 2)
    return rows.tobytes()


class Computer(Machine):
    """Where webcams are plugged in."""

    def __init__(self) -> None:
        self.at: dict[int, tuple[Webcam, bool]] = {}
        self.links: dict[str, Webcam] = {}
        self.forbidden: set[str] = set()
        self.ports: list[FakePort] = []

    def plug(self, webcam: Webcam, number: int = 0, link: str = "") -> None:
        """Plug a webcam in: pictures at one node, what is told of them at the next."""
        webcam.plugged = True
        self.at[number] = (webcam, True)
        self.at[number + 1] = (webcam, False)
        if link:
            self.links[link] = webcam

    def unplug(self, webcam: Webcam) -> None:
        webcam.plugged = False
        self.at = {number: node for number, node in self.at.items() if node[0] is not webcam}
        self.links = {link: each for link, each in self.links.items() if each is not webcam}
        for port in self.ports:
            if port.webcam is webcam:
                port.notify()

    def nodes(self) -> list[str]:
        return [f"/dev/video{number}" for number in sorted(self.at)]

    def open(self, path: str) -> FakePort:
        if path in self.forbidden:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        node = {f"/dev/video{number}": node for number, node in self.at.items()}.get(path)
        if path in self.links:
            node = (self.links[path], True)
        if node is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        port = FakePort(*node)
        self.ports.append(port)
        return port

    @property
    def left_open(self) -> int:
        return sum(not port.closed for port in self.ports)


class FakePort:
    """An open node."""

    def __init__(self, webcam: Webcam, captures: bool) -> None:
        self.webcam = webcam
        self.captures = captures
        self.closed = False
        self._ready = os.eventfd(0, os.EFD_NONBLOCK)
        self._lock = threading.Lock()
        self._memory: list[mmap.mmap] = []
        self._maps: list[mmap.mmap] = []
        self._queued: deque[int] = deque()
        self._done: deque[tuple[int, int, int, int]] = deque()
        self._form = ("", 0, 0, 0)
        self._fps = 30.0
        self._going = threading.Event()
        self._thread: threading.Thread | None = None

    def fileno(self) -> int:
        return self._ready

    def notify(self) -> None:
        with self._lock:
            if not self.closed:
                os.eventfd_write(self._ready, 1)

    def map(self, length: int, offset: int) -> mmap.mmap:
        made = self._memory[offset >> 12]
        if length != len(made):
            raise ValueError("mmap length is greater than the buffer")
        self._maps.append(made)
        return made

    def close(self) -> None:
        if self.closed:
            return
        self._stop()
        with self._lock:
            self.closed = True
            os.close(self._ready)
        assert all(each.closed for each in self._maps), "closed while its memory is mapped"

    def ioctl(self, request: int, argument: Any) -> None:
        assert not self.closed, "asked after it was closed"
        if not self.webcam.plugged:
            fail(errno.ENODEV)
        handler = HANDLERS.get(request)
        if handler is None or (not self.captures and request != abi.QUERYCAP):
            fail(errno.ENOTTY)
        handler(self, argument)

    # --- questions --------------------------------------------------------------------------------

    def _capability(self, said: abi.Capability) -> None:
        said.driver, said.card, said.bus_info = (
            self.webcam.driver, self.webcam.card, self.webcam.bus,
        )  # fmt: skip
        said.capabilities = 0x84A0_0001
        said.device_caps = 0x0420_0001 if self.captures else 0x04A0_0000

    def _format_at(self, asked: abi.FormatDescription) -> None:
        asked.pixelformat = abi.fourcc(entry(list(self.webcam.formats), asked.index))

    def _size_at(self, asked: abi.FrameSize) -> None:
        sizes = self.webcam.formats.get(abi.fourcc_name(asked.pixel_format), ())
        asked.type = 1
        asked.discrete.width, asked.discrete.height = entry(sizes, asked.index)

    def _interval_at(self, asked: abi.FrameInterval) -> None:
        name = abi.fourcc_name(asked.pixel_format)
        rate = 30 if name == "MJPG" or asked.width < 1000 else 10
        asked.type = 1
        asked.discrete.numerator, asked.discrete.denominator = entry(
            [(1, rate), (1, 5)], asked.index
        )

    def _set_format(self, asked: abi.PixelFormat) -> None:
        if self.webcam.busy:
            fail(errno.EBUSY)
        pix = asked.pix
        name = abi.fourcc_name(pix.pixelformat)
        self.webcam.asked_formats.append((name, pix.width, pix.height))
        if name not in self.webcam.formats:
            name = next(iter(self.webcam.formats))
        wanted = (pix.width, pix.height)
        size = min(
            self.webcam.formats[name],
            key=lambda each: abs(each[0] - wanted[0]) + abs(each[1] - wanted[1]),
        )
        pix.width, pix.height = size
        pix.pixelformat = abi.fourcc(name)
        row = size[0] * {"YUYV": 2, "GREY": 1}.get(name, 0)
        pix.bytesperline = row + self.webcam.padding if row else 0
        pix.sizeimage = max(pix.bytesperline * size[1], 2 * size[0] * size[1])
        for what, value in self.webcam.lies.items():
            if what in ("width", "height", "bytesperline", "pixelformat"):
                setattr(pix, what, value)
        self._form = (name, *size, pix.sizeimage)

    def _set_rate(self, asked: abi.StreamParameters) -> None:
        wanted = asked.capture.timeperframe
        self._fps = max(self.webcam.slowest, wanted.denominator / wanted.numerator)
        wanted.numerator, wanted.denominator = 1_000, round(self._fps * 1_000)
        for what, value in self.webcam.lies.items():
            if what in ("numerator", "denominator"):
                setattr(wanted, what, value)

    # --- buffers ----------------------------------------------------------------------------------

    def _request(self, asked: abi.RequestBuffers) -> None:
        if self.webcam.busy:
            fail(errno.EBUSY)
        asked.count = self.webcam.lies.get("count", asked.count)
        size = -(-self._form[3] // mmap.PAGESIZE) * mmap.PAGESIZE
        self._memory = [mmap.mmap(-1, size) for _ in range(min(asked.count, 32))]

    def _look_at(self, asked: abi.Buffer) -> None:
        asked.length = self.webcam.lies.get("length", len(self._memory[asked.index]))
        asked.m.offset = asked.index << 12

    def _queue(self, asked: abi.Buffer) -> None:
        with self._lock:
            if asked.index >= len(self._memory) or asked.index in self._queued:
                fail(errno.EINVAL)  # it is not the program's to give
            self._queued.append(asked.index)

    def _dequeue(self, asked: abi.Buffer) -> None:
        with self._lock:
            if not self._done:
                fail(errno.EAGAIN)
            index, used, stamp_ns, number = self._done.popleft()
            if not self._done:
                os.eventfd_read(self._ready)
        lies = self.webcam.lies
        asked.index, asked.bytesused = lies.get("index", index), lies.get("used", used)
        asked.flags = self.webcam.stamp_kind | self.webcam.error_flag
        asked.timestamp.seconds, rest = divmod(lies.get("stamp_ns", stamp_ns), 1_000_000_000)
        asked.timestamp.micros = rest // 1_000
        asked.sequence = lies.get("sequence", number)

    def _start(self, _argument: Any) -> None:
        if self.webcam.full_bus:
            fail(errno.ENOSPC)
        self._going.clear()
        self._thread = threading.Thread(target=self._stream, daemon=True)
        self._thread.start()

    def _stop(self, _argument: Any = None) -> None:
        self._going.set()
        if self._thread is not None:
            self._thread.join(5)
            self._thread = None

    def _stream(self) -> None:
        """Fill what is queued, at the camera's rate."""
        number = 0
        webcam = self.webcam
        while not self._going.wait(1 / min(webcam.rate, self._fps)) and webcam.plugged:
            number += 1
            begun_ns = time.monotonic_ns() - webcam.late_ns
            if webcam.silent:
                continue
            with self._lock:
                index = self._queued.popleft() if self._queued else None
            if index is None:
                continue  # nobody gave a buffer: the picture is lost
            data = webcam.spoil(self._encoded(number))[: len(self._memory[index])]
            self._memory[index][: len(data)] = data
            with self._lock:
                if not self._done:
                    os.eventfd_write(self._ready, 1)
                self._done.append((index, len(data), begun_ns, number))

    def _encoded(self, number: int) -> bytes:
        name, width, height, _ = self._form
        rgb = self.webcam.picture(number, width, height)
        if name == "YUYV":
            return yuyv(rgb, self.webcam.padding)
        if name == "GREY":
            return rgb[..., 0].tobytes()
        quality = [cv2.IMWRITE_JPEG_QUALITY, self.webcam.quality]
        return cv2.imencode(".jpg", rgb[..., ::-1], quality)[1].tobytes()

    # --- controls ---------------------------------------------------------------------------------

    def _knob(self, number: int) -> Knob:
        knob = self.webcam.knobs.get(number)
        if knob is None:
            fail(errno.EINVAL)
        return knob

    def _describe(self, asked: abi.QueryControl) -> None:
        knob = self._knob(asked.id)
        asked.type, asked.minimum, asked.maximum, asked.step, asked.flags = (
            knob.kind, knob.low, knob.high, knob.step, knob.flags,
        )  # fmt: skip

    def _menu_at(self, asked: abi.QueryMenu) -> None:
        menu = self._knob(asked.id).menu
        if asked.index not in menu:
            fail(errno.EINVAL)
        asked.value = menu[asked.index]

    def _get(self, asked: abi.Control) -> None:
        if self.webcam.knobs.get(asked.id) is not None and asked.id == TIME:
            self.webcam.brightness()
        asked.value = self._knob(asked.id).value

    def _set(self, asked: abi.Control) -> None:
        knob = self._knob(asked.id)
        other, values = HANDLED_BY.get(asked.id, (0, ()))
        if other in self.webcam.knobs and self.webcam.knobs[other].value not in values:
            fail(errno.EACCES)
        if not knob.low <= asked.value <= knob.high:
            fail(errno.ERANGE)
        if knob.menu and asked.value not in knob.menu:
            fail(errno.EINVAL)
        self.webcam.set.append((asked.id, asked.value))
        knob.value = asked.value


HANDLERS: dict[int, Callable[[FakePort, Any], None]] = {
    abi.QUERYCAP: FakePort._capability,
    abi.ENUM_FMT: FakePort._format_at,
    abi.ENUM_FRAMESIZES: FakePort._size_at,
    abi.ENUM_FRAMEINTERVALS: FakePort._interval_at,
    abi.S_FMT: FakePort._set_format,
    abi.S_PARM: FakePort._set_rate,
    abi.REQBUFS: FakePort._request,
    abi.QUERYBUF: FakePort._look_at,
    abi.QBUF: FakePort._queue,
    abi.DQBUF: FakePort._dequeue,
    abi.STREAMON: FakePort._start,
    abi.STREAMOFF: FakePort._stop,
    abi.QUERYCTRL: FakePort._describe,
    abi.QUERYMENU: FakePort._menu_at,
    abi.G_CTRL: FakePort._get,
    abi.S_CTRL: FakePort._set,
}


@contextmanager
def plugged_in(monkeypatch, *webcams: Webcam):
    """Give this process a computer with these webcams, under everything that opens one."""
    computer = Computer()
    for at, webcam in enumerate(webcams):
        computer.plug(webcam, 2 * at)
    monkeypatch.setattr(Machine, "nodes", lambda _self: computer.nodes())
    monkeypatch.setattr(Machine, "open", lambda _self, path: computer.open(path))
    yield computer
    assert not computer.left_open, "a device was left open"


def entry(listed, index: int):
    """Return one of a list, as the kernel enumerates."""
    if index >= len(listed):
        fail(errno.EINVAL)
    return listed[index]


def fail(number: int) -> None:
    raise OSError(number, os.strerror(number))
