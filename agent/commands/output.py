"""Standard output that may be full, closed, or read by nobody: the one place that answers for it.

What cannot be written to it ends the command, whatever the command was doing: `OutputLost` is no
`OSError`, so that no command takes it for a mistake of its own files. A reader that went away is no
mistake at all (exit code 141, silent, as shells have it); a full disk is one line and exit code 3.
A stream that was closed at the start is occupied, so that no file opened later takes its place.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from agent.exits import Exit

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

__all__ = ["OutputLost", "end_of_output", "own_streams"]


class OutputLost(Exception):
    """Standard output does not take what is written to it."""

    def __init__(self, error: OSError) -> None:
        super().__init__(error.strerror)
        self.nobody_reads = error.errno == errno.EPIPE


class _Output(io.FileIO):
    """The descriptor of standard output."""

    def write(self, data: ReadableBuffer, /) -> int:
        """Write some of `data`; return how much."""
        try:
            return super().write(data)
        except OSError as error:
            raise OutputLost(error) from None


class _Errors(io.FileIO):
    """The descriptor of standard error: where it takes nothing, nobody can be told so."""

    def write(self, data: ReadableBuffer, /) -> int:
        """Write some of `data`, or drop it; return how much."""
        try:
            return super().write(data)
        except OSError:
            return memoryview(data).nbytes


def own_streams() -> None:
    """Take the process's three streams into care; once, at its start.

    What the encoding of standard output lacks is written as an escape, not refused.
    """
    for number, mode in enumerate((os.O_RDONLY, os.O_RDONLY, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            # Opened in ascending order, each takes the number that is free; writing to the second
            # fails, as it did to what was closed.
            os.open(os.devnull, mode)
    if sys.stdin is None:
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stdout = _text_on(_Output(1, "w", closefd=False), sys.stdout)
    sys.stderr = _text_on(_Errors(2, "w", closefd=False), sys.stderr)


def _text_on(raw: io.FileIO, found: object) -> io.TextIOWrapper:
    """Return a text stream on a descriptor, as Python made the one that was found."""
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=getattr(found, "encoding", "utf-8"),
        errors="backslashreplace",
        line_buffering=raw.isatty() or getattr(found, "line_buffering", False),
        write_through=getattr(found, "write_through", False),
    )


def end_of_output(lost: OutputLost) -> Exit:
    """Say in one line why the output ends, unless nobody reads it; return the exit code."""
    # What is left in the buffer must not be flushed at it again.
    sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
    if lost.nobody_reads:
        return Exit.NO_READER
    sys.stderr.write(f"idgate: standard output: {lost}: what is missing could not be written\n")
    return Exit.UNAVAILABLE
