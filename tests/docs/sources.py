"""What the modules of `agent` and `hal` define, name and import: read as source, never imported."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from tests.support.paths import ROOT


def is_package(path: Path) -> bool:
    return (path / "__init__.py").is_file()


@dataclass
class Source:
    """What one module defines, names and imports."""

    defined: set[str] = field(default_factory=set)
    named: dict[str, str] = field(default_factory=dict)
    """Local name -> where it comes from, as `module.Name` or `module`."""
    attributes: set[str] = field(default_factory=set)
    """What is named through an imported module: `module.Name`."""

    @property
    def modules(self) -> set[str]:
        """The modules that are imported, or from which something is."""
        found = {
            name if is_module(name) else name.rpartition(".")[0] for name in self.named.values()
        }
        return found & {name for name in found if is_module(name)}


def is_module(name: str) -> bool:
    path = ROOT / name.replace(".", "/")
    return path.with_suffix(".py").is_file() or is_package(path)


def dotted(path: str) -> str:
    return path.removesuffix(".py").replace("/", ".")


@cache
def source(module: str) -> Source:
    """Read a module of `agent` or `hal`."""
    path = ROOT / module.replace(".", "/")
    file = path / "__init__.py" if is_package(path) else path.with_suffix(".py")
    found = Source()
    tree = ast.parse(file.read_text("utf-8"))
    for node in tree.body:
        found.defined |= set(names_of(node))
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                found.named[alias.asname or alias.name] = f"{node.module}.{alias.name}"
        elif isinstance(node, ast.Import):
            found.named |= {alias.asname or alias.name: alias.name for alias in node.names}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            base = found.named.get(node.value.id)
            if base is not None and is_module(base):
                found.attributes.add(f"{base}.{node.attr}")
    return found


def names_of(node: ast.stmt) -> list[str]:
    """Return what a statement of a module defines: `name`, and of a class `Class.member` too."""
    if isinstance(node, ast.FunctionDef):
        return [node.name]
    if isinstance(node, ast.Assign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        return [target.id for target in targets if isinstance(target, ast.Name)]
    if not isinstance(node, ast.ClassDef):
        return []
    members = {name for each in node.body for name in names_of(each)}
    for each in ast.walk(node):
        if isinstance(each, ast.Attribute) and isinstance(each.ctx, ast.Store):
            members |= {each.attr} if getattr(each.value, "id", "") == "self" else set()
    return [node.name, *(f"{node.name}.{member}" for member in members)]


def origin(name: str) -> str:
    """Follow a name through the modules that only pass it on."""
    module, _, last = name.rpartition(".")
    if is_module(module) and last not in source(module).defined and last in source(module).named:
        return origin(source(module).named[last])
    return name


@cache
def knows(module: str) -> set[str]:
    """Return everything that a module defines or names, each by where it is defined."""
    found = source(module)
    own = {f"{module}.{name}" for name in found.defined}
    return own | {origin(name) for name in {*found.named.values(), *found.attributes}}


def called(module: str, word: str) -> set[str]:
    """Return what a word means in a module: a name that it defines or uses."""
    return {name for name in knows(module) if name.endswith(f".{word}")}


def joined(one: str, other: str, words: list[str]) -> bool:
    """Return whether one imports the other, or both know one of the words, and mean the same."""
    if one == other or other in source(one).modules or one in source(other).modules:
        return True
    return any(called(one, word) & called(other, word) for word in words)
