"""Which code is mutated, which tests judge it, and which survivors are known to be equivalent."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


class BadSettings(Exception):
    """What is asked for, or a file that says it, cannot be used."""


@dataclass(frozen=True, slots=True)
class Part:
    """Files of a core that the same tests judge; paths are relative to the root of the checkout."""

    name: str
    sources: tuple[str, ...]
    tests: tuple[str, ...]
    skip: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Core:
    """One row of the table.

    whole: false where only some of its files are asked for.
    """

    name: str
    parts: tuple[Part, ...]
    messages: tuple[str, ...] = ()
    whole: bool = True

    @property
    def sources(self) -> tuple[str, ...]:
        """All its files."""
        return tuple(source for part in self.parts for source in part.sources)


@dataclass(frozen=True, slots=True)
class Settings:
    """What cores.toml says."""

    least_killed_percent: float
    cores: Mapping[str, Core]


@dataclass(frozen=True, slots=True)
class Change:
    """A mutant's name for people: it stays while other lines of the file move."""

    core: str
    function: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Equivalent:
    """An entry of equivalent/CORE.toml."""

    change: Change
    why: str
    times: int = field(default=1)


def load(path: Path = HERE / "cores.toml", root: Path = ROOT) -> Settings:
    """Read the cores; BadSettings where a name in it matches no file."""
    table = _toml(path)
    cores = {}
    for name, said in table["core"].items():
        _known(path, name, said, {"sources", "tests", "skip", "messages", "part"})
        parts = said.get("part") or {"": said}
        made = tuple(_part(path, root, key, value) for key, value in parts.items())
        core = cores[name] = Core(name, made, tuple(said.get("messages", ())))
        if len(set(core.sources)) < len(core.sources):
            raise BadSettings(f"{path}: {name}: a file in two parts")
    return Settings(float(table["least_killed_percent"]), cores)


def _part(path: Path, root: Path, name: str, said: Mapping[str, Any]) -> Part:
    if name:
        _known(path, name, said, {"sources", "tests", "skip"})
    files = tuple(dict.fromkeys(_found(path, root, said["sources"])))
    tuple(_found(path, root, said["tests"]))  # told here, rather than by pytest much later
    return Part(name, files, tuple(said["tests"]), tuple(said.get("skip", ())))


def _known(path: Path, name: str, said: Mapping[str, Any], keys: set[str]) -> None:
    if unknown := set(said) - keys:
        raise BadSettings(f"{path}: {name}: unknown {', '.join(sorted(unknown))}")


def _found(path: Path, root: Path, patterns: Sequence[str]) -> Iterator[str]:
    for pattern in patterns:
        files = sorted(root.glob(pattern))
        if not files:
            raise BadSettings(f"{path}: no file {pattern}")
        yield from (str(file.relative_to(root)) for file in files)


def chosen(settings: Settings, words: Sequence[str]) -> list[Core]:
    """Return the cores that are named, all without a name; a file stands for itself alone."""
    if not words:
        return list(settings.cores.values())
    files: dict[str, list[str]] = {}
    for word in words:
        if word in settings.cores:
            files.setdefault(word, []).extend(settings.cores[word].sources)
            continue
        home = next((core for core in settings.cores.values() if word in core.sources), None)
        if home is None:
            raise BadSettings(f"no core or file of one: {word}; cores: {', '.join(settings.cores)}")
        files.setdefault(home.name, []).append(word)
    picked = []
    for core in settings.cores.values():
        wanted = set(files.get(core.name, ()))
        parts = tuple(
            replace(part, sources=tuple(file for file in part.sources if file in wanted))
            for part in core.parts
            if wanted.intersection(part.sources)
        )
        if parts:
            picked.append(replace(core, parts=parts, whole=parts == core.parts))
    return picked


def equivalents(folder: Path, cores: Mapping[str, Core]) -> list[Equivalent]:
    """Read a file a core; BadSettings where an entry has no reason or stands twice."""
    found: dict[Change, Equivalent] = {}
    for path in sorted(folder.glob("*.toml")):
        for core, entries in _toml(path).items():
            if core not in cores or core != path.stem:
                raise BadSettings(f"{path}: no core {core}")
            for said in entries:
                entry = _equivalent(path, core, said)
                if entry.change in found:
                    raise BadSettings(f"{path}: {entry.change.function}: the same entry twice")
                found[entry.change] = entry
    return list(found.values())


def _equivalent(path: Path, core: str, said: Mapping[str, Any]) -> Equivalent:
    where = f"{path}: {core}: {said.get('function')}"
    wrong = set(said) ^ {"function", "before", "after", "why"} - {"times"}
    if wrong - {"times"}:
        raise BadSettings(f"{where}: missing or unknown: {', '.join(sorted(wrong - {'times'}))}")
    if not said["why"].strip():
        raise BadSettings(f"{where}: says no reason")
    change = Change(core, said["function"], plain(said["before"]), plain(said["after"]))
    return Equivalent(change, said["why"], said.get("times", 1))


def plain(text: str) -> str:
    """Lines of code alone: no indentation, no empty lines, no lines that only comment."""
    lines = (line.strip() for line in text.splitlines())
    return "\n".join(line for line in lines if line and not line.startswith("#"))


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise BadSettings(f"{path}: {error}") from None
