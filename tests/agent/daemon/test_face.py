"""A real daemon that asks for a face: whose it is, who leaves, and a kill in the middle."""

from __future__ import annotations

import time

import cv2
import numpy as np
import pytest
from PIL import Image

from agent.biometrics.face.enroll import take_sample
from agent.biometrics.face.session import FaceVerifier
from agent.cli import main
from agent.issuing.issue import face_template
from agent.settings.model import FaceConfig
from hal.simulated.scene import Face, Phone
from tests.support.gate_on_disk import GateOnDisk, hall, until

INTO_THE_CHECK_S = 0.3


def show(gate: GateOnDisk, code: str, picture: np.ndarray | None) -> None:
    """Hold up a code, with somebody behind it or nobody."""
    things = [Phone(code, x=0.25).at_module_px(4.0)] if code else []
    people = [] if picture is None else [Face(picture, height=0.75, x=0.72, y=0.45)]
    Image.fromarray(np.asarray(hall().compose([*things, *people]))).save(
        gate.path / "next.png", compress_level=0
    )
    (gate.path / "next.png").rename(gate.path / "view.png")


def test_whose_face_who_leaves_and_a_kill_in_mid_check(gate: GateOnDisk) -> None:
    data = pytest.importorskip("skimage.data")
    eileen = np.ascontiguousarray(data.astronaut()[0:300, 80:370])
    # Too blurred to be compared, so that the check goes on until somebody ends it.
    moving = cv2.GaussianBlur(eileen, (0, 0), 5)
    verifier = FaceVerifier.from_config(FaceConfig())
    vector = take_sample(eileen, verifier.detector, verifier.embedder).vector
    hers = face_template(verifier.embedder.template(vector), verifier.model_id)
    (gate.path / "p.toml").write_text(
        'name = "p"\ntitle = "t"\nkinds = ["library-card"]\nbiometric = "face"\n'
    )
    gate.write(
        gate='profile = "p.toml"\ndenial_s = 0.2\nbiometric_timeout_s = 20.0',
        face='liveness = "off"',
    )
    process = gate.run()
    gate.ready()

    def reason() -> str:
        return gate.decisions()[-1]["reason"]

    gate.checking(lambda: show(gate, gate.code(subject="1", references=[hers]), moving))
    time.sleep(INTO_THE_CHECK_S)
    show(gate, "", None)
    until(gate.decisions, "a decision")
    assert reason() == "person_left"

    gate.checking(lambda: show(gate, gate.code(subject="2", references=[hers]), moving))
    time.sleep(INTO_THE_CHECK_S)
    process.kill()
    process.wait(40)
    assert main(["gate", "safe", "--config", str(gate.config)]) == 0
    assert len(gate.decisions()) == 1
    show(gate, "", None)
    gate.log_mark()
    gate.run()
    gate.ready()
    assert gate.openings() == 0
    show(gate, gate.code(subject="2", references=[hers]), eileen)
    until(lambda: gate.openings() == 1, "a grant")
    assert reason() == "granted"
