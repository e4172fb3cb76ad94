"""The values that leave the credential package: what they hide, and what is kept of them."""

from __future__ import annotations

import pytest

from agent.credential.issuers import Algorithm, IssuerKey
from agent.credential.model import (
    BiometricReference,
    BusinessItem,
    Credential,
    FormatName,
    Kind,
    Level,
    Modality,
    ReferenceForm,
    Rejected,
    ReplayKey,
    StatusReference,
)
from agent.reason import Reason

FACE = BiometricReference(Modality.FACE, ReferenceForm.TEMPLATE, b"secret", 100)
TICKET = BusinessItem("rail", Kind.RAIL_TICKET, b"secret", ReplayKey(b"k"), 1, 2)
STATUS = StatusReference("https://city.example/1", 7)


def _credential(**changes) -> Credential:
    fields = {
        "format": FormatName.NATIVE,
        "issuer": "city",
        "key_id": b"kid",
        "kind": Kind.ONLINE_ID,
        "level": Level.UPGRADED,
        "subject": "secret",
        "issued_at": 1,
        "valid_from": 2,
        "valid_until": 3,
        "dynamic": True,
        "replay_key": ReplayKey(b"use"),
    }
    return Credential(**fields | changes)


def test_what_is_kept_after_the_attempt_says_nobody():
    place = {"presented_at": 4, "regions": frozenset({"CN"}), "document_type": "urn:x"}
    whole = _credential(
        **place, references=(FACE,), birth_date="1990-02-28", status=STATUS, business=TICKET,
        claims={"id": "secret"}, revocation_hashes=(b"secret",),
    )  # fmt: skip
    assert whole.without_person() == _credential(**place, subject="")


def test_what_a_format_does_not_say():
    bare = _credential()
    assert (bare.presented_at, bare.birth_date, bare.status, bare.business) == (None,) * 4
    assert bare.revocation_hashes == ()
    assert (bare.references, bare.regions, bare.document_type, bare.claims) == (
        (), frozenset(), "", {},
    )  # fmt: skip
    assert (FACE.issuer, FACE.position) == ("", 62)
    assert (TICKET.status, TICKET.claims) == (None, {})


def test_a_key_without_pins_is_for_everything_and_no_root():
    key = IssuerKey("city", b"kid", Algorithm.ES256, "secret", certificate=b"secret")
    assert key.kinds == key.formats == key.iss == key.status_for == frozenset()
    assert (key.valid_from, key.is_root) == (0, False)
    assert key.valid_until > 253_402_300_799  # no time that a code can name is after it


@pytest.mark.parametrize(
    "value",
    [
        _credential(references=(FACE,), birth_date="secret", business=TICKET, claims={1: "secret"}),
        FACE,
        TICKET,
        IssuerKey("city", b"kid", Algorithm.ES256, "secret", certificate=b"secret"),
    ],
)
def test_nothing_personal_shows(value):
    assert "secret" not in repr(value)


def test_a_refusal_says_its_reason_and_what_was_wrong():
    told = Rejected(Reason.MALFORMED, "CBOR: cut short")
    assert (told.reason, told.detail) == (Reason.MALFORMED, "CBOR: cut short")
    assert str(told) == "malformed: CBOR: cut short"
    bare = Rejected(Reason.EXPIRED)
    assert (bare.detail, str(bare)) == ("", "expired")


def test_levels_are_ordered():
    assert Level.BASIC < Level.UPGRADED
    assert [int(level) for level in Level] == [1, 2]


def test_a_refusal_is_no_fault_of_values():
    """A format's own `Rejected` must pass the registry's net for `ValueError` unchanged."""
    assert not issubclass(Rejected, (ValueError, KeyError, IndexError))
