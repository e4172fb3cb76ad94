"""Counts the instructions that a Raspberry Pi's own processor would run, under qemu-aarch64.

QEMU translates arm64 programs block by block; a plugin (insns.c) adds up the instructions of every block that is run.
The interpreter and the libraries are those of a Debian arm64 tree in which the agent is installed, so the count is of
the machine code that a Pi runs, chosen as on a Cortex-A72: no time, no cache, but no guess at the other
architecture either. The works are those of `tests.bench.counted`, without the decoder's own process.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.bench import callgrind
from tests.bench.callgrind import CountError, Counts
from tests.pi import arm64

ROOT = Path(__file__).parents[2]
PLUGIN = Path(__file__).with_name("insns.c")
CORE = "cortex-a72"
RELEASE = "bookworm"
VERSIONS = """
import json, platform, sys
from importlib.metadata import version
names = sys.argv[1:]
print(json.dumps({"python": f"{platform.python_implementation()} {platform.python_version()}, "
    f"{platform.python_compiler()}", "libc": " ".join(platform.libc_ver()),
    **{name: version(name) for name in names}}))
"""
TIMEOUT_S = 1_800


def tree() -> Path:
    """Return the Debian arm64 tree: IDGATE_TREE, or the one that `./setup.sh arm64` has kept.

    Raises:
        CountError: there is none.
    """
    folder = Path(os.environ.get("IDGATE_TREE") or arm64.installed(RELEASE)).absolute()
    if not any(folder.glob("opt/idgate/venv/lib/python3*/site-packages/pytest")):
        raise CountError(
            f"{folder}: no arm64 tree with the agent and its tests' needs; ./setup.sh arm64 {RELEASE} makes one"
        )
    return folder


def _command(folder: Path) -> list[str | Path]:
    """Return the words that run the tree's Python.

    Raises:
        CountError: no QEMU, or no Python in the tree.
    """
    qemu = shutil.which("qemu-aarch64")
    if qemu is None:
        raise CountError("qemu-aarch64 is not installed (package qemu-user)")
    found = sorted((folder / "usr/bin").glob("python3.[0-9]*[0-9]"))
    if not found:
        raise CountError(f"{folder}: no Python")
    return [qemu, "-cpu", CORE, "-L", folder, found[0]]


def _environment(folder: Path) -> dict[str, str]:
    packages = next((folder / "opt/idgate/venv/lib").glob("python3*")) / "site-packages"
    return {
        "PATH": os.defpath, "LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONHOME": str(folder / "usr"), "PYTHONPATH": f"{ROOT}:{packages}",
    }  # fmt: skip


def environment(libraries: tuple[str, ...]) -> dict[str, str]:
    """Return what a count depends on beside the code that is counted."""
    folder = tree()
    python = _command(folder)
    about = subprocess.run(
        [*python, "-c", VERSIONS, *libraries], env=_environment(folder), check=True,
        capture_output=True, text=True,
    ).stdout  # fmt: skip
    qemu = subprocess.run(
        [python[0], "--version"], check=True, capture_output=True, text=True
    ).stdout
    return {"machine": f"aarch64, {CORE}", "qemu": qemu.split()[2], **json.loads(about)}


def count(frames: Path) -> dict[str, Counts]:
    """Run the works under qemu-aarch64 once.

    Raises:
        CountError: something is missing, or the run failed.
    """
    folder = tree()
    python = _command(folder)
    with tempfile.TemporaryDirectory() as name:
        here = Path(name)
        plugin, out, labels = here / "insns.so", here / "counts", here / "labels"
        subprocess.run(["gcc", "-O2", "-shared", "-fPIC", "-o", plugin, PLUGIN], check=True)
        done = subprocess.run(
            [*python[:-1], "-plugin", f"file={plugin},out={out}", python[-1],
             "-m", "tests.bench.counted", frames, labels, "alone"],
            cwd=here, env=_environment(folder), check=False, capture_output=True, text=True,
            timeout=TIMEOUT_S,
        )  # fmt: skip
        if done.returncode:
            raise CountError(f"qemu-aarch64 ended with {done.returncode}:\n{done.stderr[-2000:]}")
        return gather(labels.read_text("utf-8").splitlines(), out.read_text("ascii").split())


def gather(labels: list[str], counts: list[str]) -> dict[str, Counts]:
    """Return the counts of each work from the running count at each mark."""
    if len(labels) != len(counts):
        raise CountError(f"{len(counts)} marks were counted, {len(labels)} were made")
    running = [0, *(int(each) for each in counts)]
    parts = (
        (label, {"": after - before})
        for label, before, after in zip(labels, running[:-1], running[1:], strict=True)
        if label != "-"
    )
    return callgrind.middle(parts)
