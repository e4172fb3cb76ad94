"""The passive layer: what a flat, frozen or repeated picture gives away over some frames.

Rules:
- Nobody is clear before `MIN_FRAMES` frames and `watch_s`. A cue must hold in several frames.
- `frozen`: for `frozen_s` the face moves less than `still_px`. Nobody stands so still; until then
  the layer waits, so a picture on a stand gains nothing from being still.
- `planar`: the face turns (its outline is foreshortened), and one plane explains the motion of
  every point on it. A real nose moves against the eyes long before the outline narrows.
- `border`: straight edges on three sides that move with the face; edges of the room stand still.
- `size`: a face so large that it would be nearer than a gate lets one come.
- `periodic`: a screen's or a print's raster in the face.

The limits were set on rendered clips (`spoof_render.py`) and tried on others: `docs/face.md`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agent.biometrics.liveness.cues import Plane, Side, Track, periodicity, plane, sides
from agent.biometrics.liveness.types import Cue, State, Verdict
from agent.biometrics.types import Face

__all__ = ["PassiveLimits", "PassiveLiveness"]

MIN_FRAMES = 3
SHIFT_PX = 3.0
"""Motion of the detector's points that is no jitter, where the flow has nothing to follow."""

Rgb = NDArray[np.uint8]
Luma = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class PassiveLimits:
    """Where the cues begin to count.

    Attributes:
        still_px: motion below which a face stands still, pixels.
        frozen_s: seconds of stillness that are suspicious.
        turn: foreshortening from which planarity can be told.
        residual: distance of the points from one plane's motion, as part of the foreshortening,
            below which the plane explains it (a rendered head has 0.6 and more).
        slack: and this much more, eye distances, for the flow's own error.
        border_motion_px: motion from which a border can be told from the room.
        face_share: part of the frame's longer side that no face fills.
        peak: robust deviations that a raster stands out by; photographs of faces reach 3.6 in one
            of a hundred.
        watch_s: seconds that a face is watched at the least: most cues need motion to show.
    """

    still_px: float = 0.2
    frozen_s: float = 1.5
    turn: float = 0.02
    residual: float = 0.4
    slack: float = 0.002
    border_motion_px: float = 3.0
    face_share: float = 0.6
    peak: float = 4.5
    watch_s: float = 0.5


class PassiveLiveness:
    """Watches one session; see the module's rules.

    Args:
        limits: where the cues begin to count.
    """

    def __init__(self, limits: PassiveLimits | None = None) -> None:
        self._limits = limits or PassiveLimits()
        self._track: Track | None = None
        self._frames = 0
        self._began = 0.0
        self._still_since: float | None = None
        self._still_at: NDArray[np.float64] | None = None
        self._borders: list[tuple[NDArray[np.float64], dict[Side, float]]] = []
        self._votes: dict[Cue, int] = {}

    def observe(self, picture: Rgb, face: Face, now: float) -> Verdict:
        """Look at a frame with its presenting face; see `Liveness`."""
        import cv2

        luma = np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), dtype=np.uint8)
        if not self._frames:
            self._began = now
        self._frames += 1
        flat = self._follow(luma, face)
        peak = periodicity(luma, face)
        self._vote(Cue.PERIODIC, peak >= self._limits.peak)
        share = face.box.width / max(luma.shape)
        self._vote(Cue.SIZE, share >= self._limits.face_share)
        attached = 0
        if self._frames % 2:
            # Lines are the dearest to find, and a border is still there a frame later.
            attached = self._attached(luma, face)
            self._vote(Cue.BORDER, attached >= 3)
        still = self._stillness(face, flat, now)
        if flat is not None and flat.turn >= self._limits.turn:
            self._vote(Cue.PLANAR, self._explained(flat))
        luma.fill(0)
        values = {"peak": peak, "share": share, "attached": float(attached), "still_s": still}
        if flat is not None:
            values |= {"turn": flat.turn, "residual": flat.residual, "motion": flat.motion}
        return self._judge(values, still=still, watched=now - self._began)

    def wipe(self) -> None:
        """Overwrite the kept frame and forget the session."""
        if self._track is not None:
            self._track.wipe()
        self._track, self._frames = None, 0
        self._still_since = self._still_at = None
        self._borders.clear()
        self._votes.clear()

    def _judge(self, values: dict[str, float], *, still: float, watched: float) -> Verdict:
        cues = tuple(cue for cue, votes in self._votes.items() if votes >= NEEDED[cue])
        if still >= self._limits.frozen_s:
            cues = (*cues, Cue.FROZEN)
        if cues:
            return Verdict(State.SUSPECTED, cues, values)
        moved = still == 0.0
        ready = self._frames >= MIN_FRAMES and moved and watched >= self._limits.watch_s
        return Verdict(State.CLEAR if ready else State.WAITING, (), values)

    def _vote(self, cue: Cue, against: bool) -> None:
        """Count frames that speak for an attack; one that does not takes half a vote back."""
        before = self._votes.get(cue, 0)
        self._votes[cue] = before + 2 if against else max(before - 1, 0)

    def _follow(self, luma: Luma, face: Face) -> Plane | None:
        if self._track is None or not self._track.follow(luma):
            if self._track is not None:
                self._track.wipe()
            self._track = Track(luma, face)
            return None
        return plane(self._track.first, self._track.now, face.eye_distance)

    def _stillness(self, face: Face, flat: Plane | None, now: float) -> float:
        """Return for how many seconds the face has not moved."""
        middle = face.points.astype(np.float64).mean(axis=0)
        if self._still_at is None:
            self._still_at = middle
        shifted = float(np.hypot(*(middle - self._still_at))) >= SHIFT_PX
        if shifted or (flat is not None and flat.motion >= self._limits.still_px):
            self._still_since = None
            return 0.0
        if self._still_since is None:
            self._still_since = now
        return max(now - self._still_since, 1e-3)

    def _explained(self, flat: Plane) -> bool:
        return flat.residual < self._limits.residual * flat.turn + self._limits.slack

    def _attached(self, luma: Luma, face: Face) -> int:
        """Return on how many sides a straight border has moved with the face."""
        middle = face.points.astype(np.float64).mean(axis=0)
        seen = sides(luma, face.box)
        most = 0
        for then, edges in self._borders:
            by = middle - then
            moving = 0
            for side in edges.keys() & seen.keys():
                axis = 0 if side in (Side.LEFT, Side.RIGHT) else 1
                if abs(by[axis]) >= self._limits.border_motion_px:
                    off = seen[side] - edges[side] - by[axis]
                    moving += abs(off) <= 0.35 * abs(by[axis])
                elif abs(by[1 - axis]) >= self._limits.border_motion_px:
                    moving += abs(seen[side] - edges[side]) <= 1.0
            most = max(most, moving)
        self._borders = [*self._borders[:1], *self._borders[-6:], (middle, seen)]
        return most


NEEDED = {Cue.PERIODIC: 5, Cue.SIZE: 4, Cue.BORDER: 4, Cue.PLANAR: 4}
"""Votes, two a frame, at which a cue stands."""
