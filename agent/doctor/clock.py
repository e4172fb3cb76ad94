"""`idgate doctor`'s look at the clock: whether it is believed, and what keeps it offline.

What a board starts with after a power cut decides what a gate without a network does then:
- a real-time clock with a battery: the time;
- a Raspberry Pi 5's without a battery: 1970, since the clock lives on the board's power;
- neither: the time that fake-hwclock or systemd-timesyncd saved on the disk, which is as old as the
  power cut was long and looks like any other.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from agent.clock.guard import EARLIEST, RTC_APART_S, ClockGuard
from agent.settings.model import Config

__all__ = ["RealTimeClock", "TimeKeepers", "Verdict", "look_at_clock", "read_keepers"]

EMPTY_UV = 1_300_000
"""Below the least voltage that the Pi 5's charger knows there is no battery, or an empty one."""

UNTRUSTED = (
    "set the clock or reach a time server; until then no dynamic code is accepted. If the "
    "time is right now: stop the daemon, remove clock.json and commands.json from the state, "
    "start again"
)

_SAVED = {
    "etc/fake-hwclock.data": "fake-hwclock",
    "var/lib/fake-hwclock/fake-hwclock.data": "fake-hwclock",
    "var/lib/systemd/timesync/clock": "systemd-timesyncd",
}
"""Where a time is saved for the next start, and by what; whoever is first does it first."""

Verdict = tuple[Literal["ok", "warning", "failed"], str, str]
"""State, detail, remedy."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RealTimeClock:
    """One real-time clock.

    Attributes:
        name: the kernel's, `rtc0`.
        chip: its driver's, as in `rpi_rtc`.
        kept: it holds a time that a clock which lost its power cannot have.
        battery: whether it has one; None where the clock does not measure it.
    """

    name: str
    chip: str
    kept: bool
    battery: bool | None

    def __str__(self) -> str:
        words = f"{self.name} ({self.chip})"
        if self.battery is False:
            words += " without a charged battery"
        return words if self.kept else f"{words} that lost the time"


@dataclass(frozen=True, slots=True)
class TimeKeepers:
    """What this machine can start with when no time server answers.

    Attributes:
        clocks: real-time clocks, by name.
        saved_by: who saves the time on the disk; empty for nobody.
    """

    clocks: tuple[RealTimeClock, ...]
    saved_by: str

    def __str__(self) -> str:
        clocks = ", ".join(map(str, self.clocks)) or "no real-time clock"
        if self.saved_by and not any(clock.kept for clock in self.clocks):
            return f"{clocks}; a start without network has the time that {self.saved_by} saved"
        return clocks


def read_keepers(root: Path = Path("/")) -> TimeKeepers:
    """Look for real-time clocks and saved times below a root."""
    clocks = tuple(_read_clock(path) for path in sorted((root / "sys/class/rtc").glob("rtc*")))
    saved_by = next((name for path, name in _SAVED.items() if (root / path).exists()), "")
    return TimeKeepers(clocks, saved_by)


def _read_clock(path: Path) -> RealTimeClock:
    chip = _word(path / "name").split(" ")[0] or "unknown"
    since, battery = _number(path / "since_epoch"), _number(path / "battery_voltage")
    return RealTimeClock(
        path.name,
        chip,
        kept=since is not None and since >= EARLIEST,
        battery=None if battery is None else battery >= EMPTY_UV,
    )


def _word(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8", "replace").strip()
    except OSError as error:
        _log.debug("%s cannot be read: %s", path, error)
        return ""


def _number(path: Path) -> int | None:
    word = _word(path)
    return int(word) if word.isascii() and word.isdigit() else None


def look_at_clock(config: Config, keepers: TimeKeepers) -> Verdict:
    """Say whether the clock is believed, and what keeps it."""
    guard = ClockGuard(
        config.state_path("clock.json"),
        demand_source=config.trust.clock_source == "confirmed",
    )
    verdict, sources = guard.check(), guard.sources
    if not verdict.trusted:
        return "failed", f"{verdict.reason}; {keepers}", UNTRUSTED
    if sources.synchronized:
        return "ok", f"believed, kept by a time server; {keepers}", ""
    if sources.rtc is None:
        unseen = "" if sources.synchronized is False else " that may be asked"
        return (
            "warning", f"no time server reached{unseen}; {keepers}",
            "fit a real-time clock with a battery for gates that start without a network",
        )  # fmt: skip
    if abs(sources.rtc) > RTC_APART_S:
        return (
            "warning",
            f"no time server reached, the real-time clock is {sources.rtc:+.0f} s apart; {keepers}",
            "see which is right: `hwclock --hctosys` takes its time, `hwclock --systohc` sets it",
        )
    return "ok", f"believed, as the real-time clock has it; {keepers}", ""
