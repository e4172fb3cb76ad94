"""Whether a camera can see: a covered lens, a lens out of focus, a picture that stands still.

Rules:
- A few frames a second are looked at, a few lines of each (`measure`); what is kept is numbers.
- Covered: the picture is black, white, or flat with little more than a sensor's noise; or a bright
  place that always had outlines has none left.
- Defocused: there is contrast, and no edge is anywhere near as steep as contrast makes it; or the
  fine detail is a small part of what there was when this camera last read codes. Both limits are
  set by what the camera itself shows while codes are read, since a lens that is focused at an arm's
  length sees the hall behind softly for ever. A dim hall keeps the noise of its sensor, so that fog
  and night are neither.
- Frozen: the sensor's time stands still; or a sensor that has noise sends the same bytes again.
- A fault begins when nothing but its signs was seen for `BEGIN_S`, and ends when none was seen for
  `END_S`. A code that was read proves that the camera sees, whatever the numbers say.

Pure: frames and times come in, a fault's word goes out.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from hal.camera import Frame, Luma

__all__ = ["Blindness", "CameraWatch", "Sight", "at_first_sight", "measure"]

LOOK_S = 0.5
"""Between two looks; a look that finds nothing good takes the next frame too, since exposure
alternates from frame to frame."""
BEGIN_S = 10.0
END_S = 2.0
GAP_S = 2.0
"""Frames so far apart are no evidence of what was between them."""

BANDS = 20
"""Bands of lines that are measured, spread over the height."""
LINES = 4
"""Lines of a band; their mean halves the noise."""
BLOCK = 16
"""Pixels across which the mean of a band is taken, for what is bright and dark."""
OUTLIERS = 4
"""Blocks that may be darker or brighter than all others by a bad pixel."""
STEP = 4
"""Pixels between the two means whose difference is an edge's steepness."""

BLACK = 18.0
WHITE = 230.0
"""Video levels run from 16 to 235."""
FLAT = 4.0
"""Range of the block means in which nothing can be told from anything; light on a bare wall has
more."""
FLAT_NOISE = 0.9
"""The same by the noise that is in the means, where that is more."""
CONTRAST = 10.0
"""Range within an edge's reach that is contrast, where there is no noise."""
CONTRAST_NOISE = 3.0
"""How much more it must be for each level of noise."""
ENOUGH = 0.15
"""Share of the bands with contrast that is enough to speak of focus."""
LITTLE_NOISE = 3.5
"""Standard deviation, grey levels, that a sensor in ample light stays below."""
LITTLE_NOISE_DIM = 2.0
"""The same in a dim place, where gain is high."""
BRIGHT = 40.0
"""Mean of a place that is lit well enough for its outlines to show."""
OUTLINED = 0.3
"""Share of the bands that have contrast in a place that is known to have outlines."""

SOFT = 0.17
"""Steepest edge by its contrast: 1 is sharp, 0.2 is spread by 8 pixels. Photographs that people
take have 0.48 and more; an empty hall that is far out of focus may have 0.2."""
SOFTER = 0.4
"""The same as a part of what this camera shows when it reads codes."""
NO_DETAIL = 0.125
"""Fine detail as a part of what this camera shows when it reads codes."""
KNOWN = 8
"""Looks after which something is usual."""
LEARN = 1 / 64
"""Weight of one good look in what is usual."""


class Blindness(StrEnum):
    """Why a camera does not see; the codes of its faults."""

    COVERED = "covered"
    DEFOCUSED = "defocused"
    FROZEN = "frozen"


@dataclass(frozen=True, slots=True)
class Sight:
    """What a frame's lines say.

    Attributes:
        mean: brightness, grey levels.
        low: darkest block, but for `OUTLIERS`.
        high: brightest block, but for `OUTLIERS`.
        noise: standard deviation of the finest detail's lower half, grey levels.
        detail: root mean square of the finest detail, grey levels.
        outlined: share of the bands that have contrast.
        focus: steepest edge of those bands by its contrast, 0 to 1; None where no band has any.
        bytes_hash: of the lines.
    """

    mean: float
    low: float
    high: float
    noise: float
    detail: float
    outlined: float
    focus: float | None
    digest: int


