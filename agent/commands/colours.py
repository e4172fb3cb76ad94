"""Colours for terminals: beside words, never instead of them.

In order: what `--color` says; `NO_COLOR`, set and not empty: none (no-color.org); `FORCE_COLOR`,
the same: always; `TERM=dumb`: none; else colours where the stream is a terminal. So does `rich`,
which `idgate fleet watch` and `idgate demo` draw with.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final, TextIO

__all__ = ["WHEN", "paint", "wanted"]

WHEN: Final = ("auto", "always", "never")
"""What `--color` takes."""

_CODES: Final = {"ok": "32", "warning": "33", "failed": "1;31", "skipped": "2"}


def wanted(stream: TextIO, when: str = "auto", environ: Mapping[str, str] = os.environ) -> bool:
    """Return whether what is written to the stream is coloured."""
    if when != "auto":
        return when == "always"
    if environ.get("NO_COLOR"):
        return False
    if environ.get("FORCE_COLOR"):
        return True
    return environ.get("TERM") != "dumb" and stream.isatty()


def paint(text: str, state: str) -> str:
    """Return the text in the colour of a state: ok, warning, failed or skipped."""
    return f"\x1b[{_CODES[state]}m{text}\x1b[0m"
