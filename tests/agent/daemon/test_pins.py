"""The picture of the pins: right pixels at the right milliseconds."""

from __future__ import annotations

from agent.daemon.pins import tracks
from agent.settings.model import GpioConfig
from hal.simulated.pinboard import Edge
from hal.simulated.timeline import Mark, draw

MS = 1_000_000
BLUE, WHITE = (31, 111, 235), (255, 255, 255)
LEFT, WIDTH = 16 + 118, 900


def at(picture, ms: float, total_ms: float, row: int = 0) -> tuple[int, int, int]:
    y = 76 + 40 * (row + 1) - 8 - 3
    return picture.getpixel((round(LEFT + WIDTH * ms / total_ms), y))


def test_a_pulse_is_drawn_where_it_was():
    edges = [
        Edge(1000 * MS + 100 * MS, 17, True, True),
        Edge(1000 * MS + 300 * MS, 17, False, True),
    ]
    picture = draw(edges, tracks(GpioConfig()), begin_ns=1000 * MS, end_ns=1900 * MS)
    assert [at(picture, ms, 900) == BLUE for ms in (50, 95, 105, 200, 295, 305, 800)] == [
        False, False, True, True, True, False, False,
    ]  # fmt: skip


def test_an_active_low_relay_is_drawn_active_when_low():
    rows = tracks(GpioConfig(relay_active="low"))
    edges = [
        Edge(0, 17, True, True),
        Edge(100 * MS, 17, False, True),
        Edge(200 * MS, 17, True, True),
    ]
    picture = draw(edges, rows, begin_ns=0, end_ns=400 * MS)
    assert [at(picture, ms, 400) == BLUE for ms in (50, 150, 250)] == [False, True, False]


def test_levels_from_before_the_picture_reach_into_it():
    picture = draw(
        [Edge(0, 17, True, True)], tracks(GpioConfig()), begin_ns=500 * MS, end_ns=900 * MS
    )
    assert at(picture, 10, 400) == BLUE
    assert at(picture, 390, 400) == BLUE


def test_lines_that_never_moved_are_left_out_but_the_relay_is_always_there():
    rows = tracks(GpioConfig(passage_2=26))
    assert draw([], rows, begin_ns=0, end_ns=MS).height == 76 + 40 + 44
    lit = [Edge(0, 27, True, True)]
    assert draw(lit, rows, begin_ns=0, end_ns=10 * MS).height == 76 + 80 + 44


def test_marks_and_titles_are_drawn():
    plain = draw([], tracks(GpioConfig()), begin_ns=0, end_ns=100 * MS)
    marks = [Mark(n * MS, f"mark {n}") for n in (1, 2, 3, 99, 1000)]
    marked = draw([], tracks(GpioConfig()), begin_ns=0, end_ns=100 * MS, title="t", marks=marks)
    assert plain.size == marked.size
    assert plain.tobytes() != marked.tobytes()
