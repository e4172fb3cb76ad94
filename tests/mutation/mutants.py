"""Reads the files that mutmut makes: which mutants there are, and what each of them changes.

mutmut writes each function several times beside itself: a way in, `NAME__mutmut_orig`, and
`NAME__mutmut_1` and so on with one change each.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.mutation.cores import Change, Core, Part, plain

_MARK = "__mutmut_"
_BETWEEN = "ǁ"  # mutmut's, between class and method
_LOGS = {"_log", "log", "_logger", "logger"}
_LEVELS = {"debug", "info", "warning", "error", "critical", "exception"}
Function = ast.FunctionDef | ast.AsyncFunctionDef
Trail = tuple[tuple[ast.AST, str], ...]
"""From the function down to a place in it: each node, and the field that leads on."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """One mutant.

    key: mutmut's own name. twin: how many mutants of the same change stand before it in its file.
    line: in the source, of the first changed line.
    message: it changes nothing but the words of a message.
    """

    key: str
    file: str
    line: int
    change: Change
    twin: int
    message: bool


def read(core: Core, file: str, source: str, mutated: str) -> list[Mutant]:
    """Return the mutants in a file that mutmut made, in their order."""
    functions = dict(_functions(ast.parse(mutated)))
    lines = mutated.splitlines()
    starts = {name: node.lineno for name, node in _functions(ast.parse(source))}
    module = file.removesuffix(".py").replace("/", ".").removesuffix(".__init__")
    seen: dict[Change, int] = {}
    found = []
    for qualified, node in functions.items():
        base, mark, number = qualified.rpartition(_MARK)
        if not mark or number == "orig":
            continue
        name = base.rpartition(".")[2]
        original = functions[f"{base}{_MARK}orig"]
        function = name.removeprefix("x").removeprefix("_") if _BETWEEN not in name else name
        function = function.removeprefix(f"x{_BETWEEN}").replace(_BETWEEN, ".")
        own = function.rpartition(".")[2]
        old, new = _text(lines, original, own), _text(lines, node, own)
        at, before, after = differing(old, new)
        change = Change(core.name, function, plain("\n".join(before)), plain("\n".join(after)))
        seen[change] = seen.get(change, -1) + 1
        found.append(
            Mutant(
                key=f"{module}.{node.name}",
                file=file,
                line=starts[function] + at,
                change=change,
                twin=seen[change],
                message=in_message(original, node, core.messages),
            )
        )
    return found


def _functions(module: ast.Module) -> Iterator[tuple[str, Function]]:
    for node in module.body:
        if isinstance(node, Function):
            yield node.name, node
        elif isinstance(node, ast.ClassDef):
            yield from ((f"{node.name}.{f.name}", f) for f in node.body if isinstance(f, Function))


def _text(lines: Sequence[str], node: Function, name: str) -> list[str]:
    text = [line.strip() for line in lines[node.lineno - 1 : node.end_lineno]]
    return [text[0].replace(node.name, name, 1), *text[1:]]


def differing(old: Sequence[str], new: Sequence[str]) -> tuple[int, list[str], list[str]]:
    """Return where two texts part, and the lines of each up to where they meet again."""
    start = 0
    while start < min(len(old), len(new)) and old[start] == new[start]:
        start += 1
    end = 0
    while end < min(len(old), len(new)) - start and old[-1 - end] == new[-1 - end]:
        end += 1
    return start, list(old[start : len(old) - end]), list(new[start : len(new) - end])


def in_message(original: Function, mutated: Function, messages: Collection[str] = ()) -> bool:
    """Say whether only the words of a message differ; see cores.toml for what a message is."""
    found = list(_differences(original, mutated, ()))
    if len(found) != 1:
        return False
    trail, old, new = found[0]
    if not isinstance(old, str) or not isinstance(new, str):
        return False
    return _is_message(trail, messages)


def _is_message(trail: Trail, messages: Collection[str]) -> bool:
    (constant, _), *above = reversed(trail)
    if not isinstance(constant, ast.Constant):
        return False
    steps = iter(above)
    for node, field in steps:
        if isinstance(node, ast.Call):
            if field not in ("args", "keywords"):
                return False
            parent = next(steps, (None, ""))[0]
            return isinstance(parent, ast.Raise) or _takes_a_message(node, messages)
        part_of_the_text = (
            isinstance(node, ast.JoinedStr | ast.keyword)
            or (isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add))
            or (isinstance(node, ast.IfExp) and field != "test")
        )
        if not part_of_the_text:
            return False
    return False


def _takes_a_message(call: ast.Call, messages: Collection[str]) -> bool:
    match call.func:
        case ast.Name(id=name):
            return name in messages
        case ast.Attribute(value=ast.Name(id=name), attr=attribute) if name in _LOGS:
            return attribute in _LEVELS
        case ast.Attribute(attr=attribute):
            return attribute in messages
    return False


def _differences(old: object, new: object, trail: Trail) -> Iterator[tuple[Trail, object, object]]:
    if isinstance(old, ast.AST) and type(old) is type(new):
        for field in old._fields:
            if not trail and field == "name":  # mutmut's number
                continue
            below = (*trail, (old, field))
            yield from _differences(getattr(old, field), getattr(new, field), below)
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for one, other in zip(old, new, strict=True):
            yield from _differences(one, other, trail)
    elif old != new or isinstance(old, ast.AST | list):
        yield trail, old, new


def pruned(mutated: str, kept: Collection[str]) -> str:
    """Return a file that mutmut made with only some of its mutants, by their functions' names.

    A function without a mutant is as it was; one with a few is quicker to check.
    """
    kept = {*kept, *map(original_of, kept)}
    with_mutants = {name.rpartition(_MARK)[0] for name in kept}
    lines = mutated.splitlines(keepends=True)
    for _, node in _functions(ast.parse(mutated)):
        start = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
        if _MARK in node.name and node.name not in kept:
            for at in range(start - 1, node.end_lineno or node.lineno):
                lines[at] = ""
    return "".join(line for line in lines if _stays(line, kept, with_mutants))


_ENTRY = re.compile(
    r"\s*(@_mutmut_mutated\()?mutants_(?P<base>\w+?)__mutmut(\['(?P<name>\w+)'\]|\b)"
)


def _stays(line: str, kept: Collection[str], with_mutants: Collection[str]) -> bool:
    """Say whether a line that registers a function or a mutant is still wanted."""
    entry = _ENTRY.match(line)
    if entry is None:
        return True
    name = entry["name"] or "_mutmut_orig"
    return entry["base"] in with_mutants and (name == "_mutmut_orig" or name in kept)


def by_line(mutated: str) -> dict[int, str]:
    """Return which of mutmut's functions each line of a file belongs to."""
    return {
        line: node.name
        for _, node in _functions(ast.parse(mutated))
        if _MARK in node.name
        for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }


def original_of(name: str) -> str:
    """Return the name of the unchanged copy beside a mutant."""
    return f"{name.rpartition(_MARK)[0]}{_MARK}orig"


def files(mutants: Path, core: Core, part: Part, root: Path) -> list[Mutant]:
    """Return the mutants of all files of a part."""
    return [
        mutant
        for file in part.sources
        for mutant in read(
            core, file, (root / file).read_text("utf-8"), (mutants / file).read_text("utf-8")
        )
    ]
