"""How the updater reads a repository: over HTTPS with a deadline, or from a directory.

A USB stick is hostile input too: names stay below its root, and only regular files are read, so no
link, device or pipe on it can lead elsewhere or block the gate.
"""

from __future__ import annotations

import os
import socket
import ssl
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import urllib3
import urllib3.connection
from tuf.api.exceptions import DownloadError, DownloadHTTPError, SlowRetrievalError
from tuf.ngclient import FetcherInterface
from urllib3.exceptions import HTTPError, NewConnectionError
from urllib3.util.ssl_ import create_urllib3_context

from agent import __version__
from agent.trust.model import TrustError

__all__ = ["DeadlineFetcher", "DirectoryFetcher", "add_ca"]

_CHUNK = 1 << 18
_OK, _NOT_FOUND = 200, 404
_RETRIES = 2
_SOCKET_TIMEOUT_S = 20


class _Deadline:
    """A moment until which everything must be done.

    Args:
        seconds: from now.
        clock: monotonic seconds.
    """

    def __init__(self, seconds: float, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._until = clock() + seconds

    def left_s(self) -> float:
        """Return the seconds for one step: what is left, or a socket's patience.

        Raises:
            TimeoutError: nothing is left.
        """
        left = self._until - self._clock()
        if left <= 0:
            raise TimeoutError("the update took longer than its deadline")
        return min(left, _SOCKET_TIMEOUT_S)

    @property
    def over(self) -> bool:
        """Whether nothing is left."""
        return self._clock() >= self._until


class _PatientSocket(socket.socket):
    """A socket none of whose calls waits past the deadline, however the bytes drip.

    A timeout alone bounds the gap between two bytes: a server that sends one now and then holds a
    header for days.
    """

    deadline: _Deadline

    def recv(self, *arguments: Any) -> bytes:
        self.settimeout(self.deadline.left_s())
        return super().recv(*arguments)

    def recv_into(self, *arguments: Any, **named: Any) -> int:
        self.settimeout(self.deadline.left_s())
        return super().recv_into(*arguments, **named)

    def sendall(self, *arguments: Any) -> None:
        self.settimeout(self.deadline.left_s())
        super().sendall(*arguments)


class _PatientTlsSocket(_PatientSocket, ssl.SSLSocket):
    """The same with TLS; of the handshake the interpreter bounds the whole."""

    def do_handshake(self, *arguments: Any) -> None:
        self.settimeout(self.deadline.left_s())
        super().do_handshake(*arguments)


def _patient_pools(deadline: _Deadline) -> dict[str, type[urllib3.HTTPConnectionPool]]:
    """Return the library's pools by scheme, with connections that keep a deadline."""

    def connect(connection: urllib3.connection.HTTPConnection) -> socket.socket:
        """Connect to the first address that answers; each try has what the ones before left."""
        host = connection.host.strip("[]")
        failed: OSError | None = None
        try:
            for family, kind, protocol, _, address in socket.getaddrinfo(
                host, connection.port, type=socket.SOCK_STREAM
            ):
                made = _PatientSocket(family, kind, protocol)
                made.deadline = deadline
                try:
                    made.settimeout(deadline.left_s())
                    made.connect(address)
                except OSError as error:
                    made.close()
                    failed = error
                else:
                    return made
        except OSError as error:  # the name is not found
            failed = error
        raise NewConnectionError(connection, str(failed)) from failed

    class Connection(urllib3.connection.HTTPConnection):
        def _new_conn(self) -> socket.socket:
            return connect(self)

    class TlsConnection(urllib3.connection.HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            return connect(self)

    class Pool(urllib3.HTTPConnectionPool):
        ConnectionCls = Connection

    class TlsPool(urllib3.HTTPSConnectionPool):
        ConnectionCls = TlsConnection

    return {"http": Pool, "https": TlsPool}


def _patient_tls(deadline: _Deadline, ca: Path | None) -> ssl.SSLContext:
    """Return the system's trust in certificates, and `ca`'s; with sockets that keep a deadline.

    Raises:
        TrustError: `ca` cannot be read, or holds no certificate.
    """

    class TlsSocket(_PatientTlsSocket):
        """Of this deadline: the context makes its sockets itself."""

    TlsSocket.deadline = deadline
    context = create_urllib3_context(cert_reqs=ssl.CERT_REQUIRED)
    context.load_default_certs()
    if ca is not None:
        add_ca(context, ca)
    context.sslsocket_class = TlsSocket
    return context


def add_ca(context: ssl.SSLContext, ca: Path) -> None:
    """Believe a file's certificates besides those that a context believes already.

    Args:
        context: of a client.
        ca: PEM.

    Raises:
        TrustError: it cannot be read, or holds no certificate.
    """
    try:
        context.load_verify_locations(cafile=str(ca))
    except ssl.SSLError:
        raise TrustError(f"{ca}: no certificates in PEM") from None
    except OSError as error:
        raise TrustError(f"{ca}: cannot be read: {error.strerror}") from None


class DeadlineFetcher(FetcherInterface):
    """Fetches over HTTPS until a deadline that all files of one update share.

    The framework's own fetcher waits for whole chunks and bounds only the gap between two bytes; a
    server that drips would hold an update for days. This one holds the deadline in every call of
    the socket: connecting, TLS, headers, body; redirects are not followed. Only looking a name up
    is the system's, with the system's own limits. Certificates are the system's, and those that a
    place adds for a server of its own; `https_proxy` and `no_proxy` are honoured.

    Args:
        deadline_s: seconds from now.
        clock: monotonic seconds.
        ca: PEM file of certificates believed besides the system's.

    Raises:
        TrustError: `ca` cannot be read, or holds no certificate.
    """

    def __init__(
        self,
        deadline_s: float,
        clock: Callable[[], float] = time.monotonic,
        *,
        ca: Path | None = None,
    ) -> None:
        self._deadline = _Deadline(deadline_s, clock)
        self._tls = _patient_tls(self._deadline, ca)
        self._pools: dict[str, urllib3.PoolManager] = {}

    def _fetch(self, url: str) -> Iterator[bytes]:
        self._check()
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
            self._check()
            cause = getattr(error, "reason", None) or error
            raise DownloadError(f"cannot be reached: {type(cause).__name__}") from error
        if response.status != _OK:
            response.close()
            raise DownloadHTTPError(f"HTTP status {response.status}", response.status)
        return self._chunks(response)

    def _check(self) -> None:
        if self._deadline.over:
            raise SlowRetrievalError("the update took longer than its deadline")

    def _pool(self, url: str) -> urllib3.PoolManager:
        target = urlsplit(url)
        host = target.hostname or ""
        proxy = "" if proxy_bypass(host) else getproxies().get(target.scheme, "")
        if proxy not in self._pools:
            tls = self._tls
            pool = (
                urllib3.ProxyManager(proxy, ssl_context=tls, proxy_ssl_context=tls)
                if proxy
                else urllib3.PoolManager(ssl_context=tls)
            )
            pool.pool_classes_by_scheme = _patient_pools(self._deadline)
            self._pools[proxy] = pool
        return self._pools[proxy]

    def _chunks(self, response: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
        try:
            while chunk := response.read1(_CHUNK):
                self._check()
                yield chunk
        except HTTPError as error:
            self._check()
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
