"""A real Chromium with an authenticator of its own, and applications served to it by a real server."""

from __future__ import annotations

import contextlib
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn

__all__ = ["ARGUMENTS", "Authenticator", "launched", "listening", "serving_on"]

ARGUMENTS = (
    "--no-sandbox", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--no-first-run", "--disable-quic",
)  # fmt: skip
"""Without them it looks for hosts of its maker's, and does not start as root."""


@contextlib.contextmanager
def launched(*arguments: str) -> Iterator[Any]:
    """Give a running Chromium; a visible skip where there is none.

    Args:
        arguments: besides the usual ones.
    """
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("Chromium is not installed")
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=program, args=[*ARGUMENTS, *arguments])
        yield browser
        browser.close()


def listening() -> socket.socket:
    """Return a socket that listens on a free loopback port."""
    return socket.create_server(("127.0.0.1", 0))


@contextlib.contextmanager
def serving_on(bound: socket.socket, app: Any, **options: Any) -> Iterator[None]:
    """Serve an application in a thread until the block ends.

    Args:
        bound: from `listening`; closed at the end.
        app: ASGI.
        options: uvicorn's, such as a certificate.
    """
    config = uvicorn.Config(
        app, log_config=None, lifespan="off", access_log=False, timeout_graceful_shutdown=1,
        http="h11", ws="none", **options,
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


class Authenticator:
    """A platform's authenticator that is not there: its user is verified until told otherwise.

    Args:
        page: of Playwright.
        prf: whether it gives secrets of its own.
    """

    def __init__(self, page: Any, *, prf: bool = False) -> None:
        self._link = page.context.new_cdp_session(page)
        self._link.send("WebAuthn.enable")
        options = {
            "protocol": "ctap2", "ctap2Version": "ctap2_1", "transport": "internal",
            "hasResidentKey": True, "hasUserVerification": True, "hasPrf": prf,
            "isUserVerified": True, "automaticPresenceSimulation": True,
        }  # fmt: skip
        made = self._link.send("WebAuthn.addVirtualAuthenticator", {"options": options})
        self._id = made["authenticatorId"]

    def credentials(self) -> list[dict[str, Any]]:
        """Return what it holds, private keys and all."""
        answer = self._link.send("WebAuthn.getCredentials", {"authenticatorId": self._id})
        found: list[dict[str, Any]] = answer["credentials"]
        return found

    def put(self, credential: dict[str, Any]) -> None:
        """Give it a credential of another one."""
        self._link.send(
            "WebAuthn.addCredential", {"authenticatorId": self._id, "credential": credential}
        )

    def verifies(self, verified: bool) -> None:
        """Say whether the finger fits; after one that does not, this one stays blocked."""
        self._link.send(
            "WebAuthn.setUserVerified", {"authenticatorId": self._id, "isUserVerified": verified}
        )

    def clear(self) -> None:
        """Forget its passkeys, as a person can in the phone's settings."""
        self._link.send("WebAuthn.clearCredentials", {"authenticatorId": self._id})
