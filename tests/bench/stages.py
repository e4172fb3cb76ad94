"""Measures the stages of a passage and some peers with the bench modules' own functions; see `report`."""

from __future__ import annotations

import os
import platform
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BAUD = 57_600
MODULE_MS = {"image_ms": 200, "features_ms": 500, "match_ms": 10}
"""At most, each, as the data sheet of the R503 says; nothing of it is measured here."""


@dataclass(frozen=True)
class Stage:
    """One stage of a passage.

    Attributes:
        name: what is done.
        ms: CPU milliseconds here.
        floor: what cannot be left out, in words; "" for a stage that is all our own.
        floor_ms: its CPU milliseconds, measured in turns with the stage.
        way: the stage lies between the frame and the relay for a code without a biometric.
    """

    name: str
    ms: float
    floor: str = ""
    floor_ms: float = 0.0
    way: bool = False

    @property
    def ratio(self) -> float | None:
        return self.ms / self.floor_ms if self.floor else None


@dataclass(frozen=True)
class Peer:
    """Another program's time for the same work."""

    task: str
    who: str
    ms: float


@dataclass(frozen=True)
class Absent:
    """A peer that could not be measured, and why."""

    who: str
    why: str


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
    from agent.issuing.issue import new_issuer, present, sign_credential
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
        Stage(
            "passage, all steps",
            passage * 1e3,
            "as a yardstick: one P-256 verify",
            signature * 1e3,
            way=True,
        ),
    ]


def journal(folder: Path, rounds: int = 300) -> list[Stage]:
    """Wall time: the disk is the stage."""
    from agent.journal.journal import Journal
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
    bare = {"detect": found["bare detect"], "embed": found["bare"]}
    return [
        Stage(f"face, {name}", found[name], "its bare networks", bare[name])
        if name in bare
        else Stage(f"face, {name}", found[name])
        for name in ("detect", "align", "quality", "embed", "liveness")
    ]


def finger() -> tuple[list[Stage], dict[str, float]]:
    """A touch through the real driver: its CPU; and what line and module would take, by their data sheets."""
    from tests.bench import bench_finger as bench

    ours, bare, count = bench.touch_cpu()
    stages = [Stage("finger, one check", ours * 1e3, "the bare exchange of its bytes", bare * 1e3)]
    return stages, {"bytes": count, "baud": BAUD, "line_ms": 1e4 * count / BAUD, **MODULE_MS}


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
