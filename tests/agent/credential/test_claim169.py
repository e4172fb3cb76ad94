"""Claim 169: the published vectors, the specification's sample, and every attack on the way in."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from agent.credential import base45, cbor, claim169, cose, inflate, registry
from agent.credential.checks import replay_key
from agent.credential.issuers import Algorithm, IssuerKey, KeySource
from agent.credential.model import (
    BiometricReference,
    Credential,
    FormatName,
    Kind,
    Level,
    Modality,
    ReferenceForm,
    Rejected,
    StatusReference,
)
from agent.credential.numbers import Claim, Header
from agent.reason import Reason
from tests.support.explained import explained
from tests.support.key_sources import Unfiltered
from tests.support.makers import (
    DAY,
    DIRECT,
    FACE,
    FINGER,
    IDENTITY,
    NOW,
    RULES,
    SITE_KEY,
    ec_key,
    ed_key,
    encrypt0,
    identity_claims,
    issuer_key,
    pack,
    root_key,
    rsa_key,
    sign1,
    trust,
)
from tests.support.makers import (
    claim169 as make,
)
from tests.support.paths import VECTORS, shared

TRUST = trust(issuer_key(ec_key()))


def reason(payload: bytes, keys: KeySource = TRUST, **rules: Any) -> Reason:
    with pytest.raises(Rejected) as caught:
        registry.read(payload, keys=keys, rules=replace(RULES, **rules))
    return explained(caught.value)


# --- published vectors -----------------------------------------------------------------------------

EXPECTED = {
    "ecdsa-p256-signed": None,
    "ed25519-signed": None,
    "encrypted-signed": None,
    "bad-base45": Reason.UNKNOWN_FORMAT,
    "bad-zlib": Reason.MALFORMED,
    "not-cose": Reason.MALFORMED,
} | dict.fromkeys(
    (
        "expired", "not-yet-valid", "unknown-fields", "missing-169", "claim169-example",
        "demographics-full", "encrypted-aes256", "minimal", "refugee-identity",
        "with-all-biometrics", "with-face", "with-fingerprints",
    ),
    Reason.UNSIGNED,
)  # fmt: skip


def vectors() -> dict[str, dict[str, Any]]:
    folder = VECTORS / "claim169" / "test-vectors"
    return {path.stem: json.loads(path.read_text()) for path in folder.glob("*/*.json")}


def published_key(vector: dict[str, Any]) -> IssuerKey:
    raw = bytes.fromhex(vector["signing_key"]["public_key_hex"])
    if vector["signing_key"]["algorithm"] == "EdDSA":
        public: Any = ed25519.Ed25519PublicKey.from_public_bytes(raw)
        return IssuerKey(vector["name"], b"ed", Algorithm.EDDSA, public)
    public = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), raw)
    return IssuerKey(vector["name"], b"ec", Algorithm.ES256, public)


@pytest.mark.parametrize("name", EXPECTED)
def test_published(name: str) -> None:
    whole = vectors()
    assert whole.keys() == EXPECTED.keys()
    signed = [vector for vector in whole.values() if "signing_key" in vector]
    keys = trust(*(published_key(vector) for vector in signed))
    site_keys = tuple(
        bytes.fromhex(vector["encryption_key"]["symmetric_key_hex"])
        for vector in whole.values()
        if "encryption_key" in vector
    )
    vector, now = whole[name], 1_750_000_000
    payload = vector["qr_data"].encode()
    if EXPECTED[name] is not None:
        assert reason(payload, keys, now=now, site_keys=site_keys) is EXPECTED[name]
        return
    credential = registry.read(
        payload, keys=keys, rules=replace(RULES, now=now, site_keys=site_keys)
    )
    assert credential.issuer == name
    assert credential.subject == vector["expected_claim169"]["id"]
    assert credential.claims["full_name"] == vector["expected_claim169"]["fullName"]
    assert credential.valid_until == vector["expected_cwt_meta"]["expiresAt"] - 1
    assert credential.issued_at == vector["expected_cwt_meta"]["issuedAt"]


def test_published_encrypted_needs_the_site_key() -> None:
    payload = vectors()["encrypted-signed"]["qr_data"].encode()
    assert reason(payload) is Reason.DECRYPTION_FAILED
    assert reason(payload, site_keys=(SITE_KEY,)) is Reason.DECRYPTION_FAILED


def resigned(data: bytes, *, tags: tuple[int, ...], unprotected: dict[int, Any]) -> bytes:
    message = cose.parse_sign1(data, untagged=True)
    return sign1(
        message.payload, ed_key(), protected={Header.ALG: -8}, unprotected=unprotected, tags=tags
    )


def sample() -> bytes:
    path = shared("vectors/claim169/spec-1.2.1/sample_qr.txt")
    return path.read_bytes().rstrip(b"\n")


def test_specification_sample_reads_but_its_key_is_not_published() -> None:
    assert registry.sniff(sample()) is FormatName.CLAIM169
    assert reason(sample()) is Reason.UNKNOWN_ISSUER


def test_specification_sample_with_a_key_of_ours() -> None:
    data = inflate.unzlib(base45.decode(sample()))
    assert data == shared("vectors/claim169/spec-1.2.1/sample_cwt.cbor").read_bytes()
    data = resigned(data, tags=(61, 18), unprotected={Header.KID: b"k-1101"})
    payload = base45.encode(pack(data)).encode()
    keys = trust(issuer_key(ed_key(), kid=b"k-1101", iss=frozenset({"www.mosip.io"})))
    credential = registry.read(payload, keys=keys, rules=replace(RULES, now=1_760_000_000))
    assert credential.subject == "3918592438"
    assert credential.birth_date == "1984-04-18"
    (face,) = credential.references
    assert (face.modality, face.subformat, face.position) == (Modality.FACE, 4, 62)
    assert face.data.startswith(b"RIFF")


@pytest.mark.parametrize("name", ["refugee-identity", "with-all-biometrics", "demographics-full"])
def test_published_unsigned_ones_read_once_they_are_signed(name: str) -> None:
    vector = vectors()[name]
    data = inflate.unzlib(base45.decode(vector["qr_data"].encode()))
    data = resigned_unsigned(data)
    payload = base45.encode(pack(data, "brotli")).encode()
    keys = trust(issuer_key(ed_key()))
    credential = registry.read(payload, keys=keys, rules=replace(RULES, now=1_760_000_000))
    expected = vector["expected_claim169"]
    assert credential.claims["full_name"] == expected["fullName"]
    if name == "refugee-identity":
        assert credential.birth_date == expected["dateOfBirth"]
        assert [reference.subformat for reference in credential.references] == [4]
    if name == "with-all-biometrics":
        positions = [reference.position for reference in credential.references]
        assert positions == [62, *range(50, 60)]
    if name == "demographics-full":
        assert credential.birth_date == "1990-05-15"


def resigned_unsigned(data: bytes) -> bytes:
    payload = cbor.decode(data, tags=(18,)).value[2]
    return sign1(payload, ed_key(), protected={Header.ALG: -8})


# --- own, whole ------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["zlib", "brotli"])
@pytest.mark.parametrize("tags", [(18,), (61, 18), ()])
@pytest.mark.parametrize("encrypt", [None, SITE_KEY])
def test_reads(how: str, tags: tuple[int, ...], encrypt: bytes | None) -> None:
    payload = make(how=how, tags=tags, encrypt=encrypt)
    assert registry.sniff(payload) is FormatName.CLAIM169
    rules = replace(RULES, site_keys=(bytes(32), SITE_KEY))
    credential = registry.read(payload, keys=TRUST, rules=rules)
    assert (credential.kind, credential.level) == (Kind.NATIONAL_ID, Level.BASIC)
    assert not credential.dynamic
    assert credential.subject == "3918592438"
    assert credential.birth_date == "1984-04-18"
    face, finger = credential.references
    assert (face.form, face.subformat, face.data) == (ReferenceForm.IMAGE, 1, FACE[0])
    assert (finger.form, finger.issuer, finger.position) == (ReferenceForm.TEMPLATE, "r503", 50)
    for personal in ("3918592438", "Janardhan", "1984", "face"):
        assert personal not in repr(credential)


def test_all_that_an_identity_becomes() -> None:
    status = {"status_list": {"idx": 7, "uri": "https://example.org/1"}}
    claims = identity_claims(iat=NOW - 2, nbf=NOW - 1, status=status)
    assert registry.read(make(claims), keys=TRUST, rules=RULES) == Credential(
        format=FormatName.CLAIM169,
        issuer="authority",
        key_id=b"key-1",
        kind=Kind.NATIONAL_ID,
        level=Level.BASIC,
        subject="3918592438",
        issued_at=NOW - 2,
        valid_from=NOW - 1,
        valid_until=NOW + DAY - 1,
        dynamic=False,
        replay_key=replay_key("authority", b"3918592438", NOW - 1),
        references=(
            BiometricReference(Modality.FACE, ReferenceForm.IMAGE, FACE[0], 1, "", 62),
            BiometricReference(Modality.FINGER, ReferenceForm.TEMPLATE, FINGER[0], 1, "r503", 50),
        ),
        birth_date="1984-04-18",
        status=StatusReference("https://example.org/1", 7),
        claims={
            "iss": "https://mosip.example.org",
            "id": "3918592438",
            "full_name": "Janardhan BS",
            "birth_date": "19840418",
            "gender": 1,
            "nationality": "IN",
        },
    )


@pytest.mark.parametrize("place", ["library/north", "library", ["museum", "library"]], ids=str)
def test_made_out_to_this_gate(place: Any) -> None:
    payload = make(identity_claims(aud=place, sub="7", cti=b"x"))
    assert registry.read(payload, keys=TRUST, rules=RULES).subject == "7"


@pytest.mark.parametrize("subject", [None, "7"])
def test_subject_that_is_null_is_not_there(subject: str | None) -> None:
    payload = make(identity_claims() | {Claim.SUB: subject})
    read = registry.read(payload, keys=TRUST, rules=RULES).subject
    assert read == (subject or "3918592438")


def test_numbers_longer_than_needed_are_read() -> None:
    claims = cbor.encode(identity_claims())
    loose = b"\xb8" + bytes([claims[0] & 0x1F]) + claims[1:]
    data = sign1(loose, ec_key(), protected=b"\xb8\x02\x01\x26\x04\x45key-1")
    payload = base45.encode(pack(data)).encode()
    assert registry.read(payload, keys=TRUST, rules=RULES).subject == "3918592438"


def test_deprecated_photo_is_a_face() -> None:
    claims = identity_claims(identity={1: "x", 16: b"RIFF", 17: 4})
    assert registry.read(make(claims), keys=TRUST, rules=RULES).references == (
        BiometricReference(Modality.FACE, ReferenceForm.IMAGE, b"RIFF", 4, "", 62),
    )


TIMES: dict[str, tuple[dict[str, Any], Any]] = {
    "begins with nbf": ({"nbf": NOW - 3, "iat": NOW - 5}, (NOW - 5, NOW - 3)),
    "begins with iat": ({"nbf": None, "iat": NOW - 5}, (NOW - 5, NOW - 5)),
    "always begun": ({"nbf": None, "iat": None}, (None, 0)),
    "nbf alone": ({"nbf": NOW - 3, "iat": None}, (None, NOW - 3)),
    "issued by a fast clock": ({"nbf": NOW, "iat": NOW + 5}, (NOW + 5, NOW)),
    "issued by a clock too fast": ({"nbf": NOW, "iat": NOW + 6}, Reason.ISSUED_IN_FUTURE),
    "lasts a second": ({"iat": NOW, "nbf": None, "exp": NOW + 1}, (NOW, NOW)),
    "ends as it is issued, having begun before": (
        {"iat": NOW + 3, "nbf": NOW - 1, "exp": NOW + 3},
        Reason.BAD_TIME,
    ),
    "times as whole floats": (
        {"iat": float(NOW - 5), "nbf": float(NOW - 3), "exp": float(NOW + 9)},
        (NOW - 5, NOW - 3),
    ),
    "times under tag 1": (
        {"iat": cbor.Tagged(1, NOW - 5), "nbf": cbor.Tagged(1, float(NOW - 3))},
        (NOW - 5, NOW - 3),
    ),
    "a broken second": ({"exp": NOW + 9.5}, Reason.BAD_TIME),
    "under another tag": ({"exp": cbor.Tagged(0, NOW + 9)}, Reason.BAD_TIME),
    "no end in sight": ({"exp": float("inf")}, Reason.BAD_TIME),
    "no number": ({"exp": float("nan")}, Reason.BAD_TIME),
    "not yet, as a float": ({"nbf": float(NOW + 60)}, Reason.NOT_YET_VALID),
    "over, as a float": ({"exp": float(NOW)}, Reason.EXPIRED),
    "lasts no second": ({"iat": NOW, "nbf": None, "exp": NOW}, Reason.BAD_TIME),
}


@pytest.mark.parametrize("case", TIMES)
def test_times(case: str) -> None:
    changes, expected = TIMES[case]
    payload = make(identity_claims(**changes))
    if isinstance(expected, Reason):
        assert reason(payload) is expected
    else:
        credential = registry.read(payload, keys=TRUST, rules=RULES)
        assert (credential.issued_at, credential.valid_from) == expected


@pytest.mark.parametrize(
    ("private", "alg"),
    [
        (ec_key(), -7), (ec_key(), -9), (ec_key(1, ec.SECP384R1), -35), (ed_key(), -8),
        (ed_key(), -19), (rsa_key(), -37),
    ],
    ids=["ES256", "ESP256", "ES384", "EdDSA", "Ed25519", "PS256"],
)  # fmt: skip
def test_algorithms(private: Any, alg: int) -> None:
    keys = trust(issuer_key(private))
    assert registry.read(make(private=private, alg=alg), keys=keys, rules=RULES).issuer


def test_key_without_kid_is_found_by_format() -> None:
    keys = trust(issuer_key(ed_key(3), issuer="other"), issuer_key(ec_key(), issuer="right"))
    assert registry.read(make(kid=None), keys=keys, rules=RULES).issuer == "right"


@pytest.mark.parametrize("headers", ["protected", "unprotected"])
def test_kid_of_either_header_names_the_key(headers: str) -> None:
    keys = trust(issuer_key(ec_key(), kid=b"k"), issuer_key(ec_key(), issuer="other"))
    kid = {Header.KID: b"k"}
    payload = make(
        protected={Header.ALG: -7} | (kid if headers == "protected" else {}),
        unprotected=kid if headers == "unprotected" else {},
    )
    assert registry.read(payload, keys=keys, rules=RULES).issuer == "authority"


CHAINED = {Header.X5CHAIN: DIRECT.der()}


@pytest.mark.parametrize(
    ("kid", "expected"),
    [(None, "national-root"), (b"unknown", "national-root"), (b"key-1", "pinned")],
)
def test_chain_counts_where_no_pinned_key_is_named(kid: bytes | None, expected: str) -> None:
    pinned = issuer_key(ec_key(102), issuer="pinned")
    payload = make(private=ec_key(102), kid=kid, unprotected=CHAINED)
    keys = trust(root_key(), pinned)
    assert registry.read(payload, keys=keys, rules=RULES).issuer == expected


def test_eight_keys_are_tried_in_turn() -> None:
    other, right = issuer_key(ec_key(7), issuer="other"), issuer_key(ec_key())
    keys = Unfiltered([*[other] * 7, right])
    assert registry.read(make(kid=None), keys=keys, rules=RULES).issuer == "authority"
    assert reason(make(kid=None), Unfiltered([*[other] * 8, right])) is Reason.BAD_SIGNATURE


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        ({Kind.RESIDENCE_PERMIT}, Kind.RESIDENCE_PERMIT),
        ({Kind.RESIDENCE_PERMIT, Kind.NATIONAL_ID}, Kind.NATIONAL_ID),
    ],
    ids=["one", "two"],
)
def test_kind_is_the_only_one_of_the_key(kinds: set[Kind], expected: Kind) -> None:
    pinned = issuer_key(ec_key(), kinds=frozenset(kinds))
    assert registry.read(make(), keys=trust(pinned), rules=RULES).kind is expected


def test_validity_ends_before_exp_and_sub_counts_before_the_id() -> None:
    claims = identity_claims(sub="urn:uuid:1", exp=NOW + 1, nbf=None)
    credential = registry.read(make(claims), keys=TRUST, rules=RULES)
    assert (credential.valid_from, credential.valid_until) == (NOW - DAY, NOW)
    assert credential.subject == "urn:uuid:1"
    assert reason(make(claims), now=NOW + 1) is Reason.EXPIRED


def test_status_reference() -> None:
    status = {"status_list": {"idx": 7, "uri": "https://example.org/1"}}
    credential = registry.read(make(identity_claims(status=status)), keys=TRUST, rules=RULES)
    assert credential.status is not None
    assert (credential.status.index, credential.status.uri) == (7, "https://example.org/1")


IDENTITIES: dict[str, tuple[Any, list[tuple[int, int]], str | None]] = {
    "single map": (IDENTITY | {62: FACE}, [(62, 1), (50, 1)], "1984-04-18"),
    "wrapped": (cbor.encode(IDENTITY), [(62, 1), (50, 1)], "1984-04-18"),
    "deprecated photo": ({1: "x", 16: b"RIFF", 17: 4}, [(62, 4)], None),
    "deprecated photo, old JPEG": ({1: "x", 16: b"\xff\xd8", 17: 1}, [(62, 1)], None),
    "face counts before the photo": ({1: "x", 62: [FACE], 16: b"RIFF", 17: 4}, [(62, 1)], None),
    "photo as JPEG": ({1: "x", 16: b"RIFF", 17: 1}, [(62, 1)], None),
    "photo as PNG": ({1: "x", 16: b"RIFF", 17: 0}, [], None),
    "photo past WEBP": ({1: "x", 16: b"RIFF", 17: 5}, [], None),
    "photo as true": ({1: "x", 16: b"RIFF", 17: True}, [], None),
    "photo in no known format": ({1: "x", 16: b"RIFF", 17: 9}, [], None),
    "format true": ({1: "x", 62: [FACE | {1: True}]}, [], None),
    "format a list": ({1: "x", 62: [FACE | {1: [0]}]}, [], None),
    "sub-format true": ({1: "x", 62: [FACE | {2: True}]}, [], None),
    "sub-format as text": ({1: "x", 62: [FACE | {2: "1"}]}, [], None),
    "sound before a face": ({1: "x", 62: [FACE | {1: 2}, FACE]}, [(62, 1)], None),
    "no face in the list": ({1: "x", 62: []}, [], None),
    "16 fingers in one": ({1: "x", 50: [FINGER] * 16}, [(50, 1)] * 16, None),
    "all fingers after the face": (
        {1: "x", 59: FINGER, 50: FINGER, 62: FACE},
        [(62, 1), (50, 1), (59, 1)],
        None,
    ),
    "wrapped, with a float": (cbor.encode({1: "x", 45: 1.5}), [], None),
    "photo without format": ({1: "x", 16: b"RIFF"}, [], None),
    "sound and hash are passed over": ({1: "x", 62: [FACE | {1: 2}, FACE | {1: 3}]}, [], None),
    "no format": ({1: "x", 62: [{0: b"raw"}]}, [], None),
    "iris and voice are passed over": ({1: "x", 60: [FACE], 65: [FACE]}, [], None),
    "gender as text": ({1: "x", 9: "1"}, [], None),
    "date with dashes": ({1: "x", 8: "1975-04-04"}, [], "1975-04-04"),
    "date with one dash": ({1: "x", 8: "1975-0404"}, [], "1975-04-04"),
    "date with a time": ({1: "x", 8: "19750404T00"}, [], None),
    "date with other dashes": ({1: "x", 8: "1975/04/04"}, [], None),
    "no such date": ({1: "x", 8: "19840231"}, [], None),
    "year only": ({1: "x", 8: "1984"}, [], "1984"),
    "year and month": ({1: "x", 8: "1984-04"}, [], "1984-04"),
    "six digits": ({1: "x", 8: "198404"}, [], None),
    "month of no year": ({1: "x", 8: "1984-13"}, [], None),
    "date under a tag": ({1: "x", 8: cbor.Tagged(1004, "1984-04-18")}, [], "1984-04-18"),
    "null for what is not there": ({1: "x", 8: None, 50: None, 62: None, 16: None, 17: None}, [], None),
    "null for the face, and a photo": ({1: "x", 62: None, 16: b"RIFF", 17: 4}, [(62, 4)], None),
    "null for the biometric's issuer": ({1: "x", 62: FACE | {3: None}}, [(62, 1)], None),
    "format in whole floats": ({1: "x", 62: FACE | {1: 0.0, 2: 1.0}}, [(62, 1)], None),
    "photo format in a whole float": ({1: "x", 16: b"RIFF", 17: 4.0}, [(62, 4)], None),
    "format in a broken float": ({1: "x", 62: FACE | {2: 1.5}}, [], None),
    "tags, floats and null where nobody reads": (
        {1: "x", 2: 1.5, 10: None, 30: cbor.Tagged(0, "2026-01-01T00:00:00Z"), 45: cbor.Tagged(35, "a*"),
         46: float("nan"), 47: cbor.Tagged(1, float("inf"))}, [], None,
    ),
    "wrapped, with tags": (cbor.encode({1: "x", 45: cbor.Tagged(1, 1.5)}), [], None),
    "date in other digits": ({1: "x", 8: "\u0661\u0669\u0668\u0664\u0660\u0664\u0661\u0668"}, [], None),
    "date as number": ({1: "x", 8: 19840418}, [], None),
    "free attributes": ({1: "x", 30: "reserved", 45: 12345, 70: b"\1", 99: True}, [], None),
}  # fmt: skip


@pytest.mark.parametrize("case", IDENTITIES)
def test_identities(case: str) -> None:
    identity, references, born = IDENTITIES[case]
    credential = registry.read(make(identity_claims(identity=identity)), keys=TRUST, rules=RULES)
    found = [(reference.position, reference.subformat) for reference in credential.references]
    assert (found, credential.birth_date) == (references, born)


# --- attacks ---------------------------------------------------------------------------------------


def message(payload: bytes | None = None, private: Any = None, **more: Any) -> bytes:
    """Return a code from a COSE message with headers of the case's own."""
    data = sign1(payload or cbor.encode(identity_claims()), private or ec_key(), **more)
    return code(data)


