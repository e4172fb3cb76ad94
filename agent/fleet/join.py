"""A gate joins a desk: what happens on the gate.

    link     https://HOST:PORT/join/CODE#sha256=DIGITS   as the desk shows it, or as a QR of it
    file     the same in JSON, with the desk's authority

Rules:
- where a link has a SHA-256, that authority and no other is believed, from the first connection on:
  it is fetched from whoever answers, and thrown away where it is another; the code is sent after;
- all that can be refused here is refused before the code is used up;
- the gate's key is made here and never leaves; files are written whole, the settings last, and
  belong to the gate's own user;
- the desk sets who the gate is, what it believes and whom it reports to. What is wired to it, and
  where its files lie, stays as the gate's own settings say.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import pwd
import re
import socket
import ssl
import tomllib
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from agent.settings.load import parse
from agent.settings.write import merged
from agent.trust.cache import ANCHOR
from agent.trust.model import TrustError
from agent.trust.update import pin_root

__all__ = ["TEMPLATE_SITE", "JoinError", "Joined", "Link", "join", "read_link"]

TEMPLATE_SITE: Final = "my-site"
"""The site of the settings that are installed: they are nobody's yet."""

TABLES: Final = frozenset({"gate", "trust", "mqtt", "face", "floor", "tolerance"})
"""Tables that a desk may set; see `agent.desk.joining`."""

_PATHS: Final = {
    "gate": {"challenge_file"},
    "trust": {"directory", "ca", "site_key_files"},
    "mqtt": {"password_file", "ca_file", "cert_file", "key_file"},
    "face": {"delegate", "models_dir"},
}
"""Keys that name files of this gate: no desk sets them."""

_CA, _BROKER_CA, _CERTIFICATE, _KEY = "desk-ca.pem", "broker-ca.pem", "gate.pem", "gate.key.pem"
_CONFIG: Final = "config.toml"
_TRUST: Final = "trust-set"
_USER: Final = "idgate"
_TIMEOUT_S: Final = 20.0
_ANSWER_MAX: Final = 1 << 20
_FILE_MAX: Final = 65_536
_SHA256 = re.compile(r"sha256=([0-9a-f]{64})")


class JoinError(ValueError):
    """The gate does not join; one line."""


@dataclass(frozen=True, slots=True)
class Link:
    """What a desk gave for a gate.

    Attributes:
        host, port: of the desk's issuer.
        tls: False for a desk on this machine only.
        path: with the code.
        pin: SHA-256 of the desk's authority (DER), hexadecimal; empty: the system's are believed.
    """

    host: str
    port: int
    tls: bool
    path: str = field(repr=False)
    pin: str = ""


class _Bundle(msgspec.Struct, frozen=True):
    """What the desk answers; unknown members are of a newer desk."""

    version: int
    config: str
    root: str
    ca: str = ""
    broker_ca: str = ""
    certificate: str = ""
    roster_key: str = ""


class _Description(msgspec.Struct, frozen=True):
    site: str
    gate: str
    place: str = ""
    certificate: bool = False


@dataclass(frozen=True, slots=True)
class Joined:
    """What a gate has become.

    Attributes:
        site, gate: its name.
        place: as people know it.
        files: what was written, the settings last.
        cache: where the trust set goes; its root is pinned.
        source: where the trust set comes from.
        ca: what that server's certificate is held against; None for the system's authorities.
    """

    site: str
    gate: str
    place: str
    files: tuple[Path, ...]
    cache: Path
    source: str
    ca: Path | None


def read_link(text: str) -> Link:
    """Read a link, or the content of the desk's file.

    Raises:
        JoinError: it is neither.
    """
    text = text.strip()
    if text.startswith("{") and len(text) <= _FILE_MAX:
        try:
            found = json.loads(text)
            text = str(found["link"]) if found.get("idgate") == "join" else ""
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            text = ""
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise JoinError("no link of a desk: its address cannot be read") from None
    code = re.fullmatch(r"(?:/[A-Za-z0-9._~-]+)*/join/[A-Za-z0-9_-]{1,64}", parts.path)
    if parts.scheme not in ("https", "http") or not host or not code or parts.query:
        raise JoinError("no link of a desk; it looks like https://desk.example:8444/join/CODE")
    pin = _SHA256.fullmatch(parts.fragment)
    if parts.fragment and not pin:
        raise JoinError("the link's end is damaged: copy it whole, with #sha256=...")
    tls = parts.scheme == "https"
    if not tls and host not in ("localhost", "127.0.0.1") and not host.endswith(".localhost"):
        raise JoinError("a desk on another machine is reached by https only")
    return Link(host, port or (443 if tls else 80), tls, parts.path, pin[1] if pin else "")


