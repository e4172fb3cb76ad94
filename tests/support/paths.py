"""Where the tests find the checkout and the data that others made."""

from __future__ import annotations

from pathlib import Path

import pytest

__all__ = ["ROOT", "SHARED", "VECTORS", "shared"]

ROOT = Path(__file__).parents[2]
"""The checkout."""

VECTORS = ROOT / "tests" / "data" / "vectors"
"""Vectors of others that may be passed on."""

SHARED = ROOT.parent / "shared"
"""What may not: beside the checkout, or not there at all."""


def shared(name: str) -> Path:
    """Return a file or folder of `SHARED`; skip the test where it is not there."""
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"no ../shared/{name}: tests/data/README.md says where it is to be had")
    return path
