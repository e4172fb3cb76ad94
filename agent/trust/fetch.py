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
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import urllib3
from tuf.api.exceptions import DownloadError, DownloadHTTPError, SlowRetrievalError
from tuf.ngclient import FetcherInterface
from urllib3.exceptions import HTTPError

from agent import __version__

__all__ = ["DeadlineFetcher", "DirectoryFetcher"]

_CHUNK = 1 << 18
_OK, _NOT_FOUND = 200, 404
_RETRIES = 2
_SOCKET_TIMEOUT_S = 20


class DeadlineFetcher(FetcherInterface):
    """Fetches over HTTPS until a deadline that all files of one update share.

    The framework's own fetcher waits for whole chunks and bounds only the gap between two bytes; a
    server that drips would hold an update for days. This one looks at the clock after every read
    of the socket. Certificates are the system's; `https_proxy` and `no_proxy` are honoured.

    Args:
        deadline_s: seconds from now.
    """

    def __init__(self, deadline_s: float) -> None:
        self._until = time.monotonic() + deadline_s
        self._pools: dict[str, urllib3.PoolManager] = {}

    def _fetch(self, url: str) -> Iterator[bytes]:
        try:
            response = self._pool(url).request(
                "GET",
                url,
                headers={"User-Agent": f"idgate/{__version__}"},
                preload_content=False,
                redirect=False,
                retries=urllib3.Retry(_RETRIES, redirect=False, raise_on_redirect=False),
                timeout=urllib3.Timeout(_SOCKET_TIMEOUT_S),
            )
        except HTTPError as error:
            cause = getattr(error, "reason", None) or error
            raise DownloadError(f"cannot be reached: {type(cause).__name__}") from error
        if response.status != _OK:
            response.close()
            raise DownloadHTTPError(f"HTTP status {response.status}", response.status)
        return self._chunks(response)

    def _pool(self, url: str) -> urllib3.PoolManager:
        target = urlsplit(url)
        host = target.hostname or ""
        proxy = "" if proxy_bypass(host) else getproxies().get(target.scheme, "")
        if proxy not in self._pools:
            self._pools[proxy] = urllib3.ProxyManager(proxy) if proxy else urllib3.PoolManager()
        return self._pools[proxy]

    def _chunks(self, response: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
        try:
            while chunk := response.read1(_CHUNK):
                if time.monotonic() > self._until:
                    raise SlowRetrievalError("the update took longer than its deadline")
                yield chunk
        except HTTPError as error:
            raise DownloadError(f"the connection broke: {type(error).__name__}") from error
        finally:
            response.close()


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
