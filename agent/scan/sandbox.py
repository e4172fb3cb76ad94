"""What the decoder's worker gives up before it sees the first picture.

- A user without rights, where the daemon runs as root (demo, containers); no supplementary groups.
- New files, sockets, devices (RLIMIT_NOFILE 0), new processes (RLIMIT_NPROC 0), writing to files
  (RLIMIT_FSIZE 0), core dumps (RLIMIT_CORE 0), more than 384 MiB on top of what is mapped
  (RLIMIT_AS).
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
from pathlib import Path

from agent.scan.seccomp import restrict

__all__ = ["enter"]

NOBODY = 65_534
EXTRA_MEMORY = 384 * 1024 * 1024
_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_NAME = 15
_PR_SET_NO_NEW_PRIVS = 38


def enter() -> None:
    """Give up everything that decoding does not need.

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
    memory = pages * resource.getpagesize() + EXTRA_MEMORY
    _prctl(libc, _PR_SET_NAME, ctypes.c_char_p(b"idgate-scan"))
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
        (resource.RLIMIT_NOFILE, 0),
    ):
        resource.setrlimit(limit, (value, value))
    restrict(libc)


def _prctl(libc: ctypes.CDLL, option: int, argument: ctypes.c_char_p | int) -> None:
    word = ctypes.c_ulong(argument) if isinstance(argument, int) else argument
    none = ctypes.c_ulong(0)
    if libc.prctl(option, word, none, none, none) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl {option}: {os.strerror(number)}")
