"""Where the tests find the checkout and the data that others made."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
"""The checkout."""

SHARED = ROOT.parent / "shared"
"""Vectors, photographs and faces of others; beside the checkout or not there at all."""
