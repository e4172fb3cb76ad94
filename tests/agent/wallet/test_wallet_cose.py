"""Codes that the wallet signs are read as a gate reads them; what stands in a card is told right."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from typing import Any

import pytest

from agent.credential import base45, cbor
from agent.credential.inflate import is_zlib, unzlib
from agent.credential.keys import cose_key
from agent.credential.model import Kind, Level, Modality, StatusReference
from agent.credential.numbers import Claim, CoseKey, Header
from agent.issuing import issue
from agent.reason import Reason
from tests.support.node import needs_node, run_node
from tests.support.pilot import DAY, NOW

pytestmark = needs_node

NONCE = bytes(range(16))
FACE = issue.face_template(bytes(128), "face-embed-v1")
FINGER = issue.finger_template(bytes(512), "r307")
URI = "https://desk.localhost:8444/status/1"


def _b64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _jwk(holder: issue.Holder) -> dict[str, str]:
    key = holder.cose_key()
    return {
        "kty": "EC", "crv": "P-256", "x": _b64url(key[CoseKey.X]), "y": _b64url(key[CoseKey.Y]),
    }  # fmt: skip


def _private_jwk(holder: issue.Holder) -> dict[str, str]:
    scalar = holder.key.private.private_numbers().private_value
    return _jwk(holder) | {"d": _b64url(scalar.to_bytes(32, "big"))}


def _thumbprint(jwk: Mapping[str, str]) -> str:
    text = json.dumps({name: jwk[name] for name in sorted(jwk)}, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _said(pilot: Any, holder: issue.Holder | None, **changes: Any) -> dict[str, Any]:
    """Return what `describe` must say of the pilot's plain card."""
    key = None if holder is None else _jwk(holder)
    plain = {
        "version": 1, "iss": "urn:idgate:issuer:city", "kid": pilot.city.kid.hex(), "sub": "42",
        "kind": "online-id", "level": 2,
        "iat": NOW - DAY, "nbf": NOW - DAY, "exp": NOW + DAY + 1, "regions": [], "aud": [],
        "status": None, "cti": b"card-0001".hex(), "holder": key and _thumbprint(key),
        "holderKey": key, "birthDate": None, "references": [], "realm": None, "details": None,
        "ages": [], "names": [], "parts": [], "undisclosed": 0,
    }  # fmt: skip
    return plain | changes


def _cards(pilot: Any) -> dict[str, tuple[bytes, dict[str, Any]]]:
    """Return cards by name, with what must be told of them."""
    full = pilot.credential(
        kind=Kind.LIBRARY_CARD, level=Level.UPGRADED, birth_date="1990-02-28",
        references=(FACE, FINGER), regions=("ES-MD", "ES"), valid_from=NOW - 60,
        status=StatusReference(URI, 65_535),
    )  # fmt: skip
    disclosed = [
        {"modality": "finger", "form": "template", "position": 51, "bytes": 512},
        {"modality": "face", "form": "template", "position": 62, "bytes": 128},
    ]
    return {
        "plain": (pilot.credential(), _said(pilot, pilot.holder)),
        "full": (
            full,
            _said(
                pilot, pilot.holder, kind="library-card", birthDate="19900228", nbf=NOW - 60,
                regions=["ES", "ES-MD"], status={"index": 65_535, "uri": URI}, references=disclosed,
            ),
        ),
        "static only": (
            issue.sign_credential(
                pilot.city, None, subject="42", issued_at=NOW - DAY, valid_until=NOW + DAY,
                cti=b"card-0001", level=2, claims={Claim.AUD: ["station", "library/*"]},
            ),
            _said(pilot, None, aud=["station", "library/*"]),
        ),
        "a CWT's tag around it": (b"\xd8\x3d" + pilot.credential(), _said(pilot, pilot.holder)),
        "fully specified": (pilot.credential(fully_specified=True), _said(pilot, pilot.holder)),
    }  # fmt: skip


def _tickets(pilot: Any) -> dict[str, tuple[bytes, bool]]:
    """Return tickets by name, and whether they stand beside the plain card."""

    def by_subject(**more: Any) -> bytes:
        return issue.sign_ticket(
            pilot.rail, None, issued_at=NOW - 60, valid_until=NOW + 3600, **more
        )

    stranger = issue.sign_ticket(
        pilot.rail, issue.Holder.new(), subject="42", issued_at=NOW - 60, valid_until=NOW + 3600
    )
    return {
        "by key": (pilot.ticket(), True),
        "by subject, in the identity's realm": (
            by_subject(subject="42", realm=pilot.city.iss),
            True,
        ),
        "by subject, of its own seller": (by_subject(subject="42"), False),
        "another's subject": (by_subject(subject="43", realm=pilot.city.iss), False),
        "another's key": (stranger, False),
        "the card itself": (pilot.credential(), False),
    }