def code(data: bytes, how: str = "zlib") -> bytes:
    return base45.encode(pack(data, how)).encode()


def identity(value: Any) -> bytes:
    return make(identity_claims(identity=value))


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def der_signature() -> bytes:
    from cryptography.hazmat.primitives import hashes

    return ec_key().sign(b"anything", ec.ECDSA(hashes.SHA256()))


BOMB = cbor.encode(bytes(1_500_000))
HEADER = {Header.ALG: -7, Header.KID: b"key-1"}
ATTACKS: dict[str, tuple[Callable[[], bytes], Reason]] = {
    # compression
    "zip bomb, zlib": (lambda: code(BOMB), Reason.TOO_LARGE),
    "zip bomb, Brotli": (lambda: code(BOMB, "brotli"), Reason.TOO_LARGE),
    "zip bomb inside the encryption": (
        lambda: base45.encode(pack(encrypt0(pack(BOMB), SITE_KEY))).encode(),
        Reason.MALFORMED,
    ),
    "bytes after zlib": (lambda: base45.encode(pack(b"\xd2\x80") + b"\0").encode(), Reason.MALFORMED),
    "bytes after Brotli": (
        lambda: base45.encode(pack(message_bytes(), "brotli") + b"\0").encode(),
        Reason.MALFORMED,
    ),
    "zlib cut short": (lambda: base45.encode(pack(message_bytes())[:-3]).encode(), Reason.MALFORMED),
    "Brotli cut short": (lambda: base45.encode(pack(message_bytes(), "brotli")[:-3]).encode(), Reason.MALFORMED),
    "not compressed": (lambda: base45.encode(message_bytes()).encode(), Reason.MALFORMED),
    "empty": (lambda: code(b""), Reason.MALFORMED),
    # base45
    "a character left over": (lambda: make() + (b"0" if len(make()) % 3 == 0 else b"00"), Reason.MALFORMED),
    "overflow": (lambda: b":::" + make(), Reason.MALFORMED),
    # signature
    "no signature": (lambda: message(protected=HEADER, signature=b""), Reason.UNSIGNED),
    "claims alone": (lambda: code(cbor.encode(identity_claims())), Reason.UNSIGNED),
    "claims alone under the CWT tag": (
        lambda: code(cbor.encode(cbor.Tagged(61, identity_claims()))),
        Reason.UNSIGNED,
    ),
    "claims alone, encrypted": (
        lambda: code(encrypt0(cbor.encode(identity_claims()), SITE_KEY)),
        Reason.UNSIGNED,
    ),
    "signature in DER": (lambda: message(protected=HEADER, signature=der_signature()), Reason.BAD_SIGNATURE),
    "signature too short": (lambda: message(protected=HEADER, signature=bytes(63)), Reason.BAD_SIGNATURE),
    "signature zero": (lambda: message(protected=HEADER, signature=bytes(64)), Reason.BAD_SIGNATURE),
    "signature of another key": (lambda: message(private=ec_key(2), protected=HEADER), Reason.BAD_SIGNATURE),
    # algorithm
    "no alg": (lambda: message(protected={Header.KID: b"key-1"}), Reason.ALGORITHM_MISMATCH),
    "alg only unprotected": (
        lambda: message(protected={Header.KID: b"key-1"}, unprotected={Header.ALG: -7}),
        Reason.ALGORITHM_MISMATCH,
    ),
    "alg in both headers": (
        lambda: message(protected=HEADER, unprotected={Header.ALG: -8}),
        Reason.ALGORITHM_MISMATCH,
    ),
    "alg of another key type": (lambda: message(protected=HEADER | {Header.ALG: -8}), Reason.ALGORITHM_MISMATCH),
    "alg RSA for an EC key": (lambda: message(protected=HEADER | {Header.ALG: -37}), Reason.ALGORITHM_MISMATCH),
    "alg HMAC": (lambda: message(protected=HEADER | {Header.ALG: 5}), Reason.ALGORITHM_MISMATCH),
    "alg none": (lambda: message(protected=HEADER | {Header.ALG: 0}), Reason.ALGORITHM_MISMATCH),
    "alg null": (lambda: message(protected=HEADER | {Header.ALG: None}), Reason.ALGORITHM_MISMATCH),
    "alg true": (lambda: message(protected=HEADER | {Header.ALG: True}), Reason.ALGORITHM_MISMATCH),
    "alg as text": (lambda: message(protected=HEADER | {Header.ALG: "ES256"}), Reason.ALGORITHM_MISMATCH),
    "alg SHA-1": (lambda: message(protected=HEADER | {Header.ALG: -65535}), Reason.ALGORITHM_MISMATCH),
    # headers
    "typ": (lambda: message(protected=HEADER | {Header.TYP: "x"}), Reason.MALFORMED),
    "a holder's key": (lambda: make(identity_claims() | {Claim.CNF: {}}), Reason.MALFORMED),
    "a kind": (lambda: make(identity_claims() | {Claim.VCT: "x"}), Reason.MALFORMED),
    "regions": (lambda: make(identity_claims() | {Claim.REGIONS: ["CN"]}), Reason.MALFORMED),
    "details": (lambda: make(identity_claims() | {Claim.DETAILS: {}}), Reason.MALFORMED),
    "a ticket": (lambda: make(identity_claims() | {Claim.BUSINESS: b""}), Reason.UNKNOWN_CLAIM),
    "scope": (lambda: make(identity_claims() | {9: "a"}), Reason.UNKNOWN_CLAIM),
    "a health certificate": (lambda: make(identity_claims() | {-260: {}}), Reason.UNKNOWN_CLAIM),
    "a claim by name": (lambda: make(identity_claims() | {"only_at": "x"}), Reason.UNKNOWN_CLAIM),
    "made out to another place": (lambda: make(identity_claims(aud="museum")), Reason.WRONG_AUDIENCE),
    "a level": (lambda: make(identity_claims() | {Claim.LEVEL: 1}), Reason.MALFORMED),
    "kid unknown": (lambda: make(kid=b"key-2"), Reason.UNKNOWN_ISSUER),
    "kid as text": (lambda: message(protected={Header.ALG: -7, Header.KID: "key-1"}), Reason.MALFORMED),
    "kid in both headers": (
        lambda: message(protected=HEADER, unprotected={Header.KID: b"key-1"}),
        Reason.MALFORMED,
    ),
    "unknown critical header": (
        lambda: message(protected=HEADER | {Header.CRIT: [99], 99: 1}),
        Reason.UNKNOWN_CRITICAL_HEADER,
    ),
    "critical header that is absent": (
        lambda: message(protected=HEADER | {Header.CRIT: [Header.TYP]}),
        Reason.UNKNOWN_CRITICAL_HEADER,
    ),
    "protected header no map": (lambda: message(protected=b"\x80"), Reason.MALFORMED),
    "duplicate key in the header": (lambda: message(protected=b"\xa2\x01\x26\x01\x26"), Reason.MALFORMED),
    # structure
    "MAC instead of a signature": (lambda: message(protected=HEADER, tags=(17,)), Reason.UNSIGNED),
    "multi-signer message": (lambda: message(protected=HEADER, tags=(98,)), Reason.MALFORMED),
    "tag 61 alone": (lambda: message(protected=HEADER, tags=(61,)), Reason.MALFORMED),
    "tags the wrong way round": (lambda: message(protected=HEADER, tags=(18, 61)), Reason.MALFORMED),
    "tag 18 twice": (lambda: message(protected=HEADER, tags=(18, 18)), Reason.MALFORMED),
    "self-described CBOR": (lambda: message(protected=HEADER, tags=(55799, 18)), Reason.MALFORMED),
    "bytes after COSE": (lambda: code(message_bytes() + b"\0"), Reason.MALFORMED),
    "bytes after the claims": (lambda: make(cbor.encode(identity_claims()) + b"\0"), Reason.MALFORMED),
    "bytes after the wrapped claim": (lambda: identity(cbor.encode(IDENTITY) + b"\0"), Reason.MALFORMED),
    "claims no map": (lambda: make(b"\x80"), Reason.MALFORMED),
    "three elements": (lambda: code(b"\xd2\x83\x40\xa0\x40"), Reason.MALFORMED),
    "payload detached": (lambda: code(b"\xd2\x84\x43\xa1\x01\x26\xa0\xf6\x41\x00"), Reason.MALFORMED),
    "indefinite length": (lambda: make(b"\xbf\x01\x61a\xff"), Reason.MALFORMED),
    "duplicate claim": (lambda: make(b"\xa2\x04\x01\x04\x02"), Reason.MALFORMED),
    "1, 1.0 and true as keys": (lambda: make(b"\xa3\x01\x61a\xf9\x3c\x00\x61b\xf5\x61c"), Reason.MALFORMED),
    "array as key": (lambda: make(b"\xa1\x80\x01"), Reason.MALFORMED),
    "number longer than needed twice": (lambda: make(b"\xa2\x18\x04\x01\x04\x01"), Reason.MALFORMED),
    "text not UTF-8": (lambda: make(b"\xa1\x01\x61\xff"), Reason.MALFORMED),
    "length past the end": (lambda: make(b"\xa1\x01\x7b" + b"\xff" * 8), Reason.MALFORMED),
    "array of 2^64": (lambda: make(b"\x9b" + b"\xff" * 8), Reason.MALFORMED),
    "nested 9 deep": (lambda: identity({1: "x", 30: nested(9)}), Reason.MALFORMED),
    "nested 3,000 deep": (lambda: make(b"\x81" * 3_000 + b"\x01"), Reason.MALFORMED),
    "tag 35, a regular expression": (lambda: identity({1: cbor.Tagged(35, "a*")}), Reason.MALFORMED),
    "tag 36, a mail": (lambda: identity({1: cbor.Tagged(36, "To: x")}), Reason.MALFORMED),
    "tag 28, shared": (lambda: identity({1: cbor.Tagged(28, [cbor.Tagged(29, 0)])}), Reason.MALFORMED),
    "tag 5, a big float": (lambda: identity({1: cbor.Tagged(5, [2**40, 1])}), Reason.MALFORMED),
    "tag 2, a big number": (lambda: identity({1: cbor.Tagged(2, bytes(999))}), Reason.MALFORMED),
    # times
    "no exp": (lambda: make(identity_claims(exp=None)), Reason.MISSING_CLAIM),
    "exp NaN": (lambda: make(identity_claims(exp=float("nan"))), Reason.BAD_TIME),
    "exp infinite": (lambda: make(identity_claims(exp=float("inf"))), Reason.BAD_TIME),
    "exp a float": (lambda: make(identity_claims(exp=NOW + 0.5)), Reason.BAD_TIME),
    "exp negative": (lambda: make(identity_claims(exp=-1)), Reason.BAD_TIME),
    "exp huge": (lambda: make(identity_claims(exp=2**64 - 1)), Reason.BAD_TIME),
    "exp true": (lambda: make(identity_claims(exp=True)), Reason.BAD_TIME),
    "exp as text": (lambda: make(identity_claims(exp="2030-01-01")), Reason.BAD_TIME),
    "exp null": (lambda: make(cbor.encode(identity_claims() | {Claim.EXP: None})), Reason.BAD_TIME),
    "exp before iat": (lambda: make(identity_claims(exp=NOW - 2 * DAY)), Reason.BAD_TIME),
    "exp before nbf": (lambda: make(identity_claims(exp=NOW + 1, nbf=NOW + 2)), Reason.BAD_TIME),
    "expired": (lambda: make(identity_claims(exp=NOW)), Reason.EXPIRED),
    "not yet valid": (lambda: make(identity_claims(nbf=NOW + 60)), Reason.NOT_YET_VALID),
    "issued in future": (lambda: make(identity_claims(iat=NOW + 60, nbf=NOW)), Reason.ISSUED_IN_FUTURE),
    # content
    "no claim 169": (lambda: make(identity_claims(identity=None)), Reason.MISSING_CLAIM),
    "claim 169 no map": (lambda: identity("x"), Reason.MALFORMED),
    "claim 169 wrapped twice": (lambda: identity(cbor.encode(cbor.encode(IDENTITY))), Reason.MALFORMED),
    "no subject": (lambda: identity({4: "x"}), Reason.MISSING_CLAIM),
    "empty subject": (lambda: identity({1: ""}), Reason.MALFORMED),
    "subject a number": (lambda: identity({1: 7}), Reason.MALFORMED),
    "face no list": (lambda: identity(IDENTITY | {62: "x"}), Reason.MALFORMED),
    "face without data": (lambda: identity(IDENTITY | {62: [{1: 0, 2: 1}]}), Reason.MALFORMED),
    "face data as text": (lambda: identity(IDENTITY | {62: [FACE | {0: "x"}]}), Reason.MALFORMED),
    "face issuer a number": (lambda: identity(IDENTITY | {62: [FACE | {3: 1}]}), Reason.MALFORMED),
    "face a list of texts": (lambda: identity(IDENTITY | {62: ["x"]}), Reason.MALFORMED),
    "17 fingers in one": (lambda: identity(IDENTITY | {50: [FINGER] * 17}), Reason.MALFORMED),
    "photo as text": (lambda: identity({1: "x", 16: "x", 17: 1}), Reason.MALFORMED),
    "status not understood": (lambda: make(identity_claims(status={"other": 1})), Reason.MALFORMED),
    "status index negative": (
        lambda: make(identity_claims(status={"status_list": {"idx": -1, "uri": "u"}})),
        Reason.MALFORMED,
    ),
    # encryption
    "another site's key": (lambda: make(encrypt=bytes(32)), Reason.DECRYPTION_FAILED),
    "encrypted with another algorithm": (
        lambda: code(encrypt0(message_bytes(), SITE_KEY, alg=1)),
        Reason.ALGORITHM_MISMATCH,
    ),
    "encrypted twice": (
        lambda: code(encrypt0(encrypt0(message_bytes(), SITE_KEY), SITE_KEY)),
        Reason.MALFORMED,
    ),
}  # fmt: skip


