"""Face verification: does the person before the gate own the code?

Frame -> detect -> quality -> align -> embed -> compare with the credential's reference, decided
over several frames within a time limit. One `FaceVerifier` lives as long as the daemon, one
`FaceSession` as long as one check.

Rules:
- The largest face presents. A second one at least `RIVAL` times as wide makes the frame ambiguous;
  ambiguous frames do not count, and if only such came, the outcome is `several_faces`.
- Frames without a usable face do not count. At the time limit the reason is the furthest that was
  reached: `face_not_found`, `several_faces`, `face_quality`, `face_mismatch`.
- All counted frames show one person: a face unlike those before ends the check as `face_changed`.
  A face out of sight for longer than `GAP_S` starts the count again: evidence is one unbroken view.
- The liveness layer sees every frame with a presenting face and ends the check as
  `spoof_suspected`; nobody matches before it is content.
- Counted frames are looked at plain and mirrored in turn, which tells more than the same twice.
- Decided on the mean similarity of `frames` counted frames (a mean of scores keeps the false match
  rate of one; a mean of vectors would raise it): at the threshold or above it is a match; below the
  one for a false match rate of 1e-2, `face_mismatch`; in between more frames are taken, at most
  `PATIENCE` times as many.
- Nothing is stored: chips, vectors and the networks' buffers are overwritten when the check ends.
- No clock is read but to time the stages; the caller gives monotonic seconds.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from agent.biometrics.errors import ModelError
from agent.biometrics.face.compare import cosine
from agent.biometrics.face.detect import open_detector
from agent.biometrics.face.embed import Embedder
from agent.biometrics.face.quality import Limits, assess_chip, assess_face
from agent.biometrics.face.reference import read_reference
from agent.biometrics.liveness.layers import open_liveness
from agent.biometrics.liveness.types import Cue, Liveness, LivenessKind, State
from agent.biometrics.manifest import load_manifest, shipped_dir
from agent.biometrics.runtime import Options
from agent.biometrics.types import Face, FaceDetector, Hint, PhotoReader
from agent.credential.model import BiometricReference
from agent.reason import Reason
from agent.settings.model import FaceConfig
from hal.camera import Frame

__all__ = ["FaceOutcome", "FaceSession", "FaceVerifier", "open_models"]

RIVAL = 0.6
"""A second face this much as wide as the first may be the one that presents."""
GAP_S = 1.0
PATIENCE = 3
SAME_PERSON_RATE = "1e-2"
"""Frames of one session less alike than this false match rate's threshold are two people."""

Rgb = NDArray[np.uint8]
Vector = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class FaceOutcome:
    """What a check came to.

    Attributes:
        matched: True only when the person is the credential's.
        reason: `granted` when matched, else why not.
        similarity: mean cosine of the counted frames with the reference, None if none counted.
        threshold: what it was held against.
        frames: frames that were offered.
        counted: frames whose face was good enough to count.
        detect_ms: mean detection time a frame, milliseconds.
        embed_ms: mean time to align and embed a counted frame, milliseconds.
        cues: what the liveness layer objected to.
    """

    matched: bool
    reason: Reason
    similarity: float | None
    threshold: float
    frames: int
    counted: int
    detect_ms: float
    embed_ms: float
    cues: tuple[Cue, ...] = ()


def open_models(config: FaceConfig, base_dir: Path | None = None) -> tuple[FaceDetector, Embedder]:
    """Open the detector and the embedder that the settings name.

    Args:
        config: the settings' `[face]` table.
        base_dir: what `models_dir` is relative to.

    Raises:
        ModelError: a model, its manifest or its runtime cannot be used.
    """
    directory = Path(base_dir or ".", config.models_dir) if config.models_dir else shipped_dir()
    manifest = load_manifest(directory)
    how = Options(config.runtime, config.threads, config.delegate)
    detector = open_detector(directory, manifest, config.detector, how)
    return detector, Embedder(directory, manifest.find(config.embedder, "face-embedder"), how)


