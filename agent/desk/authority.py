"""A small certificate authority of the desk's own: for its pages on the LAN, and for the broker.

Rules (RFC 5280):
- ECDSA P-256; a private key is its owner's only and never overwritten;
- an authority signs end entities only (path length 0), for the purposes it was made for, and where
  it was made with names, for those names and addresses alone: whoever trusts it trusts it for
  nothing else, and a stolen key opens no other site;
- a certificate begins a day early, for clocks that are behind.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import ipaddress
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

__all__ = [
    "CLIENT",
    "SERVER",
    "Authority",
    "CertificateError",
    "names_of",
    "new_key",
    "private_pem",
    "read_certificate",
    "read_request",
    "write_private",
]

SERVER: Final = ExtendedKeyUsageOID.SERVER_AUTH
CLIENT: Final = ExtendedKeyUsageOID.CLIENT_AUTH

_AUTHORITY_DAYS: Final = 3_650
_EARLY: Final = dt.timedelta(days=1)
_COMMON_NAME_MAX: Final = 64
_REQUEST_BYTES_MAX: Final = 4_096


class CertificateError(ValueError):
    """A certificate, key or request cannot be used; one line for people."""


@dataclass(frozen=True, slots=True)
class Authority:
    """An authority.

    Attributes:
        certificate: its own, self-signed.
        key: its private key.
    """

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey = field(repr=False)

    @classmethod
    def make(
        cls,
        name: str,
        *,
        now: int,
        purposes: Sequence[x509.ObjectIdentifier],
        names: Sequence[str] = (),
    ) -> Authority:
        """Make an authority.

        Args:
            name: its common name, as a person meets it in a list of authorities.
            now: Unix seconds.
            purposes: `SERVER`, `CLIENT`.
            names: host names and IP addresses; it may certify these alone. None: any.
        """
        key = new_key()
        subject = _subject(name)
        builder = (
            _builder(subject, subject, key.public_key(), now, _AUTHORITY_DAYS)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .add_extension(x509.ExtendedKeyUsage(list(purposes)), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
        )
        if names:
            builder = builder.add_extension(_constraints(names), critical=True)
        return cls(builder.sign(key, hashes.SHA256()), key)

    @classmethod
    def read(cls, certificate: Path, key: Path) -> Authority:
        """Read an authority from its two PEM files.

        Raises:
            OSError: a file cannot be read.
            CertificateError: they are no authority.
        """
        found = read_certificate(certificate)
        try:
            private = load_pem_private_key(key.read_bytes(), None)
        except (TypeError, ValueError):
            raise CertificateError(f"{key}: no private key (PEM, without a password)") from None
        if not isinstance(private, ec.EllipticCurvePrivateKey) or (
            private.public_key() != found.public_key()
        ):
            raise CertificateError(f"{key}: not the key of {certificate}")
        return cls(found, private)

    def write(self, certificate: Path, key: Path) -> None:
        """Write both PEM files, the key first.

        Raises:
            OSError: a file is there already, or cannot be written.
        """
        write_private(key, private_pem(self.key))
        certificate.write_bytes(self.pem())

    def pem(self) -> bytes:
        """Return the authority's certificate, PEM."""
        return self.certificate.public_bytes(Encoding.PEM)

    def sha256(self) -> str:
        """Return the SHA-256 of the certificate (DER), 64 hexadecimal digits."""
        return hashlib.sha256(self.certificate.public_bytes(Encoding.DER)).hexdigest()

    def covers(self, names: Sequence[str]) -> bool:
        """Return whether all of these host names and addresses are ones it may certify."""
        try:
            found = self.certificate.extensions.get_extension_for_class(x509.NameConstraints)
        except x509.ExtensionNotFound:
            return True
        permitted = found.value.permitted_subtrees or []
        return {_name(name) for name in names} <= {_whole(each) for each in permitted}

    def signed(self, certificate: x509.Certificate) -> bool:
        """Return whether a certificate is of this authority."""
        try:
            certificate.verify_directly_issued_by(self.certificate)
        except (InvalidSignature, TypeError, ValueError):
            return False
        return True

    def server(self, public_key: Any, names: Sequence[str], *, now: int, days: int) -> bytes:
        """Return a server's certificate, PEM.

        Args:
            public_key: the server's.
            names: host names and IP addresses.
            now: Unix seconds.
            days: how long it holds, at most as long as the authority's own.
        """
        alternatives = x509.SubjectAlternativeName([_name(name) for name in names])
        # No host name in the subject: a library that finds none of its kind among the alternatives
        # would hold an address there against what is excluded of host names.
        return self._sign(public_key, "idgate server", SERVER, alternatives, now=now, days=days)

    def client(self, public_key: Any, name: str, *, now: int, days: int) -> bytes:
        """Return a client's certificate, PEM; its common name is who the client is to a broker."""
        return self._sign(public_key, name, CLIENT, None, now=now, days=days)

    def _sign(
        self,
        public_key: Any,
        name: str,
        purpose: x509.ObjectIdentifier,
        alternatives: x509.SubjectAlternativeName | None,
        *,
        now: int,
        days: int,
    ) -> bytes:
        own = self.certificate
        issuer = own.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        left = (own.not_valid_after_utc - _moment(now)).days
        builder = (
            _builder(_subject(name), own.subject, public_key, now, max(0, min(days, left)))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer),
                critical=False,
            )
        )
        if alternatives is not None:
            builder = builder.add_extension(alternatives, critical=False)
        return builder.sign(self.key, hashes.SHA256()).public_bytes(Encoding.PEM)


