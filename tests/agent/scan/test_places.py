"""Where a code may be: found at any size that can be read, and not in what is no code."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from agent.scan.places import MOST, Place, busy_places
from hal.simulated.scene import Phone, Scene

TEXT = "NI1:" + "6BFOXN%TS$" * 50


def grey(scene: Scene) -> np.ndarray:
    return cv2.cvtColor(scene.render(0), cv2.COLOR_RGB2GRAY)


@pytest.mark.parametrize("module_px", [1.5, 2.0, 3.0, 5.0])
@pytest.mark.parametrize("at", [(0.3, 0.4), (0.7, 0.6)])
def test_a_code_is_a_place_from_the_first_that_may_be_read(module_px, at):
    scene = Scene(seed=4, noise=3)
    scene.show(Phone(TEXT, x=at[0], y=at[1], roll=12).at_module_px(module_px))
    places = busy_places(cv2, grey(scene))
    code = (at[0] * 1280, at[1] * 720)
    holding = [p for p in places if p.left < code[0] < p.right and p.top < code[1] < p.bottom]
    assert len(holding) == 1
    side = 73 * module_px
    assert holding[0].area < 4 * (side + 2 * 40) ** 2


@pytest.mark.parametrize("noise", [0, 3, 6, 20])
def test_a_hall_and_its_grain_are_none(noise):
    assert busy_places(cv2, grey(Scene(seed=9, noise=noise))) == []


@pytest.mark.parametrize("axis", [0, 1])
def test_stripes_are_none(axis):
    stripes = np.where(np.arange(720) % 8 < 4, 40, 220).astype(np.uint8)
    picture = np.repeat(stripes[:, None], 720, axis=1)
    picture[:, :300] = picture[:, 420:] = 128
    assert busy_places(cv2, picture if axis else picture.T.copy()) == []


def test_two_at_most_the_busiest_first(draw):
    frame = np.full((720, 1280), 128, dtype=np.uint8)
    for number, left in enumerate((40, 460, 880)):
        draw(TEXT, module_px=4, at=(150, left), onto=frame)
        part = frame[150:500, left : left + 360]
        part[:] = 128 + (part.astype(int) - 128) * (number + 1) // 3
    places = busy_places(cv2, frame)
    assert len(places) == MOST
    assert places[0].left > 800
    assert 400 < places[1].left < 800


@pytest.mark.parametrize("shape", [(1, 1), (63, 500), (500, 63), (64, 64), (65, 97)])
def test_pictures_of_any_size(shape):
    picture = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    for place in busy_places(cv2, picture):
        assert 0 <= place.left < place.right <= shape[1]
        assert 0 <= place.top < place.bottom <= shape[0]


def test_a_place_holds_what_has_its_middle_in_it():
    assert Place(0, 0, 100, 100).holds(Place(50, 50, 140, 140))
    assert not Place(0, 0, 100, 100).holds(Place(90, 90, 140, 140))