def measure(luma: Luma) -> Sight:
    """Look at a plane.

    Args:
        luma: (H, W) uint8, at least 64 x 64; rows may be strided.
    """
    height = luma.shape[0]
    width = luma.shape[1] // BLOCK * BLOCK
    tops = np.linspace(0, height - LINES, BANDS).astype(np.intp)
    lines = luma[tops[:, None] + np.arange(LINES), :width]  # (BANDS, LINES, width), a copy
    bands = lines.sum(axis=1, dtype=np.int16)  # four times the brightness
    blocks = bands.reshape(BANDS, -1, BLOCK).mean(axis=2) / LINES
    ordered = np.sort(blocks, axis=None)
    few = min(OUTLIERS, (ordered.size - 1) // 2)
    low, high = ordered[few], ordered[-1 - few]
    first = lines[:, 0].astype(np.int16)
    fine = np.abs(2 * first[:, 1:-1] - first[:, :-2] - first[:, 2:]).ravel()[::3]
    # Of three pixels' second difference, in a normal distribution.
    noise = float(np.partition(fine, fine.size // 2)[fine.size // 2]) / 0.6745 / 6**0.5
    square = np.square(fine, dtype=np.int32)
    outlined, focus = _focus(bands, blocks, noise)
    return Sight(
        mean=float(blocks.mean()),
        low=float(low),
        high=float(high),
        noise=noise,
        detail=float(square.mean()) ** 0.5,
        outlined=outlined,
        focus=focus,
        digest=hash(lines.tobytes()),
    )


def at_first_sight(sight: Sight) -> Blindness | None:
    """Return what is wrong with a picture whatever its camera showed before; None for nothing."""
    quiet = sight.noise < (LITTLE_NOISE if sight.mean >= BRIGHT else LITTLE_NOISE_DIM)
    extreme = sight.high <= BLACK or sight.low >= WHITE
    flat = sight.high - sight.low < max(FLAT, FLAT_NOISE * sight.noise)
    if flat and (extreme or quiet):
        return Blindness.COVERED
    if sight.focus is not None and sight.focus < SOFT:
        return Blindness.DEFOCUSED
    return None


def _focus(
    bands: NDArray[np.int16], blocks: NDArray[np.float64], noise: float
) -> tuple[float, float | None]:
    """Return the share of bands with contrast, and the steepest edge of those by its contrast."""
    reach = np.stack([blocks[:, at : blocks.shape[1] - 3 + at] for at in range(4)])
    span = (reach.max(axis=0) - reach.min(axis=0)).max(axis=1)
    contrasty = span > CONTRAST + CONTRAST_NOISE * noise
    outlined = float(contrasty.mean())
    if outlined < ENOUGH:
        return outlined, None
    sums = np.cumsum(bands[contrasty], axis=1, dtype=np.int32)
    wide = sums[:, STEP:] - sums[:, :-STEP]
    steepest = np.abs(wide[:, STEP:] - wide[:, :-STEP]).max(axis=1) / (STEP * LINES)
    # The steepest of many is steep by noise alone; what adds to an edge adds in squares.
    by_noise = 3.3 * noise * (2 / STEP / LINES) ** 0.5
    steepest = np.sqrt(np.maximum(np.square(steepest) - by_noise**2, 0))
    return outlined, float((steepest / span[contrasty]).max())


@dataclass(frozen=True, slots=True)
class _Usual:
    """What this camera shows when all is well and no code is in view."""

    looks: int = 0
    detail: float = 0.0
    outlined: float = 0.0
    focus: float | None = None

    def with_look(self, sight: Sight) -> _Usual:
        """Return it with one look more."""
        weight = max(LEARN, 1 / (self.looks + 1))
        focus = self.focus
        if sight.focus is not None:
            focus = sight.focus if focus is None else focus + weight * (sight.focus - focus)
        return _Usual(
            looks=self.looks + 1,
            detail=self.detail + weight * (sight.detail - self.detail),
            outlined=self.outlined + weight * (sight.outlined - self.outlined),
            focus=focus,
        )


class CameraWatch:
    """One camera's watch; for the camera's thread.

    Attributes:
        fault: what is wrong now; None where nothing is.
    """

    def __init__(self) -> None:
        self.fault: Blindness | None = None
        self._usual = _Usual()
        self._when_read: _Usual | None = None
        self._code_focus: float | None = None
        self._looked_s = self._settled_s = self._since_s = float("-inf")
        self._bad = False
        self._again = False
        self._last: tuple[int, int] | None = None

    def see(self, frame: Frame, now_s: float, *, read: bool) -> bool:
        """Look at a frame if it is time to; return whether `fault` changed.

        Args:
            frame: as lent; nothing of it is kept.
            now_s: monotonic.
            read: whether a code was read in it.
        """
        if not self._again and now_s - self._looked_s < LOOK_S:
            return False
        self._looked_s = now_s
        sight = measure(frame.luma)
        found = self._judge(frame, sight, read=read)
        if found is not None and not self._again:
            self._again = True
            return False
        self._again = False
        if found is None:
            self._learn(sight, read=read)
        return self._settle(found, now_s)

    def _judge(self, frame: Frame, sight: Sight, *, read: bool) -> Blindness | None:
        last, self._last = self._last, (frame.captured_ns, sight.digest)
        seems = at_first_sight(sight)
        if seems is Blindness.COVERED and not read:
            return seems
        if last is not None and (
            frame.captured_ns == last[0] or (frame.noisy and sight.digest == last[1])
        ):
            return Blindness.FROZEN
        if read:
            return None
        return seems or self._by_what_is_usual(sight)

    def _by_what_is_usual(self, sight: Sight) -> Blindness | None:
        usual = self._when_read or self._usual
        if sight.mean < BRIGHT or usual.looks < KNOWN:
            return None
        bare = sight.noise < LITTLE_NOISE and sight.outlined == 0
        if bare and usual.outlined >= OUTLINED:
            return Blindness.COVERED
        sharp = self._code_focus if usual.focus is None else usual.focus
        soft = sharp is not None and sight.focus is not None and sight.focus < SOFTER * sharp
        if soft or sight.detail < NO_DETAIL * usual.detail:
            return Blindness.DEFOCUSED
        return None

    def _learn(self, sight: Sight, *, read: bool) -> None:
        if not read:
            self._usual = self._usual.with_look(sight)
        elif sight.focus is not None:
            self._when_read, self._code_focus = self._usual, sight.focus

    def _settle(self, found: Blindness | None, now_s: float) -> bool:
        """Count how long it has been so; begin or end the fault."""
        bad = found is not None
        if bad is not self._bad or now_s - self._settled_s > GAP_S:
            self._bad, self._since_s = bad, now_s
        self._settled_s = now_s
        if bad is (self.fault is not None):
            return False
        if now_s - self._since_s < (BEGIN_S if bad else END_S):
            return False
        self.fault = found
        return True
