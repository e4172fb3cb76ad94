"""What a place asks, as its profile says it: TOML text in, checked values out."""

from __future__ import annotations

import tomllib
import zoneinfo
from enum import StrEnum
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from agent.credential.model import FormatName, Kind
from agent.settings.errors import explain

__all__ = ["DAYS", "SHIPPED", "Ask", "Hours", "Profile", "ProfileError", "parse_profile"]

SHIPPED = (
    "airport", "government-hall", "hotel", "internet-cafe", "library", "logistics", "railway",
)  # fmt: skip

Clock = Annotated[str, Meta(pattern=r"^([01]\d|2[0-3]):[0-5]\d$|^24:00$")]
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class ProfileError(ValueError):
    """A site profile cannot be used; one line for the operator."""


class Ask(StrEnum):
    """Which biometric comparison a place asks for."""

    NONE = "none"
    FACE = "face"
    FINGER = "finger"
    BOTH = "both"
    EITHER = "either"


class Hours(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One stretch of opening hours, local time; `close` past midnight is written as two."""

    days: tuple[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"], ...]
    open: Clock = "00:00"
    close: Clock = "24:00"


class Profile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A place of use, from TOML."""

    name: Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")]
    """As events carry it."""
    title: str
    formats: tuple[FormatName, ...] = (FormatName.NATIVE,)
    kinds: tuple[Kind, ...]
    kind_names: dict[str, Kind] = {}
    """Other issuers' names for kinds (`vct` values) and what they count as here."""
    level: Annotated[int, Meta(ge=1, le=2)] = 1
    dynamic: bool = True
    reuse_s: Annotated[float, Meta(ge=0)] = 10.0
    """A static code may be used again after this long; a dynamic code never."""
    biometric: Ask = Ask.NONE
    biometric_basic: Ask | None = None
    """What is asked of a basic-level credential, where that differs."""
    staff_search: bool = False
    """Staff enrolled in the finger module may pass by finger alone (1:N)."""
    regions: tuple[str, ...] = ()
    """ISO 3166-2 codes that count as here; empty: the credential's regions are not asked."""
    minimum_age: Annotated[int, Meta(ge=0, le=120)] = 0
    hours: tuple[Hours, ...] = ()
    timezone: str = "UTC"
    directions: tuple[Literal["in", "out"], ...] = ("in", "out")
    anti_passback: Literal["off", "on"] = "off"
    anti_passback_s: Annotated[float, Meta(ge=0)] = 43_200.0
    unsensed: Literal["passed", "close"] = "passed"
    """While the passage sensor has a fault, a grant counts as passed, or no code opens."""
    roster: str = ""
    blocked: str = ""
    ticket: Literal["none", "required"] = "none"
    ticket_kinds: tuple[Kind, ...] = ()
    status_unknown: Literal["deny", "accept"] = "deny"


def parse_profile(text: str | bytes, *, source: str) -> Profile:
    """Return the profile in `text` (TOML).

    Raises:
        ProfileError: one line that names source, key and fault.
    """
    try:
        table = tomllib.loads(text if isinstance(text, str) else text.decode("utf-8-sig"))
        profile = msgspec.convert(table, Profile)
    except msgspec.ValidationError as error:
        raise ProfileError(f"{source}: {explain(error, Profile)}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ProfileError(f"{source}: not TOML: {error}") from None
    try:
        zoneinfo.ZoneInfo(profile.timezone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise ProfileError(
            f"{source}: key timezone: {profile.timezone!r} is not an IANA time zone"
        ) from None
    for hours in profile.hours:
        if hours.open >= hours.close:
            raise ProfileError(
                f"{source}: key hours: {hours.open} is not before {hours.close}; "
                "write a night as two stretches"
            )
    return profile
