"""Codes without a quiet zone on a dark page, and what is no such code."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import segno
from numpy.typing import NDArray

from agent.scan.bare import islands
from agent.scan.cascade import RETRIES, Cascade
from agent.scan.decoders import Decoders
from agent.scan.wire import Variant
from tests.support.stills import decode_still

WORDS = "NI1:" + "A1B2C3 $%*" * 15
Luma = NDArray[np.uint8]


def bare(text: str = WORDS, px: int = 6) -> Luma:
    """Return a code without quiet zone, 0 and 255."""
    rows = segno.make_qr(text, error="m", boost_error=False).matrix
    dark = np.array([list(row) for row in rows], np.uint8)
    return np.kron(255 - 255 * dark, np.ones((px, px), np.uint8))


def page(
    code: Luma, *, ink: int = 0, paper: int = 255, around: int = 0, noise: float = 0.0,
    turn: float = 0.0, slant: float = 0.0, hall: int | None = None,
) -> Luma:  # fmt: skip
    """Show a code in the middle of a picture of 1280 x 720.

    Args:
        code: 0 and 255.
        ink, paper: levels of dark and light modules.
        around: level of the page.
        noise: grain, grey levels.
        turn: degrees in the picture's plane.
        slant: degrees about the vertical axis, from 2.5 widths away.
        hall: level beyond the page, None where the page fills the picture.
    """
    side = len(code)
    half = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * side / 2
    tilt, angle = np.radians(slant), np.radians(turn)
    depth = 2.5 * side / (2.5 * side - half[:, 0] * np.sin(tilt))
    flat = np.stack([half[:, 0] * np.cos(tilt) * depth, half[:, 1] * depth], axis=1)
    spin = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    to = flat @ spin.T + (640.3, 359.6)
    matrix = cv2.getPerspectiveTransform(
        (half + side / 2).astype(np.float32), to.astype(np.float32)
    )
    level = code / np.float32(255) * (paper - ink) + ink
    shown = cv2.warpPerspective(level, matrix, (1280, 720), borderValue=float(around))
    if hall is not None:
        room = int(side * 0.75) + 40
        beyond = np.full_like(shown, hall)
        inside = np.s_[max(0, 360 - room) : 360 + room, 640 - room : 640 + room]
        beyond[inside] = shown[inside]
        shown = beyond
    grain = np.random.default_rng(2).normal(0, noise, shown.shape)
    return np.asarray((shown + grain).clip(0, 255), np.uint8)


PAGES = {
    "black": {},
    "dark grey": {"ink": 25, "paper": 216, "around": 25, "noise": 3.0},
    "grey ink on a darker page": {"ink": 40, "paper": 230, "around": 10, "noise": 2.0},
    "turned": {"turn": 20.0, "noise": 2.0},
    "on its corner": {"turn": 45.0, "noise": 2.0},
    "slanted": {"slant": 15.0, "noise": 2.0},
    "slanted and turned": {"slant": 15.0, "turn": 10.0, "ink": 25, "around": 25},
    "a phone in a bright hall": {"hall": 170, "noise": 3.0, "slant": 8.0},
}


@pytest.mark.parametrize("name", PAGES)
def test_a_code_without_quiet_zone_is_read(name: str) -> None:
    picture = page(bare(), **PAGES[name])  # type: ignore[arg-type]
    cascade = Cascade()
    assert decode_still(cascade.decoders, picture)[1] is Variant.BARE
    frames = [cascade.decode(picture, turn=turn)[0] for turn in range(len(RETRIES) + 1)]
    read = [payload.data.decode() for found in frames for payload in found]
    assert set(read) == {WORDS}


@pytest.mark.parametrize("text", ["NI1:A", "NI1:" + "A1B2C3 $%*" * 4, "NI1:" + "A1B2C3 $%*" * 40])
@pytest.mark.parametrize("px", [3, 8])
def test_small_codes_and_large(text: str, px: int) -> None:
    found, _ = decode_still(Decoders(), page(bare(text, px)))
    assert [payload.data.decode() for payload in found] == [text]


def test_corners_are_in_the_whole_picture() -> None:
    code = bare()
    picture = np.zeros((720, 1280), np.uint8)
    picture[60 : 60 + len(code), 300 : 300 + len(code)] = code
    (found,), variant = decode_still(Decoders(), picture)
    assert variant is Variant.BARE
    last = len(code) - 1
    expected = [(300, 60), (300 + last, 60), (300 + last, 60 + last), (300, 60 + last)]
    assert np.abs(np.array(found.corners) - expected).max() <= 3


@pytest.mark.parametrize(
    "picture",
    [
        np.zeros((720, 1280), np.uint8),
        np.full((720, 1280), 255, np.uint8),
        np.zeros((1, 1), np.uint8),
        np.full((9, 9), 255, np.uint8),
        np.pad(np.full((30, 400), 255, np.uint8), 100),  # a lamp
        np.pad(np.full((300, 300), 255, np.uint8), ((0, 100), (100, 100))),  # out of the picture
        np.pad(np.full((8, 8), 255, np.uint8), 300),  # too small to hold modules
    ],
    ids=["black", "white", "a pixel", "tiny", "a lamp", "at the edge", "a dot"],
)
def test_what_is_no_island(picture: Luma) -> None:
    assert list(islands(cv2, picture)) == []


def test_four_islands_at_most_the_largest_first() -> None:
    picture = np.zeros((720, 1280), np.uint8)
    for number, side in enumerate((60, 140, 80, 120, 160, 100)):
        picture[300 : 300 + side, 40 + 200 * number : 40 + 200 * number + side] = 255
    sides = [island.picture.shape[0] for island in islands(cv2, picture)]
    assert len(sides) == 8  # each by its rectangle and by its sides
    assert sides == sorted(sides, reverse=True)
    assert min(sides) > 100
