"""The decoder's own process: `python -P -m agent.scan.worker CONTROL MEMORY SIZE RETRY PYZBAR`.

Two processes, so that a dead decoder is replaced in milliseconds however often it dies:

    daemon --control--> stem --fork--> worker <--jobs, answers--> daemon

- The stem imports the decoders once and never sees a picture. On `R` with a socket it kills and
  reaps its worker, forks the next one, and answers `P`, the new process id and the old one's
  wait status. On end of file (the daemon is gone) it kills its worker and ends.
- The worker sees pictures. It has given up every privilege before the first (`sandbox`), it
  dies with the stem (PR_SET_PDEATHSIG), and an interval timer ends it where the daemon cannot.
- Frames are read from a sealed memory file that only the daemon can write.

Only standard library, numpy and the decoders are imported, so that start is fast.
"""

from __future__ import annotations

import mmap
import os
import signal
import socket
import sys
import time
from typing import TYPE_CHECKING

import numpy as np

from agent.scan.cascade import Cascade
from agent.scan.sandbox import enter
from agent.scan.wire import (
    FAILED,
    JOB_SIZE,
    NO_STATUS,
    PID_REPLY,
    READY,
    REPLACE,
    Answer,
    Job,
    WireError,
    pack_answer,
    unpack_job,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["main"]

GRACE_S = 1.0
"""The worker's own timer fires this long after twice the job's budget."""


def main(arguments: list[str]) -> int:
    """Be the stem until the daemon goes.

    Args:
        arguments: descriptor of the control socket, of the memory file, its size, 1 to retry
            misses, 1 to load pyzbar.
    """
    control_fd, memory_fd, size, retry, pyzbar = (int(word) for word in arguments)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # end of file is the one sign to end
    control = socket.socket(fileno=control_fd)
    try:
        cascade = Cascade(retry=bool(retry), pyzbar=bool(pyzbar))
        _warm(cascade)
    except Exception as error:  # noqa: BLE001 - the daemon must hear why, whatever it was
        control.send(FAILED + f"{type(error).__name__}: {error}".encode()[:500])
        while control.recv(16):  # closing with something unread would take the message with it
            continue
        return 1
    memory = mmap.mmap(memory_fd, size, prot=mmap.PROT_READ)
    os.close(memory_fd)
    control.send(READY)
    return _stem(control, cascade, memory)


def _warm(cascade: Cascade) -> None:
    """Run every variant once: what loads lazily must load before the door is shut."""
    rng = np.random.default_rng(0)
    cascade.decode_still(rng.integers(0, 256, (96, 128), dtype=np.uint8))
    for turn in range(4):
        cascade.decode(rng.integers(0, 256, (96, 128), dtype=np.uint8), turn=turn)


def _stem(control: socket.socket, cascade: Cascade, memory: mmap.mmap) -> int:
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
            _work_until_end(descriptors[0], cascade, memory)
        os.close(descriptors[0])
        control.send(PID_REPLY.pack(b"P", worker, status))


def _bury(worker: int) -> int:
    """Kill and reap; return the wait status, or NO_STATUS where there was no worker."""
    if not worker:
        return NO_STATUS
    os.kill(worker, signal.SIGKILL)  # not reaped yet, so the id is still its own
    return os.waitpid(worker, 0)[1]


def _work_until_end(job_fd: int, cascade: Cascade, memory: mmap.mmap) -> None:
    """Be a worker; never return into the stem's loop."""
    code = 1
    try:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        jobs = socket.socket(fileno=job_fd)
        enter()
        _work(jobs, cascade, np.frombuffer(memory, dtype=np.uint8))
        code = 0
    finally:
        os._exit(code)


def _work(jobs: socket.socket, cascade: Cascade, memory: NDArray[np.uint8]) -> None:
    """Answer jobs until the daemon closes the socket."""
    while True:
        message = jobs.recv(JOB_SIZE + 1)
        if not message:
            return
        job = unpack_job(message)
        signal.setitimer(signal.ITIMER_REAL, GRACE_S + 2 * job.budget_ms / 1000)
        answer = pack_answer(_decode(job, cascade, memory))
        signal.setitimer(signal.ITIMER_REAL, 0)
        jobs.send(answer)


def _decode(job: Job, cascade: Cascade, memory: NDArray[np.uint8]) -> Answer:
    area = job.width * job.height
    if not 0 < area <= memory.size:
        raise WireError("a frame that does not fit the memory")
    luma = memory[:area].reshape(job.height, job.width)
    started = time.perf_counter_ns()
    if job.thorough:
        payloads, variant = cascade.decode_still(luma)
    else:
        payloads, variant = cascade.decode(luma, turn=job.turn)
    spent_us = (time.perf_counter_ns() - started) // 1000
    return Answer(job.sequence, spent_us, variant, payloads)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
