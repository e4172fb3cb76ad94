"""The unit files and the code say one thing: limits, exit codes, paths, and what the sandbox refuses."""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from agent.cli import COMMANDS
from agent.commands import fleet, run
from agent.daemon.daemon import JOIN_S, POLL_S, STOP_LIMITS_S, STUCK_S
from agent.exits import HOPELESS, Exit
from agent.settings.model import File, ScanConfig
from hal.service_manager import STEP_S
from tests.support.gate_on_disk import GateOnDisk, until
from tests.support.gate_on_disk import gate as gate  # noqa: PLC0414 - a fixture
from tests.support.paths import ROOT
from tests.support.units import MISSING, seconds, unit_lines, value, values

UNIT = ROOT / "systemd/idgate.service"
GATEKEEPER = ROOT / "systemd/idgate-gatekeeper.service"
SETTINGS = ROOT / "systemd/config.toml"
ADJTIMEX = {"adjtimex", "clock_adjtime", "clock_adjtime64"}
"""What C libraries make of adjtimex(3)."""


# --- time


def test_a_step_of_the_start_may_take_what_the_unit_gives() -> None:
    assert seconds(value(UNIT, "TimeoutStartSec")) == STEP_S


def test_the_first_step_of_a_stop_may_take_what_the_unit_gives() -> None:
    """Until the daemon says how long the next one may take; housekeeping may be on its way."""
    first, limit_s = next(iter(STOP_LIMITS_S.items()))
    assert (first, limit_s) == ("threads", JOIN_S)
    assert seconds(value(UNIT, "TimeoutStopSec")) > limit_s + POLL_S


def test_a_stuck_loop_is_told_by_the_daemon_before_the_watchdog_bites() -> None:
    assert seconds(value(UNIT, "WatchdogSec")) > STUCK_S + 2 * POLL_S


def test_the_decoder_may_be_given_longer_than_the_unit_alone_would() -> None:
    """The reason for asking for more, step by step: see tests/agent/daemon/test_service.py."""
    longest = ScanConfig.__annotations__["start_s"]
    assert "le=300" in str(longest)
    assert seconds(value(UNIT, "TimeoutStartSec")) < 300


def test_the_gatekeeper_is_back_before_anybody_has_walked_to_the_gate() -> None:
    worst = seconds(value(GATEKEEPER, "WatchdogSec")) + seconds(value(GATEKEEPER, "RestartSec"))
    assert worst < 3


# --- ends


def test_what_no_new_start_mends_is_not_tried_again() -> None:
    told = {int(code) for code in value(UNIT, "RestartPreventExitStatus").split()}
    assert told == set(HOPELESS)
    assert value(UNIT, "Restart") == "always"


def test_a_missing_device_and_a_fault_are_tried_for_ever() -> None:
    assert not HOPELESS & {Exit.UNAVAILABLE, Exit.FAULT, Exit.DONE}
    assert value(UNIT, "StartLimitIntervalSec") == "0"
    assert value(GATEKEEPER, "StartLimitIntervalSec") == "0"
    assert values(GATEKEEPER, "RestartPreventExitStatus") == []


def test_the_exit_codes_are_those_of_the_readme() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    (row,) = re.findall(r"^\| `idgate run .*\| (.*) \|$", readme, re.MULTILINE)
    assert [int(code) for code in re.findall(r"\d+", row)] == [
        Exit.DONE, Exit.SETTINGS, Exit.UNAVAILABLE, Exit.FAULT,
    ]  # fmt: skip


# --- commands and paths


def test_the_command_line_is_one_that_the_command_takes() -> None:
    program, command, *words = value(UNIT, "ExecStart").split()
    assert program == "/opt/idgate/venv/bin/idgate"
    assert command in COMMANDS
    parser = argparse.ArgumentParser()
    run.add_arguments(parser)
    assert parser.parse_args(words).config == Path("/etc/idgate/config.toml")


