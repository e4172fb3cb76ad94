"""The clock guard: a table for the pure core, a fake clock and real files for its shell."""

from __future__ import annotations

import ctypes
import json
import logging
import os
import stat
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.clock.guard import (
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
RTC = ClockSources(synchronized=False, rtc=0.0)
NOTHING = ClockSources(synchronized=False)
UNKNOWN = ClockSources()


def reading(wall: float, boottime: float = 1_000.0, boot_id: str = "boot-1") -> ClockReading:
    return ClockReading(wall, boottime, boot_id)


def rtc_ahead(by_s: float) -> ClockSources:
    return ClockSources(synchronized=False, rtc=by_s)


UNSET = "the clock was never set: "
NO_TIME = "the clock gives no time: "
BACK = "the clock went back from 2026-05-28T20:26:40Z to "
NO_SOURCE = "no time server reached and no real-time clock that kept the time"
APART = "no time server reached, and the real-time clock is "
YEAR_2026 = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
YEAR_2100 = datetime(2100, 1, 1, tzinfo=UTC).timestamp()

CASES = [
    ("first start", reading(NOW), ClockMemory(), UNKNOWN, False, ""),
    ("never set", reading(3_600.0), ClockMemory(), UNKNOWN, False, UNSET + "1970-01-01T01:00:00Z"),
    ("zero", reading(0.0), ClockMemory(), UNKNOWN, False, UNSET + "1970-01-01T00:00:00Z"),
    ("below zero", reading(-1.0), ClockMemory(), UNKNOWN, False, UNSET + "-1 s"),
    ("before this software", reading(YEAR_2026 - 1), ClockMemory(), NTP, False, UNSET + "2025-12-31T23:59:59Z"),
    ("the first second of 2026", reading(YEAR_2026), ClockMemory(), NTP, False, ""),
    ("the first second of 2100", reading(YEAR_2100), ClockMemory(), NTP, False, ""),
    ("after the century", reading(YEAR_2100 + 1), ClockMemory(), NTP, False, NO_TIME + "4102444801 s"),
    ("back from the first second of 2100", reading(NOW), ClockMemory(YEAR_2100), NTP, False, "the clock went back from 2100-01-01T00:00:00Z to 2026-05-28T20:26:40Z"),
    ("same instant", reading(NOW), SEEN, UNKNOWN, False, ""),
    ("time went on", reading(NOW + 60, 1_060), SEEN, UNKNOWN, False, ""),
    ("a small step back", reading(NOW - 5), SEEN, UNKNOWN, False, ""),
    ("a step back", reading(NOW - 6), SEEN, UNKNOWN, False, BACK + "2026-05-28T20:26:34Z"),
    ("a step back that a server confirms", reading(NOW - 3_600), SEEN, NTP, False, BACK + "2026-05-28T19:26:40Z"),
    ("back across a reboot", reading(NOW - 60, 5, "boot-2"), SEEN, UNKNOWN, False, BACK + "2026-05-28T20:25:40Z"),
    ("later after a reboot", reading(NOW + 86_400, 5, "boot-2"), SEEN, UNKNOWN, False, ""),
    ("an unconfirmed leap", reading(NOW + 361, 1_060), SEEN, UNKNOWN, False, "the clock leapt 301 s ahead to 2026-05-28T20:32:41Z, unconfirmed"),
    ("a leap that a server denies", reading(NOW + 361, 1_060), SEEN, NOTHING, False, "the clock leapt 301 s ahead to 2026-05-28T20:32:41Z, unconfirmed"),
    ("a leap of less", reading(NOW + 360, 1_060), SEEN, UNKNOWN, False, ""),
    ("a confirmed leap", reading(NOW + 86_400, 1_060), SEEN, NTP, False, ""),
    ("a clock that stands still", reading(NOW, 1_301), SEEN, UNKNOWN, False, "the clock stands 301 s behind the time since boot"),
    ("not that long", reading(NOW, 1_300), SEEN, UNKNOWN, False, ""),
    ("a slow clock that a server confirms", reading(NOW, 1_301), SEEN, NTP, False, ""),
    ("no source, none asked", reading(NOW), SEEN, NOTHING, False, ""),
    ("no source, one asked", reading(NOW), SEEN, NOTHING, True, NO_SOURCE),
    ("source unknown, one asked", reading(NOW), SEEN, UNKNOWN, True, NO_SOURCE),
    ("server, one asked", reading(NOW), SEEN, NTP, True, ""),
    ("real-time clock, one asked", reading(NOW), SEEN, RTC, True, ""),
    ("real-time clock a little ahead", reading(NOW), SEEN, rtc_ahead(300.1), True, ""),
    ("real-time clock a little behind", reading(NOW), SEEN, rtc_ahead(-300.1), True, ""),
    ("real-time clock ahead, as after a power cut", reading(NOW), SEEN, rtc_ahead(300.5), True, APART + "+300 s apart"),
    ("real-time clock behind", reading(NOW), SEEN, rtc_ahead(-86_400), True, APART + "-86400 s apart"),
    ("crystals that parted in 100 days", reading(NOW, 8_640_000, "boot-2"), SEEN, rtc_ahead(1_164), True, ""),
    ("further than crystals part", reading(NOW, 8_640_000, "boot-2"), SEEN, rtc_ahead(1_165), True, APART + "+1165 s apart"),
    ("real-time clock apart, a server asked", reading(NOW), SEEN, ClockSources(True, 86_400.0), True, ""),
    ("real-time clock apart, none asked", reading(NOW), SEEN, rtc_ahead(86_400), False, ""),
    ("a time of no calendar", reading(1e18, 1_060), SEEN, NTP, False, NO_TIME + "1000000000000000000 s"),
    ("not a number", reading(float("nan")), SEEN, NTP, False, NO_TIME + "nan s"),
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
    assert verdict.reason == reason
    assert verdict.trusted is (not reason)
    if reason:
        assert verdict.memory.highest == memory.highest  # what is refused never moves it
    else:
        assert verdict.memory.highest == max(now.wall, memory.highest)


def test_no_source_is_asked_for_unless_the_settings_do() -> None:
    assert judge(reading(NOW), SEEN, NOTHING).trusted


def test_times_are_told_in_utc_wherever_the_gate_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Shanghai")
    time.tzset()
    try:
        verdict = judge(reading(3_600.0), ClockMemory(), UNKNOWN)
    finally:
        monkeypatch.undo()
        time.tzset()
    assert verdict.reason == UNSET + "1970-01-01T01:00:00Z"


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
        self.asked = 0

    def ask(self) -> ClockSources:
        self.asked += 1
        return self.sources

    def guard(self, **options: bool) -> ClockGuard:
        return ClockGuard(
            self.path,
            wall=lambda: self.wall,
            boottime=lambda: self.boottime,
            boot_id=lambda: f"boot-{self.boot}",
            sources=self.ask,
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
    machine.run(1)
    guard.flush()
    assert json.loads(machine.path.read_bytes())["highest"] == NOW + 60
    machine.run(1)
    guard.flush(force=True)
    assert json.loads(machine.path.read_bytes())["highest"] == NOW + 61
    assert [path.name for path in machine.path.parent.iterdir()] == ["clock.json"]


def test_a_disk_that_refused_is_told_at_each_flush_and_asked_when_it_is_due(
    machine: Machine,
) -> None:
    guard = machine.guard()
    machine.path.parent.write_text("in the way")
    with pytest.raises(OSError, match="File exists"):
        guard.flush()
    machine.path.parent.unlink()
    machine.run(59)
    with pytest.raises(OSError, match="File exists"):
        guard.flush()
    assert not machine.path.exists()
    machine.run(1)
    guard.flush()
    assert json.loads(machine.path.read_bytes())["highest"] == NOW + 60
    guard.flush()
    machine.run(1)
    guard.flush()


def test_a_disk_that_refused_is_asked_again_at_the_end(machine: Machine) -> None:
    guard = machine.guard()
    machine.path.parent.write_text("in the way")
    with pytest.raises(OSError, match="File exists"):
        guard.flush()
    machine.path.parent.unlink()
    machine.run(1)
    guard.flush(force=True)
    assert machine.path.exists()
    machine.run(1)
    guard.flush()


def test_what_did_not_change_is_not_written_again(machine: Machine) -> None:
    guard = machine.guard()
    guard.flush(force=True)
    machine.path.unlink()
    guard.flush(force=True)
    assert not machine.path.exists()
    machine.run(1)
    guard.flush(force=True)
    assert machine.path.exists()


def test_a_clock_that_was_never_believed_leaves_no_memory(machine: Machine) -> None:
    machine.wall = 3_600.0
    guard = machine.guard()
    assert guard.reason == "the clock was never set: 1970-01-01T01:00:00Z"  # without another look
    guard.flush(force=True)
    assert not machine.path.exists()


def test_what_a_power_cut_left_half_written_is_replaced(machine: Machine) -> None:
    machine.path.parent.mkdir()
    machine.path.with_name("clock.json.new").write_bytes(b'{"highest":17')
    machine.guard().flush()
    assert [path.name for path in machine.path.parent.iterdir()] == ["clock.json"]


def test_the_memory_is_on_the_disk_before_it_counts(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new file is forced out whole, then renamed, then its name is forced out."""
    machine.path = machine.path.parent / "deeper" / "clock.json"
    guard = machine.guard()
    guard.flush()
    old = machine.path.read_bytes()
    forced: list[tuple[str, int, bytes]] = []
    open_: list[int] = []

    def fsync(descriptor: int) -> None:
        open_.append(descriptor)
        status = os.fstat(descriptor)
        kind = "folder" if stat.S_ISDIR(status.st_mode) else "file"
        forced.append((kind, status.st_size, machine.path.read_bytes()))

    monkeypatch.setattr(os, "fsync", fsync)
    machine.run(1)
    guard.flush(force=True)
    new = machine.path.read_bytes()
    assert new != old
    assert forced[0] == ("file", len(new), old)
    assert [(kind, data) for kind, _, data in forced[1:]] == [("folder", new)]
    for descriptor in open_:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(descriptor)


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
    machine.run(299)
    assert not guard.trusted
    machine.run(1)
    assert guard.trusted
    guard.flush(force=True)
    assert json.loads(machine.path.read_bytes())["highest"] == machine.wall
    machine.wall += 86_400
    assert not guard.trusted
    machine.wall -= 86_400
    assert guard.trusted


@pytest.mark.parametrize(("step", "settled"), [(5, True), (-5, True), (6, False), (-6, False)])
def test_a_time_servers_small_step_does_not_make_a_leap_wait_again(
    machine: Machine, step: float, settled: bool
) -> None:
    guard = machine.guard()
    machine.wall += 86_400
    assert not guard.trusted
    machine.run(SETTLE_S / 2)
    machine.wall += step
    assert not guard.trusted
    machine.run(SETTLE_S / 2)
    assert guard.trusted is settled


def test_a_clock_that_stands_still_is_caught_however_often_it_is_looked_at(
    machine: Machine,
) -> None:
    guard = machine.guard()
    for _ in range(5):
        machine.boottime += 60
        assert guard.trusted
    machine.boottime += 60
    assert not guard.trusted


def test_a_clock_set_back_while_the_daemon_was_stopped_is_caught(machine: Machine) -> None:
    machine.guard().flush(force=True)
    machine.boottime += 36_000  # ten hours pass, of which the clock shows one
    machine.wall += 3_600
    guard = machine.guard()
    assert not guard.trusted
    assert "32400 s behind the time since boot" in guard.reason
    machine.sources = NTP
    assert machine.guard().trusted


def test_sources_are_asked_every_ten_seconds_and_at_the_end(machine: Machine) -> None:
    machine.boottime = 1_000.0
    guard = machine.guard()
    asked = [machine.asked]
    for seconds in (9, 1, 9, 1):
        machine.run(seconds)
        guard.flush()
        asked.append(machine.asked)
    guard.flush(force=True)
    asked.append(machine.asked)
    assert asked == [1, 1, 2, 2, 3, 4]


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
    "data",
    [
        b"", b"{}", b"\xff", b'{"highest":"x","boot_id":"","boottime":0}',
        b'{"highest":1,"boot_id":"","boottime":0,"more":1}',
    ],
)  # fmt: skip
def test_a_damaged_memory_needs_a_time_server(machine: Machine, data: bytes) -> None:
    machine.path.parent.mkdir()
    machine.path.write_bytes(data)
    guard = machine.guard()
    assert guard.trusted is False
    assert guard.reason == f"the clock's memory {machine.path} is damaged"
    guard.flush(force=True)
    assert machine.path.read_bytes() == data  # evidence is not overwritten by a doubtful time
    machine.sources = NTP
    guard.flush(force=True)
    assert guard.trusted
    guard.flush(force=True)
    assert json.loads(machine.path.read_bytes())["highest"] == NOW
    machine.sources = UNKNOWN  # one word of the server is enough
    guard.flush(force=True)
    assert guard.trusted


def test_a_server_vouches_for_no_time_that_is_not_believed_anyway(machine: Machine) -> None:
    machine.path.parent.mkdir()
    machine.path.write_bytes(b"")
    machine.wall, machine.sources = 3_600.0, NTP
    guard = machine.guard()
    assert guard.reason == "the clock was never set: 1970-01-01T01:00:00Z"
    machine.wall, machine.sources = NOW, UNKNOWN
    guard.flush(force=True)
    assert guard.reason == f"the clock's memory {machine.path} is damaged"


def test_an_unreadable_memory_is_not_a_first_start(machine: Machine) -> None:
    machine.path.mkdir(parents=True)
    guard = machine.guard()
    assert not guard.trusted
    assert guard.reason == f"the clock's memory {machine.path} cannot be read: Is a directory"


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
    assert read_sources(run, rtc) == ClockSources(synchronized=True, rtc=None)
    (rtc / "rtc0").mkdir()
    (rtc / "rtc0" / "since_epoch").write_text("86400\n")
    assert read_sources(run, rtc).rtc is None  # a clock without battery
    (rtc / "rtc1").mkdir()
    (rtc / "rtc1" / "since_epoch").write_text(f"{NOW}\n")
    assert read_sources(run, rtc, wall=lambda: NOW + 7.5).rtc == -7.5
    (rtc / "rtc2").mkdir()
    (rtc / "rtc2" / "since_epoch").write_text(f"{NOW + 10}\n")
    assert read_sources(run, rtc, wall=lambda: NOW + 7.5).rtc == 2.5  # the nearest
    now = int(time.time())
    (rtc / "rtc0" / "since_epoch").write_text(f"{now}\n")
    ahead = read_sources(run, rtc).rtc
    assert ahead is not None
    assert -60 < ahead <= 1  # by this machine's own time


@pytest.mark.parametrize(
    ("since", "plausible"),
    [(b"1767225600\n", True), (b"1767225599\n", False), (b"", False), (b"x", False), (b"\xff", False), (None, False)],
)  # fmt: skip
def test_a_real_time_clock_that_makes_no_sense_is_passed_over(
    tmp_path: Path, since: bytes | None, plausible: bool
) -> None:
    for name, text in (("rtc0", since), ("rtc1", f"{NOW}\n".encode())):
        (tmp_path / name).mkdir()
        if text is not None:
            (tmp_path / name / "since_epoch").write_bytes(text)
        found = read_sources(tmp_path, tmp_path, wall=lambda: NOW).rtc
        assert (found is not None) is (plausible or name == "rtc1")


def test_a_real_time_clock_that_cannot_be_read_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "rtc0").mkdir()
    (tmp_path / "rtc0" / "since_epoch").write_text("soon")
    with caplog.at_level(logging.DEBUG):
        read_sources(tmp_path, tmp_path)
    ((logger, _, told),) = caplog.record_tuples
    assert logger == "agent.clock.guard"
    assert told.startswith("real-time clock rtc0 cannot be read: invalid literal")


@pytest.mark.parametrize(
    ("state", "synchronized"),
    [(-1, None), (0, True), (1, True), (2, True), (3, True), (4, True), (5, False)],
    ids=["not allowed", "ok", "insert", "delete", "in progress", "has occurred", "error"],
)
def test_the_kernel_is_asked_and_not_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: int, synchronized: bool | None
) -> None:
    """adjtimex(2) sets nothing where `modes` is 0, and fills a struct of 208 bytes."""

    class Libc:
        @staticmethod
        def adjtimex(timex: ctypes.Array[ctypes.c_char]) -> int:
            assert len(timex) >= 208
            assert not any(timex.raw)
            return state

    def load(name: None, **_: object) -> type[Libc]:
        assert name is None
        return Libc

    monkeypatch.setattr(ctypes, "CDLL", load)
    assert read_sources(tmp_path, tmp_path) == ClockSources(synchronized)


def test_this_machine_can_be_asked(tmp_path: Path) -> None:
    assert len(read_boot_id()) == 36
    assert read_sources(tmp_path, tmp_path).synchronized in (True, False, None)
    guard = ClockGuard(tmp_path / "clock.json")
    assert guard.trusted, guard.reason
    guard.flush(force=True)
    assert (tmp_path / "clock.json").exists()


def test_the_time_is_given_only_where_it_is_believed(machine: Machine) -> None:
    guard = machine.guard()
    assert guard.now() == NOW
    machine.run(10)
    assert guard.now() == NOW + 10
    machine.wall -= 60
    assert guard.now() is None
    assert guard.reason.startswith("the clock went back")
    machine.wall += 60
    assert guard.now() == NOW + 10


def test_the_time_that_is_given_is_the_one_that_was_judged(tmp_path: Path) -> None:
    """A step of the clock between two looks would have one believed and the other used."""
    times = iter([NOW, NOW + 1.0, NOW - 5_000.0])
    guard = ClockGuard(
        tmp_path / "clock.json", wall=lambda: next(times), boottime=lambda: 10.0,
        boot_id=lambda: "boot", sources=lambda: NTP,
    )  # fmt: skip
    assert guard.now() == NOW + 1.0
    assert guard.now() is None
