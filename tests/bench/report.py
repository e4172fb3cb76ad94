"""Measures every stage with the bench modules' own functions; writes tables, plots and numbers.

    ./setup.sh bench --report DIRECTORY [--page] [--passages N]

DIRECTORY gets report.md, report.json and PNG plots; with --page the tables of docs/performance.md and its plots
are written again. Each number stands beside its floor, the bare calls that nobody can leave out, measured in
the same minute and in turns: the ratio travels from machine to machine, the milliseconds do not.

Estimates for a Raspberry Pi multiply this machine's CPU times by a factor that is given as a range and is
not measured: see `FACTORS`. On a Pi the same command measures, and says so.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import structlog

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/performance.md"
IMAGES = ROOT / "docs/images"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
FACTORS = {"Pi 4": (4.0, 8.0), "Pi 5": (1.8, 3.5)}
"""CPU time on the Pi's core over this machine's; assumed, see docs/performance.md."""
NETWORK_FACTORS = {"Pi 4": (12.0, 40.0), "Pi 5": (3.0, 8.0)}
"""The same for int8 networks: a Pi 4's core has no dot-product instructions, a Pi 5's has."""
NETWORKS = {"face, detect", "face, embed"}


@dataclass(frozen=True)
class Stage:
    """One stage of a passage.

    Attributes:
        name: what is done.
        ms: CPU milliseconds here.
        floor: what cannot be left out, in words.
        floor_ms: its CPU milliseconds, measured in turns with the stage.
        way: the stage lies between the frame and the relay for a code without a biometric.
    """

    name: str
    ms: float
    floor: str
    floor_ms: float
    way: bool = False

    @property
    def ratio(self) -> float:
        return self.ms / self.floor_ms


@dataclass(frozen=True)
class Peer:
    """Another program's time for the same work."""

    task: str
    who: str
    ms: float


def scan() -> tuple[list[Stage], list[Peer]]:
    from tests.bench import bench_scan as bench

    stages, peers = [], []
    for task, frames in (
        ("scan, nothing there", bench.empty_place()),
        ("scan, code found", bench.phone()),
    ):
        found = bench.measure(frames, rounds=80)
        cost, bare = found["scanner"].cpu, found["zxing-cpp"].cpu
        stages.append(Stage(task, cost, "zxing-cpp alone", bare, way="found" in task))
        peers += [Peer(task, "idgate", cost), Peer(task, "zxing-cpp alone", bare)]
        others = bench.in_turns(bench.slow(), frames, 10)
        peers += [Peer(task, who, spent.cpu) for who, spent in others.items()]
    return stages, peers


def verify() -> tuple[list[Stage], list[Peer]]:
    from tests.bench import bench_verify as bench

    stages = [
        Stage(
            f"verify, {name} code",
            whole * 1e3,
            "its signatures alone",
            bare * 1e3,
            way=name == "dynamic",
        )
        for name, (whole, bare) in bench.measure().items()
        if name in bench.LIMITS
    ]
    return stages, _cwt()


def _cwt() -> list[Peer]:
    """One COSE_Sign1 with ES256: python-cwt, and our reader with every claim judged."""
    from cwt import COSE, COSEKey

    from agent.credential import registry
    from agent.issue import new_issuer, present, sign_credential
    from tests.bench.bench_verify import NOW, Keys, _paired

    issuer = new_issuer("city")
    credential = sign_credential(
        issuer, None, subject="8f14e45fceea167a", issued_at=NOW - 60, valid_until=NOW + 60
    )
    text = present(credential).encode()
    rules = registry.ReadRules(now=NOW, clock_trusted=True, site="s", gate="g")
    source = Keys(issuer.issuer_key(iss=frozenset({issuer.iss})))
    key = COSEKey.from_pem(issuer.key.public_pem(), kid=issuer.kid)
    theirs = COSE.new(alg_auto_inclusion=False, kid_auto_inclusion=False)
    ours, other = _paired(
        lambda: registry.read(text, keys=source, rules=rules),
        lambda: theirs.decode(credential, key),
    )
    task = "one signed credential"
    return [
        Peer(task, "idgate: text to judged claims", ours * 1e3),
        Peer(task, "python-cwt: signature only", other * 1e3),
    ]


def machine() -> list[Stage]:
    from tests.bench import bench_gate as bench

    poll, reads = bench.poll_cost()
    passage, signature = bench.passage_cost()
    return [
        Stage("gate, one poll", poll * 1e3, "reading its pins", reads * 1e3, way=True),
        Stage("passage, all steps", passage * 1e3, "one P-256 verify", signature * 1e3, way=True),
    ]


