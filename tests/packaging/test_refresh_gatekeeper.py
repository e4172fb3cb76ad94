"""An update restarts the gatekeeper where what it runs has changed, and never while it holds a fire.

`systemctl` is a script that writes down what it was asked: no systemd runs where these tests do.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.support.paths import ROOT

SCRIPT = ROOT / "packaging/refresh-gatekeeper"
RESTART = "restart idgate-gatekeeper.service"


class Machine:
    """A venv with a gatekeeper in it, its unit, and a service manager."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.stamp = folder / "gatekeeper.sum"
        self.unit = folder / "idgate-gatekeeper.service"
        self.unit.write_text("[Service]\n")
        self.packages = folder / "site-packages"
        for name, text in {
            "agent/gatekeeper/__main__.py": "import agent.used\n",
            "agent/used.py": "1\n",
            "agent/unused.py": "1\n",
            "hal/raspberrypi/gpio.py": "1\n",
        }.items():
            (self.packages / name).parent.mkdir(parents=True, exist_ok=True)
            (self.packages / name).write_text(text)
        self.program(
            "venv/bin/python",
            f'shift; exec env PYTHONPATH={self.packages} PYTHONDONTWRITEBYTECODE=1 python3 -P "$@"',
        )
        self.manager(active=True, status="open")

    def program(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)

    def manager(self, *, active: bool, status: str) -> None:
        self.program(
            "bin/systemctl",
            f"case $1 in is-active) exit {0 if active else 3} ;; show) echo '{status}' ;;"
            f' *) echo "$*" >>{self.folder}/done ;; esac',
        )

    def refresh(self) -> tuple[str, str]:
        """Return what the service manager was told to do, and what was said."""
        (self.folder / "done").unlink(missing_ok=True)
        done = subprocess.run(
            [SCRIPT, self.folder / "venv", self.unit, self.stamp],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PATH": f"{self.folder}/bin:{os.environ['PATH']}"},
        )
        told = self.folder / "done"
        return told.read_text().strip() if told.exists() else "", done.stderr


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_once_after_each_change(machine: Machine) -> None:
    assert machine.refresh() == (RESTART, "")
    assert machine.refresh() == ("", "")


@pytest.mark.parametrize(
    ("name", "restarted"),
    [
        ("site-packages/agent/used.py", True),
        ("site-packages/hal/raspberrypi/gpio.py", True),
        ("idgate-gatekeeper.service", True),
        ("site-packages/agent/unused.py", False),
    ],
)
def test_only_where_what_it_runs_has_changed(machine: Machine, name: str, restarted: bool) -> None:
    machine.refresh()
    (machine.folder / name).write_text("2\n")
    assert machine.refresh() == (RESTART if restarted else "", "")


def test_never_in_a_fire_but_after_it(machine: Machine) -> None:
    machine.refresh()
    machine.unit.write_text("[Service]\nNice=-15\n")
    machine.manager(active=True, status="fire: every relay is on")
    told, said = machine.refresh()
    assert told == ""
    assert "holds a fire" in said
    machine.manager(active=True, status="open")
    assert machine.refresh() == (RESTART, "")


def test_what_does_not_run_is_not_started(machine: Machine) -> None:
    machine.manager(active=False, status="")
    assert machine.refresh() == ("", "")
    machine.manager(active=True, status="open")
    assert machine.refresh() == ("", "")  # it was started since, with the new files


def test_modules_that_cannot_be_loaded_do_not_stop_an_update(machine: Machine) -> None:
    (machine.packages / "agent/used.py").unlink()
    told, said = machine.refresh()
    assert told == RESTART
    assert "ModuleNotFoundError" in said
