"""Measures every stage with the bench modules' own functions; writes tables, plots and numbers.

    ./setup.sh bench --report DIRECTORY [--page] [--passages N] [--peers] [--callgrind] [--arm64]

DIRECTORY gets report.md, report.json and PNG plots; with --page the tables of docs/performance.md and its plots
are written again. Each number stands beside its floor, the bare calls that nobody can leave out, measured in
the same minute and in turns: the ratio travels from machine to machine, the milliseconds do not. With --peers
other people's programs are installed beside (`peers`), with --callgrind instructions are counted and with --arm64 those
of a Pi's core (`instructions`); what was left out is said in the report.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import structlog

from tests.bench import arm, instructions, peers, render, stages
from tests.bench.callgrind import CountError
from tests.bench.stages import Absent, Peer, Stage

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/performance.md"
IMAGES = ROOT / "docs/images"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


@dataclass
class Found:
    """Everything that a run measured."""

    data: dict[str, Any]
    stages: list[Stage] = field(default_factory=list)
    peers: list[Peer] = field(default_factory=list)
    absent: list[Absent] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)
    """What was asked for and could not be counted, and why."""

    def add(self, found: list[Stage], more: list[Peer] | None = None) -> None:
        self.stages += found
        self.peers += more or []

    def as_json(self) -> dict[str, Any]:
        return self.data | {
            "stages": [asdict(stage) | {"ratio": stage.ratio} for stage in self.stages],
            "peers": [asdict(peer) for peer in self.peers],
            "absent": [asdict(each) for each in self.absent],
        }


def gather(passages: int, say: Callable[[str], None], *, ways: list[str]) -> Found:
    """Measure everything; memory first, while the process is small.

    Args:
        passages: for the memory's growth.
        say: told what is being measured.
        ways: how instructions are counted besides: `callgrind`, `arm64`.
    """
    found = Found({"machine": stages.words(), "at": int(time.time())})
    say(f"memory over {passages} passages")
    found.data["memory"] = stages.leaks(passages)
    say("scan")
    found.add(*stages.scan())
    say("verify")
    found.add(*stages.verify())
    say("gate and passage")
    found.add(stages.machine())
    say("journal")
    with tempfile.TemporaryDirectory(dir=".") as name:  # a real disk; /tmp is often memory
        found.add(stages.journal(Path(name)))
    say("face")
    found.add(stages.face())
    say("finger")
    touch, found.data["finger"] = stages.finger()
    found.add(touch)
    say("peers")
    more, found.absent = peers.measure()
    found.add([], more)
    say("the whole way on a running daemon")
    found.data["way"] = stages.whole()
    for way, name in (("callgrind", "instructions"), ("arm64", "arm64")):
        found.data[name] = None
        try:
            if way in ways:
                found.data[name] = instructions.summary(way, 1, say)
        except CountError as error:
            found.missed.append(f"{way}: {error}")
    return found


def write(folder: Path, found: Found) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.json").write_text(json.dumps(found.as_json(), indent=1) + "\n", "utf-8")
    text = "# Benchmarks\n\n" + render.report(
        found.data, found.stages, found.peers, found.absent, ""
    )
    (folder / "report.md").write_text(text, encoding="utf-8")
    render.plot(folder, found.stages, found.peers, found.data["memory"]["curve"])


def write_page(found: Found) -> None:
    """Put the tables and plots into docs/performance.md."""
    before, rest = PAGE.read_text("utf-8").split(BEGIN)
    _, after = rest.split(END)
    text = render.report(found.data, found.stages, found.peers, found.absent, "images/")
    PAGE.write_text(f"{before}{BEGIN}\n\n{text}\n{END}{after}", encoding="utf-8")
    render.plot(IMAGES, found.stages, found.peers, found.data["memory"]["curve"])


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="setup.sh bench", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--report", type=Path, required=True, metavar="DIRECTORY")
    parser.add_argument("--page", action="store_true", help="write docs/performance.md again")
    parser.add_argument("--passages", type=int, default=20_000, help="for the memory's growth")
    parser.add_argument(
        "--peers", action="store_true", help="install peers beside, and measure them"
    )
    parser.add_argument("--callgrind", action="store_true", help="count instructions too; minutes")
    parser.add_argument("--arm64", action="store_true", help="count a Pi's instructions too")
    arguments = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    logging.disable(logging.CRITICAL)

    def say(text: str) -> None:
        print(f"bench: {text}", file=sys.stderr, flush=True)

    if arguments.peers:
        peers.install(say)
    ways = [way for way in instructions.COUNTERS if getattr(arguments, way)]
    try:
        if arguments.arm64:
            arm.tree()  # minutes would pass before it is missed
    except CountError as error:
        say(str(error))
        return 2
    found = gather(arguments.passages, say, ways=ways)
    write(arguments.report, found)
    print(arguments.report / "report.md")
    if found.missed:
        say("\n".join(found.missed) + ("\nthe page is left as it was" if arguments.page else ""))
        return 1
    if arguments.page:
        write_page(found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
