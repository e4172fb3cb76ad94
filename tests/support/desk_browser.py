"""The staff's pages in a real Chromium: served over TLS, with an authenticator of its own."""

from __future__ import annotations

import contextlib
import datetime as dt
import ipaddress
import os
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

__all__ = [
    "AXE", "Authenticator", "axe_problems", "chromium", "launched", "listening", "serving", "y4m",
]  # fmt: skip

_ARGUMENTS = [
    "--no-sandbox", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--no-first-run", "--disable-quic", "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
]  # fmt: skip
AXE = next(
    (
        path
        for folder in (
            os.environ.get("NODE_PATH", ""), "node_modules", "/usr/lib/node_modules",
            "/usr/share/nodejs",
        )
        if folder and (path := Path(folder) / "axe-core" / "axe.min.js").exists()
    ),
    None,
)  # fmt: skip
"""axe-core, where npm has put it."""


def listening() -> socket.socket:
    """Return a socket that listens on a free loopback port."""
    return socket.create_server(("127.0.0.1", 0))


@contextlib.contextmanager
def serving(app: Any, bound: socket.socket, folder: Path, *, host: str) -> Iterator[None]:
    """Serve an application over TLS with a certificate that nobody signed."""
    key, chain = _certificate(folder, host)
    config = uvicorn.Config(
        app, ssl_keyfile=str(key), ssl_certfile=str(chain), log_config=None, lifespan="off",
        access_log=False, timeout_graceful_shutdown=1, http="h11", ws="none",
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
        browser = running.chromium.launch(executable_path=program, args=[*_ARGUMENTS, *arguments])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """A running Chromium."""
    with launched() as browser:
        yield browser


def y4m(picture: Any, file: Path) -> str:
    """Write a film of one picture, and return the argument that makes it Chromium's camera.

    Args:
        picture: (H, W, 3) uint8 RGB, sides even.
        file: to write.
    """
    import cv2

    height, width = picture.shape[:2]
    frame = cv2.cvtColor(picture, cv2.COLOR_RGB2YUV_I420).tobytes()
    head = f"YUV4MPEG2 W{width} H{height} F15:1 Ip A1:1 C420jpeg\n".encode()
    file.write_bytes(head + (b"FRAME\n" + frame) * 2)
    return f"--use-file-for-fake-video-capture={file}"


class Authenticator:
    """A virtual authenticator of a page, that has verified its user.

    Args:
        page: of Playwright.
    """

    def __init__(self, page: Any) -> None:
        self._link = page.context.new_cdp_session(page)
        self._link.send("WebAuthn.enable")
        made = self._link.send(
            "WebAuthn.addVirtualAuthenticator",
            {
                "options": {
                    "protocol": "ctap2", "ctap2Version": "ctap2_1", "transport": "internal",
                    "hasResidentKey": True, "hasUserVerification": True, "isUserVerified": True,
                    "automaticPresenceSimulation": True,
                }
            },
        )  # fmt: skip
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
        """Say whether the finger fits."""
        self._link.send(
            "WebAuthn.setUserVerified",
            {"authenticatorId": self._id, "isUserVerified": verified},
        )


def axe_problems(page: Any) -> list[str]:
    """Return what axe-core finds on a page, for WCAG 2.2 AA; a visible skip where it is not there."""
    if AXE is None:
        pytest.skip("axe-core is not installed")
    # The policy forbids a script of ours in the page: it is evaluated as the debugger does.
    page.evaluate(AXE.read_text(encoding="utf-8") + "; null")
    tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
    found = page.evaluate("(tags) => axe.run(document, {runOnly: tags})", tags)
    assert len(found["passes"]) > 5, "it did not look"
    return [
        f"{page.url}: {each['id']}: {node['html'][:200]}"
        for each in found["violations"]
        for node in each["nodes"]
    ]


def _certificate(folder: Path, host: str) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    now = dt.datetime.now(dt.UTC)
    names = [x509.DNSName(host), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=2))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA256())
    )
    key_file, chain = folder / f"{host}.key.pem", folder / f"{host}.pem"
    key_file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    chain.write_bytes(made.public_bytes(Encoding.PEM))
    return key_file, chain
