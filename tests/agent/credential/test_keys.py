"""Keys out of files and credentials, and how they are named."""

from __future__ import annotations

import base64
import hashlib
import json
from datetime import UTC, datetime, timedelta

import cwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import given
from hypothesis import strategies as st

from agent.credential import cbor, keys
from agent.credential.issuers import Algorithm
from agent.credential.model import Kind, Rejected
from agent.issuing import issue
from agent.reason import Reason
from tests.support.refusals import refused

ALGORITHMS = ("ES256", "ES384", "EdDSA", "PS256", "SM2")
KEYS = {name: issue.SigningKey.new(name) for name in ALGORITHMS}
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


def _certificate(key, extension: x509.ExtensionType | None = None) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "signer")])
    digest = hashes.SHA256() if KEYS["EdDSA"].private is not key else None
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(BEGIN)
        .not_valid_after(BEGIN + timedelta(days=1))
    )
    if extension is not None:
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(key, digest)


def _same(ours, theirs) -> bool:
    return keys.spki(ours) == keys.spki(theirs)


@pytest.mark.parametrize("name", ALGORITHMS)
def test_pem(name):
    public = keys.load_public_key(KEYS[name].public_pem())
    assert public.algorithms[0] == name
    assert _same(public.key, KEYS[name].public)
    assert public.certificate is None


def test_an_rsa_key_may_be_pinned_to_either_padding():
    pem = KEYS["PS256"].public_pem()
    assert keys.load_public_key(pem).algorithms == (Algorithm.PS256, Algorithm.RS256)
    assert keys.issuer_key(pem, issuer="a").algorithm is Algorithm.PS256
    pinned = keys.issuer_key(pem, issuer="a", algorithm=Algorithm.RS256)
    assert pinned.algorithm is Algorithm.RS256


@pytest.mark.parametrize("name", ["ES256", "ES384", "EdDSA", "PS256"])
@pytest.mark.parametrize("encoding", [Encoding.PEM, Encoding.DER])
def test_certificates(name, encoding):
    certificate = _certificate(KEYS[name].private)
    found = keys.issuer_key(certificate.public_bytes(encoding), issuer="a")
    assert found.algorithm == name
    assert found.certificate == certificate.public_bytes(Encoding.DER)
    assert found.valid_from == int(BEGIN.timestamp())
    assert found.valid_until == int(BEGIN.timestamp()) + 86_400
    assert found.kid == keys.public_key_kid(KEYS[name].public)
    narrowed = keys.issuer_key(
        certificate.public_bytes(encoding), issuer="a",
        valid_from=found.valid_from + 1, valid_until=found.valid_until + 99,
    )  # fmt: skip
    assert (narrowed.valid_from, narrowed.valid_until) == (found.valid_from + 1, found.valid_until)
    narrowed = keys.issuer_key(
        certificate.public_bytes(encoding), issuer="a",
        valid_from=found.valid_from - 1, valid_until=found.valid_until - 1,
    )  # fmt: skip
    assert (narrowed.valid_from, narrowed.valid_until) == (found.valid_from, found.valid_until - 1)


@pytest.mark.parametrize("name", ["ES256", "ES384", "EdDSA"])
def test_cose_key_agrees_with_python_cwt(name):
    item = keys.cose_key(KEYS[name].public)
    theirs = cwt.COSEKey.from_bytes(
        cbor.encode(item | {3: {"ES256": -7, "ES384": -35, "EdDSA": -8}[name]})
    )
    pem = theirs.key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    assert pem == KEYS[name].public_pem()
    algorithm, ours = keys.from_cose_key(cbor.decode(cbor.encode(item)))
    assert algorithm == name
    assert _same(ours, KEYS[name].public)
    assert keys.load_public_key(cbor.encode(item | {2: "no bytes"})).kid is None
    public = keys.load_public_key(cbor.encode(item | {2: b"my-kid"}))
    assert (public.kid, public.algorithms[0]) == (b"my-kid", name)


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _jwk(name: str) -> dict:
    public = KEYS[name].public
    if name == "PS256":
        numbers = public.public_numbers()
        return {"kty": "RSA", "n": _b64(numbers.n.to_bytes(256)), "e": "AQAB"}
    item = keys.cose_key(public)
    crv = {1: "P-256", 2: "P-384", 6: "Ed25519"}[item[-1]]
    jwk = {"kty": "OKP" if crv == "Ed25519" else "EC", "crv": crv, "x": _b64(item[-2])}
    return jwk | ({"y": _b64(item[-3])} if -3 in item else {})


