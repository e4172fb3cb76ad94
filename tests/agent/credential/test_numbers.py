"""The registries' numbers, against python-cwt where it knows them, else as the standard has them."""

from __future__ import annotations

from enum import IntEnum

import pytest
from cwt import enums

from agent.credential import numbers
from agent.credential.numbers import Alg, Claim, CoseKey, Crv, Header, Kty, Tag

PRIVATE = -65536
"""IANA leaves the numbers below this one for private use."""
OTHER_NAMES = {"CONTENT_TYPE": "CTY"}
IN_NO_LIBRARY = {
    Header.KCWT: 13,  # draft-ietf-spice-sd-cwt, beside CWT Claims in Headers of older drafts
    Header.TYP: 16,  # RFC 9596
    Header.SD_CLAIMS: 17,  # draft-ietf-spice-sd-cwt, and the next
    Header.SD_ALG: 170,
    Claim.VCT: 11,
    Claim.CNONCE: 39,  # RFC 9711
    Claim.IDENTITY: 169,  # MOSIP
    Claim.STATUS: 65535,
}


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (Alg, enums.COSEAlgs),
        (Header, enums.COSEHeaders),
        (CoseKey, enums.COSEKeyParams),
        (Kty, enums.COSEKeyTypes),
        (Crv, enums.COSEKeyCrvs),
        (Claim, enums.CWTClaims),
    ],
)
def test_numbers_are_the_registries(ours, theirs):
    for member in ours:
        known = theirs.__members__.get(OTHER_NAMES.get(member.name, member.name))
        if known is not None:
            assert int(member) == int(known)
        elif member in IN_NO_LIBRARY:
            assert int(member) == IN_NO_LIBRARY[member]
        else:
            assert member < PRIVATE


def test_our_own_numbers_stay_what_issuers_sign():
    assert Alg.SM2_SM3 == -65600
    assert [Claim.LEVEL, Claim.REGIONS, Claim.BUSINESS, Claim.DETAILS, Claim.AGES] == [
        -65537, -65538, -65539, -65540, -65542,
    ]  # fmt: skip
    assert (numbers.SD_CWT_TYP, numbers.KB_TYP) == (293, 294)
    assert numbers.VCT_PREFIX == "urn:idgate:vct:"


def test_tags_of_rfc_9052_and_rfc_8392():
    assert [Tag.ENCRYPT0, Tag.MAC0, Tag.SIGN1, Tag.CWT] == [16, 17, 18, 61]


@pytest.mark.parametrize("enumeration", [Tag, Header, Alg, CoseKey, Kty, Crv, Claim])
def test_members_are_at_hand(enumeration):
    """In the class itself: a descriptor's call for each would cost the reader of every code."""
    for name, member in enumeration.__members__.items():
        assert vars(enumeration)[name] is member


def test_how_members_are_laid_at_hand():
    fresh = IntEnum("Fresh", {"ONE": 1, "TWO": 2})
    assert numbers._at_hand(fresh) is fresh
    assert (vars(fresh)["ONE"], vars(fresh)["TWO"]) == (1, 2)
