"""A webcam, or any other camera at `/dev/video*`, by the kernel's own interface.

Rules:
- Two buffers, and only the newest counts: what is filled is drained, an older picture is handed
  back unseen. A picture counts when its first byte came after the call (webcams stamp that, on the
  monotonic clock); one of a camera with another clock, when the buffer was filled after the call.
- MJPG is asked for first, then YUYV, then GREY, each with its size in one question. The camera may
  settle on another size; pictures then have that, and it is told. It is bounded.
- No wait without a limit, and none that `close` cannot end: the device is polled beside a
  wake-up. `close` itself never waits: where another thread is in the middle of a question, that
  thread lets go of the device as it leaves.
- A picture that is none (damaged, too short, of another size) is passed over; `BAD_AT_MOST` in a
  row are a fault, after which `hal.recovery` opens the camera anew.
- Focus, mains frequency and exposure are set where the camera has them; what it lacks is told, and
  is no error. A camera that is out of its socket is a fault at once.
- Frames own their memory, and are wiped after their block.
"""

from __future__ import annotations

import errno
import mmap
import os
import select
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from types import TracebackType
from typing import Final, Self

from hal.camera import CameraSettings, Frame
from hal.errors import CameraTimeout, DeviceFault, DeviceUnavailable
from hal.library import explain
from hal.rotation import rotate_plane
from hal.v4l2 import abi
from hal.v4l2.device import Filled, Format
from hal.v4l2.exposure import Exposures, choose
from hal.v4l2.find import FORMATS, Found, Source
from hal.v4l2.picture import BadPicture, decode
from hal.v4l2.port import MACHINE, Machine

__all__ = ["V4l2Camera", "opener"]

BUFFERS: Final = 2
BAD_AT_MOST: Final = 30
SMALLEST: Final = (160, 120)
LARGEST: Final = (4096, 3072)
"""Sizes that the settings can name, and that a camera may settle on."""
NEAR_DIOPTRES: Final = 10.0
"""What the near end of a webcam's focus is taken for: V4L2 gives its steps no unit."""
PACE: Final = 0.75
"""A picture that comes sooner than this share of the period after the last is passed over: a camera
may know no rate as low as was asked for."""
BETWEEN_MAINS_US: Final = 9_200
"""Half a period at 60 Hz is 8,333 us, at 50 Hz 10,000."""
OFFERED_TOLD: Final = 8
_NO_ROOM: Final = (
    'no room for the pictures on the USB bus: set a lower fps or size, format = "MJPG", or plug '
    "the camera into another port, without a hub"
)
_SEQUENCE: Final = 1 << 32


def opener(
    settings: CameraSettings,
    told: Callable[[str], None] = lambda _lack: None,
    *,
    machine: Machine = MACHINE,
) -> Callable[[], V4l2Camera]:
    """Return a function that opens the camera, and the same one again after it was gone.

    Args:
        settings: all are honoured where the camera can.
        told: hears what this camera lacks, a line each; in the opening or the capturing thread.
        machine: where devices are.
    """
    who = f"camera {settings.name}"
    source = Source(machine, settings.device, settings.index, who)

    def reopen() -> V4l2Camera:
        found = source.open()
        with ExitStack() as undo:
            undo.callback(found.device.close)
            camera = _started(found, settings, told, who)
            undo.pop_all()
        return camera

    return reopen


def _started(
    found: Found, settings: CameraSettings, told: Callable[[str], None], who: str
) -> V4l2Camera:
    try:
        return V4l2Camera(found, settings, told)
    except DeviceUnavailable:
        raise
    except OSError as error:
        what = _NO_ROOM if error.errno == errno.ENOSPC else explain(error)
        raise DeviceUnavailable(f"{who}: {found.path} does not start: {what}") from error