@pytest.mark.parametrize("name", ["ES256", "ES384", "EdDSA", "PS256"])
def test_jwk(name):
    public = keys.load_public_key(json.dumps(_jwk(name) | {"kid": "k1"}).encode())
    assert _same(public.key, KEYS[name].public)
    assert (public.algorithms[0], public.kid) == (name, b"k1")


@pytest.mark.parametrize("name", ALGORITHMS)
def test_kid_is_the_hash_of_the_public_key(name):
    pem = KEYS[name].public_pem()
    der = base64.b64decode(b"".join(pem.splitlines()[1:-1]))
    assert keys.public_key_kid(KEYS[name].public) == hashlib.sha256(der).digest()[:8]
    assert keys.issuer_key(pem, issuer="a").kid == hashlib.sha256(der).digest()[:8]
    assert keys.issuer_key(pem, issuer="a", kid=b"own").kid == b"own"


def test_kid_of_a_dcc_signer_is_the_hash_of_its_certificate():
    der = _certificate(KEYS["ES256"].private).public_bytes(Encoding.DER)
    assert keys.certificate_kid(der) == hashlib.sha256(der).digest()[:8]


def test_pins_are_kept():
    found = keys.issuer_key(
        KEYS["ES256"].public_pem(), issuer="city",
        kinds=frozenset({Kind.ONLINE_ID}), iss=frozenset({"urn:x"}),
    )  # fmt: skip
    assert (found.issuer, found.kinds, found.iss) == ("city", {Kind.ONLINE_ID}, {"urn:x"})


def _private(name: str) -> bytes:
    return KEYS[name].private_pem()


def _public(key) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def _sm2_off_the_curve() -> bytes:
    lines = KEYS["SM2"].public_pem().splitlines()
    der = bytearray(base64.b64decode(b"".join(lines[1:-1])))
    der[-1] ^= 1
    return b"\n".join((lines[0], base64.b64encode(bytes(der)), lines[-1]))