def message_bytes() -> bytes:
    return sign1(cbor.encode(identity_claims()), ec_key(), protected=HEADER)


@pytest.mark.parametrize("case", ATTACKS)
def test_attacks(case: str) -> None:
    build, expected = ATTACKS[case]
    assert reason(build(), site_keys=(SITE_KEY,)) is expected


TRUSTS: dict[str, tuple[IssuerKey, Reason]] = {
    "key over": (issuer_key(ec_key(), valid_until=NOW - 1), Reason.ISSUER_KEY_EXPIRED),
    "key not begun": (issuer_key(ec_key(), valid_from=NOW + 1), Reason.ISSUER_KEY_EXPIRED),
    "key for other kinds": (
        issuer_key(ec_key(), kinds=frozenset({Kind.RAIL_TICKET, Kind.LIBRARY_CARD})),
        Reason.ISSUER_NOT_ENTITLED,
    ),
    "key for other formats": (
        issuer_key(ec_key(), formats=frozenset({FormatName.NATIVE})),
        Reason.UNKNOWN_ISSUER,
    ),
    "iss of another": (
        issuer_key(ec_key(), iss=frozenset({"https://other.example.org"})),
        Reason.UNKNOWN_ISSUER,
    ),
    "root used as signer": (issuer_key(ec_key(), is_root=True), Reason.UNKNOWN_ISSUER),
    "same curve, other pin": (
        issuer_key(ec_key(), algorithm=Algorithm.ES384),
        Reason.ALGORITHM_MISMATCH,
    ),
    "RSA key under an EC alg": (issuer_key(rsa_key()), Reason.ALGORITHM_MISMATCH),
}


