"""What a place asks, as its profile says it: TOML text in, checked values out."""

from __future__ import annotations

import datetime as dt
import tomllib
import zoneinfo
from enum import StrEnum
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from agent.credential.model import FormatName, Kind
from agent.credential.needs import parse_need
from agent.settings.errors import explain

__all__ = [
    "DAYS",
    "SHIPPED",
    "Ask",
    "DayException",
    "Hours",
    "Profile",
    "ProfileError",
    "parse_profile",
]

SHIPPED = (
    "airport", "government-hall", "hotel", "internet-cafe", "library", "logistics", "railway",
)  # fmt: skip

Clock = Annotated[str, Meta(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]\Z|^24:00\Z")]
PretixNumber = Annotated[int, Meta(ge=0, le=2**63 - 1)]
PretixNumbers = Annotated[tuple[PretixNumber, ...], Meta(max_length=256)]
EXCEPTIONS = 1_024
"""Ten years of a country with a holiday every fourth day."""
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


class DayException(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A date that is not like its weekday: closed, or open for this stretch of it instead.

    Attributes:
        date: in local time.
        open, close: neither: closed all day; one alone goes to the day's other end, as in `Hours`.
            Several exceptions of a date are several stretches.
        name: for people: "Christmas".
    """

    date: dt.date
    open: Clock | None = None
    close: Clock | None = None
    name: Annotated[str, Meta(max_length=128)] = ""

    @property
    def stretch(self) -> tuple[str, str] | None:
        """When it is open, half open; None for closed all day."""
        if self.open is None and self.close is None:
            return None
        return self.open or "00:00", self.close or "24:00"


class Profile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A place of use, from TOML."""

    name: Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}\Z")]
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
    needs: Annotated[tuple[str, ...], Meta(max_length=16)] = ()
    """What a code must tell of the person besides; see `agent.policy.needs`."""
    hours: tuple[Hours, ...] = ()
    exceptions: Annotated[tuple[DayException, ...], Meta(max_length=EXCEPTIONS)] = ()
    """Dates on which the hours are others: holidays, a festival."""
    timezone: str = ""
    """IANA name, of the hours and the age; empty: the gate's own."""
    directions: tuple[Literal["in", "out"], ...] = ("in", "out")
    anti_passback: Literal["off", "on"] = "off"
    anti_passback_s: Annotated[float, Meta(ge=0)] = 43_200.0
    unsensed: Literal["passed", "close"] = "passed"
    """While the passage sensor has a fault, a grant counts as passed, or no code opens."""
    roster: str = ""
    blocked: str = ""
    ticket: Literal["none", "required"] = "none"
    ticket_kinds: tuple[Kind, ...] = ()
    ticket_use: Literal["once", "many"] = "once"
    """A ticket beside an identity is spent with its use, or opens as long as it is valid."""
    pretix_items: PretixNumbers | None = None
    """The organiser's numbers of products that open here; None: all."""
    pretix_variations: PretixNumbers | None = None
    """Numbers of variations; 0 is a product without any."""
    pretix_subevents: PretixNumbers | None = None
    """Numbers of a series' dates; 0 is an event that is none."""
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
    _check_zone(profile, source)
    _check_hours(profile, source)
    _check_needs(profile, source)
    _check_pretix(profile, source)
    return profile


def _check_zone(profile: Profile, source: str) -> None:
    try:
        if profile.timezone:
            zoneinfo.ZoneInfo(profile.timezone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise ProfileError(
            f"{source}: key timezone: {profile.timezone!r} is not an IANA time zone"
        ) from None


def _check_hours(profile: Profile, source: str) -> None:
    stretches = [("hours", (hours.open, hours.close)) for hours in profile.hours]
    stretches += [("exceptions", day.stretch) for day in profile.exceptions if day.stretch]
    for key, (begin, end) in stretches:
        if begin >= end:
            raise ProfileError(
                f"{source}: key {key}: {begin} is not before {end}; write a night as two stretches"
            )
    closed = {day.date for day in profile.exceptions if day.stretch is None}
    for day in profile.exceptions:
        if day.stretch is not None and day.date in closed:
            raise ProfileError(f"{source}: key exceptions: {day.date} is both closed and open")


def _check_needs(profile: Profile, source: str) -> None:
    try:
        for need in profile.needs:
            parse_need(need)
    except ValueError as error:
        raise ProfileError(f"{source}: key needs: {error}") from None


def _check_pretix(profile: Profile, source: str) -> None:
    for key in ("pretix_items", "pretix_variations", "pretix_subevents"):
        numbers = getattr(profile, key)
        if numbers is None:
            continue
        if not numbers:
            raise ProfileError(f"{source}: key {key}: no number; leave it out for all")
        if FormatName.PRETIX not in profile.formats:
            raise ProfileError(f'{source}: key {key}: "pretix" is not among the formats')
