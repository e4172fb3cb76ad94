"""idgate on a 64-bit Raspberry Pi's Debian, without the Pi: installed, tested and packaged under qemu-user.

    ./setup.sh arm64 [--fresh] [bookworm|trixie ...]

For each release, in a Debian arm64 tree that holds nothing but Debian:

1. `./setup.sh install`, inside the tree, as on the machine itself;
2. the core part of the test suite, with the very libraries that were installed;
3. `./setup.sh uninstall --purge`, and nothing of idgate may be left;
4. `./setup.sh deb`; the package goes into a second, bare tree, where it is installed by apt, used,
   removed and purged (tests/packaging/try_deb.sh).

Exit code 0 when all of it held, 1 when something did not, 2 when it cannot be done here. What each
step said is in the log that is named. Trees and downloads are kept in IDGATE_CACHE
(/var/cache/idgate), so that a second run needs minutes less; --fresh makes the trees anew.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from tests.pi import tree, trial
from tests.pi.tree import TreeError
from tests.pi.trial import Machine, Report, StepError, closing_line

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared"
ARCHITECTURE = "arm64"
PACKAGES = ("systemd",)  # what each Raspberry Pi OS has and a minimal Debian has not
INSIDE = "/root/idgate"  # the checkout, inside
PYTHON = "/opt/idgate/venv/bin/python"
TEST_S = 900.0  # one test; the suite's own limit is for a processor, not for its emulation
LEFT_OUT = (".*", "build", "dist", "var", "__pycache__", "*.egg-info")  # no part of a checkout


@dataclass(frozen=True, slots=True)
class Release:
    """What a release of Debian gives a gate."""

    python: str
    runtimes: tuple[str, ...]
    """Distributions of the TFLite runtimes that must be there and compute."""


@dataclass(frozen=True, slots=True)
class Board:
    """A processor, as QEMU calls it and as the kernel describes it to programs."""

    name: str
    qemu: str
    part: str
    features: str

    def cpuinfo(self) -> str:
        """Return /proc/cpuinfo of the board.

        QEMU before 8.1 shows programs the file of the machine it runs on, and the library by which
        LiteRT asks for the processor (cpuinfo) crashes on an x86 one.
        """
        return "".join(
            f"processor\t: {number}\nBogoMIPS\t: 108.00\nFeatures\t: {self.features}\n"
            f"CPU implementer\t: 0x41\nCPU architecture: 8\nCPU variant\t: 0x0\n"
            f"CPU part\t: {self.part}\nCPU revision\t: 3\n\n"
            for number in range(4)
        )


_BASE = "fp asimd evtstrm crc32 cpuid"
BOARDS = (
    Board("pi4", "cortex-a72", "0xd08", _BASE),
    Board(
        "pi5", "cortex-a76", "0xd0b", f"{_BASE} atomics fphp asimdhp asimdrdm lrcpc dcpop asimddp"
    ),
)

RELEASES = {
    "bookworm": Release("3.11", ("tflite-runtime", "ai-edge-litert")),
    "trixie": Release("3.13", ("ai-edge-litert",)),
}

# What another processor, C library or Python can change: signatures and parsers, arithmetic of the
# models, both decoders, SQLite, pins and ports, and the daemon that joins them.
CORE = (
    "agent/test_cli.py", "agent/test_log.py", "agent/settings", "agent/clock", "agent/scan",
    "agent/credential", "agent/trust", "agent/policy", "agent/passage", "agent/biometrics",
    "agent/journal", "agent/gate", "agent/controller", "agent/commands", "hal",
    "agent/daemon/test_daemon.py", "agent/daemon/test_finger.py",
    "agent/daemon/test_finger_trouble.py",
)  # fmt: skip
# In a process of its own: behind the others in one process it once missed packages that are there,
# for a reason that was not found.
ALONE = "packaging/test_inventory.py"

# What qemu-user is not.
_FILTER = "qemu-user passes no system call filter (seccomp) on to the kernel"
_MEMORY = "qemu-user keeps no limit of memory (RLIMIT_AS)"
DESELECTED = {
    "tests/agent/scan/test_scanner.py::test_a_worker_has_no_privileges": _FILTER,
    "tests/agent/sandbox/test_confine.py::test_the_sandbox_refuses_all_that_decoding_does_not_need": _FILTER,
    "tests/agent/sandbox/test_confine.py::test_the_limits_hold_where_there_is_no_filter": _MEMORY,
    "tests/agent/scan/test_worker.py::test_a_decoder_that_fails_costs_its_frame_only[memory without end]": _MEMORY,
    "tests/agent/scan/test_scanner.py::test_the_stem_has_one_thread": "each emulated process has a thread of QEMU's own",
}
"""Tests that cannot hold under qemu-user: node -> why."""

_VERSIONS = """
import platform
from importlib import metadata
import zxingcpp
from pyzbar import pyzbar
print("python", platform.python_version())
for name in ("idgate", "tflite-runtime", "ai-edge-litert", "numpy", "opencv-python-headless",
             "zxing-cpp", "pyzbar", "cryptography"):
    try:
        print(name, metadata.version(name))
    except metadata.PackageNotFoundError:
        print(name, "-")
