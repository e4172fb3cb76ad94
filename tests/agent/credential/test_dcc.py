"""Health certificates: every published vector by its flags, and the attacks."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import json
import zlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from agent.credential import base45, cbor, cose, registry
from agent.credential import dcc as module
from agent.credential.checks import replay_key
from agent.credential.issuers import Algorithm, IssuerKey
from agent.credential.model import (
    Credential,
    FormatName,
    Kind,
    Level,
    Rejected,
    StatusReference,
)
from agent.credential.numbers import Header
from agent.reason import Reason
from agent.trust.snapshot import TrustSnapshot
from tests.support.explained import explained
from tests.support.makers import (
    DAY,
    DIRECT,
    NOW,
    RECOVERY,
    RULES,
    TEST,
    VACCINATION,
    dcc,
    ec_key,
    health,
    issuer_key,
    pack,
    rsa_key,
    sign1,
    trust,
)
from tests.support.paths import VECTORS

TRUST = trust(issuer_key(ec_key()))


def reason(payload: bytes, keys: TrustSnapshot = TRUST, **rules: Any) -> Reason:
    with pytest.raises(Rejected) as caught:
        registry.read(payload, keys=keys, rules=replace(RULES, **rules))
    return explained(caught.value)


# --- published vectors -----------------------------------------------------------------------------

FOLDER = VECTORS / "dcc"

REFUSED = {
    # Without its prefix one is base45, so it is read as Claim 169, and lacks that claim.
    "EXPECTEDUNPREFIX": {Reason.MALFORMED, Reason.UNKNOWN_FORMAT, Reason.MISSING_CLAIM},
    "EXPECTEDB45DECODE": {Reason.MALFORMED},
    "EXPECTEDCOMPRESSION": {Reason.MALFORMED},
    "EXPECTEDDECODE": {Reason.MALFORMED},
    "EXPECTEDVERIFY": {
        Reason.MALFORMED,
        Reason.BAD_SIGNATURE,
        Reason.UNKNOWN_ISSUER,
        Reason.ALGORITHM_MISMATCH,
    },
    "EXPECTEDKEYUSAGE": {Reason.ISSUER_NOT_ENTITLED},
    "EXPECTEDSCHEMAVALIDATION": {Reason.MALFORMED},
    "EXPECTEDEXPIRATIONCHECK": {
        Reason.EXPIRED,
        Reason.NOT_YET_VALID,
        Reason.ISSUER_KEY_EXPIRED,
    },
}
"""What a flag that is false must end in. A picture that cannot be decoded is not ours to judge."""

ALG_UNPROTECTED = {"common/CO20"}
"""Vectors whose `alg` stands in the unprotected header only: expected to verify, refused here."""


def names() -> list[str]:
    return sorted(f"{path.parts[-4]}/{path.stem}" for path in FOLDER.glob("*/2DCode/raw/*.json"))


def vector(name: str) -> dict[str, Any]:
    country, stem = name.split("/")
    whole: dict[str, Any] = json.loads(
        (FOLDER / country / "2DCode/raw" / f"{stem}.json").read_text()
    )
    return whole


def signer(whole: dict[str, Any]) -> IssuerKey:
    """Return the vector's signer as the trust set would pin it."""
    der = base64.b64decode(whole["TESTCTX"]["CERTIFICATE"])
    certificate = x509.load_der_x509_certificate(der)
    public = certificate.public_key()
    if isinstance(public, rsa.RSAPublicKey):
        algorithm = Algorithm.PS256
    else:
        assert isinstance(public, ec.EllipticCurvePublicKey)
        algorithm = Algorithm.ES256 if public.key_size == 256 else Algorithm.ES384
    return IssuerKey(
        "member-state",
        hashlib.sha256(der).digest()[:8],
        algorithm,
        public,
        certificate=der,
        valid_from=int(certificate.not_valid_before_utc.timestamp()),
        valid_until=int(certificate.not_valid_after_utc.timestamp()),
    )


