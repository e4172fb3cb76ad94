"""Enrolment at a fingerprint module: two touches of one finger become a template in both buffers.

Rules:
- Between the touches the finger is lifted, so that they are two.
- A poor touch is told and repeated, a few times; a finger that differs begins anew.
- The template stays in the module unless somebody asks for it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from hal.fingerprint import PROBE, REFERENCE, Extraction, FingerprintSensor, Glass, Light

__all__ = ["EnrolmentFailed", "take_model", "take_touch"]

POOR_TOUCHES: Final = 5
_WORDS: Final = {
    Extraction.MESSY: "The picture is smeared: dry the finger and the glass.",
    Extraction.FEW: "Too little of the finger: lay it flat and in the middle.",
}


class EnrolmentFailed(RuntimeError):
    """No template came of it; one line for who stands there."""


def take_touch(
    sensor: FingerprintSensor, say: Callable[[str], None], *, buffer: int, timeout_s: float
) -> None:
    """Wait for a finger of which features come, and put them into a buffer.

    Args:
        sensor: the module.
        say: shows a line to who stands there.
        buffer: 1 or 2.
        timeout_s: how long to wait for each touch.

    Raises:
        EnrolmentFailed: nobody came, or no touch was good.
        SensorError: the module failed.
    """
    for _ in range(POOR_TOUCHES):
        sensor.light(Light.WAITING)
        seen = sensor.wait_for_finger(timeout_s)
        if seen is Glass.EMPTY:
            raise EnrolmentFailed("nobody laid a finger on the glass in time")
        sensor.light(Light.WORKING)
        word = "No picture came of it."
        if seen is Glass.FINGER:
            extraction = sensor.extract(buffer)
            if extraction is Extraction.GOOD:
                return
            word = _WORDS[extraction]
        say(f"{word} Lift the finger and lay it on again.")
        _lift(sensor, timeout_s)
    raise EnrolmentFailed("no touch was good enough")


def take_model(
    sensor: FingerprintSensor, say: Callable[[str], None], *, timeout_s: float, rounds: int = 2
) -> None:
    """Leave the template of one finger in both buffers.

    Args:
        sensor: the module.
        say: shows a line to who stands there.
        timeout_s: how long to wait for each touch.
        rounds: how often two touches may differ before it is given up.

    Raises:
        EnrolmentFailed: nobody came, no touch was good, or the touches were of different fingers.
        SensorError: the module failed.
    """
    for _ in range(rounds):
        say("Lay the finger on the glass.")
        take_touch(sensor, say, buffer=PROBE, timeout_s=timeout_s)
        say("Lift it.")
        _lift(sensor, timeout_s)
        say("Lay the same finger on the glass again.")
        take_touch(sensor, say, buffer=REFERENCE, timeout_s=timeout_s)
        if sensor.create_model():
            sensor.light(Light.ACCEPTED)
            return
        sensor.light(Light.REFUSED)
        say("The two touches do not go together. Lift the finger; from the beginning:")
        _lift(sensor, timeout_s)
    raise EnrolmentFailed("the touches were of different fingers, or too different")


def _lift(sensor: FingerprintSensor, timeout_s: float) -> None:
    sensor.light(Light.LIFT)
    if not sensor.wait_for_lift(timeout_s):
        raise EnrolmentFailed("the finger was not lifted in time")
