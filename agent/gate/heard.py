"""What the gatekeeper reports, as the passage machine's events."""

from __future__ import annotations

from collections.abc import Callable

from agent.gatekeeper.wire import Event, WireError
from agent.gatekeeper.words import DIRECTIONS, INPUTS, KINDS, MODES
from agent.passage.events import (
    DoorChanged,
    FireChanged,
    InputEvent,
    InputFault,
    KeyTurned,
    LaneEntered,
    PassageReversed,
    PassageSensed,
    ReleasePressed,
    TamperChanged,
)

__all__ = ["heard"]

_MEANINGS: dict[str, Callable[[Event], InputEvent]] = {
    "fire": lambda event: FireChanged(event.on),
    "tamper": lambda event: TamperChanged(event.on),
    "door": lambda event: DoorChanged(event.on),
    "release": lambda _event: ReleasePressed(),
    "key": lambda event: KeyTurned(MODES[event.which]),
    "lane": lambda _event: LaneEntered(),
    "passed": lambda event: PassageSensed(DIRECTIONS[event.which - 1] if event.which else None),
    "reversed": lambda _event: PassageReversed(),
    "fault": lambda event: InputFault(INPUTS[event.which], KINDS[event.kind], event.on),
}


def heard(event: Event) -> InputEvent:
    """Return what an event of the lines means to a passage.

    Raises:
        WireError: a number in it stands for nothing.
    """
    try:
        return _MEANINGS[event.name](event)
    except IndexError:
        raise WireError("an event of nothing that is known") from None
