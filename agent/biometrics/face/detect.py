"""Face detection: where the faces of a picture are, by the rules of `agent.biometrics.types`.

Our own detector is a TFLite network (`detect_tflite.py`), decoded as the manifest's
`[model.detector]` says. Operators that bring YuNet's file run it through OpenCV
(`detect_yunet.py`).
"""

from __future__ import annotations

from pathlib import Path

from agent.biometrics.manifest import Manifest
from agent.biometrics.runtime import DEFAULT_OPTIONS, Options
from agent.biometrics.types import FaceDetector

__all__ = ["open_detector"]


def open_detector(
    directory: Path,
    manifest: Manifest,
    name: str = "",
    options: Options = DEFAULT_OPTIONS,
) -> FaceDetector:
    """Return the detector of this name; an empty name takes the manifest's default.

    Raises:
        ModelError: it cannot be used.
    """
    from agent.biometrics.face.detect_tflite import TfliteDetector
    from agent.biometrics.face.detect_yunet import YunetDetector

    spec = manifest.find(name, "face-detector")
    if spec.detector is not None and spec.detector.decoder == "yunet":
        return YunetDetector(directory, spec)
    return TfliteDetector(directory, manifest, spec, options)
