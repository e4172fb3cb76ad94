"""Kills an update at one point after another and looks at what is left; run as a script.

    kill_points.py SOURCE CACHE WORK TRIALS

The child is a real process that ends by SIGKILL: first before every single operation on the file
system that an update makes (an audit hook counts them), then at random moments. After each kill the
cache must load as the old set or the new one, whole; every few kills a second update, not killed,
must arrive at the new one. Prints a JSON summary.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path

import agent.trust.fetch
import agent.trust.publish  # noqa: F401
from agent.trust.cache import load_signed
from agent.trust.model import TrustError
from agent.trust.update import update

EVENTS = frozenset(
    {
        "open",
        "os.rename",
        "os.remove",
        "os.rmdir",
        "os.mkdir",
        "os.link",
        "os.symlink",
        "shutil.rmtree",
    }
)
RECOVER_EVERY = 5


def child(cache: Path, source: str, kill_at: int, counter: int | None) -> None:
    """Update; die before the kill_at-th operation, or report how many there were."""
    seen = 0

    def hook(event: str, _arguments: object) -> None:
        nonlocal seen
        if event in EVENTS:
            seen += 1
            if seen == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
    update(cache, source, now=int(time.time()))
    if counter is not None:
        os.write(counter, str(seen).encode())
    os._exit(0)


def trial(
    work: Path, source: str, cache: Path, *, kill_at: int = 0, after_s: float | None = None
) -> Path:
    victim = work / "victim"
    shutil.rmtree(victim, ignore_errors=True)
    shutil.copytree(cache, victim, symlinks=True)
    pid = os.fork()
    if pid == 0:
        child(victim, source, kill_at, None)
    if after_s is not None:
        time.sleep(after_s)
        os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return victim


def main() -> None:
    source, cache, work, trials = (
        sys.argv[1],
        Path(sys.argv[2]),
        Path(sys.argv[3]),
        int(sys.argv[4]),
    )
    reading, writing = os.pipe()
    shutil.copytree(cache, work / "victim", symlinks=True)
    began = time.monotonic()
    pid = os.fork()
    if pid == 0:
        child(work / "victim", source, 0, writing)
    os.waitpid(pid, 0)
    took_s = time.monotonic() - began
    points = int(os.read(reading, 16))
    summary = {"points": points, "old": 0, "new": 0, "broken": [], "stuck": []}
    dice = random.Random(7)
    steps = list(range(1, points + 1))
    if trials < points:
        steps = sorted(dice.sample(steps, trials))
    plan: list[dict[str, float]] = [{"kill_at": step} for step in steps]
    plan += [{"after_s": dice.uniform(0, took_s)} for _ in range(trials - len(plan))]
    for number, step in enumerate(plan):
        victim = trial(work, source, cache, **step)  # type: ignore[arg-type]
        try:
            version = load_signed(victim, int(time.time())).version
            summary["old" if version == 1 else "new"] += 1  # type: ignore[operator]
        except TrustError as error:
            summary["broken"].append(f"{step}: {error}")  # type: ignore[attr-defined]
        if number % RECOVER_EVERY == 0:
            update(victim, source, now=int(time.time()))
            if load_signed(victim, int(time.time())).version != 2:
                summary["stuck"].append(str(step))  # type: ignore[attr-defined]
    print(json.dumps(summary))


if __name__ == "__main__":
    main()
