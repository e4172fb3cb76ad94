"""The GM65's bytes, beside those that the maker's manual prints."""

from __future__ import annotations

import pytest

from hal.engine import gm65
from hal.engine.gm65 import Kind, Register

PRINTED = [
    (gm65.command(Kind.SAVE, 0, b"\x00"), "7E 00 09 01 00 00 00 DE C8"),
    (
        gm65.command(Kind.WRITE, Register.BAUD, gm65.BAUDS[9_600]),
        "7E 00 08 02 00 2A 39 01 A7 EA",
    ),
    (gm65.command(Kind.READ, Register.BAUD, b"\x02"), "7E 00 07 01 00 2A 02 D8 0F"),
    (gm65.answer(b"\x00"), "02 00 00 01 00 33 31"),
]


@pytest.mark.parametrize(("made", "printed"), PRINTED, ids=["save", "speed", "read", "yes"])
def test_the_bytes_are_those_of_the_manual(made, printed):
    assert made == bytes.fromhex(printed)


def test_speeds_are_3_mhz_divided():
    for baud, held in gm65.BAUDS.items():
        assert abs(3_000_000 / int.from_bytes(held, "little") - baud) / baud < 0.01


@pytest.mark.parametrize(
    "said",
    [
        b"",
        gm65.answer(b"\x02")[:-1],
        gm65.answer(b"\x02")[:-1] + b"\x00",
        gm65.answer(b"\x02", kind=1),
        gm65.answer(b"\x02\x00"),
        b"]Q1" + gm65.answer(b"\x02"),
    ],
    ids=["nothing", "cut", "wrong sum", "no", "longer", "not at the start"],
)
def test_what_is_no_answer(said):
    assert gm65.read_answer(said, 1) is None


def test_an_answer():
    assert gm65.read_answer(gm65.answer(b"\x02"), 1) == b"\x02"


def test_a_setting_leaves_the_other_bits():
    off = gm65.settings(mode="continuous", aim=True)[0]
    assert (off.register, off.put(0b0101)) == (Register.SETUP_CODES, 0b0111)
    assert off.holds(0b0010)
    assert not off.holds(0b0101)
