"""Offers: bearer's secrets that work once, guessed in vain, and wiped when they are over."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from agent.desk.credentials import Credentials
from agent.desk.members import Members
from agent.desk.offers import (
    Offer,
    OfferError,
    OfferPromise,
    Offers,
    OfferState,
    Purpose,
    Redeemed,
    Refusal,
)
from agent.desk.tables import offers as table
from agent.issuing.issue import face_template, finger_template
from tests.support.desks import a_person

TEMPLATE = bytes(range(128))


@pytest.fixture
def member(desk):
    return Members(desk).add(a_person(), "mo")


@pytest.fixture
def make(desk, member):
    def build(**more) -> Offer:
        fields = {"purpose": Purpose.ISSUE, "kind": "library-card", "level": 1, "who": "mo"}
        return Offers(desk).create(member, **(fields | more))

    return build


def redeem(desk, code, transaction_code=None):
    with desk.store.write() as connection:
        return Offers(desk).redeem(connection, code, transaction_code)


def sealed(desk, offer):
    with desk.store.read() as connection:
        return connection.execute(
            sa.select(table.c.sealed).where(table.c.id == offer.id)
        ).scalar_one()


def wrong(offer: Offer) -> str:
    return f"{(int(offer.transaction_code) + 1) % 10**6:06}"


def test_links_name_the_offer_and_where(make):
    offer = make()
    query = f"credential_offer_uri=https%3A%2F%2Fdesk.localhost%3A8444%2Foffers%2F{offer.code}"
    assert offer.uri == f"openid-credential-offer://?{query}"
    assert offer.wallet_link == f"https://desk.localhost:8445/#{query}"
    assert len(offer.code) == 22
    assert len(offer.transaction_code) == 6
    assert offer.transaction_code.isdigit()
    assert len(offer.uri) < 120  # version 7 at level L


def test_no_two_are_alike_and_nothing_secret_shows(make):
    made = [make() for _ in range(20)]
    assert len({offer.code for offer in made}) == 20
    assert len({offer.transaction_code for offer in made}) > 10
    assert made[0].code not in repr(made[0])
    assert made[0].transaction_code not in repr(made[0])


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"kind": "passport"}, "kind: allowed: library-card, online-id"),
        ({"level": 3}, "level"),
        ({"evidence": "passport 123"}, "evidence"),
        ({"references": [finger_template(bytes(1536), "r503")]}, "stays in the gate's module"),
    ],
)
def test_what_is_not_issued_is_not_offered(make, more, message):
    with pytest.raises(OfferError, match=message):
        make(**more)


def test_who_left_is_offered_nothing(desk, member, make):
    Members(desk).erase(member.reference, "mo")
    with pytest.raises(OfferError, match="left"):
        make()


def test_a_membership_that_is_over_is_offered_nothing(desk_clock, make):
    desk_clock.now += 366 * 86_400
    with pytest.raises(OfferError, match="membership is over"):
        make()


def test_it_works_once(desk, make):
    offer = make()
    first = redeem(desk, offer.code, offer.transaction_code)
    assert isinstance(first, Redeemed)
    assert redeem(desk, offer.code, offer.transaction_code) == (Refusal.USED, 0)
    assert Offers(desk).look(offer.code) is Refusal.USED


def test_a_wrong_transaction_code_uses_up_a_try_and_never_the_code(desk, make):
    offer = make(references=[face_template(TEMPLATE, "m")])
    for left in (4, 3, 2, 1):
        assert redeem(desk, offer.code, wrong(offer)) == (Refusal.TRANSACTION_WRONG, left)
    assert Offers(desk).state(offer.id).tries_left == 1
    found = redeem(desk, offer.code, offer.transaction_code)
    assert found.references[0].data == TEMPLATE


def test_the_fifth_guess_locks_it_for_good(desk, make):
    offer = make(references=[face_template(TEMPLATE, "m")])
    answers = [redeem(desk, offer.code, wrong(offer)) for _ in range(5)]
    assert answers[-1] == (Refusal.LOCKED, 0)
    assert redeem(desk, offer.code, offer.transaction_code) == (Refusal.LOCKED, 0)
    assert Offers(desk).state(offer.id).state is OfferState.LOCKED
    assert sealed(desk, offer) is None
    with desk.store.read() as connection:
        last = desk.journal.read(connection, limit=1)[0]
    assert (last.who, last.action, last.detail) == (
        "desk",
        "offer-killed",
        "wrong transaction codes",
    )


@pytest.mark.parametrize(
    ("asked", "given", "refusal"),
    [
        (True, None, Refusal.TRANSACTION_MISSING),
        (False, "123456", Refusal.TRANSACTION_UNEXPECTED),
    ],
)
def test_one_that_is_missing_or_not_expected_is_no_guess(desk, make, asked, given, refusal):
    offer = make(transaction_code=asked)
    assert redeem(desk, offer.code, given) == (refusal, 5)
    assert isinstance(redeem(desk, offer.code, offer.transaction_code), Redeemed)


def test_what_is_over_says_how(desk, desk_clock, make):
    expired, killed = make(), make()
    Offers(desk).kill(killed.id, who="mo")
    assert redeem(desk, killed.code, killed.transaction_code) == (Refusal.KILLED, 0)
    desk_clock.now = expired.expires_at
    assert redeem(desk, expired.code, expired.transaction_code) == (Refusal.EXPIRED, 0)
    assert Offers(desk).state(expired.id).state is OfferState.EXPIRED
    assert redeem(desk, "no such code", "123456") == (Refusal.UNKNOWN, 0)


def test_the_last_second_counts(desk, desk_clock, make):
    offer = make()
    desk_clock.now = offer.expires_at - 1
    assert isinstance(redeem(desk, offer.code, offer.transaction_code), Redeemed)


def test_killing_by_code_twice_or_too_late_changes_nothing(desk, make):
    offer = make(references=[face_template(TEMPLATE, "m")])
    Offers(desk).kill(offer.code, who="mo")
    assert sealed(desk, offer) is None
    Offers(desk).kill(offer.code, who="mo")
    with desk.store.read() as connection:
        rows = desk.journal.read(connection)
    assert [row.action for row in rows].count("offer-killed") == 1
    with pytest.raises(OfferError, match="no such offer"):
        Offers(desk).kill("unknown", who="mo")
    with pytest.raises(OfferError, match="no such offer"):
        Offers(desk).state(4711)


def test_a_template_is_sealed_with_a_code_that_the_desk_does_not_keep(desk, make, tmp_path):
    offer = make(references=[face_template(TEMPLATE, "model-1")])
    held = sealed(desk, offer)
    assert TEMPLATE not in held
    assert b"model-1" not in held
    desk.store.settle()
    data = b"".join(file.read_bytes() for file in (tmp_path / "desk").glob("desk.sqlite*"))
    assert held in data  # it is these files that are searched
    for secret in (TEMPLATE, offer.code.encode(), offer.transaction_code.encode()):
        assert secret not in data


def test_redeeming_wipes_what_waited(desk, make):
    offer = make(references=[face_template(TEMPLATE, "m")])
    redeem(desk, offer.code, offer.transaction_code)
    assert sealed(desk, offer) is None


def test_sweeping_wipes_what_expired_and_forgets_it_a_week_later(desk, desk_clock, make):
    offer = make(references=[face_template(TEMPLATE, "m")])
    Offers(desk).sweep(offer.expires_at - 1)
    assert sealed(desk, offer) is not None
    desk_clock.now = offer.expires_at
    Offers(desk).sweep(desk_clock.now)
    assert sealed(desk, offer) is None
    assert Offers(desk).look(offer.code) is Refusal.EXPIRED
    desk_clock.now += 7 * 86_400
    Offers(desk).sweep(desk_clock.now)
    assert Offers(desk).look(offer.code) is Refusal.UNKNOWN


def test_who_made_a_card_and_never_took_it_is_named_for_erasing(desk, desk_clock, member, make):
    make(purpose=Purpose.SELF)
    kept = Members(desk).add(a_person("Grace Hopper"), "mo")
    Offers(desk).create(kept, purpose=Purpose.ISSUE, kind="library-card", level=1, who="mo")
    assert Offers(desk).sweep(desk_clock.now) == []
    desk_clock.now += 601
    assert Offers(desk).sweep(desk_clock.now) == [member.reference]
    Members(desk).erase(member.reference, "desk")
    assert Offers(desk).sweep(desk_clock.now) == []


def test_an_open_offer_says_what_it_is_for(desk, make):
    assert Offers(desk).look(make(holder="ab").code) == OfferPromise("library-card", True, "ab")
    bare = make(transaction_code=False)
    assert bare.transaction_code is None
    assert Offers(desk).look(bare.code) == OfferPromise("library-card", False, "")


def test_a_lost_phone_takes_open_offers_with_it(desk, member, make):
    offer = make()
    Credentials(desk).phone_lost(member.reference, "mo")
    assert Offers(desk).look(offer.code) is Refusal.KILLED
