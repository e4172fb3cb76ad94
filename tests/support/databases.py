"""SQLite files, looked at and changed from outside."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

__all__ = ["edited"]


@contextmanager
def edited(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a database, commit at the end, and close it: sqlite3's own block leaves it open."""
    with closing(sqlite3.connect(path)) as database, database:
        yield database
