"""Where profiles come from: the shipped ones, and an operator's own file."""

from __future__ import annotations

import datetime as dt
import os
from importlib import resources
from pathlib import Path

from agent.policy.hours import keeps_hours
from agent.policy.localzone import ZoneError, own_zone
from agent.policy.profile import SHIPPED, Profile, ProfileError, parse_profile

__all__ = ["load_profile", "own_zone_for", "shipped_profile"]


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
        text = path.read_bytes()
    except OSError as error:
        raise ProfileError(
            f"profile {name!r}: cannot be read: {error.strerror}; "
            f"shipped ones are {', '.join(SHIPPED)}"
        ) from None
    return parse_profile(text, source=str(path))


def own_zone_for(profile: Profile) -> dt.tzinfo:
    """Return the gate's own time zone, read now; UTC for a profile that has no need of it.

    Raises:
        ProfileError: the profile goes by the gate's time zone, which cannot be told.
    """
    if profile.timezone or not (keeps_hours(profile) or profile.minimum_age):
        return dt.UTC
    try:
        return own_zone(os.environ)
    except ZoneError as error:
        raise ProfileError(
            f"profile {profile.name}: key timezone: it names none, and the gate's own cannot be "
            f"told: {error}; name one, or run `timedatectl set-timezone`"
        ) from None
