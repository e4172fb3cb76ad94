"""Writes settings: tables as TOML text, and a few keys into a file that a person has written.

Rules: what a person wrote stays as it is, comments included, save the keys that are set; the result
is read again and must say exactly what it should, or nothing is returned.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from typing import Any, Final

__all__ = ["Tables", "merged", "to_toml"]

Tables = Mapping[str, Mapping[str, Any]]
"""Values by table and key: strings, numbers, booleans, and lists of those."""

_HEADER: Final = re.compile(r"\s*\[\s*([A-Za-z0-9_-]+)\s*\]\s*(?:#.*)?$")
_OTHER_HEADER: Final = re.compile(r"\s*\[")
_KEY: Final = re.compile(r"\s*([A-Za-z0-9_-]+)\s*=")


def to_toml(tables: Tables) -> str:
    """Return tables as TOML.

    Raises:
        ValueError: a value is of a kind that stands in no settings.
    """
    parts = [
        "\n".join([f"[{name}]", *(f"{key} = {_value(value)}" for key, value in table.items()), ""])
        for name, table in tables.items()
    ]
    return "\n".join(parts)


def merged(text: str, tables: Tables) -> str:
    """Return a settings file with these keys set.

    Args:
        text: TOML; may be empty.
        tables: what is set; all else stays.

    Raises:
        ValueError: the text is no TOML, or is written in a way that must be changed by hand.
    """
    try:
        wanted = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"not TOML: {error}") from None
    for name, table in tables.items():
        found = wanted.setdefault(name, {})
        if not isinstance(found, dict):
            raise ValueError(f"[{name}] is no plain table")  # noqa: TRY004 - one error type
        found.update(table)
    lines: list[str] = []
    section, placed = "", set[str]()
    for line in text.split("\n"):  # not splitlines: it divides at more than TOML does
        if header := _HEADER.match(line):
            section = header[1]
            lines.append(line)
            if section in tables:
                placed.add(section)
                lines += [f"{key} = {_value(value)}" for key, value in tables[section].items()]
            continue
        if _OTHER_HEADER.match(line):
            section = ""
        key = _KEY.match(line)
        if section in tables and key and key[1] in tables[section]:
            continue
        lines.append(line)
    missing = {name: table for name, table in tables.items() if name not in placed}
    made = "\n".join(lines)
    if missing:
        made = f"{made.rstrip()}\n\n{to_toml(missing)}".lstrip("\n")
    try:
        right = tomllib.loads(made) == wanted
    except tomllib.TOMLDecodeError:
        right = False
    if not right:
        names = [f"{name}.{key}" for name, table in tables.items() for key in table]
        raise ValueError(f"written in a way that only a person can change: set {', '.join(names)}")
    return made


def _value(value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float():
            return repr(value)
        case str():
            # A basic string of TOML is one of JSON, save that JSON leaves DEL as it is.
            return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
        case list() | tuple():
            return f"[{', '.join(map(_value, value))}]"
        case _:
            raise ValueError(f"{type(value).__name__} stands in no settings")
