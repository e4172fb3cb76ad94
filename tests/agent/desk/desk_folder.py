"""A desk's folder as the tests of its parts need one."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from agent.desk.desk import ISSUER_KEY, SITE_KEY, Desk, open_desk
from agent.desk.seal import SiteKey
from agent.desk.serve import Apps, serve
from agent.issuing.keys import SigningKey
from hal.service_manager import ServiceManager

NOW = 1_790_000_000


class Clock:
    """Stands still until it is set."""

    def __init__(self, now: int = NOW) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now


def make(folder: Path, *, web: str = "", more: str = "", clock: Clock | None = None) -> Desk:
    """Make a folder with settings and keys, and open it; the caller closes it."""
    folder.mkdir(exist_ok=True)
    (folder / "desk.toml").write_text(
        f"""
[place]
site = "lib"
name = "City Library"
[issuer]
name = "lib"
iss = "https://lib.example"
[web]
{web}
{more}
"""
    )
    SiteKey.make(folder / SITE_KEY)
    (folder / ISSUER_KEY).write_bytes(SigningKey.new("ES256").private_pem())
    return open_desk(folder / "desk.toml", clock=clock or Clock())


class Browser:
    """Asks an application in this process, each request on a connection of its own."""

    def __init__(self, app: Any, base_url: str = "http://desk.localhost") -> None:
        self._app, self._base = app, base_url

    def __call__(self, method: str, path: str, **more: Any) -> httpx.Response:
        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(self._app)
            async with httpx.AsyncClient(transport=transport, base_url=self._base) as client:
                return await client.request(method, path, **more)

        return asyncio.run(ask())

    def get(self, path: str, **more: Any) -> httpx.Response:
        return self("GET", path, **more)

    def post(self, path: str, **more: Any) -> httpx.Response:
        return self("POST", path, **more)

    def head(self, path: str, **more: Any) -> httpx.Response:
        return self("HEAD", path, **more)


def free_ports(count: int = 3) -> list[int]:
    """Return ports of the loopback address that nobody listens on."""
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    found = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return found


class Visit(threading.Thread):
    """What a test does from outside while the desk serves in this thread; ends it after."""

    def __init__(self, what: Callable[[], None]) -> None:
        super().__init__()
        self._what = what
        self.error: BaseException | None = None
        self.begin = threading.Event()

    def run(self) -> None:
        try:
            assert self.begin.wait(20)
            self._what()
        except BaseException as error:  # noqa: BLE001 - raised in the test's own thread
            self.error = error
        finally:
            os.kill(os.getpid(), signal.SIGTERM)


def served(desk: Desk, apps: Apps, what: Callable[[], None], **options) -> int:
    visit = Visit(what)
    visit.start()
    try:
        code = serve(desk, apps, ready=visit.begin.set, manager=ServiceManager({}), **options)
    finally:
        visit.begin.set()
        visit.join(20)
    if visit.error is not None:
        raise visit.error
    return code
