"""Whether the gate's clock may be believed.

A gate works offline for weeks, often without a battery-backed clock, and whoever can turn its clock
back makes expired credentials valid and old dynamic codes fresh again. So the highest time ever
seen is kept on disk, and time-dependent acceptance fails closed while the clock is not trusted.

Rules, in the order in which `judge` asks them:
1. A time before this software existed means that the clock was never set; one after the century
   that it is broken.
2. A time below the highest one seen, in this boot or any before, is a clock that went back; small
   steps are a time server's work and allowed. What was seen is believed, the clock is not.
3. Within one boot the clock keeps pace with the kernel's boot-time clock. A leap ahead that no time
   server is known to confirm is neither believed nor remembered until it has stood for a while, or
   one wrong minute would lock the gate for years. A clock behind the time since boot was set back.
4. Where the settings demand a source, the time must come from a synchronised system clock, or agree
   with a real-time clock. A board without one starts with a time that was saved on its disk
   (fake-hwclock, systemd-timesyncd); a clock without battery begins in 1970. Neither is a source.
A time that is refused never moves the memory.

`judge` is pure. `ClockGuard` is its shell: it reads clocks, `/run`, `/proc`, `/sys` and the kernel,
and writes the memory atomically. `now` and `check` do no I/O and may be called for every frame;
`flush` does, and belongs in a housekeeping thread.

Whatever depends on the time of day asks `now`: the time, or None while no time is believed. One
reading is judged and returned, so that a step of the clock never falls between the two.
"""

from __future__ import annotations

import ctypes
import logging
import math
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import msgspec

__all__ = [
    "EARLIEST",
    "NO_SOURCE",
    "ClockGuard",
    "ClockMemory",
    "ClockReading",
    "ClockSources",
    "ClockVerdict",
    "judge",
    "read_boot_id",
    "read_sources",
]

EARLIEST = 1_767_225_600
"""2026-01-01T00:00:00Z: no gate ran before."""

LATEST = 4_102_444_800
"""2100-01-01T00:00:00Z: no gate runs so long; a clock that says so is broken."""

STEP_BACK_S = 5.0
"""Steps back of this size are a time server's corrections."""

LEAP_AHEAD_S = 300.0
"""How far the clock may run ahead of the boot-time clock without a time server's word."""

SETTLE_S = 300.0
"""How long a leap must stand to be believed: an installer sets the time by hand, or a server does
that cannot be asked."""

SOURCES_EVERY_S = 10.0
"""How often `flush` asks the sources: a real-time clock on a slow bus takes its time."""

RTC_APART_S = 300.0
"""How far the system's time and a real-time clock may stand apart at boot and still be one time."""

RTC_DRIFT = 1e-4
"""How fast two cheap crystals may part: by so much of the time since boot."""

NO_SOURCE = "no time server reached and no real-time clock that kept the time"
"""Why a time is not believed where the settings demand a source."""

