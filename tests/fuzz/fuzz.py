"""Coverage-guided fuzzing of what comes from outside, with atheris (libFuzzer).

    python tests/fuzz/fuzz.py --seconds 160                    every target in turn, 10 s each
    python tests/fuzz/fuzz.py --target dcc --seconds 60        one target: a format, or another
    python tests/fuzz/fuzz.py --target dcc --replay FILE       judge one input again, no fuzzing

A finding is any exception but the refusal that is right, or an input that takes more processor time
than its target allows (a code: 20 ms) or 8 MiB of memory. The input is written to the findings
directory, and the exit code is 1.

Each target runs in a process of its own: libFuzzer ends its process, whatever it found. Time and
memory that look too much are measured again without instrumentation, in a fresh process, before
they count: the machine may be busy, and the instruments cost more than the code.
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import importlib.util
import logging
import os
import resource
import subprocess
import sys
import tempfile
import time
import tracemalloc
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.fuzz.model import Target

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

MODULE = "tests.fuzz.targets"
MODULES = [
    "agent.credential",
    "agent.trust",
    "agent.report",
    "agent.settings",
    "agent.policy",
    "tuf",
]
"""Packages whose branches guide the fuzzer."""
MEMORY_LIMIT_BYTES = 8 << 20
TRIES = 5
INPUT_MAX = 4_400
TRACE_EVERY = 64
_VERDICTS = {
    0: "clean",
    70: "FINDING: more than 5 s",
    71: "FINDING: more than 1 GiB",
    77: "FINDING",
}
"""Exit codes of libFuzzer."""


def main(argv: Sequence[str] | None = None) -> int:
    """Fuzz, or replay; return 1 where something was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--target", default="all", help="one target's name; all in turn if left out"
    )
    parser.add_argument("--seconds", type=float, default=60.0, help="for all targets together")
    parser.add_argument("--findings", type=Path, default=ROOT / "build" / "fuzz")
    parser.add_argument("--corpus", type=Path, help="keep interesting inputs here between runs")
    parser.add_argument("--replay", type=Path, help="judge the input in this file")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    if arguments.child:
        return _fuzz(arguments.target, arguments.seconds, arguments.findings, arguments.corpus)
    known = importlib.import_module(MODULE).names()
    names = known if arguments.target == "all" else [arguments.target]
    if not set(names) <= set(known):
        parser.error(f"no target {arguments.target!r}; there are {', '.join(known)}")
    if arguments.replay is not None:
        return _replay(names[0], arguments.replay)
    if importlib.util.find_spec("atheris") is None:
        print("fuzz: atheris is not installed for this Python; see pyproject.toml", file=sys.stderr)
        return 2
    results = {name: _run_child(name, arguments.seconds / len(names), arguments) for name in names}
    for name, code in results.items():
        print(f"fuzz: {name:10} {_VERDICTS.get(code, f'FAILED, exit code {code}')}")
    if any(results.values()):
        print(f"fuzz: what was found is in {arguments.findings}")
    return 1 if any(results.values()) else 0


def _run_child(name: str, seconds: float, arguments: argparse.Namespace) -> int:
    """Fuzz one target in a process of its own; return its exit code."""
    memory = "/dev/shm" if Path("/dev/shm").is_dir() else None
    with tempfile.TemporaryDirectory(prefix="fuzz-", dir=memory) as scratch:
        corpus = Path(scratch) / "corpus" if arguments.corpus is None else arguments.corpus / name
        corpus.mkdir(parents=True, exist_ok=True)
        command = [
            sys.executable, __file__, "--child", "--target", name, "--corpus", str(corpus),
            "--seconds", str(max(1, round(seconds))), "--findings", str(arguments.findings),
        ]  # fmt: skip
        # libFuzzer ends without a word: what its files leave behind goes with this folder.
        environment = {**os.environ, "TMPDIR": scratch}
        return subprocess.run(command, check=False, cwd=ROOT, env=environment).returncode


# --- judging one input --------------------------------------------------------------------------------


class Finding(Exception):
    """Something that must not happen with any input."""


def judge(target: Target, payload: bytes, *, trace: bool) -> tuple[float, int]:
    """Take one input; return seconds of processor time and, if traced, the peak of new bytes.

    Raises:
        Finding: an exception came out.
    """
    if trace:
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
    begin = time.thread_time()
    try:
        target.take(payload)
    except BaseException as error:
        raise Finding(f"{type(error).__name__}: {error}") from error
    spent = time.thread_time() - begin
    peak = 0
    if trace:
        peak = tracemalloc.get_traced_memory()[1] - before
        tracemalloc.stop()
    return spent, peak


