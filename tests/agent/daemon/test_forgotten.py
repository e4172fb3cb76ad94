"""What a real daemon still holds of a person once they have gone through: nothing that names them."""

from __future__ import annotations

import gc
import re
import time
from pathlib import Path

import numpy as np
import pytest

from agent.biometrics.face.enroll import take_sample
from agent.biometrics.face.session import FaceVerifier
from agent.credential.model import BiometricReference, Credential
from agent.daemon.daemon import Daemon
from agent.daemon.hardware import open_hardware
from agent.issuing.issue import face_template
from agent.settings.load import load
from agent.settings.model import FaceConfig
from tests.agent.biometrics.face.test_memory import writable
from tests.agent.daemon.test_face import show
from tests.support.gate_on_disk import PASSAGE, RELAY, GateOnDisk, until
from tests.support.paths import ROOT

NAME = "Ada of this test alone"
SUBJECT = "subject of this test alone"
BORN = ("1987-06-23", "19870623")
UNIT = ROOT / "systemd" / "idgate.service"


def named() -> list[Credential]:
    """Return the living credentials that say who it was."""
    gc.collect()
    credentials = [each for each in gc.get_objects() if isinstance(each, Credential)]
    return [each for each in credentials if each.claims.get("full_name") == NAME]


@pytest.fixture(scope="module")
def eileen() -> np.ndarray:
    data = pytest.importorskip("skimage.data")
    return np.ascontiguousarray(data.astronaut()[0:300, 80:370])


@pytest.fixture(scope="module")
def hers(eileen: np.ndarray) -> BiometricReference:
    verifier = FaceVerifier.from_config(FaceConfig())
    vector = take_sample(eileen, verifier.detector, verifier.embedder).vector
    return face_template(verifier.embedder.template(vector), verifier.model_id)


@pytest.fixture
def asking(gate: GateOnDisk) -> GateOnDisk:
    """A gate that asks for a face."""
    (gate.path / "p.toml").write_text(
        'name = "p"\ntitle = "t"\nkinds = ["library-card"]\nbiometric = "face"\n'
    )
    gate.write(gate='profile = "p.toml"\ndenial_s = 0.2', face='liveness = "off"')
    return gate


def code_of(gate: GateOnDisk, reference: BiometricReference) -> str:
    return gate.code(
        subject=SUBJECT, birth_date=BORN[0], identity={4: NAME}, references=[reference]
    )


def leave(gate: GateOnDisk) -> None:
    """Take the phone away and walk through."""
    show(gate, "", None)
    gate.board.drive(PASSAGE, level=False)
    time.sleep(0.1)
    gate.board.drive(PASSAGE, level=True)


def ended(gate: GateOnDisk) -> None:
    until(lambda: len(gate.rows()) >= 3, "the end of the passage")
    until(lambda: not gate.board.level(RELAY), "closed")


@pytest.mark.parametrize("walks", [True, False])
def test_nobody_is_remembered_who_went_or_did_not(
    asking: GateOnDisk, eileen: np.ndarray, hers: BiometricReference, walks: bool
) -> None:
    config = load(asking.config)
    daemon = Daemon(config, open_hardware(config))
    daemon.start()
    try:
        show(asking, code_of(asking, hers), eileen)
        until(lambda: asking.board.level(RELAY), "a grant")
        assert named(), "while the gate is open the passage has its credential"
        if walks:
            leave(asking)
        else:
            show(asking, "", None)
        ended(asking)
        until(lambda: not named(), "forgotten")
    finally:
        daemon.shutdown()


def environment() -> dict[str, str]:
    """Return what the unit sets for the service."""
    lines = re.findall(r"^Environment=(\w+)=(.*)$", UNIT.read_text(), re.MULTILINE)
    return dict(lines)


def family(pid: int) -> list[int]:
    """Return a process, its children and theirs, whichever of its threads began them."""
    lists = Path(f"/proc/{pid}/task").glob("*/children")
    return [pid, *(each for found in lists for word in found.read_text().split()
                   for each in family(int(word)))]  # fmt: skip


def test_the_service_has_nothing_of_a_person_in_its_memory(
    asking: GateOnDisk, eileen: np.ndarray, hers: BiometricReference
) -> None:
    daemon = asking.run(**environment())
    asking.ready()
    code = code_of(asking, hers)
    show(asking, code, eileen)
    until(lambda: asking.board.level(RELAY), "a grant")
    told = {"name": NAME, "subject": SUBJECT, "birth date": BORN[0], "digits": BORN[1]}
    needles = {what: text.encode() for what, text in told.items()}
    needles |= {"template": hers.data[:32], "code": code[100:160].encode()}

    def found() -> set[str]:
        gate = family(daemon.pid)
        assert len(gate) == 5, "the daemon, and a stem and a worker each for codes and photos"
        parts = [part for pid in gate for part in writable(pid)]
        return {what for what, needle in needles.items() if any(needle in each for each in parts)}

    try:
        assert "name" in found(), "while the gate is open it is there to be found"
    except PermissionError:
        pytest.skip("the decoder's memory, or any child's, is for root alone to read here")
    leave(asking)
    ended(asking)
    until(lambda: not found(), "forgotten")
