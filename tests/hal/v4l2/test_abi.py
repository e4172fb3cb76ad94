"""The kernel's numbers and places, as its own header has them on a 64-bit machine."""

from __future__ import annotations

import ctypes

import pytest

from hal.v4l2 import abi

NUMBERS = {
    "QUERYCAP": 0x80685600,
    "ENUM_FMT": 0xC0405602,
    "S_FMT": 0xC0D05605,
    "REQBUFS": 0xC0145608,
    "QUERYBUF": 0xC0585609,
    "QBUF": 0xC058560F,
    "DQBUF": 0xC0585611,
    "STREAMON": 0x40045612,
    "STREAMOFF": 0x40045613,
    "S_PARM": 0xC0CC5616,
    "G_CTRL": 0xC008561B,
    "S_CTRL": 0xC008561C,
    "QUERYCTRL": 0xC0445624,
    "QUERYMENU": 0xC02C5625,
    "ENUM_FRAMESIZES": 0xC02C564A,
    "ENUM_FRAMEINTERVALS": 0xC034564B,
}
"""Compiled from linux/videodev2.h of kernel 6.1; the size of the structure is part of each."""

PLACES = {
    (abi.Buffer, "timestamp"): 24,
    (abi.Buffer, "sequence"): 56,
    (abi.Buffer, "m"): 64,
    (abi.Buffer, "length"): 72,
    (abi.PixelFormat, "fmt"): 8,
    (abi.FrameSize, "size"): 12,
    (abi.QueryControl, "flags"): 56,
    (abi.QueryMenu, "entry"): 8,
    (abi.Capability, "device_caps"): 88,
}

bits = pytest.mark.skipif(ctypes.sizeof(ctypes.c_long) != 8, reason="the table is a 64-bit one")


@bits
@pytest.mark.parametrize("name", NUMBERS)
def test_requests(name):
    assert getattr(abi, name) == NUMBERS[name]


@bits
@pytest.mark.parametrize(("shape", "name"), PLACES)
def test_places(shape, name):
    assert getattr(shape, name).offset == PLACES[shape, name]


@pytest.mark.parametrize(("name", "number"), [("MJPG", 0x47504A4D), ("YUYV", 0x56595559)])
def test_formats(name, number):
    assert abi.fourcc(name) == number
    assert abi.fourcc_name(number) == name


def test_a_format_of_no_letters_is_fit_for_a_terminal():
    assert abi.fourcc_name(0x1B5B0041) == "A?[?"
