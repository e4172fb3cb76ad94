"""The clock guard: a table for the pure core, a fake clock and real files for its shell."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.clock.guard import (
    EARLIEST,
    LEAP_AHEAD_S,
    SETTLE_S,
    STEP_BACK_S,
    ClockGuard,
    ClockMemory,
    ClockReading,
    ClockSources,
    judge,
    read_boot_id,
    read_sources,
)
from tests.support.trust_keys import NOW

SEEN = ClockMemory(NOW, "boot-1", 1_000.0)
NTP = ClockSources(synchronized=True, rtc=None)
RTC = ClockSources(synchronized=False, rtc=True)
NOTHING = ClockSources(synchronized=False, rtc=False)
UNKNOWN = ClockSources()


def reading(wall: float, boottime: float = 1_000.0, boot_id: str = "boot-1") -> ClockReading:
    return ClockReading(wall, boottime, boot_id)


CASES = [
    ("first start", reading(NOW), ClockMemory(), UNKNOWN, False, ""),
    ("never set", reading(3_600.0), ClockMemory(), UNKNOWN, False, "never set"),
    ("before this software", reading(EARLIEST - 1), ClockMemory(), NTP, False, "never set"),
    ("same instant", reading(NOW), SEEN, UNKNOWN, False, ""),
    ("time went on", reading(NOW + 60, 1_060), SEEN, UNKNOWN, False, ""),
    ("a small step back", reading(NOW - STEP_BACK_S), SEEN, UNKNOWN, False, ""),
    ("a step back", reading(NOW - STEP_BACK_S - 1), SEEN, UNKNOWN, False, "went back"),
    ("a step back that a server confirms", reading(NOW - 3_600), SEEN, NTP, False, "went back"),
    ("back across a reboot", reading(NOW - 60, 5, "boot-2"), SEEN, UNKNOWN, False, "went back"),
    ("later after a reboot", reading(NOW + 86_400, 5, "boot-2"), SEEN, UNKNOWN, False, ""),
    ("an unconfirmed leap", reading(NOW + LEAP_AHEAD_S + 61, 1_060), SEEN, UNKNOWN, False, "leapt 301 s ahead"),
    ("a leap of less", reading(NOW + LEAP_AHEAD_S + 60, 1_060), SEEN, UNKNOWN, False, ""),
    ("a confirmed leap", reading(NOW + 86_400, 1_060), SEEN, NTP, False, ""),
    ("a clock that stands still", reading(NOW, 1_000 + LEAP_AHEAD_S + 1), SEEN, UNKNOWN, False, "behind the time since boot"),
    ("no source, none asked", reading(NOW), SEEN, NOTHING, False, ""),
    ("no source, one asked", reading(NOW), SEEN, NOTHING, True, "no time server"),
    ("source unknown, one asked", reading(NOW), SEEN, UNKNOWN, True, "no time server"),
    ("server, one asked", reading(NOW), SEEN, NTP, True, ""),
    ("real-time clock, one asked", reading(NOW), SEEN, RTC, True, ""),
    ("a time of no calendar", reading(1e18, 1_060), SEEN, NTP, False, "gives no time"),
    ("not a number", reading(float("nan")), SEEN, NTP, False, "gives no time"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("now", "memory", "sources", "demand", "reason"),
    [row[1:] for row in CASES],
    ids=[row[0] for row in CASES],
)
def test_judgements(
    now: ClockReading, memory: ClockMemory, sources: ClockSources, demand: bool, reason: str
) -> None:
    verdict = judge(now, memory, sources, demand_source=demand)
    assert verdict.trusted is not bool(reason)
    assert reason in verdict.reason
    if reason:
        assert verdict.memory.highest == memory.highest  # what is refused never moves it
    else:
        assert verdict.memory.highest == max(now.wall, memory.highest)


@given(
    st.lists(
        st.tuples(st.floats(-1e6, 1e6), st.floats(0, 1e5), st.sampled_from("abc")), max_size=30
    )
)
def test_the_memory_never_goes_back(steps: list[tuple[float, float, str]]) -> None:
    memory = ClockMemory()
    for offset, boottime, boot_id in steps:
        verdict = judge(ClockReading(NOW + offset, boottime, boot_id), memory, UNKNOWN)
        assert verdict.memory.highest >= memory.highest
        if verdict.trusted:
            assert NOW + offset >= memory.highest - STEP_BACK_S
        memory = verdict.memory


class Machine:
    """Clocks that the test sets; a guard for every boot."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.wall = float(NOW)
        self.boottime = 10.0
        self.boot = 1
        self.sources = UNKNOWN

    def guard(self, **options: bool) -> ClockGuard:
        return ClockGuard(
            self.path,
            wall=lambda: self.wall,
            boottime=lambda: self.boottime,
            boot_id=lambda: f"boot-{self.boot}",
            sources=lambda: self.sources,
            **options,  # type: ignore[arg-type]
        )

    def run(self, seconds: float) -> None:
        self.wall += seconds
        self.boottime += seconds

    def reboot(self, *, wall: float) -> None:
        self.wall, self.boottime, self.boot = wall, 5.0, self.boot + 1


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path / "state" / "clock.json")


