"""Fire to relay, while the deciding process is whatever it can be; and what the gatekeeper weighs.

Real processes: gatekeepers as their unit starts them, daemons with the simulated camera, two more
processes that keep every core busy. A trial opens the fire loop and reads from the pins file's own
record how long after it the relay went on. Several gates are tried side by side, since each loop
must be whole for a second before the next trial. Run as a script: `--trials 1000`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from hal.simulated.pinboard import Function, PinBoard
from tests.bench.bench_daemon import prepare
from tests.support.paths import ROOT

pytestmark = pytest.mark.bench

RELAY, FIRE, TAMPER, PASSAGE = 17, 6, 13, 5
LIMIT_MS = 20.0
RSS_LIMIT_MIB = 20.0
READY_LIMIT_MS = 300.0
GATES = 5
CLEAR_S = 1.15
HUNG_S = 3_600

DECIDER = """
import ctypes, signal, sys, threading
def hang(*_):
    # In C with the interpreter's lock held, as a decoder that never comes back.
    threading.Thread(target=lambda: ctypes.PyDLL(None).sleep({hung}), daemon=True).start()
signal.signal(signal.SIGUSR1, hang)
from agent.cli import main
sys.exit(main(["run", "--config", sys.argv[1]]))
"""


@dataclass
class Place:
    """One gate: its gatekeeper as a unit would run it, its daemon, its pins."""

    folder: Path
    config: Path
    keeper: subprocess.Popen[bytes]
    board: PinBoard
    decider: subprocess.Popen[bytes] | None = None
    ready_ms: float = 0.0
    late_ms: list[float] = field(default_factory=list)

    def decide(self) -> None:
        """Start the daemon, and wait until it decides."""
        log = self.folder / "log"
        with log.open("wb") as file:
            self.decider = subprocess.Popen(
                [sys.executable, "-c", DECIDER.format(hung=HUNG_S), str(self.config)],
                stderr=file, env=environment(),
            )  # fmt: skip
        end = time.monotonic() + 60
        while b'"ready"' not in log.read_bytes():
            assert self.decider.poll() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.05)

    def end(self) -> None:
        """End the daemon, whatever state it is in."""
        if self.decider is not None:
            self.decider.kill()
            self.decider.send_signal(signal.SIGCONT)
            self.decider.wait()
            self.decider = None


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", **more}


@contextlib.contextmanager
def busy() -> Iterator[None]:
    """Keep every core busy."""
    hogs = [
        subprocess.Popen([sys.executable, "-c", "while True: pass"])
        for _ in range(os.cpu_count() or 2)
    ]
    try:
        yield
    finally:
        for hog in hogs:
            hog.kill()
            hog.wait()


def start_keeper(folder: Path) -> tuple[subprocess.Popen[bytes], float]:
    """Start a gatekeeper as its unit does; return it and the milliseconds to its READY=1."""
    name = f"\0idgate-fire-{os.getpid()}-{folder.name}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(name)
        manager.settimeout(20)
        began = time.monotonic()
        keeper = subprocess.Popen(
            [sys.executable, "-m", "agent.gatekeeper", "--state", str(folder / "keeper")],
            env=environment(NOTIFY_SOCKET=f"@{name[1:]}"), stderr=subprocess.DEVNULL,
        )  # fmt: skip
        while manager.recv(256) != b"READY=1":
            continue
        return keeper, (time.monotonic() - began) * 1e3


@contextlib.contextmanager
def place(root: Path, number: int) -> Iterator[Place]:
    folder = root / f"g{number}"
    folder.mkdir()
    config, _, _ = prepare(folder, fps=10, pins="pins")
    text = config.read_text().replace("[gpio]", f'[gpio]\ngatekeeper = "{folder}/keeper/socket"')
    config.write_text(text + '\n[log]\nformat = "json"\n')
    board = PinBoard(folder / "pins")
    for pin in (FIRE, TAMPER):
        board.drive(pin, level=False)
    board.drive(PASSAGE, level=True)
    keeper, ready_ms = start_keeper(folder)
    made = Place(folder, config, keeper, board, ready_ms=ready_ms)
    try:
        yield made
    finally:
        made.end()
        keeper.terminate()
        keeper.wait(10)
        board.close()


# --- what the deciding process may be


def working(_place: Place) -> None:
    """It decides, and looks at frames."""


def stopped(each: Place) -> None:
    assert each.decider is not None
    each.decider.send_signal(signal.SIGSTOP)


def killed(each: Place) -> None:
    each.end()


def hung(each: Place) -> None:
    assert each.decider is not None
    each.decider.send_signal(signal.SIGUSR1)


def out_of_memory(each: Place) -> None:
    """It gets not a byte more."""
    assert each.decider is not None
    resource.prlimit(each.decider.pid, resource.RLIMIT_AS, (1 << 20, 1 << 20))


def misconfigured(each: Place) -> None:
    """Its settings broke; the service manager would try it again and again."""
    each.end()
    each.config.write_text(each.config.read_text().replace("[gpio]", "[gpio]\ncolour = 1"))


def restarting(each: Place) -> None:
    """It is upgraded: ended in good order, and started anew, throughout the trials."""
    assert each.decider is not None
    if each.decider.poll() is None:
        each.decider.terminate()
    else:
        with (each.folder / "log").open("wb") as file:
            each.decider = subprocess.Popen(
                [sys.executable, "-c", DECIDER.format(hung=HUNG_S), str(each.config)],
                stderr=file, env=environment(),
            )  # fmt: skip


def trying_again(each: Place) -> None:
    """The broken settings are tried again and again."""
    if each.decider is None or each.decider.poll() is not None:
        each.decider = subprocess.Popen(
            [sys.executable, "-c", DECIDER.format(hung=HUNG_S), str(each.config)],
            stderr=subprocess.DEVNULL, env=environment(),
        )  # fmt: skip


@dataclass(frozen=True)
class State:
    """What is done to the decider before the trials, and between them."""

    name: str
    before: Callable[[Place], None]
    between: Callable[[Place], None] = working


STATES = (
    State("working", working),
    State("stopped (SIGSTOP)", stopped),
    State("killed", killed),
    State("hung in C, lock held", hung),
    State("out of memory", out_of_memory),
    State("upgraded", working, restarting),
    State("misconfigured", misconfigured, trying_again),
)


# --- trials


def trial(places: list[Place]) -> list[float]:
    """Open every fire loop; return how many milliseconds later each relay went on."""
    at: dict[int, int] = {}
    for number, each in enumerate(places):
        assert not each.board.level(RELAY), f"{each.folder.name}: the relay is on already"
        at[number] = time.monotonic_ns()
        each.board.drive(FIRE, level=True)
    end = time.monotonic() + 5
    while not all(each.board.level(RELAY) for each in places):
        assert time.monotonic() < end, "a relay did not go on"
        time.sleep(0.002)
    took = []
    for number, each in enumerate(places):
        on = [
            edge.at_ns for edge in each.board.edges()
            if edge.pin == RELAY and edge.level and edge.at_ns >= at[number]
        ]  # fmt: skip
        took.append((on[0] - at[number]) / 1e6)
        each.board.drive(FIRE, level=False)
    time.sleep(CLEAR_S)
    return took


def measure(root: Path, state: State, trials: int, gates: int = GATES) -> dict[str, object]:
    """Return what a state costs: milliseconds over all trials, and the gatekeeper's weight."""
    with contextlib.ExitStack() as stack:
        places = [stack.enter_context(place(root, number)) for number in range(gates)]
        for each in places:
            each.decide()
        stack.enter_context(busy())
        for each in places:
            state.before(each)
        time.sleep(1.0)
        took: list[float] = []
        while len(took) < trials:
            took += trial(places)
            for each in places:
                state.between(each)
        weight = [_status(each.keeper.pid) for each in places]
        for each in places:
            assert each.keeper.poll() is None
            assert each.board.function(RELAY) is Function.OUTPUT
    took.sort()
    return {
        "state": state.name,
        "trials": len(took),
        "p50_ms": round(took[len(took) // 2], 2),
        "p99_ms": round(took[int(len(took) * 0.99)], 2),
        "worst_ms": round(took[-1], 2),
        "late": sum(each > LIMIT_MS for each in took),
        "rss_mib": round(max(rss for rss, _ in weight), 1),
        "precedence": weight[0][1],
        "ready_ms": round(max(each.ready_ms for each in places), 1),
    }


def _status(pid: int) -> tuple[float, str]:
    status = Path(f"/proc/{pid}/status").read_text()
    kib = next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS"))
    fifo = os.sched_getscheduler(pid) == os.SCHED_FIFO
    return int(kib) / 1024, "SCHED_FIFO" if fifo else f"nice {os.getpriority(os.PRIO_PROCESS, pid)}"


@pytest.mark.parametrize("state", STATES, ids=lambda state: state.name)
def test_fire_does_not_wait_for_the_decider(state: State, tmp_path: Path) -> None:
    found = measure(tmp_path, state, trials=20)
    print(f"\n{found}")
    assert found["rss_mib"] < RSS_LIMIT_MIB
    assert found["late"] == 0


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--trials", type=int, default=1_000)
    parser.add_argument("--gates", type=int, default=GATES)
    parser.add_argument("--only", default="", help="part of a state's name")
    given = parser.parse_args()
    for state in STATES:
        if given.only in state.name:
            with tempfile.TemporaryDirectory() as name:
                print(json.dumps(measure(Path(name), state, given.trials, given.gates)), flush=True)


if __name__ == "__main__":
    main()
