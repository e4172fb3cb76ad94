"""The table of attacks on native codes: each row a forgery and the reason that refuses it.

Every row is made twice where it can be: as the credential itself (static), and inside an honest
holder's presentation (dynamic). Rows were collected from what other implementations accept.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from agent.credential import base45, cbor
from agent.credential.issuers import Algorithm
from agent.credential.keys import spki
from agent.credential.numbers import Alg, Claim, Header
from agent.issuing import issue
from agent.reason import Reason

NOW = 1_800_000_000
DROP = object()


class Forge:
    """A COSE_Sign1 whose every part can be bent; what is not bent is honest and signed."""

    def __init__(self, pilot) -> None:
        self.pilot = pilot
        self.key = pilot.city.key
        self.protected: dict[Any, Any] = {Header.ALG: int(Alg.ES256), Header.KID: pilot.city.kid}
        self.unprotected: Any = {}
        self.claims: dict[Any, Any] = {
            Claim.ISS: pilot.city.iss,
            Claim.SUB: "42",
            Claim.EXP: NOW + 60,
            Claim.IAT: NOW - 60,
            Claim.CTI: b"card-0001",
            Claim.CNF: {1: pilot.holder.cose_key()},
        }
        self.raw_protected: bytes | None = None
        self.raw_payload: bytes | None = None
        self.sign: Callable[[bytes], bytes] = self.key.sign
        self.signature: Callable[[bytes], Any] = lambda signature: signature
        self.head = b"\xd2\x84"
        self.tail = b""

    def bytes(self) -> bytes:
        raw = (
            cbor.encode(_kept(self.protected)) if self.raw_protected is None else self.raw_protected
        )
        body = cbor.encode(_kept(self.claims)) if self.raw_payload is None else self.raw_payload
        signature = self.signature(self.sign(cbor.encode(["Signature1", raw, b"", body])))
        parts = (raw, self.unprotected, body, signature)
        return self.head + b"".join(cbor.encode(part) for part in parts) + self.tail


def _kept(mapping: dict[Any, Any]) -> dict[Any, Any]:
    return {key: value for key, value in mapping.items() if value is not DROP}


def _dynamic(pilot, token: bytes) -> str:
    """Wrap a token, however broken, into an honest key binding token."""
    raw = b"\xa3" + b"\x01\x26" + b"\x0d" + token + b"\x10\x19\x01\x26"
    body = cbor.encode({Claim.AUD: "station", Claim.IAT: NOW})
    signature = pilot.holder.key.sign(cbor.encode(["Signature1", raw, b"", body]))
    return pilot.code(
        b"\xd2\x84" + cbor.encode(raw) + b"\xa0" + cbor.encode(body) + cbor.encode(signature)
    )


def _set(**changes: Any) -> Callable[[Forge], None]:
    def bend(forge: Forge) -> None:
        for name, value in changes.items():
            setattr(forge, name, value)

    return bend


def _header(**changes: Any) -> Callable[[Forge], None]:
    return lambda forge: forge.protected.update({Header[name]: v for name, v in changes.items()})


def _claim(**changes: Any) -> Callable[[Forge], None]:
    return lambda forge: forge.claims.update({Claim[name]: v for name, v in changes.items()})


DETAILS = b"\x3a\x00\x01\x00\x03"
"""The label of a claim whose value nobody reads outside a ticket."""


def _raw_claims(extra: bytes, count: int = 1) -> Callable[[Forge], None]:
    """Append encoded pairs to the claims, as only a hand-written encoder would."""

    def bend(forge: Forge) -> None:
        honest = cbor.encode(forge.claims)
        forge.raw_payload = bytes((honest[0] + count,)) + honest[1:] + extra

    return bend


def _raw_header(extra: bytes) -> Callable[[Forge], None]:
    def bend(forge: Forge) -> None:
        honest = cbor.encode(forge.protected)
        forge.raw_protected = bytes((honest[0] + 1,)) + honest[1:] + extra

    return bend


def _hmac_with_the_public_key(forge: Forge) -> None:
    forge.protected[Header.ALG] = 5
    secret = spki(forge.key.public)
    forge.sign = lambda message: hmac.digest(secret, message, "sha256")


def _rsa_key_for_an_ec_alg(forge: Forge) -> None:
    key = issue.SigningKey(Algorithm.PS256, rsa.generate_private_key(65537, 2048))
    forge.sign = key.sign


def _der_signature(signature: bytes) -> bytes:
    return encode_dss_signature(int.from_bytes(signature[:32]), int.from_bytes(signature[32:]))


def _times(encoded: bytes) -> Callable[[Forge], None]:
    """Put raw CBOR into `exp`."""

    def bend(forge: Forge) -> None:
        forge.claims[Claim.EXP] = DROP
        honest = cbor.encode(_kept(forge.claims))
        forge.raw_payload = bytes((honest[0] + 1,)) + honest[1:] + b"\x04" + encoded

    return bend


def _float(value: float) -> bytes:
    return b"\xfb" + struct.pack(">d", value)


UNSIGNED, MISMATCH, MALFORMED = Reason.UNSIGNED, Reason.ALGORITHM_MISMATCH, Reason.MALFORMED
BAD_SIGNATURE, BAD_TIME = Reason.BAD_SIGNATURE, Reason.BAD_TIME

ATTACKS: dict[str, tuple[Callable[[Forge], None], Reason]] = {
    "honest": (_set(), Reason.GRANTED),
    # algorithm
    "no alg": (_header(ALG=DROP), MISMATCH),
    "no protected header at all": (_set(raw_protected=b""), MISMATCH),
    "alg only unprotected": (
        lambda forge: (_header(ALG=DROP)(forge), _set(unprotected={1: -7})(forge)),
        MISMATCH,
    ),
    "alg in both headers": (_set(unprotected={1: -7}), MISMATCH),
    "other alg in the other header": (_set(unprotected={1: -8}), MISMATCH),
    "alg none as text": (_header(ALG="none"), MISMATCH),
    "alg ES256 as text": (_header(ALG="ES256"), MISMATCH),
    "alg 0": (_header(ALG=0), MISMATCH),
    "alg null": (_header(ALG=None), MISMATCH),
    "alg a list": (_header(ALG=[-7]), MISMATCH),
    "alg of another curve": (_header(ALG=-35), MISMATCH),
    "alg EdDSA": (_header(ALG=-8), MISMATCH),
    "alg PS256": (_header(ALG=-37), MISMATCH),
    "alg RS256": (_header(ALG=-257), MISMATCH),
    "alg SM2": (_header(ALG=-65600), MISMATCH),
    "alg ES256K": (_header(ALG=-47), MISMATCH),
    "HMAC with the public key": (_hmac_with_the_public_key, MISMATCH),
    "RSA signature under an EC alg": (_rsa_key_for_an_ec_alg, BAD_SIGNATURE),
    # signature
    "empty signature": (_set(signature=lambda _: b""), UNSIGNED),
    "null signature": (_set(signature=lambda _: None), MALFORMED),
    "short signature": (_set(signature=lambda s: s[:-1]), BAD_SIGNATURE),
    "long signature": (_set(signature=lambda s: s + b"\x00"), BAD_SIGNATURE),
    "DER signature": (_set(signature=_der_signature), BAD_SIGNATURE),
    "zero signature": (_set(signature=lambda _: bytes(64)), BAD_SIGNATURE),
    "r and s exchanged": (_set(signature=lambda s: s[32:] + s[:32]), BAD_SIGNATURE),
    "one bit": (_set(signature=lambda s: s[:-1] + bytes((s[-1] ^ 1,))), BAD_SIGNATURE),
    "signed by a stranger": (_set(sign=issue.SigningKey.new("ES256").sign), BAD_SIGNATURE),
    "signature of the bare payload": (
        lambda forge: _set(sign=lambda _: forge.key.sign(cbor.encode(forge.claims)))(forge),
        BAD_SIGNATURE,
    ),
    # key
    "no kid": (_header(KID=DROP), MALFORMED),
    "empty kid": (_header(KID=b""), MALFORMED),
    "long kid": (_header(KID=b"k" * 65), MALFORMED),
    "kid as text": (_header(KID="city"), MALFORMED),
    "kid only unprotected": (
        lambda forge: (
            _header(KID=DROP)(forge),
            _set(unprotected={4: forge.pilot.city.kid})(forge),
        ),
        MALFORMED,
    ),
    "kid of nobody": (_header(KID=b"nobody00"), Reason.UNKNOWN_ISSUER),
    "kid of another issuer": (
        lambda forge: _header(KID=forge.pilot.rail.kid)(forge),
        Reason.UNKNOWN_ISSUER,  # iss is pinned to the key
    ),
    "kid and iss of another issuer": (
        lambda forge: (
            _header(KID=forge.pilot.rail.kid)(forge),
            _claim(ISS=forge.pilot.rail.iss)(forge),
        ),
        BAD_SIGNATURE,
    ),
    "iss of another issuer": (
        lambda forge: _claim(ISS=forge.pilot.rail.iss)(forge),
        Reason.UNKNOWN_ISSUER,
    ),
    # headers
    "unknown critical header": (_raw_header(b"\x02\x81\x18\x63"), Reason.UNKNOWN_CRITICAL_HEADER),
    "unknown critical header that is there": (
        lambda forge: forge.protected.update({2: [99], 99: 1}),
        Reason.UNKNOWN_CRITICAL_HEADER,
    ),
    "critical text label": (
        lambda forge: forge.protected.update({2: ["x"], "x": 1}),
        Reason.UNKNOWN_CRITICAL_HEADER,
    ),
    "critical label that is not there": (_header(CRIT=[16]), Reason.UNKNOWN_CRITICAL_HEADER),
    "critical label that is a list": (_header(CRIT=[[1]]), Reason.UNKNOWN_CRITICAL_HEADER),
    "critical and understood": (_header(CRIT=[1, 4]), Reason.GRANTED),
    "empty crit": (_header(CRIT=[]), MALFORMED),
    "crit no list": (_header(CRIT=1), MALFORMED),
    "crit unprotected": (_set(unprotected={2: [99]}), Reason.UNKNOWN_CRITICAL_HEADER),
    "a label in both headers": (
        lambda forge: _set(unprotected={4: forge.pilot.city.kid})(forge),
        MALFORMED,
    ),
    "unprotected header no map": (_set(unprotected=[]), MALFORMED),
    "protected header no map": (_set(raw_protected=b"\x80"), MALFORMED),
    "duplicate alg": (_raw_header(b"\x01\x27"), MALFORMED),
    "trailing bytes in the protected header": (
        lambda forge: _set(raw_protected=cbor.encode(forge.protected) + b"\x00")(forge),
        MALFORMED,
    ),
    "typ of a status list": (_header(TYP="application/statuslist+cwt"), MALFORMED),
    "typ a list": (_header(TYP=[293]), MALFORMED),
    "typ of an SD-CWT": (_header(TYP=293), Reason.GRANTED),
    # CBOR in the claims
    "duplicate claim": (_raw_claims(b"\x02\x61\x37"), MALFORMED),
    "duplicate claim as float": (_raw_claims(b"\xf9\x40\x00\x61\x37"), MALFORMED),
    "true beside 1": (_raw_claims(b"\xf5\x61\x37"), MALFORMED),
    "false as a key": (_raw_claims(b"\xf4\x61\x37"), MALFORMED),
    "null as a key": (_raw_claims(b"\xf6\x61\x37"), MALFORMED),
    "NaN as a key": (_raw_claims(b"\xf9\x7e\x00\x61\x37"), MALFORMED),
    "bytes as a key": (_raw_claims(b"\x41\x01\x61\x37"), MALFORMED),
    "list as a key": (_raw_claims(b"\x80\x61\x37"), MALFORMED),
    "map as a key": (_raw_claims(b"\xa0\x61\x37"), MALFORMED),
    "key not in shortest form": (_raw_claims(b"\x18\x02\x61\x37"), MALFORMED),
    "length not in shortest form": (_raw_claims(b"\x18\x63\x78\x01\x37"), MALFORMED),
    "time not in shortest form": (_times(b"\x1b" + (NOW + 60).to_bytes(8)), MALFORMED),
    "indefinite text": (_raw_claims(b"\x18\x63\x7f\x61\x37\xff"), MALFORMED),
    "indefinite bytes": (_raw_claims(b"\x18\x63\x5f\x41\x37\xff"), MALFORMED),
    "indefinite list": (_raw_claims(b"\x18\x63\x9f\xff"), MALFORMED),
    "indefinite map": (
        lambda forge: _set(raw_payload=b"\xbf" + cbor.encode(forge.claims)[1:] + b"\xff")(forge),
        MALFORMED,
    ),
    "break alone": (_raw_claims(b"\x18\x63\xff"), MALFORMED),
    "reserved additional information": (_raw_claims(b"\x18\x63\x1c"), MALFORMED),
    "a claim that no profile has": (_raw_claims(b"\x18\x63\x00"), Reason.UNKNOWN_CLAIM),
    "a claim by name": (_raw_claims(b"\x64note\x00"), Reason.UNKNOWN_CLAIM),
    "a private claim of another version": (
        _raw_claims(b"\x3a\x00\x01\x00\x63\x00"),
        Reason.UNKNOWN_CLAIM,
    ),
    "scope": (_raw_claims(b"\x09\x61a"), Reason.UNKNOWN_CLAIM),
    "a challenge in the credential": (_raw_claims(b"\x18\x27\x41a"), Reason.UNKNOWN_CLAIM),
    "a certificate beside it": (_raw_claims(b"\x39\x01\x03\xa0"), Reason.UNKNOWN_CLAIM),
    "nested to depth 8": (_raw_claims(DETAILS + b"\x81" * 6 + b"\x80"), Reason.GRANTED),
    "nested deeper": (_raw_claims(DETAILS + b"\x81" * 7 + b"\x80"), MALFORMED),
    "nested very deep": (_raw_claims(b"\x18\x63" + b"\x81" * 1000 + b"\x80"), MALFORMED),
    "tag 5 bigfloat": (_raw_claims(b"\x18\x63\xc5\x82\x1b" + b"\x7f" * 8 + b"\x01"), MALFORMED),
    "tag 2 bignum": (_raw_claims(b"\x18\x63\xc2\x41\x01"), MALFORMED),
    "tag 28 shared": (_raw_claims(b"\x18\x63\xd8\x1c\x81\xd8\x1d\x00"), MALFORMED),
    "tag 29 reference": (_raw_claims(b"\x18\x63\xd8\x1d\x00"), MALFORMED),
    "tag 35 regular expression": (_raw_claims(b"\x18\x63\xd8\x23\x64(a+)"), MALFORMED),
    "tag 36 MIME": (_raw_claims(b"\x18\x63\xd8\x24\x63a:b"), MALFORMED),
    "tag 18 in the claims": (_raw_claims(b"\x18\x63\xd2\x80"), MALFORMED),
    "undefined": (_raw_claims(b"\x18\x63\xf7"), MALFORMED),
    "simple 59, a redacted claim": (_raw_claims(b"\xf8\x3b\x80"), MALFORMED),
    "text that is no UTF-8": (_raw_claims(b"\x18\x63\x61\xff"), MALFORMED),
    "text with a surrogate": (_raw_claims(b"\x18\x63\x63\xed\xa0\x80"), MALFORMED),
    "a length over the end": (_raw_claims(b"\x18\x63\x5b" + b"\x7f" * 8), MALFORMED),
    "a list over the end": (_raw_claims(b"\x18\x63\x9b" + b"\x7f" * 8), MALFORMED),
    "trailing bytes after the claims": (
        lambda forge: _set(raw_payload=cbor.encode(forge.claims) + b"\x00")(forge),
        MALFORMED,
    ),
    "claims no map": (_set(raw_payload=b"\x80"), MALFORMED),
    "empty payload": (_set(raw_payload=b""), MALFORMED),
    # times
    "no exp": (_claim(EXP=DROP), Reason.MISSING_CLAIM),
    "no iat": (_claim(IAT=DROP), Reason.MISSING_CLAIM),
    "exp infinite": (_times(b"\xf9\x7c\x00"), BAD_TIME),
    "exp NaN": (_times(b"\xf9\x7e\x00"), BAD_TIME),
    "exp a double": (_times(_float(NOW + 60.5)), BAD_TIME),
    "exp a whole float": (_times(b"\xfa" + struct.pack(">f", float(2**31))), BAD_TIME),
    "exp negative": (_claim(EXP=-1), BAD_TIME),
    "exp huge": (_claim(EXP=2**63), BAD_TIME),
    "exp true": (_claim(EXP=True), BAD_TIME),
    "exp text": (_claim(EXP=str(NOW + 60)), BAD_TIME),
    "exp null": (_claim(EXP=None), BAD_TIME),
    "iat negative": (_claim(IAT=-5), BAD_TIME),
    "nbf huge": (_claim(NBF=2**64 - 1), BAD_TIME),
    "nbf text": (_claim(NBF="0"), BAD_TIME),
    "exp before iat": (_claim(EXP=NOW - 61), BAD_TIME),
    "exp before iat and after nbf": (_claim(EXP=NOW - 90, NBF=NOW - 120), BAD_TIME),
    "exp at iat": (_claim(EXP=NOW - 60), BAD_TIME),
    "exp before nbf": (_claim(NBF=NOW + 61), BAD_TIME),
    "iat in the future": (_claim(IAT=NOW + 30), Reason.ISSUED_IN_FUTURE),
    "nbf in the future": (_claim(NBF=NOW + 30), Reason.NOT_YET_VALID),
    "exp now": (_claim(EXP=NOW), Reason.EXPIRED),
    # claims
    "no iss": (_claim(ISS=DROP), Reason.UNKNOWN_ISSUER),
    "no sub": (_claim(SUB=DROP), Reason.MISSING_CLAIM),
    "no cti": (_claim(CTI=DROP), Reason.MISSING_CLAIM),
    "iss a number": (_claim(ISS=7), Reason.UNKNOWN_ISSUER),
    "sub a number": (_claim(SUB=7), MALFORMED),
    "sub empty": (_claim(SUB=""), MALFORMED),
    "cti text": (_claim(CTI="card"), MALFORMED),
    "cti empty": (_claim(CTI=b""), MALFORMED),
    "cti long": (_claim(CTI=b"c" * 65), MALFORMED),
    "vct a list": (_claim(VCT=[]), MALFORMED),
    "level 3": (_claim(LEVEL=3), MALFORMED),
    "level true": (_claim(LEVEL=True), MALFORMED),
    "level text": (_claim(LEVEL="2"), MALFORMED),
    "regions empty": (_claim(REGIONS=[]), MALFORMED),
    "regions a text": (_claim(REGIONS="CN-BJ"), MALFORMED),
    "regions with a newline": (_claim(REGIONS=["CN\n"]), MALFORMED),
    "too many regions": (_claim(REGIONS=["CN"] * 65), MALFORMED),
    "status without index": (_claim(STATUS={"status_list": {"uri": "u"}}), MALFORMED),
    "status index negative": (_claim(STATUS={"status_list": {"idx": -1, "uri": "u"}}), MALFORMED),
    "status index true": (_claim(STATUS={"status_list": {"idx": True, "uri": "u"}}), MALFORMED),
    "status index over the range": (
        _claim(STATUS={"status_list": {"idx": 2**32, "uri": "u"}}),
        MALFORMED,
    ),
    "status of another kind": (_claim(STATUS={"other": 1}), MALFORMED),
    "claim 169 no map": (_claim(IDENTITY=b"\xa0"), MALFORMED),
    "face a single map": (_claim(IDENTITY={62: {0: b"x", 1: 1, 2: 100}}), MALFORMED),
    "face an empty list": (_claim(IDENTITY={62: []}), MALFORMED),
    "face a list of numbers": (_claim(IDENTITY={62: [1]}), MALFORMED),
    "face whose data is text": (_claim(IDENTITY={62: [{0: "x", 1: 1, 2: 100}]}), MALFORMED),
    "face without data": (_claim(IDENTITY={62: [{1: 1, 2: 100}]}), MALFORMED),
    "face with format true": (_claim(IDENTITY={62: [{0: b"x", 1: True, 2: 100}]}), MALFORMED),
    "face issuer a number": (_claim(IDENTITY={62: [{0: b"x", 1: 1, 2: 100, 3: 1}]}), MALFORMED),
    "birth date with dashes": (_claim(IDENTITY={8: "1990-02-28"}), MALFORMED),
    "birth date of no calendar": (_claim(IDENTITY={8: "19900230"}), MALFORMED),
    "birth date in other digits": (_claim(IDENTITY={8: "١٩٩٠٠١٠١"}), MALFORMED),
    # structure
    "array of three": (_set(head=b"\xd2\x83"), MALFORMED),
    "array of five": (_set(head=b"\xd2\x85", tail=b"\x00"), MALFORMED),
    "trailing bytes after COSE": (_set(tail=b"\x00"), MALFORMED),
    "a second message behind": (_set(tail=b"\xd2\x84\x40\xa0\x40\x40"), MALFORMED),
    "untagged": (_set(head=b"\x84"), MALFORMED),
    "tag twice": (_set(head=b"\xd2\xd2\x84"), MALFORMED),
    "CWT tag alone": (_set(head=b"\xd8\x3d\x84"), MALFORMED),
    "tag not in shortest form": (_set(head=b"\xd8\x12\x84"), MALFORMED),
    "tag of COSE_Sign": (_set(head=b"\xd8\x62\x84"), MALFORMED),
    "indefinite array": (_set(head=b"\xd2\x9f", tail=b"\xff"), MALFORMED),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_attack_on_a_static_code(pilot, name):
    bend, expected = ATTACKS[name]
    forge = Forge(pilot)
    bend(forge)
    assert pilot.reason(pilot.code(forge.bytes())) is expected


@pytest.mark.parametrize("name", ATTACKS)
def test_attack_inside_an_honest_presentation(pilot, name):
    bend, expected = ATTACKS[name]
    forge = Forge(pilot)
    bend(forge)
    assert pilot.reason(_dynamic(pilot, forge.bytes())) is expected


@pytest.mark.parametrize("name", ATTACKS)
def test_attack_in_an_encrypted_code(pilot, name):
    """Encryption must not be a way around any check."""
    bend, expected = ATTACKS[name]
    forge = Forge(pilot)
    bend(forge)
    sealed = issue.encrypt(forge.bytes(), b"k" * 32)
    assert pilot.reason(pilot.code(sealed)) is expected


def test_a_cwt_tag_around_is_allowed_outside(pilot):
    token = pilot.credential()
    assert pilot.reason(pilot.code(b"\xd8\x3d" + token)) is Reason.GRANTED
    assert pilot.reason(_dynamic(pilot, b"\xd8\x3d" + token)) is Reason.MALFORMED


# --- issuers that collide ------------------------------------------------------------------------


def test_two_issuers_with_one_kid(pilot):
    city, rail = pilot.city, pilot.rail
    keys = pilot.trusting(rail.issuer_key(kid=city.kid), city.issuer_key(iss=frozenset({city.iss})))
    assert pilot.read(pilot.static(), keys=keys).issuer == "city"
    # The railway's key now has the city's id, yet cannot speak for the city.
    forge = Forge(pilot)
    forge.sign = rail.key.sign
    assert pilot.read(pilot.code(forge.bytes()), keys=keys).issuer == "rail"
    pinned = pilot.trusting(
        rail.issuer_key(kid=city.kid, iss=frozenset({rail.iss})),
        city.issuer_key(iss=frozenset({city.iss})),
    )
    assert pilot.reason(pilot.code(forge.bytes()), keys=pinned) is BAD_SIGNATURE


def test_two_issuers_with_one_kid_and_different_algorithms(pilot):
    other = issue.new_issuer("other", "EdDSA")
    keys = pilot.trusting(other.issuer_key(kid=pilot.city.kid), pilot.city.issuer_key())
    assert pilot.read(pilot.static(), keys=keys).issuer == "city"
    forge = Forge(pilot)
    forge.sign = issue.SigningKey.new("ES256").sign
    assert pilot.reason(pilot.code(forge.bytes()), keys=keys) is BAD_SIGNATURE


def test_no_more_than_eight_keys_are_tried(pilot):
    kid = pilot.city.kid
    strangers = [issue.new_issuer(f"s{n}").issuer_key(kid=kid) for n in range(8)]
    honest = pilot.city.issuer_key()
    assert pilot.reason(pilot.static(), keys=pilot.trusting(*strangers, honest)) is BAD_SIGNATURE
    assert (
        pilot.reason(pilot.static(), keys=pilot.trusting(*strangers[1:], honest)) is Reason.GRANTED
    )


@pytest.mark.parametrize("algorithm", ["ES256", "EdDSA", "SM2"])
def test_a_key_pinned_to_an_algorithm_that_is_not_its_own(pilot, algorithm):
    wrong = issue.new_issuer("city", "PS256").issuer_key(kid=pilot.city.kid)
    broken = type(wrong)(
        issuer="city", kid=wrong.kid, algorithm=Algorithm(algorithm), public_key=wrong.public_key
    )
    number = {"ES256": -7, "EdDSA": -8, "SM2": -65600}[algorithm]
    forge = Forge(pilot)
    forge.protected[Header.ALG] = number
    assert pilot.reason(pilot.code(forge.bytes()), keys=pilot.trusting(broken)) is MISMATCH


def test_details_hold_no_personal_data(pilot):
    """What is logged of a refusal names rules, never values of the credential."""
    token = pilot.credential(subject="subject-4711", identity={4: "Zhang San", 8: "19900230"})
    with pytest.raises(Exception, match="malformed") as refused:
        pilot.read(pilot.dynamic(token))
    for secret in ("4711", "Zhang", "1990"):
        assert secret not in str(refused.value)


def test_a_digest_of_the_token_is_not_its_replay_key(pilot):
    text = pilot.static()
    data = base45.decode(text[4:].encode())
    key = pilot.read(text).replay_key
    assert key not in {hashlib.sha256(data).digest(), hashlib.sha256(text.encode()).digest()}
