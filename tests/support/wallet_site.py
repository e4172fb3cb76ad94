"""The wallet in a real Chromium: its files served at one origin, a real desk's issuer at another."""

from __future__ import annotations

import contextlib
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from tests.support.paths import ROOT

__all__ = [
    "Authenticator",
    "a_chromium",
    "a_phone",
    "listening",
    "origin_of",
    "serving",
    "wallet_app",
]

_ARGUMENTS = [
    "--no-sandbox", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--no-first-run", "--disable-quic",
]  # fmt: skip
_POLICY = (
    "default-src 'none'; script-src 'self'; connect-src 'self' http://localhost:*; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)


def listening() -> socket.socket:
    """Return a socket that listens on a free loopback port."""
    return socket.create_server(("127.0.0.1", 0))


def origin_of(bound: socket.socket) -> str:
    """Return where a browser finds it; this name needs no certificate."""
    return f"http://localhost:{bound.getsockname()[1]}"


@contextlib.contextmanager
def serving(app: Any, bound: socket.socket) -> Iterator[None]:
    """Serve an application in a thread."""
    config = uvicorn.Config(
        app, log_config=None, lifespan="off", access_log=False, timeout_graceful_shutdown=1,
        http="h11", ws="none",
    )  # fmt: skip
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
    thread.start()
    until = time.monotonic() + 10
    while not server.started and thread.is_alive() and time.monotonic() < until:
        time.sleep(0.01)
    try:
        assert server.started
        yield
    finally:
        server.should_exit = True
        thread.join(10)
        bound.close()


def wallet_app(issuers: list[str]) -> Starlette:
    """Return the wallet's origin: its files, its issuers, and a page with nothing on it."""

    async def known(_: Request) -> Response:
        return JSONResponse({"issuers": issuers})

    async def blank(_: Request) -> Response:
        page = "<!doctype html><title>Wallet</title>"
        return HTMLResponse(page, headers={"Content-Security-Policy": _POLICY})

    files = StaticFiles(directory=ROOT / "agent" / "wallet")
    return Starlette(
        routes=[Route("/issuers.json", known), Route("/blank", blank), Mount("/", files)]
    )


@contextlib.contextmanager
def a_chromium() -> Iterator[Any]:
    """Give a running Chromium; a visible skip where there is none."""
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("Chromium is not installed")
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=program, args=_ARGUMENTS)
        yield browser
        browser.close()


@contextlib.contextmanager
def a_phone(browser: Any, folder: Path) -> Iterator[Any]:
    """Give a context whose profile stays in a folder, as on a phone; another start finds it again."""
    context = browser.browser_type.launch_persistent_context(
        folder, executable_path=shutil.which("chromium"), args=_ARGUMENTS
    )
    yield context
    context.close()


class Authenticator:
    """A platform's authenticator that is not there: its user is verified until told otherwise."""

    def __init__(self, page: Any, *, prf: bool) -> None:
        self._link = page.context.new_cdp_session(page)
        self._link.send("WebAuthn.enable")
        options = {
            "protocol": "ctap2", "ctap2Version": "ctap2_1", "transport": "internal",
            "hasResidentKey": True, "hasUserVerification": True, "hasPrf": prf,
            "isUserVerified": True, "automaticPresenceSimulation": True,
        }  # fmt: skip
        made = self._link.send("WebAuthn.addVirtualAuthenticator", {"options": options})
        self._id = made["authenticatorId"]

    def verifies(self, verified: bool) -> None:
        """Say whether the finger fits; after one that does not, this one stays blocked."""
        self._link.send(
            "WebAuthn.setUserVerified", {"authenticatorId": self._id, "isUserVerified": verified}
        )

    def clear(self) -> None:
        """Forget its passkeys, as a person can in the phone's settings."""
        self._link.send("WebAuthn.clearCredentials", {"authenticatorId": self._id})
