"""Reads callgrind's output files and holds counts against a reference. Pure.

Rules:
- A file's own costs are summed by object (`ob=`); what follows `calls=` is the callee's, counted where it
  stands, and is left out here.
- An instruction count means something beside another of the same interpreter, libraries, processor family and
  valgrind only: `differences` says which of them differ, and then a change is shown and not judged.

Format: "Callgrind Format Specification" of the Valgrind manual.
"""

from __future__ import annotations

import re
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

LIMIT = 0.05
"""How much more than the reference a work may count, where all else is the same."""

_NAMED = re.compile(r"c?ob=\((\d+)\)(?: (.*))?$")
_LIBRARIES = (
    (re.compile(r"^(python3|libpython)"), "CPython"),
    (re.compile(r"^_rust\."), "cryptography with its OpenSSL"),
    (re.compile(r"^(libcrypto|libssl|_hashlib)"), "OpenSSL of the system"),
    (re.compile(r"^zxingcpp"), "zxing-cpp"),
    (re.compile(r"^libzbar"), "zbar"),
    (re.compile(r"^(libsqlite3|_sqlite3)"), "SQLite"),
    (re.compile(r"^(cv2|libopencv)"), "OpenCV"),
    (re.compile(r"^(_multiarray|_umath|numpy)"), "NumPy"),
    (re.compile(r"^(libc|libm|ld-linux[^.]*|libpthread|libstdc\+\+|libgcc_s)[.-]"), "C library"),
    (re.compile(r"^libz\."), "zlib"),
    (re.compile(r"^\?+$"), "unknown"),
)


class CountError(RuntimeError):
    """Instructions cannot be counted; the message says what is missing."""


class FormatError(ValueError):
    """A file is not what callgrind writes."""


@dataclass(frozen=True)
class Counts:
    """Instructions of one work.

    Attributes:
        ir: of one repeat.
        floor: of the bare calls inside; 0 where there is none.
        shares: parts of `ir` by library, largest first.
    """

    ir: float
    floor: float = 0.0
    shares: Mapping[str, float] = field(default_factory=dict)

    @property
    def ratio(self) -> float | None:
        return self.ir / self.floor if self.floor else None


def library(path: str) -> str:
    """Return what an object file is to a reader."""
    folder, _, name = path.rpartition("/")
    if folder.endswith("/msgspec"):
        return "msgspec"
    for pattern, known in _LIBRARIES:
        if pattern.search(name):
            return known
    return name.split(".", 1)[0] or "unknown"


def by_library(text: str) -> Counter[str]:
    """Return the instructions of one output file by library.

    Raises:
        FormatError: it counts something else than instructions, or its sum does not agree.
    """
    names: dict[str, str] = {}
    found: Counter[str] = Counter()
    current, inclusive, said = "unknown", False, -1
    for line in text.splitlines():
        named = _NAMED.match(line)
        if named:
            number, name = named.groups()
            if name is not None:
                names[number] = library(name)
            if line.startswith("ob="):
                current = names[number]
        elif line.startswith("calls="):
            inclusive = True
        elif line.startswith("events:") and line.split()[1:] != ["Ir"]:
            raise FormatError(f"counts {line}")
        elif line.startswith("summary:"):
            said = int(line.split()[1])
        elif line[:1] in "0123456789+-*" and line:
            if not inclusive:
                found[current] += int(line.split()[1]) if " " in line else 0
            inclusive = False
    if not found or sum(found.values()) != said:
        raise FormatError(f"the parts sum to {sum(found.values())}, the file says {said}")
    return found


def gather(parts: Iterable[tuple[str, str]]) -> dict[str, Counts]:
    """Return the counts of each work.

    Args:
        parts: label and output file of each part, as `tests.bench.counted` makes them.
    """
    return middle((label, by_library(text)) for label, text in parts if label != "-")


def middle(parts: Iterable[tuple[str, Mapping[str, int]]]) -> dict[str, Counts]:
    """Return the counts of each work: the median of its rounds, for a list that grows is copied in one of them.

    Args:
        parts: label and instructions by library of each round.
    """
    rounds: dict[str, dict[str, list[float]]] = {}
    sums: dict[str, Counter[str]] = {}
    for label, found in parts:
        name, kind, repeats = label.split("\t")
        times = rounds.setdefault(name, {}).setdefault(kind, [])
        times.append(sum(found.values()) / int(repeats))
        if kind == "work":
            sums.setdefault(name, Counter()).update(found)
    return {
        name: Counts(
            statistics.median(kinds["work"]),
            statistics.median(kinds.get("floor", [0.0])),
            {lib: part / sums[name].total() for lib, part in sums[name].most_common()},
        )
        for name, kinds in rounds.items()
    }


def spread(runs: list[dict[str, Counts]]) -> dict[str, float]:
    """Return for each work how far its runs lie apart, as a part of the first."""
    return {
        name: (max(run[name].ir for run in runs) - min(run[name].ir for run in runs)) / first.ir
        for name, first in runs[0].items()
    }


def differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Return in words what two environments do not share."""
    return [
        f"{name}: {one.get(name, 'absent')}, reference {other.get(name, 'absent')}"
        for name in sorted({*one, *other})
        if one.get(name) != other.get(name)
    ]


def changes(now: Mapping[str, float], reference: Mapping[str, float]) -> dict[str, float | None]:
    """Return by what part each work moved; None for one that the reference does not know."""
    return {
        name: ir / reference[name] - 1 if name in reference else None for name, ir in now.items()
    }


def grown(moved: Mapping[str, float | None], limit: float = LIMIT) -> list[str]:
    """Return the works that count over `limit` more than the reference."""
    return [name for name, change in moved.items() if change is not None and change > limit]