def clock(whole: dict[str, Any]) -> int:
    text = whole["TESTCTX"]["VALIDATIONCLOCK"]
    head, _, fraction = text.partition(".")
    zone = fraction.lstrip("0123456789") if fraction else ""
    return int(dt.datetime.fromisoformat(head + zone).timestamp())


def judge(whole: dict[str, Any], now: int) -> Credential | Reason:
    try:
        return registry.read(
            whole["PREFIX"].encode(), keys=trust(signer(whole)), rules=replace(RULES, now=now)
        )
    except Rejected as error:
        return error.reason


@pytest.mark.parametrize("name", names())
def test_published(name: str) -> None:
    whole = vector(name)
    flags = whole["EXPECTEDRESULTS"]
    verdict = judge(whole, clock(whole))
    refusals = [REFUSED[flag] for flag, value in flags.items() if not value and flag in REFUSED]
    if refusals:
        assert all(verdict in allowed for allowed in refusals)
    elif name in ALG_UNPROTECTED:
        assert verdict is Reason.ALGORITHM_MISMATCH
    elif verdict is Reason.NOT_YET_VALID and "EXPECTEDEXPIRATIONCHECK" not in flags:
        # The vector's clock stands before its own `iat`, and it states nothing about time.
        issued_at = dt.datetime.fromisoformat("2021-05-29T00:00:00Z")
        assert isinstance(judge(whole, int(issued_at.timestamp())), Credential)
    else:
        assert isinstance(verdict, Credential)
        assert verdict.kind is Kind.HEALTH_CERTIFICATE


def test_all_vectors_are_there() -> None:
    assert len(names()) == 106


# --- own -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("certificate", "group"),
    [(health(), "v"), (health(v=None, t=[TEST]), "t"), (health(v=None, r=[RECOVERY]), "r")],
    ids=["vaccination", "test", "recovery"],
)
@pytest.mark.parametrize("tags", [(18,), (61, 18), ()])
def test_reads(certificate: dict[str, Any], group: str, tags: tuple[int, ...]) -> None:
    payload = dcc(certificate, tags=tags)
    assert registry.sniff(payload) is FormatName.DCC
    credential = registry.read(payload, keys=TRUST, rules=RULES)
    assert (credential.kind, credential.level) == (Kind.HEALTH_CERTIFICATE, Level.BASIC)
    assert (credential.issued_at, credential.valid_until) == (NOW - DAY, NOW + DAY)
    assert credential.birth_date == "1998-02-26"
    assert credential.claims["group"] == group
    assert not credential.dynamic
    for personal in ("Musterfrau", "1998", "URN:UVCI"):
        assert personal not in repr(credential)


def test_all_that_a_certificate_becomes() -> None:
    subject = hashlib.sha256(b"URN:UVCI:01:AT:1078#B").hexdigest()
    payload = dcc()
    assert registry.read(payload, keys=TRUST, rules=RULES) == Credential(
        format=FormatName.DCC,
        issuer="authority",
        key_id=b"key-1",
        kind=Kind.HEALTH_CERTIFICATE,
        level=Level.BASIC,
        subject=subject,
        issued_at=NOW - DAY,
        valid_from=NOW - DAY,
        valid_until=NOW + DAY,
        dynamic=False,
        replay_key=replay_key("authority", subject.encode(), NOW - DAY),
        birth_date="1998-02-26",
        revocation_hashes=revoked_by(
            b"URN:UVCI:01:AT:1078#B", b"ATURN:UVCI:01:AT:1078#B", signature_of(payload)[:32]
        ),
        claims={"country": "AT", "group": "v", "certificate": health()},
    )


def revoked_by(*named: bytes) -> tuple[bytes, ...]:
    return tuple(hashlib.sha256(name).digest()[:16] for name in named)


def signature_of(payload: bytes) -> bytes:
    data = zlib.decompress(base45.decode(payload.removeprefix(b"HC1:")))
    return cose.parse_sign1(data).signature


