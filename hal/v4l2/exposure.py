"""Exposures that alternate from picture to picture, with what a webcam has for it.

Two ways, the first that the camera has:
- a bias of its automatic exposure (`EXPOSURE_BIAS`), in thousandths of a stop;
- its exposure time (`EXPOSURE_ABSOLUTE`, 100 us), relative to what its automatic settled on. Few
  webcams say truly what that was. So the first time the manual picture is compared with the
  automatic one: where they differ, the automatic stays on for good, and that is told.
The automatic is off before a time is set, and every control is read back. Light changes: after
`RENEW_S`, or when pictures are `DRIFT` times brighter or darker for `DRIFT_S`, the automatic
settles anew. Time is the pictures' own; nothing here reads a clock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

from hal.v4l2 import abi
from hal.v4l2.device import Device, Range

__all__ = ["ByBias", "ByTime", "Exposures", "Steady", "automatic", "choose"]

SETTLE_S: Final = 1.0
RENEW_S: Final = 20.0
LAG_PICTURES: Final = 6
"""After so many at most, a webcam shows what it was told."""
MEAN_OF: Final = 3
ALIKE: Final = 1.35
TRIALS: Final = 3
"""Somebody may step before the camera in the middle of one."""
DRIFT: Final = 2.0
DRIFT_S: Final = 2.0
_DARK: Final = 8.0


class Exposures(Protocol):
    """Sets the exposure of the next picture."""

    measures: bool
    """Whether `saw` must be told the brightness."""

    def ask(self) -> None:
        """Set the controls for the next picture.

        Raises:
            OSError: the device is gone.
        """

    def saw(self, brightness: float, at_ns: int) -> None:
        """Be told a picture's mean luma, 0 to 255, and its time, monotonic nanoseconds."""


class Steady:
    """The camera's own, whatever that is."""

    measures = False

    def ask(self) -> None:
        """Leave it."""

    def saw(self, brightness: float, at_ns: int) -> None:
        """Need nothing."""


class ByBias:
    """A bias of the automatic.

    Args:
        device: the camera.
        entries: of its menu, in turn.
    """

    measures = False

    def __init__(self, device: Device, entries: tuple[int, ...]) -> None:
        self._device = device
        self._entries = entries
        self._turn = -1

    def ask(self) -> None:
        """Set the next one."""
        before = self._entries[self._turn % len(self._entries)] if self._turn >= 0 else None
        self._turn += 1
        entry = self._entries[self._turn % len(self._entries)]
        if entry != before:
            self._device.set(abi.EXPOSURE_BIAS, entry)

    def saw(self, brightness: float, at_ns: int) -> None:
        """Need nothing."""


