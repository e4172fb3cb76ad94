"""The desk's own authority and certificate, held by the TLS library that gates and browsers use."""

from __future__ import annotations

import datetime as dt
import hashlib
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from agent.desk.authority import (
    CLIENT,
    SERVER,
    Authority,
    CertificateError,
    new_key,
    private_pem,
    read_request,
)
from agent.desk.certificate import CA, certificate_for, context_of, hosts, how_to_trust
from agent.desk.settings import DeskSettings, load_desk
from tests.agent.desk.desk_folder import make

DAY = 86_400
REAL = int(dt.datetime.now(dt.UTC).timestamp())  # the TLS library has the machine's own clock
WEB = """
staff = "https://desk.lan:8443"
issuer = "https://desk.lan:8444"
wallet = "https://wallet.lan:8445"
also = ["192.168.7.5"]
"""


def settings(folder: Path, web: str = WEB) -> DeskSettings:
    make(folder, web=web).close()
    return load_desk(folder / "desk.toml")


def handshake(server: ssl.SSLContext, ca: bytes, name: str) -> None:
    """Do a whole handshake in memory; raise what the client raises."""
    client = ssl.create_default_context(cadata=ssl.PEM_cert_to_DER_cert(ca.decode()))
    client.verify_flags |= ssl.VERIFY_X509_STRICT  # the default from Python 3.13 on
    shake(server, client, name)


def shake(server: ssl.SSLContext, client: ssl.SSLContext, name: str) -> None:
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(to_client, to_server, server_hostname=name),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    waiting = list(ends)
    for _ in range(10):
        for end in list(waiting):
            try:
                end.do_handshake()
                waiting.remove(end)
            except ssl.SSLWantReadError:
                continue
    assert not waiting


@pytest.mark.parametrize("name", ["desk.lan", "wallet.lan", "192.168.7.5"])
def test_each_name_and_address_is_believed(tmp_path: Path, name: str) -> None:
    found = certificate_for(settings(tmp_path), now=REAL)
    assert found.ca is not None
    handshake(context_of(found), found.ca.read_bytes(), name)


@pytest.mark.parametrize(
    ("names", "other"),
    [
        (["desk.lan"], "bank.example"),
        (["desk.lan"], "10.0.0.1"),  # of a kind of which none is named
        (["192.168.7.5"], "bank.example"),
        (["192.168.7.5"], "192.168.7.6"),
    ],
)
def test_a_stolen_authority_opens_no_other_site(tmp_path: Path, names, other) -> None:
    authority = Authority.make("desk", now=REAL, purposes=[SERVER], names=names)
    key = new_key()
    file = tmp_path / "forged.pem"
    forged = authority.server(key.public_key(), [other], now=REAL, days=30)
    file.write_bytes(private_pem(key) + forged)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    with pytest.raises(ssl.SSLCertVerificationError, match="subtree"):
        handshake(context, authority.pem(), other)
    assert not authority.covers([other])
    assert authority.covers(names)


@pytest.mark.parametrize("purposes", [[SERVER], [SERVER, CLIENT]])
def test_an_authority_of_servers_vouches_for_no_client(tmp_path: Path, purposes) -> None:
    authority = Authority.make("it", now=REAL, purposes=purposes)
    contexts = []
    for side, role in ((ssl.PROTOCOL_TLS_SERVER, "server"), (ssl.PROTOCOL_TLS_CLIENT, "client")):
        key = new_key()
        pem = (
            authority.server(key.public_key(), ["desk.lan"], now=REAL, days=9)
            if role == "server"
            else authority.client(key.public_key(), "gate-1", now=REAL, days=9)
        )
        (tmp_path / role).write_bytes(private_pem(key) + pem)
        context = ssl.SSLContext(side)
        context.load_cert_chain(tmp_path / role)
        context.load_verify_locations(cadata=authority.pem().decode())
        context.verify_mode = ssl.CERT_REQUIRED
        contexts.append(context)
    server, client = contexts
    client.maximum_version = ssl.TLSVersion.TLSv1_2  # the server's verdict within the handshake
    if CLIENT in purposes:
        shake(server, client, "desk.lan")
    else:
        with pytest.raises(ssl.SSLCertVerificationError, match="purpose"):
            shake(server, client, "desk.lan")