"""
_PORTRAIT = """
import sys
import skimage.data
from PIL import Image
Image.fromarray(skimage.data.astronaut()[5:225, 110:330]).save(sys.argv[1])
"""


class _On(TypedDict):
    who: str
    binds: tuple[str, ...]
    env: dict[str, str]


class Trial:
    """Everything that is done for one release, in order."""

    def __init__(self, release: str, *, fresh: bool) -> None:
        self._release = release
        self._fresh = fresh
        self._work = tree.cache() / f"{release}-{ARCHITECTURE}"
        self._out = self._work / "out"
        self.report = Report(f"arm64: {release}")

    def run(self) -> None:
        """Do every step. A test that fails keeps no later step from being tried.

        Raises:
            StepError: one did not hold; if it was not the suite, the later ones were not done.
            TreeError: no tree can be made here.
        """
        steps = {
            "tree": self._prepare,
            "install": self._install,
            "suite": self._suite,
            "package": self._package,
            "uninstall": self._uninstall,
            "package in a bare tree": self._try_package,
        }
        tree.cache().mkdir(parents=True, exist_ok=True)
        with tree.locked(tree.cache() / f"{self._work.name}.lock"):
            failed: StepError | None = None
            for name, act in steps.items():
                try:
                    self.report.timed(name, act)
                except StepError as error:
                    if name != "suite":
                        raise
                    failed = error
            if failed is not None:
                raise failed

    def _prepare(self) -> None:
        archive = tree.base_tree(self._release, ARCHITECTURE, PACKAGES, fresh=self._fresh)
        for folder in (self._work / "tree", self._work / "bare"):
            tree.unpack(archive, folder)
        self._out.mkdir(exist_ok=True)
        for board in BOARDS:
            (self._work / board.name).write_text(board.cpuinfo())
        log = self._work / "log.txt"
        log.unlink(missing_ok=True)
        binds = [f"{self._out}:/mnt/out", *trial.caches(ARCHITECTURE)]
        if SHARED.is_dir():
            binds.append(f"{SHARED}:/root/shared:ro")
        self._machine = Machine(self._work / "tree", log, tuple(binds))
        self._bare = Machine(self._work / "bare", log, tuple(binds))
        ignore = shutil.ignore_patterns(*LEFT_OUT)
        shutil.copytree(ROOT, self._machine.folder / INSIDE[1:], symlinks=True, ignore=ignore)
        shutil.copytree(
            ROOT / "tests/packaging", self._bare.folder / "root/packaging", ignore=ignore
        )

    def _do(self, *argv: str, board: Board = BOARDS[0]) -> str:
        """Run a command in the tree, on the processor of a board; return what it said."""
        named = argv[0] if argv[0] != PYTHON else " ".join(argv[1:3])
        return self._machine.do(*argv, named=named, **self._on(board))

    def _on(self, board: Board) -> _On:
        """Return what makes a tree's command run on a board."""
        return {
            "who": board.name,
            "binds": (f"{self._work / board.name}:/proc/cpuinfo:ro",),
            "env": {"QEMU_CPU": board.qemu, "IDGATE_TEST_PATIENCE": "8"},
        }

    def _install(self) -> None:
        expected = RELEASES[self._release]
        self._do("./setup.sh", "install")
        said = self._do(PYTHON, "-c", _VERSIONS)
        said += self._do("dpkg-query", "-W", "-f", "zbar ${Version}\n", "libzbar0*")
        # Of a package that is only known and not installed there is a name without a version.
        found = dict(
            line.split() for line in said.splitlines() if re.fullmatch(r"[a-z-]+ [\d.]\S*", line)
        )
        if not found.get("python", "").startswith(expected.python + "."):
            raise StepError(f"Python {found.get('python')}, not {expected.python}")
        if missing := [name for name in expected.runtimes if name not in found]:
            raise StepError(f"not installed: {', '.join(missing)}")
        unit = "etc/systemd/system/multi-user.target.wants/idgate.service"
        if not (self._machine.folder / unit).is_symlink():
            raise StepError("the service is not enabled")
        for board in BOARDS:
            self._do("idgate", "models", "verify", board=board)
        self.report.lines.append(
            "installed " + ", ".join(f"{name} {version}" for name, version in found.items())
        )

    def _suite(self) -> None:
        # idgate is installed: only what its tests need besides is fetched.
        self._do(
            PYTHON, "-m", "pip", "install", "--quiet", "--no-compile",
            "--root-user-action=ignore", "idgate[test]",
        )  # fmt: skip
        tree.link(self._machine.folder, installed(self._release))
        said = self._do(
            PYTHON, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--hypothesis-profile=ci",
            "-n", str(min(os.cpu_count() or 1, 4)),
            "--dist", "loadfile", "-o", f"timeout={TEST_S:g}", "--durations=20",
            *(f"--deselect={node}" for node in DESELECTED), *(f"tests/{part}" for part in CORE),
        )  # fmt: skip
        self.report.lines.append(f"suite {closing_line(said)}")
        said = self._do(PYTHON, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"tests/{ALONE}")
        self.report.lines.append(f"lock file and licences {closing_line(said)}")
        self.report.lines += [f"left out {node}: {why}" for node, why in DESELECTED.items()]

    def _package(self) -> None:
        self._do(PYTHON, "-c", _PORTRAIT, "/mnt/out/face.png")
        self._do("./setup.sh", "deb", "/mnt/out")

    def _uninstall(self) -> None:
        self._do("./setup.sh", "uninstall", "--purge")
        root = self._machine.folder
        if left := leftovers(root):
            raise StepError(f"uninstalled, but left: {' '.join(left)}")
        for name in ("etc/passwd", "etc/group"):
            if "idgate" in (root / name).read_text("utf-8"):
                raise StepError(f"uninstalled, but the user is still in /{name}")

    def _try_package(self) -> None:
        (package,) = self._out.glob("*.deb")
        self._bare.do("apt-get", "-qq", "update", cwd="/", **self._on(BOARDS[0]))
        said = self._bare.do(
            "/root/packaging/try_deb.sh",
            f"/mnt/out/{package.name}",
            "/mnt/out/face.png",
            cwd="/root",
            **self._on(BOARDS[0]),
        )
        size = package.stat().st_size / 1e6
        self.report.lines.append(
            f"package {package.name}, {size:.0f} MB: built, {closing_package(said)}"
        )
        package.unlink()


