"""Runs a real face check on a picture and then stands still, so that its memory can be searched.

    python -m tests.agent.biometrics.face.memory_child PICTURE.npy TEMPLATE [keep]

It says on standard output how the check ended, and waits for its standard input to close. With
`keep` neither the session nor the frames are overwritten at the end.
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np

from agent.biometrics.face.reference import FACE_TEMPLATE
from agent.biometrics.face.session import FaceVerifier
from agent.credential.model import BiometricReference, Modality, ReferenceForm
from agent.settings.model import FaceConfig
from hal.camera import Frame


def main(picture_file: str, template_file: str, keep: str = "") -> None:
    verifier = FaceVerifier.from_config(FaceConfig(liveness="off"))
    reference = BiometricReference(
        Modality.FACE,
        ReferenceForm.TEMPLATE,
        Path(template_file).read_bytes(),
        FACE_TEMPLATE,
        verifier.model_id,
    )
    picture = np.load(picture_file)
    session = verifier.begin(reference, 0.0, 8.0)
    if keep:
        session.close = lambda: None  # type: ignore[method-assign]
    outcome, number = None, 0
    while outcome is None:
        luma = np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), dtype=np.uint8)
        frame = Frame(luma, number, 0.0, number, "test", colour=picture.copy())
        outcome = session.offer(frame, number * 0.1)
        if not keep:
            frame.wipe()
        number += 1
    if not keep:
        picture.fill(0)
    print(outcome.reason.value, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main(*sys.argv[1:])