def _replay(name: str, path: Path) -> int:
    """Judge an input without instruments; print what it cost; return 1 for a finding."""
    target, payload = importlib.import_module(MODULE).target(name), path.read_bytes()
    try:
        judge(target, payload, trace=False)  # imports, tables
        gc.collect()
        spent = min(judge(target, payload, trace=False)[0] for _ in range(TRIES))
        peak = judge(target, payload, trace=True)[1]
        resident = _resident_growth(target, payload)
    except Finding as error:
        print(f"fuzz: {path.name}: {error}")
        return 1
    memory = max(peak, resident)
    print(f"fuzz: {path.name}: {spent * 1e3:.2f} ms, {memory / 1024:.0f} KiB")
    return 1 if spent > target.cpu_limit_s or memory > MEMORY_LIMIT_BYTES else 0


def _resident_growth(target: Target, payload: bytes) -> int:
    """Return how much the process's peak of resident memory grew, C libraries included."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    judge(target, payload, trace=False)
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024


# --- fuzzing -----------------------------------------------------------------------------------------


def _fuzz(name: str, seconds: float, findings: Path, corpus: Path) -> int:
    """Run libFuzzer on one target. Does not return: libFuzzer ends the process."""
    import atheris

    # The pure verifier is slow under instruments, and is public arithmetic, not parsing.
    with atheris.instrument_imports(include=MODULES, exclude=["agent.credential.sm2_pure"]):
        targets = importlib.import_module(MODULE)
        targets.load_all()
        chosen = targets.target(name)
    findings.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(chosen.inputs()):
        (corpus / f"seed-{number:03}").write_bytes(data)
    flags = [
        f"-max_total_time={round(seconds)}", f"-max_len={INPUT_MAX}", "-rss_limit_mb=1024",
        "-timeout=60",  # in it a suspect may be confirmed by a process that a busy machine starts slowly
        f"-artifact_prefix={findings}/{name}-input-", "-print_final_stats=1", "-verbosity=0",
    ]  # fmt: skip
    logging.disable(logging.CRITICAL)  # a refusal a line is no use here
    warnings.simplefilter("error")  # a warning that a code can cause would be a finding, too
    atheris.Setup(
        [sys.argv[0], *flags, str(corpus)],
        _one_input(chosen, findings),
        custom_mutator=_mutate,
    )
    atheris.Fuzz()
    return 0


def _mutate(data: bytes, max_size: int, seed: int) -> bytes:
    """Change every second input by its structure, if it has one, and the others by libFuzzer."""
    import atheris

    from tests.fuzz.mutate import structural

    changed = structural(data[1:], seed) if seed % 2 else None
    if changed is None or len(changed) >= max_size:
        mutated: bytes = atheris.Mutate(data, max_size)  # bound only once fuzzing has begun
        return mutated
    return data[:1] + changed


def _one_input(target: Target, findings: Path) -> Callable[[bytes], None]:
    """Return the function that libFuzzer calls."""
    calls, name = 0, target.name
    for warm in (False, True):
        judge(target, target.code(next(iter(target.inputs()))), trace=warm)

    def run(data: bytes) -> None:
        nonlocal calls
        calls += 1
        payload = target.code(data)
        trace = calls % TRACE_EVERY == 0
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        try:
            spent, peak = judge(target, payload, trace=trace)
        except Finding as error:
            _report(payload, name, findings, str(error))
            raise
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
        suspect = grown > MEMORY_LIMIT_BYTES or peak > MEMORY_LIMIT_BYTES
        if (spent > target.cpu_limit_s and not trace) or suspect:
            path = _write(payload, name, findings)
            if not _confirmed(name, path):
                path.unlink()
                return
            _report(payload, name, findings, f"{spent * 1e3:.1f} ms, {max(grown, peak) >> 10} KiB")
            raise Finding("over the limits")

    return run


def _confirmed(name: str, path: Path) -> bool:
    """Return whether the input is over a limit in a fresh process without instruments."""
    command = [sys.executable, __file__, "--target", name, "--replay", str(path)]
    return subprocess.run(command, check=False, cwd=ROOT).returncode != 0


def _write(payload: bytes, name: str, findings: Path) -> Path:
    path = findings / f"{name}-{hashlib.sha256(payload).hexdigest()[:16]}.code"
    path.write_bytes(payload)
    return path


def _report(payload: bytes, name: str, findings: Path, what: str) -> None:
    path = _write(payload, name, findings)
    print(f"fuzz: FINDING in {name}: {what}; the input is in {path}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