def _bent(pilot: Any) -> dict[str, bytes]:
    """Return what no gate takes for its form."""

    def signed(header: Any = None, unprotected: Any = None, **claims: Any) -> bytes:
        whole = pilot.credential(claims={Claim[name]: value for name, value in claims.items()})
        item = cbor.decode(whole, tags=(18,)).value
        if header is not None:
            item[0] = cbor.encode(header)
        return cbor.encode(cbor.Tagged(18, [item[0], unprotected or {}, item[2], item[3]]))

    plain = cbor.decode(pilot.credential(), tags=(18,)).value
    return {
        "no CBOR": b"\xff",
        "no tag": cbor.encode(plain),
        "three elements": cbor.encode(cbor.Tagged(18, plain[:3])),
        "not signed": cbor.encode(cbor.Tagged(18, [*plain[:3], b""])),
        "no kid": signed(header={Header.ALG: -7}),
        "no alg": signed(header={Header.KID: b"k"}),
        "another typ": signed(header={Header.ALG: -7, Header.KID: b"k", Header.TYP: 16}),
        "alg in the unprotected header": signed(unprotected={Header.ALG: -7}),
        "exp before iat": signed(EXP=1),
        "a time that is a float": signed(IAT=1.5),
        "a negative time": signed(IAT=-1),
        "no cti": signed(CTI=b""),
        "sub is empty": signed(SUB=""),
        "level 3": signed(LEVEL=3),
        "an unknown claim": pilot.credential(claims={-70_000: 1}),
        "regions no list": signed(REGIONS="ES"),
        "a status without index": signed(STATUS={"status_list": {"uri": URI}}),
        "a biometric without data": signed(IDENTITY={62: [{1: 0, 2: 1}]}),
    }  # fmt: skip


def _bent_keys(pilot: Any) -> dict[str, bytes]:
    """Return what no gate takes once the phone has signed."""
    key = pilot.holder.cose_key()
    return {
        name: pilot.credential(claims={Claim.CNF: cnf})
        for name, cnf in {
            "a private key": {1: {**key, CoseKey.D: bytes(32)}},
            "a short key": {1: {**key, CoseKey.X: bytes(31)}},
            "a key that is named only": {3: b"kid"},
        }.items()
    }


@pytest.fixture(scope="module")
def results(pilot, tmp_path_factory) -> dict[str, Any]:
    cards, tickets = _cards(pilot), _tickets(pilot)
    given = {
        "privateKey": _private_jwk(pilot.holder),
        "thumbprint": _thumbprint(_jwk(pilot.holder)),
        "coseKey": cbor.encode(cose_key(pilot.holder.key.public)).hex(),
        "now": NOW,
        "nonce": NONCE.hex(),
        "cards": {name: [card.hex(), said] for name, (card, said) in cards.items()},
        "tickets": {name: [ticket.hex(), fits] for name, (ticket, fits) in tickets.items()},
        "bent": {
            "a presentation, which is no card": _message(pilot.dynamic()).hex(),
            **{name: data.hex() for name, data in (_bent(pilot) | _bent_keys(pilot)).items()},
        },
        "tooLarge": pilot.credential(identity={4: "n" * 3_000}).hex(),
    }
    return run_node("wallet_cose.test.mjs", given, tmp_path_factory.mktemp("cose"))


@pytest.mark.parametrize("name", ["plain", "full", "a CWT's tag around it", "fully specified"])
def test_a_code_that_node_signed_is_granted(pilot, results, name):
    read = pilot.read(results["codes"][name])
    assert (read.subject, read.dynamic, read.presented_at) == ("42", True, NOW)
    if name == "full":
        assert [one.modality for one in read.references] == [Modality.FINGER, Modality.FACE]


def test_a_code_says_byte_for_byte_what_the_issuing_code_says(pilot, results):
    ours = pilot.dynamic(pilot.credential(), challenge=NONCE, ticket=pilot.ticket())
    for text, credential in ((ours, None), (results["with all"], "plain")):
        item = cbor.decode(_message(text), tags=(18,)).value
        header = cbor.decode(item[0], tags=(18,), tag_depth=1)
        assert (header[Header.ALG], header[Header.TYP], item[1]) == (-7, 294, {})
        claims = cbor.decode(item[2])
        assert {key: claims[key] for key in (3, 6, 39)} == {3: "station/g1", 6: NOW, 39: NONCE}
        assert list(claims) == [Claim.AUD, Claim.IAT, Claim.CNONCE, Claim.BUSINESS]
        if credential is not None:
            assert cbor.encode(header[Header.KCWT]).hex() == results["carried"]


def _message(text: str) -> bytes:
    data = base45.decode(text.removeprefix("NI1:").encode())
    return unzlib(data) if is_zlib(data) else data


def test_challenge_and_ticket_reach_the_gate(pilot, results):
    read = pilot.read(results["with all"], challenge=NONCE)
    assert read.business is not None
    assert read.business.claims == {"train": "G1"}
    assert pilot.reason(results["with all"], challenge=bytes(16)) is Reason.WRONG_CHALLENGE
    assert pilot.reason(results["with all"], gate="g2") is Reason.WRONG_AUDIENCE
    assert pilot.reason(results["with all"], now=NOW + 31) is Reason.STALE


def test_a_static_code_is_the_card_itself(pilot, results):
    assert _message(results["static"]).hex() == results["carried static"]
    assert not pilot.read(results["static"]).dynamic


@pytest.mark.parametrize("name", ["by key", "by subject, in the identity's realm"])
def test_a_ticket_that_fits_is_taken_at_the_gate(pilot, results, name):
    assert pilot.read(results["ticketed"][name]).business is not None


@pytest.mark.parametrize(
    "name",
    ["by subject, of its own seller", "another's subject", "another's key", "the card itself"],
)
def test_a_ticket_that_does_not_fit_is_refused_at_the_gate_too(pilot, results, name):
    assert pilot.reason(results["ticketed"][name]) is Reason.TICKET_INVALID


def test_what_is_bent_is_refused_at_the_gate_too(pilot):
    for name, data in _bent(pilot).items():
        assert pilot.reason(pilot.code(data)) is not Reason.GRANTED, name
    for name, data in _bent_keys(pilot).items():
        assert pilot.reason(pilot.dynamic(data)) is not Reason.GRANTED, name
