"""How the updater reads a repository: over HTTPS with a deadline, or from a directory.

A USB stick is hostile input too: names stay below its root, and only regular files are read, so no
link, device or pipe on it can lead elsewhere or block the gate.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from tuf.api.exceptions import DownloadError, DownloadHTTPError, SlowRetrievalError
from tuf.ngclient import FetcherInterface
from tuf.ngclient.urllib3_fetcher import Urllib3Fetcher
from urllib3.exceptions import HTTPError

from agent import __version__

__all__ = ["DeadlineFetcher", "DirectoryFetcher"]

_CHUNK = 1 << 18
_NOT_FOUND = 404
_SOCKET_TIMEOUT_S = 20


class DeadlineFetcher(FetcherInterface):
    """Fetches over HTTPS until a deadline that all files of one update share.

    The library bounds the gap between two chunks only; a server that drips would hold it for days.

    Args:
        deadline_s: seconds from now.
    """

    def __init__(self, deadline_s: float) -> None:
        self._inner = Urllib3Fetcher(
            socket_timeout=_SOCKET_TIMEOUT_S,
            chunk_size=_CHUNK,
            app_user_agent=f"idgate/{__version__}",
        )
        self._until = time.monotonic() + deadline_s

    def _fetch(self, url: str) -> Iterator[bytes]:
        return self._bounded(self._inner.fetch(url))

    def _bounded(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        try:
            for chunk in chunks:
                if time.monotonic() > self._until:
                    raise SlowRetrievalError("the update took longer than its deadline")
                yield chunk
        except HTTPError as error:  # half-way through; the library wraps only the beginning
            raise DownloadError(f"the connection broke: {type(error).__name__}") from error


class DirectoryFetcher(FetcherInterface):
    """Reads `dir:` names below a directory.

    Args:
        root: the directory that holds metadata/ and targets/.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def _fetch(self, url: str) -> Iterator[bytes]:
        name = PurePosixPath(url.removeprefix("dir:"))
        if name.is_absolute() or ".." in name.parts:
            raise DownloadError(f"{name}: outside the repository")
        descriptor = self._open(name)
        return self._chunks(descriptor, str(name))

    def _open(self, name: PurePosixPath) -> int:
        """Open each part of the name in turn, following no link."""
        folder = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for part in name.parts[:-1]:
                flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
                inner = os.open(part, flags, dir_fd=folder)
                os.close(folder)
                folder = inner
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            descriptor = os.open(name.parts[-1], flags, dir_fd=folder)
        except FileNotFoundError:
            raise DownloadHTTPError(f"{name}: not in the repository", _NOT_FOUND) from None
        except OSError as error:
            raise DownloadError(f"{name}: {error.strerror}") from None
        finally:
            os.close(folder)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise DownloadError(f"{name}: not a regular file")
        return descriptor

    def _chunks(self, descriptor: int, name: str) -> Iterator[bytes]:
        with os.fdopen(descriptor, "rb") as file:
            while True:
                try:
                    chunk = file.read(_CHUNK)
                except OSError as error:  # a stick pulled out
                    raise DownloadError(f"{name}: {error.strerror}") from None
                if not chunk:
                    return
                yield chunk
