"""Structured logs through one chain, to standard error, with a redaction link.

Rules:
- Whoever logs in a daemon never waits for whoever reads (`configure(queued=True)`): lines are
  queued, up to `KEPT_BYTES`, and one thread writes them. What finds no room is lost, counted, and
  told in the log itself once it flows again. What is printed on standard error goes the same way,
  with some room of its own, and what a foreign library writes there is lost rather than waited for.
- A reader that is gone is no reason to end; at the end, what is queued gets `EXIT_S`.
- Every log line of this process passes through the chain, third-party libraries' lines included.
- A key that could hold personal data or a secret becomes `[redacted]`, and so does every value
  of a type that this chain does not know: bytes, arrays, credentials.
- Long strings are cut: a payload that slipped into a message does not fill the disk.
"""

from __future__ import annotations

import io
import logging
import os
import select
import stat
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TextIO

import structlog

__all__ = ["LogHealth", "LogWriter", "configure", "get", "health", "redact"]

SAFE_TYPES = (bool, int, float, type(None))
SENSITIVE = frozenset({
    "address", "birth_date", "claims", "data", "document", "dob", "email", "exc_info_locals", "key",
    "name", "frame", "password", "payload", "phone", "photo", "picture", "raw", "secret", "subject",
    "template", "token",
})  # fmt: skip
REDACTED = "[redacted]"
LONGEST = 300
KEPT_BYTES = 256 * 1024
SPARE_BYTES = 16 * 1024
"""For what is printed: as a rule the last words."""
AT_ONCE_BYTES = 32 * 1024
EXIT_S = 1.0
STANDARD_ERROR: Final = 2


def redact(
    _logger: object, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Replace what may not be logged; a structlog processor."""
    for key, value in event.items():
        if key.startswith("_") or key == "exc_info":
            continue
        event[key] = REDACTED if key.lower() in SENSITIVE else _plain(value)
    return event


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return value if len(value) <= LONGEST else value[:LONGEST] + "..."
    if isinstance(value, SAFE_TYPES):
        return value
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {
            str(key): REDACTED if str(key).lower() in SENSITIVE else _plain(item)
            for key, item in value.items()
        }
    if isinstance(value, BaseException):
        return f"{type(value).__name__}: {_plain(str(value))}"
    return REDACTED


@dataclass(frozen=True, slots=True)
class LogHealth:
    """How the log's way out is.

    Attributes:
        lost: lines since start that nobody will read.
        stuck_s: for how long nothing could be written; 0 where all is well.
        waiting: whether lines are queued.
    """

    lost: int = 0
    stuck_s: float = 0.0
    waiting: bool = False


class LogWriter:
    """Writes lines to a file descriptor in a thread of its own.

    Args:
        fd: may block for ever, be full, or have nobody at its other end.
        on_loss: called in the writing thread with the number of lines that were lost, when lines
            are written again.
        monotonic: seconds.
    """

    def __init__(
        self,
        fd: int,
        on_loss: Callable[[int], None] = lambda _lines: None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._fd = fd
        self._on_loss = on_loss
        self._monotonic = monotonic
        self._changed = threading.Condition()
        self._lines: deque[bytes] = deque()
        self._bytes = 0
        self._lost = 0
        self._untold = 0
        self._since: float | None = None
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def put(self, line: bytes, room: int = KEPT_BYTES) -> None:
        """Queue a line with its end where it finds room; never waits for the reader."""
        with self._changed:
            if self._bytes + len(line) > room:
                self._lose(1)
                return
            self._lines.append(line)
            self._bytes += len(line)
            self._changed.notify_all()

    def health(self) -> LogHealth:
        """Return how it goes; quick, from any thread."""
        with self._changed:
            since = self._since
            return LogHealth(
                lost=self._lost,
                stuck_s=0.0 if since is None else self._monotonic() - since,
                waiting=bool(self._lines),
            )

    def flush(self, timeout_s: float = EXIT_S) -> bool:
        """Wait until all is written; return whether it is."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._bytes, timeout_s)

    def close(self) -> None:
        """End the thread, after what is queued if that can be written soon."""
        self.flush()
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join(EXIT_S)

    def _run(self) -> None:
        while batch := self._take():
            try:
                self._write(b"".join(batch))
            except OSError:
                self._written(batch, failed=True)
            else:
                self._written(batch, failed=False)

    def _take(self) -> list[bytes]:
        """Wait for lines; return some, none at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._lines or self._closed)
            batch: list[bytes] = []
            size = 0
            while self._lines and (not batch or size + len(self._lines[0]) <= AT_ONCE_BYTES):
                size += len(self._lines[0])
                batch.append(self._lines.popleft())
            if batch and self._since is None:
                self._since = self._monotonic()
            return batch

    def _write(self, data: bytes) -> None:
        left = memoryview(data)
        while left:
            try:
                left = left[os.write(self._fd, left) :]
            except BlockingIOError:
                poll = select.poll()
                poll.register(self._fd, select.POLLOUT)
                poll.poll()

    def _written(self, batch: list[bytes], *, failed: bool) -> None:
        untold = 0
        with self._changed:
            if failed:
                self._lose(len(batch))
            else:
                self._since = None
                if not self._lines:
                    untold, self._untold = self._untold, 0
            self._bytes -= sum(map(len, batch))
            self._changed.notify_all()
        if untold:
            self._on_loss(untold)

    def _lose(self, lines: int) -> None:
        self._lost += lines
        self._untold += lines


class _QueuedHandler(logging.Handler):
    """Hands formatted lines to the writer."""

    def __init__(self, writer: LogWriter) -> None:
        super().__init__()
        self._writer = writer

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record)
        except Exception:  # noqa: BLE001 - as the standard library's handlers do
            self.handleError(record)
        else:
            self._writer.put(f"{line}\n".encode(errors="backslashreplace"))

    def flush(self) -> None:
        """Give what is queued its time; the interpreter calls this when it ends."""
        self._writer.flush()


class _QueuedStream(io.RawIOBase):
    """What stands where standard error's bytes went."""

    def __init__(self, writer: LogWriter) -> None:
        super().__init__()
        self._writer = writer

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return STANDARD_ERROR

    def isatty(self) -> bool:
        return os.isatty(STANDARD_ERROR)

    def write(self, data: Any) -> int:
        line = bytes(data)
        self._writer.put(line, KEPT_BYTES + SPARE_BYTES)
        return len(line)


_writer: LogWriter | None = None


def health() -> LogHealth:
    """Return how the queued log goes; all is well where none is queued."""
    return LogHealth() if _writer is None else _writer.health()


def _occupy_standard_streams() -> None:
    """Open what was handed over closed: the next file that is opened would take the log."""
    fd = os.open(os.devnull, os.O_RDWR)
    while fd <= STANDARD_ERROR:
        fd = os.open(os.devnull, os.O_RDWR)
    os.close(fd)


def _queue() -> LogWriter:
    """Return the process's writer; from its beginning on it has standard error to itself."""
    global _writer  # noqa: PLW0603 - a process has one standard error
    if _writer is None:
        _occupy_standard_streams()
        mode = os.fstat(STANDARD_ERROR).st_mode
        if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode):
            os.set_blocking(STANDARD_ERROR, False)  # foreign libraries write there themselves
        _writer = LogWriter(STANDARD_ERROR, _tell_loss)
        sys.stderr = io.TextIOWrapper(
            _QueuedStream(_writer),
            encoding="utf-8", errors="backslashreplace", line_buffering=True,
        )  # fmt: skip
    return _writer


