"""Where profiles come from: the shipped ones, and an operator's own file."""

from __future__ import annotations

import datetime as dt
import os
import stat
from importlib import resources
from pathlib import Path

from agent.policy.hours import keeps_hours
from agent.policy.localzone import ZoneError, own_zone
from agent.policy.needs import least_age
from agent.policy.profile import SHIPPED, Profile, ProfileError, parse_profile
from agent.settings.errors import did_you_mean

__all__ = ["load_profile", "own_zone_for", "shipped_profile"]

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
        return parse_profile(_read(path), source=str(path))
    except _NotRead as error:
        raise ProfileError(
            f"profile {name!r}: cannot be read: {error}{did_you_mean(name, SHIPPED)}; "
            f"shipped ones are {', '.join(SHIPPED)}"
        ) from None


class _NotRead(Exception):
    """Why a file gives no profile."""


def _read(path: Path) -> bytes:
    """Return a file's content; what is no file is not waited for, as a pipe would be."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode) and not stat.S_ISDIR(found.st_mode):
                raise _NotRead("it is no file")
            if found.st_size > _MAX_BYTES:
                raise _NotRead(f"more than {_MAX_BYTES} bytes")
            return os.read(descriptor, _MAX_BYTES)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise _NotRead(error.strerror) from None


def own_zone_for(profile: Profile) -> dt.tzinfo:
    """Return the gate's own time zone, read now; UTC for a profile that has no need of it.

    Raises:
        ProfileError: the profile goes by the gate's time zone, which cannot be told.
    """
    if profile.timezone or not (keeps_hours(profile) or least_age(profile)):
        return dt.UTC
    try:
        return own_zone(os.environ)
    except ZoneError as error:
        raise ProfileError(
            f"profile {profile.name}: key timezone: it names none, and the gate's own cannot be "
            f"told: {error}; name one, or run `timedatectl set-timezone`"
        ) from None
