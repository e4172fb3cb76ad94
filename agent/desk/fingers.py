"""A finger at the desk's module: two touches become a template, told step by step.

Rules:
- one finger at a time, in a thread of its own; pages ask how far it is;
- the module is opened for one finger and let go of: nobody enrols on what another left in it;
- a template that makes a code unreadable is refused here, before anybody waits for a phone: such a
  finger stays in a gate's module (`idgate finger enroll`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from agent.biometrics.finger.enroll import EnrolmentFailed, take_model
from agent.credential.model import BiometricReference
from agent.desk.credentials import FINGER_MOST
from agent.issuing.issue import finger_template
from hal.errors import HalError
from hal.fingerprint import REFERENCE, FingerprintSensor, Light

__all__ = ["FingerModule", "FingerState", "FingerStep", "Fingers"]


class FingerState(StrEnum):
    """How far a finger is."""

    WAITING = "waiting"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class FingerStep:
    """What the page shows.

    Attributes:
        state: how far it is.
        line: what the person should do, or what went wrong.
    """

    state: FingerState
    line: str


@dataclass(frozen=True, slots=True)
class FingerModule:
    """The module at the desk, as the composition knows it.

    Attributes:
        open: opens it; raises `HalError`.
        family: of its templates, as the gates' settings name it.
        timeout_s: for each touch.
    """

    open: Callable[[], FingerprintSensor]
    family: str
    timeout_s: float = 20.0


class Fingers:
    """Takes fingers.

    Args:
        module: None where there is none.
    """

    def __init__(self, module: FingerModule | None) -> None:
        self._module = module
        self._lock = threading.Lock()
        self._whose: object = None
        self._step = FingerStep(FingerState.FAILED, "nobody was asked for a finger")
        self._thread: threading.Thread | None = None

    @property
    def there(self) -> bool:
        """Whether the desk has a module."""
        return self._module is not None

    def begin(
        self, whose: object, position: int, keep: Callable[[BiometricReference], None]
    ) -> FingerStep:
        """Begin to take a finger.

        Args:
            whose: tells one from another; `step` is asked with it.
            position: claim 169's, 50 (right thumb) to 59 (left little finger).
            keep: is given the template, in the module's thread.
        """
        module = self._module
        if module is None:
            return FingerStep(FingerState.FAILED, "the desk has no fingerprint module")
        if not 50 <= position <= 59:
            return FingerStep(FingerState.FAILED, "there is no such finger")
        with self._lock:
            if self._thread is not None and self._thread.is_alive():
                return FingerStep(FingerState.FAILED, "the module is busy with another finger")
            self._whose = whose
            self._step = FingerStep(FingerState.WAITING, "The module is starting.")
            self._thread = threading.Thread(
                target=self._take, args=(module, position, keep), name="finger", daemon=True
            )
            self._thread.start()
            return self._step

    def step(self, whose: object) -> FingerStep:
        """Return how far the finger is."""
        with self._lock:
            if whose != self._whose:
                return FingerStep(FingerState.FAILED, "nobody was asked for a finger")
            return self._step

    def close(self, timeout_s: float = 30.0) -> None:
        """Wait for the module to be let go of; may be called twice."""
        with self._lock:
            thread = self._thread
        if thread is not None:
            thread.join(timeout_s)

    def _take(
        self, module: FingerModule, position: int, keep: Callable[[BiometricReference], None]
    ) -> None:
        try:
            template = self._enrol(module)
        except (EnrolmentFailed, HalError) as error:
            self._say(FingerState.FAILED, str(error))
            return
        if len(template) > FINGER_MOST:
            self._say(
                FingerState.FAILED,
                f"this module's templates have {len(template)} bytes, too many for a code that a "
                "gate can read: enrol the finger at the gate instead",
            )
            return
        keep(finger_template(template, module.family, position))
        self._say(FingerState.DONE, "The finger was taken.")

    def _enrol(self, module: FingerModule) -> bytes:
        sensor = module.open()
        try:
            sensor.verify_password()
            take_model(
                sensor,
                lambda line: self._say(FingerState.WAITING, line),
                timeout_s=module.timeout_s,
            )
            return sensor.upload(REFERENCE)
        finally:
            try:
                sensor.light(Light.OFF)
            finally:
                sensor.close()

    def _say(self, state: FingerState, line: str) -> None:
        with self._lock:
            self._step = FingerStep(state, line)
