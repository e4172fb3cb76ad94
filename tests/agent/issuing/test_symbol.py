"""QR codes: how strong, how large, and from how far away they are read."""

from __future__ import annotations

import math

import pytest

from agent.issuing import symbol
from agent.issuing.symbol import Medium


@pytest.mark.parametrize(
    ("characters", "medium", "expected"),
    [
        (610, Medium.SCREEN, (13, "L")), (376, Medium.SCREEN, (10, "L")),
        (610, Medium.PAPER, (16, "M")), (376, Medium.PAPER, (12, "M")),
        (500, Medium.SCREEN, (12, "L")), (430, Medium.PAPER, (13, "M")),
        (20, Medium.SCREEN, (1, "M")), (10, Medium.PAPER, (1, "H")),
        (4_000, Medium.PAPER, (39, "L")),
    ],
)  # fmt: skip
def test_the_smallest_symbol_and_the_strongest_correction_that_it_holds(
    characters, medium, expected
):
    drawn = symbol.qr_symbol("A" * characters, medium=medium)
    assert (drawn.version, drawn.error) == expected


@pytest.mark.parametrize("version", [1, 10, 13, 20, 40])
def test_the_distance_is_where_a_module_has_three_pixels(version):
    distance = symbol.reading_distance_mm(version)
    side = 17 + 4 * version
    seen_mm = 2 * distance * math.tan(math.radians(33))
    pixels = 1_280 * (55 / side) / seen_mm
    assert pixels == pytest.approx(3, rel=0.01)


def test_distances_agree_with_what_was_measured():
    """Paired approaches of rendered codes were read at these distances, on average."""
    for version, measured in ((13, 269), (16, 235), (18, 221)):
        assert symbol.reading_distance_mm(version) == pytest.approx(measured, rel=0.1)


def test_a_symbol_is_described_with_what_was_assumed():
    drawn = symbol.qr_symbol("A" * 610, medium=Medium.SCREEN)
    assert symbol.described(drawn) == (
        "QR version 13-L, 69 modules a side; read from about 26 cm (computed: 55 mm wide, "
        "a camera of 66 degrees and 1280 pixels, 3 of them a module)"
    )
