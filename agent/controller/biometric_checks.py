"""The biometric threads: one a modality, each running one check at a time.

Rules:
- Every `start` is answered by exactly one `BiometricDone`, unless it was stopped first.
- A check that raises ends as `sensor_fault` (finger) or `camera_fault` (face): unknown is closed.
  It is logged by type and place, never by content.
- A stop only sets a flag; the check looks at it between frames or touches.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress

from agent import log
from agent.biometrics.errors import FaceRejected
from agent.credential.model import Modality
from agent.passage.events import BiometricDone, StaffFound, StartBiometric
from agent.reason import Reason
from hal.errors import HalError

__all__ = ["BiometricChecks", "Check"]

Search = Callable[[float, threading.Event], str | None]
"""Looks so many seconds for a member of staff's finger, or until the flag is set; the subject."""

Check = Callable[[StartBiometric, threading.Event], Reason]
"""Runs one check until it is decided, its `timeout_s` is over or the flag is set; `GRANTED` when
the person matched, else why not."""

STAFF_LOOK_S = 1.0
STAFF_PAUSE_S = 3.0
"""After a find or a fault: a finger that stays on the glass is one passage."""

_FAULTS = {Modality.FACE: Reason.CAMERA_FAULT, Modality.FINGER: Reason.SENSOR_FAULT}
_log = log.get(__name__)


class BiometricChecks:
    """Runs checks in threads of their own.

    Args:
        checks: what is fitted.
        post: takes the answers.
        on_fault: told of a check that broke, for the journal.
        staff: looks for an enrolled member of staff between checks (finger, 1:N); None does not.
    """

    def __init__(
        self,
        checks: Mapping[Modality, Check],
        *,
        post: Callable[[BiometricDone | StaffFound], None],
        on_fault: Callable[[Modality, str], None],
        staff: Search | None = None,
    ) -> None:
        self._post = post
        self._on_fault = on_fault
        self._checks = dict(checks)
        self._queues: dict[Modality, queue.Queue[tuple[StartBiometric, threading.Event] | None]] = {
            modality: queue.Queue(8) for modality in checks
        }
        self._staff = staff
        self._wanted = threading.Event()
        self._lock = threading.Lock()
        self._running: dict[tuple[int, Modality], threading.Event] = {}

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """What is fitted."""
        return tuple(self._checks)

    def start(self, effect: StartBiometric) -> None:
        """Begin a check; one that nothing is fitted for is answered at once."""
        if effect.modality not in self._queues:
            self._answer(effect, Reason.NO_REFERENCE)
            return
        flag = threading.Event()
        with self._lock:
            self._running[effect.attempt, effect.modality] = flag
        self._queues[effect.modality].put((effect, flag), timeout=1.0)
        self._wanted.set()

    def stop(self, attempt: int) -> None:
        """Cancel what runs for an attempt."""
        with self._lock:
            for (running, _), flag in self._running.items():
                if running == attempt:
                    flag.set()

    def close(self) -> None:
        """Cancel everything and let the threads end."""
        with self._lock:
            for flag in self._running.values():
                flag.set()
        for jobs in self._queues.values():
            with suppress(queue.Empty):  # a thread that hangs leaves them standing
                while True:
                    jobs.get_nowait()
            jobs.put_nowait(None)
        self._wanted.set()

    def run(self, modality: Modality) -> None:
        """Be the thread of a modality until closed."""
        while (job := self._next(modality)) is not None:
            effect, flag = job
            reason = self._checked(effect, flag)
            with self._lock:
                self._running.pop((effect.attempt, modality), None)
            if not flag.is_set():
                self._answer(effect, reason)
            # While this thread waits for the next person it holds nothing of the last one.
            del job, effect

    def _next(self, modality: Modality) -> tuple[StartBiometric, threading.Event] | None:
        """Wait for the next check; meanwhile the finger thread looks for staff."""
        jobs = self._queues[modality]
        if self._staff is None or modality is not Modality.FINGER:
            return jobs.get()
        while True:
            try:
                return jobs.get_nowait()
            except queue.Empty:
                self._wanted.clear()
            if jobs.empty():
                self._look_for_staff(self._staff)

    def _look_for_staff(self, search: Search) -> None:
        try:
            subject = search(STAFF_LOOK_S, self._wanted)
        except (HalError, ValueError, RuntimeError) as error:
            _log.exception("search for staff failed")
            self._on_fault(Modality.FINGER, type(error).__name__)
            self._wanted.wait(STAFF_PAUSE_S)
            return
        if subject is not None:
            self._post(StaffFound(subject))
            self._wanted.wait(STAFF_PAUSE_S)

    def _checked(self, effect: StartBiometric, flag: threading.Event) -> Reason:
        try:
            return self._checks[effect.modality](effect, flag)
        except FaceRejected as rejected:
            _log.info("reference refused", reason=rejected.reason.value, detail=rejected.detail)
            return rejected.reason
        except (HalError, ValueError, RuntimeError) as error:
            _log.exception("check failed", modality=effect.modality.value)
            self._on_fault(effect.modality, type(error).__name__)
            return _FAULTS[effect.modality]

    def _answer(self, effect: StartBiometric, reason: Reason) -> None:
        matched = reason is Reason.GRANTED
        self._post(BiometricDone(effect.attempt, effect.modality, matched, reason))
