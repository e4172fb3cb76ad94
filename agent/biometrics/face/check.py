"""One face check in its thread: frames in, hints to the person, one reason out."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from agent.biometrics.face.feed import FaceFeed
from agent.biometrics.face.session import FaceSession, FaceVerifier
from agent.biometrics.types import Hint
from agent.credential.model import BiometricReference, Credential, Modality
from agent.passage.events import StartBiometric
from agent.passage.types import Signal
from agent.reason import Reason

__all__ = ["FaceCheck", "reference_of"]

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
