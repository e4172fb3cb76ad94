"""A whole gate with a fingerprint module: `idgate run` as a process, the module on a pty here."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from agent.issuing.issue import Holder, finger_template, new_issuer
from agent.journal.subjects import SubjectHasher, load_or_create_key
from hal.simulated.fingerprint_fingers import Impression
from hal.simulated.fingerprint_script import Fault, FaultKind, Script, Touch
from hal.simulated.pinboard import PinBoard
from tests.support import gatekeepers
from tests.support.gate_on_disk import FIRE, PATIENCE, RELAY, TAMPER, GateOnDisk, until

PROFILE = 'name = "p"\ntitle = "t"\nkinds = ["library-card"]\nbiometric = "finger"\n'


def template(finger: str) -> bytes:
    return Impression(finger, touch=10_000).features().template(512)


class FingerGate(GateOnDisk):
    """A gate whose profile asks for a finger."""

    def decide(self, code: str, *touches: Touch) -> dict:
        """Hold up a code and touch the glass; return the decision."""
        before = len(self.decisions())
        if touches:
            self.module.glass.clear()
            self.module.glass.expect(*touches)
        self.show(code)
        until(lambda: len(self.decisions()) > before, "a decision")
        return self.decisions()[-1]

    def decisions(self) -> list[dict]:
        return [json.loads(row[3]) for row in self.rows() if row[2] == "decision"]


@pytest.fixture
def gate(tmp_path: Path, plug):
    module, port = plug(Script(variant="r307"))
    issuer, holder = new_issuer("lib", "ES256"), Holder.new()
    trust = tmp_path / "trust"
    trust.mkdir()
    (trust / "lib.pem").write_bytes(issuer.key.public_pem())
    (trust / "lib.toml").write_text(issuer.trust_toml())
    (tmp_path / "p.toml").write_text(PROFILE)
    (tmp_path / "state").mkdir()
    with PinBoard(tmp_path / "pins") as board:
        for loop in (FIRE, TAMPER):
            board.drive(loop, level=False)
        made = FingerGate(tmp_path, issuer, holder, board)
        made.module = module
        made.write(
            f'profile = "p.toml"\nbiometric_timeout_s = {3.0 * PATIENCE}\ndenial_s = 0.2',
            finger=f'port = "{port}"\nfamily = "r307"\ndecoy_rate = 1.0',
        )
        made.show()
        yield made
        for process in made.processes:
            process.kill()
            process.wait(40)
        gatekeepers.end(tmp_path)


def carrying(
    gate: FingerGate, finger: str = "anna", family: str = "r307", subject: str = "1"
) -> str:
    return gate.code(subject=subject, references=[finger_template(template(finger), family)])


def test_a_finger_opens_the_gate(gate):
    process = gate.run()
    gate.ready()
    decision = gate.decide(carrying(gate), Touch("anna"))
    assert (decision["decision"], decision["reason"]) == ("granted", "granted"), gate.log()
    assert decision["biometrics"] == [{"modality": "finger", "reason": "granted"}]
    until(lambda: gate.board.level(RELAY), "relay on")
    process.send_signal(signal.SIGTERM)
    assert process.wait(40) == 0
    written = b"".join(path.read_bytes() for path in gate.path.rglob("*") if path.is_file())
    assert template("anna")[:24] not in written


def test_whose_finger_is_refused(gate):
    """An impostor, a template of another family, an enrolled one, and a module that breaks."""
    hasher = SubjectHasher(load_or_create_key(gate.path / "state" / "subject.key"))
    gate.module.module.library[3] = template("carla")
    row = {"slot": 3, "subject": hasher.local("lib", "enrolled"), "staff": False}
    (gate.path / "state" / "fingers.json").write_text(json.dumps({"version": 1, "rows": [row]}))
    gate.run()
    gate.ready()

    decision = gate.decide(carrying(gate, subject="2"), *[Touch("boris")] * 3)
    assert decision["reason"] == "finger_mismatch", gate.log()
    assert not gate.board.level(RELAY)
    decision = gate.decide(carrying(gate, family="r503", subject="3"), Touch("anna"))
    assert decision["reason"] == "template_incompatible"
    decision = gate.decide(gate.code(subject="4"), Touch("anna"))
    assert decision["reason"] == "no_reference"
    gate.module.fault(Fault("any", FaultKind.UNPLUG))
    decision = gate.decide(carrying(gate, subject="6"), Touch("anna"))
    assert decision["reason"] == "sensor_fault"
    gate.module.plug()
    decision = gate.decide(gate.code(subject="enrolled"), Touch("carla"))
    assert decision["reason"] == "granted", gate.log()


def test_without_its_module_the_gate_does_not_start(gate):
    gate.module.unplug()
    process = gate.run()
    assert process.wait(40) == 3
    assert "fingerprint module at" in gate.log()
    assert not gate.board.level(RELAY)


def test_staff_pass_by_finger_alone_where_the_profile_allows(gate):
    """1:N finds staff and nobody else, and a code is still judged in between."""
    hasher = SubjectHasher(load_or_create_key(gate.path / "state" / "subject.key"))
    people = {3: ("carla", True), 4: ("dora", False)}
    rows = []
    for slot, (name, staff) in people.items():
        gate.module.module.library[slot] = template(name)
        rows.append({"slot": slot, "subject": hasher.local("house", name), "staff": staff})
    (gate.path / "state" / "fingers.json").write_text(json.dumps({"version": 1, "rows": rows}))
    (gate.path / "p.toml").write_text(PROFILE + "staff_search = true\n")
    gate.run()
    gate.ready()
    gate.module.glass.expect(Touch("carla"))
    until(gate.decisions, f"staff found: {gate.log()}")
    (decision,) = gate.decisions()
    assert (decision["decision"], decision["source"]) == ("granted", "finger")
    assert "subject" not in decision
    until(lambda: gate.board.level(RELAY), "relay on")
    until(lambda: not gate.board.level(RELAY), "nobody walked")
    # The finger stays: the search for staff may look at it before the code is read.
    gate.module.glass.place("anna")
    decision = gate.decide(carrying(gate))
    assert decision["reason"] == "granted", gate.log()
    gate.show()
    until(lambda: not gate.board.level(RELAY), "closed again")

    def grants() -> int:
        return sum(row["decision"] == "granted" for row in gate.decisions())

    gate.module.glass.clear()
    gate.module.glass.expect(Touch("dora"), Touch("boris"))
    with pytest.raises(AssertionError):
        until(lambda: grants() > 2, "found, who is not staff", 5.0)
    assert grants() == 2


def test_staff_search_without_a_module_is_refused(gate):
    (gate.path / "p.toml").write_text(
        'name = "p"\ntitle = "t"\nkinds = ["library-card"]\nstaff_search = true\n'
    )
    gate.write('profile = "p.toml"')
    process = gate.run()
    assert process.wait(40) == 2
    assert "staff_search" in gate.log()
