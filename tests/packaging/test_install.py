"""The one way a gate is installed: wheels by hash, a venv of them, and a tree whose commands start."""

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
from tests.support.small_tree import PASSWD, SmallTree

PACKAGING = ROOT / "packaging"
UNREACHED = "pip could not fetch what"
pytestmark = pytest.mark.timeout(240)
# The dependencies are many megabytes and the same code path: `./setup.sh bare --install` fetches them.
ALONE = {**os.environ, "PIP_NO_DEPS": "1"}


def install(small: SmallTree, *more: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Install into the tree, as `./setup.sh install --root` does; skip where no index is reached."""
    done = small.beside(
        ROOT / "setup.sh", "install", "--root", small.folder, *more, env={**ALONE, **environment}
    )
    if done.returncode == 1 and UNREACHED in done.stderr:
        pytest.skip("the build backend cannot be fetched: no package index is reached")
    return done


def files(folder: Path) -> list[tuple[str, int]]:
    """Return every path below a folder with its mode, /usr left out, which is this machine's."""
    return sorted((str(path), path.lstat().st_mode) for path in folder.rglob("*"))


@pytest.fixture
def small(tmp_path: Path) -> SmallTree:
    return SmallTree(tmp_path / "a tree")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> SmallTree:
    """A tree into which was installed, on a spoilt ground and with what is planted in the way."""
    tmp_path = tmp_path_factory.mktemp("installed")
    small = SmallTree(tmp_path / "a tree")
    root = small.folder
    # As set-up once left it: a venv that is a folder, and whose programs name another machine's Python.
    (root / "opt/idgate/venv/bin").mkdir(parents=True)
    (root / "opt/idgate/venv/bin/idgate").write_text("#!/nowhere/python\n")
    planted = tmp_path / "planted"
    planted.mkdir()
    for name in ("ensurepip", "venv", "pip", "setuptools", "sitecustomize"):
        (planted / f"{name}.py").write_text(f"open({str(tmp_path / 'trace')!r}, 'a').write('x')\n")
    here = {"cwd": planted, "env": {**ALONE, "PYTHONPATH": str(planted), "TMPDIR": "/nowhere"}}
    hostile = ["sh", "-c", 'umask 077; exec "$@"', "sh"]
    done = small.beside(*hostile, ROOT / "setup.sh", "install", "--root", root, **here)
    if done.returncode == 1 and UNREACHED in done.stderr:
        pytest.skip("the build backend cannot be fetched: no package index is reached")
    assert done.returncode == 0, done.stderr
    assert "setup: installed." in done.stderr
    assert not (tmp_path / "trace").exists()
    return small


def test_what_is_installed_into_a_tree_starts_there(installed: SmallTree) -> None:
    small, root = installed, installed.folder
    # The caller's umask shuts nobody out: the gate's users read what root made.
    nobody = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
    started = small.inside(*nobody, "idgate", "--version")
    assert started.stdout == "idgate 0.1.0\n", started.stderr
    for unit in ("idgate.service", "idgate-gatekeeper.service"):
        text = (root / "etc/systemd/system" / unit).read_text("utf-8")
        (line,) = re.findall(r"^ExecStart=(.*)$", text, re.MULTILINE)
        program = line.split()[0]
        assert small.inside("test", "-x", program).returncode == 0, line
    for name in ("idgate.service", "idgate-gatekeeper.service"):
        wants = root / "etc/systemd/system/multi-user.target.wants" / name
        if shutil.which("systemctl"):
            assert wants.is_symlink()

    # Nothing of the way is left: no scratch folder, no earlier venv, no mount point, no certificate.
    assert sorted(path.name for path in (root / "opt/idgate").iterdir()) == sorted(
        ["venv", str((root / "opt/idgate/venv").readlink()), "wheels"]
    )
    assert list((root / "run").iterdir()) == []
    assert list((root / "tmp").iterdir()) == []
    assert sorted(path.name for path in (root / "opt").iterdir()) == ["idgate"]
    assert stat.S_IMODE((root / "var/lib/idgate").stat().st_mode) == 0o700


def test_install_is_idempotent_and_uninstall_undoes_it(installed: SmallTree) -> None:
    """The last that stands in that tree."""
    small, root = installed, installed.folder
    first = (root / "opt/idgate/venv").readlink()
    config = root / "etc/idgate/config.toml"
    assert stat.S_IMODE(config.stat().st_mode) == 0o640
    config.write_text("# mine\n")
    # The second one needs no index: what the first fetched is kept.
    again = install(small, PIP_NO_INDEX="1", PIP_FIND_LINKS="")
    assert again.returncode == 0, again.stderr
    assert config.read_text() == "# mine\n"  # settings are never overwritten
    assert (root / "opt/idgate/venv").readlink() != first
    assert not (root / "opt/idgate" / first).exists()

    users = (root / "etc/passwd").read_text()
    assert (users.count("\nidgate:"), users.count("\nidgate-gate:")) == (1, 1)
    groups = (root / "etc/group").read_text()
    assert "video:x:44:idgate\n" in groups
    assert "gpio:x:993:idgate-gate\n" in groups  # the pins are the gatekeeper's alone
    owner = re.search(r"^idgate:[^:]*:(\d+):", groups, re.MULTILINE)
    assert config.stat().st_gid == int(owner[1])

    def uninstall(*more: str) -> str:
        done = small.beside(ROOT / "setup.sh", "uninstall", "--root", root, *more)
        assert done.returncode == 0, done.stderr
        return done.stdout

    before = files(root)
    assert "+ rm -rf /opt/idgate\n" in uninstall("--purge", "--dry-run")
    assert files(root) == before
    uninstall()
    assert not (root / "opt/idgate").exists()
    assert not list((root / "etc/systemd/system").rglob("idgate*"))
    assert config.exists()  # kept without --purge
    uninstall("--purge")
    assert not (root / "etc/idgate").exists()
    assert not (root / "var/lib/idgate").exists()
    assert (root / "etc/passwd").read_text() == PASSWD
    assert "idgate" not in (root / "etc/group").read_text()


def test_a_desk_is_installed_whole_and_undone(small: SmallTree) -> None:
    root = small.folder
    before = (root / "etc/passwd").read_text()

    done = small.beside(ROOT / "setup.sh", "desk", "--root", root, env=ALONE)
    if done.returncode == 1 and UNREACHED in done.stderr:
        pytest.skip("the build backend cannot be fetched: no package index is reached")
    assert done.returncode == 0, done.stderr
    assert "setup: installed." in done.stderr
    nobody = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
    for name in ("idgate", "idgate-desk"):  # no gate is here to have the plain name
        started = small.inside(*nobody, name, "desk", "--help")
        assert "make a desk" in started.stdout, started.stderr
    text = (root / "etc/systemd/system/idgate-desk.service").read_text("utf-8")
    (line,) = re.findall(r"^ExecStart=(.*)$", text, re.MULTILINE)
    assert small.inside("test", "-x", line.split()[0]).returncode == 0, line
    home = root / "var/lib/idgate-desk"
    owner = re.search(r"^idgate-desk:[^:]*:(\d+):", (root / "etc/passwd").read_text(), re.MULTILINE)
    assert owner is not None
    assert (home.stat().st_uid, stat.S_IMODE(home.stat().st_mode)) == (int(owner[1]), 0o700)
    # No page, script or table of the wallet and of staff's pages is left out of the wheel.
    for part in ("agent/wallet", "agent/desk"):
        (there,) = root.glob(f"opt/idgate-desk/venv/lib/python3.*/site-packages/{part}")
        wanted = _of_the_page(ROOT / part)
        assert wanted - _of_the_page(there) == set()

    (home / "desk").mkdir()
    done = small.beside(ROOT / "setup.sh", "uninstall", "--root", root)
    assert done.returncode == 0, done.stderr
    assert not (root / "opt/idgate-desk").exists()
    assert not list((root / "etc/systemd/system").rglob("idgate*"))
    assert (home / "desk").exists()  # kept without --purge
    done = small.beside(ROOT / "setup.sh", "uninstall", "--root", root, "--purge")
    assert done.returncode == 0, done.stderr
    assert not home.exists()
    assert (root / "etc/passwd").read_text() == before


def _of_the_page(folder: Path) -> set[str]:
    """Return the files of a package that are no Python."""
    found = (path for path in folder.rglob("*") if path.is_file())
    names = {
        path.relative_to(folder).as_posix() for path in found if path.suffix not in (".py", ".pyc")
    }
    return {name for name in names if "__pycache__" not in name}


def test_a_dry_run_into_a_tree_leaves_it_as_it_was(small: SmallTree) -> None:
    before = files(small.folder)
    done = install(small, "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "+ install -d -m 0755 /opt/idgate" in done.stdout  # told from inside
    assert "installed." not in done.stderr
    assert files(small.folder) == before


@pytest.mark.skipif(os.geteuid() != 0, reason="a tree is entered by root")
def test_a_tree_of_another_architecture_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "var/lib/dpkg").mkdir(parents=True)
    (tmp_path / "var/lib/dpkg/status").write_text("Package: dpkg\nArchitecture: riscv64\n\n")
    for name in ("bash", "sh", "true"):  # an ELF file for a machine that there is not
        (tmp_path / "bin" / name).write_bytes(
            b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\0\xfe\xca" + bytes(44)
        )
        (tmp_path / "bin" / name).chmod(0o755)
    before = files(tmp_path)
    done = subprocess.run(
        [ROOT / "setup.sh", "install", "--root", tmp_path],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "(riscv64) do not run on this machine" in line
    assert files(tmp_path) == before


# --- wheels.sh


def wheels(checkout: Path, work: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    python = str(python_with_ready_pip(work.parent))
    return subprocess.run(
        [checkout / "packaging/wheels.sh", work, work / "out"],
        capture_output=True, text=True, check=False,
        env={**ALONE, "PYTHON": python, **environment},
    )  # fmt: skip


def checkout(folder: Path) -> Path:
    shutil.copytree(PACKAGING, folder / "packaging")
    return folder


def test_a_wheel_with_another_hash_is_not_taken(tmp_path: Path) -> None:
    copied = checkout(tmp_path / "checkout")
    lock = copied / "packaging/requirements-build.lock"
    lock.write_text(re.sub(r"sha256:[0-9a-f]{64}", "sha256:" + "0" * 64, lock.read_text("utf-8")))
    (tmp_path / "work").mkdir()
    done = wheels(copied, tmp_path / "work")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(f"idgate: {UNREACHED}")
    if "No matching distribution" in done.stderr or "retries" in done.stderr:
        pytest.skip("the build backend cannot be fetched: no package index is reached")
    assert "DO NOT MATCH THE HASHES" in done.stderr
    assert list((tmp_path / "work/out").iterdir()) == []


def test_a_requirement_without_a_hash_is_not_taken(tmp_path: Path) -> None:
    copied = checkout(tmp_path / "checkout")
    (copied / "packaging/requirements-build.lock").write_text("setuptools\n")
    (tmp_path / "work").mkdir()
    done = wheels(copied, tmp_path / "work", PIP_REQUIRE_HASHES="0")
    assert done.returncode == 1
    assert "require-hashes" in done.stderr.replace(
        "Hashes are required in --require-hashes", "require-hashes"
    )
    assert list((tmp_path / "work/out").iterdir()) == []


def test_a_python_without_a_lock_is_refused_and_told_how(tmp_path: Path) -> None:
    python = tmp_path / "python3.12"
    python.write_text("#!/bin/sh\necho 12\n")
    python.chmod(0o755)
    (tmp_path / "work").mkdir()
    done = wheels(ROOT, tmp_path / "work", PYTHON=str(python))
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "no lock file for Python 3.12 (there is: 3.11 3.13)" in line
    assert "head of packaging/requirements-cp313.lock" in line
    assert "pip-compile --generate-hashes" in (PACKAGING / "requirements-cp313.lock").read_text(
        "utf-8"
    )
    assert list((tmp_path / "work").iterdir()) == []
    done = subprocess.run(
        [PACKAGING / "deb/build.sh", tmp_path / "dist"], capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHON": str(python)},
    )  # fmt: skip
    assert done.returncode == 2
    assert not (tmp_path / "dist").exists()


def test_there_is_no_other_way_to_an_index() -> None:
    """What root runs asks an index in one place, with hashes, and builds nothing that was fetched."""
    paths = [PACKAGING / "install.sh", PACKAGING / "settle.sh", *(PACKAGING / "deb").iterdir()]
    for path in paths:
        for line in path.read_text("utf-8").splitlines():
            if re.search(r"\bpip\b.*\b(install|wheel|download)\b", line):
                assert "--no-index" in line or line.endswith("\\"), line
    fetching = [
        line for line in (PACKAGING / "wheels.sh").read_text("utf-8").splitlines()
        if re.search(r"\b(download|install|wheel) --", line)
    ]  # fmt: skip
    assert len(fetching) == 3
    for line in fetching:
        assert "--no-index" in line or "--only-binary :all: --require-hashes" in line
