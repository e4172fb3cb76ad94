"""Unit files as systemd reads them, and a unit's filter on system calls, put upon a process.

Run as a program, this one takes the filter of a unit upon itself and becomes another:

    python tests/support/units.py UNIT COMMAND [ARGUMENT ...]

Exit 77 says what is missing for that: systemd-analyze, libseccomp, or a kernel with seccomp.
"""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

MISSING = 77
ALLOW = 0x7FFF0000
REFUSE = 0x00050000 | errno.EPERM


def unit_lines(path: Path) -> list[tuple[str, str, str]]:
    """Return (section, key, value) of each line, in order."""
    found, section = [], ""
    for line in path.read_text("utf-8").splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif line and not line.startswith(("#", ";")):
            key, equals, value = line.partition("=")
            assert equals, line
            found.append((section, key, value))
    return found


def values(path: Path, key: str) -> list[str]:
    """Return the values of a key, in order."""
    return [value for _, name, value in unit_lines(path) if name == key]


def value(path: Path, key: str) -> str:
    """Return the one value of a key."""
    (only,) = values(path, key)
    return only


def seconds(text: str) -> float:
    """Return a time span of one word, as in `100ms` or `30`."""
    return float(text[:-2]) / 1000 if text.endswith("ms") else float(text)


@cache
def _calls(group: str) -> frozenset[str]:
    """Return the system calls of a group, by this machine's systemd."""
    done = subprocess.run(
        ["systemd-analyze", "syscall-filter", "--no-pager", group],
        capture_output=True,
        text=True,
        check=True,
    )
    words = {line.strip() for line in done.stdout.splitlines() if line.startswith("    ")}
    words = {word for word in words if not word.startswith("#")}
    inner = {word for word in words if word.startswith("@")}
    return frozenset(words - inner).union(*(_calls(each) for each in inner))


def allowed_calls(path: Path) -> set[str]:
    """Return the system calls that a unit's lines leave, as systemd adds and takes away."""
    allowed = set(_calls("@default"))
    for line in values(path, "SystemCallFilter"):
        named: set[str] = set()
        for word in line.removeprefix("~").split():
            named |= _calls(word) if word.startswith("@") else {word}
        allowed = allowed - named if line.startswith("~") else allowed | named
    if values(path, "ProtectClock") == ["yes"]:
        allowed -= _calls("@clock")
    return allowed


def _restrict(names: set[str]) -> None:
    library = ctypes.CDLL("libseccomp.so.2")
    library.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(library.seccomp_init(REFUSE))
    for name in names:
        number = library.seccomp_syscall_resolve_name(name.encode())
        if number >= 0:  # less: no call of this machine
            library.seccomp_rule_add(context, ALLOW, number, 0)
    if library.seccomp_load(context) < 0:
        sys.exit(MISSING)


def main(words: list[str]) -> None:
    """Take the filter, then become the command."""
    if shutil.which("systemd-analyze") is None:
        sys.exit(MISSING)
    names = allowed_calls(Path(words[0]))
    try:
        _restrict(names)
    except OSError:
        sys.exit(MISSING)
    os.execvp(words[1], words[1:])


if __name__ == "__main__":
    main(sys.argv[1:])
