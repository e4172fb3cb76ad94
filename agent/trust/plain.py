"""A plain trust directory as something to add files to, as a repository is."""

from __future__ import annotations

from pathlib import Path

from agent.trust.cache import ANCHOR, POINTER, replace_file
from agent.trust.directory import load_directory
from agent.trust.model import TrustError
from agent.trust.roster import load_key
from agent.trust.snapshot import TrustSnapshot
from agent.trust.update import TARGET_NAME

__all__ = ["PlainDirectory"]


class PlainDirectory:
    """A directory that a gate reads as it is.

    Args:
        path: where it lies.
        now: Unix seconds.

    Raises:
        TrustError: it is none.
    """

    def __init__(self, path: Path, *, now: int) -> None:
        if not path.is_dir():
            raise TrustError(f"{path}: neither a repository nor a directory")
        if (path / ANCHOR).exists() or (path / POINTER).exists():
            raise TrustError(f"{path}: a gate's cache; add to the repository that it is fed from")
        self._path = path
        self._now = now

    def preview(self) -> TrustSnapshot:
        """Return what a gate makes of the directory now.

        Raises:
            TrustError: it cannot be read.
        """
        return load_directory(self._path, now=self._now)

    def add(self, name: str, data: bytes) -> None:
        """Put a file into the directory; one of the same name is replaced, in one step.

        Args:
            name: as gates know it, such as `rosters/members.roster`.
            data: its content.

        Raises:
            TrustError: no gate takes a file of that name.
            OSError: it cannot be written.
        """
        if not TARGET_NAME.fullmatch(name):
            raise TrustError(f"{name!r}: no name of a trust file; letters, digits, . _ - only")
        file = self._path / name
        file.parent.mkdir(exist_ok=True)
        replace_file(file, data)

    def roster_key_note(self, key: bytes) -> str:
        """Return what is left to do for gates to open a roster of this key; empty for nothing.

        Raises:
            TrustError: another key lies there, which all its rosters need.
        """
        file = self._path / "roster.key"
        if not file.exists():
            return f"copy the roster key to {file}, readable by the gate alone"
        if load_key(file) != key:
            raise TrustError(f"{file}: another roster key; a directory has one for all its rosters")
        return ""
