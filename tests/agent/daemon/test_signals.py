"""Signals in any number at any moment: a gate stops once and cleanly, and is not stopped by others."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from agent.cli import main
from agent.exits import Exit
from tests.support.gate_on_disk import GateOnDisk, until
from tests.support.paths import ROOT

FLOOD = 3_000
"""Far more than may run within one another before Python gives up."""


def flood(process: subprocess.Popen[bytes], *numbers: signal.Signals) -> None:
    for _ in range(FLOOD):
        for number in numbers:
            process.send_signal(number)  # nothing to one that has ended


def blocks(process: subprocess.Popen[bytes], number: signal.Signals) -> bool:
    status = Path(f"/proc/{process.pid}/status").read_text()
    (mask,) = re.findall(r"SigBlk:\s+([0-9a-f]+)", status)
    return bool(int(mask, 16) >> (number - 1) & 1)


@pytest.mark.parametrize(
    "numbers",
    [
        (signal.SIGTERM,),
        (signal.SIGINT, signal.SIGTERM),
        (signal.SIGHUP, signal.SIGHUP, signal.SIGTERM),
    ],
    ids=["one", "two", "reloads among them"],
)
@pytest.mark.parametrize("moment", ["starting", "running"])
def test_a_flood_of_signals_stops_a_gate(
    gate: GateOnDisk, numbers: tuple[signal.Signals, ...], moment: str
) -> None:
    gate.write()
    gate.show()
    process = gate.run()
    if moment == "starting":
        until(lambda: blocks(process, signal.SIGTERM), "its signals are its own")
    else:
        gate.ready()
    flood(process, *numbers)
    assert process.wait(40) == Exit.DONE, gate.log()
    assert "Traceback" not in gate.log()


def test_a_flood_of_reloads_stops_nothing(gate: GateOnDisk) -> None:
    gate.write()
    gate.show()
    process = gate.run()
    gate.ready()
    flood(process, signal.SIGHUP)
    assert gate.judged(gate.code()) == "granted"
    process.terminate()
    process.terminate()
    assert process.wait(40) == Exit.DONE


def test_a_refused_start_leaves_signals_as_they_were(tmp_path: Path, capsys) -> None:
    """Or whatever its caller starts afterwards could not be ended: children inherit what is blocked."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    assert main(["run", "--config", str(tmp_path / "none.toml")]) == Exit.SETTINGS
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before
    assert "none.toml" in capsys.readouterr().err


def test_a_gatekeeper_takes_what_whoever_began_it_had_blocked(tmp_path: Path) -> None:
    """The daemon blocks its own signals, and begins a gatekeeper where no unit does."""
    command = [sys.executable, "-m", "agent.gatekeeper", "--state", str(tmp_path)]
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    until((tmp_path / "socket").exists, "listening")
    flood(process, signal.SIGTERM)
    _, said = process.communicate(timeout=10)
    assert (process.returncode, b"Traceback" in said) == (0, False)


def test_a_flood_of_signals_ends_a_collector_with_its_sums(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "agent.cli", "fleet", "collect", "--database", "f.sqlite"]
    process = subprocess.Popen(
        [*command, "--broker", "mqtt://127.0.0.1:1"],  # nobody listens there
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    begun = process.stdout.readline()
    flood(process, signal.SIGTERM, signal.SIGINT)
    out, said = process.communicate(timeout=20)
    assert begun.startswith(b"collecting into")
    assert b"received 0" in out
    assert b"Traceback" not in said
    # The last of them may come when Python has put the handlers back, at its very end.
    assert process.returncode in (0, -signal.SIGTERM, -signal.SIGINT)
