"""The doctor's look at the clock, on machines that are directories."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.clock import guard
from agent.clock.guard import ClockSources
from agent.doctor.clock import RealTimeClock, TimeKeepers, look_at_clock, read_keepers
from agent.settings.load import load
from tests.support.trust_keys import NOW

GATE = '[gate]\nsite = "s"\ngate = "g"\n'
DS3231 = {"name": "rtc-ds1307 1-0068", "since_epoch": f"{NOW}"}
PI_5 = {"name": "rpi_rtc soc:rpi_rtc", "since_epoch": f"{NOW}", "battery_voltage": "2995000"}


def machine(root: Path, *clocks: dict[str, str], saved: str = "") -> Path:
    for number, files in enumerate(clocks):
        folder = root / f"sys/class/rtc/rtc{number}"
        folder.mkdir(parents=True)
        for name, text in files.items():
            (folder / name).write_text(f"{text}\n")
    if saved:
        (root / saved).parent.mkdir(parents=True, exist_ok=True)
        (root / saved).touch()
    return root


SAVED = "no real-time clock; a start without network has the time that {} saved"

MACHINES = [
    ("a bare board", (), "", "no real-time clock"),
    ("fake-hwclock", (), "etc/fake-hwclock.data", SAVED.format("fake-hwclock")),
    ("fake-hwclock of trixie", (), "var/lib/fake-hwclock/fake-hwclock.data", SAVED.format("fake-hwclock")),
    ("timesyncd", (), "var/lib/systemd/timesync/clock", SAVED.format("systemd-timesyncd")),
    ("a DS3231", (DS3231,), "", "rtc0 (rtc-ds1307)"),
    ("a DS3231 whose battery died", ({**DS3231, "since_epoch": "946684800"},), "", "rtc0 (rtc-ds1307) that lost the time"),
    ("a DS3231 that cannot be read", ({"name": "rtc-ds1307 1-0068"},), "", "rtc0 (rtc-ds1307) that lost the time"),
    ("one second before this software", ({**DS3231, "since_epoch": "1767225599"},), "", "rtc0 (rtc-ds1307) that lost the time"),
    ("the first second of it", ({**DS3231, "since_epoch": "1767225600"},), "", "rtc0 (rtc-ds1307)"),
    ("a Pi 5 with a battery", (PI_5,), "", "rtc0 (rpi_rtc)"),
    ("a Pi 5 without, running since an hour", ({**PI_5, "battery_voltage": "1299999"},), "", "rtc0 (rpi_rtc) without a charged battery"),
    ("a Pi 5 with an old one", ({**PI_5, "battery_voltage": "1300000"},), "", "rtc0 (rpi_rtc)"),
    (
        "a Pi 5 without, after a power cut",
        ({**PI_5, "since_epoch": "61", "battery_voltage": "0"},),
        "etc/fake-hwclock.data",
        "rtc0 (rpi_rtc) without a charged battery that lost the time; a start without network has the time that fake-hwclock saved",
    ),
    ("a Pi 5 with a DS3231", ({**PI_5, "since_epoch": "61", "battery_voltage": "0"}, DS3231), "etc/fake-hwclock.data", "rtc0 (rpi_rtc) without a charged battery that lost the time, rtc1 (rtc-ds1307)"),
    ("a clock without a name", ({"since_epoch": f"{NOW}"},), "", "rtc0 (unknown)"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("clocks", "saved", "words"), [row[1:] for row in MACHINES], ids=[row[0] for row in MACHINES]
)
def test_what_a_machine_starts_with(
    tmp_path: Path, clocks: tuple[dict[str, str], ...], saved: str, words: str
) -> None:
    assert str(read_keepers(machine(tmp_path, *clocks, saved=saved))) == words


NONE = TimeKeepers((), "fake-hwclock")
FITTED = TimeKeepers((RealTimeClock("rtc0", "rpi_rtc", kept=True, battery=True),), "")
LOST = TimeKeepers((RealTimeClock("rtc0", "rpi_rtc", kept=False, battery=False),), "fake-hwclock")

LOOKS = [
    ("any", ClockSources(True, None), NONE, "ok", "believed, kept by a time server; no real"),
    ("any", ClockSources(False, None), NONE, "warning", "no time server reached; no real-time clock; a start"),
    ("any", ClockSources(None, None), NONE, "warning", "no time server reached that may be asked; "),
    ("any", ClockSources(False, 2.0), FITTED, "ok", "believed, as the real-time clock has it; rtc0 (rpi_rtc)"),
    ("any", ClockSources(False, 300.0), FITTED, "ok", "believed, as the real-time clock has it; "),
    ("any", ClockSources(False, -301.0), FITTED, "warning", "no time server reached, the real-time clock is -301 s apart"),
    ("confirmed", ClockSources(True, None), NONE, "ok", "believed, kept by a time server"),
    ("confirmed", ClockSources(False, 1e9), FITTED, "failed", "no time server reached, and the real-time clock is +1000000000 s apart; rtc0"),
    ("confirmed", ClockSources(False, None), LOST, "failed", f"{guard.NO_SOURCE}; rtc0 (rpi_rtc) without a charged battery that lost the time; a start without network"),
    ("confirmed", ClockSources(False, 1.0), FITTED, "ok", "believed, as the real-time clock has it"),
]  # fmt: skip


@pytest.mark.parametrize(("demand", "sources", "keepers", "state", "words"), LOOKS)
def test_what_the_doctor_makes_of_it(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    demand: str,
    sources: ClockSources,
    keepers: TimeKeepers,
    state: str,
    words: str,
) -> None:
    path = tmp_path / "config.toml"
    path.write_text(f'{GATE}[trust]\nclock_source = "{demand}"\n')
    defaults = {**guard.ClockGuard.__init__.__kwdefaults__, "sources": lambda: sources}
    monkeypatch.setattr(guard.ClockGuard.__init__, "__kwdefaults__", defaults)
    found, detail, remedy = look_at_clock(load(path), keepers)
    assert found == state
    assert detail.startswith(words)
    assert bool(remedy) is (state != "ok")