def join(link: Link, folder: Path, *, replace: bool = False) -> Joined:
    """Join: ask the desk, and lay down what it answers.

    Args:
        link: see `read_link`.
        folder: of the gate's settings, such as `/etc/idgate`.
        replace: take the place of a gate that was set up here before.

    Raises:
        JoinError: it does not join; nothing was changed.
        OSError: a file cannot be written.
    """
    before = _settings_before(folder, replace=replace)
    cache = _cache(folder, before)
    if (cache / ANCHOR).exists() and not replace:
        raise JoinError(f"{cache}: trusts a root already; --replace makes it trust this desk")
    if not os.access(folder, os.W_OK):
        raise JoinError(f"{folder}: cannot be written; run it as root: sudo idgate join ...")
    context = _context(link)
    what = _ask(link, context, "GET", b"", _Description)
    key, request = _request(what.gate) if what.certificate else (b"", "")
    body = json.dumps({"csr": request}).encode()
    bundle = _ask(link, context, "POST", body, _Bundle)
    if bundle.version != 1:
        raise JoinError(
            f"the desk speaks version {bundle.version} of this; bring this gate up to date"
        )
    files = _files(folder, before, cache, bundle, key)
    _pin(cache, bundle, replace=replace)
    _lay_down(folder, files, before)
    config = parse(files[_CONFIG].decode(), source=_CONFIG, base_dir=folder)
    return Joined(
        config.gate.site,
        config.gate.gate,
        what.place,
        tuple(folder / name for name in files),
        cache,
        config.trust.url,
        folder / _CA if bundle.ca else None,
    )


def _settings_before(folder: Path, *, replace: bool) -> str:
    """Return the settings that are there, empty where none are."""
    file = folder / _CONFIG
    if not folder.is_dir():
        raise JoinError(f"{folder}: no such directory; ./setup.sh install makes /etc/idgate")
    try:
        text = file.read_text(encoding="utf-8-sig")
        gate = tomllib.loads(text).get("gate", {})
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise JoinError(f"{file}: {error.strerror}") from None
    except ValueError as error:
        raise JoinError(f"{file}: not TOML: {error}") from None
    site = gate.get("site", TEMPLATE_SITE) if isinstance(gate, dict) else TEMPLATE_SITE
    if site != TEMPLATE_SITE and not replace:
        raise JoinError(f"{file}: this gate is of {site!r} already; --replace lets it join anew")
    return text


def _cache(folder: Path, text: str) -> Path:
    """Return where the signed set goes: among the gate's state."""
    state = tomllib.loads(text).get("state_dir", "state") if text else "state"
    return (folder / str(state) / _TRUST).absolute()


# --- asking the desk ---------------------------------------------------------------------------


def _context(link: Link) -> ssl.SSLContext | None:
    """Return what the desk's certificate is held against."""
    if not link.tls:
        return None
    if not link.pin:
        return ssl.create_default_context()
    unchecked = ssl.create_default_context()
    unchecked.check_hostname = False
    unchecked.verify_mode = ssl.CERT_NONE  # only to fetch what is then held against the link
    pem = _fetch(link, unchecked, "GET", "/ca.pem", b"")
    try:
        der = ssl.PEM_cert_to_DER_cert(pem.decode("ascii"))
    except ValueError:
        der = b""
    if hashlib.sha256(der).hexdigest() != link.pin:
        raise JoinError(
            f"{link.host} answers with an authority that is not the link's: another machine has"
            " taken its place, or the link is an old one"
        )
    return ssl.create_default_context(cadata=der)


def _ask(
    link: Link, context: ssl.SSLContext | None, method: str, body: bytes, kind: type[Any]
) -> Any:
    answer = _fetch(link, context, method, link.path, body)
    try:
        return msgspec.json.decode(answer, type=kind)
    except ValueError:
        raise JoinError(f"{link.host}: its answer is none of a desk") from None


