"""The certificate of the desk's pages: one that was given, or the desk's own for the LAN.

Rules:
- a certificate that was given (`[web] certificate`, `key`) is used as it is and read anew when its
  files change, as an ACME client changes them;
- else the desk is its own authority (`agent.desk.authority`), narrowed to the desk's names and
  addresses, and renews its certificate a month before the end, without a restart;
- what people must trust by hand is the authority (`desk-ca.pem`), once: it outlives renewals.

The authority is not made anew behind anybody's back: where the settings name a host that it may not
certify, the desk does not start and says what to do, for every gate and PC that trusts it must then
trust another.
"""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from agent.desk.authority import (
    SERVER,
    Authority,
    CertificateError,
    names_of,
    new_key,
    private_pem,
    read_certificate,
    write_private,
)
from agent.desk.settings import DeskSettings

__all__ = [
    "CA",
    "CA_KEY",
    "Certificate",
    "certificate_for",
    "context_of",
    "hosts",
    "how_to_trust",
    "make_authority",
]

CA: Final = "desk-ca.pem"
CA_KEY: Final = "desk-ca.key.pem"
_OWN: Final = "tls.pem"  # key and certificate in one file, so that a renewal is one rename
_DAYS: Final = 397  # browsers refuse more of an authority that a person added: 398 or 825 days
_RENEWED_BEFORE_S: Final = 30 * 86_400


@dataclass(frozen=True, slots=True)
class Certificate:
    """What the desk shows to whoever connects.

    Attributes:
        chain: PEM, the server's certificate first.
        key: PEM of its key; the same file where both stand in one.
        ca: the desk's own authority, which must be trusted by hand; None where one was given.
        sha256: of that authority's certificate (DER), hexadecimal; empty where one was given.
        expires_at: Unix seconds.
        names: host names and addresses that it is for.
    """

    chain: Path
    key: Path
    ca: Path | None
    sha256: str
    expires_at: int
    names: tuple[str, ...]


def hosts(settings: DeskSettings) -> tuple[str, ...]:
    """Return the names and addresses under which the desk is reached, each once."""
    web = settings.web
    found = [urlsplit(origin).hostname or "" for origin in (web.staff, web.issuer, web.wallet)]
    return tuple(dict.fromkeys([*found, *web.also]))


def make_authority(settings: DeskSettings, *, now: int) -> Authority:
    """Make the desk's own authority in its folder.

    Raises:
        OSError: there is one, or it cannot be written.
    """
    name = f"{settings.place.site} idgate desk"
    made = Authority.make(name, now=now, purposes=[SERVER], names=hosts(settings))
    made.write(settings.path(CA), settings.path(CA_KEY))
    return made


def certificate_for(settings: DeskSettings, *, now: int) -> Certificate:
    """Return the certificate to show now; the desk's own is made or renewed where it is due.

    Args:
        settings: the desk's.
        now: Unix seconds.

    Raises:
        CertificateError: none can be had; one line that says what to do.
    """
    try:
        if settings.web.certificate:
            return _given(settings)
        return _own(settings, now)
    except OSError as error:
        raise CertificateError(f"{error.filename}: {error.strerror}") from None


def context_of(certificate: Certificate) -> ssl.SSLContext:
    """Return a server's context: TLS 1.2 or 1.3, HTTP/1.1.

    Raises:
        CertificateError: the files do not fit together.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(certificate.chain, certificate.key)
    except (OSError, ssl.SSLError) as error:
        why = error.strerror or "not a certificate and its key"
        raise CertificateError(f"{certificate.chain}, {certificate.key}: {why}") from None
    return context


def how_to_trust(settings: DeskSettings, certificate: Certificate) -> list[str]:
    """Return, line by line, what to do so that browsers and gates believe the certificate."""
    if certificate.ca is None:
        return [f"The certificate was given ({certificate.chain}): nothing to do."]
    print_of = ":".join(certificate.sha256[index : index + 2].upper() for index in range(0, 64, 2))
    return [
        f"The desk's own authority: {certificate.ca}, also at {settings.web.issuer}/ca.pem",
        f"Its SHA-256 (compare it before you trust): {print_of}",
        f"It can vouch for {', '.join(hosts(settings))} and for nothing else.",
        "Windows:  certutil -addstore -user Root desk-ca.pem",
        "macOS:    security add-trusted-cert -k ~/Library/Keychains/login.keychain-db desk-ca.pem",
        "Linux:    sudo cp desk-ca.pem /usr/local/share/ca-certificates/desk-ca.crt",
        "          sudo update-ca-certificates",
        "Chromium on Linux:  certutil -d sql:$HOME/.pki/nssdb -A -t C,, -n desk -i desk-ca.pem",
        "Firefox:  Settings, Certificates, View Certificates, Authorities, Import",
        "Android:  Settings, Security, Install a certificate, CA certificate",
        "iPhone:   open the file, install the profile; then Settings, General, About,",
        "          Certificate Trust Settings",
        "Members' phones are better served by a public name and a certificate that is given",
        "([web] certificate, key): then there is nothing to trust by hand.",
        "Gates trust it by `idgate join`, whose link carries the SHA-256.",
    ]


def _given(settings: DeskSettings) -> Certificate:
    chain = settings.path(settings.web.certificate)
    key = settings.path(settings.web.key or settings.web.certificate)
    found = read_certificate(chain)
    made = Certificate(
        chain, key, None, "", int(found.not_valid_after_utc.timestamp()), names_of(found)
    )
    for host in hosts(settings):
        if not any(_is_for(name, host) for name in made.names):
            raise CertificateError(f"{chain}: not for {host} (it is for {', '.join(made.names)})")
    context_of(made)
    return made


def _is_for(name: str, host: str) -> bool:
    if name.startswith("*."):  # one label of three at least, as TLS libraries have it
        return host.partition(".")[2] == name[2:] and "." in name[2:]
    return name.lower() == host.lower()


def _own(settings: DeskSettings, now: int) -> Certificate:
    authority_file = settings.path(CA)
    if authority_file.exists():
        authority = Authority.read(authority_file, settings.path(CA_KEY))
    else:
        authority = make_authority(settings, now=now)
    wanted = hosts(settings)
    if not authority.covers(wanted):
        raise CertificateError(
            f"{authority_file}: this authority is not for {', '.join(wanted)}; move it,"
            f" {CA_KEY} and {_OWN} away and start again, then let PCs and gates trust the new one"
        )
    file = settings.path(_OWN)
    if not _holds(file, authority, wanted, now):
        key = new_key()
        chain = authority.server(key.public_key(), wanted, now=now, days=_DAYS)
        scratch = file.with_name(f"{_OWN}.new")
        scratch.unlink(missing_ok=True)
        write_private(scratch, private_pem(key) + chain)
        os.replace(scratch, file)  # noqa: PTH105 - the rename is the point
    found = read_certificate(file)
    return Certificate(
        file, file, authority_file, authority.sha256(),
        int(found.not_valid_after_utc.timestamp()), names_of(found),
    )  # fmt: skip


def _holds(file: Path, authority: Authority, wanted: tuple[str, ...], now: int) -> bool:
    """Return whether the desk's own certificate serves for a while yet."""
    if not file.exists():
        return False
    found = read_certificate(file)
    if not authority.signed(found):
        return False
    left = found.not_valid_after_utc.timestamp() - now
    return set(names_of(found)) == set(wanted) and left > _RENEWED_BEFORE_S
