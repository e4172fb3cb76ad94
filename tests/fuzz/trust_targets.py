"""What comes with the trust: status lists, rosters, metadata of The Update Framework, key files.

Each is signed by somebody, so each has layers that sign what is inside, with keys that are trusted
here: a publisher's slip and a stolen key must meet one clear refusal, too. Files lie in memory.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import shutil
import struct
import tempfile
import time
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding
from securesystemslib.exceptions import FormatError
from securesystemslib.formats import encode_canonical

from agent.credential import cbor
from agent.credential.issuers import Algorithm
from agent.credential.numbers import Header
from agent.issuing.keys import SigningKey
from agent.policy.profile import ProfileError, parse_profile
from agent.trust import status
from agent.trust.cache import check_set
from agent.trust.directory import load_directory
from agent.trust.model import TrustError
from agent.trust.roster import RosterEntry, load_roster, write_roster
from agent.trust.update import pin_root, update
from tests.fuzz.model import Target, as_it_is, one_line
from tests.support import makers as make
from tests.support.trust_keys import certificate, public_pem
from tests.support.trust_sets import Publisher

__all__ = ["TARGETS"]

URI = "https://status.example/1"
KEY = make.ec_key(60)
SIGNER = SigningKey(Algorithm.ES256, KEY)
KID = b"12"


@functools.cache
def folder() -> Path:
    """Return a place for files; the fuzzer's parent removes it."""
    return Path(tempfile.mkdtemp(prefix="fuzz-files-"))


# --- status lists ------------------------------------------------------------------------------------


@functools.cache
def _keys() -> Any:
    return make.trust(make.issuer_key(KEY, kid=KID))


def _status(data: bytes) -> None:
    try:
        found = status.parse(data, _keys(), source="list")
    except TrustError as error:
        one_line(error)
        return
    for index in (-1, 0, len(found) - 1, len(found), 2**64):
        found.answer(index, make.NOW)


