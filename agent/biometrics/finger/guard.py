"""Whether the fingerprint module is ours and honest: an attacker may plug in one that says yes.

Rules:
- Before each check the module proves our password, and shows the pairing secret that was written
  into its notepad when it was fitted.
- Now and then, unforeseeably, the finger on the glass is first compared with a decoy: the bytes of
  the true template in another order, of the same length and the same bytes. It must not match. A
  module that calls it a match calls everything one.
- A module that fails is a fault of the sensor, never of the person.
"""

from __future__ import annotations

import hmac
import random
import secrets
from typing import Final

from hal.errors import SensorError
from hal.fingerprint import NOTEPAD_BYTES, REFERENCE, FingerprintSensor, SensorRefused

__all__ = ["PAGE", "Guard", "SensorSuspect", "pair"]

PAGE: Final = 0
"""Page of the notepad that holds the pairing secret."""


class SensorSuspect(SensorError):
    """The module is not the one that was fitted, or it does not tell the truth."""


class Guard:
    """Doubts one module.

    Args:
        sensor: the module.
        secret: 32 bytes in its notepad; None where it was never paired.
        decoy_rate: share of the checks that try a decoy first.
        threshold: score from which a comparison counts as a match.
        rng: draws; the system's generator unless a test needs its draws again.
    """

    def __init__(
        self,
        sensor: FingerprintSensor,
        *,
        secret: bytes | None,
        decoy_rate: float,
        threshold: int,
        rng: random.Random | None = None,
    ) -> None:
        self._sensor = sensor
        self._secret = secret
        self._decoy_rate = decoy_rate
        self._threshold = threshold
        self._rng = rng or random.SystemRandom()

    def prove(self) -> None:
        """Let the module prove that it is ours.

        Raises:
            PasswordRefused, SensorSuspect: it is not.
            SensorError: it does not answer.
        """
        self._sensor.verify_password()
        if self._secret is None:
            return
        try:
            note = self._sensor.read_note(PAGE)
        except SensorRefused as error:
            raise SensorSuspect("the module does not show its pairing secret") from error
        if not hmac.compare_digest(note, self._secret):
            raise SensorSuspect("the module's pairing secret is another one: was it exchanged?")

    def draws_decoy(self) -> bool:
        """Say whether this check shall try a decoy."""
        return self._rng.random() < self._decoy_rate

    def lay_decoy(self, template: bytes) -> None:
        """Put a template in disorder into buffer 2, in place of the true one."""
        decoy = bytes(self._rng.sample(template, len(template)))
        self._sensor.download(decoy, REFERENCE)

    def expect_no_match(self) -> None:
        """Compare the probe with the decoy.

        Raises:
            SensorSuspect: it matched.
        """
        try:
            score = self._sensor.compare()
        except SensorRefused:
            return  # It would not even compare such bytes: as good a no as any.
        if score >= self._threshold:
            raise SensorSuspect("the module called a decoy a match")


def pair(sensor: FingerprintSensor) -> bytes:
    """Write a new secret into the module's notepad and return it.

    Raises:
        SensorSuspect: the module does not keep it.
    """
    secret = secrets.token_bytes(NOTEPAD_BYTES)
    sensor.write_note(PAGE, secret)
    if sensor.read_note(PAGE) != secret:
        raise SensorSuspect("the module did not keep what was written into its notepad")
    return secret