class V4l2Camera:
    """A started camera; thread-confined but for `close`.

    Args:
        found: the device, open; closed with the camera.
        settings: all are honoured where the camera can.
        told: hears what it lacks.

    Raises:
        DeviceUnavailable: it has no format or size that is read.
        OSError: the kernel refuses; the caller closes the device.
    """

    def __init__(self, found: Found, settings: CameraSettings, told: Callable[[str], None]) -> None:
        self._device = found.device
        self._settings = settings
        self._told = told
        self._lock = threading.Lock()
        self._waking = threading.Lock()
        self._closed = threading.Event()
        self._released = False
        self._sequence = 0
        self._last: tuple[int, int] | None = None
        self.form = self._settle(found)
        """What the camera settled on."""
        rate = self._device.set_rate(settings.fps)
        if rate and rate < settings.fps * PACE:
            told(f"{rate:.3g} pictures a second, {settings.fps:g} were asked for")
        self._exposures = self._set_controls()
        self._buffers: list[mmap.mmap] = []
        with ExitStack() as undo:
            self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
            undo.callback(os.close, self._wake)
            self._buffers = self._device.buffers(BUFFERS)
            for each in self._buffers:
                undo.callback(each.close)
            for index in range(len(self._buffers)):
                self._device.queue(index)
            self._device.start()
            undo.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def name(self) -> str:
        """The name given in the settings."""
        return self._settings.name

    @contextmanager
    def capture(self, timeout_s: float) -> Iterator[Frame]:
        """Borrow the next frame.

        Raises:
            CameraTimeout: nothing whole came within `timeout_s`.
            DeviceFault: the camera is closed, gone, or sends nothing but damaged pictures.
        """
        frame = self._next(timeout_s)
        try:
            yield frame
        finally:
            frame.wipe()
            frame.revoke()

    def close(self) -> None:
        """Stop and release the camera; may be called twice, never waits, ends a capture."""
        self._closed.set()
        with self._waking:
            if not self._released:
                os.eventfd_write(self._wake, 1)
        self._let_go()

    # --- frames -----------------------------------------------------------------------------------

    def _next(self, timeout_s: float) -> Frame:
        called_ns = time.monotonic_ns()
        until_ns = called_ns + round(timeout_s * 1e9)
        with self._asking():
            self._exposures.ask()
        bad = 0
        why = ""
        while True:
            data, filled, stamp_ns = self._take(called_ns, until_ns, timeout_s, why)
            try:
                luma, colour = decode(
                    b"" if filled.damaged else data, self.form, colour=self._settings.colour
                )
            except BadPicture as error:
                bad += 1
                why = f"; {bad} came that are no pictures, the last: {error}"
                if bad >= BAD_AT_MOST:
                    raise DeviceFault(f"camera {self.name}: {bad} bad pictures: {error}") from None
                continue
            break
        if self._exposures.measures:
            with self._asking():
                self._exposures.saw(float(luma[::16, ::16].mean()), stamp_ns)
        turn = self._settings.rotation
        return Frame(
            luma=rotate_plane(luma, turn),
            captured_ns=stamp_ns,
            captured_at=time.time() - (time.monotonic_ns() - stamp_ns) / 1e9,
            sequence=self._count(filled.sequence, stamp_ns),
            camera=self.name,
            colour=None if colour is None else rotate_plane(colour, turn),
            noisy=True,
        )

    def _take(
        self, called_ns: int, until_ns: int, timeout_s: float, why: str
    ) -> tuple[bytes, Filled, int]:
        """Return the newest picture's bytes, what the device says of it, and its time."""
        fresh_ns = called_ns
        if self._last is not None:
            fresh_ns = max(fresh_ns, self._last[1] + round(PACE * 1e9 / self._settings.fps))
        first = True
        old = 0
        with self._asking():
            while True:
                newest, older = self._drain()
                old += older
                if newest is not None:
                    now_ns = time.monotonic_ns()
                    stamp_ns = newest.stamp_ns
                    if stamp_ns is None:  # no clock of ours: what was there at the call is old
                        stamp_ns = called_ns - 1 if first else now_ns
                    data = b""
                    if fresh := fresh_ns <= stamp_ns:
                        data = self._buffers[newest.index][: newest.used]
                    self._device.queue(newest.index)
                    if fresh:
                        return data, newest, min(stamp_ns, now_ns)
                    old += 1
                first = False
                left_ns = until_ns - time.monotonic_ns()
                if left_ns <= 0:
                    said = why or (f"; {old} came that are older than the call" if old else "")
                    raise CameraTimeout(
                        f"camera {self.name}: no frame within {timeout_s:g} s{said}"
                    )
                self._wait(left_ns)

    def _drain(self) -> tuple[Filled | None, int]:
        """Return the newest filled buffer, and how many older ones went back."""
        newest: Filled | None = None
        older = 0
        for _ in range(len(self._buffers)):
            filled = self._device.dequeue()
            if filled is None:
                break
            if filled.index >= len(self._buffers) or filled.used > len(self._buffers[filled.index]):
                raise OSError(errno.EPROTO, "a picture larger than its buffer")
            if newest is not None:
                self._device.queue(newest.index)
                older += 1
            newest = filled
        return newest, older

    def _wait(self, left_ns: int) -> None:
        """Wait for a filled buffer, or for `close`."""
        poll = select.poll()
        poll.register(self._device.fileno(), select.POLLIN)
        poll.register(self._wake, select.POLLIN)
        ready = dict(poll.poll(left_ns / 1e6 + 1))
        if self._closed.is_set():
            raise DeviceFault(f"camera {self.name}: closed")
        said = ready.get(self._device.fileno(), 0)
        if said & ~select.POLLIN:
            self._device.identity()  # says so where it is gone
            raise OSError(errno.EIO, "the device stopped")

    def _count(self, sequence: int, stamp_ns: int) -> int:
        """Return the frame's number: the device's gaps are gaps, its nonsense is one step."""
        step = 1 if self._last is None else (sequence - self._last[0]) % _SEQUENCE
        self._sequence += step if 1 <= step <= 100_000 else 1
        self._last = (sequence, stamp_ns)
        return self._sequence

    # --- what the camera is told ----------------------------------------------------------------

    def _settle(self, found: Found) -> Format:
        """Choose the format and the size."""
        settings = self._settings
        offered = self._device.formats()
        who = f"camera {self.name}: {found.identity.card} at {found.path}"
        tried = FORMATS if settings.format == "auto" else (settings.format,)
        usable: list[Format] = []
        for name in tried:
            if name not in offered:
                continue
            form = self._device.set_format(name, settings.width, settings.height)
            if _usable(form, name):
                if (form.width, form.height) == (settings.width, settings.height):
                    return form
                usable.append(form)
        if not usable:
            raise DeviceUnavailable(
                f"{who} delivers {', '.join(offered[:OFFERED_TOLD]) or 'nothing'}, none of it as "
                f"{' or '.join(tried)} of {SMALLEST[0]}x{SMALLEST[1]} or more"
            )
        best = usable[0]
        form = self._device.set_format(best.name, best.width, best.height)
        if form != best:
            raise DeviceUnavailable(f"{who} does not keep to the size that it chose")
        self._told(
            f"no {settings.width}x{settings.height} in {best.name}: "
            f"pictures are {best.width}x{best.height}"
        )
        return best

    def _set_controls(self) -> Exposures:
        """Set focus, mains frequency and exposure, telling what the camera lacks."""
        device, settings = self._device, self._settings
        if settings.flicker_us:
            hertz_60 = settings.flicker_us < BETWEEN_MAINS_US
            mains = device.control(abi.POWER_LINE_FREQUENCY)
            value = abi.MAINS_60_HZ if hertz_60 else abi.MAINS_50_HZ
            if mains is None or not device.set(abi.POWER_LINE_FREQUENCY, value):
                self._told("flicker_us: it cannot be told the mains frequency; lamps may band")
        if settings.focus != "fixed" and not self._focus():
            self._told(f'focus: it cannot be set to "{settings.focus}"; the lens stays as it is')
        if device.control(abi.EXPOSURE_DYNAMIC_RATE) is not None:
            device.set(abi.EXPOSURE_DYNAMIC_RATE, 0)  # or dark rooms halve the rate
        return choose(
            device,
            settings.exposure_values,
            settings.fps,
            lambda: self._told("exposure_values: it exposes as it likes"),
        )

    def _focus(self) -> bool:
        """Set the focus, the automatic off first; return whether it reads back."""
        device, settings = self._device, self._settings
        automatic = device.control(abi.FOCUS_AUTO)
        if settings.focus == "auto":
            return automatic is not None and device.set(abi.FOCUS_AUTO, 1)
        if automatic is not None and not device.set(abi.FOCUS_AUTO, 0):
            return False
        span = device.control(abi.FOCUS_ABSOLUTE)
        if span is None:
            return False
        share = min(1.0, settings.lens_position / NEAR_DIOPTRES)
        wanted = span.nearest(span.minimum + share * (span.maximum - span.minimum))
        return device.set(abi.FOCUS_ABSOLUTE, wanted)

    # --- the device's owner -----------------------------------------------------------------------

    @contextmanager
    def _asking(self) -> Iterator[None]:
        """Have the device for some questions; what the kernel refuses is a fault."""
        try:
            with self._lock:
                if self._closed.is_set() or self._released:
                    raise DeviceFault(f"camera {self.name}: closed")
                yield
        except OSError as error:
            if isinstance(error, DeviceFault):
                raise
            gone = error.errno in (errno.ENODEV, errno.ENXIO)
            what = "unplugged" if gone else explain(error)
            raise DeviceFault(f"camera {self.name}: {what}") from error
        finally:
            if self._closed.is_set():
                self._let_go()

    def _let_go(self) -> None:
        """Release the device, unless a thread is in the middle of a question: that one does it."""
        if not self._lock.acquire(blocking=False):
            return
        try:
            if self._released:
                return
            with self._waking:
                self._released = True
                os.close(self._wake)
            with suppress(OSError):  # an unplugged device has stopped
                self._device.stop()
            for each in self._buffers:
                each.close()
            self._device.close()
        finally:
            self._lock.release()


def _usable(form: Format, name: str) -> bool:
    """Whether a format is what was asked for, and of a size that can be."""
    row = form.width * {"MJPG": 0, "YUYV": 2, "GREY": 1}[name]
    return (
        form.name == name
        and SMALLEST[0] <= form.width <= LARGEST[0]
        and SMALLEST[1] <= form.height <= LARGEST[1]
        and (name != "YUYV" or form.width % 2 == 0)
        and (name == "MJPG" or form.stride == 0 or row <= form.stride <= 2 * row)
    )