def test_what_revocation_lists_name_a_certificate_by() -> None:
    """Without a country its name is empty; RSA's signatures count whole, as nobody can change one."""
    key = issuer_key(rsa_key(), kid=b"key-1")
    payload = dcc(private=rsa_key(), claims={1: None})
    credential = registry.read(payload, keys=trust(key), rules=RULES)
    identifier = b"URN:UVCI:01:AT:1078#B"
    assert credential.revocation_hashes == revoked_by(identifier, identifier, signature_of(payload))


@pytest.mark.parametrize(
    ("dob", "expected"),
    [("1998-02-26T00:00:00", "1998-02-26"), ("1998-02-26T", "1998-02-26"),
     ("1998-02-26T00:00:00Z", "1998-02-26"), ("1998-02", "1998-02"), ("1998", "1998"), ("", None), ("1998-02-31", None),
     ("1998-2-26", None), ("199\u0668", None), ("yesterday", None), (1998, None), (None, None), ("1998-02T", None),
     (cbor.Tagged(0, "1998-02-26T00:00:00Z"), "1998-02-26"), (cbor.Tagged(1, 888_451_200), None)],
)  # fmt: skip
def test_birth_dates(dob: Any, expected: str | None) -> None:
    assert registry.read(dcc(health(dob=dob)), keys=TRUST, rules=RULES).birth_date == expected


def test_floats_as_member_states_wrote_them() -> None:
    payload = dcc(claims={6: NOW - 0.5, 4: NOW + 10.75})
    credential = registry.read(payload, keys=TRUST, rules=RULES)
    assert (credential.issued_at, credential.valid_until) == (NOW - 1, NOW + 10)


P384 = ec_key(1, ec.SECP384R1)
CLAIMS = cbor.encode({1: "AT", 4: NOW + DAY, 6: NOW - DAY, -260: {1: health()}})


def coded(data: bytes) -> bytes:
    return module.PREFIX + base45.encode(pack(data)).encode()


def signed(
    private: Any,
    alg: int = -7,
    hash_: hashes.HashAlgorithm | None = None,
    octets: tuple[int, int] = (48, 48),
) -> bytes:
    """Return a certificate under ECDSA with r and s of so many bytes."""
    raw = cbor.encode({Header.ALG: alg, Header.KID: b"key-1"})
    body = cose.signed_bytes(cose.Sign1({}, {}, CLAIMS, b"", raw))
    numbers = decode_dss_signature(private.sign(body, ec.ECDSA(hash_ or hashes.SHA256())))
    signature = b"".join(
        number.to_bytes(size, "big") for number, size in zip(numbers, octets, strict=True)
    )
    return coded(sign1(CLAIMS, private, protected=raw, signature=signature))


UNDER_P384: dict[str, tuple[IssuerKey, bytes, Reason | None]] = {
    "pinned to ES384": (issuer_key(P384), signed(P384), None),
    "pinned to ES256": (issuer_key(P384, algorithm=Algorithm.ES256), signed(P384), None),
    "pinned to EdDSA": (
        issuer_key(P384, algorithm=Algorithm.EDDSA),
        signed(P384),
        Reason.ALGORITHM_MISMATCH,
    ),
    "of another P-384 key": (
        issuer_key(P384),
        signed(ec_key(2, ec.SECP384R1)),
        Reason.ALGORITHM_MISMATCH,
    ),
    "with SHA-384 after all": (
        issuer_key(P384),
        signed(P384, hash_=hashes.SHA384()),
        Reason.ALGORITHM_MISMATCH,
    ),
    "ES384 with SHA-256": (issuer_key(P384), signed(P384, alg=-35), Reason.BAD_SIGNATURE),
    "a zero before s": (
        issuer_key(P384),
        signed(P384, octets=(48, 49)),
        Reason.ALGORITHM_MISMATCH,
    ),
    "P-256 in the length of P-384": (
        issuer_key(ec_key()),
        signed(ec_key()),
        Reason.BAD_SIGNATURE,
    ),
    "an RSA key pinned to ES256": (
        issuer_key(rsa_key(), algorithm=Algorithm.ES256),
        signed(P384),
        Reason.ALGORITHM_MISMATCH,
    ),
}


