"""The challenge: the lamp asks for a turn of the head to a side that nobody could foresee.

Rules:
- The side is drawn at random for each session, after the passive layer has seen a frontal face.
- The turn must be to that side; a turn to the other side, or none within `ANSWER_S`, is
  `no_response`. A picture cannot turn by itself, and one turned by hand is caught as planar.
- The passive layer watches throughout; the person is clear when both are content.
"""

from __future__ import annotations

import secrets

import numpy as np
from numpy.typing import NDArray

from agent.biometrics.geometry import pose
from agent.biometrics.liveness.passive import PassiveLiveness
from agent.biometrics.liveness.types import Cue, Liveness, State, Verdict
from agent.biometrics.types import Face, Hint

__all__ = ["ANSWER_S", "ChallengeLiveness"]

ANSWER_S = 4.0
TURN = 0.3
"""Change of the yaw proxy (half eye distances) that counts as a turn, some 15 degrees."""
BASELINE_FRAMES = 2

Rgb = NDArray[np.uint8]


class ChallengeLiveness:
    """Watches one session and asks for one turn.

    Args:
        side: `turn_left` or `turn_right` (the person's); None draws one at random.
        passive: the layer beneath; None takes the default one.
    """

    def __init__(self, side: Hint | None = None, passive: Liveness | None = None) -> None:
        self._fixed = side
        self._passive = passive or PassiveLiveness()
        self.side = self._draw()
        self._baseline: list[float] = []
        self._answered = False
        self._asked_at = 0.0

    def observe(self, picture: Rgb, face: Face, now: float) -> Verdict:
        """Look at a frame with its presenting face; see `Liveness`."""
        below = self._passive.observe(picture, face, now)
        if below.state is State.SUSPECTED:
            return below
        yaw = pose(face)[0]
        if len(self._baseline) < BASELINE_FRAMES:
            self._baseline.append(yaw)
            self._asked_at = now
            return Verdict(State.WAITING, (), below.values, Hint.LOOK_HERE)
        if not self._answered:
            towards = 1 if self.side is Hint.TURN_LEFT else -1
            turned = (yaw - float(np.mean(self._baseline))) * towards
            self._answered = turned >= TURN
            values = {**below.values, "turned": turned}
            if turned <= -TURN or now - self._asked_at > ANSWER_S:
                return Verdict(State.SUSPECTED, (Cue.NO_RESPONSE,), values)
            return Verdict(State.WAITING, (), values, self.side)
        hint = Hint.NONE if below.state is State.CLEAR else Hint.LOOK_HERE
        return Verdict(below.state, (), below.values, hint)

    def wipe(self) -> None:
        """Forget the session; the next one is asked anew."""
        self._passive.wipe()
        self.side = self._draw()
        self._baseline.clear()
        self._answered = False

    def _draw(self) -> Hint:
        return self._fixed or secrets.choice((Hint.TURN_LEFT, Hint.TURN_RIGHT))
