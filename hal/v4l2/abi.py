"""What `/dev/video*` is asked in: the kernel's structures, request numbers and identifiers.

Only what the camera driver needs of `linux/videodev2.h` (kernel 4.4 and later, where `device_caps`
and `power_line_frequency` stand as here). Rules:
- ctypes lays a structure out as the machine's C compiler does, so a 32-bit Raspberry Pi OS gets its
  own sizes; the size is part of the request's number, and the kernel serves both.
- Nothing is decided here.
"""

from __future__ import annotations

import ctypes
from typing import Final

__all__ = [
    "Buffer",
    "Capability",
    "Control",
    "FormatDescription",
    "FrameInterval",
    "FrameSize",
    "PixelFormat",
    "QueryControl",
    "QueryMenu",
    "RequestBuffers",
    "StreamParameters",
    "fourcc",
    "fourcc_name",
]

u8, u16, u32 = ctypes.c_uint8, ctypes.c_uint16, ctypes.c_uint32

VIDEO_CAPTURE: Final = 1
"""`V4L2_BUF_TYPE_VIDEO_CAPTURE`."""
MEMORY_MMAP: Final = 1
FIELD_NONE: Final = 1

CAP_VIDEO_CAPTURE: Final = 0x0000_0001
CAP_STREAMING: Final = 0x0400_0000
CAP_DEVICE_CAPS: Final = 0x8000_0000
CAP_TIME_PER_FRAME: Final = 0x1000

BUFFER_ERROR: Final = 0x40
STAMP_KIND: Final = 0xE000
STAMP_MONOTONIC: Final = 0x2000

CONTROL_DISABLED: Final = 0x01
CONTROL_READ_ONLY: Final = 0x04
TYPE_MENU: Final = 3
TYPE_INTEGER_MENU: Final = 9

POWER_LINE_FREQUENCY: Final = 0x0098_0918
EXPOSURE_AUTO: Final = 0x009A_0901
EXPOSURE_ABSOLUTE: Final = 0x009A_0902
EXPOSURE_DYNAMIC_RATE: Final = 0x009A_0903
FOCUS_ABSOLUTE: Final = 0x009A_090A
FOCUS_AUTO: Final = 0x009A_090C
EXPOSURE_BIAS: Final = 0x009A_0913

EXPOSURE_IS_AUTO: Final = 0
EXPOSURE_IS_MANUAL: Final = 1
EXPOSURE_IS_APERTURE: Final = 3
MAINS_OFF: Final = 0
MAINS_50_HZ: Final = 1
MAINS_60_HZ: Final = 2


class Capability(ctypes.Structure):
    """`struct v4l2_capability`."""

    _fields_ = (
        ("driver", ctypes.c_char * 16),
        ("card", ctypes.c_char * 32),
        ("bus_info", ctypes.c_char * 32),
        ("version", u32),
        ("capabilities", u32),
        ("device_caps", u32),
        ("reserved", u32 * 3),
    )


class FormatDescription(ctypes.Structure):
    """`struct v4l2_fmtdesc`."""

    _fields_ = (
        ("index", u32),
        ("type", u32),
        ("flags", u32),
        ("description", ctypes.c_char * 32),
        ("pixelformat", u32),
        ("mbus_code", u32),
        ("reserved", u32 * 3),
    )


class _Pixels(ctypes.Structure):
    _fields_ = (
        ("width", u32),
        ("height", u32),
        ("pixelformat", u32),
        ("field", u32),
        ("bytesperline", u32),
        ("sizeimage", u32),
        ("colorspace", u32),
        ("priv", u32),
        ("flags", u32),
        ("ycbcr_enc", u32),
        ("quantization", u32),
        ("xfer_func", u32),
    )


class _AnyFormat(ctypes.Union):
    # The pointer gives the union the alignment that the kernel's has (`struct v4l2_window`).
    _fields_ = (
        ("pix", _Pixels),
        ("raw", u8 * 200),
        ("aligned", ctypes.c_void_p),
    )


class PixelFormat(ctypes.Structure):
    """`struct v4l2_format`, of which `pix` is used."""

    _anonymous_ = ("fmt",)
    _fields_ = (("type", u32), ("fmt", _AnyFormat))


class _Fraction(ctypes.Structure):
    _fields_ = (("numerator", u32), ("denominator", u32))


class _Discrete(ctypes.Structure):
    _fields_ = (("width", u32), ("height", u32))


class _Stepwise(ctypes.Structure):
    _fields_ = (
        ("min_width", u32),
        ("max_width", u32),
        ("step_width", u32),
        ("min_height", u32),
        ("max_height", u32),
        ("step_height", u32),
    )


class _AnySize(ctypes.Union):
    _fields_ = (("discrete", _Discrete), ("stepwise", _Stepwise))


class FrameSize(ctypes.Structure):
    """`struct v4l2_frmsizeenum`; `type` is 1 where it is discrete."""

    _anonymous_ = ("size",)
    _fields_ = (
        ("index", u32),
        ("pixel_format", u32),
        ("type", u32),
        ("size", _AnySize),
        ("reserved", u32 * 2),
    )


class _SteppedIntervals(ctypes.Structure):
    _fields_ = (
        ("min", _Fraction),
        ("max", _Fraction),
        ("step", _Fraction),
    )