@pytest.mark.parametrize("case", UNDER_P384)
def test_es256_under_a_p384_key(case: str) -> None:
    key, payload, expected = UNDER_P384[case]
    if expected is None:
        assert registry.read(payload, keys=trust(key), rules=RULES).issuer == "authority"
    else:
        assert reason(payload, trust(key)) is expected


AUSTRIA = trust(issuer_key(ec_key(), iss=frozenset({"AT"})))


@pytest.mark.parametrize(
    ("country", "keys", "expected"),
    [
        ("AT", AUSTRIA, None), ("DE", AUSTRIA, Reason.UNKNOWN_ISSUER), (7, AUSTRIA, Reason.UNKNOWN_ISSUER),
        (None, AUSTRIA, Reason.UNKNOWN_ISSUER), ("DE", TRUST, None), (None, TRUST, None),
        (7, TRUST, Reason.UNKNOWN_ISSUER),
    ],
)  # fmt: skip
def test_country_of_the_key(country: Any, keys: TrustSnapshot, expected: Reason | None) -> None:
    payload = dcc(claims={1: country})
    if expected is None:
        credential = registry.read(payload, keys=keys, rules=RULES)
        assert credential.claims["country"] == country
    else:
        assert reason(payload, keys) is expected


LOOSE = b"\xb8" + bytes([CLAIMS[0] & 0x1F]) + CLAIMS[1:]
LOOSE_HEADER = b"\xb8\x02\x01\x26\x04\x45key-1"


@pytest.mark.parametrize(
    "payload",
    [
        coded(sign1(LOOSE, ec_key(), protected=LOOSE_HEADER)),
        coded(b"\xd8\x12\x98\x04" + sign1(CLAIMS, ec_key(), protected=LOOSE_HEADER)[2:]),
    ],
    ids=["claims and header", "message and header"],
)
def test_numbers_longer_than_needed_are_read(payload: bytes) -> None:
    assert registry.read(payload, keys=TRUST, rules=RULES).issuer == "authority"


def test_kind_of_entry_that_is_null_is_not_there() -> None:
    payload = dcc(health() | {"t": None, "r": None})
    assert registry.read(payload, keys=TRUST, rules=RULES).claims["group"] == "v"


USAGE = {"t": "1", "v": "2", "r": "3"}


@pytest.mark.parametrize("arc", ["1.3.6.1.4.1.1847.2021.1.", "1.3.6.1.4.1.0.1847.2021.1."])
@pytest.mark.parametrize("allowed", USAGE)
@pytest.mark.parametrize("group", USAGE)
def test_usage_of_the_signer(arc: str, allowed: str, group: str) -> None:
    usage = x509.ExtendedKeyUsage([x509.ObjectIdentifier(arc + USAGE[allowed])])
    der = DIRECT.but(private=ec_key(), extensions=((usage, False),)).der()
    keys = trust(issuer_key(ec_key(), certificate=der))
    entry = {"t": TEST, "v": VACCINATION, "r": RECOVERY}[group]
    payload = dcc(health(v=None) | {group: [entry]})
    if allowed == group:
        assert registry.read(payload, keys=keys, rules=RULES).claims["group"] == group
    else:
        assert reason(payload, keys) is Reason.ISSUER_NOT_ENTITLED


@pytest.mark.parametrize(
    "usages",
    [["1.2.3.4"], ["1.2.3.4", "1.3.6.1.4.1.1847.2021.1.2"], ["1.3.6.1.4.1.1847.2021.1.1", "1.3.6.1.4.1.0.1847.2021.1.2"]],
    ids=["none of ours", "this beside another", "this and a test"],
)  # fmt: skip
def test_usages_that_let_a_vaccination_be_signed(usages: list[str]) -> None:
    usage = x509.ExtendedKeyUsage([x509.ObjectIdentifier(oid) for oid in usages])
    der = DIRECT.but(private=ec_key(), extensions=((usage, False),)).der()
    keys = trust(issuer_key(ec_key(), certificate=der))
    assert registry.read(dcc(), keys=keys, rules=RULES).claims["group"] == "v"


