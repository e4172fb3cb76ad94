"""The camera driver on the real picamera2 and libcamera, with libcamera's own virtual camera.

`./setup.sh picamera` makes a Debian trixie tree, installs the real library there, and runs in it

1. the camera tests that are meant for a Raspberry Pi (tests/device/test_camera.py), and
2. the daemon itself, with a printed code in the camera's view: it must grant once, and once only.

What is not real: the sensor (libcamera's `virtual` pipeline shows a picture file), and the dma-heap
that this kernel lacks (memfds, see virtual_camera/heap.c). Debian has no package of picamera2, so
it comes from pip, with the libraries below it from apt as on a Raspberry Pi.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import sqlite3
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

if __package__ in {None, ""}:
    sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.pi.tree import TreeError, base_tree, cache, run_in, unpack

ROOT = Path(__file__).parents[2]
BESIDE = Path(__file__).parent / "virtual_camera"
RELEASE = "trixie"
PACKAGES = (
    "gcc", "libc6-dev", "libzbar0t64", "python3", "python3-av", "python3-dev", "python3-jsonschema",
    "python3-libcamera", "python3-numpy", "python3-piexif", "python3-pil", "python3-prctl",
    "python3-tqdm", "python3-venv",
)  # fmt: skip
# Without their dependencies: what they list beyond apt's packages is for encoders and windows.
PICAMERA = ("picamera2==0.3.38", "videodev2", "pidng", "simplejpeg", "OpenEXR")
TESTING = ("hypothesis", "pytest", "pytest-timeout", "pytest-xdist")
PYTHON = "/opt/venv/bin/python"
INSIDE = {
    "PYTHONPATH": "/opt/idgate",
    "PYTHONDONTWRITEBYTECODE": "1",
    "LIBCAMERA_LOG_LEVELS": "*:ERROR",
}
GATE = """\
state_dir = "/var/lib/idgate"
[gate]
site = "s"
gate = "g"
profile = "library"
passage_timeout_s = 1
[[camera]]
driver = "picamera2"
fps = 15
[gpio]
driver = "simulated"
fire = false
tamper = false
[trust]
directory = "trust"
"""
SERVES_S = 15
VERSIONS = """
import importlib.metadata as m, platform, tests.pi.virtual_camera.adapt, libcamera
print("picamera2", m.version("picamera2"), "libcamera", libcamera.CameraManager.singleton().version,
      "Python", platform.python_version(), platform.machine())
"""


def say(text: str) -> None:
    """Tell the person at the terminal."""
    print(f"picamera: {text}", file=sys.stderr, flush=True)


def prepare(*, fresh: bool) -> Path:
    """Return a tree with the real library and what the agent needs, made or from the cache."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    wanted = [*project["dependencies"], *TESTING]
    key = hashlib.sha256("\n".join([*PACKAGES, *PICAMERA, *wanted]).encode()).hexdigest()
    architecture = subprocess.run(
        ["dpkg", "--print-architecture"], check=True, capture_output=True, text=True
    ).stdout.strip()
    folder = cache() / f"{RELEASE}-{architecture}-picamera"
    stamp = folder / "opt/made"
    if fresh or not stamp.exists() or stamp.read_text("ascii") != key:
        archive = base_tree(RELEASE, architecture, PACKAGES, fresh=fresh)
        unpack(archive, folder)
        say("installing picamera2 and what the agent needs")
        pip = ["/opt/venv/bin/pip", "install", "--quiet", "--no-cache-dir"]
        run_in(folder, ["python3", "-m", "venv", "--system-site-packages", "/opt/venv"])
        run_in(folder, [*pip, "--no-deps", *PICAMERA])
        run_in(folder, [*pip, *wanted])
        stamp.write_text(key, "ascii")
    _camera(folder)
    return folder


