"""YuNet through OpenCV, for operators that bring its ONNX file (it is not shipped)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from agent.biometrics.errors import ModelError
from agent.biometrics.manifest import ModelSpec, read_model
from agent.biometrics.types import MAX_FACES, Face, Rgb, face_from_row

__all__ = ["YunetDetector"]

MAX_CANDIDATES = 32


class YunetDetector:
    """OpenCV's YuNet, for operators that bring its file.

    Args:
        directory: where the file lies.
        spec: the manifest's entry; the input's longer side is what pictures are scaled to.

    Raises:
        ModelError: OpenCV cannot use the file.
    """

    def __init__(self, directory: Path, spec: ModelSpec) -> None:
        import cv2

        if spec.detector is None:
            raise ModelError(f"model {spec.name}: no detector table")
        data = np.frombuffer(read_model(directory, spec), dtype=np.uint8)
        size = (spec.input.width, spec.input.height)
        try:
            self._yunet = cv2.FaceDetectorYN.create(
                "onnx", data, np.empty(0, np.uint8), size,
                spec.detector.score_threshold, spec.detector.iou_threshold, MAX_CANDIDATES,
            )  # fmt: skip
        except cv2.error as error:
            raise ModelError(f"model {spec.name}: OpenCV cannot load it: {error.err}") from None
        self._spec, self._longer = spec, max(size)

    @property
    def name(self) -> str:
        """The model's name in the manifest."""
        return self._spec.name

    @property
    def runtime(self) -> str:
        """The runtime in use."""
        return "opencv"

    def detect(self, picture: Rgb) -> list[Face]:
        """Return the faces of an RGB picture, largest first, at most `MAX_FACES`."""
        import cv2

        scale = min(1.0, self._longer / max(picture.shape[:2]))
        columns, rows = (max(1, round(n * scale)) for n in (picture.shape[1], picture.shape[0]))
        small = cv2.resize(picture, (columns, rows), interpolation=cv2.INTER_AREA)
        self._yunet.setInputSize((columns, rows))
        _, found = self._yunet.detect(cv2.cvtColor(small, cv2.COLOR_RGB2BGR))
        if found is None or not len(found):
            return []
        table = np.hstack([found[:, 14:15], found[:, :14] / scale]).astype(np.float32)
        largest = np.argsort(-(table[:, 3] * table[:, 4]), kind="stable")[:MAX_FACES]
        return [face_from_row(row) for row in table[largest]]

    def wipe(self) -> None:
        """Overwrite what the network holds."""
        self.detect(np.zeros((64, 64, 3), dtype=np.uint8))