def journal(folder: Path, rounds: int = 300) -> list[Stage]:
    """Wall time: the disk is the stage."""
    from agent.journal import Journal
    from tests.bench import bench_journal as bench

    data = bench.encode_data(bench.EVENT)
    uses: list[float] = []
    inserts: list[float] = []
    db = bench.bare(folder / "bare.sqlite")
    with Journal.open(folder / "journal.sqlite") as kept:
        for number in range(rounds):
            inserts.append(
                bench.time_us(lambda: db.execute("INSERT INTO event(data) VALUES(?)", (data,)))
            )
            key = b"%d" % number
            uses.append(bench.time_us(lambda key=key: kept.commit_use(key, 2**40, bench.EVENT)))
    db.close()
    whole, bare = (statistics.median(found) / 1e3 for found in (uses, inserts))
    return [Stage("journal, mark and decision", whole, "one synced SQLite insert", bare, way=True)]


def face() -> list[Stage]:
    from tests.bench import bench_face as bench

    runtime = "litert" if "litert" in bench.installed() else bench.installed()[0]
    found = bench.measure(runtime)
    names = ("detect", "align", "quality", "embed", "liveness")
    return [
        Stage(f"face, {name}", found[name], "the embedder's bare inference", found["bare"])
        for name in names
    ]


def whole() -> dict[str, float]:
    """Frame to relay edge, wall time, on the running daemon."""
    from tests.bench import bench_daemon

    return bench_daemon.measure_way()


def leaks(passages: int) -> dict[str, Any]:
    from tests.bench import bench_leaks

    return bench_leaks.measure(passages)


def words() -> str:
    """Return the machine in words."""
    model = platform.processor() or platform.machine()
    for path, key in (("/proc/device-tree/model", ""), ("/proc/cpuinfo", "model name")):
        try:
            text = Path(path).read_text(errors="replace").strip("\0\n ")
        except OSError:
            continue
        if not key:
            return f"{text}, Python {platform.python_version()}"
        model = next(
            (line.split(":", 1)[1].strip() for line in text.splitlines() if line.startswith(key)),
            model,
        )
    cores = os.cpu_count()
    return f"{model} ({platform.machine()}), {cores} cores, Python {platform.python_version()}"


# --- writing


def table(head: tuple[str, ...], rows: list[tuple[object, ...]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def ms(value: float) -> str:
    return f"{value:.3f}" if value < 1 else f"{value:.1f}"


def budget(stages: list[Stage]) -> str:
    """Return each stage here, over its floor, and as estimated on a Pi."""

    def estimated(value: float, factors: dict[str, tuple[float, float]] = FACTORS) -> list[str]:
        return [f"{ms(value * low)} to {ms(value * high)}" for low, high in factors.values()]

    rows: list[tuple[object, ...]] = []
    for stage in stages:
        disk = stage.name.startswith("journal")
        factors = NETWORK_FACTORS if stage.name in NETWORKS else FACTORS
        there = ["the card's"] * len(FACTORS) if disk else estimated(stage.ms, factors)
        rows.append((stage.name, ms(stage.ms), stage.floor, f"{stage.ratio:.2f}", *there))
    way = [each for each in stages if each.way and not each.name.startswith("journal")]
    total = sum(stage.ms for stage in way)
    rows.append(("*code to relay, without the disk*", ms(total), "", "", *estimated(total)))
    heads = ("stage", "here, ms", "floor", "ratio", *(f"{name}, ms, estimated" for name in FACTORS))
    return table(heads, rows)


def render(data: dict[str, Any], stages: list[Stage], peers: list[Peer], images: str) -> str:
    """Return the report's text."""
    tasks = sorted({peer.task for peer in peers})
    rows = []
    for task in tasks:
        ours = next(p.ms for p in peers if p.task == task and p.who.startswith("idgate"))
        rows += [(task, p.who, ms(p.ms), f"{p.ms / ours:.2f}") for p in peers if p.task == task]
    way, memory = data["way"], data["memory"]
    parts = [
        f"Measured on: {data['machine']}.\n",
        budget(stages),
        f"![Stages and their floors]({images}performance-stages.png)\n",
        (
            "Whole way on the running daemon, simulated camera and pins: from the frame in hand to "
            f"the relay's edge {way['way_ms']:.1f} ms wall time (median), {way['ratio']:.2f} times "
            "the sum of decoding, verifying and committing inside.\n"
        ),
        "The same work by others, in the same run:\n",
        table(("task", "who", "CPU ms", "to idgate"), rows),
        f"![Peers]({images}performance-peers.png)\n",
        (
            f"Over {memory['passages']:,} passages: {memory['mib_per_100000']:.2f} MiB of growth "
            f"per 100,000, {memory['files']:+d} open files, {memory['threads']:+d} threads.\n"
        ),
        f"![Memory over passages]({images}performance-memory.png)\n",
    ]
    return "\n".join(parts)


def plot(
    folder: Path, stages: list[Stage], peers: list[Peer], curve: list[tuple[int, float]]
) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 0.42 * len(stages) + 1.2), layout="constrained")
    names = [stage.name for stage in reversed(stages)]
    rows = range(len(stages))
    axes.barh([r + 0.2 for r in rows], [s.ms for s in reversed(stages)], 0.4, label="idgate")
    axes.barh([r - 0.2 for r in rows], [s.floor_ms for s in reversed(stages)], 0.4, label="floor",
              color="#b8c2cc")  # fmt: skip
    axes.set_yticks(list(rows), names)
    axes.set_xscale("log")
    axes.set_xlabel("milliseconds on this machine")
    axes.legend()
    _save(plt, figure, folder / "performance-stages.png")

    figure, axes = plt.subplots(figsize=(8, 0.4 * len(peers) + 1.0), layout="constrained")
    colours = ["#1f6feb" if p.who.startswith("idgate") else "#b8c2cc" for p in reversed(peers)]
    labels = [f"{peer.task}: {peer.who}" for peer in reversed(peers)]
    axes.barh(labels, [peer.ms for peer in reversed(peers)], color=colours)
    axes.set_xscale("log")
    axes.set_xlabel("CPU milliseconds on this machine")
    _save(plt, figure, folder / "performance-peers.png")

    figure, axes = plt.subplots(figsize=(8, 3), layout="constrained")
    axes.plot([x for x, _ in curve], [y for _, y in curve])
    axes.set_ylim(0, 1.2 * max(y for _, y in curve))
    axes.set_xlabel("passages")
    axes.set_ylabel("resident memory, MiB")
    _save(plt, figure, folder / "performance-memory.png")