def _camera(tree: Path) -> None:
    """Put the virtual camera's settings and the heap into the tree."""
    settings = tree / "usr/share/libcamera/pipeline/virtual"
    settings.mkdir(parents=True, exist_ok=True)
    shutil.copy(BESIDE / "virtual.yaml", settings / "virtual.yaml")
    shutil.copy(BESIDE / "heap.c", tree / "opt/heap.c")
    run_in(tree, ["gcc", "-shared", "-fPIC", "-O2", "-Wall", "-Werror",
                  "-o", "/opt/heap.so", "/opt/heap.c"])  # fmt: skip


def _inside(
    tree: Path, *argv: str, before: Sequence[str] = (), **more: Any
) -> subprocess.CompletedProcess[str]:
    """Run Python on this checkout in the tree, with the heap under it."""
    return run_in(
        tree,
        [*before, "env", "LD_PRELOAD=/opt/heap.so", PYTHON, *argv],
        binds=[f"{ROOT}:/opt/idgate:ro"], env=INSIDE, cwd="/opt/idgate", **more,
    )  # fmt: skip


def issue(tree: Path) -> None:
    """Make an issuer, believe it, and hold its printed card before the camera."""
    gate = tree / "opt/gate"
    for old in (gate, tree / "var/lib/idgate"):
        shutil.rmtree(old, ignore_errors=True)
        old.mkdir()
    (gate / "config.toml").write_text(GATE)
    for words in (
        "key library --out {0}",
        "credential --issuer {0}/library.key.pem --subject r1 --kind library-card --out {0}/card",
        "present {0}/card --png {0}/card.png --out {0}/code",
    ):
        step = words.format("/opt/gate").split()
        _inside(tree, "-m", "agent.cli", "issue", *step, capture_output=True)
    _inside(
        tree, "-c",
        "from PIL import Image as I;"
        "code = I.open('/opt/gate/card.png').convert('RGB');"
        "code = code.resize((640, 640), I.Resampling.NEAREST);"
        "view = I.new('RGB', (1280, 720), (90, 120, 150));"
        "view.paste(code, (320, 40));"
        "view.save('/opt/view.jpg', quality=92)",
    )  # fmt: skip


def device_tests(tree: Path) -> str:
    """Run the tests meant for a Raspberry Pi's camera; return pytest's closing line.

    Raises:
        TreeError: one of them failed.
    """
    done = _inside(
        tree, "-m", "pytest", "-q", "-p", "no:cacheprovider",
        "-p", "tests.pi.virtual_camera.adapt", "--device", "tests/device/test_camera.py",
        check=False, stdout=subprocess.PIPE,
    )  # fmt: skip
    if done.returncode:
        raise TreeError(done.stdout)
    return done.stdout.splitlines()[-1]


def daemon(tree: Path) -> str:
    """Run the daemon with the card in view; return what it did.

    Raises:
        TreeError: it did anything but grant that card once and let it lapse.
    """
    done = _inside(
        tree, "-m", "tests.pi.virtual_camera.adapt", "run", "--config", "/opt/gate/config.toml",
        before=["timeout", "--preserve-status", "--signal=TERM", str(SERVES_S)],
        check=False, stderr=subprocess.PIPE,
    )  # fmt: skip
    with sqlite3.connect(tree / "var/lib/idgate/journal.sqlite") as database:
        rows = [
            json.loads(data)
            for (data,) in database.execute(
                "SELECT data FROM event WHERE type = 'decision' ORDER BY boot, seq"
            )
        ]
    decisions = [row["decision"] for row in rows]
    if done.returncode or decisions != ["granted", "annulled"]:
        raise TreeError(f"exit {done.returncode}, decisions {decisions}\n{done.stderr}")
    return "the card in view was granted once, nobody walked, the grant lapsed"


def main() -> int:
    """Make the tree and run both; return 0 where everything held."""
    parser = argparse.ArgumentParser(prog="./setup.sh picamera", description=__doc__)
    parser.add_argument("--fresh", action="store_true", help="make the tree anew")
    arguments = parser.parse_args()
    try:
        tree = prepare(fresh=arguments.fresh)
        issue(tree)
        versions = _inside(tree, "-c", VERSIONS, stdout=subprocess.PIPE).stdout.strip()
        say(versions)
        say(device_tests(tree))
        say(daemon(tree))
    except TreeError as error:
        say(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