def test_the_state_is_where_the_unit_lets_it_be_written() -> None:
    state = Path("/var/lib", value(UNIT, "StateDirectory"))
    assert tomllib.loads(SETTINGS.read_text())["state_dir"] == str(state)
    assert "state_dir" in File.__annotations__
    assert value(UNIT, "WorkingDirectory") == str(state)
    assert (
        value(GATEKEEPER, "WorkingDirectory") == f"/var/lib/{value(GATEKEEPER, 'StateDirectory')}"
    )


def test_the_pins_are_the_gatekeepers_alone() -> None:
    ours, theirs = values(UNIT, "DeviceAllow"), values(GATEKEEPER, "DeviceAllow")
    assert theirs == ["char-gpiochip rw", "/dev/gpiomem rw"]
    assert not set(ours) & set(theirs)
    assert "gpio" not in value(UNIT, "SupplementaryGroups").split()
    assert value(GATEKEEPER, "SupplementaryGroups") == "gpio"
    assert values(UNIT, "ExecStopPost") == []


def test_the_daemon_may_reach_the_gatekeeper_and_never_takes_it_down() -> None:
    assert value(GATEKEEPER, "Group") == value(UNIT, "Group")
    assert value(GATEKEEPER, "RuntimeDirectoryMode") == "0750"
    assert value(UNIT, "Wants") == GATEKEEPER.name
    assert GATEKEEPER.name in value(UNIT, "After").split()
    tied = {"Requires", "Requisite", "BindsTo", "PartOf", "PropagatesStopTo", "Upholds"}
    lines = unit_lines(UNIT) + unit_lines(GATEKEEPER)
    assert [line for line in lines if line[1] in tied] == []


def test_the_gatekeeper_starts_and_stops_by_one_program() -> None:
    start, stop = value(GATEKEEPER, "ExecStart"), value(GATEKEEPER, "ExecStopPost")
    program = (
        "/opt/idgate/venv/bin/python -I -m agent.gatekeeper --state /var/lib/idgate-gatekeeper"
    )
    assert start == f"{program} --socket /run/{value(GATEKEEPER, 'RuntimeDirectory')}/socket"
    assert stop == f"{program} --safe"


def fleet_environment() -> dict[str, str]:
    """Return what the shipped fleet.env sets."""
    lines = (ROOT / "systemd/fleet.env").read_text("utf-8").splitlines()
    found = [line.partition("=") for line in lines if line and not line.startswith("#")]
    return {name: text for name, _, text in found}


@pytest.mark.parametrize("name", ["collector", "exporter"])
def test_the_fleets_command_lines_are_ones_that_the_command_takes(name: str) -> None:
    """As systemd makes words of them: ${X} is one word, $X is split at spaces."""
    unit, environment = ROOT / f"systemd/idgate-{name}.service", fleet_environment()
    program, command, *rest = value(unit, "ExecStart").split()
    assert (program, command) == ("/opt/idgate/venv/bin/idgate", "fleet")
    words: list[str] = []
    for word in rest:
        if word.startswith("${"):
            words.append(environment[word[2:-1]])
        else:
            words += environment[word[1:]].split() if word.startswith("$") else [word]
    parser = argparse.ArgumentParser()
    fleet.add_arguments(parser)
    taken = parser.parse_args(words)
    assert taken.action == {"collector": "collect", "exporter": "export"}[name]
    state = Path("/var/lib", value(unit, "StateDirectory"))
    assert Path(taken.database).parent == state == Path(value(unit, "WorkingDirectory"))
    handed = [line.partition(":")[0] for line in values(unit, "LoadCredential")]
    assert [taken.ca, taken.cert, taken.cert_key] == handed
    offered = re.findall(r"--[a-z-]+", (ROOT / "systemd/fleet.env").read_text("utf-8"))
    known = parser.format_help() + "".join(
        action.choices[each].format_help()
        for action in parser._actions
        if action.choices
        for each in ("collect", "export")
    )
    assert [option for option in offered if option not in known] == []


