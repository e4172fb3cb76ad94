"""The deadline of an update holds at every stage: connecting, TLS, headers, body; and no longer."""

from __future__ import annotations

import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from tuf.api.exceptions import DownloadError, DownloadHTTPError, SlowRetrievalError

from agent.trust.fetch import DeadlineFetcher
from agent.trust.model import TrustError
from tests.support.trust_keys import certificate

Stage = Callable[[socket.socket], None]
HEAD = b"HTTP/1.1 200 OK\r\n"


class Clock:
    """Goes on by a second each time that it is looked at."""

    def __init__(self, step: float = 1.0) -> None:
        self.now = 0.0
        self.step = step

    def __call__(self) -> float:
        self.now += self.step
        return self.now


def drip(before: bytes) -> Stage:
    """Return a server that sends `before`, then single bytes for as long as they are taken."""

    def serve(connection: socket.socket) -> None:
        connection.recv(4_096)
        connection.sendall(before)
        while True:
            connection.sendall(b"y")

    return serve


def answer(data: bytes) -> Stage:
    def serve(connection: socket.socket) -> None:
        connection.recv(4_096)
        connection.sendall(data)

    return serve


@contextmanager
def serving(stage: Stage, tls: ssl.SSLContext | None = None) -> Iterator[int]:
    """Serve on a free port until left; yield the port."""

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with suppress(OSError), connection:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if tls is not None:
                    with tls.wrap_socket(connection, server_side=True) as secured:
                        stage(secured)
                else:
                    stage(connection)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


@pytest.fixture
def tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """A server's certificate that the system trusts, for the length of a test."""
    key = ec.generate_private_key(ec.SECP256R1())
    plain = certificate(key, first=1_600_000_000, days=36_500)
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    signed = (
        x509.CertificateBuilder()
        .subject_name(plain.subject)
        .issuer_name(plain.subject)
        .public_key(key.public_key())
        .serial_number(2)
        .not_valid_before(plain.not_valid_before_utc)
        .not_valid_after(plain.not_valid_after_utc)
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = tmp_path / "server.pem"
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    pem.write_bytes(signed.public_bytes(Encoding.PEM) + private)
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context


STAGES: dict[str, Stage] = {
    "status line": drip(b""),
    "header": drip(HEAD + b"X: "),
    "body": drip(HEAD + b"Content-Length: 1000000000\r\n\r\n"),
    "chunks": drip(HEAD + b"Transfer-Encoding: chunked\r\n\r\n9999;"),
}


@pytest.mark.parametrize("secured", [False, True], ids=["http", "https"])
@pytest.mark.parametrize("stage", STAGES)
def test_a_server_that_drips_is_given_up(stage: str, secured: bool, tls: ssl.SSLContext) -> None:
    with serving(STAGES[stage], tls if secured else None) as port:
        clock = Clock()
        fetcher = DeadlineFetcher(30, clock)
        scheme = "https" if secured else "http"
        with pytest.raises(SlowRetrievalError, match="longer than its deadline"):
            for _ in fetcher.fetch(f"{scheme}://127.0.0.1:{port}/x"):
                pass
        assert 30 <= clock.now < 60


@pytest.mark.parametrize("secured", [False, True], ids=["http", "https"])
def test_what_comes_in_time_is_fetched(secured: bool, tls: ssl.SSLContext) -> None:
    sent = HEAD + b"Content-Length: 5\r\n\r\nwhole"
    with serving(answer(sent), tls if secured else None) as port:
        scheme = "https" if secured else "http"
        fetcher = DeadlineFetcher(900)
        assert b"".join(fetcher.fetch(f"{scheme}://127.0.0.1:{port}/x")) == b"whole"


def test_a_redirect_is_not_followed() -> None:
    sent = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 0\r\n\r\n"
    with serving(answer(sent)) as port, pytest.raises(DownloadHTTPError, match="302"):
        list(DeadlineFetcher(900).fetch(f"http://127.0.0.1:{port}/x"))


def test_a_name_that_is_not_found_and_a_port_where_nobody_is() -> None:
    for url in ("http://nowhere.invalid/x", "http://127.0.0.1:9/x"):
        with pytest.raises(DownloadError, match="cannot be reached"):
            list(DeadlineFetcher(900).fetch(url))


def test_nothing_is_asked_after_the_deadline() -> None:
    asked = threading.Event()
    with serving(lambda _: asked.set()) as port:
        with pytest.raises(SlowRetrievalError):
            list(DeadlineFetcher(1, Clock()).fetch(f"http://127.0.0.1:{port}/x"))
        assert not asked.is_set()


def test_a_place_adds_its_own_ca_besides_the_systems(
    tmp_path: Path, tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    sent = HEAD + b"Content-Length: 5\r\n\r\nwhole"
    stranger = certificate(ec.generate_private_key(ec.SECP256R1())).public_bytes(Encoding.PEM)
    (tmp_path / "stranger.pem").write_bytes(stranger)
    with serving(answer(sent), tls) as port:
        url = f"https://127.0.0.1:{port}/x"
        for ca in (None, tmp_path / "stranger.pem"):
            with pytest.raises(DownloadError, match="SSLError"):
                list(DeadlineFetcher(900, ca=ca).fetch(url))
        fetcher = DeadlineFetcher(900, ca=tmp_path / "server.pem")
        assert b"".join(fetcher.fetch(url)) == b"whole"


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("none.pem", "No such file"),
        ("junk.pem", "no certificates"),
        (".", r"certificates|directory"),
    ],
)
def test_a_ca_that_cannot_be_used_is_named(tmp_path: Path, name: str, why: str) -> None:
    (tmp_path / "junk.pem").write_bytes(b"junk")
    with pytest.raises(TrustError, match=rf"^{tmp_path / name}: .*({why})"):
        DeadlineFetcher(900, ca=tmp_path / name)
