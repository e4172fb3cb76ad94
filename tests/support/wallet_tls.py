"""The wallet's page over TLS, as a desk serves it, with an issuer beside it, in a real browser.

The browser believes one key (`--ignore-certificate-errors-spki-list`): with certificate errors
ignored altogether, Chromium runs no service worker.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.support.browser import serving_on
from tests.support.paths import ROOT

__all__ = ["BROWSER_ARGUMENTS", "HOSTS", "Certificate", "WalletSite", "issuing", "serving"]

WALLET = ROOT / "agent/wallet"
HOSTS = ("wallet.test", "issuer.test", "other.test")
BROWSER_ARGUMENTS = (
    "--host-resolver-rules=" + ",".join(f"MAP {host} 127.0.0.1" for host in HOSTS),
)
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".webmanifest": "application/manifest+json",
}
_PACKED = {".css", ".html", ".js", ".json", ".svg", ".webmanifest"}


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate for `HOSTS`, and what a browser needs to believe it."""

    file: Path

    @classmethod
    def make(cls, folder: Path) -> Certificate:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "wallet tests")])
        now = datetime.now(UTC)
        made = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(1)
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=30))
            .add_extension(
                x509.SubjectAlternativeName([x509.DNSName(host) for host in HOSTS]), critical=False
            )
            .sign(key, hashes.SHA256())
        )
        pem = serialization.Encoding.PEM
        file = folder / "site.pem"
        file.write_bytes(
            key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
            + made.public_bytes(pem)
        )
        return cls(file)

    def context(self) -> ssl.SSLContext:
        found = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        found.load_cert_chain(self.file)
        return found

    def argument(self) -> str:
        """The browser's argument that has it believe this key."""
        certificate = x509.load_pem_x509_certificate(self.file.read_bytes())
        public = certificate.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        digest = base64.b64encode(hashlib.sha256(public).digest()).decode()
        return f"--ignore-certificate-errors-spki-list={digest}"


@cache
def _file(path: Path, changed_ns: int) -> tuple[bytes, bool]:
    del changed_ns
    data = path.read_bytes()
    return (gzip.compress(data, 6, mtime=0), True) if path.suffix in _PACKED else (data, False)


@dataclass
class WalletSite:
    """The static files, and `issuers.json` of the desk.

    Attributes:
        issuers: what `issuers.json` says.
        sent: bytes of bodies that went out, by path.
        skew_s: added to the `Date` header.
        folder: the files.
    """

    issuers: list[str] = field(default_factory=list)
    sent: dict[str, int] = field(default_factory=dict)
    skew_s: float = 0
    folder: Path = WALLET
    port: int = 0

    @property
    def url(self) -> str:
        return f"https://{HOSTS[0]}:{self.port}/"

    def body(self, path: str) -> tuple[bytes, bool, str] | None:
        """Return body, whether it is packed, and type; None: not here."""
        if path == "/issuers.json":
            return json.dumps({"issuers": self.issuers}).encode(), False, _TYPES[".json"]
        file = (self.folder / (path.lstrip("/") or "index.html")).resolve()
        if not file.is_relative_to(self.folder) or file.suffix not in _TYPES or not file.is_file():
            return None
        return *_file(file, file.stat().st_mtime_ns), _TYPES[file.suffix]


def _handler(site: WalletSite) -> type[BaseHTTPRequestHandler]:
    headers = json.loads((WALLET / "headers.json").read_text())

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer(body=True)

        def do_HEAD(self) -> None:
            self._answer(body=False)

        def date_time_string(self, timestamp: float | None = None) -> str:
            now = time.time() if timestamp is None else timestamp
            return super().date_time_string(now + site.skew_s)

        def log_message(self, *_: Any) -> None:
            return

        def _answer(self, *, body: bool) -> None:
            path = self.path.partition("?")[0]
            found = site.body(path)
            data, packed, kind = found or (b"", False, "text/plain")
            tag = f'"{hashlib.sha256(data).hexdigest()[:16]}"'
            if found and self.headers["If-None-Match"] == tag:
                self.send_response(304)
                self.send_header("ETag", tag)
                self.end_headers()
                return
            self.send_response(404 if found is None else 200)
            self.send_header("ETag", tag)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
            if packed:
                self.send_header("Content-Encoding", "gzip")
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            if body:
                self.wfile.write(data)
                site.sent[path] = site.sent.get(path, 0) + len(data)

    return Handler


@contextmanager
def serving(site: WalletSite, certificate: Certificate) -> Iterator[WalletSite]:
    """Serve the files until the block ends; `site.port` is where."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = False

        def handle_error(self, *_: Any) -> None:
            # A browser that goes away in the middle of a connection is its own business.
            return

    server = Server(("127.0.0.1", 0), _handler(site))
    server.socket = certificate.context().wrap_socket(server.socket, server_side=True)
    site.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def issuing(app: Any, bound: socket.socket, certificate: Certificate) -> Iterator[None]:
    """Serve an issuer's application over TLS until the block ends."""
    file = str(certificate.file)
    with serving_on(bound, app, ssl_certfile=file, ssl_keyfile=file):
        yield