UNUSABLE = {
    "nothing": b"",
    "text": b"hello",
    "private key": _private("ES256"),
    "private SM2 key": _private("SM2"),
    "SEC 1 private key": KEYS["ES256"].private.private_bytes(
        Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()
    ),
    "private COSE_Key": cbor.encode(keys.cose_key(KEYS["ES256"].public) | {-4: b"d" * 32}),
    "private JWK": json.dumps(_jwk("ES256") | {"d": "AQAB"}).encode(),
    "symmetric JWK": b'{"kty":"oct","k":"AQAB"}',
    "JWK set": b'{"keys":[]}',
    "JWK without y": b'{"kty":"EC","crv":"P-256","x":"AQAB"}',
    "JWK with a number": b'{"kty":"EC","crv":"P-256","x":1,"y":2}',
    "JWK of another curve": b'{"kty":"EC","crv":"secp256k1","x":"AQAB","y":"AQAB"}',
    "JWK off the curve": json.dumps(_jwk("ES256") | {"x": _b64(b"\x01" * 32)}).encode(),
    "JWK whose curve is another": json.dumps(_jwk("ES256") | {"kty": "OKP"}).encode(),
    "damaged JWK": b'{"kty":',
    "P-521": _public(ec.generate_private_key(ec.SECP521R1())),
    "secp256k1": _public(ec.generate_private_key(ec.SECP256K1())),
    "Ed448": _public(ed448.Ed448PrivateKey.generate()),
    "two keys in one file": KEYS["ES256"].public_pem() + KEYS["ES384"].public_pem(),
    "damaged PEM": KEYS["ES256"].public_pem().replace(b"M", b"!", 1),
    "PEM of something else": b"-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----",
    "damaged certificate": b"\x30\x03\x02\x01\x01",
    "SM2 off the curve": _sm2_off_the_curve(),
    "COSE_Key with bytes behind": cbor.encode(keys.cose_key(KEYS["ES256"].public)) + b"\x00",
}


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (_private("ES256"), "a private key where the public one belongs"),
        (
            b"-----BEGIN PUBLIC KEY-----\nMAMCAQE=\n-----END PUBLIC KEY-----",
            "damaged or of an unknown",
        ),
        (b'{"keys":[]}', "a set of no keys"),
        (b'{"kty":', "a damaged JWK"),
        (b'{"a":' + b"[" * 100_000, "a damaged JWK"),
        (b'{"kty":"EC","crv":"P-256","d":"AQAB"}', "private or secret key where the public one"),
        (b'{"kty":"EC"}', "JWK: neither RSA, P-256"),
        (b'{"kty":"EC","crv":"P-256","x":1}', "JWK: TypeError in its members"),
        (json.dumps(_jwk("ES256") | {"x": _jwk("ES256")["x"] + "!!!!"}).encode(), "JWK: Error in its members"),
        (b'{"kty":"EC","crv":"P-256","x":"AQAB"}', "JWK: x and y are not 32 bytes each"),
        (b'{"kty":"OKP","crv":"P-256","x":"AQAB"}', "JWK: neither P-256, P-384 nor Ed25519"),
        (b'{"crv":"SM2","point":"0400"}', "no point of its curve"),
        (b'{"crv":"SM2","point":"04zz"}', "JWK: ValueError in its members"),
        (b"hello", r"COSE_Key \(CBOR: cut short\)"),
        (b"\xa0", r"COSE_Key \(COSE_Key: kty, crv or x is missing\)"),
        (b"-----BEGIN PUBLIC KEY-----\n!\n-----END PUBLIC KEY-----", "damaged PEM"),
        (b"-----BEGIN CERTIFICATE-----\nMAMCAQE=\n-----END CERTIFICATE-----", "the certificate is damaged"),
        (b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END-----", "keep it off the gate"),
        (b"-----BEGIN " + b"N" * 50 + b"-----\nAAAA\n-----END-----", f"PEM of '{'N' * 40}'; allowed"),
        (b"-----BEGIN \xff-----\nAAAA\n-----END-----", "PEM of '\u00ff'; allowed: CERTIFICATE, PUBLIC KEY"),
        (b'{"kty":"EC","kid":"\\ud800"}', "kid of the JWK is no text"),
        (b'{"kty":"oct","k":"AQAB"}', "private or secret"),
        (b"\x30\x03\x02\x01\x01", "the certificate is damaged"),
        (_public(ec.generate_private_key(ec.SECP521R1())), "signs nothing here"),
        (b"-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----", "allowed: CERTIFICATE"),
        (_sm2_off_the_curve(), "no point of its curve"),
    ],
)  # fmt: skip
def test_unusable_files_are_told_apart(data, words):
    with pytest.raises(keys.KeyFileError, match=words):
        keys.load_public_key(data)


def test_a_kid_too_long_for_any_code():
    jwk = json.dumps(_jwk("ES256") | {"kid": "k" * 65}).encode()
    with pytest.raises(keys.KeyFileError, match="kid is longer than 64 bytes"):
        keys.issuer_key(jwk, issuer="a")
    jwk = json.dumps(_jwk("ES256") | {"kid": "k" * 64}).encode()
    assert keys.issuer_key(jwk, issuer="a").kid == b"k" * 64


