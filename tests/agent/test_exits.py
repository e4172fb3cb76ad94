"""Exit codes are an interface: service managers and scripts know the numbers."""

from __future__ import annotations

import sqlite3

import pytest

from agent.exits import HOPELESS, Exit, ending
from hal.library import remedy


def test_the_numbers_stay() -> None:
    assert {code.name: int(code) for code in Exit} == {
        "DONE": 0,
        "NO": 1,
        "SETTINGS": 2,
        "UNAVAILABLE": 3,
        "FAULT": 70,
        "RESTART": 75,
        "INTERRUPTED": 130,
        "NO_READER": 141,
    }


def test_only_what_takes_somebody_is_hopeless() -> None:
    assert {Exit.SETTINGS} == HOPELESS


ENDS: list[tuple[Exception, int, str]] = [
    (EOFError(), 2, "standard input ended before the answer: run it in a terminal"),
    (
        ModuleNotFoundError("No module named 'tuf'", name="tuf"),
        3,
        "No module named 'tuf'; run ./setup.sh",
    ),
    (
        ImportError("libGL.so.1: cannot open shared object file: No such file or directory"),
        3,
        "libGL.so.1: cannot open shared object file: No such file or directory; "
        + remedy("libgl.so"),
    ),
    (MemoryError(), 3, "out of memory: end other programs, or give it more"),
    (PermissionError(13, "Permission denied", "/etc/x"), 3, "/etc/x: Permission denied"),
    (OSError(28, "No space left on device"), 3, "No space left on device"),
    (OSError(), 3, "OSError"),
    (sqlite3.OperationalError("disk I/O error"), 3, "database: disk I/O error"),
    (sqlite3.DatabaseError("file is not a database"), 3, "database: file is not a database"),
]


@pytest.mark.parametrize(("error", "code", "line"), ENDS, ids=[repr(row[0]) for row in ENDS])
def test_a_foreign_end_is_a_code_and_a_line(error: Exception, code: int, line: str) -> None:
    assert ending(error) == (code, line)


def test_a_library_of_another_numpy_is_told_without_its_own_words() -> None:
    code, line = ending(ValueError("numpy.dtype size changed, Maria Muster"))
    assert code is Exit.UNAVAILABLE
    assert line.startswith("a library does not work here (ValueError): the numpy that is loaded")
    assert "Maria" not in line


def test_anything_else_is_a_fault_whose_text_is_not_told() -> None:
    try:
        int("Maria Muster")
    except ValueError as error:
        code, line = ending(error)
    assert code is Exit.FAULT
    assert line.startswith("internal fault: ValueError at test_exits.py:")
    assert "Maria" not in line