_TIME_ERROR = 5
"""`adjtimex` returns this while the kernel's clock is not synchronised, adjtimex(2)."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ClockSources:
    """Where the system's time comes from.

    Attributes:
        synchronized: True or False as the kernel or systemd-timesyncd says; None when neither
            can be asked.
        rtc: how far a real-time clock is ahead of the system's time, s; the nearest of several.
            None where none is fitted or none has kept the time.
    """

    synchronized: bool | None = None
    rtc: float | None = None


@dataclass(frozen=True, slots=True)
class ClockReading:
    """One look at the clocks.

    Attributes:
        wall: Unix seconds.
        boottime: seconds since boot, suspend included (CLOCK_BOOTTIME).
        boot_id: the kernel's random id of this boot.
    """

    wall: float
    boottime: float
    boot_id: str


@dataclass(frozen=True, slots=True)
class ClockMemory:
    """What is remembered across reboots.

    Attributes:
        highest: highest believed time, Unix seconds.
        boot_id: boot in which it was seen; empty when it came from signed data.
        boottime: boot-time clock at that moment, s.
        leap: wall less boot-time clock of a leap that waits to be believed, s; kept in memory only.
        leapt_at: boot-time clock when that was first seen, s.
    """

    highest: float = 0.0
    boot_id: str = ""
    boottime: float = 0.0
    leap: float | None = None
    leapt_at: float = 0.0


@dataclass(frozen=True, slots=True)
class ClockVerdict:
    """Whether the clock is trusted, one line why not, and the memory to keep."""

    trusted: bool
    reason: str
    memory: ClockMemory


def judge(
    reading: ClockReading,
    memory: ClockMemory,
    sources: ClockSources,
    *,
    demand_source: bool = False,
) -> ClockVerdict:
    """Judge one reading against what is remembered.

    Args:
        reading: the clocks now.
        memory: what was remembered up to now.
        sources: where the system's time comes from.
        demand_source: True where a time from nowhere is not believed.
    """
    if not reading.wall <= LATEST:  # so that a NaN is caught too
        return ClockVerdict(False, f"the clock gives no time: {_text(reading.wall)}", memory)
    if reading.wall < EARLIEST:
        return ClockVerdict(False, f"the clock was never set: {_text(reading.wall)}", memory)
    if reading.wall < memory.highest - STEP_BACK_S:
        reason = f"the clock went back from {_text(memory.highest)} to {_text(reading.wall)}"
        return ClockVerdict(False, reason, memory)
    if reading.boot_id == memory.boot_id and not sources.synchronized:
        pace = reading.wall - memory.highest - (reading.boottime - memory.boottime)
        if pace < -LEAP_AHEAD_S:
            reason = f"the clock stands {-pace:.0f} s behind the time since boot"
            return ClockVerdict(False, reason, memory)
        if pace > LEAP_AHEAD_S:
            memory = _leapt(reading, memory)
            if reading.boottime - memory.leapt_at < SETTLE_S:
                reason = f"the clock leapt {pace:.0f} s ahead to {_text(reading.wall)}, unconfirmed"
                return ClockVerdict(False, reason, memory)
    if demand_source and not sources.synchronized:
        if sources.rtc is None:
            return ClockVerdict(False, NO_SOURCE, memory)
        if abs(sources.rtc) > RTC_APART_S + RTC_DRIFT * reading.boottime:
            reason = (
                f"no time server reached, and the real-time clock is {sources.rtc:+.0f} s apart"
            )
            return ClockVerdict(False, reason, memory)
    if reading.wall <= memory.highest:
        return ClockVerdict(True, "", memory)
    return ClockVerdict(True, "", ClockMemory(reading.wall, reading.boot_id, reading.boottime))


def _leapt(reading: ClockReading, memory: ClockMemory) -> ClockMemory:
    """Remember since when the clock has kept to the time that it leapt to."""
    leap = reading.wall - reading.boottime
    if memory.leap is not None and abs(leap - memory.leap) <= STEP_BACK_S:
        return memory
    return replace(memory, leap=leap, leapt_at=reading.boottime)


def read_boot_id() -> str:
    """Return the kernel's id of this boot.

    Raises:
        OSError: /proc cannot be read.
    """
    return Path("/proc/sys/kernel/random/boot_id").read_bytes().decode().strip()


def read_sources(
    run: Path = Path("/run"),
    rtc: Path = Path("/sys/class/rtc"),
    *,
    wall: Callable[[], float] = time.time,
) -> ClockSources:
    """Ask the kernel, systemd-timesyncd and the real-time clock.

    Args:
        run: where `systemd/timesync/synchronized` appears.
        rtc: where real-time clocks are listed.
        wall: the system's time, Unix seconds.
    """
    if (run / "systemd/timesync/synchronized").exists():
        synchronized: bool | None = True
    else:
        synchronized = _kernel_synchronized()
    return ClockSources(synchronized=synchronized, rtc=_rtc_ahead(rtc, wall))


def _kernel_synchronized() -> bool | None:
    """Return what adjtimex(2) says; None where it may not be asked."""
    libc = ctypes.CDLL(None)
    timex = ctypes.create_string_buffer(1024)  # larger than any ABI's struct timex; modes = 0
    state = int(libc.adjtimex(timex))
    return None if state < 0 else state != _TIME_ERROR


def _rtc_ahead(rtc: Path, wall: Callable[[], float]) -> float | None:
    ahead = []
    for clock in sorted(rtc.glob("rtc*")):
        try:
            since = int((clock / "since_epoch").read_bytes())
        except (OSError, ValueError) as error:
            _log.debug("real-time clock %s cannot be read: %s", clock.name, error)
            continue
        if since >= EARLIEST:
            ahead.append(since - wall())
    return min(ahead, key=abs, default=None)


class _MemoryFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    highest: float
    boot_id: str
    boottime: float


class ClockGuard:
    """The clock's guard in a running gate; safe to use from several threads.

    Args:
        path: file that keeps the memory.
        every_s: least time between two writes.
        demand_source: True where a time from nowhere is not believed.
        wall: Unix seconds.
        boottime: CLOCK_BOOTTIME seconds.
        boot_id: reader of the boot's id.
        sources: reader of the time's sources.
    """

    def __init__(
        self,
        path: Path,
        *,
        every_s: float = 60.0,
        demand_source: bool = False,
        wall: Callable[[], float] = time.time,
        boottime: Callable[[], float] = lambda: time.clock_gettime(time.CLOCK_BOOTTIME),
        boot_id: Callable[[], str] = read_boot_id,
        sources: Callable[[], ClockSources] = read_sources,
    ) -> None:
        self._path = path
        self._every_s = every_s
        self._demand_source = demand_source
        self._wall = wall
        self._boottime = boottime
        self._read_sources = sources
        self._lock = threading.Lock()
        self._boot_id = boot_id()
        self._sources = sources()
        self._asked_at = boottime()
        self._damage = ""
        self._memory = self._load()
        self._written: ClockMemory | None = self._memory
        self._written_at = -math.inf
        self._refused: OSError | None = None
        self._verdict = self.check()

    def now(self) -> float | None:
        """Return the time, Unix seconds, or None while it may not be believed; no I/O."""
        wall = self._wall()
        return wall if self._check(wall).trusted else None

    def check(self) -> ClockVerdict:
        """Look at the clocks and judge; no I/O."""
        return self._check(self._wall())

    def _check(self, wall: float) -> ClockVerdict:
        with self._lock:
            reading = ClockReading(wall, self._boottime(), self._boot_id)
            verdict = judge(reading, self._memory, self._sources, demand_source=self._demand_source)
            if verdict.trusted and self._damage:
                # Only a time server can vouch for the time that the lost memory would have.
                if self._sources.synchronized:
                    self._damage = ""
                else:
                    verdict = ClockVerdict(False, self._damage, self._memory)
            self._memory = verdict.memory
            self._verdict = verdict
            return verdict

    @property
    def trusted(self) -> bool:
        """Whether the clock may be believed now."""
        return self.check().trusted

    @property
    def reason(self) -> str:
        """Why it may not, as found by the last check; empty when it may."""
        return self._verdict.reason

    @property
    def sources(self) -> ClockSources:
        """Where the time comes from, as of the last flush."""
        return self._sources

    def flush(self, *, force: bool = False) -> None:
        """Ask the sources again and write the memory, each if it is due.

        Args:
            force: write now, as at shutdown.

        Raises:
            OSError: the memory cannot be written, or could not when it was last due.
        """
        now = self._boottime()
        if force or now - self._asked_at >= SOURCES_EVERY_S:
            sources = self._read_sources()
            with self._lock:
                self._sources, self._asked_at = sources, now
        self.check()
        with self._lock:
            memory = self._memory
            due = force or now - self._written_at >= self._every_s
            if not due and self._refused is not None:
                raise self._refused.with_traceback(None)
            if not due or memory == self._written or self._damage:
                return
            self._written, self._written_at, self._refused = memory, now, None
        try:
            self._store(memory)
        except OSError as error:
            self._refused = error
            raise

    def _load(self) -> ClockMemory:
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return ClockMemory()
        except OSError as error:
            self._damage = f"the clock's memory {self._path} cannot be read: {error.strerror}"
            return ClockMemory()
        try:
            kept = msgspec.json.decode(data, type=_MemoryFile)
        except msgspec.DecodeError:
            self._damage = f"the clock's memory {self._path} is damaged"
            return ClockMemory()
        return ClockMemory(kept.highest, kept.boot_id, kept.boottime)

    def _store(self, memory: ClockMemory) -> None:
        """Write to a new file, then rename: a power cut leaves the old memory or the new."""
        data = msgspec.json.encode(_MemoryFile(memory.highest, memory.boot_id, memory.boottime))
        self._path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self._path.with_name(self._path.name + ".new")
        with fresh.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self._path)
        directory = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def _text(unix_s: float) -> str:
    """Name a time for an operator; a clock can hold values that no calendar has."""
    if not 0 <= unix_s <= LATEST:
        return f"{unix_s:.0f} s"
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
