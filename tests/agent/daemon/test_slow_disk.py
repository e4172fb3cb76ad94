"""The running daemon while its journal does not answer: another process holds the write lock."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.gate_on_disk import FIRE, RED, RELAY, GateOnDisk, until

LATE_S = 3.4
"""Longer than a grant may be on its way to the disk."""


@contextmanager
def locked(gate: GateOnDisk) -> Iterator[None]:
    database = sqlite3.connect(gate.path / "state" / "journal.sqlite", isolation_level=None)
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        database.execute("ROLLBACK")
        database.close()


def ends(gate: GateOnDisk) -> list[tuple[str, str | None]]:
    rows = [json.loads(row[3]) for row in gate.rows() if row[2] == "passage"]
    return [(row["outcome"], row.get("reason")) for row in rows]


def answers(gate: GateOnDisk) -> list[tuple[str, str]]:
    return [(row["decision"], row["reason"]) for row in gate.decisions()]


def test_a_commit_that_comes_too_late_opens_nothing_and_gives_the_use_back(
    gate: GateOnDisk,
) -> None:
    """Who waited for seconds before a dark gate is gone; somebody else may stand there.

    The process is stopped while it waits for the disk, and goes on when the disk is free.
    """
    gate.write(gate="denial_s = 0.2")
    process = gate.run()
    gate.ready()
    for number in range(8):
        code = gate.code(subject=str(number))
        opened, before = gate.openings(), len(ends(gate))
        stop_in_commit(gate, process, code)
        if ends(gate)[before:] == [("aborted", "journal_failed")]:
            break
        # On a busy machine it was stopped before its commit began; what then opened comes to its end.
        until(lambda: len(ends(gate)) >= gate.openings(), "its end")
    until(lambda: answers(gate)[-1][0] == "annulled", "the grant taken back")
    assert answers(gate)[-2:] == [("granted", "granted"), ("annulled", "journal_failed")]
    assert ends(gate)[-1] == ("aborted", "journal_failed")
    assert gate.openings() == opened
    assert process.poll() is None
    time.sleep(1.2)  # the code must have been away before it is judged again
    gate.show(code)
    until(lambda: gate.openings() == opened + 1, "the relay: the use was given back")


def stop_in_commit(gate: GateOnDisk, process: subprocess.Popen[bytes], code: str) -> None:
    with locked(gate):
        gate.show(code)
        time.sleep(0.5)
        process.send_signal(signal.SIGSTOP)
    time.sleep(LATE_S)
    gate.show()
    process.send_signal(signal.SIGCONT)
    time.sleep(1.2)


def test_a_fire_opens_at_once_while_a_commit_hangs(gate: GateOnDisk) -> None:
    process = gate.run()
    gate.ready()
    with locked(gate):
        gate.show(gate.code())
        time.sleep(0.3)
        assert gate.openings() == 0
        gate.board.drive(FIRE, level=True)
        until(lambda: gate.board.level(RELAY), "open for the fire", 2.0)
        gate.show()
    # The commit may have got through in the end, or have been given up: neither opened by itself.
    until(lambda: answers(gate), "an answer")
    said = {("annulled", "fire"), ("denied", "journal_failed")}
    until(lambda: answers(gate)[-1] in said, "its end")
    gate.board.drive(FIRE, level=False)
    until(lambda: not gate.board.level(RELAY), "closed again")
    assert gate.openings() == 1
    assert process.poll() is None


def test_a_lock_that_is_never_let_go_denies(gate: GateOnDisk) -> None:
    gate.write(gate="denial_s = 0.5")
    process = gate.run()
    gate.ready()
    with locked(gate):
        gate.show(gate.code())
        until(lambda: gate.board.level(RED), "red", 12.0)
        gate.show()
        assert gate.openings() == 0
        time.sleep(10)  # longer than a loop may stand still
        assert process.poll() is None
    until(lambda: answers(gate) == [("denied", "journal_failed")], "the row, told late")
    gate.show(gate.code(subject="2"))
    until(lambda: gate.openings() == 1, "the relay")
