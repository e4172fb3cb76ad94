"""The wallet in a real Chromium: its files served at one origin, a real desk's issuer at another."""

from __future__ import annotations

import contextlib
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from tests.support.browser import ARGUMENTS
from tests.support.paths import ROOT

__all__ = ["a_phone", "origin_of", "wallet_app"]

_POLICY = (
    "default-src 'none'; script-src 'self'; connect-src 'self' http://localhost:*; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)


def origin_of(bound: socket.socket) -> str:
    """Return where a browser finds it; this name needs no certificate."""
    return f"http://localhost:{bound.getsockname()[1]}"


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
def a_phone(browser: Any, folder: Path) -> Iterator[Any]:
    """Give a context whose profile stays in a folder, as on a phone; another start finds it again."""
    context = browser.browser_type.launch_persistent_context(
        folder, executable_path=shutil.which("chromium"), args=[*ARGUMENTS]
    )
    yield context
    context.close()
