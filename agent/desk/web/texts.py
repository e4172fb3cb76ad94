"""The words of the staff's pages: one TOML file a language, all in one place.

Templates name them (`t.members.title`); a name that is not there fails, it never shows as nothing.
A second language is a second file with the same names, which a test compares.
"""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files
from types import SimpleNamespace
from typing import Any

__all__ = ["load_texts"]


@cache
def load_texts(language: str) -> SimpleNamespace:
    """Return the words of a language as nested names.

    Args:
        language: `en`, as the file is called.
    """
    source = files("agent.desk.web").joinpath("words", f"{language}.toml")
    return _nested(tomllib.loads(source.read_text(encoding="utf-8")))


def _nested(table: dict[str, Any]) -> SimpleNamespace:
    return SimpleNamespace(
        **{
            name.replace("-", "_"): _nested(value) if isinstance(value, dict) else value
            for name, value in table.items()
        }
    )
