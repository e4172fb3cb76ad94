"""The report of a run on the emulated Raspberry Pi: tables, and the pins over time as a picture."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from tests.pi import premises
from tests.pi.pins import Change, Drive
from tests.pi.story import Check

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
NAMES = {
    premises.RELAY: "relay", premises.GREEN: "green", premises.RED: "red", premises.BUZZER: "buzzer",
    premises.READY: "ready",
}  # fmt: skip
_COLOURS = {
    premises.RELAY: "#1f77b4", premises.GREEN: "#2ca02c", premises.RED: "#d62728", premises.BUZZER: "#9467bd",
    premises.READY: "#ff7f0e",
}  # fmt: skip


def spans(
    changes: Sequence[Change], pin: int, drive: Drive, end: float
) -> list[tuple[float, float]]:
    """Return when a pin did something: (from, until), monotonic seconds."""
    own = [change for change in changes if change.pin == pin]
    ends = [change.at for change in own[1:]] + [end]
    return [
        (change.at, until)
        for change, until in zip(own, ends, strict=False)
        if change.drive is drive
    ]


@dataclass(frozen=True, slots=True)
class Watch:
    """How closely the pins were watched.

    Attributes:
        looks: how often all of them were read.
        seconds: how long.
        longest_gap_s: the longest time between two looks.
        gap_at: when that was over, monotonic seconds.
    """

    looks: int
    seconds: float
    longest_gap_s: float
    gap_at: float


class Told(Protocol):
    """What a run has to tell; `tests.pi.story.Story` in a real one."""

    checks: list[Check]
    times: dict[str, float]
    marks: list[tuple[float, str]]


def render(machine: str, told: Told, watch: Watch, image: str) -> str:
    """Return the measured part of the page.

    Args:
        machine: on which QEMU ran, in words.
        told: checks, times by name, and when each chapter began.
        watch: how closely the pins were watched.
        image: path of the picture, as seen from the page.
    """
    good = sum(check.good for check in told.checks)
    begun = [title for at, title in told.marks if at <= watch.gap_at]
    closeness = (
        f"QEMU reports each edge of an output; besides, all pins were read {watch.looks} times in "
        f"{watch.seconds / 60:.1f} minutes, {_seconds(watch.longest_gap_s)} apart at most"
        + (f" (in the chapter *{begun[-1]}*)." if begun else ".")
    )
    lines = [
        f"QEMU on: {machine}. {good} of {len(told.checks)} checks good.",
        "",
        "| chapter | what | seen | |",
        "|---|---|---|---|",
        *(
            f"| {each.chapter} | {each.what} | {_cell(each.seen)} | {'ok' if each.good else '**no**'} |"
            for each in told.checks
        ),
        "",
        "| time | |",
        "|---|---|",
        *(f"| {name} | {_seconds(value)} |" for name, value in told.times.items()),
        "",
        f"![The gate's pins over the run, as seen from outside]({image})",
        "",
        closeness,
        "",
    ]
    return "\n".join(lines)


def put_into(page: Path, text: str) -> None:
    """Write the measured part of the page anew."""
    before, rest = page.read_text("utf-8").split(BEGIN)
    _, after = rest.split(END)
    page.write_text(f"{before}{BEGIN}\n\n{text}\n{END}{after}", encoding="utf-8")


def plot(
    path: Path,
    changes: Sequence[Change],
    marks: Sequence[tuple[float, str]],
    began: float,
    ended: float,
) -> None:
    """Draw what every output did: a bar where it is driven high, a line where it is driven low."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, (whole, close) = plt.subplots(2, 1, figsize=(11, 6.4), height_ratios=(1, 1))
    _draw(whole, changes, marks, began, ended, began)
    whole.set_title("The whole run", loc="left", fontsize=10)
    titles = [title for _, title in marks]
    if "killed" in titles:
        first = titles.index("killed")
        until = marks[first + 2][0] if first + 2 < len(marks) else ended
        _draw(close, changes, marks[first : first + 2], marks[first][0], until, began)
        close.set_title("The daemon killed, then stopped still", loc="left", fontsize=10)
    close.set_xlabel("minutes since the first instruction")
    figure.tight_layout()
    figure.savefig(path, dpi=90, metadata={"Software": ""})
    plt.close(figure)


def _draw(
    axes: Any,
    changes: Sequence[Change],
    marks: Sequence[tuple[float, str]],
    start: float,
    end: float,
    began: float,
) -> None:
    def minutes(parts: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
        return [
            ((max(a, start) - began) / 60, (min(b, end) - max(a, start)) / 60)
            for a, b in parts
            if b > start and a < end
        ]

    for row, pin in enumerate(reversed(NAMES)):
        high, low = (minutes(spans(changes, pin, drive, end)) for drive in (Drive.HIGH, Drive.LOW))
        axes.broken_barh(low, (row - 0.02, 0.04), color=_COLOURS[pin])
        axes.broken_barh(high, (row - 0.35, 0.7), color=_COLOURS[pin])
    axes.set_yticks(range(len(NAMES)), [f"{NAMES[pin]} (GPIO{pin})" for pin in reversed(NAMES)])
    axes.set_xlim((start - began) / 60, (end - began) / 60)
    axes.set_ylim(-0.6, len(NAMES) + 1.3)
    free = start  # where the next name fits: those of short chapters would lie on each other
    for at, title in marks:
        axes.axvline((at - began) / 60, color="0.8", zorder=0)
        free = max(at, free)
        axes.text((free - began) / 60, len(NAMES) + 1.2, title, rotation=90, va="top", fontsize=7)
        free += (end - start) * 0.015
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _seconds(value: float) -> str:
    if value < 1.0:
        return f"{value * 1e3:.3g} ms"
    return f"{value:.3g} s" if value < 100 else f"{value:.0f} s"
