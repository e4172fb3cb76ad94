"""The gatekeepers that daemons started: found by their command lines, and ended."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path


def pids(folder: Path) -> list[int]:
    """Return the gatekeepers whose state lies in a folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = entry.read_bytes().split(b"\0")
        except OSError:  # it ended meanwhile
            continue
        if b"--state" not in words:
            continue
        state = words[words.index(b"--state") + 1].decode()
        if Path(state).is_relative_to(folder):
            found.append(int(entry.parent.name))
    return found


def end(folder: Path, number: int = signal.SIGKILL) -> None:
    """End them, and wait until they are gone."""
    found = pids(folder)
    for pid in found:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue
    until = time.monotonic() + 10
    while pids(folder):
        assert time.monotonic() < until, f"gatekeepers {found} do not end"
        time.sleep(0.01)
