"""Where the last code was seen: believed for some frames, within the picture, and never a payload."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.scan.cascade import Cascade
from agent.scan.decoders import Look
from agent.scan.places import MOST, Place
from agent.scan.tracking import PATIENCE, Tracker, around
from agent.scan.wire import Variant

SHAPE = (720, 1280)
CORNERS = ((600, 300), (700, 300), (700, 400), (600, 400))


def test_a_place_is_remembered_wider_each_frame_and_then_forgotten():
    tracker = Tracker()
    assert tracker.places([], [], SHAPE) == []
    tracker.see(CORNERS, SHAPE)
    (first,) = tracker.places([], [], SHAPE)
    assert first == Place(585, 285, 715, 415)
    widths = []
    for _ in range(PATIENCE):
        tracker.miss()
        (place,) = tracker.places([], [], SHAPE)
        widths.append(place.right - place.left)
    assert widths == sorted(widths)
    assert widths[0] > 130
    tracker.miss()
    assert tracker.places([], [], SHAPE) == []


def test_this_frames_places_come_first_and_none_is_looked_at_twice():
    tracker = Tracker()
    seen = tracker.see(CORNERS, SHAPE)
    assert seen is not None
    busy = [Place(560, 260, 740, 440), Place(0, 0, 90, 90), Place(900, 0, 999, 90)]
    assert tracker.places([seen], busy, SHAPE) == [seen, *busy[1:]][:MOST]
    tracker.miss()
    assert tracker.places([], busy[:1], SHAPE) == busy[:1], "the busy one holds it"
    assert len(tracker.places([], busy[1:2], SHAPE)) == 2


POINT = st.tuples(st.integers(-9_000, 9_000), st.integers(-9_000, 9_000))


@given(st.tuples(POINT, POINT, POINT, POINT), st.integers(1, 800), st.integers(1, 1300))
def test_any_corners_are_a_place_in_the_picture_or_none(corners, height, width):
    place = around(corners, (height, width))
    if place is not None:
        assert 0 <= place.left < place.right <= width
        assert 0 <= place.top < place.bottom <= height


def test_a_remembered_place_outside_a_smaller_picture_is_none():
    tracker = Tracker()
    tracker.see(CORNERS, SHAPE)
    assert tracker.places([], [], (64, 64)) == []


@pytest.mark.parametrize("known", [False, True])
def test_a_tracked_code_is_read_where_an_unknown_one_is_not(known, monkeypatch, draw):
    """Sooner: it was read, goes too far for the whole picture, and no symbol of it is made out."""
    monkeypatch.setattr("agent.scan.cascade.busy_places", lambda *_: [])
    cascade = Cascade()
    code = "NI1:" + "A1B2C3 $%*" * 30
    near = draw(code, module_px=4, at=(200, 400))
    if known:
        assert cascade.decode(near, turn=1)[0]
    page = near[180:480, 380:680]
    small = cv2.resize(page, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    frame = np.full(SHAPE, 128, dtype=np.uint8)
    frame[270 : 270 + small.shape[0], 460 : 460 + small.shape[1]] = small
    frame = cv2.GaussianBlur(frame, (0, 0), 0.8)
    assert cascade.decoders.look(frame, invert=False).payloads == ()
    monkeypatch.setattr(cascade.decoders, "look", lambda *_, **__: Look((), ()))
    found, variant = cascade.decode(frame, turn=1)
    assert [payload.data for payload in found] == ([code.encode()] if known else [])
    assert variant is (Variant.PLACE if known else Variant.PLAIN)