def test_whose_kid_counts():
    """The trust set's, else the file's own, else the computed one."""
    named = json.dumps(_jwk("ES256") | {"kid": "file"}).encode()
    assert keys.issuer_key(named, issuer="a", kid=b"set").kid == b"set"
    assert keys.issuer_key(named, issuer="a").kid == b"file"
    computed = keys.public_key_kid(KEYS["ES256"].public)
    assert keys.issuer_key(json.dumps(_jwk("ES256")).encode(), issuer="a").kid == computed
    assert keys.load_public_key(json.dumps(_jwk("ES256")).encode()).kid is None
    assert keys.load_public_key(json.dumps(_jwk("ES256") | {"kid": 7}).encode()).kid == b"7"


@pytest.mark.parametrize("name", ALGORITHMS)
@pytest.mark.parametrize(
    "written",
    [
        lambda pem: pem.replace(b"\n", b"\r\n"),
        lambda pem: b"\n \n" + pem + b"\n\n",
        lambda pem: pem.strip(),
        lambda pem: pem.replace(b"\nM", b"\n M"),
    ],
)
def test_pem_as_other_editors_leave_it(name, written):
    public = keys.load_public_key(written(KEYS[name].public_pem()))
    assert _same(public.key, KEYS[name].public)


def test_jwk_and_cose_key_with_space_around():
    assert (
        keys.load_public_key(b"\n " + json.dumps(_jwk("ES384")).encode() + b"\n").algorithms[0]
        == "ES384"
    )
    # COSE is bytes: what looks like space may belong to it.
    with pytest.raises(keys.KeyFileError):
        keys.load_public_key(cbor.encode(keys.cose_key(KEYS["ES256"].public)) + b"\n")


def test_what_a_file_leaves_open():
    public = keys.load_public_key(KEYS["ES256"].public_pem())
    assert (public.algorithms, public.certificate, public.kid) == (("ES256",), None, None)
    assert keys.load_public_key(KEYS["SM2"].public_pem()).algorithms == ("SM2",)
    assert "04" not in repr(keys.load_public_key(KEYS["SM2"].public_pem()))
    found = keys.issuer_key(KEYS["ES256"].public_pem(), issuer="a")
    assert (found.valid_from, found.valid_until, found.certificate) == (0, 2**53, None)


@pytest.mark.parametrize("how", ["x and y", "point"])
def test_sm2_jwk(how):
    point = KEYS["SM2"].public
    members = (
        {"x": _b64(point[1:33]), "y": _b64(point[33:])}
        if how == "x and y"
        else {"point": point.hex()}
    )
    public = keys.load_public_key(json.dumps({"crv": "SM2", "kid": "k"} | members).encode())
    assert (public.key, public.algorithms, public.kid) == (point, ("SM2",), b"k")


_P256_OID, _SM2_OID = (bytes.fromhex(text) for text in ("2a8648ce3d030107", "2a811ccf5501822d"))


def _with_sm2_key(point: bytes, oid: bytes = _SM2_OID, second=None) -> bytes:
    """Return a certificate for an SM2 key; its signature, which nobody checks here, is of another."""
    der = _certificate(KEYS["ES256"].private, second).public_bytes(Encoding.DER)
    public = KEYS["ES256"].public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return der.replace(_P256_OID, oid).replace(public, point)


def test_a_certificate_of_an_sm2_key():
    der = _with_sm2_key(KEYS["SM2"].public)
    found = keys.issuer_key(der, issuer="a")
    assert (found.public_key, found.algorithm) == (KEYS["SM2"].public, "SM2")
    assert (found.certificate, found.valid_from) == (der, int(BEGIN.timestamp()))


