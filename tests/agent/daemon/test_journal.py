"""The daemon's journal when it is full, damaged, or read by nobody."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path

import paho.mqtt.client as paho
import pytest

from agent.cli import main
from agent.credential.registry import MAX_FUTURE_S
from agent.gatekeeper.kept import load_mode
from agent.journal.events import Decision
from agent.journal.journal import Journal, JournalFull
from agent.passage.types import Mode
from agent.reason import Reason
from agent.report.seals import SealKey
from agent.report.topics import GateAddress
from tests.support.acks import sealed_ack
from tests.support.gate_on_disk import RELAY, GateOnDisk, until

CAPACITY = 1_000
OLD_BOOT = "ab" * 16
GATE = GateAddress("s", "g")


def fill(gate: GateOnDisk) -> int:
    """Leave a journal behind in which every place is taken; return the last `seq`."""
    state = gate.path / "state"
    state.mkdir()
    event = Decision(passage="cd" * 16, decision="denied", reason=Reason.EXPIRED)
    with Journal.open(
        state / "journal.sqlite", capacity=CAPACITY, boot_id=OLD_BOOT, synchronous="OFF"
    ) as journal:
        try:
            while True:
                last = journal.append(event)
        except JournalFull:
            return last


def new_rows(gate: GateOnDisk, kind: str) -> list[dict]:
    return [json.loads(row[3]) for row in gate.rows() if row[0] != OLD_BOOT and row[2] == kind]


def doctor(gate: GateOnDisk, capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    main(["doctor", "--json", "--no-hardware", "--config", str(gate.config)])
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return next(line for line in found if line["part"] == "journal")


@pytest.mark.broker
@pytest.mark.parametrize("policy", ["deny", "free"])
def test_a_full_journal_is_a_fault_to_be_seen_and_the_policy_holds(
    gate: GateOnDisk, mosquitto: Callable, capsys, policy: str
) -> None:
    last = fill(gate)
    broker = mosquitto()
    states: list[dict] = []
    client = paho.Client(paho.CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
    client.on_message = lambda _c, _u, message: states.append(json.loads(message.payload))
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    client.subscribe(GATE.topic("state"), 1)
    gate.write(
        gate=f'journal_full = "{policy}"\ndenial_s = 0.2',
        journal=f"capacity = {CAPACITY}",
        mqtt=f'url = "{broker.url}"',
    )
    process = gate.run()
    gate.ready()
    until(lambda: states and "journal:full" in states[-1]["gate"]["faults"], "the fault")
    assert states[-1]["gate"]["health"] == "degraded"
    assert doctor(gate, capsys)["state"] == "failed"
    gate.show(gate.code())
    if policy == "deny":
        until(lambda: gate.board.level(22), "the red lamp")
        assert not gate.board.level(RELAY)
    else:
        until(lambda: gate.board.level(RELAY), "free passage")
        until(lambda: states[-1]["gate"]["mode"] == "free", "the mode of the fault")
        process.kill()
        process.wait(40)
        assert load_mode(gate.path / "state" / "gatekeeper" / "mode") == (Mode.NORMAL, "")
        gate.show()
        assert main(["gate", "safe", "--config", str(gate.config)]) == 0
        gate.log_mark()
        gate.run()
        gate.ready()
        assert not gate.board.level(RELAY)
    gate.show()
    ack = sealed_ack(SealKey.new(), GATE, OLD_BOOT, last)
    client.publish(GATE.topic("ack"), ack, qos=1)
    until(lambda: "journal:full" not in states[-1]["gate"]["faults"], "room again")
    gate.show(gate.code(subject="2"))
    until(lambda: gate.board.level(RELAY), "a grant")
    assert new_rows(gate, "decision")[-1]["decision"] == "granted"
    client.disconnect()
    client.loop_stop()


def test_a_gate_without_a_fleet_never_fills_up(gate: GateOnDisk, capsys) -> None:
    fill(gate)
    gate.write(journal=f"capacity = {CAPACITY}")
    process = gate.run()
    gate.ready()
    gate.show(gate.code())
    until(lambda: gate.openings() == 1, "a grant")
    assert doctor(gate, capsys)["state"] == "ok"
    process.send_signal(signal.SIGTERM)
    assert process.wait(40) == 0
    assert new_rows(gate, "decision")[0]["decision"] == "granted"
    assert len(gate.rows()) < CAPACITY


def test_a_damaged_journal_is_set_aside_told_and_begun_anew(gate: GateOnDisk) -> None:
    """What was shown before the start counts as used, since nobody knows whether it was."""
    state = gate.path / "state"
    state.mkdir()
    (state / "journal.sqlite").write_bytes(b"no database at all" * 500)
    before = gate.code()
    gate.run()
    gate.ready()
    faults = new_rows(gate, "fault")
    assert [(fault["part"], fault["code"]) for fault in faults] == [("journal", "corrupt")]
    (aside,) = [path for path in Path(state).iterdir() if path.name in faults[0]["detail"]
                and path.name != "journal.sqlite"]  # fmt: skip
    assert aside.read_bytes().startswith(b"no database")
    gate.show(before)
    until(lambda: new_rows(gate, "decision"), "a decision")
    assert new_rows(gate, "decision")[-1]["reason"] == "replayed"
    gate.show()
    # A phone whose clock is ahead might have shown a code of the first seconds before.
    time.sleep(MAX_FUTURE_S + 1.1)
    gate.show(gate.code(subject="2"))
    until(lambda: gate.openings() == 1, "a grant")


def test_what_a_gate_forgot_between_two_runs_is_told(gate: GateOnDisk) -> None:
    """A key or a journal that somebody deleted is noticed, not replaced in silence."""

    def run_once() -> list[tuple[str, str]]:
        process = gate.run()
        gate.ready()
        process.send_signal(signal.SIGTERM)
        assert process.wait(40) == 0
        gate.log_mark()
        boot = gate.rows()[-1][0]
        faults = [json.loads(row[3]) for row in gate.rows() if (row[0], row[2]) == (boot, "fault")]
        told = [(fault["part"], fault["code"]) for fault in faults]
        return [each for each in told if each[0] != "scan"]  # late with a frame on a busy machine

    assert run_once() == []
    assert run_once() == []
    (gate.path / "state" / "subject.key").unlink()
    assert run_once() == [("journal", "subject_key_lost")]
    for name in ("journal.sqlite", "journal.sqlite-wal", "journal.sqlite-shm"):
        (gate.path / "state" / name).unlink(missing_ok=True)
    assert run_once() == [("journal", "lost")]
    assert run_once() == []
