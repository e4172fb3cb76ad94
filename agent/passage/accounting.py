"""What an opening is worth on which the passage sensor saw nobody go through. Pure.

"Nobody passed" is believed of a sensor that was seen to work, and then once:
- No sensor is fitted, or a fault of it stands: somebody is assumed to have passed.
- Somebody who entered the lane and neither crossed nor turned round is on the way, and a door that
  moved was moved by somebody: assumed to have passed.
- One use is given back once, and one subject's uses `give_backs` times in `give_back_window_s`.
  Over that, somebody is assumed to have passed; where something was given back before, that is an
  alarm, and the subject waits as after too many failed checks.
- A sensor that was not seen to work since the start is believed for one use, so that who turns away
  from a gate just started keeps a ticket; after that, not before it saw somebody.
- An opening that a command, a mode or a fire cut short is worth what the sensor says until then:
  who walks later is told as such. A shutdown ends the watching, so that somebody may have passed.

An opening that is not given back leaves its mark spent and, for anti-passback, its subject where
the opening led.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from agent.passage.types import Rules, Sensing, State
from agent.reason import Reason

__all__ = [
    "SENSORS",
    "Verdict",
    "closed_by_sensor",
    "fault_words",
    "sensor_failed",
    "verdict",
    "watched",
]

_INPUTS = {
    Sensing.BEAM: ("passage", "passage_2"),
    Sensing.DOOR: ("door",),
    Sensing.NONE: (),
}
"""The inputs that say whether somebody went through."""

SENSORS = frozenset(name for names in _INPUTS.values() for name in names)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an opening without a passage is worth.

    Attributes:
        given_back: nobody passed; otherwise somebody is assumed to have.
        reason: of that, where there is one.
        repeated: the use or the subject was given back before: an alarm.
    """

    given_back: bool
    reason: Reason | None = None
    repeated: bool = False


def watched(rules: Rules) -> tuple[str, ...]:
    """Return the inputs that say whether somebody went through; the first is always fitted."""
    return _INPUTS[rules.sensing]


def fault_words(state: State, rules: Rules) -> Iterator[tuple[str, str]]:
    """Yield the faults of inputs that stand, as (part, code)."""
    yield from state.input_faults
    if state.silent:
        yield watched(rules)[0], "sensor_silent"


def sensor_failed(state: State, rules: Rules) -> bool:
    """Tell whether a fault of the passage sensor stands."""
    return any(part in watched(rules) for part, _ in fault_words(state, rules))


def closed_by_sensor(state: State, rules: Rules) -> bool:
    """Tell whether no code is let in since the passage sensor has a fault."""
    return rules.unsensed == "close" and sensor_failed(state, rules)


def verdict(state: State, rules: Rules) -> Verdict:
    """Judge the opening at hand, which ends without a passage."""
    use = state.use
    if rules.sensing is Sensing.NONE:
        return Verdict(given_back=False)
    if sensor_failed(state, rules):
        return Verdict(given_back=False, reason=Reason.SENSOR_FAULT)
    if state.in_lane or state.door_moved:
        return Verdict(given_back=False)
    if use is not None and (use.given_back or use.give_backs >= rules.give_backs):
        repeated = use.given_back or use.give_backs > 0
        return Verdict(given_back=False, reason=Reason.NO_PASSAGE, repeated=repeated)
    if state.lent and not state.seen:
        return Verdict(given_back=False, reason=Reason.SENSOR_FAULT)
    return Verdict(given_back=True)