def test_it_is_kept_until_a_month_before_its_end_and_renewed_then(tmp_path: Path) -> None:
    place = settings(tmp_path)
    first = certificate_for(place, now=REAL)
    content = first.chain.read_bytes()
    assert first.expires_at - REAL == 397 * DAY
    assert certificate_for(place, now=REAL + 366 * DAY) == first
    assert first.chain.read_bytes() == content
    second = certificate_for(place, now=REAL + 368 * DAY)
    assert second.expires_at == REAL + (368 + 397) * DAY
    assert second.chain.read_bytes() != content
    assert second.sha256 == first.sha256  # who trusted the authority trusts on


def test_another_name_in_the_settings_is_told_and_not_certified(tmp_path: Path) -> None:
    certificate_for(settings(tmp_path), now=REAL)
    file = tmp_path / "desk.toml"
    file.write_text(file.read_text().replace("wallet.lan", "wallet.example"))
    with pytest.raises(CertificateError, match=r"not for .*wallet\.example.*move it"):
        certificate_for(load_desk(file), now=REAL)


def test_an_authority_that_was_replaced_signs_anew(tmp_path: Path) -> None:
    place = settings(tmp_path)
    certificate_for(place, now=REAL)
    for name in (CA, "desk-ca.key.pem"):
        (tmp_path / name).unlink()
    found = certificate_for(place, now=REAL)
    handshake(context_of(found), (tmp_path / CA).read_bytes(), "desk.lan")


def test_keys_are_their_owners_only(tmp_path: Path) -> None:
    certificate_for(settings(tmp_path), now=REAL)
    for name in ("desk-ca.key.pem", "tls.pem"):
        assert (tmp_path / name).stat().st_mode & 0o077 == 0


def test_a_given_certificate_is_used_and_must_fit(tmp_path: Path) -> None:
    authority = Authority.make("public", now=REAL, purposes=[SERVER])
    key = new_key()
    chain = authority.server(
        key.public_key(), ["desk.lib.example", "*.lib.example"], now=REAL, days=90
    )
    folder = tmp_path / "desk"
    web = WEB.replace(".lan", ".lib.example").replace("192.168.7.5", "desk.lib.example")
    place = settings(folder, web + '\ncertificate = "given.pem"\nkey = "k.pem"')
    (folder / "given.pem").write_bytes(chain)
    (folder / "k.pem").write_bytes(private_pem(key))
    found = certificate_for(place, now=REAL)
    assert found.ca is None
    assert found.sha256 == ""
    handshake(context_of(found), authority.pem(), "wallet.lib.example")
    (folder / "k.pem").write_bytes(private_pem(new_key()))
    with pytest.raises(CertificateError, match=r"given\.pem"):
        certificate_for(place, now=REAL)
    (folder / "given.pem").write_bytes(
        authority.server(key.public_key(), ["other.lan"], now=REAL, days=90)
    )
    with pytest.raises(CertificateError, match=r"not for desk\.lib\.example"):
        certificate_for(place, now=REAL)
    (folder / "given.pem").unlink()
    with pytest.raises(CertificateError, match="No such file"):
        certificate_for(place, now=REAL)


def test_what_is_printed_is_what_a_person_compares(tmp_path: Path) -> None:
    place = settings(tmp_path)
    found = certificate_for(place, now=REAL)
    der = ssl.PEM_cert_to_DER_cert((tmp_path / CA).read_text())
    digits = hashlib.sha256(der).hexdigest()
    assert found.sha256 == digits
    lines = how_to_trust(place, found)
    assert digits.upper() in lines[1].replace(":", "")
    assert all(host in lines[2] for host in hosts(place))


def _request(key, *, spoiled: bool = False) -> bytes:
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "collector")])
    made = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    der = bytearray(made.public_bytes(Encoding.DER))
    der[-1] ^= spoiled
    label = "CERTIFICATE REQUEST"
    import base64

    body = base64.encodebytes(bytes(der)).decode()
    return f"-----BEGIN {label}-----\n{body}-----END {label}-----\n".encode()


def test_a_request_counts_by_its_key_alone() -> None:
    key = new_key()
    assert read_request(_request(key)) == key.public_key()


@pytest.mark.parametrize(
    "request_of",
    [
        lambda: b"",
        lambda: b"-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n",
        lambda: b"x" * 10_000,
        lambda: _request(new_key(), spoiled=True),
        lambda: _request(ec.generate_private_key(ec.SECP384R1())),
        lambda: _request(rsa.generate_private_key(65_537, 2_048)),
    ],
)
def test_hostile_requests_are_one_error(request_of) -> None:
    with pytest.raises(CertificateError):
        read_request(request_of())