def _tell_loss(lines: int) -> None:
    get(__name__).warning("log lines were lost", lines=lines)


def configure(
    *,
    level: str = "info",
    style: Literal["auto", "json", "console"] = "auto",
    stream: TextIO | None = None,
    queued: bool = False,
) -> None:
    """Set up the one chain for structlog and the standard library's loggers alike.

    Args:
        level: lowest level that is written.
        style: JSON lines, or text for people; `auto` asks whether the stream is a terminal.
        stream: standard error unless given.
        queued: nobody who logs waits for the reader of standard error; for daemons.
    """
    writer = _queue() if queued else None
    sink = sys.stderr if stream is None else stream
    as_json = style == "json" or (style == "auto" and not sink.isatty())
    shared: list[Any] = [
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        redact,
    ]
    renderer: Any = (
        structlog.processors.JSONRenderer()
        if as_json
        else structlog.dev.ConsoleRenderer(colors=sink.isatty(), exception_formatter=_trace)
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sink) if writer is None else _QueuedHandler(writer)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                _where_only,
                renderer,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())


def _where_only(
    _logger: object, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Turn an exception into its type and the places it passed: its text may hold input."""
    info = event.pop("exc_info", None)
    if info is True:
        info = sys.exc_info()
    if isinstance(info, BaseException):
        info = (type(info), info, info.__traceback__)
    if info and info[0] is not None:
        event["error"] = info[0].__name__
        event["at"] = _places(info[2])
    return event


def _places(traceback: Any) -> list[str]:
    places = []
    while traceback is not None:
        code = traceback.tb_frame.f_code
        places.append(f"{code.co_filename.rpartition('/')[2]}:{traceback.tb_lineno} {code.co_name}")
        traceback = traceback.tb_next
    return places[-8:]


def _trace(sio: Any, exc_info: Any) -> None:
    sio.write(f"{exc_info[0].__name__} at {', '.join(_places(exc_info[2]))}")


def get(name: str) -> structlog.stdlib.BoundLogger:
    """Return the logger of a module."""
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger
