"""Work that takes longer than a request: found again by a number, watched, and stopped.

Rules:
- a few run at once, some more wait; who asks for yet another is refused, so that a full desk says
  so instead of growing;
- a job is asked to stop between two of its steps, never in one;
- results stay in memory, for who started the job, and go a few minutes after its end: a sheet of
  cards is as good as the cards.
"""

from __future__ import annotations

import secrets
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from enum import StrEnum
from pathlib import Path
from typing import Final, Protocol

from agent import log

__all__ = ["Job", "JobError", "JobState", "Jobs", "Progress", "Stopped", "Work"]

_log = log.get(__name__)
_KEPT_S: Final = 900


class JobError(RuntimeError):
    """No job can be started, or none has the number; one line for people."""


class Stopped(Exception):
    """Somebody asked the job to stop."""


class JobState(StrEnum):
    """Where a job is."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    STOPPED = "stopped"


class Progress(Protocol):
    """What work tells, and is told, between its steps."""

    def step(self, done: int) -> None:
        """Say how much is done.

        Raises:
            Stopped: somebody asked to stop.
        """
        ...


class Work(Protocol):
    """What a job does."""

    @property
    def total(self) -> int:
        """How many steps it has."""
        ...

    def __call__(self, progress: Progress) -> bytes:
        """Do it and return the result.

        Raises:
            ValueError: it cannot be done; one line for people, nothing personal in it.
            Stopped: from the progress.
        """
        ...


class Job:
    """One job, as it is seen from outside.

    Attributes:
        id: unguessable.
        owner: staff's work name.
        title: what it is, for people.
        total: steps.
        done: steps done.
        state: where it is.
        error: one line where it failed.
        result: what it made, where it is done.
        ended_at: Unix seconds, None while it is not.
    """

    def __init__(self, owner: str, title: str, total: int) -> None:
        self.id = secrets.token_urlsafe(16)
        self.owner = owner
        self.title = title
        self.total = total
        self.done = 0
        self.state = JobState.WAITING
        self.error = ""
        self.result = b""
        self.ended_at: int | None = None
        self._stop = threading.Event()
        self._over = threading.Event()

    @property
    def over(self) -> bool:
        """Whether it will do nothing more."""
        return self.ended_at is not None

    def wait(self, timeout_s: float) -> bool:
        """Wait for its end; return whether it came in time."""
        return self._over.wait(timeout_s)

    def end(self, state: JobState, at: int) -> None:
        """Say how it ended, and when in Unix seconds."""
        self.state, self.ended_at = state, at
        self._over.set()

    def stop(self) -> None:
        """Ask it to stop; may be called twice."""
        self._stop.set()

    def step(self, done: int) -> None:
        """Say how much is done.

        Raises:
            Stopped: somebody asked to stop.
        """
        self.done = done
        if self._stop.is_set():
            raise Stopped


class Jobs:
    """The jobs of a desk.

    Args:
        clock: Unix seconds.
        at_once: that run.
        most: that run, wait, or were not fetched yet.
    """

    def __init__(self, clock: Callable[[], int], *, at_once: int = 1, most: int = 8) -> None:
        self._clock = clock
        self._most = most
        self._lock = threading.Lock()
        self._jobs: dict[str, Job] = {}
        self._pool = ThreadPoolExecutor(at_once, thread_name_prefix="desk-job")

    def start(self, work: Work, *, owner: str, title: str) -> Job:
        """Have work done in a thread.

        Raises:
            JobError: there are too many, or the desk is closing.
        """
        job = Job(owner, title, work.total)
        with self._lock:
            self._forget()
            if len(self._jobs) >= self._most:
                finished = next((each for each in self._jobs.values() if each.over), None)
                if finished is None:
                    raise JobError("too much is being made already: wait until some of it is done")
                del self._jobs[finished.id]
            self._jobs[job.id] = job
        try:
            self._pool.submit(self._run, job, work)
        except RuntimeError:  # it was shut down
            raise JobError("the desk is closing") from None
        return job

    def get(self, number: str, owner: str) -> Job:
        """Return a job to who started it.

        Raises:
            JobError: there is none, it was forgotten, or it is somebody else's.
        """
        with self._lock:
            self._forget()
            job = self._jobs.get(number)
        if job is None or job.owner != owner:
            raise JobError("no such job, or it is over: start it anew")
        return job

    def of(self, owner: str) -> list[Job]:
        """Return the jobs of one of the staff, the oldest first."""
        with self._lock:
            self._forget()
            return [job for job in self._jobs.values() if job.owner == owner]

    def drop(self, number: str, owner: str) -> None:
        """Stop a job, and forget what it made.

        Raises:
            JobError: as `get`.
        """
        job = self.get(number, owner)
        job.stop()
        job.result = b""
        with self._lock:
            self._jobs.pop(number, None)

    def close(self) -> None:
        """Stop all, and wait for the step that each is in; may be called twice."""
        with self._lock:
            for job in self._jobs.values():
                job.stop()
        self._pool.shutdown(wait=True)

    def _forget(self) -> None:
        before = self._clock() - _KEPT_S
        for number in [
            each.id
            for each in self._jobs.values()
            if each.ended_at is not None and each.ended_at < before
        ]:
            del self._jobs[number]

    def _run(self, job: Job, work: Work) -> None:
        state = JobState.FAILED
        try:
            job.step(0)
            job.state = JobState.RUNNING
            job.result = work(job)
            state = JobState.DONE
        except Stopped:
            state = JobState.STOPPED
        except ValueError as error:
            job.error = str(error)
        except Exception as error:  # noqa: BLE001 - whatever it is, who waits must hear of it
            job.error = "it failed; the desk's log says where"
            last = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{Path(last.filename).name}:{last.lineno}"
            _log.error("desk_job_failed", error=type(error).__name__, where=where)
        job.end(state, self._clock())