class _AnyInterval(ctypes.Union):
    _fields_ = (
        ("discrete", _Fraction),
        ("stepwise", _SteppedIntervals),
    )


class FrameInterval(ctypes.Structure):
    """`struct v4l2_frmivalenum`; `type` is 1 where it is discrete."""

    _anonymous_ = ("interval",)
    _fields_ = (
        ("index", u32),
        ("pixel_format", u32),
        ("width", u32),
        ("height", u32),
        ("type", u32),
        ("interval", _AnyInterval),
        ("reserved", u32 * 2),
    )


class _CaptureParameters(ctypes.Structure):
    _fields_ = (
        ("capability", u32),
        ("capturemode", u32),
        ("timeperframe", _Fraction),
        ("extendedmode", u32),
        ("readbuffers", u32),
        ("reserved", u32 * 4),
    )


class _AnyParameters(ctypes.Union):
    _fields_ = (("capture", _CaptureParameters), ("raw", u8 * 200))


class StreamParameters(ctypes.Structure):
    """`struct v4l2_streamparm`, of which `capture` is used."""

    _anonymous_ = ("parm",)
    _fields_ = (("type", u32), ("parm", _AnyParameters))


class RequestBuffers(ctypes.Structure):
    """`struct v4l2_requestbuffers`."""

    _fields_ = (
        ("count", u32),
        ("type", u32),
        ("memory", u32),
        ("capabilities", u32),
        ("flags", u8),
        ("reserved", u8 * 3),
    )


class _Timeval(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("micros", ctypes.c_long))


class _Timecode(ctypes.Structure):
    _fields_ = (
        ("type", u32),
        ("flags", u32),
        ("parts", u8 * 8),
    )


class _Place(ctypes.Union):
    _fields_ = (("offset", u32), ("userptr", ctypes.c_ulong))


class Buffer(ctypes.Structure):
    """`struct v4l2_buffer`."""

    _fields_ = (
        ("index", u32),
        ("type", u32),
        ("bytesused", u32),
        ("flags", u32),
        ("field", u32),
        ("timestamp", _Timeval),
        ("timecode", _Timecode),
        ("sequence", u32),
        ("memory", u32),
        ("m", _Place),
        ("length", u32),
        ("reserved2", u32),
        ("request_fd", ctypes.c_int32),
    )


class Control(ctypes.Structure):
    """`struct v4l2_control`."""

    _fields_ = (("id", u32), ("value", ctypes.c_int32))


class QueryControl(ctypes.Structure):
    """`struct v4l2_queryctrl`."""

    _fields_ = (
        ("id", u32),
        ("type", u32),
        ("name", ctypes.c_char * 32),
        ("minimum", ctypes.c_int32),
        ("maximum", ctypes.c_int32),
        ("step", ctypes.c_int32),
        ("default_value", ctypes.c_int32),
        ("flags", u32),
        ("reserved", u32 * 2),
    )


class _Entry(ctypes.Union):
    _pack_ = 1
    _fields_ = (("name", ctypes.c_char * 32), ("value", ctypes.c_int64))


class QueryMenu(ctypes.Structure):
    """`struct v4l2_querymenu`, which the kernel packs."""

    _pack_ = 1
    _anonymous_ = ("entry",)
    _fields_ = (
        ("id", u32),
        ("index", u32),
        ("entry", _Entry),
        ("reserved", u32),
    )


def _request(way: int, number: int, shape: type[ctypes.Structure | ctypes.c_int]) -> int:
    """Return an ioctl's number as `_IOC` makes it; `way` is 1 to write, 2 to read, 3 both."""
    return way << 30 | ctypes.sizeof(shape) << 16 | ord("V") << 8 | number


QUERYCAP: Final = _request(2, 0, Capability)
ENUM_FMT: Final = _request(3, 2, FormatDescription)
S_FMT: Final = _request(3, 5, PixelFormat)
REQBUFS: Final = _request(3, 8, RequestBuffers)
QUERYBUF: Final = _request(3, 9, Buffer)
QBUF: Final = _request(3, 15, Buffer)
DQBUF: Final = _request(3, 17, Buffer)
STREAMON: Final = _request(1, 18, ctypes.c_int)
STREAMOFF: Final = _request(1, 19, ctypes.c_int)
S_PARM: Final = _request(3, 22, StreamParameters)
G_CTRL: Final = _request(3, 27, Control)
S_CTRL: Final = _request(3, 28, Control)
QUERYCTRL: Final = _request(3, 36, QueryControl)
QUERYMENU: Final = _request(3, 37, QueryMenu)
ENUM_FRAMESIZES: Final = _request(3, 74, FrameSize)
ENUM_FRAMEINTERVALS: Final = _request(3, 75, FrameInterval)


def fourcc(name: str) -> int:
    """Return a pixel format's number: `MJPG`, `YUYV`, `GREY`."""
    return int.from_bytes(name.encode("ascii"), "little")


def fourcc_name(number: int) -> str:
    """Return a pixel format's four letters, with `?` for what is none."""
    letters = number.to_bytes(4, "little")
    return "".join(chr(each) if 32 < each < 127 else "?" for each in letters)