class ByTime:
    """Exposure times relative to the automatic's.

    Args:
        device: the camera, its automatic on.
        span: of its exposure time.
        values: stops, in turn.
        longest: exposure time that the frame rate allows, 100 us.
        give_up: called once where the camera cannot do it.
    """

    def __init__(
        self,
        device: Device,
        span: Range,
        values: tuple[float, ...],
        longest: float,
        give_up: Callable[[], None],
    ) -> None:
        self.measures = True
        self._device = device
        self._span = span
        self._values = values
        self._longest = longest
        self._give_up = give_up
        self._phase: Callable[[int], None] = self._settling
        self._since_ns: int | None = None
        self._seen: deque[float] = deque(maxlen=max(MEAN_OF, 2 * len(values)))
        self._pictures = 0
        self._trials = 0
        self._true = False
        self._base = 0
        self._bright = 0.0
        self._drifting_ns: int | None = None
        self._turn = 0
        self._set = 0

    def ask(self) -> None:
        """Set the next exposure time, once there is one to start from."""
        if self._phase != self._alternating:
            return
        value = self._values[self._turn % len(self._values)]
        self._turn += 1
        self._expose(self._base * 2.0**value)

    def saw(self, brightness: float, at_ns: int) -> None:
        """Go on to the next phase where it is time."""
        if self._since_ns is None:
            self._since_ns = at_ns
        self._seen.append(brightness)
        self._pictures += 1
        self._phase(at_ns)

    def _settling(self, at_ns: int) -> None:
        assert self._since_ns is not None
        if at_ns - self._since_ns < SETTLE_S * 1e9 or self._pictures < LAG_PICTURES:
            return
        told = self._device.get(abi.EXPOSURE_ABSOLUTE)
        manual = told is not None and self._device.set(abi.EXPOSURE_AUTO, abi.EXPOSURE_IS_MANUAL)
        if told is None or told <= 0 or not manual:
            self._stop()
            return
        self._base, self._bright = told, self._mean(MEAN_OF)
        self._set = 0
        if not self._expose(told):
            self._stop()
            return
        self._begin(self._alternating if self._true else self._trying, at_ns)

    def _trying(self, at_ns: int) -> None:
        """Compare the manual picture with the automatic's."""
        if self._pictures < LAG_PICTURES + MEAN_OF:
            return
        self._trials += 1
        if _ratio(self._mean(MEAN_OF), self._bright) <= ALIKE:
            self._true = True
            self._begin(self._alternating, at_ns)
        elif self._trials < TRIALS:
            self._settle(at_ns)
        else:
            self._stop()

    def _alternating(self, at_ns: int) -> None:
        assert self._since_ns is not None
        if self._pictures == LAG_PICTURES + len(self._seen):
            self._bright = self._mean(len(self._seen))
        elif self._pictures > LAG_PICTURES + len(self._seen):
            strays = _ratio(self._mean(len(self._seen)), self._bright) > DRIFT
            if not strays:
                self._drifting_ns = None
            elif self._drifting_ns is None:
                self._drifting_ns = at_ns
            elif at_ns - self._drifting_ns >= DRIFT_S * 1e9:
                self._settle(at_ns)
                return
        if at_ns - self._since_ns >= RENEW_S * 1e9:
            self._settle(at_ns)

    def _settle(self, at_ns: int) -> None:
        automatic(self._device)
        self._begin(self._settling, at_ns)

    def _begin(self, phase: Callable[[int], None], at_ns: int) -> None:
        self._phase, self._since_ns = phase, at_ns
        self._pictures = 0
        self._drifting_ns = None

    def _stop(self) -> None:
        """Leave it to the automatic for good."""
        automatic(self._device)
        self._phase = _nothing
        self.measures = False
        self._give_up()

    def _expose(self, wanted: float) -> bool:
        value = self._span.nearest(min(wanted, max(self._longest, self._span.minimum)))
        if value == self._set:
            return True
        self._set = value
        return self._device.set(abi.EXPOSURE_ABSOLUTE, value)

    def _mean(self, pictures: int) -> float:
        last = list(self._seen)[-pictures:]
        return sum(last) / len(last)


def automatic(device: Device) -> bool:
    """Let the camera expose by itself; return whether it has an automatic that can be set."""
    mode = device.control(abi.EXPOSURE_AUTO)
    if mode is None:
        return False
    # Aperture priority is what webcams, which have none, call their automatic.
    ways = (abi.EXPOSURE_IS_APERTURE, abi.EXPOSURE_IS_AUTO)
    return any(way in mode.values and device.set(abi.EXPOSURE_AUTO, way) for way in ways)


def choose(
    device: Device, values: tuple[float, ...], fps: float, give_up: Callable[[], None]
) -> Exposures:
    """Return the way to alternate that this camera has; `give_up` is called where it has none.

    Args:
        device: the camera.
        values: stops, alternated; none, or only 0, leaves it to the camera.
        fps: pictures a second, which an exposure may not outlast.
        give_up: called at most once, now or later.

    Raises:
        OSError: the device is gone.
    """
    set_ = automatic(device)
    if not any(values):
        return Steady()
    bias = device.control(abi.EXPOSURE_BIAS)
    if bias is not None and len(bias.values) > 1:
        menu = bias.values
        entries = (min(menu, key=lambda at: abs(menu[at] - value * 1_000)) for value in values)
        return ByBias(device, tuple(entries))
    mode, span = device.control(abi.EXPOSURE_AUTO), device.control(abi.EXPOSURE_ABSOLUTE)
    if not set_ or span is None or mode is None or abi.EXPOSURE_IS_MANUAL not in mode.values:
        give_up()
        return Steady()
    return ByTime(device, span, values, 10_000 / fps, give_up)


def _nothing(_at_ns: int) -> None:
    """Be past the last phase."""


def _ratio(one: float, other: float) -> float:
    """Return how many times brighter the brighter is, noise of dark pictures aside."""
    brighter, darker = max(one, other) + _DARK, min(one, other) + _DARK
    return brighter / darker