@pytest.mark.parametrize("case", TRUSTS)
def test_refused_by_trust(case: str) -> None:
    key, expected = TRUSTS[case]
    assert reason(make(), trust(key)) is expected


@pytest.mark.parametrize("iss", [None, 7, ["https://mosip.example.org"]], ids=repr)
def test_key_of_named_issuers_needs_one(iss: Any) -> None:
    payload = make(identity_claims(iss=iss))
    assert registry.read(payload, keys=TRUST, rules=RULES).issuer == "authority"
    named = trust(issuer_key(ec_key(), iss=frozenset({"https://mosip.example.org"})))
    assert reason(payload, named) is Reason.UNKNOWN_ISSUER


@pytest.mark.parametrize(
    ("build", "keys", "said"),
    [
        (lambda: make(kid=b"other"), TRUST, "unknown_issuer: kid 6f74686572"),
        (
            make,
            trust(issuer_key(ec_key(), iss=frozenset({"x"}))),
            "unknown_issuer: iss does not belong",
        ),
        (lambda: make(identity_claims(exp=-1)), TRUST, "bad_time: exp is no time"),
        (lambda: make(identity_claims(iat=-1)), TRUST, "bad_time: iat is no time"),
        (lambda: make(identity_claims(nbf=-1)), TRUST, "bad_time: nbf is no time"),
        (lambda: identity(IDENTITY | {50: "x"}), TRUST, "malformed: claim 169: 50 is no list"),
        (lambda: identity({1: ["x"]}), TRUST, "malformed: the subject is no text"),
    ],
    ids=["kid", "iss", "exp", "iat", "nbf", "finger", "subject"],
)
def test_what_the_operator_reads(build: Callable[[], bytes], keys: KeySource, said: str) -> None:
    with pytest.raises(Rejected, match=said):
        claim169.read(build(), keys, RULES)