HEADER = {Header.ALG: -7, Header.KID: b"key-1"}
ATTACKS: dict[str, tuple[Callable[[], bytes], Reason]] = {
    "not compressed": (lambda: dcc(how="none"), Reason.MALFORMED),
    "Brotli instead of zlib": (lambda: dcc(how="brotli"), Reason.MALFORMED),
    "lower case": (lambda: b"HC1:" + dcc()[4:].lower(), Reason.MALFORMED),
    "nothing after the prefix": (lambda: b"HC1:", Reason.MALFORMED),
    "HC2 is another format": (lambda: dcc(prefix="HC2:"), Reason.MALFORMED),
    "no signature": (lambda: dcc(protected=HEADER, signature=b""), Reason.UNSIGNED),
    "another key": (lambda: dcc(private=ec_key(2)), Reason.BAD_SIGNATURE),
    "no alg": (lambda: dcc(protected={Header.KID: b"key-1"}), Reason.ALGORITHM_MISMATCH),
    "alg only unprotected": (
        lambda: dcc(protected={}, unprotected=HEADER),
        Reason.ALGORITHM_MISMATCH,
    ),
    "alg PS256 for an EC key": (lambda: dcc(protected=HEADER | {Header.ALG: -37}), Reason.ALGORITHM_MISMATCH),
    "alg EdDSA for an EC key": (lambda: dcc(protected=HEADER | {Header.ALG: -8}), Reason.ALGORITHM_MISMATCH),
    "kid unknown": (lambda: dcc(kid=b"key-2"), Reason.UNKNOWN_ISSUER),
    "no kid": (lambda: dcc(protected={Header.ALG: -7}), Reason.UNKNOWN_ISSUER),
    "kid as text": (lambda: dcc(protected=HEADER | {Header.KID: "key-1"}), Reason.UNKNOWN_ISSUER),
    "kid a list": (lambda: dcc(protected=HEADER | {Header.KID: [b"key-1"]}), Reason.UNKNOWN_ISSUER),
    "protected kid wrong, unprotected right": (
        lambda: dcc(protected=HEADER | {Header.KID: b"x"}, unprotected={Header.KID: b"key-1"}),
        Reason.UNKNOWN_ISSUER,
    ),
    "critical header": (
        lambda: dcc(protected=HEADER | {Header.CRIT: [99], 99: 0}),
        Reason.UNKNOWN_CRITICAL_HEADER,
    ),
    "MAC tag": (lambda: dcc(tags=(17,)), Reason.MALFORMED),
    "tag 61 alone": (lambda: dcc(tags=(61,)), Reason.MALFORMED),
    "tags the wrong way round": (lambda: dcc(tags=(18, 61)), Reason.MALFORMED),
    "tag 18 twice": (lambda: dcc(tags=(18, 18)), Reason.MALFORMED),
    "tag inside the message": (
        lambda: dcc(tags=(), unprotected={99: cbor.Tagged(18, 1)}),
        Reason.MALFORMED,
    ),
    "claims a list": (lambda: coded(sign1(b"\x80", ec_key(), protected=HEADER)), Reason.MALFORMED),
    "no exp": (lambda: dcc(claims={4: None}), Reason.MISSING_CLAIM),
    "no iat": (lambda: dcc(claims={6: None}), Reason.MISSING_CLAIM),
    "exp NaN": (lambda: dcc(claims={4: float("nan")}), Reason.BAD_TIME),
    "exp infinite": (lambda: dcc(claims={4: float("inf")}), Reason.BAD_TIME),
    "iat minus infinite": (lambda: dcc(claims={6: float("-inf")}), Reason.BAD_TIME),
    "exp a huge float": (lambda: dcc(claims={4: 1e300}), Reason.BAD_TIME),
    "exp negative": (lambda: dcc(claims={4: -1}), Reason.BAD_TIME),
    "exp true": (lambda: dcc(claims={4: True}), Reason.BAD_TIME),
    "exp as text": (lambda: dcc(claims={4: "2030"}), Reason.BAD_TIME),
    "exp before iat": (lambda: dcc(claims={4: NOW - 2 * DAY}), Reason.BAD_TIME),
    "expired": (lambda: dcc(claims={4: NOW - 1}), Reason.EXPIRED),
    "issued later": (lambda: dcc(claims={6: NOW + 60}), Reason.NOT_YET_VALID),
    "no certificate": (lambda: dcc(claims={-260: None}), Reason.MISSING_CLAIM),
    "certificate of version 2": (lambda: dcc(claims={-260: {2: health()}}), Reason.MALFORMED),
    "certificate a list": (lambda: dcc([1]), Reason.MALFORMED),
    "container a text": (lambda: dcc(claims={-260: "x"}), Reason.MALFORMED),
    "no version": (lambda: dcc(health(ver=None)), Reason.MALFORMED),
    "version in words": (lambda: dcc(health(ver="one")), Reason.MALFORMED),
    "version a number": (lambda: dcc(health(ver=1)), Reason.MALFORMED),
    "version of two parts": (lambda: dcc(health(ver="1.3")), Reason.MALFORMED),
    "version of four parts": (lambda: dcc(health(ver="1.3.0.0")), Reason.MALFORMED),
    "version of ten digits": (lambda: dcc(health(ver="1234567890.3.0")), Reason.MALFORMED),
    "version in other digits": (lambda: dcc(health(ver="\u0661.3.0")), Reason.MALFORMED),
    "container a list": (lambda: dcc(claims={-260: [health()]}), Reason.MALFORMED),
    "entries a map": (lambda: dcc(health(v={0: VACCINATION})), Reason.MALFORMED),
    "no entry": (lambda: dcc(health(v=None)), Reason.MALFORMED),
    "two kinds of entry": (lambda: dcc(health(t=[TEST])), Reason.MALFORMED),
    "two entries": (lambda: dcc(health(v=[VACCINATION] * 2)), Reason.MALFORMED),
    "empty list": (lambda: dcc(health(v=[])), Reason.MALFORMED),
    "entry a text": (lambda: dcc(health(v=["x"])), Reason.MALFORMED),
    "entry lacks a field": (lambda: dcc(health(v=[{**VACCINATION, "ci": None}])), Reason.MALFORMED),
    "identifier a number": (lambda: dcc(health(v=[VACCINATION | {"ci": 1}])), Reason.MALFORMED),
    "tag 0 around the identifier": (
        lambda: dcc(health(v=[VACCINATION | {"ci": cbor.Tagged(0, "URN")}])),
        Reason.MALFORMED,
    ),
    "tag 1 around the entries": (lambda: dcc(health(v=cbor.Tagged(1, [VACCINATION]))), Reason.MALFORMED),
    "tag 1 around the version": (lambda: dcc(health(ver=cbor.Tagged(1, "1.3.0"))), Reason.MALFORMED),
    "tag 0 around exp": (lambda: dcc(claims={4: cbor.Tagged(0, NOW + DAY)}), Reason.BAD_TIME),
    "tag 1 twice around exp": (
        lambda: dcc(claims={4: cbor.Tagged(1, cbor.Tagged(1, NOW + DAY))}),
        Reason.BAD_TIME,
    ),
    "a name twice": (
        lambda: coded(sign1(CLAIMS.replace(b"cfntj", b"bfnj"), ec_key(), protected=HEADER)),
        Reason.MALFORMED,
    ),
    "not yet": (lambda: dcc(claims={5: NOW + 60}), Reason.NOT_YET_VALID),
    "nbf no time": (lambda: dcc(claims={5: "x"}), Reason.BAD_TIME),
    "made out to another place": (lambda: dcc(claims={3: "museum"}), Reason.WRONG_AUDIENCE),
    "a status that cannot be read": (lambda: dcc(claims={65535: {}}), Reason.MALFORMED),
    "scope": (lambda: dcc(claims={9: "a"}), Reason.UNKNOWN_CLAIM),
    "a holder's key": (lambda: dcc(claims={8: {}}), Reason.UNKNOWN_CLAIM),
    "an identity": (lambda: dcc(claims={169: {}}), Reason.UNKNOWN_CLAIM),
    "a claim by name": (lambda: dcc(claims={"only_at": "x"}), Reason.UNKNOWN_CLAIM),
}  # fmt: skip


