"""The business part: whose ticket it is, what may be one, and what the log says where it fails."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import pytest

from agent.credential import cose, cwt
from agent.credential.checks import replay_key
from agent.credential.model import BusinessItem, Kind, StatusReference
from agent.credential.numbers import Claim
from agent.credential.ticket import read_ticket, ticket_key
from agent.issuing import issue
from agent.reason import Reason
from tests.support.refusals import refused

NOW = 1_800_000_000
TICKETS = {
    Kind.RAIL_TICKET,
    Kind.LIBRARY_CARD,
    Kind.EVENT_TICKET,
    Kind.TRANSIT_CODE,
    Kind.UNKNOWN,
}


def _read(pilot, ticket: Any, identity: bytes | None = None, **rules: Any) -> BusinessItem:
    message = cose.parse_sign1(identity or pilot.credential())
    token = cwt.read_token(message, pilot.keys, pilot.rules())
    return read_ticket(ticket, token, pilot.keys, pilot.rules(**rules))


def _told(pilot, ticket: Any, identity: bytes | None = None, **rules: Any) -> tuple[Reason, str]:
    return refused(_read, pilot, ticket, identity, **rules)


def _invalid(words: str) -> tuple[Reason, str]:
    return Reason.TICKET_INVALID, words


def test_what_a_ticket_says(pilot):
    status = StatusReference("https://rail.example/status", 3)
    details = {"train": "G1", "seat": 7}
    ticket = pilot.ticket(status=status, details=details, valid_from=NOW - 30, kind="event-ticket")
    assert _read(pilot, ticket) == BusinessItem(
        issuer="rail",
        kind=Kind.EVENT_TICKET,
        reference=b"ticket-1",
        use_key=ticket_key("rail", b"ticket-1"),
        valid_from=NOW - 30,
        valid_until=NOW + 3600,
        status=status,
        claims=details,
    )


def test_a_ticket_needs_no_details(pilot):
    item = _read(pilot, pilot.ticket(details=None))
    assert (item.claims, item.status, item.regions) == ({}, None, frozenset())


def test_a_ticket_is_known_by_issuer_and_number():
    """Worked out by hand: a shop of another name or another number is another ticket."""
    data = b"\xffticket" + (4).to_bytes(4) + b"rail" + b"ticket-1"
    assert ticket_key("rail", b"ticket-1") == sha256(data).digest()
    keys = [ticket_key("rail", b"1"), ticket_key("rai", b"l1"), ticket_key("rail", b"2")]
    assert len({*keys, replay_key("rail", b"1", 0)}) == 4


@pytest.mark.parametrize("kind", Kind)
def test_an_identity_document_is_no_ticket(pilot, kind):
    if kind in TICKETS:
        assert _read(pilot, pilot.ticket(kind=kind)).kind is kind
    else:
        told = _told(pilot, pilot.ticket(kind=kind))
        assert told == _invalid(f"ticket_invalid {kind} is an identity document")


@pytest.mark.parametrize("label", [1, -1, -2, -3])
def test_a_ticket_for_another_key_is_another_holders(pilot, label):
    """Kind of key, curve and both coordinates count; its other labels do not."""
    key = pilot.holder.cose_key()
    assert _read(pilot, pilot.ticket(claims={Claim.CNF: {1: key | {2: b"kid", 3: -7}}}))
    told = _told(pilot, pilot.ticket(claims={Claim.CNF: {1: key | {label: 99}}}))
    assert told == _invalid("ticket_invalid it belongs to another holder")


def _unbound(pilot, subject: str, seller: issue.Issuer | None = None, **more: Any) -> bytes:
    return issue.sign_ticket(
        seller or pilot.rail, None, subject=subject, issued_at=NOW, valid_until=NOW + 9, **more
    )


STRANGER = _invalid("ticket_invalid it belongs to another holder")


@pytest.mark.parametrize(
    ("subject", "realm", "told"),
    [
        ("42", "city", None),
        ("43", "city", STRANGER),
        ("42", None, STRANGER),  # 42 of the railway's own customers
        ("42", "rail", STRANGER),
        ("42", "", STRANGER),
        ("42", 7, _invalid("malformed the realm is no text")),
        ("42", ["city"], _invalid("malformed the realm is no text")),
    ],
)
def test_a_ticket_without_a_key_is_bound_by_number_and_realm(pilot, subject, realm, told):
    realm = getattr(pilot, realm).iss if realm in ("city", "rail") else realm
    ticket = _unbound(pilot, subject, realm=realm)
    if told is None:
        assert _read(pilot, ticket).issuer == "rail"
    else:
        assert _told(pilot, ticket) == told


def test_a_seller_binds_to_its_own_numbers_without_a_word(pilot):
    assert _read(pilot, _unbound(pilot, "42", pilot.city)).issuer == "city"
    assert _told(pilot, _unbound(pilot, "43", pilot.city)) == STRANGER


def test_a_key_binds_whatever_number_and_realm_are(pilot):
    assert _read(pilot, pilot.ticket(realm="https://elsewhere.example"))


@pytest.mark.parametrize("pinned", [frozenset(), frozenset({"https://other.example"})])
def test_a_realm_counts_only_where_it_is_pinned_to_the_identitys_key(pilot, pinned):
    """Otherwise the gym would put the ministry's name into iss, and 42 is a gym member too."""
    keys = pilot.trusting(pilot.city.issuer_key(iss=pinned), *pilot.keys.by_kid(pilot.rail.kid))
    claimed = next(iter(pinned), pilot.city.iss)
    message = cose.parse_sign1(pilot.credential(claims={Claim.ISS: claimed}))
    token = cwt.read_token(message, keys, pilot.rules())
    for realm, fits in ((claimed, bool(pinned)), (pilot.rail.iss, False)):
        ticket = _unbound(pilot, "42", realm=realm)
        if fits:
            assert read_ticket(ticket, token, keys, pilot.rules()).issuer == "rail"
        else:
            assert refused(read_ticket, ticket, token, keys, pilot.rules()) == STRANGER