def new_key() -> ec.EllipticCurvePrivateKey:
    """Return a new private key, P-256."""
    return ec.generate_private_key(ec.SECP256R1())


def private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return a private key as PKCS #8 PEM, not encrypted."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def write_private(file: Path, content: bytes) -> None:
    """Write a new file that is its owner's only.

    Raises:
        OSError: it is there already, or cannot be written.
    """
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def read_certificate(file: Path) -> x509.Certificate:
    """Return the first certificate of a PEM file.

    Raises:
        OSError: it cannot be read.
        CertificateError: it holds none.
    """
    try:
        return x509.load_pem_x509_certificate(file.read_bytes())
    except ValueError:
        raise CertificateError(f"{file}: no certificate (PEM)") from None


def names_of(certificate: x509.Certificate) -> tuple[str, ...]:
    """Return the host names and IP addresses that a certificate is for."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    return (
        *found.get_values_for_type(x509.DNSName),
        *map(str, found.get_values_for_type(x509.IPAddress)),
    )


def read_request(pem: bytes) -> Any:
    """Return the public key of a certificate signing request that was signed with it.

    Nothing else of the request counts: who the client is, the authority says.

    Raises:
        CertificateError: it is none, or of a weak key.
    """
    try:
        request = x509.load_pem_x509_csr(pem) if len(pem) <= _REQUEST_BYTES_MAX else None
        sound = request is not None and request.is_signature_valid
    except Exception:  # noqa: BLE001 - the library raises of several kinds for hostile bytes
        request, sound = None, False
    if request is None or not sound:
        raise CertificateError("no certificate signing request (PEM, PKCS #10)")
    key = request.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name != "secp256r1":
        raise CertificateError("the request's key is not one of P-256")
    return key


def _builder(
    subject: x509.Name, issuer: x509.Name, key: Any, now: int, days: int
) -> x509.CertificateBuilder:
    begin = _moment(now)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin - _EARLY)
        .not_valid_after(begin + dt.timedelta(days=days))
    )


def _subject(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:_COMMON_NAME_MAX])])


def _moment(now: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(now, dt.UTC)


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _subtree(name: x509.GeneralName) -> x509.GeneralName:
    if isinstance(name, x509.IPAddress):
        return x509.IPAddress(ipaddress.ip_network(str(name.value)))
    return name


def _whole(subtree: x509.GeneralName) -> x509.GeneralName:
    """Return the one name or address that a subtree of ours was made for."""
    if isinstance(subtree, x509.IPAddress) and not isinstance(
        subtree.value, ipaddress.IPv4Address | ipaddress.IPv6Address
    ):
        return x509.IPAddress(subtree.value.network_address)
    return subtree


def _constraints(names: Sequence[str]) -> x509.NameConstraints:
    """Return what narrows an authority; a kind of name of which none is given is forbidden whole.

    A constraint of RFC 5280 speaks of its own kind of name only: permitted host names alone would
    leave every address free.
    """
    found = [_name(name) for name in names]
    permitted = [_subtree(each) for each in found]
    excluded: list[x509.GeneralName] = []
    if not any(isinstance(each, x509.IPAddress) for each in found):
        excluded += [
            x509.IPAddress(ipaddress.ip_network("0.0.0.0/0")),
            x509.IPAddress(ipaddress.ip_network("::/0")),
        ]
    if not any(isinstance(each, x509.DNSName) for each in found):
        excluded.append(x509.DNSName(""))
    return x509.NameConstraints(permitted, excluded or None)
