"""Upgrade in person: which codes the desk takes, and what it offers for them."""

from __future__ import annotations

import pytest

from agent.desk.credentials import Credentials
from agent.desk.members import Members
from agent.desk.offers import Offers
from agent.desk.upgrading import UpgradeError, Upgrades
from agent.issuing.issue import face_template, present
from agent.issuing.keys import Holder
from tests.support.desks import NOW, a_desk, a_person

TEMPLATE = bytes(range(128))
HOLDER = Holder.new()


@pytest.fixture
def member(desk):
    return Members(desk).add(a_person(), "mo")


def give(desk, member, **more):
    fields = {"kind": "library-card", "level": 1, "holder": HOLDER, "form": "phone"}
    with desk.store.write() as connection:
        return Credentials(desk).sign(
            connection, member, **(fields | more), issued_by="self", now=desk.clock()
        )


@pytest.fixture
def card(desk, member):
    return give(desk, member, references=[face_template(TEMPLATE, "m")])


def code(card, *, at=NOW, audience="library/main", holder=HOLDER, **more) -> str:
    return present(card.token, holder, at=at, audience=audience, **more)


@pytest.mark.parametrize("audience", ["library/main", "library/desk", "library", "library/*", "*"])
def test_a_phone_is_known_again(desk, member, card, audience):
    seen = Upgrades(desk).read_presentation(code(card, audience=audience) + "\n")
    assert (seen.member, seen.holder) == (member, HOLDER.thumbprint())
    assert seen.credential.cti == card.cti
    assert seen.references[0].data == TEMPLATE


def test_the_offer_that_follows_is_for_that_key_alone(desk, card):
    upgrades = Upgrades(desk)
    made = upgrades.offer(upgrades.read_presentation(code(card)), who="mo", evidence="passport")
    promise = Offers(desk).look(made.code)
    assert (promise.kind, promise.holder) == ("library-card", HOLDER.thumbprint())
    with desk.store.read() as connection:
        last = desk.journal.read(connection, limit=1)[0]
    assert (last.who, last.detail) == ("mo", "upgrade library-card level 2")


@pytest.mark.parametrize("evidence", ["", "Passport 12345"])
def test_the_kind_of_document_is_said_and_no_more(desk, card, evidence):
    upgrades = Upgrades(desk)
    with pytest.raises(UpgradeError, match="evidence"):
        upgrades.offer(upgrades.read_presentation(code(card)), who="mo", evidence=evidence)


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda c: present(c.token), "no phone signed"),
        (lambda c: code(c, at=NOW - 61), "too old"),
        (lambda c: code(c, at=NOW + 6), "clock is ahead"),
        (lambda c: code(c, audience="museum/main"), "another place"),
        (lambda c: code(c, audience="library.branch/main"), "another place"),
        (lambda c: code(c, holder=Holder.new()), "bad_holder_signature"),
        (lambda c: "NI1:", "malformed"),
        (lambda c: "NI1:" + "A" * 9_000, "too_large"),
        (lambda c: "HC1:ABC", "unknown_format"),
        (lambda c: "", "unknown_format"),
        (lambda c: "https://example.org/\ud800", "unknown_format"),
        (lambda c: code(c)[:-3], "malformed"),
    ],
)
def test_what_is_not_taken_says_why(desk, card, make, why):
    with pytest.raises(UpgradeError, match=why):
        Upgrades(desk).read_presentation(make(card))


def test_another_desks_card(desk, tmp_path):
    other = a_desk(tmp_path / "other")
    foreign = give(other, Members(other).add(a_person(), "mo"))
    other.close()
    with pytest.raises(UpgradeError, match="another issuer"):
        Upgrades(desk).read_presentation(code(foreign))


def test_each_code_counts_once_also_after_a_restart(desk, card, tmp_path):
    shown = code(card)
    Upgrades(desk).read_presentation(shown)
    desk.close()
    again = a_desk(tmp_path / "desk")
    with pytest.raises(UpgradeError, match="used already"):
        Upgrades(again).read_presentation(shown)
    assert Upgrades(again).read_presentation(code(card, at=NOW - 5)).credential.cti == card.cti
    again.close()


@pytest.mark.parametrize(("act", "why"), [("suspend", "suspended"), ("revoke", "revoked")])
def test_what_was_withdrawn_is_not_upgraded(desk, member, card, act, why):
    getattr(Credentials(desk), act)(member.reference, "mo")
    with pytest.raises(UpgradeError, match=why):
        Upgrades(desk).read_presentation(code(card))


def test_a_card_that_is_over(desk, desk_clock, card):
    desk_clock.now += 91 * 86_400
    with pytest.raises(UpgradeError, match="over"):
        Upgrades(desk).read_presentation(code(card, at=desk_clock.now))


def test_a_challenge_is_answered(desk, card):
    upgrades = Upgrades(desk)
    asked = upgrades.challenge()
    assert asked.link == (
        f"https://desk.localhost:8445/#place=library%2Fdesk&cnonce={asked.nonce.hex()}&need="
    )
    answer = code(card, audience="library/desk", challenge=asked.nonce)
    assert upgrades.read_presentation(answer, challenge=asked.nonce).credential.cti == card.cti
    for wrong in (code(card, at=NOW - 1), code(card, at=NOW - 1, challenge=b"12345678")):
        with pytest.raises(UpgradeError, match="scan that one first"):
            upgrades.read_presentation(wrong, challenge=asked.nonce)
