"""Turns a decoder's complaint about a settings file into one line that says what is allowed.

`msgspec` says where and what is wrong; which values a choice has and which keys a table has is
looked up in the type itself, so that the line can never say something else than the check does.
"""

from __future__ import annotations

import enum
import re
import types
import typing
from collections.abc import Iterable
from typing import Any, Final, Literal, Union, get_args, get_origin

import msgspec

__all__ = ["NAME", "did_you_mean", "explain"]

NAME: Final = r"^[a-z0-9][a-z0-9._-]{0,63}$"
"""What names of sites, gates, zones and the like look like."""
_NAME_IN_WORDS: Final = "a name of lower-case letters, digits, '.', '_' and '-', 64 at most"

LONGEST: Final = 300
"""Characters of a file's own words that a line repeats."""

_LONGEST_NAME: Final = 80
"""Characters of a wrong name that are compared: the time grows with their square."""

_WHERE = re.compile(r"(?P<text>.*) - at `\$\.?(?P<path>.*)`", re.DOTALL)
_WRONG = re.compile(r"(?:unknown field|enum value) [`']([^`']*)[`']")
_STEP = re.compile(r"[^.\[\]]+|\[[^\]]*\]")


def explain(error: msgspec.ValidationError, kind: Any) -> str:
    """Return the complaint with its key first and, for a choice or a wrong key, what is allowed.

    Args:
        error: as `msgspec.convert` raised it.
        kind: the type that was converted to.
    """
    match = _WHERE.fullmatch(str(error))
    text, path = (match["text"], match["path"]) if match else (str(error), "")
    allowed = _allowed(text, _walk(kind, _STEP.findall(path)))
    text = _plain(_short(text), _short(path))
    path = _short(path)
    line = f"key {path}: {text}" if path else text
    if not allowed:
        return line
    wrong = _WRONG.search(text)
    near = did_you_mean(wrong[1], allowed) if wrong else ""
    return f"{line}{near}; allowed: {', '.join(allowed)}"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `; did you mean NAME?` with the known name that is nearest, or nothing."""
    from difflib import get_close_matches

    found = get_close_matches(word[:_LONGEST_NAME], list(known), n=1)
    return f"; did you mean {found[0]}?" if found else ""


def _short(text: str) -> str:
    """Keep a key of a thousand letters out of the log."""
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def _plain(text: str, path: str) -> str:
    """Say in words what somebody who writes TOML can do about it."""
    text = text.replace("`int | null`", "a pin (`int`), or `false` where it is not fitted")
    text = text.replace(f"`str` matching regex {NAME!r}", _NAME_IN_WORDS)
    if text.startswith("Expected `array`, got `object`"):
        text = f"{text}; a table that may come twice is written [[{path}]]"
    return text


def _walk(kind: Any, steps: list[str]) -> Any:
    """Return the type at a path; None where it leads nowhere."""
    for step in steps:
        kind = _bare(kind)
        if step.startswith("["):
            elements = [each for each in get_args(kind) if each is not Ellipsis]
            kind = elements[-1] if elements else None
        elif isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            kind = typing.get_type_hints(kind, include_extras=True).get(step)
        else:
            return None
    return _bare(kind)


def _bare(kind: Any) -> Any:
    """Take off `Annotated` and `| None`."""
    while True:
        if get_origin(kind) is typing.Annotated:
            kind = get_args(kind)[0]
        elif get_origin(kind) in (Union, types.UnionType):
            kind = next(each for each in get_args(kind) if each is not type(None))
        else:
            return kind


def _allowed(text: str, kind: Any) -> list[str]:
    if get_origin(kind) is Literal:
        return [str(value) for value in get_args(kind)]
    if not isinstance(kind, type):
        return []
    if issubclass(kind, enum.Enum):
        return [str(member.value) for member in kind]
    if issubclass(kind, msgspec.Struct) and "unknown field" in text:
        return [field.encode_name for field in msgspec.structs.fields(kind)]
    return []
