"""Enrolment: a template from one or several pictures of a person, with a report on each.

Rules:
- A picture counts when it shows exactly one face of sufficient quality; the report says what is
  wrong with the others.
- Pictures that do not show one person are refused: a template of two people would let both pass.
- The template is that of the picture nearest all others, not a mean: a mean of vectors scores
  higher with strangers too, and thresholds are measured on single pictures.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from agent.biometrics.errors import FaceRejected
from agent.biometrics.face.compare import cosine
from agent.biometrics.face.embed import Embedder
from agent.biometrics.face.quality import Limits, Quality, assess_chip, assess_face
from agent.biometrics.face.reference import enlarge, only_face
from agent.biometrics.geometry import similarity, warp
from agent.biometrics.types import Face, FaceDetector
from agent.reason import Reason

__all__ = ["Sample", "choose", "encode_photo", "locate", "take_sample"]

Rgb = NDArray[np.uint8]
Vector = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """One picture of an enrolment (ISO/IEC 2382-37.03.21).

    Attributes:
        quality: numbers and failed checks.
        vector: the face's vector.
    """

    quality: Quality
    vector: Vector = field(repr=False)


def locate(picture: Rgb, detector: FaceDetector) -> tuple[Rgb, Face]:
    """Return the one face of a picture, and the picture, enlarged and framed where it had to be.

    Raises:
        FaceRejected: no face, or more than one.
    """
    faces = detector.detect(picture)
    if not faces:
        picture = enlarge(picture)
        faces = detector.detect(picture)
    return picture, only_face(faces)


def take_sample(
    picture: Rgb, detector: FaceDetector, embedder: Embedder, limits: Limits | None = None
) -> Sample:
    """Return the sample of a picture.

    Raises:
        FaceRejected: no face, or more than one.
    """
    limits = limits or Limits()
    shown, face = locate(picture, detector)
    chip = embedder.align(shown, face.points)
    outer, inner = assess_face(face, limits), assess_chip(chip, limits)
    quality = Quality(outer.values | inner.values, outer.failed + inner.failed)
    return Sample(quality, embedder.embed_reference(chip))


def choose(samples: list[Sample], same_person: float) -> Sample:
    """Return the sample to enrol: the one nearest all others.

    Args:
        samples: of sufficient quality, of one person.
        same_person: score below which two samples are of two people.

    Raises:
        FaceRejected: there are none, or they show two people.
    """
    if not samples:
        raise FaceRejected(Reason.FACE_QUALITY, "no picture of sufficient quality")
    likeness = np.array([[cosine(a.vector, b.vector) for b in samples] for a in samples])
    if float(likeness.min()) < same_person and len(samples) > 1:
        raise FaceRejected(Reason.FACE_CHANGED, "the pictures do not show one person")
    return samples[int(np.argmax(likeness.sum(axis=1)))]


def encode_photo(
    picture: Rgb, face: Face, embedder: Embedder, *, size_px: int, kind: str, quality: int
) -> bytes:
    """Return a small photo of a picture's face, as a credential should carry it.

    It is cut upright and as tight as the embedder looks: at 32 to 64 pixels a side, what is around
    the face costs more accuracy than any codec.

    Args:
        picture: (H, W, 3) uint8 RGB.
        face: a face in it.
        embedder: says how tight.
        size_px: width and height of the photo.
        kind: Pillow's name of the format: WEBP, AVIF, JPEG, JPEG2000 or PNG.
        quality: the format's own scale; for JPEG 2000 the compression ratio.
    """
    import io

    from PIL import Image

    matrix = similarity(face.points, embedder.chip * (size_px / embedder.size[0]))
    out = io.BytesIO()
    image = Image.fromarray(warp(picture, matrix, (size_px, size_px)))
    if kind == "JPEG2000":
        image.save(out, kind, quality_mode="rates", quality_layers=[quality], no_jp2=True)
    else:
        image.save(out, kind, quality=quality)
    return out.getvalue()