def _save(plt: Any, figure: Any, path: Path) -> None:
    figure.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(figure)


def gather(
    passages: int, say: Callable[[str], None]
) -> tuple[dict[str, Any], list[Stage], list[Peer]]:
    """Measure everything; memory first, while the process is small."""
    data: dict[str, Any] = {"machine": words(), "at": int(time.time())}
    say(f"memory over {passages} passages")
    data["memory"] = leaks(passages)
    say("scan")
    stages, peers = scan()
    say("verify")
    found, more = verify()
    stages, peers = stages + found, peers + more
    say("gate and passage")
    stages += machine()
    say("journal")
    with tempfile.TemporaryDirectory(dir=".") as name:  # a real disk; /tmp is often memory
        stages += journal(Path(name))
    say("face")
    stages += face()
    say("the whole way on a running daemon")
    data["way"] = whole()
    data["stages"] = [asdict(stage) | {"ratio": stage.ratio} for stage in stages]
    data["peers"] = [asdict(peer) for peer in peers]
    return data, stages, peers


def write(folder: Path, data: dict[str, Any], stages: list[Stage], peers: list[Peer]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.json").write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    text = "# Benchmarks\n\n" + render(data, stages, peers, "")
    (folder / "report.md").write_text(text, encoding="utf-8")
    plot(folder, stages, peers, data["memory"]["curve"])


def write_page(data: dict[str, Any], stages: list[Stage], peers: list[Peer]) -> None:
    """Put the tables and plots into docs/performance.md."""
    before, rest = PAGE.read_text("utf-8").split(BEGIN)
    _, after = rest.split(END)
    text = render(data, stages, peers, "images/")
    PAGE.write_text(f"{before}{BEGIN}\n\n{text}\n{END}{after}", encoding="utf-8")
    plot(IMAGES, stages, peers, data["memory"]["curve"])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--report", type=Path, required=True, metavar="DIRECTORY")
    parser.add_argument("--page", action="store_true", help="write docs/performance.md again")
    parser.add_argument("--passages", type=int, default=20_000, help="for the memory's growth")
    arguments = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    logging.disable(logging.CRITICAL)
    data, stages, peers = gather(
        arguments.passages, lambda text: print(f"bench: {text}", file=sys.stderr, flush=True)
    )
    write(arguments.report, data, stages, peers)
    if arguments.page:
        write_page(data, stages, peers)
    print(arguments.report / "report.md")
    return 0


if __name__ == "__main__":
    sys.exit(main())
