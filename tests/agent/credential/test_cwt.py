"""CWTs of the native profile: what is claimed, by whom, and in which order it is checked."""

from __future__ import annotations

from typing import Any

import pytest

from agent.credential import cbor, cose, cwt
from agent.credential.model import Kind, StatusReference
from agent.credential.numbers import Claim, Header
from agent.issuing import issue
from agent.reason import Reason
from tests.support.refusals import refused

NOW = 1_800_000_000
DROP = object()
CITY = issue.new_issuer("city")


def _kept(mapping: dict[Any, Any]) -> dict[Any, Any]:
    return {key: value for key, value in mapping.items() if value is not DROP}


def _token(
    claims: dict[Any, Any] | None = None, header: dict[Any, Any] | None = None
) -> cose.Sign1:
    """Return a message of the city's, sound but for what is asked for."""
    body = {
        Claim.ISS: "urn:city",
        Claim.SUB: "42",
        Claim.EXP: NOW + 60,
        Claim.IAT: NOW - 60,
        Claim.CTI: b"card",
        Claim.LEVEL: 1,
    }
    protected = _kept({Header.ALG: -7, Header.KID: CITY.kid} | (header or {}))
    raw, payload = cbor.encode(protected), cbor.encode(_kept(body | (claims or {})))
    signature = CITY.key.sign(cbor.encode(["Signature1", raw, b"", payload]))
    return cose.Sign1(protected, {}, payload, signature, raw)


def _keys(pilot, **changes: Any):
    """Return the city's key, for any `iss`."""
    return pilot.trusting(CITY.issuer_key(**changes))


def test_what_a_token_says(pilot):
    claims = {Claim.NBF: NOW - 30, Claim.VCT: "urn:idgate:vct:library-card"}
    keys = _keys(pilot)
    token = cwt.read_token(_token(claims), keys, pilot.rules())
    assert token.key is keys.by_kid(CITY.kid)[0]
    assert (token.kind, token.subject, token.identifier) == (Kind.LIBRARY_CARD, "42", b"card")
    assert token.issued_at == NOW - 60
    assert (token.valid_from, token.valid_until) == (NOW - 30, NOW + 59)
    assert token.claims[Claim.VCT] == "urn:idgate:vct:library-card"


def test_without_nbf_it_is_valid_from_its_issue(pilot):
    token = cwt.read_token(_token(), _keys(pilot), pilot.rules())
    assert (token.valid_from, token.valid_until) == (NOW - 60, NOW + 59)


def _malformed(words: str) -> tuple[Reason, str]:
    return Reason.MALFORMED, f"CWT: {words}"


def _missing(name: str) -> tuple[Reason, str]:
    return Reason.MISSING_CLAIM, name


def _bad_time(words: str) -> tuple[Reason, str]:
    return Reason.BAD_TIME, words


TIMES = {"exp": Claim.EXP, "iat": Claim.IAT, "nbf": Claim.NBF}


@pytest.mark.parametrize(
    ("claims", "told"),
    [
        ({Claim.ISS: DROP}, _missing("iss")),
        ({Claim.SUB: DROP}, _missing("sub")),
        ({Claim.CTI: DROP}, _missing("cti")),
        ({Claim.EXP: DROP}, _missing("exp")),
        ({Claim.IAT: DROP}, _missing("iat")),
        ({Claim.ISS: 7}, _malformed("iss is of another type")),
        ({Claim.SUB: 7}, _malformed("sub is of another type")),
        ({Claim.CTI: "card"}, _malformed("cti is of another type")),
        ({Claim.SUB: ""}, _malformed("sub is empty")),
        ({Claim.CTI: b""}, _malformed("cti is not 1 to 64 bytes")),
        ({Claim.CTI: b"c" * 65}, _malformed("cti is not 1 to 64 bytes")),
        ({Claim.VCT: 7}, _malformed("vct is no text")),
        ({Claim.EXP: NOW - 60}, _bad_time("exp is not after iat")),
        ({Claim.EXP: NOW - 60, Claim.NBF: NOW - 90}, _bad_time("exp is not after iat")),
        (
            {Claim.NBF: NOW + 61, Claim.EXP: NOW + 61},
            _bad_time("the validity ends before it begins"),
        ),
        ({Claim.IAT: NOW + 6}, (Reason.ISSUED_IN_FUTURE, "iat of the credential")),
        ({Claim.NBF: NOW + 6}, (Reason.NOT_YET_VALID, "")),
        ({Claim.EXP: NOW}, (Reason.EXPIRED, "")),
    ]
    + [({claim: -1}, _bad_time(f"{name} is no time")) for name, claim in TIMES.items()],
)
def test_claims_that_are_not_sound(pilot, claims, told):
    assert refused(cwt.read_token, _token(claims), _keys(pilot), pilot.rules()) == told


@pytest.mark.parametrize(
    "claims",
    [
        {Claim.CTI: b"c"},
        {Claim.CTI: b"c" * 64},
        {Claim.IAT: NOW + 5},
        {Claim.NBF: NOW + 5},
        {Claim.EXP: NOW + 1},
        {Claim.IAT: NOW - 1, Claim.EXP: NOW + 1, Claim.NBF: NOW},
        {Claim.IAT: 0},
        {Claim.NBF: 0},
        {Claim.EXP: 253_402_300_799},
    ],
)
def test_claims_that_are_just_sound(pilot, claims):
    assert cwt.read_token(_token(claims), _keys(pilot), pilot.rules()).subject == "42"


