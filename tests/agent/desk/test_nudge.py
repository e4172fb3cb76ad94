"""From a revocation at the desk to a gate that denies: real broker, real HTTPS, real daemon."""

from __future__ import annotations

import ipaddress
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from agent.desk.desk import NUDGE_KEY
from agent.desk.nudge import MqttNudge, Told
from agent.desk.publishing import Publisher
from agent.desk.tables import gates
from agent.issuing.issue import present
from tests.support import gate_on_disk
from tests.support.gate_on_disk import GateOnDisk, until
from tests.support.trust_desks import TrustDesk
from tests.support.trust_keys import certificate

pytestmark = pytest.mark.broker
gate = gate_on_disk.gate
free_port = gate_on_disk.free_port


def joined(place: TrustDesk, *names: str) -> None:
    now = place.clock.now
    with place.desk.store.write() as connection:
        for name in names:
            connection.execute(gates.insert().values(name=name, created_at=now, joined_at=now))
        connection.execute(gates.insert().values(name="expected", created_at=now))


def a_place(folder: Path, broker: str) -> TrustDesk:
    return TrustDesk(folder, more=f'[broker]\nurl = "{broker}"\n')


@pytest.fixture
def place(tmp_path: Path, mosquitto: Callable) -> Iterator[TrustDesk]:
    made = a_place(tmp_path, mosquitto().url)
    yield made
    made.desk.close()


# --- what is told --------------------------------------------------------------------------------


def test_only_gates_that_joined_are_told_and_one_that_is_off_holds_nobody_up(
    place: TrustDesk,
) -> None:
    assert MqttNudge(place.desk).tell() == ()
    joined(place, *(f"gate-{number}" for number in range(12)))
    begin = time.monotonic()
    told = MqttNudge(place.desk, timeout_s=0.5).tell()
    assert time.monotonic() - begin < 5
    assert [each.gate for each in told] == sorted(f"gate-{number}" for number in range(12))
    assert {each.error for each in told} == {"no answer; it will look for itself"}


def test_what_cannot_be_told_is_said_and_not_raised(tmp_path: Path, free_port: int) -> None:
    place = a_place(tmp_path, f"mqtt://127.0.0.1:{free_port}")
    try:
        joined(place, "main")
        (told,) = MqttNudge(place.desk, timeout_s=0.5).tell()
        assert told.error
        assert "\n" not in told.error
        (place.folder / NUDGE_KEY).unlink()
        (told,) = MqttNudge(place.desk).tell()
        assert told == Told("main", f"{place.folder / NUDGE_KEY}: No such file or directory")
    finally:
        place.desk.close()


def test_a_broker_that_is_no_url_is_said(tmp_path: Path) -> None:
    place = a_place(tmp_path, "https://broker")
    try:
        joined(place, "main")
        (told,) = MqttNudge(place.desk).tell()
        assert "allowed are mqtt://HOST[:PORT]" in told.error
    finally:
        place.desk.close()


# --- the whole way -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Server:
    """A trust server with a certificate that only its own CA file vouches for."""

    url: str
    ca: Path


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def served(folder: Path, scratch: Path) -> Iterator[Server]:
    key = ec.generate_private_key(ec.SECP256R1())
    plain = certificate(key, "desk", first=int(time.time()) - 60, days=30)
    host = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    signed = (
        x509.CertificateBuilder()
        .subject_name(plain.subject)
        .issuer_name(plain.subject)
        .public_key(key.public_key())
        .serial_number(2)
        .not_valid_before(plain.not_valid_before_utc)
        .not_valid_after(plain.not_valid_after_utc)
        .add_extension(host, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    ca, pem = scratch / "desk-ca.pem", scratch / "server.pem"
    ca.write_bytes(signed.public_bytes(Encoding.PEM))
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    pem.write_bytes(ca.read_bytes() + private)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield Server(f"https://127.0.0.1:{server.server_port}", ca)
        finally:
            server.shutdown()
            thread.join()


def test_from_revoke_to_a_gate_that_denies_in_seconds(
    gate: GateOnDisk, mosquitto: Callable, tmp_path: Path, record_property: Callable
) -> None:
    broker = mosquitto()
    place = a_place(tmp_path / "place", broker.url)
    publisher = Publisher(place.desk, MqttNudge(place.desk))
    issued = place.issue()
    publisher.publish(who="desk")
    joined(place, "g")
    cache = place.gate(gate.path / "cache")
    with served(place.repository, tmp_path) as server:
        gate.write(
            gate="denial_s = 0.2",
            trust=f'directory = "cache"\nsigned = true\nurl = "{server.url}"\nca = "{server.ca}"\n'
            "refresh_s = 86400",
            mqtt=f'url = "{broker.url}"',
        )
        gate.config.write_text(gate.config.read_text().replace('site = "s"', 'site = "library"'))

        def code() -> str:
            return present(issued.token, place.holder, at=int(time.time()), audience="library/g")

        try:
            gate.run()  # fetches its first set over HTTPS, by the CA of the settings
            gate.ready()
            until(lambda: "/cmd/" in broker.log(), "listening")
            assert gate.judged(code()) == "granted"
            time.sleep(1.1)  # a command of the second in which the gate connected is refused
            begin = time.monotonic()
            place.credentials.revoke(place.member.reference, "ada")
            published = publisher.publish(who="ada")
            told_s = time.monotonic() - begin
            assert published.told == (Told("g"),)
            reason = "granted"
            while reason == "granted" and time.monotonic() - begin < 10:
                reason = gate.judged(code())
            denied_s = time.monotonic() - begin
        finally:
            place.desk.close()
        assert reason == "revoked"
        assert denied_s < 10
        record_property("told_s", round(told_s, 2))
        record_property("denied_s", round(denied_s, 2))
        print(f"from revoke: published and told {told_s:.2f} s, denied {denied_s:.2f} s")
    assert cache.load().version == published.version
