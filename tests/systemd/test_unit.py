"""The systemd unit, held against systemd's own judgement."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.paths import ROOT

UNIT = ROOT / "systemd" / "idgate.service"
GATEKEEPER = ROOT / "systemd" / "idgate-gatekeeper.service"
COLLECTOR = ROOT / "systemd" / "idgate-collector.service"
EXPORTER = ROOT / "systemd" / "idgate-exporter.service"
DESK = ROOT / "systemd" / "idgate-desk.service"
EXPOSURE = {UNIT: 2.0, GATEKEEPER: 1.5, COLLECTOR: 1.2, EXPORTER: 1.2, DESK: 1.7}
PROGRAM = re.compile(r"/opt/idgate(?:-desk)?/venv/bin/\w+")

pytestmark = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed"
)


def test_the_units_are_sound(tmp_path: Path) -> None:
    # The programs are not installed here; everything else must be as systemd wants it.
    units = []
    for path in EXPOSURE:
        unit = tmp_path / path.name
        unit.write_text(PROGRAM.sub("/bin/true", path.read_text()))
        units.append(str(unit))
    done = subprocess.run(
        ["systemd-analyze", "verify", *units], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.parametrize("unit", EXPOSURE, ids=lambda unit: unit.stem)
def test_the_units_are_hardened(unit: Path) -> None:
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", str(unit)],
        capture_output=True,
        text=True,
        check=False,
    )
    found = re.search(rf"Overall exposure level for {unit.name}: ([\d.]+)", done.stdout)
    assert found is not None, done.stdout + done.stderr
    assert float(found[1]) <= EXPOSURE[unit]


@pytest.mark.parametrize(
    "line",
    [
        "Type=notify",
        "Restart=always",
        "StartLimitIntervalSec=0",  # or ten quick failures end it until somebody comes
        "WatchdogSec=10",
        "User=idgate",
        "LimitCORE=0",
        "Environment=PYTHONMALLOC=malloc",  # see tests/agent/daemon/test_forgotten.py
        "DevicePolicy=closed",
        "DeviceAllow=char-video4linux rw",  # a camera module's and a webcam's
        "SupplementaryGroups=video dialout",
        "ProtectSystem=strict",
        "CapabilityBoundingSet=",
        "ConfigurationDirectoryMode=0750",  # as setup.sh makes it, or systemd warns at each start
    ],
)
def test_what_the_gate_relies_on(line: str) -> None:
    assert line in UNIT.read_text().splitlines()


@pytest.mark.parametrize(
    "line",
    [
        "Type=notify",
        "Restart=always",
        "StartLimitIntervalSec=0",
        "DefaultDependencies=no",  # or shutdown would stop it before others
        "User=idgate-gate",
        "StateDirectoryMode=0750",
        "OOMScoreAdjust=-1000",
        "MemoryMax=64M",
        "TasksMax=8",
        "LimitMEMLOCK=infinity",
        "LimitRTPRIO=50",
        "LimitSTACK=1M",  # locked memory counts whole
        "PrivateNetwork=yes",
        "RestrictAddressFamilies=AF_UNIX",
        "DevicePolicy=closed",
        "ProtectSystem=strict",
        "CapabilityBoundingSet=",
    ],
)
def test_what_the_gatekeeper_relies_on(line: str) -> None:
    assert line in GATEKEEPER.read_text().splitlines()


@pytest.mark.parametrize("unit", [COLLECTOR, EXPORTER], ids=lambda unit: unit.stem)
@pytest.mark.parametrize(
    "line",
    [
        "DynamicUser=yes",
        "User=idgate-fleet",  # one name: both units share the user, and with it the database
        "StateDirectory=idgate-fleet",
        "StateDirectoryMode=0700",
        "UMask=0077",  # the key that seals acknowledgements lies beside the database
        "Restart=always",
        "StartLimitIntervalSec=0",
        "ProtectSystem=strict",
        "PrivateDevices=yes",
        "CapabilityBoundingSet=",
        "LimitCORE=0",
    ],
)
def test_what_the_fleets_side_relies_on(unit: Path, line: str) -> None:
    assert line in unit.read_text().splitlines()


def test_no_kernel_keeps_the_gatekeeper_from_starting() -> None:
    """A kernel without real time for the group refuses the policy, and systemd then the unit."""
    keys = [line.partition("=")[0] for line in GATEKEEPER.read_text().splitlines()]
    assert not {"CPUSchedulingPolicy", "CPUSchedulingPriority", "RestrictRealtime"} & set(keys)


def test_nothing_is_asked_of_systemd_that_debian_12_does_not_know() -> None:
    keys = {line.partition("=")[0] for unit in EXPOSURE for line in unit.read_text().splitlines()}
    newer = {"RestartSteps", "RestartMaxDelaySec", "RestartMode", "MemoryZSwapMax", "OpenFile"}
    assert not keys & newer