@pytest.mark.parametrize("case", ATTACKS)
def test_attacks(case: str) -> None:
    build, expected = ATTACKS[case]
    assert reason(build()) is expected


@pytest.mark.parametrize(
    ("item", "said"),
    [
        (7, "not an array of four"), ([b""], "not an array of four"), ({1: {}, 2: 0, 3: 0, 4: 0}, "not an array of four"),
        ([b"", "x", b"", b""], "an element of another type"),
        (cbor.Tagged(61, [b"", {}, b"", b"x"]), "not tagged as a COSE_Sign1"),
    ],
    ids=["number", "short list", "map", "header a text", "tag 61 alone"],
)  # fmt: skip
def test_no_message(item: Any, said: str) -> None:
    with pytest.raises(Rejected, match=f"malformed: COSE: {said}"):
        module.read(coded(cbor.encode(item)), TRUST, RULES)


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda: dcc(kid=b"0123456789"), f"unknown_issuer: kid {b'01234567'.hex()}$"),
        (lambda: dcc(claims={4: -1}), "bad_time: exp is no time"),
        (lambda: dcc(claims={6: -1}), "bad_time: iat is no time"),
        (lambda: dcc(claims={4: None}), "missing_claim: exp"),
        (lambda: dcc(claims={6: None}), "missing_claim: iat"),
    ],
    ids=["kid", "exp", "iat", "no exp", "no iat"],
)
def test_what_the_operator_reads(build: Callable[[], bytes], said: str) -> None:
    with pytest.raises(Rejected, match=said):
        module.read(build(), TRUST, RULES)


