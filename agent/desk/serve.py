"""The desk as one process: three origins on three ports, and what is done beside them.

    staff   the web application of the place's staff
    issuer  OpenID4VCI for phones; `/trust/` and `/join/` for gates; `/ca.pem`
    wallet  the page that phones install, static

Rules:
- three ports are three origins to a browser: a page of one reads nothing of another, and an
  injection at the staff's desk does not reach the keys on a phone;
- plain HTTP is served to this machine only;
- sockets are bound before anything is said to be ready: a port that is taken is one line;
- a connection that says nothing whole in time is closed; there are only so many at once;
- SIGTERM ends it: what is being answered gets a few seconds, then the database is let go.

The applications are given as they are; this module knows none of their routes.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import json
import logging
import signal
import socket
import ssl
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any, Final
from urllib.parse import urlsplit

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from agent import exits, log
from agent.desk.authority import CertificateError
from agent.desk.certificate import Certificate, certificate_for, context_of
from agent.desk.desk import Desk
from agent.desk.guard import COMMON_HEADERS, App, Guard, Limits
from agent.desk.settings import DeskSettings
from agent.exits import Exit
from hal.service_manager import ServiceManager

__all__ = ["Apps", "ServeError", "guarded", "serve", "wallet_headers"]

CONNECTIONS: Final = 512
HEADER_S: Final = 20.0
GRACE_S: Final = 5
UPKEEP_S: Final = 60.0

_MIB: Final = 2**20
_LIMITS: Final = {
    "staff": Limits(body_bytes=24 * _MIB, body_s=120.0),  # an import of 16 MiB, in a form
    "issuer": Limits(body_bytes=5 * _MIB),  # four pictures of 600 KiB, in base64
    "wallet": Limits(body_bytes=0),
}
_POLICY: Final = "content-security-policy"
_PORTS: Final = {"https": 443, "http": 80}

_log = log.get(__name__)


class ServeError(ValueError):
    """The desk cannot be served; one line for the operator."""


@dataclass(frozen=True, slots=True)
class Apps:
    """The three applications (ASGI).

    Attributes:
        close: ends what they hold, once none is served any more.
    """

    staff: App
    issuer: App
    wallet: App
    close: Callable[[], object] = lambda: None


def guarded(settings: DeskSettings, apps: Apps) -> Apps:
    """Return the applications as the network meets them: with limits, hosts and headers."""
    also = (*settings.web.also, "localhost", "127.0.0.1")

    def one(name: str, app: App, origin: str, headers: dict[str, str]) -> Guard:
        parts = urlsplit(origin)
        port = parts.port or _PORTS[parts.scheme]
        names = {parts.hostname or "", *also}
        known = {f"{_bracketed(host)}:{port}" for host in names}
        if port == _PORTS[parts.scheme]:
            known |= {_bracketed(host) for host in names}
        return Guard(
            app, origin=name, hosts=known, limits=_LIMITS[name],
            headers={**COMMON_HEADERS, **headers},
        )  # fmt: skip

    web = settings.web
    return Apps(
        one("staff", apps.staff, web.staff, {"cross-origin-resource-policy": "same-origin"}),
        one("issuer", apps.issuer, web.issuer, {"cross-origin-resource-policy": "cross-origin"}),
        one("wallet", apps.wallet, web.wallet, wallet_headers(settings)),
        apps.close,
    )


def wallet_headers(settings: DeskSettings) -> dict[str, str]:
    """Return the headers that the wallet's page asks to be served with, by lower-case name.

    Its own policy lets it fetch from any https origin, for it does not know where it will be
    served; here it is known who issues.
    """
    text = (resources.files("agent.wallet") / "headers.json").read_text("utf-8")
    found = {name.lower(): str(value) for name, value in json.loads(text).items()}
    policy = [part for part in found[_POLICY].split(";") if part.split()[:1] != ["connect-src"]]
    found[_POLICY] = ";".join([*policy, f" connect-src 'self' {settings.web.issuer}"])
    del found["cache-control"]  # the page says it itself, file by file
    return found


def serve(
    desk: Desk,
    apps: Apps,
    *,
    upkeep: Sequence[Callable[[], object]] = (),
    ready: Callable[[], object] = lambda: None,
    manager: ServiceManager | None = None,
) -> int:
    """Serve until SIGTERM or SIGINT; return the exit code.

    Args:
        desk: open; the caller closes it.
        apps: not yet guarded.
        upkeep: called one after another each minute, in a thread; an exception is logged.
        ready: called once all three origins answer.
        manager: the service manager; None looks for systemd's.

    Raises:
        ServeError: a port, a certificate or an origin cannot be used.
    """
    logging.getLogger("uvicorn").setLevel(logging.WARNING)  # the rest is ours to say
    served = guarded(desk.settings, apps)
    try:
        certificate = _certificate(desk)
        context = None if certificate is None else context_of(certificate)
        with contextlib.ExitStack() as stack:
            sockets = {
                name: stack.enter_context(_bind(desk.settings, origin))
                for name, origin in _origins(desk.settings).items()
            }
            work = _Work(desk, context, certificate, upkeep)
            servers = [
                _server(getattr(served, name), context if origin.startswith("https:") else None)
                for name, origin in _origins(desk.settings).items()
            ]
            return asyncio.run(
                _run(
                    servers, [*sockets.values()], work,
                    ready=ready, manager=manager or ServiceManager(),
                )
            )  # fmt: skip
    except CertificateError as error:
        raise ServeError(str(error)) from None


def _certificate(desk: Desk) -> Certificate | None:
    """Return the certificate, None where no origin needs one."""
    if all(origin.startswith("http:") for origin in _origins(desk.settings).values()):
        return None
    return certificate_for(desk.settings, now=desk.clock())


def _origins(settings: DeskSettings) -> dict[str, str]:
    web = settings.web
    return {"staff": web.staff, "issuer": web.issuer, "wallet": web.wallet}


async def _run(
    servers: Sequence[_Server],
    sockets: Sequence[socket.socket],
    work: _Work,
    *,
    ready: Callable[[], object],
    manager: ServiceManager,
) -> int:
    ending = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ending.set)
    running = [
        asyncio.create_task(server.serve(sockets=[bound]))
        for server, bound in zip(servers, sockets, strict=True)
    ]
    stopped = asyncio.create_task(ending.wait())
    try:
        while not all(server.started for server in servers):
            if any(task.done() for task in running):
                break
            await asyncio.sleep(0.005)
        else:
            manager.ready()
            ready()
        keeper = asyncio.create_task(work.go_on())
        # A server that ends by itself has failed: the others end with it.
        await asyncio.wait([*running, stopped], return_when=asyncio.FIRST_COMPLETED)
        manager.stopping()
        keeper.cancel()
        await asyncio.gather(keeper, return_exceptions=True)
    finally:
        stopped.cancel()
        for server in servers:
            server.should_exit = True
        results = await asyncio.gather(*running, return_exceptions=True)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
    failed = [result for result in results if isinstance(result, Exception)]
    for error in failed:
        _log.error("server_failed", what=exits.ending(error)[1])
    return Exit.FAULT if failed or not ending.is_set() else Exit.DONE


class _Work:
    """What is done beside the answers: upkeep, and the certificate read or made anew."""

    def __init__(
        self,
        desk: Desk,
        context: ssl.SSLContext | None,
        certificate: Certificate | None,
        upkeep: Sequence[Callable[[], object]],
    ) -> None:
        self._desk = desk
        self._context = context
        if context is not None:
            context.sni_callback = self._choose
        self._certificate = certificate
        self._stamp = _stamp(certificate)
        self._upkeep = (self.renew, *upkeep)

    async def go_on(self) -> None:
        """Do it each minute."""
        while True:
            for each in self._upkeep:
                try:
                    await asyncio.to_thread(each)
                except Exception as error:  # noqa: BLE001 - the desk goes on, and says so
                    _log.error("upkeep_failed", what=exits.ending(error)[1])
            await asyncio.sleep(UPKEEP_S)

    def renew(self) -> None:
        """Show a new certificate to who connects from now on, where there is one."""
        if self._context is None:
            return
        found = certificate_for(self._desk.settings, now=self._desk.clock())
        if _stamp(found) == self._stamp:
            return
        # A context of its own, taken whole by each handshake that begins from now on: one that is
        # in the middle keeps certificate and key together. Files that do not fit raise, and the
        # old certificate serves on.
        self._context = context_of(found)
        self._certificate, self._stamp = found, _stamp(found)
        _log.info("certificate_renewed", expires_at=found.expires_at)

    def _choose(self, line: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        """Give a handshake the certificate of this moment; called also without a name."""
        if self._context is not None:
            line.context = self._context


def _stamp(certificate: Certificate | None) -> tuple[float, ...]:
    if certificate is None:
        return ()
    return tuple(path.stat().st_mtime for path in (certificate.chain, certificate.key))


class _Server(uvicorn.Server):
    """One of three in a process: signals are the process's own business."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


