"""Messages between the two processes: what is packed is unpacked, and nothing else is a message."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.gatekeeper import wire
from agent.gatekeeper.wire import EVENT_NAMES, EVENTS, OPS, Event, Report, Request, WireError
from agent.gatekeeper.words import DIRECTIONS, INPUTS, KINDS, MODES, SIGNALS, Direction

BYTE, WORD, LONG = st.integers(0, 255), st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1)


@given(st.builds(Request, st.sampled_from(OPS), BYTE, WORD, LONG, LONG))
def test_a_request_comes_back(request_):
    message = request_.pack()
    assert len(message) == wire.REQUEST_SIZE == 24
    assert Request.unpack(message) == request_


@given(
    st.builds(
        Report, BYTE, BYTE, BYTE, BYTE, WORD, LONG, LONG,
        st.text(st.characters(min_codepoint=1, max_codepoint=127), max_size=96),
    )
)  # fmt: skip
def test_a_report_comes_back(report):
    message = report.pack()
    assert len(message) == wire.REPORT_SIZE == 120
    assert Report.unpack(message) == report


def test_numbers_stay_where_they_are():
    """Two versions meet where a gatekeeper was not restarted after an update."""
    assert wire.PROTOCOL == 1
    assert Request("open", 1, 5_000, 7, 9).pack() == struct.pack("<BBHIQQ", 2, 1, 0, 5_000, 7, 9)
    assert Report(3, 1, 2, 3, 4, 5, 6, "x").pack() == struct.pack(
        "<BBBBIQQ96s", 3, 1, 2, 3, 4, 5, 6, b"x"
    )
    assert OPS == (
        "hello", "beat", "open", "close", "hold", "signal", "ready", "card", "mode", "map", "bye",
    )  # fmt: skip
    assert EVENT_NAMES == (
        "fire", "tamper", "door", "release", "key", "lane", "passed", "reversed", "fault",
    )  # fmt: skip
    assert (EVENTS, wire.WELCOME, wire.BUSY, wire.STATUS, wire.TAKEN) == (0, 1, 2, 3, 4)
    assert MODES == ("normal", "free", "locked", "maintenance", "fire")
    assert DIRECTIONS == ("in", "out")
    assert SIGNALS == (
        "ready", "prompt_face", "prompt_finger", "turn_left", "turn_right", "granted", "denied",
        "alarm", "free", "locked", "maintenance", "fire",
    )  # fmt: skip
    assert INPUTS == ("fire", "tamper", "door", "release", "key", "passage", "passage_2")
    assert KINDS == ("stuck", "silent", "chatter")


def test_times_that_both_sides_rely_on():
    assert (wire.BEAT_S, wire.SILENCE_S, wire.LOST_S, wire.STALE_S) == (0.1, 0.4, 2.0, 0.4)


@pytest.mark.parametrize(
    ("direction", "opposite"), [(Direction.IN, Direction.OUT), (Direction.OUT, Direction.IN)]
)
def test_a_way_has_another(direction, opposite):
    assert direction.opposite is opposite


@pytest.mark.parametrize(
    "message",
    [
        b"",
        Request("beat").pack()[:-1],
        Request("beat").pack() + b"\0",
        bytes([len(OPS)]) + Request("beat").pack()[1:],
        b"\xff" + Request("beat").pack()[1:],
        struct.pack("<BBHIQQ", 1, 0, 1, 0, 0, 0),
        struct.pack("<BBHIQQ", 1, 0, 1 << 15, 0, 0, 0),
    ],
)
def test_what_is_no_request(message):
    with pytest.raises(WireError, match=r"^not a request$"):
        Request.unpack(message)


@pytest.mark.parametrize("message", [b"", bytes(119), bytes(121)])
def test_what_is_no_report(message):
    with pytest.raises(WireError, match=r"^not a report$"):
        Report.unpack(message)


@pytest.mark.parametrize(
    ("text", "said"),
    [("pin 17 ä", "pin 17 ?"), ("x" * 97, "x" * 96), ("a\0b\0", "a\0b"), ("X", "X")],
)
def test_what_a_device_said_is_cut_to_its_place(text, said):
    assert Report.unpack(Report(wire.TAKEN, text=text).pack()).text == said


def test_a_text_that_is_none_is_shown_as_far_as_it_is_one():
    message = Report(wire.TAKEN, text="abc").pack().replace(b"abc", b"a\xffc")
    assert Report.unpack(message).text == "a�c"


@given(
    st.builds(
        Event, st.sampled_from(EVENT_NAMES), st.booleans(), st.integers(0, 15), st.integers(0, 15)
    )
)
def test_an_event_comes_back(event):
    report = Report.of(event, 42)
    assert (report.kind, report.session) == (EVENTS, 42)
    assert Report.unpack(report.pack()).event() == event


def test_how_an_event_is_told():
    report = Report.of(Event("fault", on=False, which=5, kind=2), 7)
    assert report == Report(EVENTS, 8, False, 0x25, session=7)


@pytest.mark.parametrize(
    "report",
    [Report(wire.STATUS), Report(wire.BUSY), Report(EVENTS, len(EVENT_NAMES)), Report(EVENTS, 255)],
)
def test_what_is_no_event(report):
    with pytest.raises(WireError, match=r"^not an event$"):
        report.event()