def test_a_key_that_an_extension_holds_is_not_the_certificates():
    """A second one stands where a certificate is made for two algorithms (X.509, 9.8)."""
    other = keys.spki(issue.SigningKey.new("SM2").public)
    second = x509.UnrecognizedExtension(x509.ObjectIdentifier("2.5.29.72"), other)
    found = keys.load_public_key(_with_sm2_key(KEYS["SM2"].public, second=second))
    assert found.key == KEYS["SM2"].public


@pytest.mark.parametrize(
    ("certificate", "words"),
    [
        (_with_sm2_key(b"\x04" + b"\x01" * 64), "the SM2 key is no point of its curve"),
        (
            _with_sm2_key(b"\x04" + (2).to_bytes(32) + bytes(32)),
            "the SM2 key is no point of its curve",
        ),
        (
            _with_sm2_key(KEYS["SM2"].public, bytes.fromhex("2a8648ce3d03017f")),
            "the certificate's key is of an unknown kind",
        ),
    ],
)
def test_certificates_of_other_keys(certificate, words):
    with pytest.raises(keys.KeyFileError, match=words):
        keys.load_public_key(certificate)


OFF_CURVE = {-2: b"\x01" * 32, -3: b"\x01" * 32}
MALFORMED_KEYS = [
    ([], "no map"),
    (b"", "no map"),
    ({-4: b""}, "a private key where the public one belongs"),
    ({1: True}, "kty, crv or x is missing"),
    ({1: None}, "kty, crv or x is missing"),
    ({-1: True}, "kty, crv or x is missing"),
    ({-1: "P-256"}, "kty, crv or x is missing"),
    ({-2: "x"}, "kty, crv or x is missing"),
    ({-2: None}, "kty, crv or x is missing"),
    ({-3: None}, "x and y are not 32 bytes each"),
    ({-3: True}, "x and y are not 32 bytes each"),
    ({-2: b"x" * 31}, "x and y are not 32 bytes each"),
    ({-3: b"x" * 31}, "x and y are not 32 bytes each"),
    ({-2: b"x" * 33, -3: b"x" * 33}, "x and y are not 32 bytes each"),
    ({-1: 2}, "x and y are not 48 bytes each"),
    (OFF_CURVE, "not a point of the curve"),
    ({1: 1}, "neither P-256, P-384 nor Ed25519"),
    ({1: 3}, "neither P-256, P-384 nor Ed25519"),
    ({-1: 3}, "neither P-256, P-384 nor Ed25519"),
    ({1: 1, -1: 6, -2: b"x" * 31}, "neither P-256, P-384 nor Ed25519"),
    ({1: 1, -1: 6, -2: b"x" * 33}, "neither P-256, P-384 nor Ed25519"),
    ({1: 1, -1: 4}, "neither P-256, P-384 nor Ed25519"),
    ({1: 2, -1: 6}, "neither P-256, P-384 nor Ed25519"),
]


@pytest.mark.parametrize(("changes", "words"), MALFORMED_KEYS)
def test_the_log_says_what_is_wrong_with_a_cose_key(changes, words):
    sound = keys.cose_key(KEYS["ES256"].public)
    item = sound | changes if isinstance(changes, dict) else changes
    told = refused(keys.from_cose_key, item)
    assert told == (Reason.MALFORMED, f"COSE_Key: {words}")


@pytest.mark.parametrize(
    ("name", "number", "agrees"),
    [
        ("ES256", -7, True), ("ES256", -9, True), ("ES256", None, True), ("ES384", -35, True),
        ("ES384", -51, True), ("EdDSA", -8, True), ("EdDSA", -19, True), ("ES256", -35, False),
        ("ES256", -8, False), ("EdDSA", -7, False), ("ES256", 0, False), ("ES256", True, False),
        ("ES256", "ES256", False), ("ES256", [-7], False), ("ES256", -65600, False),
    ],
)  # fmt: skip
def test_a_cose_keys_own_alg(name, number, agrees):
    item = keys.cose_key(KEYS[name].public) | {3: number}
    if agrees:
        algorithm, key = keys.from_cose_key(item)
        assert algorithm == name
        assert _same(key, KEYS[name].public)
    else:
        words = "COSE_Key: alg is not for this key"
        assert refused(keys.from_cose_key, item) == (Reason.ALGORITHM_MISMATCH, words)


