"""Structured logs through one chain, to standard error, with a redaction link.

Rules:
- Every log line of this process passes through the chain, third-party libraries' lines included.
- A key that could hold personal data or a secret becomes `[redacted]`, and so does every value
  of a type that this chain does not know: bytes, arrays, credentials.
- Long strings are cut: a payload that slipped into a message does not fill the disk.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Any, Literal, TextIO

import structlog

__all__ = ["configure", "get", "redact"]

SAFE_TYPES = (bool, int, float, type(None))
SENSITIVE = frozenset({
    "address", "birth_date", "claims", "data", "document", "dob", "email", "exc_info_locals", "key",
    "name", "frame", "password", "payload", "phone", "photo", "picture", "raw", "secret", "subject",
    "template", "token",
})  # fmt: skip
REDACTED = "[redacted]"
LONGEST = 300


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


def configure(
    *,
    level: str = "info",
    style: Literal["auto", "json", "console"] = "auto",
    stream: TextIO | None = None,
) -> None:
    """Set up the one chain for structlog and the standard library's loggers alike.

    Args:
        level: lowest level that is written.
        style: JSON lines, or text for people; `auto` asks whether the stream is a terminal.
        stream: standard error unless given.
    """
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
    handler = logging.StreamHandler(sink)
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
