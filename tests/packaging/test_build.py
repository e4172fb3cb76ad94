"""Wheel and sdist, built by the declared backend and installed where nothing else of ours is."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

from agent.policy.profile import SHIPPED
from tests.support.paths import ROOT

WHEEL_LIMIT_MIB = 12
BUILD = """
import sys
from setuptools import build_meta
out = sys.argv[1]  # the backend changes sys.argv
print(build_meta.build_sdist(out), build_meta.build_wheel(out), sep="\\n")
"""


def run(*words: object, **more) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [str(word) for word in words], capture_output=True, text=True, check=False, **more
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def venv(tmp_path_factory) -> Path:
    """A venv with the build backend of pyproject.toml and nothing else."""
    folder = tmp_path_factory.mktemp("venv") / "v"
    run(sys.executable, "-m", "venv", "--without-pip", folder)
    lock = ROOT / "packaging/requirements-build.lock"
    words = ["install", "--quiet", "--retries", "1", "--require-hashes", "-r", lock]
    pip = [sys.executable, "-m", "pip", "--python", folder / "bin/python"]
    fetched = subprocess.run([*pip, *words], capture_output=True, text=True, check=False)
    if fetched.returncode:
        pytest.skip("the build backend cannot be fetched: no package index is reached")
    return folder


@pytest.fixture(scope="module")
def built(venv: Path, tmp_path_factory) -> tuple[Path, Path]:
    """Return (sdist, wheel)."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    for name in ("agent", "hal", "models", "tests", "docs"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    done = run(venv / "bin/python", "-c", BUILD, out, cwd=source)
    sdist, wheel = done.stdout.splitlines()[-2:]
    return out / sdist, out / wheel


def names(path: Path) -> list[str]:
    if path.suffix == ".whl":
        with zipfile.ZipFile(path) as archive:
            return archive.namelist()
    with tarfile.open(path) as archive:
        return [name.split("/", 1)[-1] for name in archive.getnames()]


def test_what_a_gate_needs_is_inside(built: tuple[Path, Path]) -> None:
    wanted = {
        *(f"agent/policy/profiles/{name}.toml" for name in SHIPPED),
        *(str(path.relative_to(ROOT)) for path in (ROOT / "agent/report/schemas").glob("*.json")),
        *(str(path.relative_to(ROOT)) for path in (ROOT / "models").glob("*.tflite")),
        *(str(path.relative_to(ROOT)) for path in (ROOT / "models").glob("*.md")),
        "models/manifest.toml",
        "agent/py.typed",
        "hal/py.typed",
    }
    assert len(wanted) > 15
    for path in built:
        assert wanted - set(names(path)) == set(), path.name


def test_every_module_is_inside(built: tuple[Path, Path]) -> None:
    modules = {
        str(path.relative_to(ROOT))
        for top in ("agent", "hal")
        for path in (ROOT / top).rglob("*.py")
    }
    assert modules - set(names(built[1])) == set()


def test_nothing_else_is(built: tuple[Path, Path]) -> None:
    tops = {name.split("/")[0] for name in names(built[1])}
    assert tops - {"agent", "hal", "models"} == {"idgate-0.1.0.dist-info"}
    assert [name for name in names(built[1]) if "training" in name or "test" in name] == []
    assert built[1].stat().st_size < WHEEL_LIMIT_MIB * 2**20


def test_the_sdist_makes_the_same_wheel(venv: Path, built: tuple[Path, Path], tmp_path) -> None:
    with tarfile.open(built[0]) as archive:
        safely = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
        archive.extractall(tmp_path, **safely)
    (folder,) = tmp_path.iterdir()
    wheel = run(venv / "bin/python", "-c", BUILD, tmp_path, cwd=folder).stdout.splitlines()[-1]
    assert sorted(names(tmp_path / wheel)) == sorted(names(built[1]))


def test_it_installs_and_runs_in_a_clean_venv(built: tuple[Path, Path], tmp_path: Path) -> None:
    venv = tmp_path / "v"
    run(sys.executable, "-m", "venv", "--without-pip", venv)
    pip = (sys.executable, "-m", "pip", "--python", venv / "bin/python")
    run(*pip, "install", "--quiet", "--no-deps", "--no-index", built[1])
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    command = venv / "bin/idgate"
    shown = run(command, "--version", cwd=tmp_path, env=environment).stdout
    assert shown == "idgate 0.1.0\n"
    assert "doctor" in run(command, "--help", cwd=tmp_path, env=environment).stdout
    # The dependencies are megabytes; this suite's own serve, behind the venv's idgate.
    (venv / "lib" / f"python3.{sys.version_info.minor}" / "site-packages" / "deps.pth").write_text(
        sysconfig.get_path("purelib") + "\n"
    )
    found = run(
        venv / "bin/python",
        "-c",
        "import agent, models\n"
        "from agent.policy.load import SHIPPED, shipped_profile\n"
        "from agent.report.cloudevents import EventType, schema\n"
        "[shipped_profile(name) for name in SHIPPED]; [schema(kind) for kind in EventType]\n"
        "from agent.biometrics import manifest\n"
        "print(agent.__file__)",
        cwd=tmp_path,
        env=environment,
    )
    assert found.stdout.startswith(str(venv))
    issued = run(command, "issue", "--help", cwd=tmp_path, env=environment)
    assert "credential" in issued.stdout