def test_two_issuers_with_one_kid_are_told_apart_by_signature_and_iss() -> None:
    first = issuer_key(ec_key(1), issuer="first", iss=frozenset({"https://first.example"}))
    second = issuer_key(ec_key(2), issuer="second", iss=frozenset({"https://second.example"}))
    keys = trust(first, second)
    claims = identity_claims(iss="https://second.example")
    assert registry.read(make(claims, ec_key(2)), keys=keys, rules=RULES).issuer == "second"
    assert reason(make(claims, ec_key(1)), keys) is Reason.BAD_SIGNATURE


def test_malleated_signature_is_the_same_use() -> None:
    """An ECDSA signature has a twin (r, n - s); the replay key must not tell them apart."""
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    data = message_bytes()
    s = int.from_bytes(data[-32:], "big")
    twin = data[:-32] + (order - s).to_bytes(32, "big")
    first, second = (
        registry.read(code(item), keys=TRUST, rules=RULES).replay_key for item in (data, twin)
    )
    assert data != twin
    assert first == second


def test_same_identity_of_another_issuer_is_another_use() -> None:
    uses = {
        registry.read(make(), keys=trust(issuer_key(ec_key(), issuer=name)), rules=RULES).replay_key
        for name in ("first", "second")
    }
    assert len(uses) == 2


def test_clock_untrusted_denies() -> None:
    assert reason(make(), clock_trusted=False) is Reason.CLOCK_UNTRUSTED
    later = make(identity_claims(iat=NOW + DAY // 2, nbf=NOW))
    assert reason(later, clock_trusted=False) is Reason.CLOCK_UNTRUSTED


def test_lower_case_and_numbers_are_not_this_format() -> None:
    assert not claim169.sniff(make().lower())
    assert not claim169.sniff(b"4006381333931")
    assert not claim169.sniff(b"")
