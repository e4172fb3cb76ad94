"""A writer killed with SIGKILL at random points: nothing promised is lost, no gap, nothing doubled.

A kill of the process is what the test can do; that rows also survive a power cut rests on
`synchronous=FULL`, which `test_every_commit_is_synced` holds by counting the syncs.

The long form: `KILLS=500 pytest tests/agent/journal/test_kill.py`.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from agent.journal.events import Passage
from agent.journal.journal import Journal, new_boot_id
from tests.support.paths import ROOT

KILLS = int(os.environ.get("KILLS", "12"))
WRITER = Path(__file__).with_name("writer.py")


def run_and_kill(path: Path, boot_id: str, *, acknowledge: bool, after: int, delay_s: float):
    """Let a writer commit `after` rows and a random moment more; return the (seq, number) told."""
    with subprocess.Popen(
        [sys.executable, WRITER, path, boot_id, "yes" if acknowledge else "no"],
        stdout=subprocess.PIPE,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as writer:
        told = []
        killer = threading.Timer(delay_s, writer.send_signal, (signal.SIGKILL,))
        for line in writer.stdout:
            # A line cut short by the kill was still told only after the commit.
            told.append(line)
            if len(told) == after:
                killer.start()
        writer.wait()
        killer.cancel()
        killer.join()
    return [tuple(map(int, line.split())) for line in told if line.endswith(b"\n")]


@pytest.mark.chaos
@pytest.mark.timeout(60 + KILLS * 5)
@pytest.mark.parametrize("acknowledge", [False, True])
def test_nothing_is_lost_or_doubled_or_skipped(tmp_path, acknowledge):
    chance = random.Random(20_26)
    path = tmp_path / "journal.sqlite"
    boots: dict[str, list[tuple[int, int]]] = {}
    for _ in range(KILLS):
        boot_id = new_boot_id()
        delay_s = chance.random() * 0.02
        boots[boot_id] = run_and_kill(
            path, boot_id, acknowledge=acknowledge, after=chance.randint(1, 30), delay_s=delay_s
        )
        with Journal.open(path, capacity=2_000) as journal:
            assert not journal.set_aside
            check(journal, boot_id, boots[boot_id], acknowledge=acknowledge)
            for earlier in journal.boots():
                if earlier.boot_id in boots:
                    journal.acknowledge(earlier.boot_id, earlier.last_seq)


def check(journal: Journal, boot_id: str, told: list[tuple[int, int]], *, acknowledge: bool):
    rows = journal.replay(boot_id, 1, 10**6, 10**6)
    seqs = [row.seq for row in rows]
    assert seqs == list(range(1, len(seqs) + 1)), "a gap, or a doubled row"
    assert told, "the writer did not start"
    assert len(told) <= len(seqs) <= len(told) + 1, "lost, or more than one row untold"
    for seq, number in told:
        assert seq == number
        assert journal.was_used(f"{boot_id}:{number}".encode()), "a decision without its mark"
    untold = len(seqs)
    assert journal.was_used(f"{boot_id}:{untold}".encode())
    assert not journal.was_used(f"{boot_id}:{untold + 1}".encode()), "a mark without its decision"
    end = Passage(passage=boot_id, outcome="aborted", assumed=True)
    journal.record_cut_short(end)
    assert journal.last_zone(f"{boot_id}:{untold}") is not None, "a decision without its holder"
    assert journal.last_zone(f"{boot_id}:{untold + 1}") is None, "a holder without its decision"
    state = next((boot for boot in journal.boots() if boot.boot_id == boot_id), None)
    if acknowledge:
        assert state is None or state.acknowledged <= len(seqs)
    else:
        assert state is not None
        assert state.acknowledged == 0


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace counts the syncs")
def test_every_commit_is_synced(tmp_path):
    log = tmp_path / "syncs"
    code = (
        "import sys; from pathlib import Path; from agent.journal.journal import Journal;"
        "from agent.journal.events import Mode; j = Journal.open(Path(sys.argv[1]));"
        "print('ready', flush=True);"
        "[j.append(Mode(mode='normal', cause='start')) for _ in range(20)]; import os; os._exit(0)"
    )
    command = ["strace", "-f", "-e", "trace=fdatasync,fsync,write", "-o", str(log)]
    command += [sys.executable, "-c", code, str(tmp_path / "j.sqlite")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=60, check=False)
    if b"ptrace" in done.stderr.lower():
        pytest.skip("ptrace is not allowed here")
    after = log.read_text().split('"ready', 1)[1]
    assert after.count("sync(") >= 20
