"""The system calls that decoding needs, and no others (seccomp(2), filter mode).

What takes no file descriptor would be left to a decoder gone astray after its limits are set:
signals to the daemon, which has the same user; removing and renaming files; tracing. So all but
memory, time, the one socket and the end are refused with EPERM.

The numbers are the kernel's (asm/unistd_64.h for x86-64, asm-generic/unistd.h for AArch64). On
other machines, and on kernels built without seccomp, there is no filter: `restrict` says so.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct

__all__ = ["restrict"]

_PR_SET_SECCOMP = 22
_SECCOMP_MODE_FILTER = 2
_LOAD = 0x20
_JUMP_EQUAL = 0x15
_RETURN = 0x06
_ALLOW = 0x7FFF0000
_REFUSE = 0x00050000 | errno.EPERM
_KILL = 0x80000000
_NUMBER, _ARCHITECTURE = 0, 4
"""Offsets in `struct seccomp_data`."""
_INSTRUCTION = struct.Struct("=HBBI")

_ALLOWED = {  # name: (x86-64, AArch64)
    "read": (0, 63),
    "write": (1, 64),
    "close": (3, 57),
    "sendto": (44, 206),
    "recvfrom": (45, 207),
    "mmap": (9, 222),
    "mprotect": (10, 226),
    "munmap": (11, 215),
    "mremap": (25, 216),
    "madvise": (28, 233),
    "brk": (12, 214),
    "futex": (202, 98),
    "sched_yield": (24, 124),
    "clock_gettime": (228, 113),
    "gettimeofday": (96, 169),
    "setitimer": (38, 103),
    "getrandom": (318, 278),
    "getpid": (39, 172),
    "gettid": (186, 178),
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "restart_syscall": (219, 128),
    "rseq": (334, 293),
    "exit": (60, 93),
    "exit_group": (231, 94),
}
_MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
"""Column of the table above, and the audit architecture."""


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def restrict(libc: ctypes.CDLL) -> bool:
    """Shut the door; it cannot be opened again. PR_SET_NO_NEW_PRIVS must be set.

    Args:
        libc: loaded with `use_errno`.

    Returns:
        Whether there is a filter now.

    Raises:
        OSError: the kernel knows filters and refused this one.
    """
    machine = _MACHINES.get(platform.machine())
    if machine is None or struct.calcsize("P") != 8:
        return False
    code = _filter(*machine)
    program = _Program(len(code) // _INSTRUCTION.size, code)
    mode, none = ctypes.c_ulong(_SECCOMP_MODE_FILTER), ctypes.c_ulong(0)
    if libc.prctl(_PR_SET_SECCOMP, mode, ctypes.byref(program), none, none) == 0:
        return True
    number = ctypes.get_errno()
    if number == errno.EINVAL:
        return False
    raise OSError(number, f"seccomp: {os.strerror(number)}")


def _filter(column: int, architecture: int) -> bytes:
    """Return the filter's instructions: allow the table, refuse the rest."""
    numbers = [row[column] for row in _ALLOWED.values()]
    instructions = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_JUMP_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER),
    ]
    for left, number in zip(reversed(range(len(numbers))), numbers, strict=True):
        instructions.append((_JUMP_EQUAL, left + 1, 0, number))  # over the rest and the refusal
    instructions += [(_RETURN, 0, 0, _REFUSE), (_RETURN, 0, 0, _ALLOW)]
    return b"".join(_INSTRUCTION.pack(*instruction) for instruction in instructions)
