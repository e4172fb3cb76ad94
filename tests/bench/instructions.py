"""Counts the instructions of the decision path, and holds them against a reference.

    ./setup.sh bench --callgrind [--arm64] [--runs N] [--write]

Time depends on what else the machine does; the number of instructions that a work takes does not. They are
counted by valgrind's callgrind, which also says in which library they lie, and with `--arm64` for a Raspberry Pi's
processor by QEMU (see `arm`). The reference, tests/bench/instructions.json, names the interpreter, the libraries and the
kind of processor that it was counted with. Where those are the same, a work that counts over 5 % more ends the command
with 1; where they are not, the changes are shown and nothing is judged. `--write` makes a new reference of two
runs at least.

What is counted is what a program does in user space: no disk, no kernel, and none of the processor's
waiting. Valgrind offers programs an older processor than the real one, without AVX-512, ADX and SHA-NI, so that
OpenSSL and others take another way than on the machine itself; see docs/performance.md.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import sqlite3
import ssl
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tests.bench import arm, callgrind
from tests.bench.callgrind import CountError, Counts

ROOT = Path(__file__).parents[2]
REFERENCE = Path(__file__).with_name("instructions.json")
LIBRARIES = (
    "cryptography", "zxing-cpp", "opencv-python-headless", "numpy", "msgspec", "pyzbar",
)  # fmt: skip
TIMEOUT_S = 3_600


def environment() -> dict[str, str]:
    """Return what a count depends on beside the code that is counted."""
    from cryptography.hazmat.backends.openssl import backend

    release = subprocess.run(
        [_valgrind(), "--version"], check=True, capture_output=True, text=True
    ).stdout.strip()
    return {
        "machine": f"{platform.machine()}, {_vectors()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}, "
        f"{platform.python_compiler()}",
        "libc": " ".join(platform.libc_ver()),
        "valgrind": release,
        "openssl in cryptography": backend.openssl_version_text(),
        "openssl of the system": ssl.OPENSSL_VERSION,
        "sqlite": sqlite3.sqlite_version,
        "zlib": zlib.ZLIB_RUNTIME_VERSION,
        **{name: version(name) for name in LIBRARIES},
    }


def _valgrind() -> str:
    found = shutil.which("valgrind")
    if found is None:
        raise CountError("valgrind is not installed")
    return found


def _vectors() -> str:
    """Return which vector units valgrind can offer here; it knows none beyond AVX2."""
    text = Path("/proc/cpuinfo").read_text(errors="replace")
    words = set(text.split())
    return next((name for name in ("avx2", "avx", "sse4_2", "asimd") if name in words), "plain")


def count(frames: Path) -> dict[str, Counts]:
    """Run the works under callgrind once.

    Raises:
        CountError: valgrind is missing, or the run failed.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        done = subprocess.run(
            [
                _valgrind(), "--tool=callgrind", "--dump-before=*getsid*",
                f"--callgrind-out-file={folder / 'out'}",
                sys.executable, "-m", "tests.bench.counted", frames, folder / "labels",
            ],
            cwd=folder, env=_bare_environment(), check=False, capture_output=True, text=True,
            timeout=TIMEOUT_S,
        )  # fmt: skip
        if done.returncode:
            raise CountError(f"callgrind ended with {done.returncode}:\n{done.stderr[-2000:]}")
        labels = (folder / "labels").read_text("utf-8").splitlines()
        return callgrind.gather(
            (label, (folder / f"out.{number}").read_text("utf-8", "replace"))
            for number, label in enumerate(labels, 1)
            if label != "-"
        )


def _bare_environment() -> dict[str, str]:
    """Return variables that are the same everywhere: their bytes lie on the stack of what is counted."""
    return {
        "PATH": os.defpath, "LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "0", "PYTHONPATH": str(ROOT),
    }  # fmt: skip


@dataclass(frozen=True)
class Counter:
    """A way to count.

    Attributes:
        count: counts all works once, given the frames.
        environment: what a count depends on beside the code that is counted.
    """

    count: Callable[[Path], dict[str, Counts]]
    environment: Callable[[], dict[str, str]]


COUNTERS = {
    "callgrind": Counter(count, environment),
    "arm64": Counter(arm.count, lambda: arm.environment(LIBRARIES)),
}


