"""The plain trust directory: what it takes, what it pins, and one clear line for each fault."""

from __future__ import annotations

import base64
import hashlib
import json
import re
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
from agent.credential.model import FormatName, Kind
from agent.trust.directory import load_directory
from agent.trust.model import TrustError
from tests.support.trust_keys import NOW, certificate, public_pem

ED = ed25519.Ed25519PrivateKey.generate()
P384 = ec.generate_private_key(ec.SECP384R1())
RSA = rsa.generate_private_key(65537, 2048)
WEAK_RSA = rsa.generate_private_key(65537, 1024)
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


def test_formats_without_kid_get_their_own_keys_first_and_eight_at_most(trust_dir: Path) -> None:
    for number in range(12):
        key = ed25519.Ed25519PrivateKey.generate()
        (trust_dir / f"k{number:02}.pem").write_bytes(public_pem(key))
    (trust_dir / "k11.toml").write_text('formats = ["pretix"]\n')
    (trust_dir / "k10.toml").write_text('formats = ["native"]\n')
    (trust_dir / "ec.pem").write_bytes(public_pem(P384))
    snapshot = load_directory(trust_dir, now=NOW)
    candidates = snapshot.for_format(FormatName.PRETIX)
    assert len(candidates) == 8
    assert candidates[0].issuer == "k11"
    assert not {"k10", "ec"} & {key.issuer for key in candidates}


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
    ("two files, one name", {"k.pem": GOOD, "k.jwk": b"{}"}, r"k\.pem: k\.jwk has the same name"),
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
    ("unknown role", {"k.pem": GOOD, "k.toml": b"operator = true\nroles = ['boss']"}, r"k\.toml: key roles: unknown boss"),
    (
        "one key twice",
        {"a.pem": GOOD, "a.toml": b"issuer = 'I'", "b.pem": GOOD, "b.toml": b"issuer = 'I'"},
        r"issuer I: the same key",
    ),
    (
        "two operators, one key",
        {"operators/a.pem": GOOD, "operators/a.toml": b"roles = ['open']",
         "operators/b.pem": GOOD, "operators/b.toml": b"roles = ['open']"},
        r"operators a and b: one kid",
    ),
    (
        "nine keys, one kid",
        {name: data for n in range(9) for name, data in (
            (f"k{n}.pem", public_pem(ed25519.Ed25519PrivateKey.generate())), (f"k{n}.toml", b"kid = '01'"))},
        r"kid 01: 9 keys share it",
    ),
    ("status list of nobody", {"status/a.cwt": b"\x00"}, r"a\.cwt: status list: "),
    ("roster without key", {"rosters/a.roster": b""}, r"roster\.key: roster key cannot be read"),
    ("bad roster", {"rosters/a.roster": b"", "roster.key": b"k" * 32}, r"a\.roster: 0 bytes"),
    ("bad roster key", {"rosters/a.roster": b"", "roster.key": b"k"}, r"roster\.key: a roster key is 32 bytes"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("files", "message"), [row[1:] for row in FAULTS], ids=[row[0] for row in FAULTS]
)
def test_a_fault_is_one_line_that_names_the_file(
    trust_dir: Path, files: dict[str, bytes], message: str
) -> None:
    for name, data in files.items():
        (trust_dir / name).parent.mkdir(exist_ok=True)
        (trust_dir / name).write_bytes(data)
    with pytest.raises(TrustError) as caught:
        load_directory(trust_dir, now=NOW)
    text = str(caught.value)
    assert re.search(message, text), text
    assert "\n" not in text


def test_a_missing_directory_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(TrustError, match="not a directory"):
        load_directory(tmp_path / "nowhere", now=NOW)


def test_a_link_to_a_device_is_refused(trust_dir: Path) -> None:
    (trust_dir / "k.pem").symlink_to("/dev/zero")
    with pytest.raises(TrustError, match="not a regular file"):
        load_directory(trust_dir, now=NOW)
