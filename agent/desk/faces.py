"""A face at the desk: how good a picture is, and the template that is made of it.

Rules:
- a picture is a stranger's file: it is decoded in the sandbox that gates decode credentials' photos
  in, within its limits, and overwritten when it was looked at; nothing of it is kept or written;
- the template is made by the gates' own chain (detector, alignment, network), so that what is
  enrolled here is what is compared there;
- one thread at a time looks: the network's interpreter is one;
- models and sandbox are loaded when the first picture comes, not when the desk starts.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from agent import log
from agent.biometrics.errors import FaceRejected, ModelError
from agent.credential.model import BiometricReference
from agent.desk.selfies import Turn, missed
from agent.issuing.issue import face_template
from agent.settings.model import FaceConfig

if TYPE_CHECKING:
    from agent.biometrics.face.embed import Embedder
    from agent.biometrics.face.enroll import Sample
    from agent.biometrics.photo import PhotoDecoder
    from agent.biometrics.types import FaceDetector
    from agent.sandbox.supervisor import Incident

__all__ = ["MOST_PICTURES", "FaceError", "Faces", "Look"]

MOST_PICTURES: Final = 4
_log = log.get(__name__)
_SAME_PERSON: Final = "1e-2"
"""Pictures less alike than strangers in one of a hundred pairs are of two people."""


class FaceError(ValueError):
    """No template came of it; one line for who stands there."""


@dataclass(frozen=True, slots=True)
class Look:
    """What one picture shows.

    Attributes:
        good: a template may be made of it.
        problem: one word: a failed check of `agent.biometrics.face.quality.Check`, `no_face`,
            `many_faces`, `picture`; empty where it is good.
        values: numbers of the checks.
    """

    good: bool
    problem: str
    values: dict[str, float] = field(default_factory=dict)


class Faces:
    """Looks at pictures of faces.

    Args:
        settings: which models; the shipped ones where none are named.
    """

    def __init__(self, settings: FaceConfig | None = None) -> None:
        self._settings = settings or FaceConfig()
        self._lock = threading.Lock()
        self._models: tuple[FaceDetector, Embedder] | None = None
        self._photos: PhotoDecoder | None = None
        self._closed = False

    def look(self, picture: bytes) -> Look:
        """Judge one picture, for the person who sits before the camera.

        Args:
            picture: JPEG, PNG or WebP, at most 600 KiB and 1,024 pixels a side.

        Raises:
            FaceError: the desk has no face models.
        """
        return self._sample(picture)[0]

    def take(self, pictures: list[bytes]) -> BiometricReference:
        """Return the template of one person's pictures.

        Args:
            pictures: one to four, as `look` takes them.

        Raises:
            FaceError: none is good enough, or they show two people; or there are no models.
        """
        from agent.biometrics.face.enroll import choose

        if not 1 <= len(pictures) <= MOST_PICTURES:
            raise FaceError(f"one to {MOST_PICTURES} pictures are needed")
        looked = [self._sample(picture) for picture in pictures]
        _, embedder = self._open()
        try:
            chosen = choose(
                [sample for look, sample in looked if look.good and sample is not None],
                embedder.thresholds.at(_SAME_PERSON),
            )
        except FaceRejected as refused:
            raise FaceError(refused.detail) from None
        return face_template(embedder.template(chosen.vector), embedder.model_id)

    def take_turns(self, pictures: Sequence[bytes], turns: Sequence[Turn]) -> BiometricReference:
        """Return the template of somebody who turned the head as asked, from the first picture.

        Args:
            pictures: one a turn, as `look` takes them.
            turns: what was asked; the first is a look straight ahead.

        Raises:
            FaceError: a picture is no good, does not show what was asked, or shows somebody else.
        """
        from agent.biometrics.face.compare import cosine

        if len(pictures) != len(turns):
            raise FaceError(f"{len(turns)} pictures are needed, one a turn")
        samples: list[Sample] = []
        for number, picture in enumerate(pictures, start=1):
            look, sample = self._sample(picture)
            # Only the first becomes a template; the others need to be a face.
            if sample is None or (number == 1 and not look.good):
                raise FaceError(f"picture {number}: {look.problem}")
            samples.append(sample)
        at = missed(turns, [sample.quality.values["yaw"] for sample in samples])
        if at is not None:
            raise FaceError(f"picture {at + 1}: not turned as asked")
        _, embedder = self._open()
        least = embedder.thresholds.at(_SAME_PERSON)
        first = samples[0].vector
        if any(cosine(first, sample.vector) < least for sample in samples[1:]):
            raise FaceError("the pictures do not show one person")
        reference = face_template(embedder.template(first), embedder.model_id)
        for sample in samples:
            sample.vector.fill(0)
        return reference

    def close(self) -> None:
        """End the sandbox; may be called twice."""
        with self._lock:
            self._closed = True
            if self._photos is not None:
                self._photos.close()
                self._photos = None

    def _sample(self, picture: bytes) -> tuple[Look, Sample | None]:
        from agent.biometrics.face.enroll import take_sample

        detector, embedder = self._open()
        with self._lock:
            if self._photos is None:
                raise FaceError("the desk is closing")
            try:
                pixels = self._photos.decode(picture)
            except FaceRejected:
                return Look(good=False, problem="picture"), None
            try:
                sample = take_sample(pixels, detector, embedder)
            except FaceRejected as refused:
                several = refused.detail.startswith("more than one")
                return Look(good=False, problem="many_faces" if several else "no_face"), None
            finally:
                pixels.fill(0)
                detector.wipe()
        quality = sample.quality
        failed = str(quality.failed[0]) if quality.failed else ""
        return Look(quality.good, failed, dict(quality.values)), sample

    def _open(self) -> tuple[FaceDetector, Embedder]:
        from agent.biometrics.face.session import open_models
        from agent.biometrics.photo import PhotoDecoder, PhotoError
        from agent.biometrics.picture_header import CAMERA_LIMITS

        with self._lock:
            if self._closed:
                raise FaceError("the desk is closing")
            if self._models is None:
                try:
                    self._models = open_models(self._settings)
                except ModelError as error:
                    raise FaceError(f"the desk cannot look at faces: {error}") from None
            if self._photos is None:
                photos = PhotoDecoder(_told, CAMERA_LIMITS)
                photos.start()
                try:
                    photos.wait_ready()
                except PhotoError as error:
                    photos.close()
                    raise FaceError(str(error)) from None
                self._photos = photos
            return self._models


def _told(incident: Incident) -> None:
    _log.warning("photo_incident", kind=incident.kind.value)
