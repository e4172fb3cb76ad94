"""Renders docs/configuration.md from agent/settings/model.py; run it to write the page anew."""

from __future__ import annotations

import ast
import inspect
import json
import types
import typing
from typing import Any, get_args, get_origin

import msgspec
from msgspec import NODEFAULT

from agent.settings import model as config
from tests.support.paths import ROOT

PAGE = ROOT / "docs" / "configuration.md"
HEAD = """# Configuration

One TOML file, given to `idgate run --config FILE`. Every key has a type, a range and a default; an
unknown key is an error. Relative paths are relative to the file's own directory. Secrets are files;
names that systemd handed over with `LoadCredential=` are found in `$CREDENTIALS_DIRECTORY`.

This page is made from `agent/settings/model.py` by `python -m tests.docs.configuration`; a test holds them
together.
"""


def render() -> str:
    """Return the page."""
    notes = _notes()
    parts = [HEAD]
    top = [field for field in msgspec.structs.fields(config.Config) if field.name != "base_dir"]
    plain = [field for field in top if _section(field.type) is None]
    parts.append("## At the top\n")
    parts.append(_table("Config", plain, notes))
    for field in top:
        section = _section(field.type)
        if section is None:
            continue
        many = get_origin(field.type) is tuple
        name = f"[[{field.name}]]" if many else f"[{field.name}]"
        parts.append(f"## `{name}`\n")
        parts.append(inspect.cleandoc(section.__doc__ or "") + "\n")
        parts.append(_table(section.__name__, msgspec.structs.fields(section), notes))
    return "\n".join(parts)


def _table(owner: str, fields: Any, notes: dict[tuple[str, str], str]) -> str:
    lines = ["| key | type | default | |", "|---|---|---|---|"]
    for field in fields:
        made = field.default_factory is not NODEFAULT
        value = field.default_factory() if made else field.default
        default = "required" if value is NODEFAULT else f"`{_toml(value)}`"
        note = notes.get((owner, field.name), "")
        lines.append(f"| `{field.name}` | {_type(field.type)} | {default} | {note} |")
    return "\n".join(lines) + "\n"


def _section(kind: Any) -> Any:
    for candidate in (kind, *get_args(kind)):
        if isinstance(candidate, type) and issubclass(candidate, msgspec.Struct):
            return candidate
    return None


def _type(kind: Any) -> str:
    origin = get_origin(kind)
    if origin is typing.Annotated:
        base, meta = get_args(kind)
        limits = [
            f"{sign} {getattr(meta, word)}"
            for sign, word in ((">", "gt"), ("≥", "ge"), ("<", "lt"), ("≤", "le"))
            if getattr(meta, word, None) is not None
        ]
        text = _type(base) + (f" {', '.join(limits)}" if limits else "")
        return text + (" (lower-case name)" if getattr(meta, "pattern", None) else "")
    if origin is typing.Literal:
        return " or ".join(f"`{_toml(value)}`" for value in get_args(kind))
    if origin in {types.UnionType, typing.Union}:
        parts = [_type(part) for part in get_args(kind) if part is not types.NoneType]
        return " or ".join([*parts, "`false`"] if config.Pin in get_args(kind) else parts)
    if origin is tuple:
        return f"list of {_type(get_args(kind)[0])}"
    if origin is dict:
        return f"table of {_type(get_args(kind)[1])}"
    return {str: "text", int: "whole number", float: "number", bool: "true/false"}.get(
        kind, str(kind)
    )


def _toml(value: Any) -> str:
    if value is None:
        return "false"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, dict):
        return "{}"
    if isinstance(value, tuple):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    return str(value)


def _notes() -> dict[tuple[str, str], str]:
    """Return the strings that stand under the fields."""
    tree = ast.parse((ROOT / "agent" / "settings" / "model.py").read_text("utf-8"))
    notes: dict[tuple[str, str], str] = {}
    for node in tree.body:
        if not isinstance(node, ast.ClassDef):
            continue
        field = ""
        for item in node.body:
            if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
                field = item.target.id
            elif field and isinstance(item, ast.Expr) and isinstance(item.value, ast.Constant):
                notes[node.name, field] = " ".join(str(item.value.value).split())
                field = ""
    return notes


if __name__ == "__main__":
    PAGE.write_text(render(), "utf-8")
