"""The staff's pages in a real Chromium: served over TLS, before a camera, looked at by axe-core."""

from __future__ import annotations

import contextlib
import datetime as dt
import ipaddress
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from tests.support.browser import launched, serving_on

__all__ = ["AXE", "CAMERA", "axe_problems", "chromium", "serving", "y4m"]

CAMERA = ("--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream")

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


@contextlib.contextmanager
def serving(app: Any, bound: socket.socket, folder: Path, *, host: str) -> Iterator[None]:
    """Serve an application over TLS with a certificate that nobody signed."""
    key, chain = _certificate(folder, host)
    with serving_on(bound, app, ssl_keyfile=str(key), ssl_certfile=str(chain)):
        yield


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