class FaceVerifier:
    """Detector, embedder and liveness layer of a gate; one session at a time, in one thread.

    Args:
        detector: finds faces.
        embedder: makes templates.
        false_match_rate: a measured rate, as `1e-4`.
        frames: frames a decision is made on.
        liveness: the layer of each session.
        limits: the quality gate.
        photos: decodes photos out of credentials; None: they are `reference_invalid`.

    Raises:
        ModelError: the embedder has no threshold for this rate.
    """

    def __init__(
        self,
        detector: FaceDetector,
        embedder: Embedder,
        *,
        false_match_rate: str = "1e-4",
        frames: int = 3,
        liveness: LivenessKind = "passive",
        limits: Limits | None = None,
        photos: PhotoReader | None = None,
    ) -> None:
        thresholds = embedder.thresholds
        if not {false_match_rate, SAME_PERSON_RATE} <= set(thresholds.rates):
            raise ModelError(
                f"model {embedder.model_id} has thresholds for {', '.join(thresholds.rates)}; "
                f"needed are {SAME_PERSON_RATE} and {false_match_rate}: run `idgate face calibrate`"
            )
        self.detector, self.embedder = detector, embedder
        self.threshold = thresholds.at(false_match_rate)
        self.same_person = thresholds.at(SAME_PERSON_RATE)
        self.frames, self.liveness = frames, liveness
        self.limits = limits or Limits()
        self._photos = photos

    @classmethod
    def from_config(
        cls, config: FaceConfig, base_dir: Path | None = None, photos: PhotoReader | None = None
    ) -> FaceVerifier:
        """Open the models that the settings name; fails at start, never at the first person.

        Args:
            config: the settings' `[face]` table.
            base_dir: what `models_dir` is relative to.
            photos: decodes photos out of credentials.

        Raises:
            ModelError: a model, its manifest or its runtime cannot be used.
        """
        detector, embedder = open_models(config, base_dir)
        return cls(
            detector,
            embedder,
            false_match_rate=config.false_match_rate,
            frames=config.frames,
            liveness=config.liveness,
            photos=photos,
        )

    @property
    def model_id(self) -> str:
        """The embedder's name, which templates in credentials must carry as issuer."""
        return self.embedder.model_id

    def info(self) -> dict[str, str]:
        """Return models and runtime for the gate's `info` topic."""
        return {
            "detector": self.detector.name,
            "embedder": self.embedder.model_id,
            "runtime": self.embedder.runtime,
            "liveness": self.liveness,
        }

    def begin(
        self, reference: BiometricReference, now: float, timeout_s: float = 8.0
    ) -> FaceSession:
        """Begin a check.

        Args:
            reference: a face out of a verified credential.
            now: monotonic seconds.
            timeout_s: seconds until the check ends without a match.

        Raises:
            FaceRejected: `reference_invalid` or `template_incompatible`.
        """
        vector = read_reference(reference, self.detector, self.embedder, self._photos)
        return FaceSession(self, vector, now + timeout_s, open_liveness(self.liveness))

    def wipe(self) -> None:
        """Overwrite what the networks hold of the last person."""
        self.detector.wipe()
        self.embedder.wipe()