def summary(
    kind: str, number: int, say: Callable[[str], None], *, write: bool = False
) -> dict[str, Any]:
    """Count so often, and return counts, changes and environment as the report keeps them.

    Raises:
        CountError: it cannot be counted here.
    """
    counter = COUNTERS[kind]
    around = counter.environment()
    with tempfile.TemporaryDirectory() as name:
        frames = (
            Path(name) / "frames.npz"
        )  # drawn natively: that takes longer than all that is counted
        subprocess.run(
            [sys.executable, "-m", "tests.bench.counted_codes", frames], cwd=ROOT, check=True
        )
        found = []
        for turn in range(number):
            say(f"counting instructions by {kind}, run {turn + 1} of {number}; some minutes")
            found.append(counter.count(frames))
    if write:
        store(kind, found, around)
    reference = load()[kind]
    first = found[0]
    return {
        "environment": around,
        "differs": callgrind.differences(around, reference["environment"]),
        "changes": callgrind.changes(
            {name: each.ir for name, each in first.items()}, reference["instructions"]
        ),
        "spread": callgrind.spread(found),
        "runs": number,
        "works": {
            name: {"ir": each.ir, "ratio": each.ratio, "shares": dict(each.shares)}
            for name, each in first.items()
        },
    }


def load() -> dict[str, Any]:
    """Return the reference: by the way of counting, `environment` and `instructions` by work."""
    if not REFERENCE.exists():
        return {}
    stored: dict[str, Any] = json.loads(REFERENCE.read_text("utf-8"))
    return stored


def store(kind: str, found: list[dict[str, Counts]], around: dict[str, str]) -> None:
    """Write the reference of one way to count anew."""
    stored = load() | {
        kind: {
            "environment": around,
            "runs": len(found),
            "spread between runs": {
                name: round(apart, 6) for name, apart in callgrind.spread(found).items()
            },
            "instructions": {name: round(each.ir) for name, each in found[0].items()},
        }
    }
    REFERENCE.write_text(json.dumps(stored, indent=2) + "\n", encoding="utf-8")


def shown(data: dict[str, Any]) -> str:
    """Return the summary for a terminal."""
    lines = []
    for name, work in data["works"].items():
        change = data["changes"][name]
        moved = "new" if change is None else f"{change:+.2%}"
        ratio = "" if work["ratio"] is None else f"{work['ratio']:.2f}"
        parts = ", ".join(
            f"{lib} {part:.0%}" for lib, part in work["shares"].items() if lib and part > 0.02
        )
        lines.append(f"{name:27} {work['ir']:13,.0f} {moved:>8} {ratio:>5}  {parts}".rstrip())
    head = f"{'work':27} {'instructions':>13} {'moved':>8} {'ratio':>5}  where"
    return "\n".join([head, *lines])


def verdict(data: dict[str, Any], say: Callable[[str], None]) -> int:
    """Return the exit code: 1 where a work grew and the counts may be compared."""
    if data["runs"] > 1:
        widest = max(data["spread"], key=lambda name: data["spread"][name])
        say(f"{data['runs']} runs lie {data['spread'][widest]:.3%} apart at most ({widest})")
    for line in data["differs"]:
        say(f"not the reference's {line}")
    grown = callgrind.grown(data["changes"])
    for name in grown:
        say(f"{name}: {data['changes'][name]:+.2%} against the reference")
    if data["differs"]:
        say("counts of another environment are shown, not judged")
        return 0
    return 1 if grown else 0


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="setup.sh bench", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--callgrind", action="store_true", required=True)
    parser.add_argument("--arm64", action="store_true", help="count for a Raspberry Pi's core too")
    parser.add_argument("--runs", type=int, default=1, help="how often to count; default 1")
    parser.add_argument("--write", action="store_true", help="make a new reference of it")
    options = parser.parse_args(arguments)

    def say(text: str) -> None:
        print(f"bench: {text}", file=sys.stderr, flush=True)

    number, code = max(options.runs, 2 if options.write else 1), 0
    for kind in ["callgrind", "arm64"] if options.arm64 else ["callgrind"]:
        try:
            data = summary(kind, number, say, write=options.write)
        except CountError as error:
            say(str(error))
            return 2
        print(shown(data))
        code = max(code, verdict(data, say))
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
