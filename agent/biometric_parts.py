"""Builds the biometric checks that the settings name, and joins them to the gate's threads.

The models are opened, and answer their golden vectors, before the gate is ready: a gate with a
wrong model never asks for a face. The fingerprint module proves itself, or the gate does not start.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from agent.biometrics.face import FaceSession, FaceVerifier
from agent.biometrics.face_quality import Hint
from agent.biometrics.finger import FingerCheck
from agent.checks import Check
from agent.config import Config
from agent.credential.model import BiometricReference, Credential, Modality
from agent.passage_events import StartBiometric
from agent.passage_types import Signal
from agent.place import face_of
from agent.reason import Reason
from agent.trust.model import TrustView
from agent.watcher import FaceFeed

__all__ = ["Biometrics", "FaceCheck", "build_biometrics"]

FRAME_WAIT_S = 0.25
LEFT_S = 2.0
"""Who was seen and is out of view for so long has left; a turned head comes back sooner."""
_SIGNALS = {Hint.TURN_LEFT: Signal.TURN_LEFT, Hint.TURN_RIGHT: Signal.TURN_RIGHT}


class FaceCheck:
    """Compares who stands before the camera with the credential's face.

    Args:
        verifier: detector, embedder and liveness.
        feed: the camera's frames.
        show: asks the person for a turn of the head, where the liveness layer wants one.
        monotonic: seconds.
    """

    def __init__(
        self,
        verifier: FaceVerifier,
        feed: FaceFeed,
        show: Callable[[Signal], None],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.verifier = verifier
        self._feed = feed
        self._show = show
        self._monotonic = monotonic

    def __call__(self, effect: StartBiometric, cancelled: threading.Event) -> Reason:
        """Run one check; `GRANTED` when it is the person."""
        reference = reference_of(effect, Modality.FACE)
        if reference is None:
            return Reason.NO_REFERENCE
        self._feed.open()
        try:
            with self.verifier.begin(reference, self._monotonic(), effect.timeout_s) as session:
                return self._watch(session, cancelled)
        finally:
            self._feed.close()

    def _watch(self, session: FaceSession, cancelled: threading.Event) -> Reason:
        seen, asked = False, Hint.NONE
        there_at: float | None = None
        while not cancelled.is_set():
            frame = self._feed.take(FRAME_WAIT_S)
            now = self._monotonic()
            if frame is None:
                outcome = session.expire(now)
            else:
                seen = True
                try:
                    outcome = session.offer(frame, now)
                finally:
                    frame.wipe()
            if session.hint is not asked:
                asked = session.hint
                self._show(_SIGNALS.get(asked, Signal.PROMPT_FACE))
            if outcome is not None:
                return outcome.reason if seen else Reason.CAMERA_FAULT
            if seen and session.hint is not Hint.NO_FACE:
                there_at = now
            elif there_at is not None and now - there_at >= LEFT_S:
                return Reason.PERSON_LEFT
        return Reason.PERSON_LEFT


def reference_of(effect: StartBiometric, modality: Modality) -> BiometricReference | None:
    """Return the credential's first reference of a modality."""
    credential = effect.use.context
    if not isinstance(credential, Credential):
        return None
    return next((ref for ref in credential.references if ref.modality is modality), None)


@dataclass(slots=True)
class Biometrics:
    """What is fitted.

    Attributes:
        checks: by modality.
        enrolled: whether the fingerprint module holds a finger of a subject, by its hash.
        face: the face check, where faces are compared.
        finger: the finger check, where a module is fitted.
    """

    checks: dict[Modality, Check]
    enrolled: Callable[[str], bool]
    face: FaceCheck | None = None
    finger: FingerCheck | None = None

    @property
    def modalities(self) -> frozenset[Modality]:
        """What can be asked of a person here."""
        return frozenset(self.checks)

    def info(self) -> dict[str, str]:
        """Return models and runtime, for the fleet."""
        found = {} if self.face is None else dict(self.face.verifier.info())
        if self.finger is not None:
            length = self.finger.sensor.info.template_length
            found["finger"] = f"{self.finger.rules.family}, templates of {length or '?'} bytes"
        return found

    def close(self) -> None:
        """Let go of the devices; may be called twice."""
        if self.finger is not None:
            self.finger.close()


def build_biometrics(
    config: Config, feed: FaceFeed, show: Callable[[Signal], None], trust: TrustView
) -> Biometrics:
    """Open what the settings name.

    Args:
        config: the settings.
        feed: the camera's frames.
        show: the gate's lamps.
        trust: its models go before the shipped ones.

    Raises:
        ModelError: a face model, its manifest or its runtime cannot be used.
        ConfigError: a secret of the fingerprint module cannot be read.
        HalError: the fingerprint module does not answer, or is not ours.
    """
    checks: dict[Modality, Check] = {}
    face: FaceCheck | None = None
    settings = face_of(config, trust)
    if settings is not None:
        face = FaceCheck(FaceVerifier.from_config(settings, config.path("")), feed, show)
        checks[Modality.FACE] = face
    if config.finger is None:
        return Biometrics(checks, enrolled=lambda _subject: False, face=face)
    from agent.finger_parts import make_check

    checks[Modality.FINGER] = finger = make_check(config)
    return Biometrics(checks, enrolled=finger.enrolled, face=face, finger=finger)