def test_an_exporter_waits_for_the_collectors_database_and_a_collector_for_nobody() -> None:
    collector, exporter = (ROOT / f"systemd/idgate-{n}.service" for n in ("collector", "exporter"))
    told = {int(code) for code in value(collector, "RestartPreventExitStatus").split()}
    assert told == set(HOPELESS)
    assert values(exporter, "RestartPreventExitStatus") == []
    assert collector.name in value(exporter, "After").split()


# --- the sandbox


def test_the_clock_may_be_asked_and_not_set() -> None:
    assert values(UNIT, "ProtectClock") == ["no"]
    assert set(values(UNIT, "SystemCallFilter")[-1].split()) >= ADJTIMEX
    assert values(UNIT, "CapabilityBoundingSet") == [""]
    assert values(UNIT, "AmbientCapabilities") == [""]
    assert value(UNIT, "DevicePolicy") == "closed"
    assert [device for device in values(UNIT, "DeviceAllow") if "rtc" in device] == []


def inside(unit: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command under a unit's filter on system calls, as nobody, as the service is."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "tests/support/units.py"), str(unit), *words],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == MISSING:
        pytest.skip("systemd-analyze, libseccomp or seccomp is missing")
    return done


ASK = "from agent.clock.guard import read_sources; print(read_sources().synchronized)"
SET = """
import ctypes, os
if not os.geteuid():
    os.setgroups([]), os.setgid(65534), os.setuid(65534)
timex = ctypes.create_string_buffer(1024)
timex[0] = 2  # ADJ_FREQUENCY
print(ctypes.CDLL(None, use_errno=True).adjtimex(timex), ctypes.get_errno())
"""


def test_the_product_sees_in_its_sandbox_whether_the_clock_is_kept() -> None:
    outside = subprocess.run(
        [sys.executable, "-c", ASK], capture_output=True, text=True, check=True
    ).stdout
    assert outside in {"True\n", "False\n"}
    done = inside(UNIT, sys.executable, "-c", ASK)
    assert (done.stdout, done.stderr) == (outside, "")


def test_a_unit_that_protects_its_clock_hides_it(tmp_path: Path) -> None:
    """Why ProtectClock= is off; and that the filter of these tests is one."""
    unit = tmp_path / "protected.service"
    unit.write_text(UNIT.read_text().replace("ProtectClock=no", "ProtectClock=yes"))
    assert inside(unit, sys.executable, "-c", ASK).stdout == "None\n"


def test_a_process_without_capabilities_asks_and_cannot_set() -> None:
    done = subprocess.run([sys.executable, "-c", SET], capture_output=True, text=True, check=True)
    assert done.stdout == "-1 1\n", done.stderr  # EPERM


def service_user() -> tuple[str, ...]:
    """Return what makes a command run as the service does: no root; it may still reach our files."""
    if os.geteuid():
        return ()
    more = [f"--{kind}-caps=+dac_override" for kind in ("inh", "ambient")]
    return ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *more)


def test_the_whole_daemon_starts_and_decides_under_the_units_filter(gate: GateOnDisk) -> None:
    probe = inside(UNIT, "true")
    assert probe.returncode == 0
    filtered = (sys.executable, str(ROOT / "tests/support/units.py"), str(UNIT))
    gate.run(launcher=(*service_user(), *filtered))
    gate.ready()
    gate.show(gate.code())
    until(lambda: [row for row in gate.rows() if row[2] == "decision"], "a decision")
    assert "PermissionError" not in gate.log()


@pytest.mark.parametrize(
    ("unit", "needed"),
    [(UNIT, ADJTIMEX), (GATEKEEPER, {"mlockall", "sched_setscheduler"})],
    ids=["daemon", "gatekeeper"],
)
def test_the_filter_leaves_what_is_needed(unit: Path, needed: set[str]) -> None:
    ask = "import sys; sys.path.insert(0, sys.argv[1]); from pathlib import Path;"
    ask += "from tests.support.units import allowed_calls; print(*sorted(allowed_calls(Path(sys.argv[2]))))"
    probe = inside(unit, "true")
    assert probe.returncode == 0, probe.stderr
    done = subprocess.run(
        [sys.executable, "-c", ask, str(ROOT), str(unit)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert needed <= set(done.stdout.split())
