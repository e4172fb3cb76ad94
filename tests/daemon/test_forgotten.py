"""What a real daemon still holds of a person once they have gone through: nothing that names them."""

from __future__ import annotations

import gc
import time

import numpy as np
import pytest

from agent.biometrics.face import FaceVerifier
from agent.biometrics.face_enroll import take_sample
from agent.config import FaceConfig, load
from agent.credential.model import Credential
from agent.daemon import Daemon
from agent.hardware import open_hardware
from agent.issue import face_template
from tests.daemon.support import PASSAGE, RELAY, GateOnDisk, until
from tests.daemon.test_face import show

NAME = "Ada of this test alone"


def named() -> list[Credential]:
    """Return the living credentials that say who it was."""
    gc.collect()
    credentials = [each for each in gc.get_objects() if isinstance(each, Credential)]
    return [each for each in credentials if each.claims.get("full_name") == NAME]


@pytest.mark.parametrize("walks", [True, False])
def test_nobody_is_remembered_who_went_or_did_not(gate: GateOnDisk, walks: bool) -> None:
    data = pytest.importorskip("skimage.data")
    eileen = np.ascontiguousarray(data.astronaut()[0:300, 80:370])
    verifier = FaceVerifier.from_config(FaceConfig())
    vector = take_sample(eileen, verifier.detector, verifier.embedder).vector
    hers = face_template(verifier.embedder.template(vector), verifier.model_id)
    (gate.path / "p.toml").write_text(
        'name = "p"\ntitle = "t"\nkinds = ["library-card"]\nbiometric = "face"\n'
    )
    gate.write(gate='profile = "p.toml"\ndenial_s = 0.2', face='liveness = "off"')
    config = load(gate.config)
    daemon = Daemon(config, open_hardware(config))
    daemon.start()
    try:
        code = gate.code(birth_date="1987-06-23", identity={4: NAME}, references=[hers])
        show(gate, code, eileen)
        until(lambda: gate.board.level(RELAY), "a grant")
        assert named(), "while the gate is open the passage has its credential"
        show(gate, "", None)
        if walks:
            gate.board.drive(PASSAGE, level=False)
            time.sleep(0.1)
            gate.board.drive(PASSAGE, level=True)
        until(lambda: len(gate.rows()) >= 3, "the end of the passage")
        until(lambda: not gate.board.level(RELAY), "closed")
        until(lambda: not named(), "forgotten", timeout_s=3)
    finally:
        daemon.shutdown()
