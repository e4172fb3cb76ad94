"""The terminal dashboard: one line a gate, problems first."""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec
from rich import box
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from agent.fleet.live import FleetView, GateView, Viewer
from agent.report.link import LinkSettings

__all__ = ["snapshot", "table", "watch"]

_SETTLE_S = 2.0
_SHOWN = 200


def table(view: FleetView, *, now: float, connected: bool) -> Table:
    """Return the dashboard as a table.

    Args:
        view: the fleet.
        now: Unix seconds.
        connected: whether the broker is there.
    """
    gates = view.ordered()
    online = sum(gate.status == "online" for gate in gates)
    broken = sum(bool(gate.problems()) for gate in gates)
    found = Table(
        title=f"{len(gates)} gates, {online} online, {broken} with problems"
        + ("" if connected else " - NO BROKER"),
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    for name in ("gate", "status", "mode"):
        found.add_column(name, no_wrap=True)
    found.add_column("problems", overflow="fold", min_width=16)
    found.add_column("last", no_wrap=True)
    for name in ("/min", "outbox", "trust", "ms"):
        found.add_column(name, justify="right", no_wrap=True)
    for gate in gates[:_SHOWN]:
        found.add_row(*_cells(gate, now))
    if len(gates) > _SHOWN:
        found.caption = f"{len(gates) - _SHOWN} more"
    return found


def _cells(gate: GateView, now: float) -> list[Text | str]:
    state = gate.state
    problems = gate.problems()
    trust = None if state is None else state.gate.trust_age_s
    latency = None if state is None else state.gate.latency_ms
    return [
        Text(gate.address.name),
        Text(gate.status, style="green" if gate.status == "online" else "red"),
        Text("" if state is None else state.gate.mode),
        Text(", ".join(problems), style="red" if problems else ""),
        Text(f"{gate.last_reason} {_age(now - gate.last_at)}" if gate.last_at else ""),
        f"{gate.rate(now) * 60:.0f}",
        "" if state is None else str(state.outbox.unacknowledged),
        "" if trust is None else _age(trust),
        "" if latency is None else f"{latency:.0f}",
    ]


def _age(seconds: float) -> str:
    """Return a short age: 12s, 5m, 3h, 2d."""
    for limit, unit, name in ((120, 1, "s"), (7_200, 60, "m"), (172_800, 3_600, "h")):
        if seconds < limit:
            return f"{seconds / unit:.0f}{name}"
    return f"{seconds / 86_400:.0f}d"


def snapshot(settings: LinkSettings) -> list[str] | None:
    """Return each gate as a JSON object, problems first; None where the broker is not there."""
    view = FleetView()
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


def watch(settings: LinkSettings, *, stop: Callable[[], bool], once: bool = False) -> bool:
    """Show the fleet until told to stop, or once, after the retained messages came.

    Returns:
        Whether the broker was there at the end.
    """
    view = FleetView()
    viewer = Viewer(settings, view)
    console = Console()
    try:
        if once:
            end = time.monotonic() + _SETTLE_S
            while time.monotonic() < end and not stop():
                viewer.step(0.1)
            console.print(table(view, now=time.time(), connected=viewer.connected))
            return viewer.connected
        with Live(console=console, refresh_per_second=4, screen=console.is_terminal) as live:
            drawn_at = 0.0
            while not stop():
                viewer.step(0.1)
                if time.monotonic() - drawn_at >= 0.5:
                    drawn_at = time.monotonic()
                    live.update(table(view, now=time.time(), connected=viewer.connected))
        return viewer.connected
    finally:
        viewer.close()
