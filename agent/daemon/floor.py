"""Holds settings from afar against what the gate's own file demands at least."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from agent.daemon.place import profile_of
from agent.policy.floor import demands_less
from agent.policy.profile import SHIPPED, ProfileError
from agent.settings.model import Config
from agent.trust.model import TrustView

__all__ = ["BelowFloor", "require_floor"]


class BelowFloor(ProfileError):
    """Settings from afar ask for less than the file's `[floor]` lets them."""


def require_floor(file_config: Config, config: Config, trust: TrustView) -> None:
    """Refuse settings from afar that name files, or fall below what the file demands.

    Args:
        file_config: the file's settings.
        config: those with what the fleet desires upon them.
        trust: may bring profiles.

    Raises:
        BelowFloor: they ask for less.
        ProfileError: a profile is neither shipped nor in the trust set, or cannot be used.
    """
    name = config.gate.profile
    named = name in SHIPPED or trust.profile(name) is not None
    if name != file_config.gate.profile and not named:
        raise ProfileError(
            f"profile {name!r}: neither in the trust set nor shipped ({', '.join(SHIPPED)}); "
            "from afar no file can be named"
        )
    if less := next(_below(file_config, config, trust), ""):
        raise BelowFloor(less)


def _below(file_config: Config, config: Config, trust: TrustView) -> Iterator[str]:
    floor, ours, theirs = file_config.floor, file_config.gate, config.gate
    if theirs.profile != ours.profile and floor.profiles and theirs.profile not in floor.profiles:
        yield f"gate.profile: {theirs.profile} is not among floor.profiles"
    most = (
        ("passage_timeout_s", floor.passage_timeout_s),
        ("lockout_failures", floor.lockout_failures),
    )
    for name, limit in most:
        wanted = getattr(theirs, name)
        if wanted != getattr(ours, name) and wanted > limit:
            yield f"gate.{name}: {wanted}, floor.{name} allows {limit} at most"
    if theirs.lockout_s != ours.lockout_s and theirs.lockout_s < floor.lockout_s:
        yield f"gate.lockout_s: {theirs.lockout_s}, floor.lockout_s demands {floor.lockout_s}"
    if (theirs.profile, theirs.region) == (ours.profile, ours.region):
        return
    least = msgspec.structs.replace(
        file_config,
        gate=msgspec.structs.replace(ours, profile=floor.profile or ours.profile),
    )
    less = demands_less(profile_of(config, trust), profile_of(least, trust))
    if less:
        yield f"gate.profile: {theirs.profile} demands less than this gate's file: {less}"
