"""The gate's own time zone, as the system has it: for profiles that name none.

Rules, in the C library's order:
- `TZ` in the environment: a name, a path, or a POSIX rule such as `CET-1CEST,M3.5.0,M10.5.0/3`;
- `/etc/localtime`; where there is none, the name in `/etc/timezone`;
- a system without any of them is in UTC. One that has them and cannot be understood is an error:
  UTC instead would open the doors hours too early or too late.

It is read anew each time, so that a reload follows a zone that was changed.
"""

from __future__ import annotations

import datetime as dt
import io
import struct
import zoneinfo
from collections.abc import Mapping
from pathlib import Path

__all__ = ["ZoneError", "own_zone"]

_FILE_BYTES = 256 * 1024
"""The largest file of the time zone database has 4 KiB."""
_DATABASE = "zoneinfo/"
_BLOCK = b"TZif2" + bytes(15) + struct.pack(">6llbB", 0, 0, 0, 0, 1, 4, 0, 0, 0) + b"UTC\0"
"""RFC 9636: a header and one kind of local time; a file has it twice, and a rule after that."""


class ZoneError(ValueError):
    """The gate's time zone cannot be told; one line for the operator."""


def own_zone(environment: Mapping[str, str], root: Path = Path("/")) -> dt.tzinfo:
    """Return the time zone of this machine.

    Args:
        environment: of the process.
        root: of the file system.

    Raises:
        ZoneError: what says it cannot be read or understood.
    """
    if "TZ" in environment:
        return _of_words(environment["TZ"].removeprefix(":"), "TZ", root)
    local = root / "etc/localtime"
    if local.exists() or local.is_symlink():
        return _of_file(local, "/etc/localtime")
    named = root / "etc/timezone"
    try:
        name = named.read_bytes().decode().strip()
    except FileNotFoundError:
        return dt.UTC
    except (OSError, UnicodeDecodeError) as error:
        raise ZoneError(f"/etc/timezone: {_words(error)}") from None
    return _of_name(name, "/etc/timezone")


def _of_words(words: str, source: str, root: Path) -> dt.tzinfo:
    if not words:
        return dt.UTC
    if words.startswith("/"):
        return _of_file(root / words[1:], f"{source}={words}")
    try:
        return _of_name(words, source)
    except ZoneError as unknown:
        try:
            return _of_rule(words)
        except ValueError:
            raise unknown from None


def _of_name(name: str, source: str) -> dt.tzinfo:
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise ZoneError(f"{source}: {name!r} is not an IANA time zone") from None


def _of_file(path: Path, source: str) -> dt.tzinfo:
    """Read a compiled zone; where the path leads into the database, it has a name, too."""
    try:
        target = str(path.resolve())
        with path.open("rb") as file:
            data = file.read(_FILE_BYTES)
        name = target.rpartition(_DATABASE)[2] if _DATABASE in target else None
        return zoneinfo.ZoneInfo.from_file(io.BytesIO(data), key=name or source)
    except (OSError, ValueError, RuntimeError, struct.error) as error:
        raise ZoneError(f"{source}: {_words(error)}") from None


def _of_rule(rule: str) -> dt.tzinfo:
    """Return the zone of a POSIX rule, by way of a compiled zone that says nothing else.

    Raises:
        ValueError: it is none.
    """
    if "\n" in rule or not rule.isascii():
        raise ValueError
    file = io.BytesIO(_BLOCK + _BLOCK + b"\n" + rule.encode() + b"\n")
    return zoneinfo.ZoneInfo.from_file(file, key=rule)


def _words(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return "is no compiled time zone"
