"""Standard output that may be full, closed, or read by nobody: the one place that answers for it.

What cannot be written to it ends the command, whatever the command was doing: `OutputLost` is no
`OSError`, so that no command takes it for a mistake of its own files. A reader that went away is no
mistake at all (exit code 141, silent, as shells have it); a full disk is one line and exit code 3.
A stream that was closed at the start is occupied, so that no file opened later takes its place.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys

from agent.exits import Exit

__all__ = ["OutputLost", "end_of_output", "own_streams"]


class OutputLost(Exception):
    """Standard output does not take what is written to it."""

    def __init__(self, error: OSError) -> None:
        super().__init__(error.strerror)
        self.nobody_reads = error.errno == errno.EPIPE


# Above the buffer, not below it: a signal that comes between a write and its return would make the
# buffer write the same again.
class _Output(io.TextIOWrapper):
    """Standard output, whose failures are `OutputLost`."""

    def write(self, text: str, /) -> int:
        """Write text; return how much."""
        try:
            return super().write(text)
        except OSError as error:
            raise OutputLost(error) from None

    def flush(self) -> None:
        """Write what is buffered."""
        try:
            super().flush()
        except OSError as error:
            raise OutputLost(error) from None


class _Errors(io.TextIOWrapper):
    """Standard error: where it takes nothing, nobody can be told so."""

    def write(self, text: str, /) -> int:
        """Write text, or drop it; return how much."""
        with contextlib.suppress(OSError):
            return super().write(text)
        return len(text)

    def flush(self) -> None:
        """Write what is buffered, or drop it."""
        with contextlib.suppress(OSError):
            super().flush()


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
    sys.stdout = _text_on(1, sys.stdout, _Output)
    sys.stderr = _text_on(2, sys.stderr, _Errors)


def _text_on(number: int, found: object, kind: type[_Output | _Errors]) -> io.TextIOWrapper:
    """Return a text stream on a descriptor, as Python made the one that was found."""
    raw = io.FileIO(number, "w", closefd=False)
    return kind(
        io.BufferedWriter(raw),
        encoding=getattr(found, "encoding", "utf-8"),
        errors="backslashreplace",
        line_buffering=raw.isatty() or getattr(found, "line_buffering", False),
        write_through=getattr(found, "write_through", False),
    )


def end_of_output(lost: OutputLost) -> Exit:
    """Say in one line why the output ends, unless nobody reads it; return the exit code."""
    # What is left in the buffer is flushed once more, at the latest when Python ends.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)
    if lost.nobody_reads:
        return Exit.NO_READER
    sys.stderr.write(f"idgate: standard output: {lost}: what is missing could not be written\n")
    return Exit.UNAVAILABLE