def installed(release: str) -> Path:
    """Return where a release's tree is kept as it was with the agent and what its tests need."""
    return tree.cache() / f"{release}-{ARCHITECTURE}" / "installed"


def closing_package(said: str) -> str:
    """Return what try_deb.sh found, in one line."""
    lines = re.findall(r"^package: (.*)$", said, re.MULTILINE)
    return "; ".join(line.strip() for line in lines)


def leftovers(root: Path) -> list[str]:
    """Return what is called idgate in a tree, besides the checkout and what apt and pip keep."""
    found = []
    for folder, folders, files in os.walk(root):
        inside = Path(folder).relative_to(root)
        if inside.parts[:1] in {("root",), ("tmp",), ("mnt",), ("proc",), ("sys",)}:
            folders.clear()
            continue
        found += [f"/{inside / name}" for name in [*folders, *files] if "idgate" in name]
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Try the releases that are named, or all."""
    words = argparse.ArgumentParser(
        prog="setup.sh arm64", description=(__doc__ or "").split("\n")[0]
    )
    words.add_argument("releases", nargs="*", metavar="RELEASE", help=" or ".join(RELEASES))
    words.add_argument("--fresh", action="store_true", help="make the trees anew")
    asked = words.parse_args(argv)
    if unknown := set(asked.releases) - set(RELEASES):
        words.error(f"no release {', '.join(sorted(unknown))}: {' or '.join(RELEASES)}")
    code = 0
    tried: list[tuple[Report, str]] = []
    for release in asked.releases or RELEASES:
        folder = tree.cache() / f"{release}-{ARCHITECTURE}"
        tree.say(f"{release} {ARCHITECTURE} under qemu-user; log in {folder}")
        tried_here, problem = Trial(release, fresh=asked.fresh), ""
        try:
            tried_here.run()
        except StepError as error:
            problem, code = str(error), code or 1
        except TreeError as error:
            problem, code = str(error), 2
        tried.append((tried_here.report, problem))
    for report, problem in tried:
        report.close(problem)
    return code


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        sys.exit(main())
    sys.exit(130)
