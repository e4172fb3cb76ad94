"""Where profiles come from: the shipped ones, and an operator's own file."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from agent.policy.profile import SHIPPED, Profile, ProfileError, parse_profile
from agent.settings.errors import did_you_mean

__all__ = ["load_profile", "shipped_profile"]


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
            f"profile {name!r}: cannot be read: {error.strerror}{did_you_mean(name, SHIPPED)}; "
            f"shipped ones are {', '.join(SHIPPED)}"
        ) from None
    return parse_profile(text, source=str(path))
