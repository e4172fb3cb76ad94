"""The plain trust directory: what it takes, what it pins, and one clear line for each fault."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import socket
from pathlib import Path

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from agent.credential import sm2
from agent.credential.issuers import Algorithm
from agent.credential.model import FormatName, Kind, Level
from agent.trust.closed import EVERY, EVERY_KID, Closed
from agent.trust.directory import load_directory
from agent.trust.model import TrustError
from tests.support.trust_keys import NOW, certificate, public_pem

ED = ed25519.Ed25519PrivateKey.generate()
P384 = ec.generate_private_key(ec.SECP384R1())
RSA = rsa.generate_private_key(65537, 2048)
WEAK_RSA = rsa.generate_private_key(65537, 1024)
P256 = ec.generate_private_key(ec.SECP256R1())
SM2_POINT = sm2.public_key(12345)
SM2_PEM = (
    b"-----BEGIN PUBLIC KEY-----\n"
    + base64.encodebytes(
        bytes.fromhex("3059301306072a8648ce3d020106082a811ccf5501822d034200") + SM2_POINT
    )
    + b"-----END PUBLIC KEY-----\n"
)


def b64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def spki_kid(key: object) -> bytes:
    der = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)  # type: ignore[attr-defined]
    return hashlib.sha256(der).digest()[:8]


def ec_jwk(key: ec.EllipticCurvePrivateKey, **extra: str) -> bytes:
    numbers = key.public_key().public_numbers()
    jwk = {"kty": "EC", "crv": "P-256", **extra}
    jwk |= {"x": b64url(numbers.x.to_bytes(32)), "y": b64url(numbers.y.to_bytes(32))}
    return json.dumps(jwk).encode()


def cose_key(key: ec.EllipticCurvePrivateKey) -> bytes:
    numbers = key.public_key().public_numbers()
    return cbor2.dumps({1: 2, -1: 1, -2: numbers.x.to_bytes(32), -3: numbers.y.to_bytes(32)})


def test_every_form_of_one_key_gives_one_kid(
    p256: ec.EllipticCurvePrivateKey, tmp_path: Path
) -> None:
    forms = {
        "a.pem": public_pem(p256),
        "a.jwk": ec_jwk(p256),
        "a.cose": cose_key(p256),
        "a.crt": certificate(p256).public_bytes(Encoding.PEM),
        "a.der": certificate(p256).public_bytes(Encoding.DER),
    }
    for name, data in forms.items():
        folder = tmp_path / name.replace(".", "-")
        folder.mkdir()
        (folder / name).write_bytes(data)
        (key,) = load_directory(folder, now=NOW).by_kid(spki_kid(p256))
        assert (key.issuer, key.algorithm) == ("a", Algorithm.ES256), name
        assert key.public_key.public_numbers() == p256.public_key().public_numbers()


@pytest.mark.parametrize(
    ("name", "data", "algorithm"),
    [
        ("ed.pem", public_pem(ED), Algorithm.EDDSA),
        ("p384.pem", public_pem(P384), Algorithm.ES384),
        ("rsa.pem", public_pem(RSA), Algorithm.PS256),
        ("sm2.pem", SM2_PEM, Algorithm.SM2),
        (
            "sm2.jwk",
            json.dumps({"kty": "EC", "crv": "SM2", "point": SM2_POINT.hex()}).encode(),
            Algorithm.SM2,
        ),
        (
            "sm2xy.jwk",
            json.dumps(
                {
                    "kty": "EC",
                    "crv": "SM2",
                    "x": b64url(SM2_POINT[1:33]),
                    "y": b64url(SM2_POINT[33:]),
                }
            ).encode(),
            Algorithm.SM2,
        ),
    ],
)
def test_the_algorithm_is_pinned_to_the_key(
    trust_dir: Path, name: str, data: bytes, algorithm: Algorithm
) -> None:
    (trust_dir / name).write_bytes(data)
    (key,) = load_directory(trust_dir, now=NOW).keys
    assert key.algorithm is algorithm
    if algorithm is Algorithm.SM2:
        assert key.public_key == SM2_POINT


def test_a_description_limits_what_its_key_may_sign(
    trust_dir: Path, p256: ec.EllipticCurvePrivateKey
) -> None:
    (trust_dir / "k.pem").write_bytes(public_pem(p256))
    (trust_dir / "k.toml").write_text(
        'issuer = "Ministry"\nkinds = ["online-id", "passport"]\nformats = ["native"]\n'
        'algorithm = "ES256"\nkid = "0102"\niss = ["https://id.example"]\n'
        'valid_from = 2026-01-01\nvalid_until = 2026-12-31T23:00:00+08:00\nstatus_for = ["Bureau"]\n'
    )
    (key,) = load_directory(trust_dir, now=NOW).by_kid(b"\1\2")
    assert key.issuer == "Ministry"
    assert key.kinds == {Kind.ONLINE_ID, Kind.PASSPORT}
    assert key.formats == {FormatName.NATIVE}
    assert key.iss == {"https://id.example"}
    assert (key.valid_from, key.valid_until) == (1_767_225_600, 1_798_729_200)
    assert key.status_for == {"Bureau"}


def test_a_certificate_and_its_description_both_limit_validity(
    trust_dir: Path, p256: ec.EllipticCurvePrivateKey
) -> None:
    (trust_dir / "k.crt").write_bytes(certificate(p256, days=10).public_bytes(Encoding.PEM))
    (trust_dir / "k.toml").write_text(f"valid_from = 0\nvalid_until = {NOW + 86_400}\n")
    (key,) = load_directory(trust_dir, now=NOW).by_kid(spki_kid(p256))
    assert (key.valid_from, key.valid_until) == (NOW, NOW + 86_400)


def test_a_description_from_an_editor_of_windows_is_read(
    trust_dir: Path, p256: ec.EllipticCurvePrivateKey
) -> None:
    (trust_dir / "k.pem").write_bytes(public_pem(p256))
    (trust_dir / "k.toml").write_bytes(b"\xef\xbb\xbfvalid_until = %d\r\n" % NOW)
    snapshot = load_directory(trust_dir, now=NOW)
    assert (snapshot.set_aside, snapshot.keys[0].valid_until) == ((), NOW)


def test_a_certificate_is_found_by_the_id_of_a_dcc_too(
    trust_dir: Path, p256: ec.EllipticCurvePrivateKey
) -> None:
    der = certificate(p256).public_bytes(Encoding.DER)
    (trust_dir / "dsc.der").write_bytes(der)
    kid = hashlib.sha256(der).digest()[:8]
    (key,) = load_directory(trust_dir, now=NOW).by_kid(kid)
    assert key.formats == {FormatName.DCC}
    (trust_dir / "dsc.toml").write_text('formats = ["dcc"]\n')
    snapshot = load_directory(trust_dir, now=NOW)
    assert [key.kid for key in snapshot.keys] == [kid]


def test_roots_are_pinned_and_verify_nothing_themselves(
    trust_dir: Path, p256: ec.EllipticCurvePrivateKey
) -> None:
    (trust_dir / "root.crt").write_bytes(certificate(p256).public_bytes(Encoding.PEM))
    (trust_dir / "root.toml").write_text("root = true\n")
    snapshot = load_directory(trust_dir, now=NOW)
    assert [key.issuer for key in snapshot.roots()] == ["root"]
    assert not snapshot.by_kid(spki_kid(p256))
    assert not snapshot.for_format(FormatName.PRETIX)


def test_operators_sign_commands_and_no_credentials(trust_dir: Path) -> None:
    (trust_dir / "alice.pem").write_bytes(public_pem(ED))
    (trust_dir / "alice.toml").write_text(
        'operator = true\nroles = ["open", "mode"]\nvalid_until = 2027-01-01\n'
    )
    (trust_dir / "operators").mkdir()
    (trust_dir / "operators" / "bob.pem").write_bytes(public_pem(P384))
    (trust_dir / "operators" / "bob.toml").write_text('roles = ["close"]\n')
    snapshot = load_directory(trust_dir, now=NOW)
    alice, bob = snapshot.operator(spki_kid(ED)), snapshot.operator(spki_kid(P384))
    assert alice is not None
    assert bob is not None
    assert (alice.name, alice.roles, alice.algorithm) == ("alice", {"open", "mode"}, "EdDSA")
    assert alice.valid_until == 1_798_848_000 - 86_400 + 86_399
    assert bob.roles == {"close"}
    assert not snapshot.by_kid(spki_kid(ED))
    assert snapshot.operator(b"nobody") is None


def test_one_kid_of_two_issuers_gives_both(trust_dir: Path) -> None:
    for name, key in (("one", ED), ("two", P384)):
        (trust_dir / f"{name}.pem").write_bytes(public_pem(key))
        (trust_dir / f"{name}.toml").write_text('kid_text = "12"\n')
    found = load_directory(trust_dir, now=NOW).by_kid(b"12")
    assert [key.issuer for key in found] == ["one", "two"]


def test_formats_without_kid_get_all_their_keys_those_of_their_own_first(trust_dir: Path) -> None:
    for number in range(12):
        key = ed25519.Ed25519PrivateKey.generate()
        (trust_dir / f"k{number:02}.pem").write_bytes(public_pem(key))
    (trust_dir / "k11.toml").write_text('formats = ["pretix"]\n')
    (trust_dir / "k10.toml").write_text('formats = ["native"]\n')
    (trust_dir / "ec.pem").write_bytes(public_pem(P384))
    snapshot = load_directory(trust_dir, now=NOW)
    candidates = [key.issuer for key in snapshot.for_format(FormatName.PRETIX)]
    assert candidates[0] == "k11"
    assert sorted(candidates) == [*(f"k{number:02}" for number in range(10)), "k11"]


def test_aadhaar_keys_are_pinned_to_its_padding(trust_dir: Path) -> None:
    (trust_dir / "uidai.pem").write_bytes(public_pem(RSA))
    (trust_dir / "uidai.toml").write_text('formats = ["aadhaar"]\n')
    (key,) = load_directory(trust_dir, now=NOW).for_format(FormatName.AADHAAR)
    assert key.algorithm is Algorithm.RS256


def test_profiles_models_and_bystanders(trust_dir: Path) -> None:
    (trust_dir / "profiles").mkdir()
    (trust_dir / "profiles" / "library.toml").write_bytes(b"x = 1")
    (trust_dir / "models").mkdir()
    (trust_dir / "models" / "face.tflite").write_bytes(b"model")
    for bystander in ("README.md", ".hidden", "old.pem~", "notes.txt"):
        (trust_dir / bystander).write_text("not for the gate")
    snapshot = load_directory(trust_dir, now=NOW)
    assert snapshot.profile("library") == b"x = 1"
    assert snapshot.profile("hotel") is None
    assert snapshot.model("face.tflite") == trust_dir / "models" / "face.tflite"
    assert snapshot.model("other") is None
    assert (snapshot.version, snapshot.updated_at, snapshot.expires_at) == (0, NOW, None)
    assert snapshot.age_s(NOW + 60) == 60


PRIVATE = ED.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
GOOD = public_pem(ED)
FAULTS = [
    ("private key", {"k.pem": PRIVATE}, r"k\.pem: a private key"),
    ("private JWK", {"k.jwk": b'{"kty":"OKP","d":"AA"}'}, r"k\.jwk: a private or secret key"),
    ("empty file", {"k.pem": b""}, r"k\.pem: not a PEM"),
    ("garbage", {"k.pem": b"\xff" * 80}, r"k\.pem: "),
    ("cut PEM", {"k.pem": GOOD[:60]}, r"k\.pem: "),
    ("cut certificate", {"k.der": b"\x30\x82\x01"}, r"k\.der: the certificate is damaged"),
    ("huge", {"k.pem": b"-" * 300_000}, r"k\.pem: larger than"),
    ("weak RSA", {"k.pem": public_pem(WEAK_RSA)}, r"k\.pem: a key of this kind and size"),
    ("off-curve SM2", {"k.jwk": b'{"kty":"EC","crv":"SM2","point":"04' + b"11" * 64 + b'"}'}, r"k\.jwk: the SM2 key"),
    ("short SM2", {"k.jwk": b'{"kty":"EC","crv":"SM2","point":"04"}'}, r"k\.jwk: the SM2 key"),
    ("unknown file", {"k.exe": b""}, r"k\.exe: an unknown kind of file"),
    ("unknown folder", {"sub/k.pem": GOOD}, r"sub: an unknown folder"),
    ("lonely description", {"k.toml": b""}, r"k\.toml: describes a key, but no"),
    ("not TOML", {"k.pem": GOOD, "k.toml": b"issuer ="}, r"k\.toml: not TOML"),
    ("not UTF-8", {"k.pem": GOOD, "k.toml": b"\xff"}, r"k\.toml: not TOML"),
    ("unknown key", {"k.pem": GOOD, "k.toml": b"isuer = 'a'"}, r"k\.toml: .*isuer"),
    ("unknown kind", {"k.pem": GOOD, "k.toml": b"kinds = ['id']"}, r"k\.toml: key kinds.*'id'"),
    ("wrong algorithm", {"k.pem": GOOD, "k.toml": b"algorithm = 'ES256'"}, r"k\.pem: algorithm ES256 is not"),
    ("bad kid", {"k.pem": GOOD, "k.toml": b"kid = 'xyz'"}, r"k\.pem: key kid: 1 to 64 bytes"),
    ("two kids", {"k.pem": GOOD, "k.toml": b"kid = '01'\nkid_text = '1'"}, r"k\.toml: key kid: give"),
    ("no offset", {"k.pem": GOOD, "k.toml": b"valid_from = 2026-01-01T00:00:00"}, r"key valid_from: a time needs"),
    ("negative time", {"k.pem": GOOD, "k.toml": b"valid_from = -1"}, r"key valid_from: not a time"),
    ("never valid", {"k.pem": GOOD, "k.toml": b"valid_from = 2\nvalid_until = 1"}, r"k\.pem: its validity ends"),
    ("root without certificate", {"k.pem": GOOD, "k.toml": b"root = true"}, r"k\.pem: key root: only a certificate"),
    ("roles of an issuer", {"k.pem": GOOD, "k.toml": b"roles = ['open']"}, r"k\.pem: key roles: only an operator"),
    ("operator without roles", {"k.pem": GOOD, "k.toml": b"operator = true"}, r"k\.pem: key roles: an operator needs"),
    ("unknown level", {"k.pem": GOOD, "k.toml": b"highest_level = 'top'"}, r"k\.toml: key highest_level"),
    ("leaves of no root", {"k.pem": GOOD, "k.toml": b"leaf_usages = ['1.2.3']"}, r"k\.toml: key leaf_\*: only a root"),
    ("no OID", {"k.pem": GOOD, "k.toml": b"root = true\nleaf_policies = ['1.2.3\\n']"}, r"k\.toml: key leaf_policies|not TOML"),
    ("a host in capitals", {"k.pem": GOOD, "k.toml": b"root = true\nleaf_names = ['DNS:A.example']"}, r"k\.toml: key leaf_names: .*lower case"),
    ("no name", {"k.pem": GOOD, "k.toml": b"root = true\nleaf_names = ['Ministry']"}, r"k\.toml: key leaf_names: .*neither DNS"),
    ("identity point", {"k.jwk": b'{"kty":"OKP","crv":"Ed25519","x":"AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}'}, r"k\.jwk: JWK: a key with which anybody can sign"),
    ("unknown role", {"k.pem": GOOD, "k.toml": b"operator = true\nroles = ['boss']"}, r"k\.toml: key roles: unknown boss"),
    (
        "two operators, one key",
        {"operators/a.pem": GOOD, "operators/a.toml": b"roles = ['open']",
         "operators/b.pem": GOOD, "operators/b.toml": b"roles = ['open']"},
        r"operators/a\.pem: operators a and b: one kid",
    ),
    ("status list of nobody", {"status/a.cwt": b"\x00"}, r"a\.cwt: status list: "),
    ("roster without key", {"rosters/a.roster": b""}, r"roster\.key: roster key cannot be read"),
    ("bad roster", {"rosters/a.roster": b"", "roster.key": b"k" * 32}, r"a\.roster: 0 bytes"),
    ("bad roster key", {"rosters/a.roster": b"", "roster.key": b"k"}, r"roster\.key: a roster key is 32 bytes"),
]  # fmt: skip


def put(folder: Path, files: dict[str, bytes]) -> None:
    for name, data in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(data)


@pytest.mark.parametrize(
    ("files", "message"), [row[1:] for row in FAULTS], ids=[row[0] for row in FAULTS]
)
def test_a_fault_is_one_line_that_names_the_file(
    trust_dir: Path, files: dict[str, bytes], message: str
) -> None:
    put(trust_dir, files)
    with pytest.raises(TrustError) as caught:
        load_directory(trust_dir, now=NOW, strict=True)
    text = str(caught.value)
    assert re.search(message, text), text
    assert "\n" not in text
    assert text.startswith(f"{trust_dir}/")


@pytest.mark.parametrize(
    ("files", "message"), [row[1:] for row in FAULTS], ids=[row[0] for row in FAULTS]
)
def test_a_fault_sets_its_file_aside_and_leaves_the_rest(
    trust_dir: Path, files: dict[str, bytes], message: str
) -> None:
    put(trust_dir, {"ministry.pem": public_pem(P384)})
    put(trust_dir, files)
    snapshot = load_directory(trust_dir, now=NOW)
    assert "ministry" in {key.issuer for key in snapshot.keys}
    told = [f"{trust_dir}/{entry}" for entry in snapshot.set_aside]
    assert any(re.search(message, line) for line in told), told
    assert not any(str(trust_dir) in entry.reason for entry in snapshot.set_aside)


def test_what_was_set_aside_is_not_believed_in_part(trust_dir: Path) -> None:
    """A key whose description cannot be read would be trusted for everything."""
    put(trust_dir, {"k.pem": GOOD, "k.toml": b"kinds = ['id']", "k.jwk": ec_jwk(P256)})
    snapshot = load_directory(trust_dir, now=NOW)
    assert not snapshot.keys
    assert [entry.file for entry in snapshot.set_aside] == ["k.jwk", "k.pem"]


def test_a_missing_directory_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(TrustError, match="not a directory"):
        load_directory(tmp_path / "nowhere", now=NOW)


LITTER = (
    "System Volume Information/IndexerVolumeGuid", "$RECYCLE.BIN/desktop.ini", "lost+found/x",
    "Thumbs.db", "desktop.ini", "issuers/sub/k.pem", "status/Thumbs.db", "rosters/Thumbs.db",
    "profiles/old/x.toml", "models/sub/x", "operators/Thumbs.db", "revocation/desktop.ini",
)  # fmt: skip
HIDDEN = (".Trash-1000/files", "._ministry.pem", ".DS_Store", ".Spotlight-V100/x", "x.pem~")


def test_what_other_systems_leave_on_a_stick_takes_nobody_down(trust_dir: Path) -> None:
    put(trust_dir, {"ministry.pem": GOOD})
    for name in (*LITTER, *HIDDEN):
        (trust_dir / name).parent.mkdir(parents=True, exist_ok=True)
        (trust_dir / name).write_bytes(b"\0\5\x16\7")
    snapshot = load_directory(trust_dir, now=NOW)
    assert [key.issuer for key in snapshot.keys] == ["ministry"]
    told = {entry.file for entry in snapshot.set_aside}
    assert told == {
        "System Volume Information", "$RECYCLE.BIN", "lost+found", "Thumbs.db", "desktop.ini",
        "issuers/sub", "status/Thumbs.db", "rosters/Thumbs.db", "profiles/old", "models/sub",
        "operators/Thumbs.db", "revocation/desktop.ini",
    }  # fmt: skip
    assert snapshot.closed == Closed()  # none of these could have refused anybody


def test_what_is_no_file_is_neither_read_nor_waited_for(trust_dir: Path) -> None:
    put(trust_dir, {"ministry.pem": GOOD})
    os.mkfifo(trust_dir / "pipe.pem")
    (trust_dir / "folder.pem").mkdir()
    (trust_dir / "zero.pem").symlink_to("/dev/zero")
    (trust_dir / "gone.pem").symlink_to("/nowhere")
    (trust_dir / "loop.pem").symlink_to(trust_dir / "loop.pem")
    with (trust_dir / "huge.pem").open("wb") as file:
        file.truncate(1 << 33)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(trust_dir / "s.pem"))
        snapshot = load_directory(trust_dir, now=NOW)
    assert [key.issuer for key in snapshot.keys] == ["ministry"]
    assert {entry.file: entry.reason.split(":")[0] for entry in snapshot.set_aside} == {
        "pipe.pem": "not a regular file",
        "folder.pem": "an unknown folder; allowed",
        "zero.pem": "not a regular file",
        "gone.pem": "cannot be read",
        "loop.pem": "cannot be read",
        "huge.pem": "larger than 262144 bytes",
        "s.pem": "cannot be read",
    }


def test_a_name_that_is_no_text_is_told_in_one_line(trust_dir: Path) -> None:
    put(trust_dir, {"ministry.pem": GOOD})
    (trust_dir / "a\nb\x1b[31m\udcff.exe").write_bytes(b"")
    (entry,) = load_directory(trust_dir, now=NOW).set_aside
    assert entry.file == "a?b?[31m?.exe"
    assert str(entry).startswith("a?b?[31m?.exe: an unknown kind of file; allowed: ")


def test_too_many_files_are_refused_in_one_line(
    trust_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.trust.directory._MAX_FILES", 3)
    put(trust_dir, {f"issuers/{number}.pem": GOOD for number in range(4)})
    put(trust_dir, {"ministry.pem": public_pem(P384)})
    snapshot = load_directory(trust_dir, now=NOW)
    assert [key.issuer for key in snapshot.keys] == ["ministry"]
    assert [str(entry) for entry in snapshot.set_aside] == ["issuers: more than 3 files"]
    (trust_dir / "issuers" / "3.pem").unlink()
    assert len(load_directory(trust_dir, now=NOW).keys) == 4
    put(trust_dir, {f"{number}.md": b"" for number in range(4)})
    with pytest.raises(TrustError, match="more than 3 files"):
        load_directory(trust_dir, now=NOW)


# --- several keys in one file, one key in several -------------------------------------------------


def test_a_bundle_and_a_set_are_read_key_by_key(
    trust_dir: Path, p256: ec.EllipticCurvePrivateKey
) -> None:
    bundle = b"subject=/CN=signer\n" + certificate(p256).public_bytes(Encoding.PEM) + GOOD
    bundle += public_pem(WEAK_RSA) + b"-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n"
    members = [
        json.loads(ec_jwk(P256, kid="one", use="sig", alg="ES256")),
        {
            "kty": "OKP",
            "crv": "Ed25519",
            "kid": "two",
            "x": b64url(ED.public_key().public_bytes_raw()),
        },
        {"kty": "OKP", "crv": "X25519", "x": b64url(bytes(32))},
        json.loads(ec_jwk(P256, use="enc")),
        json.loads(ec_jwk(P256, alg="ES384")),
        "none",
    ]
    put(trust_dir, {"bundle.pem": bundle, "set.jwks": json.dumps({"keys": members}).encode()})
    put(trust_dir, {"set.toml": b"issuer = 'Set'"})
    snapshot = load_directory(trust_dir, now=NOW)
    assert [(key.issuer, key.algorithm) for key in snapshot.keys] == [
        ("bundle", "ES256"), ("bundle", "ES256"), ("bundle", "EdDSA"), ("Set", "ES256"), ("Set", "EdDSA"),
    ]  # fmt: skip
    assert snapshot.by_kid(b"one")
    assert snapshot.by_kid(b"two")
    assert [str(entry) for entry in snapshot.set_aside] == [
        "bundle.pem: object 3: a key of this kind and size signs nothing here",
        "bundle.pem: object 4: PEM of 'X509 CRL'; allowed: CERTIFICATE, PUBLIC KEY",
        "set.jwks: key 3: JWK: neither RSA, P-256, P-384 nor Ed25519",
        "set.jwks: key 4: JWK: its use is not to verify signatures",
        "set.jwks: key 5: JWK: alg 'ES384' is not for this key",
        "set.jwks: key 6: a damaged JWK: no object",
    ]


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("k.pem", GOOD + PRIVATE),
        ("k.jwks", json.dumps({"keys": [json.loads(ec_jwk(P256)), {"kty": "oct", "k": "AA"}]}).encode()),
    ],
    ids=["bundle", "set"],
)  # fmt: skip
def test_a_private_key_among_others_refuses_the_file(
    trust_dir: Path, name: str, data: bytes
) -> None:
    put(trust_dir, {name: data})
    snapshot = load_directory(trust_dir, now=NOW)
    assert not snapshot.keys
    assert re.search("private", snapshot.set_aside[0].reason)


def test_one_kid_for_several_keys_is_refused(trust_dir: Path) -> None:
    put(trust_dir, {"k.pem": GOOD + public_pem(P384), "k.toml": b"kid = '01'"})
    assert [str(entry) for entry in load_directory(trust_dir, now=NOW).set_aside] == [
        "k.pem: one kid for 2 keys"
    ]


def test_keys_are_found_by_the_first_bytes_of_their_ids(trust_dir: Path) -> None:
    put(trust_dir, {"a.pem": GOOD, "a.toml": b"kid = '0102030405'",
                    "b.pem": public_pem(P384), "b.toml": b"kid = '01020304'",
                    "c.pem": public_pem(ED), "c.toml": b"kid = '010203'"})  # fmt: skip
    snapshot = load_directory(trust_dir, now=NOW)
    assert [key.issuer for key in snapshot.by_short_kid(b"\1\2\3\4")] == ["a", "b"]
    assert not snapshot.by_short_kid(b"\1\2\3\5")
    assert not snapshot.by_short_kid(b"\1\2\3\4\5")
    assert [key.issuer for key in snapshot.by_kid(b"\1\2\3\4")] == ["b"]
    assert [key.issuer for key in snapshot.by_kid(b"\1\2\3\4\5")] == ["a"]


def test_one_key_may_come_renewed_and_under_several_names(
    trust_dir: Path, p256: ec.EllipticCurvePrivateKey
) -> None:
    old = certificate(p256, first=NOW - 86_400 * 400).public_bytes(Encoding.PEM)
    new = certificate(p256).public_bytes(Encoding.PEM)
    put(
        trust_dir,
        {"a.pem": old, "b.pem": new, "c.pem": public_pem(p256), "c.der": b"", "b.key": new},
    )
    put(trust_dir, {"a.toml": b"issuer = 'I'", "b.toml": b"issuer = 'I'"})
    snapshot = load_directory(trust_dir, now=NOW)
    found = snapshot.by_kid(spki_kid(p256))
    assert [key.issuer for key in found] == ["I", "I", "I", "c"]
    assert [key.fits(NOW) for key in found] == [False, True, True, True]
    assert [entry.file for entry in snapshot.set_aside] == ["c.der"]


def test_an_operator_renewed_is_one_operator(
    trust_dir: Path, p256: ec.EllipticCurvePrivateKey
) -> None:
    def renewed(second: bytes) -> tuple[list[tuple[str, int, int]], list[str]]:
        put(trust_dir, {"operators/b.toml": second})
        snapshot = load_directory(trust_dir, now=NOW)
        return (
            [(key.name, key.valid_from, key.valid_until) for key in snapshot.operators],
            [entry.file for entry in snapshot.set_aside],
        )

    pem = public_pem(p256)
    put(trust_dir, {"operators/a.pem": pem, "operators/b.pem": pem})
    put(
        trust_dir,
        {"operators/a.toml": b"issuer='A'\nroles=['open']\nvalid_from=10\nvalid_until=20\n"},
    )
    both = ["operators/a.pem", "operators/b.pem"]
    said = b"issuer='%s'\nroles=['%s']\nvalid_from=%d\nvalid_until=%d\n"
    assert renewed(said % (b"A", b"open", 21, 30)) == ([("A", 10, 30)], [])
    assert renewed(said % (b"A", b"open", 5, 12)) == ([("A", 5, 20)], [])
    assert renewed(said % (b"A", b"open", 12, 15)) == ([("A", 10, 20)], [])
    assert renewed(said % (b"A", b"open", 22, 30)) == ([], both)  # a gap between them
    assert renewed(said % (b"A", b"close", 21, 30)) == ([], both)
    assert renewed(said % (b"B", b"open", 21, 30)) == ([], both)
    put(trust_dir, {"operators/b.pem": public_pem(P384)})
    kid = spki_kid(p256).hex().encode()
    assert renewed(said % (b"A", b"open", 21, 30) + b"kid='%s'" % kid) == ([], both)


# --- what could have refused somebody ------------------------------------------------------------


@pytest.mark.parametrize(
    ("files", "closed"),
    [
        ({"status/a.cwt": b"\0"}, Closed(status_uris=frozenset({EVERY}))),
        ({"revocation/a.json": b"{}"}, Closed(revocation_kids=frozenset({EVERY_KID}))),
        ({"rosters/a.roster": b""}, Closed(rosters=frozenset({"a"}))),
        ({"profiles/p.toml": b"x" * (64 << 10) + b"x"}, Closed(profiles=frozenset({"p"}))),
    ],
)
def test_what_could_have_refused_stays_closed(
    trust_dir: Path, files: dict[str, bytes], closed: Closed
) -> None:
    put(trust_dir, {"ministry.pem": GOOD, **files})
    snapshot = load_directory(trust_dir, now=NOW)
    assert snapshot.closed == closed
    assert snapshot.keys


@pytest.mark.parametrize(
    ("folder", "closed"),
    [
        ("status", Closed(status_uris=frozenset({EVERY}))),
        ("revocation", Closed(revocation_kids=frozenset({EVERY_KID}))),
        ("rosters", Closed(rosters=frozenset({EVERY}))),
        ("profiles", Closed(profiles=frozenset({EVERY}))),
        ("issuers", Closed()),
        ("models", Closed()),
    ],
)
def test_a_folder_that_cannot_be_listed_closes_all_of_its_sort(
    trust_dir: Path, folder: str, closed: Closed
) -> None:
    put(trust_dir, {"ministry.pem": GOOD, folder: b"a file where the folder belongs"})
    snapshot = load_directory(trust_dir, now=NOW)
    assert snapshot.closed == closed
    assert [key.issuer for key in snapshot.keys] == ["ministry"]
    assert folder in {entry.file for entry in snapshot.set_aside}


def test_a_closed_roster_lets_nobody_in(trust_dir: Path) -> None:
    put(trust_dir, {"ministry.pem": GOOD, "rosters/banned.roster": b"damaged"})
    snapshot = load_directory(trust_dir, now=NOW)
    roster = snapshot.roster("banned")
    assert roster is not None
    assert roster.blocks
    assert roster.lists("any", "body", NOW)
    assert snapshot.roster("other") is None


def test_a_closed_profile_is_not_replaced_by_a_shipped_one(trust_dir: Path) -> None:
    put(trust_dir, {"ministry.pem": GOOD})
    (trust_dir / "profiles").mkdir()
    (trust_dir / "profiles" / "library.toml").symlink_to("/dev/zero")
    snapshot = load_directory(trust_dir, now=NOW)
    with pytest.raises(TrustError, match="profile library: set aside"):
        snapshot.profile("library")
    assert snapshot.profile("hotel") is None


def test_highest_level_and_leaves(trust_dir: Path, p256: ec.EllipticCurvePrivateKey) -> None:
    put(trust_dir, {"k.crt": certificate(p256).public_bytes(Encoding.PEM)})
    put(trust_dir, {"k.toml": (
        b"root = true\nhighest_level = 'basic'\nleaf_usages = ['1.0.18013.5.1.2']\n"
        b"leaf_policies = ['1.2.3']\nleaf_names = ['DNS:a.example', 'URI:https://b.example', 'O=M,C=UT']\n"
    )})  # fmt: skip
    (key,) = load_directory(trust_dir, now=NOW, strict=True).roots()
    assert (key.highest_level, key.leaf_usages) == (Level.BASIC, {"1.0.18013.5.1.2"})
    assert key.leaf_policies == {"1.2.3"}
    assert key.leaf_names == {"DNS:a.example", "URI:https://b.example", "O=M,C=UT"}