@pytest.mark.parametrize(
    ("header", "told"),
    [
        ({Header.KID: DROP}, _malformed("no kid in the protected header")),
        ({Header.KID: b""}, _malformed("no kid in the protected header")),
        ({Header.KID: b"k" * 65}, _malformed("no kid in the protected header")),
        ({Header.KID: "kid"}, _malformed("no kid in the protected header")),
        ({Header.KID: b"k" * 64}, (Reason.UNKNOWN_ISSUER, f"kid {'6b' * 64}")),
        ({Header.KID: b"\x01\x02"}, (Reason.UNKNOWN_ISSUER, "kid 0102")),
        ({Header.TYP: 294}, _malformed("typ names another kind of token")),
        # What is wrong first is told.
        ({Header.ALG: DROP, Header.KID: DROP, Header.TYP: 294}, (Reason.ALGORITHM_MISMATCH, "no signature algorithm in the protected header")),
        ({Header.KID: DROP, Header.TYP: 294}, _malformed("typ names another kind of token")),
    ],
)  # fmt: skip
def test_headers_that_are_not_sound(pilot, header, told):
    assert refused(cwt.read_token, _token({}, header), _keys(pilot), pilot.rules()) == told


@pytest.mark.parametrize("typ", [DROP, 293])
@pytest.mark.parametrize("kid", [b"k", b"k" * 64])
def test_headers_that_are_sound(pilot, typ, kid):
    token = _token({}, {Header.TYP: typ, Header.KID: kid})
    assert cwt.read_token(token, _keys(pilot, kid=kid), pilot.rules()).subject == "42"


@pytest.mark.parametrize("issuer", ["urn:other", 7, None, ["urn:city"], b"urn:city", DROP])
def test_a_key_speaks_for_its_own_iss(pilot, issuer):
    keys = _keys(pilot, iss=frozenset({"urn:city"}))
    assert cwt.read_token(_token(), keys, pilot.rules()).key.iss == {"urn:city"}
    told = refused(cwt.read_token, _token({Claim.ISS: issuer}), keys, pilot.rules())
    assert told == (Reason.UNKNOWN_ISSUER, "iss does not belong to the key")


def test_a_root_signs_no_credential(pilot):
    told = refused(cwt.read_token, _token(), _keys(pilot, is_root=True), pilot.rules())
    assert told == (Reason.UNKNOWN_ISSUER, "iss does not belong to the key")


@pytest.mark.parametrize("claims", [{}, {Claim.IAT: NOW + 30}, {Claim.EXP: NOW - 1}])
def test_without_a_clock_no_time_is_judged(pilot, claims):
    rules = pilot.rules(clock_trusted=False)
    told = refused(cwt.read_token, _token(claims), _keys(pilot), rules)
    assert told == (Reason.CLOCK_UNTRUSTED, "validity cannot be judged")


@pytest.mark.parametrize("payload", [b"\x80", b"\x00", b"\x41a", b"\xf6"])
def test_claims_are_a_map(payload):
    assert refused(cwt.claims_of, payload) == _malformed("the claims are no map")
    assert cwt.claims_of(b"\xa1\x04\xf9\x3e\x00") == {4: 1.5}  # so that exp is told as bad_time


@pytest.mark.parametrize("kind", Kind)
def test_the_kind_is_what_vct_names(kind):
    assert cwt.kind_of({Claim.VCT: f"urn:idgate:vct:{kind}"}) is kind


@pytest.mark.parametrize("vct", [None, "", "library-card", "urn:idgate:vct:", "urn:other"])
def test_a_kind_of_others_is_unknown(vct):
    assert cwt.kind_of({Claim.VCT: vct}) is Kind.UNKNOWN
    assert cwt.kind_of({}) is Kind.UNKNOWN


@pytest.mark.parametrize("index", [0, 1, 2**32 - 1])
def test_a_status_reference(index):
    status = {"status_list": {"idx": index, "uri": "u"}}
    assert cwt.status_of({Claim.STATUS: status}) == StatusReference("u", index)
    assert cwt.status_of({}) is None


@pytest.mark.parametrize(
    "status",
    [
        None, 7, [], "status_list", {}, {"status_list": None}, {"status_list": []},
        {"status_list": {}}, {"status_list": {"idx": 0}}, {"status_list": {"uri": "u"}},
        {"status_list": {"idx": 0, "uri": ""}}, {"status_list": {"idx": 0, "uri": 7}},
        {"status_list": {"idx": -1, "uri": "u"}}, {"status_list": {"idx": 2**32, "uri": "u"}},
        {"status_list": {"idx": "0", "uri": "u"}}, {"status_list": {"idx": False, "uri": "u"}},
    ],
)  # fmt: skip
def test_a_status_that_cannot_be_understood_is_not_none(status):
    told = refused(cwt.status_of, {Claim.STATUS: status})
    assert told == _malformed("status is no reference to a status list")


def test_a_holders_key():
    assert cwt.holder_key_of({Claim.CNF: {1: {1: 2}}}) == {1: 2}
    assert cwt.holder_key_of({Claim.CNF: None}) is None
    assert cwt.holder_key_of({}) is None


@pytest.mark.parametrize("confirmation", [7, [], [1], {}, {3: b"kid"}, {1: {}, 3: b"kid"}])
def test_a_holders_key_is_nothing_else(confirmation):
    told = refused(cwt.holder_key_of, {Claim.CNF: confirmation})
    assert told == _malformed("cnf is not one COSE_Key")