def _b64(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def _jws(head: bytes, body: bytes) -> bytes:
    message = _b64(head) + b"." + _b64(body)
    r, s = decode_dss_signature(KEY.sign(message, ec.ECDSA(hashes.SHA256())))
    return message + b"." + _b64(r.to_bytes(32, "big") + s.to_bytes(32, "big"))


def _status_target() -> Target:
    head = {Header.ALG: -7, Header.KID: KID, Header.TYP: "application/statuslist+cwt"}
    jose = json.dumps({"alg": "ES256", "kid": "12", "typ": "statuslist+jwt"}).encode()
    packed = zlib.compress(b"\xb9\xa3")
    body = cbor.encode({2: URI, 6: make.NOW, 65533: {"bits": 1, "lst": packed}, 65534: 600})
    lst = _b64(packed).decode()
    text = json.dumps({"sub": URI, "iat": make.NOW, "status_list": {"bits": 1, "lst": lst}})

    def claims(data: bytes) -> bytes:
        return make.sign1(data, KEY, protected=head)

    def header(data: bytes) -> bytes:
        return make.sign1(body, KEY, protected=data)

    def stream(data: bytes) -> bytes:
        return claims(cbor.encode({2: URI, 6: make.NOW, 65533: {"bits": 8, "lst": data}}))

    def jwt(data: bytes) -> bytes:
        return _jws(jose, data)

    def jwt_header(data: bytes) -> bytes:
        return _jws(data, text.encode())

    whole, token = claims(body), jwt(text.encode())
    seeds = (
        (0, whole), (0, token), (1, body), (2, cbor.encode(head)), (3, packed), (4, text.encode()),
        (5, jose),
    )  # fmt: skip
    return Target(
        "status", (as_it_is, claims, header, stream, jwt, jwt_header), seeds, _status,
    )  # fmt: skip


# --- rosters -----------------------------------------------------------------------------------------

ROSTER_KEY = b"k" * 32


def _roster(data: bytes) -> None:
    path = folder() / "members.roster"
    path.write_bytes(data)
    for settled in (False, True):
        try:
            roster = load_roster(path, ROSTER_KEY, settled=settled)
        except TrustError as error:
            one_line(error)
            continue
        assert len(repr(roster)) < 1_000
        for issuer, subject, zone in (("i", "a", ""), ("", "b", "north"), ("i", "nobody", "z")):
            roster.lists(issuer, subject, make.NOW, zone)


def _roster_target() -> Target:
    path = folder() / "sound.roster"
    entries = [RosterEntry("a"), RosterEntry("b", zone="north", valid_until=make.NOW + 1)]
    write_roster(path, entries, key=ROSTER_KEY, blocks=False, created=make.NOW)
    whole = path.read_bytes()
    magic, (size,) = whole[:8], struct.unpack(">I", whole[8:12])
    header, records = whole[12 : 12 + size], whole[12 + size :]

    def headed(data: bytes) -> bytes:
        return magic + struct.pack(">I", len(data)) + data + records

    def listed(data: bytes) -> bytes:
        width = 34
        said = json.loads(header) | {
            "count": len(data) // width, "sha256": hashlib.sha256(data[: len(data) // width * width]).hexdigest()
        }  # fmt: skip
        head = json.dumps(said).encode()
        return magic + struct.pack(">I", len(head)) + head + data[: len(data) // width * width]

    seeds = ((0, whole), (1, header), (2, records))
    return Target("roster", (as_it_is, headed, listed), seeds, _roster)


# --- metadata of The Update Framework ----------------------------------------------------------------

PARTS = ("root", "timestamp", "snapshot", "targets", "root_history")


@dataclass
class _Set:
    """A published set as it lies in a gate's cache, and the keys that signed it."""

    publisher: Publisher
    anchor: Path
    folder: Path
    sound: dict[str, bytes]

    def path(self, part: str) -> Path:
        if part == "root":
            return self.anchor
        if part == "root_history":
            return self.folder / "metadata" / "root_history" / "2.root.json"
        return self.folder / "metadata" / f"{part}.json"

    def signed(self, role: str, body: Any) -> bytes:
        """Sign whatever it is as metadata of this role."""
        message = encode_canonical(body).encode()
        made = [signer.sign(message).to_dict() for signer in self.publisher.signers[role]]
        return json.dumps({"signatures": made, "signed": body}).encode()

    def fit(self, targets: bytes) -> None:
        """Let snapshot and timestamp say of this targets metadata what is right."""
        below, name = targets, "targets.json"
        for part in ("snapshot", "timestamp"):
            body = json.loads(self.sound[part])["signed"]
            about = body["meta"][name]
            about |= {"length": len(below)}
            if "hashes" in about:
                about["hashes"] = {"sha256": hashlib.sha256(below).hexdigest()}
            below, name = self.signed(part, body), f"{part}.json"
            self.path(part).write_bytes(below)


@functools.cache
def _set() -> _Set:
    base = folder() / "tuf"
    publisher = Publisher(base / "repo")
    publisher.add(issuers__lib=public_pem(KEY))
    publisher.publish()
    cache = base / "cache"
    pin_root(cache, publisher.first_root)
    update(cache, str(base / "repo"), now=int(time.time()))
    (current,) = (cache / "sets").iterdir()
    (current / "metadata" / "root_history").mkdir(exist_ok=True)
    made = _Set(publisher, cache / "root.json", current, {})
    made.sound = {part: made.path(part).read_bytes() for part in PARTS if made.path(part).exists()}
    return made


def _metadata(data: bytes) -> None:
    found = _set()
    part = PARTS[data[0] % len(PARTS)] if data else "targets"
    try:
        found.path(part).write_bytes(data[1:])
        if part == "targets":
            found.fit(data[1:])
        check_set(found.anchor, found.folder)
    except TrustError as error:
        one_line(error)
    finally:
        for name in PARTS:
            if name in found.sound:
                found.path(name).write_bytes(found.sound[name])
            else:
                found.path(name).unlink(missing_ok=True)


def _metadata_target() -> Target:
    found = _set()

    def signed(data: bytes) -> bytes:
        """Take the body of a role's metadata and sign it as that role."""
        part = PARTS[data[0] % len(PARTS)] if data else "targets"
        role = "root" if part == "root_history" else part
        try:
            body = json.loads(data[1:])
            return data[:1] + found.signed(role, body)
        except (ValueError, RecursionError, TypeError, FormatError):
            return data

    seeds = []
    for number, part in enumerate(PARTS):
        if part in found.sound:
            whole = found.sound[part]
            body = json.dumps(json.loads(whole)["signed"]).encode()
            seeds += [(0, bytes([number]) + whole), (1, bytes([number]) + body)]
    following = json.loads(found.sound["root"])["signed"] | {"version": 2}
    seeds.append((1, b"\x04" + json.dumps(following).encode()))
    return Target("metadata", (as_it_is, signed), tuple(seeds), _metadata, 0.060)


# --- a repository that answers whatever it likes -----------------------------------------------------


def _repository(data: bytes) -> None:
    found = _set()
    repo = folder() / "hostile"
    cache = folder() / "cache"
    for path in (repo, cache):
        shutil.rmtree(path, ignore_errors=True)
    shutil.copytree(found.publisher.path, repo)
    pin_root(cache, found.publisher.first_root)
    names = ("timestamp.json", "1.snapshot.json", "1.targets.json", "2.root.json")
    (repo / "metadata" / names[data[0] % len(names) if data else 0]).write_bytes(data[1:])
    try:
        update(cache, str(repo), now=int(time.time()))
    except TrustError as error:
        one_line(error)


def _repository_target() -> Target:
    metadata = _set().publisher.path / "metadata"
    names = ("timestamp.json", "1.snapshot.json", "1.targets.json", "1.root.json")
    seeds = []
    for number, name in enumerate(names):
        path = metadata / name
        if path.exists():
            seeds.append((0, bytes([number]) + path.read_bytes()))
    return Target("repository", (as_it_is,), tuple(seeds), _repository, 0.200)


# --- files of a trust directory ----------------------------------------------------------------------

FILES = ("k.pem", "k.der", "k.jwk", "k.cose", "k.toml", "operators/o.toml", "profile")


def _file(data: bytes) -> None:
    name = FILES[data[0] % len(FILES)] if data else FILES[0]
    if name == "profile":
        _profile(data[1:])
        return
    place = folder() / "directory"
    shutil.rmtree(place, ignore_errors=True)
    (place / "operators").mkdir(parents=True)
    (place / "k.pem").write_bytes(public_pem(KEY))
    (place / "operators" / "o.pem").write_bytes(public_pem(make.ec_key(61)))
    (place / "operators" / "o.toml").write_text('roles = ["open"]\n')
    if not name.endswith((".pem", ".toml")):
        (place / "k.pem").unlink()
    (place / name).write_bytes(data[1:])
    try:
        load_directory(place, now=make.NOW)
    except TrustError as error:
        one_line(error)


def _profile(data: bytes) -> None:
    try:
        parse_profile(data.decode("utf-8", "replace"), source="profile")
    except ProfileError as error:
        one_line(error)


def _file_target() -> Target:
    shipped = Path(status.__file__).parents[1] / "policy" / "profiles"
    jwk = {"kty": "EC", "crv": "P-256", "kid": "1", "x": "A" * 43, "y": "A" * 43}
    seeds = [
        (0, b"\0" + public_pem(KEY)),
        (0, b"\1" + certificate(KEY, first=make.NOW).public_bytes(Encoding.DER)),
        (0, b"\2" + json.dumps(jwk).encode()),
        (0, b"\3" + cbor.encode({1: 2, -1: 1, -2: bytes(32), -3: bytes(32)})),
        (0, b'\4issuer = "x"\nkinds = ["passport"]\nalgorithm = "ES256"\nvalid_from = 2026-01-01\n'),
        (0, b'\5name = "ops"\nroles = ["open", "mode"]\nvalid_until = 2030-01-01\n'),
        *((0, b"\6" + path.read_bytes()) for path in sorted(shipped.glob("*.toml"))),
    ]  # fmt: skip
    return Target("files", (as_it_is,), tuple(seeds), _file, 0.040)


TARGETS = {
    "status": _status_target,
    "roster": _roster_target,
    "metadata": _metadata_target,
    "repository": _repository_target,
    "files": _file_target,
}
