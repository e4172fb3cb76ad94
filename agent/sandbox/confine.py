"""What a worker gives up before it sees the first picture.

- A user without rights, where the daemon runs as root (demo, containers); no supplementary groups.
- New files, sockets, devices (RLIMIT_NOFILE 0), new processes (RLIMIT_NPROC 0), writing to files
  (RLIMIT_FSIZE 0), core dumps (RLIMIT_CORE 0).
- More memory on top of what is mapped than its tenant has use for (RLIMIT_AS), and where it serves
  one job only, more seconds of work (RLIMIT_CPU).
- New privileges through a program (PR_SET_NO_NEW_PRIVS), being traced (PR_SET_DUMPABLE 0).
- Outliving its parent (PR_SET_PDEATHSIG).
- Every system call that decoding does not need (`seccomp`).

A step that fails raises: a decoder that could not be shut in does not run.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
from dataclasses import dataclass
from pathlib import Path

from agent.sandbox.seccomp import restrict

__all__ = ["Confinement", "enter"]

NOBODY = 65_534
_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_NAME = 15
_PR_SET_NO_NEW_PRIVS = 38


@dataclass(frozen=True, slots=True)
class Confinement:
    """What a tenant's workers may use.

    Attributes:
        name: of the process, at most 15 bytes.
        extra_memory: bytes on top of what is mapped.
        cpu_s: seconds of work in a worker's whole life; None: no end.
    """

    name: str
    extra_memory: int
    cpu_s: int | None = None


def enter(confinement: Confinement) -> None:
    """Give up everything that decoding does not need.

    Args:
        confinement: what is left.

    Raises:
        OSError: a step was refused.
    """
    parent = os.getppid()
    libc = ctypes.CDLL(None, use_errno=True)
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
    pages = int(Path("/proc/self/statm").read_bytes().split()[0])  # loads no codec from the disk
    memory = pages * resource.getpagesize() + confinement.extra_memory
    _prctl(libc, _PR_SET_NAME, ctypes.c_char_p(confinement.name.encode()))
    _prctl(libc, _PR_SET_NO_NEW_PRIVS, 1)
    _prctl(libc, _PR_SET_DUMPABLE, 0)
    _prctl(libc, _PR_SET_PDEATHSIG, int(signal.SIGKILL))  # after setuid, which clears it
    if os.getppid() != parent:
        os._exit(1)  # the parent died before the line above
    for limit, value in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_CPU, confinement.cpu_s),
        (resource.RLIMIT_NOFILE, 0),
    ):
        if value is not None:
            resource.setrlimit(limit, (value, value))
    restrict(libc)


def _prctl(libc: ctypes.CDLL, option: int, argument: ctypes.c_char_p | int) -> None:
    word = ctypes.c_ulong(argument) if isinstance(argument, int) else argument
    none = ctypes.c_ulong(0)
    if libc.prctl(option, word, none, none, none) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl {option}: {os.strerror(number)}")