@pytest.mark.parametrize("version", ["1.3.0", "123456789.123456789.123456789"])
def test_versions(version: str) -> None:
    assert registry.read(dcc(health(ver=version)), keys=TRUST, rules=RULES).issuer == "authority"


@pytest.mark.parametrize(
    ("payload", "expected"), [(b"HC1:", True), (b"HC1", False), (b"hc1:", False), (b" HC1:", False)]
)
def test_sniff(payload: bytes, expected: bool) -> None:
    assert module.sniff(payload) is expected


def test_kid_in_both_headers_counts_from_the_protected_one() -> None:
    payload = dcc(protected=HEADER, unprotected={Header.KID: b"other"})
    assert registry.read(payload, keys=TRUST, rules=RULES).key_id == b"key-1"


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (issuer_key(ec_key(), valid_until=NOW - 1), Reason.ISSUER_KEY_EXPIRED),
        (issuer_key(ec_key(), kinds=frozenset({Kind.PASSPORT})), Reason.ISSUER_NOT_ENTITLED),
        (issuer_key(ec_key(), formats=frozenset({FormatName.NATIVE})), Reason.UNKNOWN_ISSUER),
        (issuer_key(rsa_key()), Reason.ALGORITHM_MISMATCH),
        (issuer_key(ec_key(), is_root=True), Reason.UNKNOWN_ISSUER),
    ],
    ids=["over", "other kinds", "other formats", "RSA key", "root"],
)
def test_refused_by_trust(key: IssuerKey, expected: Reason) -> None:
    assert reason(dcc(), trust(key)) is expected


def test_clock_untrusted_denies() -> None:
    assert reason(dcc(), clock_trusted=False) is Reason.CLOCK_UNTRUSTED


