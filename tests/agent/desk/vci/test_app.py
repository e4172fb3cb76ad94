"""The issuer's origin: what a standard wallet does, and what a gate says of what it got."""

from __future__ import annotations

from agent.credential.model import FormatName
from agent.credential.registry import ReadRules, read
from agent.desk.offers import Offers, OfferState
from agent.issuing.issue import present
from tests.support.desks import NOW
from tests.support.key_sources import Unfiltered


def at_a_gate(desk, token, holder):
    code = present(token, holder, at=NOW, audience="library/main")
    rules = ReadRules(
        now=NOW,
        clock_trusted=True,
        site="library",
        gate="main",
        formats=frozenset({FormatName.NATIVE}),
    )
    return read(code.encode(), keys=Unfiltered([desk.issuer.issuer_key()]), rules=rules)


def test_a_phone_takes_a_card_that_a_gate_reads(desk, phone, offer, member):
    token = phone.take(offer.uri, offer.transaction_code)[0]
    seen = at_a_gate(desk, token, phone.holders[0])
    assert (seen.subject, seen.level, seen.kind, seen.dynamic) == (
        member.reference,
        1,
        "library-card",
        True,
    )
    assert Offers(desk).state(offer.id).state is OfferState.DONE
    assert Offers(desk).state(offer.id).acknowledged
