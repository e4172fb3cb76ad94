"""The reference: what a credential says its owner looks like, as a vector to compare with.

Rules:
- A template (Claim 169, key 62, vendor sub-format 100) names the model that made it as issuer. One
  of another model or standard is `template_incompatible`: not a mismatch, the owner has to enrol.
- A photo goes through the same detector, alignment and network as the probe. Without exactly one
  face in it, it is `reference_invalid`.
- Small photos are enlarged and framed first: a credential's is 32 to 64 pixels, mostly face.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from agent.biometrics.errors import FaceRejected
from agent.biometrics.face.embed import Embedder
from agent.biometrics.types import Face, FaceDetector, PhotoReader
from agent.credential.model import BiometricReference, Modality, ReferenceForm
from agent.reason import Reason

__all__ = ["FACE_TEMPLATE", "embed_photo", "enlarge", "read_reference"]

FACE_TEMPLATE = 100
"""Claim 169 sub-format of our templates, in the vendors' range."""
WORKING_PX = 240
"""The shorter side that small photos are enlarged to."""
FRAME = 0.35
"""Border around a photo, of its shorter side: detectors miss faces that fill the picture."""
RIVAL = 0.6
"""A second face at least this wide makes a photo ambiguous."""

Rgb = NDArray[np.uint8]
Vector = NDArray[np.float32]


def read_reference(
    reference: BiometricReference,
    detector: FaceDetector,
    embedder: Embedder,
    photos: PhotoReader | None,
) -> Vector:
    """Return the reference's vector.

    Args:
        reference: out of a verified credential.
        detector: finds the face of a photo.
        embedder: makes or reads the template.
        photos: decodes a photo, whose bytes are a stranger's; None: no photo is read here.

    Raises:
        FaceRejected: `reference_invalid` or `template_incompatible`.
    """
    if reference.modality is not Modality.FACE:
        raise FaceRejected(Reason.REFERENCE_INVALID, f"a {reference.modality} is no face")
    if reference.form is ReferenceForm.IMAGE:
        if photos is None:
            raise FaceRejected(Reason.REFERENCE_INVALID, "no photo is decoded here")
        picture = photos(reference.data)
        try:
            return embed_photo(picture, detector, embedder)
        finally:
            picture.fill(0)
    if reference.subformat != FACE_TEMPLATE or reference.issuer != embedder.model_id:
        raise FaceRejected(
            Reason.TEMPLATE_INCOMPATIBLE,
            f"template of {reference.issuer[:64]!r}, sub-format {reference.subformat}; "
            f"this gate compares {embedder.model_id!r}",
        )
    return embedder.read_template(reference.data)


def embed_photo(picture: Rgb, detector: FaceDetector, embedder: Embedder) -> Vector:
    """Return the vector of the one face in a photo.

    Raises:
        FaceRejected: `reference_invalid`: no face, or no telling which.
    """
    framed = enlarge(picture)
    face = only_face(detector.detect(framed))
    chip = embedder.align(framed, face.points)
    vector = embedder.embed_reference(chip)
    chip.fill(0)
    framed.fill(0)
    return vector


def only_face(faces: list[Face]) -> Face:
    """Return the face that a photo shows.

    Raises:
        FaceRejected: `reference_invalid`: none, or a second one nearly as large.
    """
    if not faces:
        raise FaceRejected(Reason.REFERENCE_INVALID, "no face in the photo")
    widths = [face.box.width for face in faces]
    if len(faces) > 1 and widths[1] >= RIVAL * widths[0]:
        raise FaceRejected(Reason.REFERENCE_INVALID, "more than one face in the photo")
    return faces[0]


def enlarge(picture: Rgb) -> Rgb:
    """Return a small photo enlarged and any photo framed, (H, W, 3) uint8."""
    import cv2

    scale = WORKING_PX / min(picture.shape[:2])
    if scale > 1:
        size = tuple(max(1, round(n * scale)) for n in (picture.shape[1], picture.shape[0]))
        if max(size) > 4 * WORKING_PX:
            raise FaceRejected(Reason.REFERENCE_INVALID, "photo is too long and narrow")
        picture = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_CUBIC), np.uint8)
    border = round(min(picture.shape[:2]) * FRAME)
    framed = cv2.copyMakeBorder(
        picture, border, border, border, border, cv2.BORDER_CONSTANT, value=(128, 128, 128)
    )
    return np.asarray(framed, dtype=np.uint8)
