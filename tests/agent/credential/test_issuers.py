"""Which of several keys is tried first: validity, kind and level come before any order of files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import permutations
from typing import Any

import pytest

from agent.credential import registry
from agent.credential.issuers import IssuerKey, best_first, untried
from agent.credential.model import FormatName, Kind, Level, Rejected
from agent.reason import Reason
from tests.support.makers import (
    DAY,
    NOW,
    RULES,
    Ride,
    aadhaar,
    ca_key,
    claim169,
    dcc,
    ec_key,
    ed_key,
    identity_claims,
    issuer_key,
    pretix,
    rsa_key,
    trust,
    uidai_key,
)

PASSPORT, CARD = Kind.PASSPORT, Kind.LIBRARY_CARD


@pytest.mark.parametrize(
    ("pins", "asked", "fits"),
    [
        ({}, (), True),
        ({"valid_from": NOW}, (), True),
        ({"valid_from": NOW + 1}, (), False),
        ({"valid_until": NOW}, (), True),
        ({"valid_until": NOW - 1}, (), False),
        ({"kinds": frozenset({PASSPORT})}, (), True),
        ({"kinds": frozenset({PASSPORT})}, (PASSPORT,), True),
        ({"kinds": frozenset({PASSPORT})}, (CARD,), False),
        ({}, (CARD,), True),
        ({}, (CARD, Level.UPGRADED), True),
        ({"highest_level": Level.BASIC}, (CARD, Level.UPGRADED), False),
        ({"highest_level": Level.BASIC}, (CARD, Level.BASIC), True),
        ({"highest_level": Level.BASIC}, (CARD,), True),
    ],
)
def test_a_key_fits_or_not(pins: dict[str, Any], asked: tuple[Any, ...], fits: bool) -> None:
    key = issuer_key(ec_key(), **pins)
    assert key.fits(NOW, *asked) is fits
    other = issuer_key(ec_key(), issuer="other")
    both = [key, other]
    assert best_first(both, NOW, *asked) == (both if fits else [other, key])
    assert best_first(iter([other, key]), NOW, *asked) == [other, key]


def test_what_was_not_tried_is_told() -> None:
    key = issuer_key(ec_key())
    assert untried([key] * 8) == ""
    assert untried([key] * 9) == "; 9 keys would do, 8 were tried"


# --- one key several times, in every format -------------------------------------------------------

Code = tuple[Callable[..., IssuerKey], Callable[[], bytes], Kind]
CODES: dict[str, Code] = {
    "claim169": (lambda **pins: issuer_key(ec_key(), **pins), claim169, Kind.NATIONAL_ID),
    "claim169 without kid": (
        lambda **pins: issuer_key(ec_key(), **pins),
        lambda: claim169(kid=None),
        Kind.NATIONAL_ID,
    ),
    "dcc": (lambda **pins: issuer_key(ec_key(), **pins), dcc, Kind.HEALTH_CERTIFICATE),
    "pretix": (lambda **pins: issuer_key(ed_key(), **pins), pretix, Kind.EVENT_TICKET),
    "transit": (ca_key, Ride().code, Kind.TRANSIT_CODE),
    "aadhaar": (uidai_key, aadhaar, Kind.NATIONAL_ID),
}
BEGINNING = 1_000
OLD: dict[str, int] = {"valid_from": BEGINNING, "valid_until": BEGINNING + 1}


@pytest.mark.parametrize("name", CODES)
def test_a_renewed_key_is_found_in_every_order(name: str) -> None:
    make, code, kind = CODES[name]
    others = {kind} ^ {PASSPORT, CARD, kind}
    keys = [
        make(issuer="old", **OLD),
        make(issuer="to come", valid_from=NOW + DAY),
        make(issuer="now"),
    ]
    if name != "claim169" and name != "claim169 without kid":
        keys.append(make(issuer="other kinds", kinds=frozenset(others)))
    payload = code()
    for order in permutations(keys):
        assert registry.read(payload, keys=trust(*order), rules=RULES).issuer == "now"


@pytest.mark.parametrize("name", CODES)
def test_a_right_key_that_is_over_is_told_as_such(name: str) -> None:
    make, code, _ = CODES[name]
    with pytest.raises(Rejected) as caught:
        registry.read(code(), keys=trust(make(issuer="old", **OLD)), rules=RULES)
    assert caught.value.reason is Reason.ISSUER_KEY_EXPIRED


STRANGERS: dict[str, Callable[[int], IssuerKey]] = {
    "claim169 without kid": lambda number: issuer_key(ec_key(number)),
    "dcc": lambda number: issuer_key(ec_key(number)),
    "pretix": lambda number: issuer_key(ed_key(number)),
    "aadhaar": lambda number: uidai_key(rsa_key(number)),
}


@pytest.mark.parametrize("name", STRANGERS)
def test_eight_that_fit_are_tried_and_the_rest_is_told(name: str) -> None:
    """Keys that are over take no place from keys that are not (Aadhaar's are judged by its letter)."""
    make, code, _ = CODES[name]
    strangers = [STRANGERS[name](number) for number in range(1, 9)]
    over = [replace(key, **OLD) for key in strangers] * 3 if name != "aadhaar" else []
    payload = code()
    keys = trust(*over, *strangers[:7], make(issuer="z, the last"))
    assert registry.read(payload, keys=keys, rules=RULES).issuer == "z, the last"
    with pytest.raises(Rejected, match=r"bad_signature: .*; \d+ keys would do, 8 were tried"):
        registry.read(payload, keys=trust(*strangers, make(issuer="z, the last")), rules=RULES)
    with pytest.raises(Rejected, match=r"bad_signature: [^;]*$"):
        registry.read(payload, keys=trust(*strangers), rules=RULES)


def test_issuers_are_told_apart_by_iss_before_any_limit() -> None:
    keys = [
        issuer_key(ec_key(number), issuer=f"i{number}", iss=frozenset({f"urn:{number}"}))
        for number in range(20)
    ]
    for number in (0, 8, 19):
        payload = claim169(identity_claims(iss=f"urn:{number}"), ec_key(number), kid=None)
        credential = registry.read(payload, keys=trust(*keys), rules=RULES)
        assert credential.issuer == f"i{number}"


def test_many_keys_may_share_an_id() -> None:
    keys = [issuer_key(ec_key(number), kid=b"1", issuer=f"i{number}") for number in range(12)]
    assert len(trust(*keys).by_kid(b"1")) == 12
    fitting = [
        replace(key, formats=frozenset({FormatName.DCC})) if number != 11 else key
        for number, key in enumerate(keys)
    ]
    payload = claim169(private=ec_key(11), kid=b"1")
    assert registry.read(payload, keys=trust(*fitting), rules=RULES).issuer == "i11"
