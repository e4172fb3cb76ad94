"""A picture of a gate's pins over time, for people: one track a line, milliseconds below.

The edges come from a simulated gate's record. A track is high where the line is active, whatever
its polarity; what a passage meant (decision, passage) can be written above as marks.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hal.simulated.pinboard import Edge

if TYPE_CHECKING:
    from PIL import Image, ImageDraw, ImageFont

__all__ = ["Mark", "Track", "draw"]

_LABEL_W, _PLOT_W, _ROW_H, _TOP_H, _FOOT_H, _PAD = 118, 900, 40, 76, 44, 16
_INK, _GRID, _PAPER, _FAINT = (32, 36, 44), (222, 226, 232), (255, 255, 255), (120, 128, 140)
_STEPS_MS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000, 60000, 300000)


@dataclass(frozen=True, slots=True)
class Track:
    """One line of the picture.

    Attributes:
        name: written at the left.
        pin: BCM number.
        active: the level that counts as active.
        colour: RGB of the active stretches.
    """

    name: str
    pin: int
    active: bool
    colour: tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Mark:
    """A moment with a word: a decision, a passage."""

    at_ns: int
    text: str


def draw(
    edges: Sequence[Edge],
    rows: Sequence[Track],
    *,
    begin_ns: int,
    end_ns: int,
    title: str = "",
    marks: Iterable[Mark] = (),
) -> Image.Image:
    """Return the picture of a stretch of time.

    Args:
        edges: recorded edges in order of time; those before `begin_ns` give the first levels.
        rows: tracks from top to bottom; one that never was active is left out.
        begin_ns: left end, monotonic nanoseconds; it becomes 0 ms.
        end_ns: right end.
        title: written at the top.
        marks: moments to write above the tracks.
    """
    from PIL import Image, ImageDraw

    end_ns = max(end_ns, begin_ns + 1_000_000)
    shown = [
        (row, spans)
        for row in rows
        if (spans := _spans(edges, row, begin_ns, end_ns)) or row.name == "relay"
    ]
    height = _TOP_H + _ROW_H * len(shown) + _FOOT_H
    image = Image.new("RGB", (_PAD + _LABEL_W + _PLOT_W + 2 * _PAD, height), _PAPER)
    pen = ImageDraw.Draw(image)
    left = _PAD + _LABEL_W
    scale = _PLOT_W / (end_ns - begin_ns)
    bottom = height - _FOOT_H
    pen.text((_PAD, 10), title, fill=_INK, font=_font(18))
    _axis(pen, left, bottom, (end_ns - begin_ns) / 1e6)
    _marks(pen, marks, (left, bottom), begin_ns=begin_ns, end_ns=end_ns)
    for index, (row, spans) in enumerate(shown):
        base = _TOP_H + _ROW_H * (index + 1) - 8
        pen.text((_PAD, base - 20), row.name, fill=_INK, font=_font(15))
        pen.line((left, base, left + _PLOT_W, base), fill=_FAINT)
        for start, stop in spans:
            x0, x1 = left + (start - begin_ns) * scale, left + (stop - begin_ns) * scale
            box = (x0, base - 22, max(x1, x0 + 1), base)
            pen.rectangle(box, fill=row.colour)
            if begin_ns < start and stop < end_ns:
                _width(pen, box, (stop - start) / 1e6)
    return image


def _spans(edges: Sequence[Edge], row: Track, begin_ns: int, end_ns: int) -> list[tuple[int, int]]:
    """Return the active stretches of a line, cut to the picture."""
    spans: list[tuple[int, int]] = []
    active, since = False, begin_ns
    for edge in edges:
        if edge.pin != row.pin or edge.at_ns > end_ns:
            continue
        now_active = edge.level == row.active
        at = max(edge.at_ns, begin_ns)
        if active and not now_active and at > since:
            spans.append((since, at))
        if now_active and not active:
            since = at
        active = now_active
    if active and since < end_ns:
        spans.append((since, end_ns))
    return spans


def _axis(pen: ImageDraw.ImageDraw, left: int, bottom: int, total_ms: float) -> None:
    """Draw a grid with milliseconds at round numbers."""
    step = next((ms for ms in _STEPS_MS if total_ms / ms <= 12), _STEPS_MS[-1])
    count = int(total_ms // step)
    for index in range(count + 1):
        x = left + _PLOT_W * index * step / total_ms
        pen.line((x, _TOP_H, x, bottom), fill=_GRID)
        pen.text((x, bottom + 6), f"{index * step:,}", fill=_FAINT, font=_font(13), anchor="ma")
    pen.text(
        (left + _PLOT_W, bottom + 24), "milliseconds", fill=_FAINT, font=_font(13), anchor="ra"
    )


def _width(
    pen: ImageDraw.ImageDraw, box: tuple[float, float, float, float], length_ms: float
) -> None:
    """Write how long a stretch lasted, where there is room."""
    text = f"{length_ms:,.0f} ms"
    font = _font(12)
    if pen.textlength(text, font=font) + 8 < box[2] - box[0]:
        middle = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
        pen.text(middle, text, fill=_PAPER, font=font, anchor="mm")


def _marks(
    pen: ImageDraw.ImageDraw,
    marks: Iterable[Mark],
    corner: tuple[int, int],
    *,
    begin_ns: int,
    end_ns: int,
) -> None:
    """Write the marks above the tracks, on two levels so that neighbours do not collide."""
    left, bottom = corner
    ends = [float(left), float(left)]
    font = _font(13)
    for mark in sorted(marks, key=lambda mark: mark.at_ns):
        if not begin_ns <= mark.at_ns <= end_ns:
            continue
        x = left + _PLOT_W * (mark.at_ns - begin_ns) / (end_ns - begin_ns)
        pen.line((x, _TOP_H - 4, x, bottom), fill=_INK)
        level = 0 if x + 3 >= ends[0] else 1
        right = x + pen.textlength(mark.text, font=font) + 10
        ends[level] = right
        anchor, at = ("la", x + 3) if right <= left + _PLOT_W + _PAD else ("ra", x - 3)
        pen.text((at, _TOP_H - 22 - 17 * level), mark.text, fill=_INK, font=font, anchor=anchor)


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    from PIL import ImageFont

    return ImageFont.load_default(size)
