"""When a place is open: its week, and the dates that are not like their weekday. Pure.

Rules:
- Hours are read off the wall clock of the place. In the hour that comes twice in autumn a place is
  open both times or neither; what would open or close in the hour that spring leaves out does so
  when the clock has jumped over it.
- A date runs from 00:00 to 24:00. An exception takes the place of everything that the week says of
  its date, the small hours of the night before it among them: a night from Friday into a holiday
  ends at midnight, unless the holiday's exceptions have a stretch from 00:00.
- A place without hours is open at all times but on its exceptions.
"""

from __future__ import annotations

import datetime as dt

from agent.policy.profile import DAYS, Profile

__all__ = ["hours_of", "is_open", "keeps_hours", "told"]

Stretch = tuple[str, str]

_ALL_DAY = ("00:00", "24:00")


def keeps_hours(profile: Profile) -> bool:
    """Return whether a place is ever closed by the clock."""
    return bool(profile.hours or profile.exceptions)


def hours_of(profile: Profile, date: dt.date) -> tuple[Stretch, ...]:
    """Return when a place is open on a date: (open, close) in its local time, half open."""
    special = [exception for exception in profile.exceptions if exception.date == date]
    if special:
        return tuple(day.stretch for day in special if day.stretch is not None)
    if not profile.hours:
        return (_ALL_DAY,)
    weekday = DAYS[date.weekday()]
    return tuple((hours.open, hours.close) for hours in profile.hours if weekday in hours.days)


def is_open(profile: Profile, local: dt.datetime) -> bool:
    """Return whether a place is open at a moment of its local time."""
    clock = local.strftime("%H:%M")
    return any(begin <= clock < end for begin, end in hours_of(profile, local.date()))


def told(profile: Profile, local: dt.datetime) -> str:
    """Return for people what the gate takes the time and that day's hours to be."""
    stretches = sorted(hours_of(profile, local.date()))
    hours = ", ".join(f"{begin} to {end}" for begin, end in stretches)
    today = f"open {hours}" if hours else "closed all day"
    return f"{local:%a %Y-%m-%d %H:%M} in {local.tzinfo}: {today}"
