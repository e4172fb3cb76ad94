"""What a liveness layer says of a face, and how a session asks it (ISO/IEC 30107-3)."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal, Protocol

from agent.biometrics.types import Face, Hint, Rgb

__all__ = ["Cue", "Liveness", "LivenessKind", "State", "Verdict"]

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