def _fetch(
    link: Link, context: ssl.SSLContext | None, method: str, path: str, body: bytes
) -> bytes:
    """Return the body of an answer.

    Raises:
        JoinError: nothing came, or a refusal.
    """
    connection = (
        http.client.HTTPSConnection(link.host, link.port, timeout=_TIMEOUT_S, context=context)
        if context is not None
        else http.client.HTTPConnection(link.host, link.port, timeout=_TIMEOUT_S)
    )
    try:
        connection.request(method, path, body or None, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        content = answer.read(_ANSWER_MAX + 1)
    except ssl.SSLCertVerificationError as error:
        raise JoinError(
            f"{link.host}: its certificate is not believed: {error.verify_message}; is this"
            " gate's clock right?"
        ) from None
    except (OSError, http.client.HTTPException) as error:
        raise JoinError(f"{link.host} port {link.port}: {_why(error)}") from None
    finally:
        connection.close()
    if len(content) > _ANSWER_MAX:
        raise JoinError(f"{link.host}: its answer is too long to be one")
    if answer.status != http.client.OK:
        raise JoinError(f"{link.host}: {_refusal(content, answer.status)}")
    return content


def _why(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, socket.gaierror):
        return "no such name; is the network there?"
    return str(getattr(error, "strerror", None) or type(error).__name__)


def _refusal(content: bytes, status: int) -> str:
    try:
        text = str(json.loads(content)["error"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return f"refused (HTTP {status})"
    return "".join(c if c.isprintable() else "?" for c in text[:200])


def _request(name: str) -> tuple[bytes, str]:
    """Return a new private key, PEM, and the request to certify it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64] or "gate")])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject)
    return (
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        request.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM).decode(),
    )


# --- what is laid down -------------------------------------------------------------------------


def _files(folder: Path, before: str, cache: Path, bundle: _Bundle, key: bytes) -> dict[str, bytes]:
    """Return the files to write by name, checked; the settings are the last.

    Raises:
        JoinError: the desk's answer does not hold together.
    """
    tables = _tables(bundle.config)
    tables["trust"] |= {"directory": str(cache)}
    files: dict[str, bytes] = {}
    if "mqtt" not in tables and (bundle.broker_ca or bundle.certificate):
        raise JoinError("the desk's answer has certificates for a broker, and names none")
    if bundle.ca:
        files[_CA] = bundle.ca.encode()
        tables["trust"]["ca"] = _CA
    if bundle.broker_ca:
        files[_BROKER_CA] = bundle.broker_ca.encode()
        tables["mqtt"]["ca_file"] = _BROKER_CA
    if bundle.certificate:
        _check_pair(bundle.certificate, key)
        files[_KEY] = key
        files[_CERTIFICATE] = bundle.certificate.encode()
        tables["mqtt"] |= {"cert_file": _CERTIFICATE, "key_file": _KEY}
    try:
        text = merged(before, tables)
        parse(text, source=str(folder / _CONFIG), base_dir=folder)
    except ValueError as error:
        raise JoinError(str(error)) from None
    files[_CONFIG] = text.encode()
    return files


def _tables(text: str) -> dict[str, dict[str, Any]]:
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        raise JoinError("the desk's settings are no TOML") from None
    for name, table in found.items():
        if name not in TABLES or not isinstance(table, dict):
            raise JoinError(f"the desk would set [{name[:40]}], which is this gate's own")
        if own := _PATHS.get(name, set()) & table.keys():
            raise JoinError(f"the desk would set {name}.{min(own)}, which is this gate's own")
    if not {"gate", "trust"} <= found.keys():
        raise JoinError("the desk's settings name no gate or no trust")
    return found


def _check_pair(certificate: str, key: bytes) -> None:
    """Hold the certificate against the key that was made for it."""
    try:
        public = x509.load_pem_x509_certificate(certificate.encode()).public_key()
    except ValueError:
        raise JoinError("the desk's certificate for this gate is none") from None
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    if not key or public != load_pem_private_key(key, None).public_key():
        raise JoinError("the desk's certificate is for another key than this gate's")


def _pin(cache: Path, bundle: _Bundle, *, replace: bool) -> None:
    """Lay the root down, and the key of the rosters.

    Raises:
        JoinError: it is no root.
    """
    if replace and cache.exists():
        _set_aside(cache)
    try:
        pin_root(cache, bundle.root.encode())
        if bundle.roster_key:
            _write(cache / "roster.key", b64decode(bundle.roster_key, validate=True))
    except (TrustError, ValueError) as error:
        raise JoinError(f"the desk's trust root: {error}") from None


def _set_aside(cache: Path) -> None:
    """Rename the set that was believed before: what it said is not believed of this desk."""
    number = 1
    while (kept := cache.with_name(f"{cache.name}.old-{number}")).exists():
        number += 1
    cache.rename(kept)


def _lay_down(folder: Path, files: Mapping[str, bytes], before: str) -> None:
    if before:
        _write(folder / f"{_CONFIG}.old", before.encode())
    for name, content in files.items():
        _write(folder / name, content)


def _write(file: Path, content: bytes) -> None:
    """Write a file whole, the gate's user's only, or leave the one that was there."""
    scratch = file.with_name(f".{file.name}.new")
    scratch.unlink(missing_ok=True)
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        if (owner := gate_user()) is not None:
            os.fchown(stream.fileno(), *owner)
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    scratch.replace(file)


def gate_user() -> tuple[int, int] | None:
    """Return the numbers of the gate's user and group, where root does this and there is one."""
    if os.geteuid() != 0:
        return None
    try:
        found = pwd.getpwnam(_USER)
    except KeyError:
        return None
    return found.pw_uid, found.pw_gid


def hand_over(folder: Path) -> None:
    """Give a directory and all in it to the gate's user, where root has made it."""
    owner = gate_user()
    if owner is None:
        return
    for path in (folder, *folder.rglob("*")):
        os.chown(path, *owner, follow_symlinks=False)
