"""The doctor inside the service: the unit's lines as systemd-run's, and the exit code back out.

No systemd runs where these tests do: `systemctl` shows the repository's unit, and `systemd-run` is
a script that writes down what it was asked and becomes the command. The emulated Raspberry Pi has
the real ones.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from agent.cli import main
from agent.doctor import sandbox
from agent.doctor.sandbox import ServiceView, look_for_service
from tests.support.paths import ROOT
from tests.support.units import unit_lines

UNIT = ROOT / "systemd/idgate.service"
DROP_IN = """
# /etc/systemd/system/idgate.service.d/local.conf
[Unit]
After=nothing.target
[Service]
LoadCredential=mqtt-password:/etc/idgate/mqtt-password
ExecStart=
ExecStart=-/opt/other/idgate run \\
    --config /etc/idgate/config.toml
DeviceAllow=char-ttyACM rw
TimeoutStartSec=90
"""
LIVES = {
    "Type", "ExecStart", "ExecReload", "Restart", "RestartSec", "RestartPreventExitStatus",
    "WatchdogSec", "TimeoutStartSec", "TimeoutStopSec", "NotifyAccess", "RemoveIPC",
}  # fmt: skip


def test_every_line_of_the_unit_is_passed_on_or_about_its_life() -> None:
    lines = [(key, value) for section, key, value in unit_lines(UNIT) if section == "Service"]
    passed = [f"{key}={value}" for key, value in lines if key not in LIVES]
    view = ServiceView(UNIT.read_text())
    assert view.properties == passed
    assert {key for key, _ in lines} >= LIVES
    for line in (
        "User=idgate",
        "SupplementaryGroups=video dialout",
        "DeviceAllow=char-ttyAMA rw",
        "CapabilityBoundingSet=",
        "SystemCallFilter=~@privileged @resources",
        "StateDirectory=idgate",
        "ProtectSystem=strict",
        "Environment=PYTHONMALLOC=malloc",
        "MemoryMax=400M",
    ):
        assert line in passed


def test_the_command_is_systemds_with_the_units_own_program() -> None:
    view = ServiceView("[Service]\nUser=idgate\nExecStart=/opt/idgate run\nProtectHome = yes\n")
    assert view.command(["doctor", "--inside"]) == [
        "systemd-run", "--pipe", "--wait", "--collect", "--quiet", "--service-type=exec",
        "--property=User=idgate", "--property=ProtectHome=yes",
        "--", "/opt/idgate", "doctor", "--inside",
    ]  # fmt: skip


def test_drop_ins_count() -> None:
    plain, view = ServiceView(UNIT.read_text()), ServiceView(UNIT.read_text() + DROP_IN)
    assert plain.program == "/opt/idgate/venv/bin/idgate"
    assert view.program == "/opt/other/idgate"
    assert view.properties == [
        *plain.properties,
        "LoadCredential=mqtt-password:/etc/idgate/mqtt-password",
        "DeviceAllow=char-ttyACM rw",
    ]


def script(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with systemd: its programs, and the unit with this checkout's command."""
    folder = tmp_path / "bin"
    folder.mkdir()
    script(tmp_path / "idgate", f'exec {sys.executable} -m agent.cli "$@"')
    unit = UNIT.read_text().replace("/opt/idgate/venv/bin/idgate", str(tmp_path / "idgate"))
    (tmp_path / "idgate.service").write_text(unit)
    script(
        folder / "systemctl",
        f'test "$*" = "cat --no-pager idgate.service" && cat {tmp_path}/idgate.service',
    )
    script(
        folder / "systemd-run",
        f'for word; do echo "$word"; done >{tmp_path}/asked\n'
        'while [ "$1" != -- ]; do shift; done; shift; exec "$@"',
    )
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setattr(sandbox, "BOOTED", folder)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    return tmp_path


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.toml"
    path.write_text(
        '[gate]\nsite = "s"\ngate = "g"\n[[camera]]\ndriver = "simulated"\n[gpio]\ndriver = "simulated"\n'
    )
    return path


@pytest.mark.parametrize("word", [[], ["--as-service"]])
def test_root_looks_from_inside(systemd: Path, config: Path, capfd, word: list[str]) -> None:
    code = main(["doctor", "--config", str(config), "--no-hardware", "--json", *word])
    found = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert found[0] == {
        "part": "view", "state": "ok", "detail": "as idgate.service sees it", "remedy": "",
    }  # fmt: skip
    states = {line["part"]: line["state"] for line in found}
    assert (states["trust"], states["camera"]) == ("failed", "skipped")
    assert code == 1  # as it was inside
    asked = (systemd / "asked").read_text().splitlines()
    view = ServiceView((systemd / "idgate.service").read_text())
    inner = ["doctor", "--config", str(config), "--inside", "--json", "--no-hardware"]
    assert asked == view.command(inner)[1:]


def test_a_relative_file_is_the_same_inside(
    systemd: Path, config: Path, capfd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(config.parent)
    assert main(["doctor", "--config", config.name]) == 1
    assert "as idgate.service sees it" in capfd.readouterr().out
    assert str(config) in (systemd / "asked").read_text().splitlines()


def no_systemd(_: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "BOOTED", Path("/nowhere"))


def no_root(_: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)


def no_program(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (machine / "bin/systemd-run").unlink()
    monkeypatch.setenv("PATH", str(machine / "bin"))


def no_unit(machine: Path, _: pytest.MonkeyPatch) -> None:
    (machine / "idgate.service").unlink()


def empty_unit(machine: Path, _: pytest.MonkeyPatch) -> None:
    (machine / "idgate.service").write_text("[Service]\nExecStart=\n")


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (no_systemd, "systemd is not running"),
        (no_root, "only root can have systemd look"),
        (no_program, "systemd-run is not installed"),
        (no_unit, "idgate.service is not installed"),
        (empty_unit, "idgate.service starts nothing"),
    ],
)
def test_from_outside_it_says_so(
    systemd: Path, config: Path, capsys, monkeypatch: pytest.MonkeyPatch, spoil, why: str
) -> None:
    spoil(systemd, monkeypatch)
    assert look_for_service() == why
    assert main(["doctor", "--config", str(config), "--no-hardware"]) == 1
    first = capsys.readouterr().out.splitlines()[0]
    assert first.split() == ["-", "view", *f"from outside of the service's sandbox: {why}".split()]
    assert main(["doctor", "--config", str(config), "--as-service"]) == 2
    assert capsys.readouterr().err == f"idgate doctor: not as the service: {why}\n"
    assert not (systemd / "asked").exists()
