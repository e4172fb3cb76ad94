"""Health certificates: every published vector by its flags, and the attacks."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from agent.credential import cbor, registry
from agent.credential.issuers import Algorithm, IssuerKey
from agent.credential.model import Credential, FormatName, Kind, Level, Rejected
from agent.credential.numbers import Header
from agent.reason import Reason
from agent.trust.snapshot import TrustSnapshot
from tests.support.makers import (
    DAY,
    DIRECT,
    NOW,
    RECOVERY,
    RULES,
    TEST,
    VACCINATION,
    VECTORS,
    dcc,
    ec_key,
    health,
    issuer_key,
    rsa_key,
    trust,
)

TRUST = trust(issuer_key(ec_key()))


def reason(payload: bytes, keys: TrustSnapshot = TRUST, **rules: Any) -> Reason:
    with pytest.raises(Rejected) as caught:
        registry.read(payload, keys=keys, rules=replace(RULES, **rules))
    return caught.value.reason


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


@pytest.mark.parametrize(
    "name", names() or [pytest.param("", marks=pytest.mark.skip("no vectors"))]
)
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
    if not FOLDER.exists():
        pytest.skip("the shared DCC vectors are not beside this checkout")
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


@pytest.mark.parametrize(
    ("dob", "expected"),
    [("1998-02-26T00:00:00", "1998-02-26"), ("1998-02", None), ("1998", None), ("", None), ("1998-02-31", None)],
)  # fmt: skip
def test_birth_dates(dob: str, expected: str | None) -> None:
    assert registry.read(dcc(health(dob=dob)), keys=TRUST, rules=RULES).birth_date == expected


def test_floats_as_member_states_wrote_them() -> None:
    payload = dcc(claims={6: NOW - 0.5, 4: NOW + 10.75})
    credential = registry.read(payload, keys=TRUST, rules=RULES)
    assert (credential.issued_at, credential.valid_until) == (NOW - 1, NOW + 10)


def test_es256_under_a_p384_key() -> None:
    key = ec_key(1, ec.SECP384R1)
    protected = {Header.ALG: -7, Header.KID: b"key-1"}
    good = dcc(private=key, protected=protected, hash_=hashes.SHA256())
    keys = trust(issuer_key(key))
    assert registry.read(good, keys=keys, rules=RULES).issuer == "authority"
    other = dcc(private=ec_key(2, ec.SECP384R1), protected=protected, hash_=hashes.SHA256())
    assert reason(other, keys) is Reason.ALGORITHM_MISMATCH


def test_country_of_the_key() -> None:
    austria = trust(issuer_key(ec_key(), iss=frozenset({"AT"})))
    assert registry.read(dcc(), keys=austria, rules=RULES).issuer == "authority"
    assert reason(dcc(claims={1: "DE"}), austria) is Reason.UNKNOWN_ISSUER
    assert reason(dcc(claims={1: 7}), austria) is Reason.UNKNOWN_ISSUER


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
    "no name": (lambda: dcc(health(nam=None)), Reason.MALFORMED),
    "no standard name": (lambda: dcc(health(nam={"fn": "x"})), Reason.MALFORMED),
    "name a list": (lambda: dcc(health(nam={"fnt": "X", "gn": ["x"]})), Reason.MALFORMED),
    "no birth date": (lambda: dcc(health(dob=None)), Reason.MALFORMED),
    "birth date in words": (lambda: dcc(health(dob="yesterday")), Reason.MALFORMED),
    "no entry": (lambda: dcc(health(v=None)), Reason.MALFORMED),
    "two kinds of entry": (lambda: dcc(health(t=[TEST])), Reason.MALFORMED),
    "two entries": (lambda: dcc(health(v=[VACCINATION] * 2)), Reason.MALFORMED),
    "empty list": (lambda: dcc(health(v=[])), Reason.MALFORMED),
    "entry a text": (lambda: dcc(health(v=["x"])), Reason.MALFORMED),
    "entry lacks a field": (lambda: dcc(health(v=[{**VACCINATION, "ci": None}])), Reason.MALFORMED),
    "doses true": (lambda: dcc(health(v=[VACCINATION | {"dn": True}])), Reason.MALFORMED),
    "doses a float": (lambda: dcc(health(v=[VACCINATION | {"dn": 1.5}])), Reason.MALFORMED),
    "tag 0 around a date": (
        lambda: dcc(health(v=[VACCINATION | {"dt": cbor.Tagged(0, "2026-01-01T00:00:00Z")}])),
        Reason.MALFORMED,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", ATTACKS)
def test_attacks(case: str) -> None:
    build, expected = ATTACKS[case]
    assert reason(build()) is expected


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


@pytest.mark.parametrize(("group", "entry"), [("v", VACCINATION), ("t", TEST), ("r", RECOVERY)])
def test_every_required_field_is_asked_for(group: str, entry: dict[str, Any]) -> None:
    for field in entry:
        short = {name: value for name, value in entry.items() if name != field}
        assert reason(dcc(health(v=None) | {group: [short]})) is Reason.MALFORMED
