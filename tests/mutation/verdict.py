"""Judges what became of the mutants: the rates, the survivors, and the entries for equivalents."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from tests.mutation.cores import Change, Equivalent
from tests.mutation.mutants import Mutant


class Fate(StrEnum):
    """What became of a mutant."""

    KILLED = "killed"
    TYPE = "refused by mypy"
    TIMEOUT = "timeout"
    SURVIVED = "survived"
    UNTESTED = "no test reaches it"
    UNCLEAR = "unclear"
    LEFT_OUT = "left out"
    NOT_RUN = "not run"


_DEAD = frozenset({Fate.KILLED, Fate.TYPE, Fate.TIMEOUT})
_ALIVE = frozenset({Fate.SURVIVED, Fate.UNTESTED, Fate.UNCLEAR})
# pytest's and mutmut's. 3 is an error inside pytest, which mutmut takes for a kill. 255, which
# mutmut calls a timeout, is pytest that could not be started: nobody may be called dead for that.
_FATES = {
    0: Fate.SURVIVED,
    1: Fate.KILLED,
    3: Fate.KILLED,
    5: Fate.UNTESTED,
    33: Fate.UNTESTED,
    34: Fate.NOT_RUN,
    36: Fate.TIMEOUT,
    37: Fate.TYPE,
    -24: Fate.TIMEOUT,
    24: Fate.TIMEOUT,
    152: Fate.TIMEOUT,
}


def fate(mutant: Mutant, codes: Mapping[str, int | None]) -> Fate:
    """Return what mutmut's exit code says; UNCLEAR for what it does not explain."""
    if mutant.message:
        return Fate.LEFT_OUT
    code = codes[mutant.key]
    return Fate.NOT_RUN if code is None else _FATES.get(code, Fate.UNCLEAR)


@dataclass(slots=True)
class Row:
    """One core, or a sample's part of it."""

    core: str
    counts: Counter[Fate] = field(default_factory=Counter)
    equivalent: int = 0
    unnamed: list[tuple[Mutant, Fate]] = field(default_factory=list)
    stale: list[Equivalent] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def mutants(self) -> int:
        """How many were judged."""
        return sum(self.counts[which] for which in _DEAD | _ALIVE)

    @property
    def killed(self) -> int:
        return sum(self.counts[which] for which in _DEAD)

    @property
    def percent(self) -> float:
        return 100.0 * self.killed / self.mutants if self.mutants else 100.0


def judge(
    core: str,
    fates: Sequence[tuple[Mutant, Fate]],
    entries: Iterable[Equivalent],
    *,
    whole: bool,
) -> Row:
    """Count, and set survivors against the entries.

    whole: every mutant of the core was judged; else an entry is stale only where its mutant was
        judged and killed.
    """
    row = Row(core)
    alive: dict[Change, list[tuple[Mutant, Fate]]] = defaultdict(list)
    dead: set[Change] = set()
    for mutant, became in fates:
        row.counts[became] += 1
        if became in _ALIVE:
            alive[mutant.change].append((mutant, became))
        elif became in _DEAD:
            dead.add(mutant.change)
    named = {entry.change: entry for entry in entries if entry.change.core == core}
    for change, found in alive.items():
        entry = named.get(change)
        row.equivalent += min(len(found), entry.times) if entry else 0
        row.unnamed.extend(found[entry.times if entry else 0 :])
    for change, entry in named.items():
        missing = len(alive.get(change, ())) < entry.times
        if missing and (whole or (change in dead and change not in alive)):
            row.stale.append(entry)
    row.unnamed.sort(key=lambda pair: (pair[0].file, pair[0].line))
    return row


def exit_code(rows: Iterable[Row], least_percent: float | None) -> int:
    """Return 0 where all is as it should be; a sample has no rate to keep (least_percent None)."""
    for row in rows:
        if row.unnamed or row.stale:
            return 1
        if least_percent is not None and row.percent < least_percent:
            return 1
    return 0


_HEAD = ("core", "mutants", "killed", "by mypy", "timeouts", "equivalent", "unnamed", "left out")


def table(rows: Sequence[Row]) -> str:
    """Return the rows and their sum."""
    total = Row("all")
    cells: list[tuple[str, ...]] = [(*_HEAD, "killed %", "minutes")]
    for row in [*rows, total]:
        if row is not total:
            total.counts += row.counts
            total.equivalent += row.equivalent
            total.unnamed += row.unnamed
            total.seconds += row.seconds
        elif len(rows) == 1:
            break
        numbers = (
            row.mutants, row.killed, row.counts[Fate.TYPE], row.counts[Fate.TIMEOUT],
            row.equivalent, len(row.unnamed), row.counts[Fate.LEFT_OUT],
        )  # fmt: skip
        cells.append(
            (row.core, *map(str, numbers), f"{row.percent:.1f}", f"{row.seconds / 60:.1f}")
        )
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if at else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in cells
    )


def as_diff(mutant: Mutant, became: Fate) -> str:
    """Return a mutant for people."""
    change = mutant.change
    lines = [f"{mutant.file}:{mutant.line} {change.function} ({became})"]
    lines += [f"  - {line}" for line in change.before.splitlines()]
    lines += [f"  + {line}" for line in change.after.splitlines()]
    return "\n".join(lines)


def as_entry(mutant: Mutant, became: Fate) -> str:
    """Return a mutant as equivalent/CORE.toml would name it, less the reason."""
    change = mutant.change
    rows = [f"# {mutant.file}:{mutant.line}, {became}", f"[[{change.core}]]"]
    rows += [f'function = "{change.function}"']
    rows += [f"{name} = {_quoted(getattr(change, name))}" for name in ("before", "after")]
    return "\n".join([*rows, 'why = ""', ""])


def _quoted(text: str) -> str:
    """Write TOML's literal string, which needs no escapes; none of our lines holds three quotes."""
    return f"'{text}'" if "'" not in text and "\n" not in text else f"'''\n{text}'''"
