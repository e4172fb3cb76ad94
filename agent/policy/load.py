"""Where profiles come from: the shipped ones, and an operator's own file."""

from __future__ import annotations

import errno
import os
import stat
from importlib import resources
from pathlib import Path

from agent.policy.profile import SHIPPED, Profile, ProfileError, parse_profile

__all__ = ["load_profile", "shipped_profile"]

_MAX_BYTES = 256 << 10


def shipped_profile(name: str) -> Profile:
    """Return one of the profiles that come with the package."""
    text = resources.files("agent.policy.profiles").joinpath(f"{name}.toml").read_bytes()
    return parse_profile(text, source=f"profile {name}")


def load_profile(name: str, *, base_dir: Path) -> Profile:
    """Return a shipped profile by name, or one from a file by path.

    Raises:
        ProfileError: neither, or the file cannot be used.
    """
    if name in SHIPPED:
        return shipped_profile(name)
    path = base_dir / name
    try:
        text = _read(path)
    except OSError as error:
        raise ProfileError(
            f"profile {name!r}: cannot be read: {error.strerror}; "
            f"shipped ones are {', '.join(SHIPPED)}"
        ) from None
    return parse_profile(text, source=str(path))


def _read(path: Path) -> bytes:
    """Return a file's content; what is no file is not waited for, as a pipe would be.

    Raises:
        OSError: it cannot be read, is no file, or is absurdly large.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        mode = os.fstat(descriptor).st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):  # reading a directory says so itself
            raise OSError(errno.EINVAL, "it is no file")
        text = os.read(descriptor, _MAX_BYTES + 1)
    finally:
        os.close(descriptor)
    if len(text) > _MAX_BYTES:
        raise OSError(errno.EFBIG, f"more than {_MAX_BYTES} bytes")
    return text