def test_wrong_certificate_never_counts_as_another_key() -> None:
    """A signer is found by kid alone: a code of one country never verifies under another's key."""
    keys = trust(issuer_key(ec_key(1), kid=b"key-1"), issuer_key(ec_key(), kid=b"key-2"))
    assert reason(dcc(), keys) is Reason.BAD_SIGNATURE


NAN = float("nan")
UNREAD: dict[str, Callable[[], bytes]] = {
    "sample time under tag 0": lambda: sampled(sc=cbor.Tagged(0, "2026-05-27T08:00:00Z")),
    "sample time under tag 1": lambda: sampled(sc=cbor.Tagged(1, NOW)),
    "any tag": lambda: sampled(tr=cbor.Tagged(35, "a*"), tg=cbor.Tagged(2, b"1")),
    "doses as whole floats": lambda: vaccination(dn=2.0, sd=2.0),
    "doses as anything": lambda: vaccination(dn=NAN, sd=[1.5, None]),
    "doses as text": lambda: vaccination(dn="1"),
    "null in the entry": lambda: vaccination(ma=None, co=None, dt=None),
    "null for a name": lambda: dcc(health(nam={"fnt": "DOE", "gnt": None})),
    "undefined for a name": lambda: coded(
        sign1(CLAIMS.replace(b"bgnhGabriele", b"bgn\xf7"), ec_key(), protected=HEADER)
    ),
    "no name": lambda: dcc(health(nam=None)),
    "name a list": lambda: dcc(health(nam=[7])),
    "more than the schema has": lambda: dcc(health() | {"more": {"a": cbor.Tagged(1, NAN)}}),
    "another version beside it": lambda: dcc(claims={-260: {1: health(), 2: None}}),
    "times under tag 1": lambda: dcc(
        claims={4: cbor.Tagged(1, NOW + DAY), 5: cbor.Tagged(1, NOW), 6: cbor.Tagged(1, float(NOW))}
    ),
    "claims that restrict nothing": lambda: dcc(claims={2: "x", 7: b"x"}),
    "made out to this gate": lambda: dcc(claims={3: "library/north"}),
    "made out to this gate among others": lambda: dcc(claims={3: ["museum", "library"]}),
}
"""What nobody believes, or is as it should be."""


def sampled(**changes: Any) -> bytes:
    return dcc(health(v=None, t=[TEST | changes]))


def vaccination(**changes: Any) -> bytes:
    return dcc(health(v=[VACCINATION | changes]))


@pytest.mark.parametrize("case", UNREAD)
def test_what_nobody_reads_refuses_nobody(case: str) -> None:
    assert registry.read(UNREAD[case](), keys=TRUST, rules=RULES).issuer == "authority"


@pytest.mark.parametrize(("group", "entry"), [("v", VACCINATION), ("t", TEST), ("r", RECOVERY)])
def test_an_entry_needs_its_identifier_only(group: str, entry: dict[str, Any]) -> None:
    for field in entry:
        short = dcc(health(v=None) | {group: [entry | {field: None}]})
        if field == "ci":
            assert reason(short) is Reason.MALFORMED
        else:
            assert registry.read(short, keys=TRUST, rules=RULES).claims["group"] == group


@pytest.mark.parametrize(
    ("claims", "expected"),
    [({6: NOW - 9}, NOW - 9), ({6: NOW - 9, 5: NOW - 3}, NOW - 3), ({6: NOW - 3, 5: NOW - 9}, NOW - 3)],
)  # fmt: skip
def test_begins_with_the_later_of_iat_and_nbf(claims: dict[int, int], expected: int) -> None:
    credential = registry.read(dcc(claims=claims), keys=TRUST, rules=RULES)
    assert (credential.issued_at, credential.valid_from) == (claims[6], expected)


def test_status_is_held_to() -> None:
    payload = dcc(claims={65535: {"status_list": {"idx": 7, "uri": "https://x/1"}}})
    status = registry.read(payload, keys=TRUST, rules=RULES).status
    assert status == StatusReference("https://x/1", 7)