def test_one_of_several_names_of_an_issuer_is_not_the_other(pilot):
    keys = pilot.trusting(
        pilot.city.issuer_key(iss=frozenset({pilot.city.iss, "https://old.example"})),
        *pilot.keys.by_kid(pilot.rail.kid),
    )
    token = cwt.read_token(cose.parse_sign1(pilot.credential()), keys, pilot.rules())
    ticket = _unbound(pilot, "42", realm="https://old.example")
    assert refused(read_ticket, ticket, token, keys, pilot.rules()) == STRANGER


CARD = {"kind": "library-card", "cti": b"card-0001", "subject": "42"}
ITSELF = _invalid("ticket_invalid it is the identity itself")


@pytest.mark.parametrize(
    ("seller", "change", "told"),
    [
        ("city", {}, ITSELF),
        ("city", {"cti": b"copy"}, ITSELF),  # issued anew, or for another phone's key
        ("city", {"kind": "rail-ticket"}, ITSELF),  # one number names one document
        ("city", {"subject": "43"}, ITSELF),
        ("city", {"cti": b"ticket", "kind": "rail-ticket"}, None),
        ("city", {"cti": b"ticket", "subject": "43"}, None),
        ("rail", {}, None),  # another issuer's numbers say nothing of this one's
    ],
)
def test_a_credential_is_never_its_own_ticket(pilot, seller, change, told):
    fields = CARD | change
    ticket = issue.sign_ticket(
        getattr(pilot, seller), pilot.holder, issued_at=NOW, valid_until=NOW + 9, **fields
    )
    card = pilot.credential(kind="library-card")
    if told is None:
        assert _read(pilot, ticket, card).reference == fields["cti"]
    else:
        assert _told(pilot, ticket, card) == told


def test_the_very_bytes_of_the_identity_are_no_ticket(pilot):
    card = pilot.credential(kind="library-card")
    assert _told(pilot, card, card) == ITSELF


@pytest.mark.parametrize("audience", ["station/g1", "station", "*", ["museum", "station"]])
def test_a_ticket_for_here_is_taken(pilot, audience):
    assert _read(pilot, pilot.ticket(claims={Claim.AUD: audience}))


@pytest.mark.parametrize("audience", ["station/g2", "museum", "", 7, [], ["museum"], None])
def test_a_ticket_for_elsewhere_is_refused(pilot, audience):
    told = _told(pilot, pilot.ticket(claims={Claim.AUD: audience}))
    assert told == _invalid("wrong_audience the issuer made it out to another place")


def test_a_tickets_regions_are_read(pilot):
    assert _read(pilot, pilot.ticket(regions=["DE-BE", "DE-BB"])).regions == {"DE-BE", "DE-BB"}
    told = _told(pilot, pilot.ticket(claims={Claim.REGIONS: []}))
    assert told == _invalid("malformed regions are no list of 1 to 64")


@pytest.mark.parametrize(
    ("ticket", "words"),
    [
        (lambda pilot: "text", "no byte string"),
        (lambda pilot: {}, "no byte string"),
        (lambda pilot: b"\x80", "malformed COSE: not tagged as a COSE_Sign1"),
        (lambda pilot: pilot.ticket(valid_until=NOW - 1), "expired"),
        (lambda pilot: pilot.ticket(claims={Claim.CTI: "t"}), "malformed CWT: cti is of another type"),
        (lambda pilot: pilot.ticket(claims={Claim.CNF: {1: 7}}), "malformed cnf holds no COSE_Key"),
        (lambda pilot: pilot.ticket(claims={Claim.STATUS: 1}), "malformed CWT: status is no reference to a status list"),
    ],
)  # fmt: skip
def test_the_log_says_what_was_wrong(pilot, ticket, words):
    assert _told(pilot, ticket(pilot)) == _invalid(words)


@pytest.mark.parametrize(
    "details",
    [None, 7, [], {"train": [1]}, {"quiet": True}, {7: "x"}, {"class": None}, {"a": b"b"}],
)
def test_details_of_another_shape(pilot, details):
    told = _told(pilot, pilot.ticket(details=None, claims={Claim.DETAILS: details}))
    assert told == _invalid("malformed details are no map of text to text or integer")


def test_without_a_clock_it_is_not_the_tickets_fault(pilot):
    told = _told(pilot, pilot.ticket(), clock_trusted=False)
    assert told == (Reason.CLOCK_UNTRUSTED, "validity cannot be judged")
