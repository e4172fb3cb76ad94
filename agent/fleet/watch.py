"""The terminal dashboard: one line a gate, the worst first, in whatever width there is.

Rules:
- A line a gate: what does not fit is shortened, and columns that do not fit are left out, the least
  telling first. A state is a word; colours only repeat it.
- Names and words come from the network: what a terminal would not print as it is becomes a `?`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
from rich.cells import cell_len, set_cell_size
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from agent.fleet.live import FleetView, GateView, Viewer
from agent.report.link import LinkSettings
from agent.report.topics import GateAddress

__all__ = ["columns", "dashboard", "shortened", "snapshot", "watch"]

_SETTLE_S = 2.0
_SHOWN = 200
_NARROW = 40
"""Columns of a terminal below which lines are cut."""
_GATE_LEAST, _PROBLEMS_LEAST, _STATUS = 15, 18, 8
_MORE: Final = (("mode", 11), ("wait", 6), ("last", 12), ("/min", 5), ("trust", 5), ("ms", 5))
"""Further columns by how telling they are, with their widths."""
_RIGHT = frozenset({"wait", "/min", "trust", "ms"})
_ORDER = ("gate", "status", "mode", "problems", "last", "/min", "wait", "trust", "ms")


@dataclass(frozen=True, slots=True)
class _Cell:
    text: str
    style: str = ""


def columns(width: int, longest_name: int) -> dict[str, int]:
    """Return the columns that a terminal has room for, in order, with their widths.

    Args:
        width: of the terminal.
        longest_name: of the gates.
    """
    width = max(width, _NARROW)
    gate = max(4, min(longest_name, max(_GATE_LEAST, width // 4)))
    found = {"gate": gate, "status": _STATUS, "problems": _PROBLEMS_LEAST}
    for name, size in _MORE:
        if sum(found.values()) + len(found) + size <= width:
            found[name] = size
    found["problems"] += width - sum(found.values()) - (len(found) - 1)
    return {name: found[name] for name in _ORDER if name in found}


def dashboard(
    view: FleetView, *, now: float, connected: bool, width: int = 80, shown: int = _SHOWN
) -> Group:
    """Return the dashboard, no line of which is wider than `width`.

    Args:
        view: the fleet.
        now: Unix seconds.
        connected: whether the broker is there.
        width: of the terminal.
        shown: lines of gates at most.
    """
    gates = view.ordered()
    sizes = columns(
        width, max((cell_len(_printable(gate.address.name)) for gate in gates), default=0)
    )
    lines = [_title(gates, connected=connected)]
    lines.append(_line({name: _Cell(name, "bold") for name in sizes}, sizes))
    lines += [_line(_cells(gate, now, sizes["problems"]), sizes) for gate in gates[:shown]]
    if len(gates) > shown:
        lines.append(Text(f"{len(gates) - shown} more"))
    for line in lines:
        line.truncate(width)
    return Group(*lines)


def _title(gates: Sequence[GateView], *, connected: bool) -> Text:
    online = sum(gate.status == "online" for gate in gates)
    broken = sum(bool(gate.problems()) for gate in gates)
    absent = sum(gate.status == "absent" for gate in gates)
    words = f"{len(gates)} gates, {online} online, {broken} with problems"
    words += f", {absent} never came" if absent else ""
    return Text(("" if connected else "NO BROKER - ") + words, style="bold", no_wrap=True)


def _line(cells: dict[str, _Cell], sizes: dict[str, int]) -> Text:
    line = Text(no_wrap=True)
    for number, (name, size) in enumerate(sizes.items()):
        cell = cells[name]
        text = shortened(cell.text, size, keep_end=name == "gate")
        space = " " * (size - cell_len(text))
        line.append(" " if number else "")
        line.append(space + text if name in _RIGHT else text + space, style=cell.style)
    line.rstrip()
    return line


def shortened(text: str, size: int, *, keep_end: bool = False) -> str:
    """Return a text in so many columns at most; two dots stand for what is left out.

    Args:
        text: anything.
        size: columns.
        keep_end: leave out the beginning: names of gates differ at their end.
    """
    text = _printable(text)
    if cell_len(text) <= size:
        return text
    if not keep_end:
        return set_cell_size(text, size - 2).rstrip() + ".."
    while cell_len(text) > size - 2:
        text = text[1:]
    return ".." + text


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in text)


def _cells(gate: GateView, now: float, room: int) -> dict[str, _Cell]:
    state = gate.state
    trust = None if state is None else state.gate.trust_age_s
    latency = None if state is None else state.gate.latency_ms
    problems = gate.problems()
    return {
        "gate": _Cell(gate.address.name),
        "status": _Cell(gate.status, "green" if gate.status == "online" else "red"),
        "mode": _Cell("" if state is None else state.gate.mode),
        "problems": _Cell(_listed(problems, gate.status, room), "red" if problems else ""),
        "last": _Cell(_last(gate, now)),
        "/min": _Cell(f"{gate.rate(now) * 60:.0f}"),
        "wait": _Cell("" if state is None else f"{state.outbox.unacknowledged}"),
        "trust": _Cell("" if trust is None else _age(trust)),
        "ms": _Cell("" if latency is None else f"{latency:.0f}"),
    }


def _listed(problems: Sequence[str], status: str, room: int) -> str:
    """Return as many problems as there is room for; the status has a column of its own."""
    words = [word for word in problems if word != status]
    for count in range(len(words), 0, -1):
        left = len(words) - count
        text = ", ".join(words[:count]) + (f", +{left}" if left else "")
        if cell_len(text) <= room:
            return text
    return f"+{len(words)} {words[0]}" if words else ""


def _last(gate: GateView, now: float) -> str:
    if not gate.last_at:
        return ""
    age = _age(now - gate.last_at)
    return f"{shortened(gate.last_reason, 11 - len(age))} {age}"


def _age(seconds: float) -> str:
    """Return a short age: 12s, 5m, 3h, 2d."""
    for limit, unit, name in ((120, 1, "s"), (7_200, 60, "m"), (172_800, 3_600, "h")):
        if seconds < limit:
            return f"{seconds / unit:.0f}{name}"
    return f"{seconds / 86_400:.0f}d"


def snapshot(
    settings: LinkSettings, expected: Collection[GateAddress] | None = None
) -> list[str] | None:
    """Return each gate as a JSON object, the worst first; None where the broker is not there."""
    view = FleetView(expected=expected)
    viewer = Viewer(settings, view)
    try:
        end = time.monotonic() + _SETTLE_S
        while time.monotonic() < end:
            viewer.step(0.1)
        return [_as_json(gate) for gate in view.ordered()] if viewer.connected else None
    finally:
        viewer.close()


def _as_json(gate: GateView) -> str:
    found = {
        "site": gate.address.site,
        "gate": gate.address.gate,
        "status": gate.status,
        "problems": gate.problems(),
        "info": gate.info,
        "state": gate.state,
    }
    return msgspec.json.encode(found).decode()


def watch(
    settings: LinkSettings,
    *,
    stop: Callable[[], bool],
    once: bool = False,
    expected: Collection[GateAddress] | None = None,
) -> bool:
    """Show the fleet until told to stop, or once, after the retained messages came.

    Returns:
        Whether the broker was there at the end.
    """
    view = FleetView(expected=expected)
    viewer = Viewer(settings, view)
    console = Console(highlight=False)

    def drawn(shown: int = _SHOWN) -> Group:
        return dashboard(
            view, now=time.time(), connected=viewer.connected, width=console.width, shown=shown
        )

    try:
        if once:
            end = time.monotonic() + _SETTLE_S
            while time.monotonic() < end and not stop():
                viewer.step(0.1)
            console.print(drawn(), soft_wrap=True)
            return viewer.connected
        with Live(console=console, auto_refresh=False, screen=console.is_terminal) as live:
            drawn_at = 0.0
            while not stop():
                viewer.step(0.1)
                if time.monotonic() - drawn_at >= 0.5:
                    drawn_at = time.monotonic()
                    # A screen has a title, a head, and a line for how many more there are.
                    fits = console.height - 3 if console.is_terminal else _SHOWN
                    live.update(drawn(max(1, fits)), refresh=True)
        return viewer.connected
    finally:
        viewer.close()
