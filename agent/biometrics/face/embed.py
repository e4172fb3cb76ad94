"""Embedding: an aligned face becomes a template of 128 int8 values.

The template is the network's int8 output, the mean of the face and its mirror image: 128 bytes that
fit a QR code, measured to cost nothing against float. A probe is looked at plain in one frame and
mirrored in the next, which gains the same at no cost a frame. A template belongs to one model:
`Embedder.model_id` goes with it into the credential as the issuer of the vendor sub-format, and a
template of another model is refused, not compared.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agent.biometrics.errors import FaceRejected, ModelError
from agent.biometrics.face.compare import Thresholds, fuse
from agent.biometrics.geometry import similarity, warp
from agent.biometrics.manifest import ModelSpec, read_model
from agent.biometrics.runtime import DEFAULT_OPTIONS, Network, Options
from agent.reason import Reason

__all__ = ["TEMPLATE_BYTES", "Embedder"]

TEMPLATE_BYTES = 128

Rgb = NDArray[np.uint8]
Points = NDArray[np.float32]
Vector = NDArray[np.float32]
"""Shape (128,), float32: a template with its zero point taken off."""


class Embedder:
    """The network that makes templates; one thread at a time.

    Args:
        directory: where the model lies.
        spec: the manifest's entry.
        options: how networks run.

    Raises:
        ModelError: the model cannot be used.
    """

    def __init__(
        self,
        directory: Path,
        spec: ModelSpec,
        options: Options = DEFAULT_OPTIONS,
    ) -> None:
        if spec.chip is None:
            raise ModelError(f"model {spec.name}: an embedder needs the chip's five points")
        data = read_model(directory, spec)
        self._network = Network(spec, data, options)
        if self._network.shapes != ((1, TEMPLATE_BYTES),):
            raise ModelError(f"model {spec.name}: output is {self._network.shapes}, not (1, 128)")
        self._quantisation = self._network.quantisations[0]
        self._float = self._quantisation.scale == 1.0
        self.chip = spec.chip.array()
        self.size = (spec.input.height, spec.input.width)
        self.spec = spec

    @property
    def model_id(self) -> str:
        """The name that templates carry as their issuer."""
        return self.spec.name

    @property
    def runtime(self) -> str:
        """The runtime in use."""
        return self._network.runtime

    @property
    def thresholds(self) -> Thresholds:
        """Scores by false match rate.

        Raises:
            ModelError: the model was never calibrated.
        """
        if not self.spec.calibrated:
            raise ModelError(
                f"model {self.spec.name} has no thresholds; run `idgate face calibrate` first"
            )
        return Thresholds(self.spec.thresholds)

    def align(self, picture: Rgb, points: Points) -> Rgb:
        """Return the aligned chip, (H, W, 3) uint8 of the network's input size.

        Raises:
            FaceRejected: the points are no face.
        """
        try:
            matrix = similarity(points, self.chip)
        except ValueError as error:
            raise FaceRejected(Reason.FACE_QUALITY, str(error)) from None
        return warp(picture, matrix, self.size)

    def embed(self, chip: Rgb, *, mirrored: bool = False) -> Vector:
        """Return the vector of an aligned chip, (128,) float32, zero point taken off.

        Args:
            chip: (H, W, 3) uint8, as `align` returns it.
            mirrored: look at the chip's mirror image: a second opinion on the same face.
        """
        shown = np.ascontiguousarray(chip[:, ::-1]) if mirrored else chip
        answer = self._network.run(shown)[0]
        vector = np.asarray(answer[0].astype(np.float32), dtype=np.float32)
        vector -= self._zero
        # What is only let go of stays in the heap until somebody else writes there.
        answer.fill(0)
        if mirrored:
            shown.fill(0)
        return vector

    def embed_reference(self, chip: Rgb) -> Vector:
        """Return the vector of a reference: the mean of the chip and its mirror image."""
        both = [self.embed(chip), self.embed(chip, mirrored=True)]
        length = float(np.mean([np.linalg.norm(vector) for vector in both]))
        fused = fuse(both)
        fused *= length
        for vector in both:
            vector.fill(0)
        return fused

    def template(self, vector: Vector) -> bytes:
        """Return a vector as the 128 bytes that a credential carries."""
        if self._float:
            vector = vector * (127 / max(float(np.abs(vector).max()), 1e-9))
        values = np.round(vector) + self._zero
        return np.clip(values, -128, 127).astype(np.int8).tobytes()

    def read_template(self, data: bytes) -> Vector:
        """Return the vector of a template.

        Raises:
            FaceRejected: wrong length, or nothing in it.
        """
        if len(data) != TEMPLATE_BYTES:
            raise FaceRejected(Reason.REFERENCE_INVALID, f"template has {len(data)} bytes, not 128")
        vector = np.frombuffer(data, dtype=np.int8).astype(np.float32)
        vector -= self._zero
        if not float(np.linalg.norm(vector)) >= MIN_NORM:
            raise FaceRejected(Reason.REFERENCE_INVALID, "template has no length")
        return vector

    def wipe(self) -> None:
        """Overwrite what the network holds of the last face."""
        self._network.wipe()

    @property
    def _zero(self) -> int:
        return self._quantisation.zero_point


MIN_NORM = 16.0
"""A real template is some hundreds of steps long; a shorter one is empty or forged."""