class FaceSession:
    """One check of one person; made by `FaceVerifier.begin`, used by one thread."""

    def __init__(
        self,
        verifier: FaceVerifier,
        reference: Vector,
        deadline: float,
        liveness: Liveness | None,
    ) -> None:
        self._verifier, self._reference = verifier, reference
        self._deadline, self._liveness = deadline, liveness
        self._probes: list[Vector] = []
        self._scores: list[float] = []
        self._furthest = Reason.FACE_NOT_FOUND
        self._last_seen = deadline
        self._content = liveness is None
        self._frames = self._embedded = 0
        self._detect_s = self._embed_s = 0.0
        self._over = False
        self.hint = Hint.NO_FACE
        """What the person can do now; changes with every frame."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def offer(self, frame: Frame, now: float) -> FaceOutcome | None:
        """Look at one frame; the frame stays the caller's.

        Args:
            frame: the newest frame.
            now: monotonic seconds.

        Returns:
            The outcome once there is one; the session is then over and its buffers are wiped.

        Raises:
            RuntimeError: the session is over.
        """
        if self._over:
            raise RuntimeError("the face session is over")
        late = self.expire(now)
        if late is not None:
            return late
        self._frames += 1
        picture = frame.rgb()
        try:
            return self._look(picture, now)
        finally:
            if picture is not frame.colour:
                picture.fill(0)

    def expire(self, now: float) -> FaceOutcome | None:
        """Return the outcome if the time is over, else None; call it when no frame comes."""
        if self._over or now < self._deadline:
            return None
        reason = self._furthest
        if len(self._scores) >= self._verifier.frames and self._mean() < self._verifier.threshold:
            reason = Reason.FACE_MISMATCH
        return self._finish(reason)

    def close(self) -> None:
        """End without an outcome and overwrite everything; may be called twice."""
        if self._over:
            return
        self._over = True
        for vector in (self._reference, *self._probes):
            vector.fill(0)
        self._probes.clear()
        if self._liveness is not None:
            self._liveness.wipe()
        self._verifier.wipe()

    def _look(self, picture: Rgb, now: float) -> FaceOutcome | None:
        started = time.perf_counter()
        faces = self._verifier.detector.detect(picture)
        self._detect_s += time.perf_counter() - started
        face = self._presenting(faces)
        if face is None:
            return None
        if now - self._last_seen > GAP_S:
            self._start_again()
        self._last_seen = now
        self.hint = Hint.NONE
        if self._liveness is not None:
            verdict = self._liveness.observe(picture, face, now)
            if verdict.state is State.SUSPECTED:
                return self._finish(Reason.SPOOF_SUSPECTED, verdict.cues)
            self._content = verdict.state is State.CLEAR
            self.hint = verdict.hint
        probe = self._probe(picture, face)
        return None if probe is None else self._count(probe)

    def _presenting(self, faces: list[Face]) -> Face | None:
        """Return the face that presents, or None with the hint that says why there is none."""
        if not faces:
            self.hint = Hint.NO_FACE
            return None
        if len(faces) > 1 and faces[1].box.width >= RIVAL * faces[0].box.width:
            self.hint = Hint.ONE_PERSON
            self._reached(Reason.SEVERAL_FACES)
            return None
        self._reached(Reason.FACE_QUALITY)
        return faces[0]

    def _probe(self, picture: Rgb, face: Face) -> Vector | None:
        """Return the face's vector, or None if it is not good enough to be compared."""
        quality = assess_face(face, self._verifier.limits)
        if quality.good:
            started = time.perf_counter()
            chip = self._verifier.embedder.align(picture, face.points)
            quality = assess_chip(chip, self._verifier.limits)
            if quality.good:
                mirrored = len(self._scores) % 2 == 1
                vector = self._verifier.embedder.embed(chip, mirrored=mirrored)
                self._embed_s += time.perf_counter() - started
                self._embedded += 1
            chip.fill(0)
        if quality.good:
            return vector
        if self.hint is Hint.NONE:
            self.hint = quality.hint
        return None

    def _count(self, probe: Vector) -> FaceOutcome | None:
        """Take a good frame's vector into account and decide if it is time."""
        if any(cosine(probe, each) < self._verifier.same_person for each in self._probes):
            return self._finish(Reason.FACE_CHANGED)
        # The first and the newest are enough to tell a change, slow or quick.
        for passed in self._probes[1:]:
            passed.fill(0)
        self._probes[1:] = [probe]
        self._scores.append(cosine(probe, self._reference))
        if len(self._scores) < self._verifier.frames:
            return None
        mean = self._mean()
        if mean >= self._verifier.threshold:
            return self._finish(Reason.GRANTED) if self._content else None
        limit = PATIENCE * self._verifier.frames
        if mean < self._verifier.same_person or len(self._scores) >= limit:
            return self._finish(Reason.FACE_MISMATCH)
        return None

    def _start_again(self) -> None:
        for vector in self._probes:
            vector.fill(0)
        self._probes.clear()
        self._scores.clear()
        if self._liveness is not None:
            self._liveness.wipe()

    def _reached(self, reason: Reason) -> None:
        if self._furthest is not Reason.FACE_QUALITY:
            self._furthest = reason

    def _mean(self) -> float:
        return float(np.mean(self._scores))

    def _finish(self, reason: Reason, cues: tuple[Cue, ...] = ()) -> FaceOutcome:
        outcome = FaceOutcome(
            matched=reason is Reason.GRANTED,
            reason=reason,
            similarity=self._mean() if self._scores else None,
            threshold=self._verifier.threshold,
            frames=self._frames,
            counted=len(self._scores),
            detect_ms=1e3 * self._detect_s / max(self._frames, 1),
            embed_ms=1e3 * self._embed_s / max(self._embedded, 1),
            cues=cues,
        )
        self.close()
        return outcome
