"""Presentation attack detection (ISO/IEC 30107-3): a face, or a picture of one?

This file holds what a session knows of it; the passive layer is `liveness_passive.py`, the
challenge `liveness_challenge.py`. One colour camera stops casual prints and some screens and no
more than `docs/face.md` says was measured; infrared or depth is the real answer and fits behind
`Liveness`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from agent.biometrics.face_detect import Face
from agent.biometrics.face_quality import Hint

__all__ = ["Cue", "Liveness", "LivenessKind", "State", "Verdict", "open_liveness"]

Rgb = NDArray[np.uint8]
LivenessKind = Literal["off", "passive", "challenge"]


class State(StrEnum):
    """What the layer thinks so far."""

    WAITING = "waiting"
    """More frames are needed before a person may pass."""
    CLEAR = "clear"
    """Nothing speaks against a live face; that is not proof of one."""
    SUSPECTED = "suspected"
    """A presentation attack is suspected; final."""


class Cue(StrEnum):
    """What spoke against a live face."""

    PLANAR = "planar"
    FROZEN = "frozen"
    BORDER = "border"
    SIZE = "size"
    PERIODIC = "periodic"
    NO_RESPONSE = "no_response"


@dataclass(frozen=True, slots=True)
class Verdict:
    """A state, the cues behind it, and the numbers behind those."""

    state: State
    cues: tuple[Cue, ...] = ()
    values: dict[str, float] = field(default_factory=dict)
    hint: Hint = Hint.NONE


class Liveness(Protocol):
    """Watches the frames of one session; one thread, no clock of its own."""

    def observe(self, picture: Rgb, face: Face, now: float) -> Verdict:
        """Look at a frame with its presenting face; the picture stays the caller's.

        Args:
            picture: (H, W, 3) uint8 RGB, the whole frame.
            face: the presenting face.
            now: monotonic seconds.
        """

    def wipe(self) -> None:
        """Overwrite what was kept of the frames."""


def open_liveness(kind: LivenessKind) -> Liveness | None:
    """Return a fresh layer for a session, None for `off`."""
    if kind == "off":
        return None
    from agent.biometrics.liveness_passive import PassiveLiveness

    if kind == "passive":
        return PassiveLiveness()
    from agent.biometrics.liveness_challenge import ChallengeLiveness

    return ChallengeLiveness()
