"""The drill that no daemon survives: it is killed in the middle of a fire alarm."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from agent.daemon.gatekeeper import make_gate_safe
from agent.demo.stage import StageError
from agent.settings.load import load
from hal.simulated.pinboard import PinBoard

__all__ = ["killed_in_an_alarm"]

START_S = 30.0
OPEN_S = 2.0
SETTINGS = """
state_dir = "state"

[gate]
site = "demo"
gate = "alarm"

[[camera]]
driver = "simulated"

[gpio]
driver = "simulated"

[simulation]
pins_file = "pins"

[trust]
directory = "../trust"
"""


def killed_in_an_alarm(directory: Path) -> list[str]:
    """Raise a fire alarm at a gate of its own, kill its daemon, and see what the gate does.

    Args:
        directory: the demo's; a trust directory lies in it.

    Returns:
        what was seen, a line each.

    Raises:
        StageError: the gate did not do what it must.
    """
    folder = directory / "alarm"
    folder.mkdir()
    settings = folder / "config.toml"
    settings.write_text(SETTINGS, encoding="utf-8")
    pins = load(settings).gpio
    assert pins.fire is not None
    assert pins.tamper is not None
    assert pins.ready is not None
    with PinBoard(folder / "pins") as board, _daemon(settings) as daemon:
        fire, relay, ready = pins.fire, pins.relay, pins.ready
        for loop in (fire, pins.tamper):
            board.drive(loop, level=False)
        _until(lambda: board.level(ready), "ready", START_S)
        board.drive(fire, level=True)
        opened_ms = _until(lambda: board.level(relay), "relay on", OPEN_S)
        notes = [f"fire alarm: relay on after {opened_ms:.0f} ms"]
        daemon.kill()
        daemon.wait()
        time.sleep(1.0)
        if not board.level(relay):
            raise StageError("alarm: the relay fell with the daemon")
        notes.append("the process that decides is killed (SIGKILL): the gate stays open")
        board.drive(fire, level=False)
        closed_ms = _until(lambda: not board.level(relay), "relay off", OPEN_S)
        notes.append(f"alarm over: relay off after {closed_ms:.0f} ms, though nobody decides")
        board.drive(fire, level=True)
        opened_ms = _until(lambda: board.level(relay), "relay on again", OPEN_S)
        notes.append(f"another alarm, nobody decides: relay on after {opened_ms:.0f} ms")
        board.drive(fire, level=False)
        _until(lambda: not board.level(relay), "relay off again", OPEN_S)
    return notes


@contextmanager
def _daemon(settings: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a gate's daemon as an operator would, and end what is left of it."""
    with settings.with_name("log").open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 - our own command
            [sys.executable, "-m", "agent.cli", "run", "--config", str(settings)],
            stderr=log,
            env={name: value for name, value in os.environ.items() if name != "NOTIFY_SOCKET"},
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        make_gate_safe(settings)


def _until(condition: Callable[[], bool], what: str, limit_s: float) -> float:
    """Wait; return the milliseconds that it took."""
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > limit_s:
            raise StageError(f"alarm: not {what} within {limit_s:g} s")
        time.sleep(0.001)
    return (time.monotonic() - began) * 1e3
