"""The daemon's side of a tenant's processes: start the stem, hand over workers, end both.

Rules:
- No call here waits for a process longer than it is told to; replacing a worker is one message.
- Both processes end when this one does, however it ends: the stem by end of file, the worker with
  it.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from agent.sandbox.memory import SharedMemory
from agent.sandbox.wire import FAILED, NO_STATUS, PID_REPLY, READY, REPLACE, pack_budget
from hal import library

__all__ = ["SandboxProcess", "StemLost", "describe_status"]

STEM_PATIENCE_S = 30.0
"""A stem that has not loaded its decoders by now never will (a Pi with a slow card takes 4 s)."""
REPLY_PATIENCE_S = 2.0
"""A loaded stem forks in milliseconds; one that has not by now is gone or stopped."""
DEATH_PATIENCE_S = 0.2
"""How long a stem that closed its socket may take to be a dead process that says how."""


class StemLost(RuntimeError):
    """The stem died, stopped, or could not load its decoders; the message says which."""


class SandboxProcess:
    """One stem and its current worker; thread-confined. `replace()` asks for the first worker too.

    Args:
        module: the tenant's; it is run as a program that calls `agent.sandbox.stem.serve`.
        memories: what the worker maps, in the order in which the tenant expects them.
        words: further arguments of the tenant.
    """

    def __init__(
        self, module: str, memories: Sequence[SharedMemory], words: Sequence[str] = ()
    ) -> None:
        self.ready = False
        """The stem has loaded its decoders."""
        self.worker_pid = 0
        self.last_status = NO_STATUS
        """Wait status of the worker before, where known."""
        self._jobs: socket.socket | None = None
        self._pending = 0
        self._asked_at = self._started_at = time.monotonic()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control = ours
        shared = [f"{memory.fd}:{memory.size}" for memory in memories]
        with theirs:
            self._stem = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                [
                    sys.executable,
                    "-P",
                    "-m",
                    module,
                    str(theirs.fileno()),
                    ",".join(shared),
                    *words,
                ],
                env=_environment(),
                pass_fds=(theirs.fileno(), *(memory.fd for memory in memories)),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )

    @property
    def stem_pid(self) -> int:
        """The stem's process id."""
        return self._stem.pid

    def replace(self) -> None:
        """Ask for a new worker in place of the current one, which is killed.

        Raises:
            StemLost: there is no stem to ask.
        """
        if self._jobs is not None:
            self._jobs.close()
        self._jobs, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.worker_pid = 0
        self._pending += 1
        self._asked_at = time.monotonic()
        with theirs:
            try:
                socket.send_fds(self._control, [REPLACE], [theirs.fileno()], socket.MSG_DONTWAIT)
            except OSError as error:
                raise StemLost(f"the stem is gone: {error.strerror}") from None

    def listen(self, timeout_s: float) -> None:
        """Take the stem's replies until none is due or the time is over.

        Raises:
            StemLost: it died, failed to load, or has been silent for too long.
        """
        until = time.monotonic() + timeout_s
        while self._pending or not self.ready:
            wait_ms = max(0.0, until - time.monotonic()) * 1000
            if not _readable(self._control, wait_ms):
                self._check_silence()
                return
            self._take_reply()

    def ask(self, job: bytes, budget_s: float) -> bool:
        """Send a job; return False where the worker is gone.

        Args:
            job: the tenant's.
            budget_s: the worker ends itself well after so many seconds.
        """
        if self._jobs is None:
            return False
        try:
            self._jobs.send(pack_budget(job, budget_s), socket.MSG_DONTWAIT)
        except OSError:
            return False
        return True

    def answer(self, timeout_s: float, limit: int) -> bytes | None:
        """Wait for the worker's answer.

        Returns:
            The datagram, at most `limit` + 1 bytes of it; empty where the worker died; None where
            the time is over.
        """
        if self._jobs is None or not _readable(self._jobs, timeout_s * 1000):
            return None
        try:
            return self._jobs.recv(limit + 1, socket.MSG_DONTWAIT)
        except OSError:
            return b""

    def close(self) -> None:
        """End both processes and wait for them; may be called twice."""
        if self._jobs is not None:
            self._jobs.close()
            self._jobs = None
        self._control.close()
        try:
            self._stem.wait(REPLY_PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._stem.kill()
            self._stem.wait()

    def kill(self) -> None:
        """End both processes at once: for a stem that no longer listens."""
        self._stem.kill()
        self.close()

    def _take_reply(self) -> None:
        message = b""
        with contextlib.suppress(ConnectionError):
            message = self._control.recv(1024)
        if message == READY:
            self.ready = True
            self._asked_at = time.monotonic()
        elif len(message) == PID_REPLY.size and message[:1] == b"P":
            _, self.worker_pid, self.last_status = PID_REPLY.unpack(message)
            self._pending -= 1
        elif message[:1] == FAILED:
            raise StemLost(message[1:].decode("utf-8", "replace"))
        else:
            raise StemLost(self._how_it_died())

    def _how_it_died(self) -> str:
        """Say what ended the stem; a library built for another processor ends it by a signal."""
        try:
            code = self._stem.wait(DEATH_PATIENCE_S)
        except subprocess.TimeoutExpired:
            return "the stem died"
        if code >= 0:
            return f"the stem died: exit code {code}"
        said = f"the stem died: killed by {signal.Signals(-code).name}"
        what = library.remedy(said)
        return f"{said}; {what}" if what else said

    def _check_silence(self) -> None:
        now = time.monotonic()
        if self.ready and self._pending and now - self._asked_at > REPLY_PATIENCE_S:
            raise StemLost("the stem does not answer")
        if not self.ready and now - self._started_at > STEM_PATIENCE_S:
            raise StemLost("the stem did not load its decoders in time")


def describe_status(status: int) -> str:
    """Say how a worker ended, from its wait status."""
    if status == NO_STATUS:
        return "unknown end"
    if os.WIFSIGNALED(status):
        return f"killed by {signal.Signals(os.WTERMSIG(status)).name}"
    return f"exit code {os.waitstatus_to_exitcode(status)}"


def _readable(channel: socket.socket, timeout_ms: float) -> bool:
    poller = select.poll()
    poller.register(channel, select.POLLIN)
    return bool(poller.poll(timeout_ms))


_ALLOCATOR = ("PYTHONMALLOC", "GLIBC_TUNABLES")
"""What the service sets so that freed memory is overwritten; decoded codes are personal data."""


def _environment() -> dict[str, str]:
    """Return the whole environment of the stem: where modules are, and one thread a library."""
    kept = {name: os.environ[name] for name in _ALLOCATOR if name in os.environ}
    return kept | {
        "PYTHONPATH": os.pathsep.join(path or str(Path.cwd()) for path in sys.path),
        "PYTHONNOUSERSITE": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
        "LC_ALL": "C.UTF-8",
    }
