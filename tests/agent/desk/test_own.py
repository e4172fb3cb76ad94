"""Credentials that come back to the desk: its own, and whatever else somebody sends."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.credential import cbor
from agent.credential.numbers import Claim
from agent.desk.own import TOKEN_BYTES, NotOurs, read_own, read_presented
from agent.issuing.issue import face_template, sign1, sign_credential
from agent.issuing.keys import Holder, new_issuer
from agent.issuing.redact import disclosed

ISSUER = new_issuer("town")
OTHER = new_issuer("town")
HOLDER = Holder.new()
FIELDS = {"subject": "ABC", "issued_at": 1_800_000_000, "valid_until": 1_800_000_100}
TOKEN = sign_credential(
    ISSUER, HOLDER, cti=b"c" * 16, references=[face_template(bytes(128), "m")], **FIELDS
)


def test_a_card_of_ones_own():
    own = read_own(ISSUER, TOKEN)
    assert (own.cti, own.reference) == ((b"c" * 16).hex(), "ABC")
    assert own.holder.thumbprint() == HOLDER.thumbprint()
    assert own.references[0].data == bytes(128)
    assert "ABC" in repr(own)
    assert "references" not in repr(own)


COMPACT = {"references": [face_template(bytes(128), "m")], "version": 2, "cti": b"12345678"}


@pytest.mark.parametrize("subject", ["ABC", "00ff00ff"])
def test_a_card_of_version_2_with_what_its_holder_disclosed(subject):
    fields = FIELDS | COMPACT | {"subject": subject}
    whole = sign_credential(ISSUER, HOLDER, redacted=["face"], **fields)
    for data, faces in (
        (whole, 1),
        (disclosed(whole, []), 0),
        (sign_credential(ISSUER, HOLDER, **fields), 1),
    ):
        own = read_own(ISSUER, data)
        assert (own.cti, own.reference, len(own.references)) == (b"12345678".hex(), subject, faces)
        assert own.holder.thumbprint() == HOLDER.thumbprint()
    with pytest.raises(NotOurs, match="bad_signature"):
        read_own(OTHER, whole)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (
            sign_credential(ISSUER, HOLDER, claims={Claim.ISS: ISSUER.iss}, **FIELDS, **COMPACT),
            "of this desk",
        ),
        (sign_credential(ISSUER, HOLDER, **FIELDS, **(COMPACT | {"cti": None})), "of this desk"),
        (
            sign_credential(ISSUER, HOLDER, claims={Claim.SUB: 7}, **FIELDS, **COMPACT),
            "of this desk",
        ),
        (
            sign_credential(
                ISSUER,
                HOLDER,
                claims={Claim.IDENTITY: {cbor.REDACTED: [b"short"]}},
                **FIELDS,
                **COMPACT,
            ),
            "malformed",
        ),
        (
            sign_credential(
                ISSUER, HOLDER, claims={Claim.CNF: {1: HOLDER.cose_key(compressed=True)}}, **FIELDS
            ),
            "to no key",
        ),
        (sign_credential(OTHER, HOLDER, **FIELDS), "bad_signature"),
        (sign_credential(ISSUER, None, **FIELDS), "bound to no key"),
        (sign_credential(ISSUER, HOLDER, claims={Claim.ISS: "x"}, **FIELDS), "of this desk"),
        (sign_credential(ISSUER, HOLDER, claims={Claim.CTI: "x"}, **FIELDS), "of this desk"),
        (sign_credential(ISSUER, HOLDER, claims={Claim.SUB: 7}, **FIELDS), "of this desk"),
        (sign_credential(ISSUER, HOLDER, claims={Claim.IDENTITY: 7}, **FIELDS), "of this desk"),
        (sign_credential(ISSUER, HOLDER, claims={Claim.CNF: {1: {}}}, **FIELDS), "to no key"),
        (sign_credential(ISSUER, HOLDER, claims={Claim.CNF: 7}, **FIELDS), "malformed"),
        (b"", "malformed"),
        (bytes(TOKEN_BYTES + 1), "over 8192"),
        (TOKEN[:-1], "malformed"),
        (TOKEN + b"\0", "malformed"),
        (cbor.encode({1: 2}), "unsigned"),
    ],
)
def test_what_is_not_ones_own_says_why(data, why):
    with pytest.raises(NotOurs, match=why):
        read_own(ISSUER, data)


def test_any_changed_byte_is_found():
    for place in range(0, len(TOKEN), 3):
        changed = bytearray(TOKEN)
        changed[place] ^= 1
        with pytest.raises(NotOurs):
            read_own(ISSUER, bytes(changed))


def test_a_code_that_carries_none():
    with pytest.raises(NotOurs, match="no phone signed"):
        read_presented(ISSUER, TOKEN)
    with pytest.raises(NotOurs):
        read_presented(ISSUER, sign1(HOLDER.key, {}))


@given(st.binary(max_size=300))
def test_anything_is_one_error(data):
    with pytest.raises(NotOurs):
        read_own(ISSUER, data)
    with pytest.raises(NotOurs):
        read_presented(ISSUER, data)
