"""Keeps one tenant's worker at hand: asks it, replaces it, tells what went wrong.

Rules:
- `exchange` blocks for its deadline at most and never raises for what a picture does to a worker.
- A worker that hangs, dies or answers nonsense is killed and replaced before the next job, counted,
  and reported through `on_incident`; the job that did it is not tried again.
- A stem that is lost is started anew, at most once a second.
- Thread-confined: whoever shares one holds a lock.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

from agent.sandbox.process import SandboxProcess, StemLost, describe_status
from agent.sandbox.wire import WireError

__all__ = ["Exchange", "Incident", "IncidentKind", "NotReady", "Supervisor"]

A = TypeVar("A")
RESTART_PAUSE_S = 1.0
"""A stem that was lost is started anew at once, but not more often than this."""


class NotReady(RuntimeError):
    """No worker came; the message says why, without naming the tenant."""


class IncidentKind(StrEnum):
    """What went wrong with a worker."""

    HANG = "hang"
    """No answer within the deadline."""
    CRASH = "crash"
    """The worker died."""
    GARBAGE = "garbage"
    """The worker's answer broke the layout."""
    LOST = "lost"
    """The process that makes workers died or could not load the decoders."""


@dataclass(frozen=True, slots=True)
class Incident:
    """One worker that had to be replaced.

    Attributes:
        kind: what it did.
        detail: for the log; never anything of the picture.
        total: incidents of this kind since start.
    """

    kind: IncidentKind
    detail: str
    total: int


@dataclass(frozen=True, slots=True)
class Exchange(Generic[A]):
    """What came of a job.

    Attributes:
        answer: the worker's; None where there was none in time.
        incident: set where a worker failed on this job or was found dead.
    """

    answer: A | None
    incident: IncidentKind | None = None


class Supervisor:
    """One tenant's processes.

    Args:
        make: starts a stem.
        on_incident: called by who calls here, for each worker replaced; must not block.
    """

    def __init__(
        self, make: Callable[[], SandboxProcess], on_incident: Callable[[Incident], None]
    ) -> None:
        self.incidents: Counter[IncidentKind] = Counter()
        """How often what went wrong since start."""
        self.process: SandboxProcess | None = None
        self._make = make
        self._on_incident = on_incident
        self._restart_at = 0.0

    @property
    def worker_pid(self) -> int:
        """Process id of the current worker; 0 while there is none."""
        return 0 if self.process is None else self.process.worker_pid

    @property
    def stem_pid(self) -> int:
        """Process id of the process that workers are forked from; 0 while there is none."""
        return 0 if self.process is None else self.process.stem_pid

    def start(self) -> bool:
        """Start a stem unless one was started a moment ago; return whether there is one.

        Raises:
            OSError: no process could be had.
        """
        now = time.monotonic()
        if now < self._restart_at:
            return False
        self._restart_at = now + RESTART_PAUSE_S
        process = self._make()
        try:
            process.replace()
        except StemLost as error:
            process.kill()
            self._report(IncidentKind.LOST, str(error))
            return False
        self.process = process
        return True

    def wait(self, timeout_s: float) -> None:
        """Wait until there is a worker.

        Raises:
            NotReady: the tenant does not load, or the time is over.
        """
        until = time.monotonic() + timeout_s
        while True:
            left = until - time.monotonic()
            if self.process is None:
                raise NotReady("is closed or does not start")
            try:
                self.process.listen(max(0.0, left))
            except StemLost as error:
                raise NotReady(f"does not start: {error}") from None
            if self.process.worker_pid:
                return
            if left <= 0:
                raise NotReady(f"was not ready within {timeout_s:g} s")

    def exchange(
        self,
        prepare: Callable[[], bytes],
        read: Callable[[bytes], A],
        *,
        deadline_s: float,
        limit: int,
    ) -> Exchange[A]:
        """Have a job done.

        Args:
            prepare: puts what is large into shared memory and returns the job; called once there
                is a worker.
            read: judges the answer; raises `WireError` where it breaks the layout.
            deadline_s: until there must be an answer.
            limit: longest answer, bytes.
        """
        until = time.monotonic() + deadline_s
        lost = self.incidents[IncidentKind.LOST]
        # A worker that was long in coming gets the next job: with little time left it would look
        # hung, and be killed for it.
        enough = until - deadline_s / 2
        process = self._reach(until)
        if process is None or time.monotonic() > enough:
            kind = IncidentKind.LOST if self.incidents[IncidentKind.LOST] > lost else None
            return Exchange(None, kind)
        job, incident = prepare(), None
        if not process.ask(job, deadline_s):  # it died between jobs, so this one is not to blame
            incident = self._replace(IncidentKind.CRASH, "found dead", until)
            process = self._reach(until)
            if process is None or time.monotonic() > enough or not process.ask(job, deadline_s):
                return Exchange(None, incident)
        message = process.answer(max(0.0, until - time.monotonic()), limit)
        if message is None:
            return Exchange(None, self._replace(IncidentKind.HANG, "no answer in time", until))
        if not message:
            return Exchange(None, self._replace(IncidentKind.CRASH, "", until))
        try:
            return Exchange(read(message), incident)
        except WireError as error:
            return Exchange(None, self._replace(IncidentKind.GARBAGE, str(error), until))

    def renew(self) -> None:
        """Have the worker replaced that has done what it was for; this is no incident."""
        if self.process is None:
            return
        try:
            self.process.replace()
        except StemLost as error:
            self._lose(str(error))

    def close(self) -> None:
        """End the processes; may be called twice."""
        if self.process is not None:
            self.process.close()
            self.process = None

    def _reach(self, until: float) -> SandboxProcess | None:
        """Return the process once it has a worker; None where it has none by then."""
        if self.process is None and not self.start():
            return None
        process = self.process
        if process is None:
            return None
        try:
            process.listen(max(0.0, until - time.monotonic()))
        except StemLost as error:
            self._lose(str(error))
            return None
        return process if process.worker_pid else None

    def _replace(self, kind: IncidentKind, detail: str, until: float) -> IncidentKind:
        """Ask for a new worker, count the incident, report it."""
        process = self.process
        if process is None:
            return kind
        try:
            process.replace()
            if kind is IncidentKind.CRASH:  # there is time left, and forking takes milliseconds
                process.listen(min(0.05, max(0.0, until - time.monotonic())))
        except StemLost as error:
            self._report(kind, detail or "with its stem")
            self._lose(str(error))
            return kind
        if kind is IncidentKind.CRASH and process.worker_pid:
            detail = f"{detail} {describe_status(process.last_status)}".strip()
        self._report(kind, detail)
        return kind

    def _lose(self, detail: str) -> None:
        """Give up on the stem and its worker, and start anew."""
        if self.process is not None:
            self.process.kill()
            self.process = None
        self._report(IncidentKind.LOST, detail)
        self.start()

    def _report(self, kind: IncidentKind, detail: str) -> None:
        self.incidents[kind] += 1
        self._on_incident(Incident(kind, detail, self.incidents[kind]))
