"""The sandboxed processes: `python -P -m TENANT CONTROL FD:SIZE,... WORD...` calls `serve`.

Two processes, so that a dead decoder is replaced in milliseconds however often it dies:

    daemon --control--> stem --fork--> worker <--jobs, answers--> daemon

- The stem loads a tenant's decoders once and never sees a picture. On `R` with a socket it kills
  and reaps its worker, forks the next one, and answers `P`, the new process id and the old one's
  wait status. On end of file (the daemon is gone) it kills its worker and ends.
- The worker sees pictures. It has given up every privilege before the first (`confine`), it
  dies with the stem (PR_SET_PDEATHSIG), and an interval timer ends it where the daemon cannot.

Little but the standard library is imported, so that start is fast; a tenant adds its decoders.
"""

from __future__ import annotations

import mmap
import os
import signal
import socket
from collections.abc import Callable, Sequence
from typing import Protocol

from agent.sandbox.confine import Confinement, enter
from agent.sandbox.wire import (
    FAILED,
    NO_STATUS,
    PID_REPLY,
    READY,
    REPLACE,
    unpack_budget,
)
from hal import library

__all__ = ["Mapped", "Tenant", "map_readable", "serve", "work"]

GRACE_S = 1.0
"""The worker's own timer fires this long after twice the job's budget."""
JOB_LIMIT = 1_024
"""The longest job; what is large lies in shared memory."""

Mapped = tuple[int, int]
"""Descriptor and size of a shared memory."""


class Tenant(Protocol):
    """What workers do."""

    confinement: Confinement

    def answer(self, job: bytes) -> bytes:
        """Do a job; what it raises ends the worker."""


def serve(
    arguments: Sequence[str], load: Callable[[Sequence[Mapped], Sequence[str]], Tenant]
) -> int:
    """Be the stem until the daemon goes.

    Args:
        arguments: descriptor of the control socket, the shared memories, the tenant's words.
        load: loads the tenant and runs it once: what loads lazily must load before the door is
            shut. It maps what it needs of the memories.

    Returns:
        The exit code: 1 where the tenant could not be loaded.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # end of file is the one sign to end
    control_fd, shared, *words = arguments
    control = socket.socket(fileno=int(control_fd))
    memories = [
        (int(fd), int(size)) for fd, _, size in (w.partition(":") for w in shared.split(","))
    ]
    try:
        tenant = load(memories, words)
    except Exception as error:  # noqa: BLE001 - the daemon must hear why, whatever it was
        said = f"{type(error).__name__}: {library.explain(error)}"
        control.send(FAILED + said.encode(errors="replace")[:800])
        while control.recv(16):  # closing with something unread would take the message with it
            continue
        return 1
    for fd, _ in memories:
        os.close(fd)
    control.send(READY)
    return _stem(control, tenant)


def map_readable(memory: Mapped) -> mmap.mmap:
    """Map what the daemon writes."""
    return mmap.mmap(*memory, prot=mmap.PROT_READ)


def _stem(control: socket.socket, tenant: Tenant) -> int:
    """Fork workers on demand; return when the daemon has closed its end."""
    worker = 0
    while True:
        message, descriptors, _, _ = socket.recv_fds(control, 16, 1)
        if message != REPLACE or len(descriptors) != 1:
            _bury(worker)
            return 0
        status = _bury(worker)
        worker = os.fork()
        if worker == 0:
            control.close()
            _work_until_end(descriptors[0], tenant)
        os.close(descriptors[0])
        control.send(PID_REPLY.pack(b"P", worker, status))


def _bury(worker: int) -> int:
    """Kill and reap; return the wait status, or NO_STATUS where there was no worker."""
    if not worker:
        return NO_STATUS
    os.kill(worker, signal.SIGKILL)  # not reaped yet, so the id is still its own
    return os.waitpid(worker, 0)[1]


def _work_until_end(job_fd: int, tenant: Tenant) -> None:
    """Be a worker; never return into the stem's loop."""
    code = 1
    try:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        jobs = socket.socket(fileno=job_fd)
        enter(tenant.confinement)
        work(jobs, tenant)
        code = 0
    finally:
        os._exit(code)


def work(jobs: socket.socket, tenant: Tenant) -> None:
    """Answer jobs until the daemon closes the socket."""
    while True:
        message = jobs.recv(JOB_LIMIT)
        if not message:
            return
        job, budget_s = unpack_budget(message)
        signal.setitimer(signal.ITIMER_REAL, GRACE_S + 2 * budget_s)
        answer = tenant.answer(job)
        signal.setitimer(signal.ITIMER_REAL, 0)
        jobs.send(answer)