def test_rollback_across_a_reboot_is_detected_and_heals(machine: Machine) -> None:
    guard = machine.guard()
    assert guard.trusted
    machine.run(3_600)
    guard.flush(force=True)
    machine.reboot(wall=NOW + 1_800)
    guard = machine.guard()
    assert not guard.trusted
    assert "went back from 2026-05-28T21:26:40Z to 2026-05-28T20:56:40Z" in guard.reason
    machine.run(1_800)
    assert guard.trusted
    assert guard.reason == ""


def test_the_memory_is_written_no_more_often_than_asked(machine: Machine) -> None:
    guard = machine.guard()
    guard.flush()
    first = machine.path.read_bytes()
    machine.run(59)
    guard.flush()
    assert machine.path.read_bytes() == first
    machine.run(2)
    guard.flush()
    assert json.loads(machine.path.read_bytes())["highest"] == NOW + 61
    machine.run(1)
    guard.flush(force=True)
    assert json.loads(machine.path.read_bytes())["highest"] == NOW + 62
    assert [path.name for path in machine.path.parent.iterdir()] == ["clock.json"]


def test_a_refused_time_is_not_written(machine: Machine) -> None:
    guard = machine.guard()
    guard.flush(force=True)
    machine.wall += 10 * 365 * 86_400
    assert not guard.trusted
    guard.flush(force=True)
    assert json.loads(machine.path.read_bytes())["highest"] == NOW
    machine.wall = NOW + 1
    assert guard.trusted


def test_a_leap_that_stands_is_believed_and_one_that_does_not_is_forgotten(
    machine: Machine,
) -> None:
    guard = machine.guard()
    machine.wall += 86_400  # set by hand, or by a server that cannot be asked
    assert not guard.trusted
    machine.run(SETTLE_S - 1)
    assert not guard.trusted
    machine.wall += 60  # set again: what stood so far counts no more
    assert not guard.trusted
    machine.run(SETTLE_S - 1)
    assert not guard.trusted
    machine.run(1)
    assert guard.trusted
    guard.flush(force=True)
    assert json.loads(machine.path.read_bytes())["highest"] == machine.wall
    machine.wall += 86_400
    assert not guard.trusted
    machine.wall -= 86_400
    assert guard.trusted


def test_a_clock_set_back_while_the_daemon_was_stopped_is_caught(machine: Machine) -> None:
    machine.guard().flush(force=True)
    machine.boottime += 36_000  # ten hours pass, of which the clock shows one
    machine.wall += 3_600
    guard = machine.guard()
    assert not guard.trusted
    assert "32400 s behind the time since boot" in guard.reason
    machine.sources = NTP
    assert machine.guard().trusted


def test_sources_are_asked_again_at_flush(machine: Machine) -> None:
    machine.sources = NOTHING
    guard = machine.guard(demand_source=True)
    assert not guard.trusted
    machine.sources = NTP
    assert not guard.trusted
    machine.run(11)
    guard.flush()
    assert guard.trusted
    assert guard.sources == NTP


@pytest.mark.parametrize(
    "data", [b"", b"{}", b"\xff", b'{"highest":"x","boot_id":"","boottime":0}']
)
def test_a_damaged_memory_needs_a_time_server(machine: Machine, data: bytes) -> None:
    machine.path.parent.mkdir()
    machine.path.write_bytes(data)
    guard = machine.guard()
    assert not guard.trusted
    assert "is damaged" in guard.reason
    guard.flush(force=True)
    assert machine.path.read_bytes() == data  # evidence is not overwritten by a doubtful time
    machine.sources = NTP
    guard.flush(force=True)
    assert guard.trusted
    guard.flush(force=True)
    assert json.loads(machine.path.read_bytes())["highest"] == NOW


def test_an_unreadable_memory_is_not_a_first_start(machine: Machine) -> None:
    machine.path.mkdir(parents=True)
    guard = machine.guard()
    assert not guard.trusted
    assert "cannot be read" in guard.reason


def test_threads_may_ask_at_once(machine: Machine) -> None:
    guard = machine.guard()
    answers: list[bool] = []

    def ask() -> None:
        answers.extend(guard.trusted for _ in range(200))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [True] * 800


def test_sources_are_read_where_the_system_shows_them(tmp_path: Path) -> None:
    run, rtc = tmp_path / "run", tmp_path / "rtc"
    assert read_sources(run, rtc).rtc is None
    (run / "systemd" / "timesync").mkdir(parents=True)
    (run / "systemd" / "timesync" / "synchronized").touch()
    rtc.mkdir()
    assert read_sources(run, rtc) == ClockSources(synchronized=True, rtc=False)
    (rtc / "rtc0").mkdir()
    (rtc / "rtc0" / "since_epoch").write_text("86400\n")
    assert read_sources(run, rtc).rtc is False  # a clock whose battery died
    (rtc / "rtc1").mkdir()
    (rtc / "rtc1" / "since_epoch").write_text(f"{NOW}\n")
    assert read_sources(run, rtc).rtc is True
    (rtc / "rtc0" / "since_epoch").write_text("x")
    assert read_sources(run, rtc).rtc is True


def test_this_machine_can_be_asked(tmp_path: Path) -> None:
    assert len(read_boot_id()) == 36
    assert read_sources(tmp_path, tmp_path).synchronized in (True, False, None)
    guard = ClockGuard(tmp_path / "clock.json")
    assert guard.trusted, guard.reason
    guard.flush(force=True)
    assert (tmp_path / "clock.json").exists()