def test_the_pin_that_was_asked_for_is_named():
    words = "algorithm ES384 is not for this key; allowed: PS256, RS256"
    with pytest.raises(keys.KeyFileError, match=words):
        keys.issuer_key(KEYS["PS256"].public_pem(), issuer="a", algorithm=Algorithm.ES384)


@pytest.mark.parametrize("name", ["PS256", "SM2"])
def test_no_holder_key_of_other_makes(name):
    with pytest.raises(keys.KeyFileError, match="P-256, P-384 or Ed25519"):
        keys.cose_key(KEYS[name].public)


@pytest.mark.parametrize("name", UNUSABLE)
def test_unusable_files_are_told_in_one_line(name):
    with pytest.raises(keys.KeyFileError) as refused:
        keys.load_public_key(UNUSABLE[name])
    assert str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [
        ("ES256", "ES384"),
        ("ES256", "PS256"),
        ("EdDSA", "ES256"),
        ("PS256", "ES256"),
        ("SM2", "ES256"),
    ],
)
def test_a_pin_that_the_key_cannot_keep(key, algorithm):
    with pytest.raises(keys.KeyFileError, match="allowed"):
        keys.issuer_key(KEYS[key].public_pem(), issuer="a", algorithm=Algorithm(algorithm))


@pytest.mark.parametrize("size", [1024, 8192])
def test_rsa_keys_too_short_or_too_long(size):
    numbers = rsa.RSAPublicNumbers(65537, (1 << (size - 1)) + 1)
    pem = numbers.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    with pytest.raises(keys.KeyFileError, match="signs nothing"):
        keys.load_public_key(pem)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_key_or_refused(data):
    try:
        keys.load_public_key(data)
    except keys.KeyFileError as error:
        assert "\n" not in str(error)  # noqa: PT017 - the property is of the error itself


@given(st.dictionaries(st.integers(-4, 4), st.one_of(st.integers(-9, 9), st.binary(max_size=33))))
def test_any_map_is_a_cose_key_or_refused(item):
    try:
        keys.from_cose_key(item)
    except Rejected as error:
        assert error.reason in {"malformed", "algorithm_mismatch"}  # noqa: PT017 - as above


@pytest.mark.parametrize("name", ["ES256", "ES384", "EdDSA"])
def test_a_compressed_point_is_the_same_key(name):
    for key in (KEYS[name].public, *(issue.SigningKey.new(name).public for _ in range(6))):
        item = keys.cose_key(key, compressed=True)
        assert keys.from_cose_key(item, compressed=True) == keys.from_cose_key(keys.cose_key(key))
        if name != "EdDSA":
            assert type(item[-3]) is bool
            other = keys.from_cose_key(item | {-3: not item[-3]}, compressed=True)[1]
            assert other.public_numbers().x == key.public_numbers().x
            assert other.public_numbers().y != key.public_numbers().y


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({-2: b"\xff" * 32}, "not a point of the curve"),
        ({-2: bytes(31)}, "x and y are not 32 bytes each"),
        ({-2: bytes(33)}, "x and y are not 32 bytes each"),
        ({-1: 2}, "x and y are not 48 bytes each"),
        ({-3: 1}, "x and y are not 32 bytes each"),
        ({-3: None}, "x and y are not 32 bytes each"),
        ({3: -8}, "alg is not for this key"),
    ],
)
def test_a_compressed_point_that_is_none(changes, words):
    item = keys.cose_key(KEYS["ES256"].public, compressed=True) | changes
    assert refused(keys.from_cose_key, item, compressed=True)[1] == f"COSE_Key: {words}"
