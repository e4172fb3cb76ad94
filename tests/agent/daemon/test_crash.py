"""Killed in the middle of a passage, the daemon leaves a journal that the next start completes."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter

import pytest

from agent.cli import main
from tests.support.gate_on_disk import FIRE, PASSAGE, RELAY, GateOnDisk, until

ENDS = {"passed", "annulled", "aborted"}


def events(gate: GateOnDisk, kind: str) -> list[dict]:
    return [json.loads(row[3]) for row in gate.rows() if row[2] == kind]


def reach(gate: GateOnDisk, moment: str) -> None:
    """Bring a running daemon to a moment of its life."""
    if moment == "fire":
        gate.board.drive(FIRE, level=True)
        until(lambda: any(row["mode"] == "fire" for row in events(gate, "mode")), "fire")
        return
    if moment == "denied":
        gate.show(gate.code(valid_until=1_000_000_000, issued_at=900_000_000))
        until(lambda: events(gate, "decision"), "a denial")
        return
    gate.show(gate.code())
    until(lambda: gate.board.level(RELAY), "relay on")
    if moment == "passed":
        gate.board.drive(PASSAGE, level=False)
        until(lambda: events(gate, "passage"), "a passage")


@pytest.mark.parametrize(
    ("moment", "by", "outcome"),
    [
        ("open", "kill", "aborted"),
        ("open", "stop and kill", "aborted"),
        ("passed", "kill", "passed"),
        ("denied", "kill", None),
        ("fire", "kill", None),
    ],
)
def test_every_grant_has_one_end_and_no_pin_moves_by_itself(
    gate: GateOnDisk, moment: str, by: str, outcome: str | None
) -> None:
    process = gate.run()
    gate.ready()
    reach(gate, moment)
    if by == "stop and kill":  # what the service manager's watchdog does to a daemon that hangs
        os.kill(process.pid, signal.SIGSTOP)
    process.kill()
    process.wait(40)
    assert main(["gate", "safe", "--config", str(gate.config)]) == 0
    assert gate.board.level(RELAY) is (moment == "fire"), "fire means open, whoever decides"
    gate.show()
    gate.board.drive(FIRE, level=False)
    gate.board.drive(PASSAGE, level=True)
    until(lambda: not gate.board.level(RELAY), "closed")
    edges = len([edge for edge in gate.board.edges() if edge.pin == RELAY])
    gate.log_mark()
    again = gate.run()
    gate.ready()
    again.send_signal(signal.SIGTERM)
    assert again.wait(40) == 0
    assert len([edge for edge in gate.board.edges() if edge.pin == RELAY]) == edges
    granted = [row["passage"] for row in events(gate, "decision") if row["decision"] == "granted"]
    ends = Counter(
        (row["passage"], row["outcome"])
        for row in events(gate, "passage")
        if row["outcome"] in ENDS
    )
    assert ends == Counter([(passage, outcome) for passage in granted])
    assert len(granted) == (outcome is not None)
