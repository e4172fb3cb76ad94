"""One signature counts under one format and one version, however its bytes are wrapped."""

from __future__ import annotations

import base64
from itertools import combinations
from typing import Any

import pytest

from agent.credential import base45, cbor, cose, registry
from agent.credential.model import FormatName, Rejected
from agent.credential.numbers import SD_CWT_TYP, Claim, Header
from agent.reason import Reason
from tests.support import makers as make

KEYS = make.trust(make.issuer_key(make.ec_key(), issuer="everybody"))
"""A key that nothing limits to a format or a kind."""

COMPACT = "native 2"
WRAPPINGS = {
    FormatName.NATIVE: lambda data: b"NI1:" + base45.encode(data).encode(),
    FormatName.CLAIM169: lambda data: base45.encode(make.pack(data)).encode(),
    COMPACT: lambda data: b"NI2:" + base45.encode(data).encode(),
    FormatName.DCC: lambda data: b"HC1:" + base45.encode(make.pack(data)).encode(),
}
BASE = {
    Claim.ISS: "AT",
    Claim.SUB: "42",
    Claim.EXP: make.NOW + make.DAY,
    Claim.IAT: make.NOW - make.DAY,
    Claim.CTI: b"card",
}
PARTS: dict[int, Any] = {
    Claim.VCT: "urn:idgate:vct:library-card",
    Claim.LEVEL: 1,
    Claim.REGIONS: ["CN-31"],
    Claim.DETAILS: {},
    Claim.CNF: {1: {}},
    Claim.IDENTITY: make.IDENTITY,
    -260: {1: make.health()},
}
HEADERS: list[dict[int, Any]] = [{}, {Header.TYP: SD_CWT_TYP}]


def read_as(data: bytes, *formats: str) -> set[str]:
    """Return the formats that take a message, the native one by its version."""
    taken = set()
    for name in formats:
        try:
            read = registry.read(WRAPPINGS[name](data), keys=KEYS, rules=make.RULES)
        except Rejected:
            continue
        assert read.format == (FormatName.NATIVE if name == COMPACT else name)
        taken.add(name)
    return taken


def message(parts: tuple[int, ...], header: dict[int, Any]) -> bytes:
    return _signed(BASE | {label: PARTS[label] for label in parts}, header)


def _signed(claims: dict[int, Any], header: dict[int, Any]) -> bytes:
    protected = {Header.ALG: -7, Header.KID: b"key-1"} | header
    return make.sign1(cbor.encode(claims), make.ec_key(), protected=protected)


CHOICES = [parts for size in range(len(PARTS) + 1) for parts in combinations(PARTS, size)]


@pytest.mark.parametrize("header", HEADERS, ids=["no typ", "typ"])
def test_no_claims_and_header_count_twice(header: dict[int, Any]) -> None:
    taken = [read_as(message(parts, header), *WRAPPINGS) for parts in CHOICES]
    assert max(map(len, taken)) == 1
    if not header:
        assert set().union(*taken) == set(WRAPPINGS) - {COMPACT}


@pytest.mark.parametrize("header", HEADERS, ids=["no typ", "typ"])
@pytest.mark.parametrize("issuer", [True, False])
def test_no_claims_of_version_2_count_twice(header: dict[int, Any], issuer: bool) -> None:
    for parts in CHOICES:
        claims = {label: PARTS[label] for label in parts} | BASE | {Claim.VCT: 9}
        if not issuer:
            del claims[Claim.ISS]
        taken = read_as(_signed(claims, header), *WRAPPINGS)
        assert taken <= {COMPACT}
        if not parts:
            assert bool(taken) is not issuer


@pytest.mark.parametrize("header", HEADERS, ids=["no typ", "typ"])
@pytest.mark.parametrize("parts", [(), *((label,) for label in PARTS)], ids=str)
def test_which_format_a_message_is(parts: tuple[int, ...], header: dict[int, Any]) -> None:
    """A message of the claims that all formats share, and one more."""
    expected = {FormatName.NATIVE}
    if Claim.IDENTITY in parts:
        expected = {FormatName.NATIVE if header else FormatName.CLAIM169}
    elif -260 in parts:
        expected = {FormatName.DCC}
    elif not parts and not header:
        expected = set()
    assert read_as(message(parts, header), *WRAPPINGS) == expected


def test_a_message_that_nothing_marks_is_told_so() -> None:
    with pytest.raises(Rejected) as caught:
        registry.read(WRAPPINGS[FormatName.NATIVE](message((), {})), keys=KEYS, rules=make.RULES)
    assert caught.value.reason is Reason.MISSING_CLAIM
    assert caught.value.detail == "vct, and no typ: of no profile"


def test_a_message_is_no_ticket_of_pretix() -> None:
    """What COSE signs is never protocol buffers: its first byte would end a group."""
    payload = cbor.encode(BASE | {Claim.LEVEL: 1})
    raw = cbor.encode({Header.ALG: -8, Header.KID: b"key-1"})
    signed = cose.signed_bytes(cose.Sign1({}, {}, payload, b"", raw))
    signature = make.ed_key().sign(signed)
    sizes = b"\x01" + len(signed).to_bytes(2) + len(signature).to_bytes(2)
    code = base64.b64encode(sizes + signed + signature)[::-1]
    keys = make.trust(make.issuer_key(make.ed_key()))
    with pytest.raises(Rejected) as caught:
        registry.read(code, keys=keys, rules=make.RULES)
    assert caught.value.reason is Reason.MALFORMED
    assert "ticket field" in caught.value.detail


def test_what_a_ride_code_signs_is_no_message() -> None:
    """Nothing that SM2 signs there begins as the bytes do that COSE signs."""
    ride = make.Ride()
    certificate = ride.certificate()
    begins = {certificate[len(ride.certificate_head) :][:1], certificate[:1], ride.code()[:1]}
    assert cose.signed_bytes(cose.Sign1({}, {}, b"", b"", b""))[:1] not in begins
    assert begins == {b"\x12", b"\x24", b"\x80"}
