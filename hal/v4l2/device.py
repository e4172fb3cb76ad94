"""A video device's questions and answers, typed; what it says is bounded before it is believed.

Rules:
- lists end at `LISTED`, sides at 65,535 pixels, a buffer at `LARGEST` bytes: a device that says
  more is broken or hostile;
- a question about what it offers, and a control, that a device refuses or does not answer has an
  empty answer, whatever the kernel calls it: webcams stall on what they lack. Only that it is gone
  (ENODEV) is raised. What pictures need is the kernel's `OSError`.
"""

from __future__ import annotations

import errno
import mmap
from collections.abc import Callable, Iterator
from ctypes import Structure, c_int
from dataclasses import dataclass
from typing import Final, TypeVar

from hal.v4l2 import abi
from hal.v4l2.port import Port

__all__ = ["Device", "Filled", "Format", "Identity", "Range"]

LISTED: Final = 64
BUFFERS_AT_MOST: Final = 8
LARGEST: Final = 64 << 20
LONGEST_SIDE: Final = 65_535
T = TypeVar("T", bound=Structure)


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a device is.

    Attributes:
        driver: the kernel's, as `uvcvideo`.
        card: the maker's name of it.
        bus: where it is plugged in, as `usb-0000:01:00.0-1.3`: the same after it was out.
        captures: whether this node delivers pictures by streaming; a webcam's second node tells
            about them instead.
    """

    driver: str
    card: str
    bus: str
    captures: bool


@dataclass(frozen=True, slots=True)
class Format:
    """What a device settled on.

    Attributes:
        name: four letters.
        width: pixels.
        height: pixels.
        stride: bytes from row to row; 0 where there are no rows.
    """

    name: str
    width: int
    height: int
    stride: int


@dataclass(frozen=True, slots=True)
class Filled:
    """A buffer with a picture.

    Attributes:
        index: which.
        used: bytes of it.
        stamp_ns: monotonic clock at its first byte, nanoseconds; None where the device has another
            clock or none.
        sequence: the device's count of pictures, 32 bits.
        damaged: the kernel knows that data is missing.
    """

    index: int
    used: int
    stamp_ns: int | None
    sequence: int
    damaged: bool


@dataclass(frozen=True, slots=True)
class Range:
    """What a control takes, in the device's own units.

    Attributes:
        minimum: least value.
        maximum: greatest value.
        step: between values.
        default: the maker's.
        values: those of a menu that the device offers, with a number for each where it has one
            (exposure bias: thousandths of a stop), else 0; empty for what is no menu.
    """

    minimum: int
    maximum: int
    step: int
    default: int
    values: dict[int, int]

    def nearest(self, value: float) -> int:
        """Return the allowed value next to one."""
        steps = round((value - self.minimum) / self.step)
        return max(self.minimum, min(self.maximum, self.minimum + steps * self.step))


class Device:
    """An open device.

    Args:
        port: the way to it.
    """

    def __init__(self, port: Port) -> None:
        self._port = port

    def fileno(self) -> int:
        """Return the descriptor, to poll."""
        return self._port.fileno()

    def close(self) -> None:
        """Let go of it."""
        self._port.close()

    def identity(self) -> Identity:
        """Say who it is.

        Raises:
            OSError: it is no video device, or gone.
        """
        said = abi.Capability()
        self._port.ioctl(abi.QUERYCAP, said)
        own = said.capabilities & abi.CAP_DEVICE_CAPS
        can = said.device_caps if own else said.capabilities
        wanted = abi.CAP_VIDEO_CAPTURE | abi.CAP_STREAMING
        return Identity(
            _text(said.driver), _text(said.card), _text(said.bus_info), can & wanted == wanted
        )

    # --- what it offers ---------------------------------------------------------------------------

    def formats(self) -> tuple[str, ...]:
        """Return the pixel formats on offer, four letters each, in the device's order."""
        listed = self._list(
            abi.ENUM_FMT, lambda index: abi.FormatDescription(index=index, type=abi.VIDEO_CAPTURE)
        )
        return tuple(abi.fourcc_name(each.pixelformat) for each in listed)

    def sizes(self, name: str) -> tuple[tuple[int, int], ...]:
        """Return the sizes of a format, (width, height); of a range, its ends."""
        found: list[tuple[int, int]] = []
        for each in self._list(
            abi.ENUM_FRAMESIZES,
            lambda index: abi.FrameSize(index=index, pixel_format=abi.fourcc(name)),
        ):
            if each.type == 1:
                found.append((each.discrete.width, each.discrete.height))
            else:
                ends = each.stepwise
                found += [(ends.min_width, ends.min_height), (ends.max_width, ends.max_height)]
                break
        return tuple(size for size in found if 0 < min(size) <= max(size) <= LONGEST_SIDE)

    def best_rate(self, name: str, width: int, height: int) -> float:
        """Return the highest rate of a format at a size, frames a second; 0 where it says none."""
        rates = [0.0]
        for each in self._list(
            abi.ENUM_FRAMEINTERVALS,
            lambda index: abi.FrameInterval(
                index=index, pixel_format=abi.fourcc(name), width=width, height=height
            ),
        ):
            least = each.discrete if each.type == 1 else each.stepwise.min
            if least.numerator:
                rates.append(least.denominator / least.numerator)
        return max(rates)

    # --- pictures ---------------------------------------------------------------------------------

    def set_format(self, name: str, width: int, height: int) -> Format:
        """Ask for a format and a size at once; return what it settled on, which may be another.

        Raises:
            OSError: EBUSY where another program has it.
        """
        asked = abi.PixelFormat(type=abi.VIDEO_CAPTURE)
        asked.pix.width, asked.pix.height = width, height
        asked.pix.pixelformat = abi.fourcc(name)
        asked.pix.field = abi.FIELD_NONE
        self._port.ioctl(abi.S_FMT, asked)
        pix = asked.pix
        return Format(abi.fourcc_name(pix.pixelformat), pix.width, pix.height, pix.bytesperline)

    def set_rate(self, fps: float) -> float:
        """Ask for a rate; return what it settled on, frames a second, 0 where it does not say."""
        asked = abi.StreamParameters(type=abi.VIDEO_CAPTURE)
        asked.capture.timeperframe.numerator = 1_000
        asked.capture.timeperframe.denominator = round(fps * 1_000)
        if not self._known(abi.S_PARM, asked):
            return 0.0
        took = asked.capture.timeperframe
        return took.denominator / took.numerator if took.numerator else 0.0

    def buffers(self, count: int) -> list[mmap.mmap]:
        """Return the memory of so many buffers, or of as many as the device insists on.

        Raises:
            OSError: it gives none, or what it says of them cannot be.
        """
        asked = abi.RequestBuffers(count=count, type=abi.VIDEO_CAPTURE, memory=abi.MEMORY_MMAP)
        self._port.ioctl(abi.REQBUFS, asked)
        if not 1 <= asked.count <= BUFFERS_AT_MOST:
            raise OSError(errno.EPROTO, f"{asked.count} buffers")
        made: list[mmap.mmap] = []
        try:
            # `extend` keeps what was mapped before one fails.
            made.extend(self._map(index) for index in range(asked.count))
        except BaseException:
            for each in made:
                each.close()
            raise
        return made

    def queue(self, index: int) -> None:
        """Give a buffer to the device, to be filled."""
        self._port.ioctl(abi.QBUF, self._buffer(index))

    def dequeue(self) -> Filled | None:
        """Return the buffer that was filled first, None where none is.

        Raises:
            OSError: ENODEV or EIO where the device is gone.
        """
        got = self._buffer(0)
        try:
            self._port.ioctl(abi.DQBUF, got)
        except BlockingIOError:
            return None
        monotonic = got.flags & abi.STAMP_KIND == abi.STAMP_MONOTONIC
        stamp_ns = got.timestamp.seconds * 1_000_000_000 + got.timestamp.micros * 1_000
        return Filled(
            got.index,
            got.bytesused,
            stamp_ns if monotonic else None,
            got.sequence,
            bool(got.flags & abi.BUFFER_ERROR),
        )

    def start(self) -> None:
        """Let the pictures come.

        Raises:
            OSError: ENOSPC where the USB bus has no room for them.
        """
        self._port.ioctl(abi.STREAMON, c_int(abi.VIDEO_CAPTURE))

    def stop(self) -> None:
        """Let no more come; every buffer is ours again."""
        self._port.ioctl(abi.STREAMOFF, c_int(abi.VIDEO_CAPTURE))

    # --- controls ---------------------------------------------------------------------------------

    def control(self, number: int) -> Range | None:
        """Say what a control takes; None where the device has it not, or only to read."""
        asked = abi.QueryControl(id=number)
        if not self._known(abi.QUERYCTRL, asked):
            return None
        if asked.flags & (abi.CONTROL_DISABLED | abi.CONTROL_READ_ONLY):
            return None
        values: dict[int, int] = {}
        if asked.type in (abi.TYPE_MENU, abi.TYPE_INTEGER_MENU):
            numbered = asked.type == abi.TYPE_INTEGER_MENU
            for index in range(asked.minimum, asked.maximum + 1)[:LISTED]:
                entry = abi.QueryMenu(id=number, index=index)
                if self._known(abi.QUERYMENU, entry):
                    values[index] = entry.value if numbered else 0
        return Range(
            asked.minimum,
            max(asked.minimum, asked.maximum),
            max(1, asked.step),
            asked.default_value,
            values,
        )

    def get(self, number: int) -> int | None:
        """Return a control's value; None where it tells none."""
        asked = abi.Control(id=number)
        return int(asked.value) if self._known(abi.G_CTRL, asked) else None

    def set(self, number: int, value: int) -> bool:
        """Set a control; return whether it reads back as set."""
        if not self._known(abi.S_CTRL, abi.Control(id=number, value=value)):
            return False
        return self.get(number) == value

    # --- inside -----------------------------------------------------------------------------------

    def _buffer(self, index: int) -> abi.Buffer:
        return abi.Buffer(index=index, type=abi.VIDEO_CAPTURE, memory=abi.MEMORY_MMAP)

    def _map(self, index: int) -> mmap.mmap:
        asked = self._buffer(index)
        self._port.ioctl(abi.QUERYBUF, asked)
        if not 0 < asked.length <= LARGEST:
            raise OSError(errno.EPROTO, f"a buffer of {asked.length} bytes")
        try:
            return self._port.map(asked.length, asked.m.offset)
        except ValueError as error:
            raise OSError(errno.EPROTO, str(error)) from error

    def _known(self, request: int, argument: Structure) -> bool:
        """Ask; return whether there was an answer.

        Raises:
            OSError: the device is gone.
        """
        try:
            self._port.ioctl(request, argument)
        except OSError as error:
            if error.errno == errno.ENODEV:
                raise
            return False
        return True

    def _list(self, request: int, asked: Callable[[int], T]) -> Iterator[T]:
        for index in range(LISTED):
            each = asked(index)
            if not self._known(request, each):
                return
            yield each


def _text(raw: bytes) -> str:
    """Return the device's own words, without what a terminal or a log would obey."""
    return "".join(
        each if each.isprintable() else "?" for each in raw.decode("utf-8", "replace")
    ).strip()
