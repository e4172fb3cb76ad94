"""Mutation testing of the cores: is there a test for every line that decides something?

    python -m tests.mutation.mutate [--sample N] [--seed S] [--survivors] [CORE or FILE ...]

mutmut changes the code of each core of cores.toml in thousands of small ways; a change that no test
and not mypy notices is a survivor. Exit 0 where each core has the share killed that cores.toml asks
for and each survivor is named in equivalent/, 1 where not, 2 for a call that cannot be served.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from tests.mutation import cores, verdict, workshop
from tests.mutation.cores import ROOT, BadSettings, Equivalent
from tests.mutation.mutants import Mutant
from tests.mutation.verdict import Fate, Row
from tests.mutation.workshop import CAUGHT_BY_TYPE, SKIPPED, Failed, Workshop

PLACE = ROOT / ".mutation"
HERE = Path(__file__).parent
Name = tuple[str | int, ...]


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="setup.sh mutate", description="Mutation testing.")
    made.add_argument("modules", nargs="*", metavar="MODULE", help="a core, or a file of one")
    made.add_argument("--sample", type=_positive, metavar="N", help="N mutants drawn by lot")
    made.add_argument("--seed", type=int, help="of the lot; else the commit's")
    made.add_argument(
        "--survivors",
        action="store_true",
        help="leave out what the last run killed: quick while tests are written, no proof",
    )
    made.add_argument("--children", type=_positive, default=os.cpu_count() or 1, metavar="N")
    return made


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


def main(words: Sequence[str] | None = None) -> int:
    asked = parser().parse_args(words)
    try:
        settings = cores.load()
        picked = cores.chosen(settings, asked.modules)
        entries = cores.equivalents(HERE / "equivalent", settings.cores)
    except BadSettings as error:
        print(f"mutate: {error}", file=sys.stderr)
        return 2
    # What --survivors needs of a whole run outlives a sample.
    place = PLACE / "sample" if asked.sample else PLACE
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # mutmut ends with us
    shops = [
        [
            Workshop(core, part, ROOT, place / core.name / part.name, asked.children)
            for part in core.parts
        ]
        for core in picked
    ]
    try:
        if asked.sample:
            seed = asked.seed if asked.seed is not None else commit_seed(ROOT)
            rows = sample(shops, entries, asked.sample, seed)
        else:
            rows = [run(parts, entries, again=asked.survivors) for parts in shops]
    except Failed as error:
        print(f"mutate: {error}", file=sys.stderr)
        return 1
    print()
    print(verdict.table(rows))
    return verdict.exit_code(rows, None if asked.sample else settings.least_killed_percent)


def commit_seed(root: Path) -> int:
    """Return a number that a commit always has and another commit has not; 0 without git."""
    try:
        done = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        return 0
    return int(done.stdout[:8], 16) if done.returncode == 0 else 0


def run(parts: Sequence[Workshop], entries: Sequence[Equivalent], *, again: bool) -> Row:
    """Judge a whole core, or all of it that the last run did not kill."""
    began = time.monotonic()
    core = parts[0].core
    place = PLACE / core.name
    dead = known_dead(place / "results.json") if again else {}
    fates: list[tuple[Mutant, Fate]] = []
    for shop in parts:
        mutants = prepared(shop)
        shop.mark({m.key: dead[_name(m)] for m in mutants if _name(m) in dead})
        try:
            shop.test()
        except (KeyboardInterrupt, SystemExit):
            fates += outcome(shop, mutants)
            keep(place, fates, verdict.judge(core.name, fates, entries, whole=False))
            raise
        fates += outcome(shop, mutants)
        row = verdict.judge(core.name, fates, entries, whole=core.whole and shop is parts[-1])
        keep(place, fates, row)
    row.seconds = time.monotonic() - began
    tell(row)
    return row


def prepared(shop: Workshop) -> list[Mutant]:
    """Write all mutants, and mark those that need no test."""
    mutants = written(shop)
    messages = {mutant.key for mutant in mutants if mutant.message}
    shop.mark(dict.fromkeys(messages, SKIPPED))
    refuse(shop)
    say(f"{shop.name}: {len(mutants)} mutants, {len(messages)} of them in messages, left out")
    return mutants


def written(shop: Workshop) -> list[Mutant]:
    say(f"{shop.name}: writing mutants")
    shop.lay_out()
    return shop.generate()


def refuse(shop: Workshop) -> None:
    """Mark what mypy refuses, unless it is marked already."""
    refused = shop.refused_by_mypy()
    open_ = {key for key, code in shop.codes().items() if code is None}
    shop.mark({key: CAUGHT_BY_TYPE for key in refused if key in open_})


def sample(
    cores_: Sequence[Sequence[Workshop]], entries: Sequence[Equivalent], size: int, seed: int
) -> list[Row]:
    """Judge mutants drawn from all cores together; the same for the same seed and sources."""
    say(f"a sample of {size} with seed {seed}")
    shops = [replace(shop, children=1) for parts in cores_ for shop in parts]
    with at_once(cores_[0][0].children) as pool:
        lots = pool.map(written, shops)
        lot = [
            (shop, mutant) for shop, mutants in zip(shops, lots, strict=True) for mutant in mutants
        ]
        drawn = draw(lot, size, seed)
        own = {shop: [mutant for home, mutant in drawn if home == shop] for shop in shops}
        took = dict(zip(shops, pool.map(tried, shops, own.values()), strict=True))
    rows = []
    for parts in cores_:
        mine = [took[shop] for shop in shops if shop.core == parts[0].core]
        fates = [pair for found, _ in mine for pair in found]
        if fates:
            row = verdict.judge(parts[0].core.name, fates, entries, whole=False)
            row.seconds = sum(seconds for _, seconds in mine)
            tell(row)
            rows.append(row)
    return rows


@contextmanager
def at_once(number: int) -> Iterator[ThreadPoolExecutor]:
    """Lend threads; leave no process of theirs behind."""
    pool = ThreadPoolExecutor(number)
    try:
        yield pool
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        workshop.end_all()
        raise
    finally:
        pool.shutdown()


def draw(
    lot: Sequence[tuple[Workshop, Mutant]], size: int, seed: int
) -> list[tuple[Workshop, Mutant]]:
    """Draw among what is judged at all."""
    judged = [pair for pair in lot if not pair[1].message]
    return random.Random(seed).sample(judged, min(size, len(judged)))


def tried(shop: Workshop, mutants: Sequence[Mutant]) -> tuple[list[tuple[Mutant, Fate]], float]:
    """Judge a few mutants of a part; return the seconds too."""
    began = time.monotonic()
    if not mutants:
        return [], 0.0
    shop.prune(mutants)
    refuse(shop)
    left = [key for key, code in shop.codes().items() if code is None]
    say(f"{shop.name}: {len(mutants)} drawn, {len(mutants) - len(left)} refused by mypy")
    if left:
        shop.test(left)
    return outcome(shop, mutants), time.monotonic() - began


def outcome(shop: Workshop, mutants: Sequence[Mutant]) -> list[tuple[Mutant, Fate]]:
    codes = shop.codes()
    return [(mutant, verdict.fate(mutant, codes)) for mutant in mutants]


def keep(place: Path, fates: Sequence[tuple[Mutant, Fate]], row: Row) -> None:
    """Leave what --survivors and people need."""
    results = [[*_name(mutant), became.value] for mutant, became in fates]
    (place / "results.json").write_text(json.dumps(results))
    for name, form in (("survivors.txt", verdict.as_diff), ("survivors.toml", verdict.as_entry)):
        blocks = [form(mutant, became) + "\n" for mutant, became in row.unnamed]
        (place / name).write_text("\n".join(blocks))


def known_dead(path: Path) -> dict[Name, int]:
    """Return mutmut's code for each mutant that tests killed in the last run."""
    try:
        results = json.loads(path.read_text("utf-8"))
    except OSError:
        return {}
    codes = {Fate.KILLED: 1, Fate.TIMEOUT: 36}
    return {tuple(name): codes[became] for *name, became in results if became in codes}


def _name(mutant: Mutant) -> Name:
    change = mutant.change
    return (mutant.file, change.function, change.before, change.after, mutant.twin)


def tell(row: Row) -> None:
    for mutant, became in row.unnamed:
        print(f"\n{verdict.as_diff(mutant, became)}", flush=True)
    for entry in row.stale:
        change = entry.change
        print(f"\nstale in equivalent/{change.core}.toml: {change.function}: no such survivor")
        print("".join(f"  - {line}\n" for line in change.before.splitlines()), end="")
        print("".join(f"  + {line}\n" for line in change.after.splitlines()), end="", flush=True)


def say(text: str) -> None:
    print(f"mutate: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
