"""The systemd unit, held against systemd's own judgement."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.paths import ROOT

UNIT = ROOT / "systemd" / "idgate.service"
EXPOSURE = 2.0

pytestmark = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed"
)


def test_the_unit_is_sound(tmp_path: Path) -> None:
    # The binary is not installed here; everything else must be as systemd wants it.
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace("/opt/idgate/venv/bin/idgate", "/bin/true"))
    done = subprocess.run(
        ["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_the_unit_is_hardened() -> None:
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", str(UNIT)],
        capture_output=True,
        text=True,
        check=False,
    )
    found = re.search(r"Overall exposure level for idgate.service: ([\d.]+)", done.stdout)
    assert found is not None, done.stdout + done.stderr
    assert float(found[1]) <= EXPOSURE


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
        "ProtectSystem=strict",
        "CapabilityBoundingSet=",
        "ConfigurationDirectoryMode=0750",  # as setup.sh makes it, or systemd warns at each start
        "ExecStopPost=/opt/idgate/venv/bin/idgate gate safe --config /etc/idgate/config.toml",
    ],
)
def test_what_the_gate_relies_on(line: str) -> None:
    assert line in UNIT.read_text().splitlines()
