"""setup.sh: its help, its dry run, and a real installation into a scratch root."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from tests.support.paths import ROOT


def setup(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(ROOT / "setup.sh"), *words],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        env={**os.environ, **environment},
    )


def test_help_names_every_command() -> None:
    done = setup("--help")
    assert done.returncode == 0
    words = ["demo", "test", "check", "bench", "fuzz", "chaos", "soak", "emulated-pi", "mutate"]
    words += ["licences", "sbom", "deb"]
    words += ["install", "uninstall", "--dry-run"]
    assert [word for word in words if word not in done.stdout] == []


@pytest.mark.parametrize("words", [[], ["dance"], ["fuzz"], ["install", "--root"]])
def test_usage_errors_exit_2(words: list[str]) -> None:
    done = setup(*words)
    assert done.returncode == 2
    assert done.stderr


@pytest.mark.parametrize("command", ["demo", "test", "check", "install", "uninstall"])
def test_a_dry_run_prints_the_steps_and_does_none(command: str, tmp_path: Path) -> None:
    venv, root = tmp_path / "venv", tmp_path / "root"
    words = [command, "--dry-run"]
    if command.endswith("install"):
        words += ["--root", str(root)]
    done = setup(*words, IDGATE_VENV=str(venv))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("+ ")
    assert not venv.exists()
    assert not root.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="installation is root's")
@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ([], {"mosquitto"}),
        (["--postgresql"], {"mosquitto", "postgresql"}),
        (["--events", "9", "--rabbitmq"], {"mosquitto", "rabbitmq-server"}),
    ],
)
def test_chaos_installs_only_the_servers_that_are_asked_for(
    tmp_path: Path, words: list[str], wanted: set[str]
) -> None:
    stub = tmp_path / "dpkg-query"  # a machine on which nothing is installed
    stub.write_text("#!/bin/sh\nexit 1\n")
    stub.chmod(0o755)
    done = setup("chaos", "--dry-run", *words, PATH=f"{tmp_path}:{os.environ['PATH']}")
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stdout.splitlines() if "install -y" in line]
    servers = {"mosquitto", "postgresql", "rabbitmq-server"}
    assert servers & set(line.split()) == wanted
    assert done.stdout.splitlines()[-1].endswith(" ".join(["tests/chaos/chaos.py", *words]))


def test_a_package_under_another_name_is_not_fetched_again(tmp_path: Path) -> None:
    """trixie's libzbar0t64 provides libzbar0: else each run would need the network."""
    stub = tmp_path / "dpkg-query"
    stub.write_text(
        "#!/bin/sh\n"
        "echo 'ii  libzbar0t64, libzbar0 (= 0.23.93-8)'\n"
        "echo 'ii  python3, '\n"
        "echo 'rc  python3-venv, '\n"
        "echo 'ii  python3-venv-extra, '\n"
    )
    stub.chmod(0o755)
    done = setup("demo", "--dry-run", PATH=f"{tmp_path}:{os.environ['PATH']}")
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if "installing" in line]
    assert line == "setup: installing python3-venv"


@pytest.mark.skipif(os.geteuid() != 0, reason="installation is root's")
@pytest.mark.skipif(shutil.which("systemctl") is None, reason="systemctl is not installed")
def test_install_is_idempotent_and_uninstall_undoes_it(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    (root / "etc" / "passwd").write_text("root:x:0:0::/:/bin/sh\n")
    (root / "etc" / "group").write_text("root:x:0:\nvideo:x:44:\ngpio:x:993:\n")
    # The dependencies are many megabytes; that they resolve is shown by this very suite's venv.
    environment = {"PIP_NO_DEPS": "1"}
    for _ in range(2):
        done = setup("install", "--root", str(root), **environment)
        assert done.returncode == 0, done.stderr
    config = root / "etc/idgate/config.toml"
    config.write_text("# mine\n")
    assert setup("install", "--root", str(root), **environment).returncode == 0
    assert config.read_text() == "# mine\n"  # settings are never overwritten

    assert (root / "etc/passwd").read_text().count("\nidgate:") == 1
    groups = (root / "etc/group").read_text()
    assert "video:x:44:idgate" in groups
    assert "gpio:x:993:idgate-gate\n" in groups  # the pins are the gatekeeper's alone
    assert (root / "etc/passwd").read_text().count("\nidgate-gate:") == 1
    state = root / "var/lib/idgate"
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    wants = root / "etc/systemd/system/multi-user.target.wants"
    units = ["idgate-gatekeeper.service", "idgate.service"]
    assert sorted(path.name for path in wants.iterdir()) == units
    version = subprocess.run(
        [root / "opt/idgate/venv/bin/python", "-m", "agent.cli", "--version"],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )
    assert version.stdout.startswith("idgate ")

    assert setup("uninstall", "--root", str(root)).returncode == 0
    assert not (root / "opt/idgate").exists()
    assert not wants.exists() or not list(wants.iterdir())
    assert not list((root / "etc/systemd/system").glob("idgate*"))
    assert config.exists()  # kept without --purge
    assert setup("uninstall", "--root", str(root), "--purge").returncode == 0
    assert not (root / "etc/idgate").exists()
    assert not state.exists()
    assert "idgate" not in (root / "etc/passwd").read_text()
