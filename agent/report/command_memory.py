"""Which commands were accepted, on the disk before they are carried out.

Rules:
- A recorded command must not be believed twice, whatever happened between: not after a power cut,
  not with the clock back. So the newest `iat` ever accepted is kept, and the ids of the seconds
  before it; what was issued longer before it is refused unseen.
- The file is replaced by a rename, each time before the command is carried out. A disk that does
  not take it, or a file that says nothing, accepts nothing.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from agent.trust.cache import replace_file

__all__ = ["KEPT_S", "MOST_IDS", "CommandMemory", "MemoryRefused"]

KEPT_S: Final = 11
"""Seconds before the newest accepted `iat` in which another may still be accepted: a command's life
and the second that it may be ahead, and a time server's step back of five."""

MOST_IDS: Final = 512
"""Commands accepted within those seconds."""

_MAX_FILE: Final = 256 << 10
_LOG = logging.getLogger(__name__)


class MemoryRefused(Exception):
    """Nothing was remembered, so nothing may be accepted; one line that says why."""


class _Kept(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file.

    Attributes:
        newest: highest `iat` that was accepted, Unix seconds.
        seen: `iat` of each id that may come again; key and request id in hexadecimal.
    """

    newest: Annotated[int, Meta(ge=0)] = 0
    seen: Annotated[dict[str, int], Meta(max_length=MOST_IDS)] = {}


class CommandMemory:
    """Remembers accepted commands.

    Args:
        path: the file; None remembers until the process ends.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._wrong = ""
        self._kept = self._load()

    def overtaken(self, issued_at: int) -> bool:
        """Return whether a command was issued too long before the newest that was accepted."""
        return issued_at < self._kept.newest - KEPT_S

    def holds(self, kid: bytes, request_id: bytes) -> bool:
        """Return whether this id was accepted, among those that are not overtaken."""
        return _name(kid, request_id) in self._kept.seen

    def full(self, issued_at: int) -> bool:
        """Return whether another would push out one that may come again."""
        return len(self._with(issued_at).seen) >= MOST_IDS

    def remember(self, kid: bytes, request_id: bytes, issued_at: int) -> None:
        """Write an accepted command down; it is on the disk when this returns.

        Raises:
            MemoryRefused: it is not.
        """
        if self._wrong:
            raise MemoryRefused(self._wrong)
        kept = self._with(issued_at)
        kept.seen[_name(kid, request_id)] = issued_at
        if self._path is not None:
            try:
                replace_file(self._path, msgspec.json.encode(kept))
            except OSError as error:
                raise MemoryRefused(f"{self._path}: {error.strerror}") from error
        self._kept = kept

    def _with(self, issued_at: int) -> _Kept:
        newest = max(issued_at, self._kept.newest)
        seen = {name: at for name, at in self._kept.seen.items() if at >= newest - KEPT_S}
        return _Kept(newest, seen)

    def _load(self) -> _Kept:
        if self._path is None:
            return _Kept()
        try:
            with self._path.open("rb") as file:
                return msgspec.json.decode(file.read(_MAX_FILE), type=_Kept)
        except FileNotFoundError:
            return _Kept()
        except OSError as error:
            self._wrong = f"{self._path}: cannot be read: {error.strerror}"
        except (msgspec.DecodeError, UnicodeDecodeError):
            self._wrong = f"{self._path}: damaged; remove it to take commands again"
        _LOG.error("no command is accepted: %s", self._wrong)
        return _Kept()


def _name(kid: bytes, request_id: bytes) -> str:
    return f"{kid.hex()} {request_id.hex()}"
