"""Builds the biometric checks that the settings name, and joins them to the gate's threads.

The models are opened, and answer their golden vectors, before the gate is ready: a gate with a
wrong model never asks for a face. The fingerprint module proves itself, or the gate does not start.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

from agent.biometrics.face.check import FaceCheck
from agent.biometrics.face.feed import FaceFeed
from agent.biometrics.face.session import FaceVerifier
from agent.biometrics.finger.check import FingerCheck
from agent.biometrics.photo import PhotoDecoder
from agent.controller.biometric_checks import Check
from agent.credential.model import Modality
from agent.daemon.place import face_settings
from agent.passage.types import Signal
from agent.sandbox.supervisor import Incident
from agent.settings.model import Config
from agent.trust.model import TrustView

__all__ = ["Biometrics", "build_biometrics"]


@dataclass(slots=True)
class Biometrics:
    """What is fitted.

    Attributes:
        checks: by modality.
        enrolled: whether the fingerprint module holds a finger of a subject, by its hash.
        face: the face check, where faces are compared.
        finger: the finger check, where a module is fitted.
        photos: decodes the photos of credentials, where faces are compared.
    """

    checks: dict[Modality, Check]
    enrolled: Callable[[str], bool]
    face: FaceCheck | None = None
    finger: FingerCheck | None = None
    photos: PhotoDecoder | None = None

    @property
    def modalities(self) -> frozenset[Modality]:
        """What can be asked of a person here."""
        return frozenset(self.checks)

    @property
    def incidents(self) -> int:
        """How many workers of the photo decoder had to be replaced."""
        return 0 if self.photos is None else sum(self.photos.incidents.values())

    def info(self) -> dict[str, str]:
        """Return models and runtime, for the fleet."""
        found = {} if self.face is None else dict(self.face.verifier.info())
        if self.finger is not None:
            length = self.finger.sensor.info.template_length
            found["finger"] = f"{self.finger.rules.family}, templates of {length or '?'} bytes"
        return found

    def start(self) -> None:
        """Let the photo decoder load; does not wait."""
        if self.photos is not None:
            self.photos.start()

    def wait_ready(self) -> None:
        """Wait until a photo would be decoded.

        Raises:
            PhotoError: it never will.
        """
        if self.photos is not None:
            self.photos.wait_ready()

    def close(self) -> None:
        """Let go of devices and processes; may be called twice."""
        if self.photos is not None:
            self.photos.close()
        if self.finger is not None:
            self.finger.close()


def build_biometrics(
    config: Config,
    feed: FaceFeed,
    show: Callable[[Signal], None],
    trust: TrustView,
    on_incident: Callable[[Incident], None],
) -> Biometrics:
    """Open what the settings name.

    Args:
        config: the settings.
        feed: the camera's frames.
        show: the gate's lamps.
        trust: its models go before the shipped ones.
        on_incident: told of each worker of the photo decoder that had to be replaced.

    Raises:
        ModelError: a face model, its manifest or its runtime cannot be used.
        ConfigError: a secret of the fingerprint module cannot be read.
        HalError: the fingerprint module does not answer, or is not ours.
    """
    checks: dict[Modality, Check] = {}
    face: FaceCheck | None = None
    photos: PhotoDecoder | None = None
    settings = face_settings(config, trust)
    with ExitStack() as undo:
        if settings is not None:
            photos = PhotoDecoder(on_incident)
            undo.callback(photos.close)
            verifier = FaceVerifier.from_config(settings, config.path(""), photos.decode)
            checks[Modality.FACE] = face = FaceCheck(verifier, feed, show)
        if config.finger is None:
            undo.pop_all()
            return Biometrics(checks, enrolled=lambda _subject: False, face=face, photos=photos)
        from agent.daemon.finger import make_check

        checks[Modality.FINGER] = finger = make_check(config)
        undo.pop_all()
    return Biometrics(checks, enrolled=finger.enrolled, face=face, finger=finger, photos=photos)
