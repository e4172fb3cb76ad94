"""A gate with a fingerprint module, disturbed in the middle of the check: swapped, locked, killed."""

from __future__ import annotations

import time

from agent.cli import main
from hal.simulated.fingerprint_script import Touch
from tests.agent.daemon.test_finger import FingerGate, carrying, gate
from tests.support.gate_on_disk import PATIENCE, RELAY, until

__all__ = ["gate"]

INTO_THE_CHECK_S = 0.2 * PATIENCE


def begin(gate: FingerGate, code: str) -> None:
    """Hold up a code and lay no finger on the glass: the check waits."""
    gate.module.glass.clear()
    gate.checking(lambda: gate.show(code))
    time.sleep(INTO_THE_CHECK_S)
    assert not gate.board.level(RELAY)


def test_a_check_that_is_disturbed_opens_nothing(gate: FingerGate) -> None:
    text = gate.config.read_text()
    gate.config.write_text(text.replace("denial_s = 0.2", "denial_s = 0.2\nlockout_failures = 1"))
    process = gate.run()
    gate.ready()
    begin(gate, carrying(gate, subject="1"))
    gate.show(carrying(gate, "boris", subject="2"))  # one who may pass, for one who touches
    until(gate.decisions, "a decision")
    assert gate.decisions()[-1]["reason"] == "code_changed"
    gate.show()

    decision = gate.decide(carrying(gate, subject="3"), *[Touch("boris")] * 3)
    assert decision["reason"] == "finger_mismatch"
    decision = gate.decide(carrying(gate, subject="3"), Touch("anna"))
    assert decision["reason"] == "locked_out"

    count = len(gate.decisions())
    begin(gate, carrying(gate, subject="4"))
    process.kill()
    process.wait(40)
    assert main(["gate", "safe", "--config", str(gate.config)]) == 0
    assert len(gate.decisions()) == count, "nothing was decided, nothing is left to be ended"
    gate.show()
    gate.log_mark()
    gate.run()
    gate.ready()
    assert [edge for edge in gate.board.edges() if edge.pin == RELAY and edge.level] == []
    decision = gate.decide(carrying(gate, subject="3"), Touch("anna"))
    assert decision["reason"] == "locked_out", "pulling the plug is no way round"
    decision = gate.decide(carrying(gate, subject="4"), Touch("anna"))
    assert decision["reason"] == "granted", "the use that the kill cut short was not burnt"