class _Protocol(H11Protocol):
    """HTTP/1.1 that closes who connects and says nothing whole: uvicorn waits for ever."""

    def connection_made(self, transport: Any) -> None:
        """Begin to count."""
        super().connection_made(transport)
        self._late = self.loop.call_later(HEADER_S, self._close_late)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop counting."""
        self._late.cancel()
        super().connection_lost(exc)

    def _close_late(self) -> None:
        cycle: object | None = self.cycle  # uvicorn's type leaves out that there may be none yet
        if cycle is None:
            self.transport.abort()


def _server(app: App, context: ssl.SSLContext | None) -> _Server:
    config = uvicorn.Config(
        app,
        http=_Protocol,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,  # its lines hold paths, and paths hold codes
        server_header=False,
        proxy_headers=False,
        limit_concurrency=CONNECTIONS,
        timeout_keep_alive=5,
        timeout_graceful_shutdown=GRACE_S,
    )
    config.load()
    config.ssl = context
    return _Server(config)


def _bind(settings: DeskSettings, origin: str) -> socket.socket:
    """Return the listening socket of an origin.

    Raises:
        ServeError: it cannot be had, or would speak plain HTTP to the network.
    """
    parts = urlsplit(origin)
    port = parts.port or _PORTS[parts.scheme]
    where = settings.web.bind
    try:
        address = ipaddress.ip_address(where)
    except ValueError:
        raise ServeError(f"web.bind: {where!r}: an IP address is needed") from None
    if parts.scheme == "http" and not address.is_loopback:
        raise ServeError(
            f"{origin}: plain HTTP is for this machine only; set web.bind to 127.0.0.1, or https"
        )
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    both = address.version == 6 and not int(address)
    try:
        return socket.create_server(
            (where, port), family=family, backlog=256, dualstack_ipv6=both and socket.has_ipv6
        )
    except OSError as error:
        raise ServeError(
            f"{origin}: cannot listen on {where} port {port}: {error.strerror}"
        ) from None


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
