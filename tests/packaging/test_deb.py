"""The Debian package: built with dpkg-deb, installed by dpkg into a scratch root, run, removed."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from tests.support.paths import ROOT
from tests.support.ready_pip import python_with_ready_pip

pytestmark = [
    pytest.mark.timeout(240),
    pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="dpkg-deb is not installed"),
    pytest.mark.skipif(os.geteuid() != 0, reason="installation is root's"),
]


def run(*words: object, **more) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [str(word) for word in words], capture_output=True, text=True, check=False, **more
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def python(tmp_path_factory) -> str:
    return str(python_with_ready_pip(tmp_path_factory.mktemp("python")))


@pytest.fixture(scope="module")
def package(python: str, tmp_path_factory) -> Path:
    """Idgate's own wheel alone: the dependencies are 100 MB and the same code path."""
    out = tmp_path_factory.mktemp("deb")
    done = subprocess.run(
        [ROOT / "setup.sh", "deb", out],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PIP_NO_DEPS": "1", "PYTHON": python},
    )
    if done.returncode == 1 and "pip could not fetch" in done.stderr:
        pytest.skip("the build backend cannot be fetched: no package index is reached")
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.splitlines()[-1])


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    (folder / "etc").mkdir(parents=True)
    (folder / "etc/passwd").write_text("root:x:0:0::/:/bin/sh\n")
    (folder / "etc/group").write_text("root:x:0:\nvideo:x:44:\ngpio:x:993:\n")
    database = folder / "var/lib/dpkg"
    (database / "updates").mkdir(parents=True)
    (database / "info").mkdir()
    (database / "status").touch()
    (database / "available").touch()
    (folder / "usr/bin").mkdir(parents=True)
    return folder


def dpkg(root: Path, python: str, *words: object) -> str:
    """Run dpkg on a scratch root; its scripts run outside and are told of it by DPKG_ROOT."""
    # The scratch root holds no python3 or libzbar0: what is depended on is not at question here.
    done = run(
        "dpkg", f"--root={root}", "--force-script-chrootless", "--force-depends", *words,
        env={**os.environ, "PIP_NO_INDEX": "1", "PYTHON": python},
    )  # fmt: skip
    return done.stdout


def test_it_says_what_it_is(package: Path) -> None:
    field = {
        name: run("dpkg-deb", "--field", package, name).stdout.strip()
        for name in ("Package", "Version", "Architecture", "Depends")
    }
    assert field["Package"] == "idgate"
    assert field["Version"] == "0.1.0"
    assert field["Architecture"] == run("dpkg", "--print-architecture").stdout.strip()
    assert "libzbar0" in field["Depends"]
    assert "python3-venv" in field["Depends"]


def test_it_installs_runs_and_leaves_cleanly(
    package: Path, python: str, root: Path, tmp_path: Path
) -> None:
    dpkg(root, python, "--install", package)
    venv = root / "opt/idgate/venv"
    shown = run(venv / "bin/idgate", "--version", cwd=tmp_path).stdout
    assert shown == "idgate 0.1.0\n"
    assert str((root / "usr/bin/idgate").readlink()) == "/opt/idgate/venv/bin/idgate"
    for unit in ("idgate.service", "idgate-gatekeeper.service"):
        assert (root / "usr/lib/systemd/system" / unit).is_file()
    users = (root / "etc/passwd").read_text()
    assert (users.count("\nidgate:"), users.count("\nidgate-gate:")) == (1, 1)
    assert "gpio:x:993:idgate-gate\n" in (root / "etc/group").read_text()
    first = venv.readlink()
    assert "video:x:44:idgate" in (root / "etc/group").read_text()
    assert stat.S_IMODE((root / "var/lib/idgate").stat().st_mode) == 0o700
    config = root / "etc/idgate/config.toml"
    assert stat.S_IMODE(config.stat().st_mode) == 0o640
    group = re.search(r"^idgate:[^:]*:(\d+):", (root / "etc/group").read_text(), re.MULTILINE)
    assert config.stat().st_gid == int(group[1])

    config.write_text("# mine\n")
    dpkg(root, python, "--force-confold", "--install", package)
    assert config.read_text() == "# mine\n"  # a new version keeps settings
    assert (root / "etc/passwd").read_text() == users
    # The old version's parts are gone, and were there until the new one's were whole.
    assert venv.readlink() != first
    assert sorted(path.name for path in venv.parent.iterdir()) == ["venv", str(venv.readlink())]
    assert run(venv / "bin/idgate", "--version", cwd=tmp_path).stdout == "idgate 0.1.0\n"

    dpkg(root, python, "--remove", "idgate")
    assert not (root / "opt/idgate").exists()
    assert not (root / "usr/share/idgate").exists()
    assert config.exists()
    assert (root / "var/lib/idgate").exists()

    dpkg(root, python, "--purge", "idgate")
    left = [path for path in root.rglob("*idgate*") if "var/lib/dpkg" not in str(path)]
    assert left == []
    assert "idgate" not in (root / "etc/passwd").read_text()
    assert "idgate" not in (root / "etc/group").read_text()
