"""The business part: whose ticket it is, what may be one, and what the log says where it fails."""

from __future__ import annotations

from typing import Any

import pytest

from agent.credential import cose, cwt
from agent.credential.model import BusinessItem, Kind, StatusReference
from agent.credential.numbers import Claim
from agent.credential.ticket import read_ticket
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
        "rail", Kind.EVENT_TICKET, b"ticket-1", NOW - 30, NOW + 3600, status, details
    )


def test_a_ticket_needs_no_details(pilot):
    item = _read(pilot, pilot.ticket(details=None))
    assert (item.claims, item.status) == ({}, None)


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


def _unbound(pilot, subject: str) -> bytes:
    return issue.sign_ticket(pilot.rail, None, subject=subject, issued_at=NOW, valid_until=NOW + 9)


def test_a_ticket_without_a_key_is_bound_by_its_subject(pilot):
    assert _read(pilot, _unbound(pilot, "42")).issuer == "rail"
    told = _told(pilot, _unbound(pilot, "43"))
    assert told == _invalid("ticket_invalid it belongs to another holder")


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
