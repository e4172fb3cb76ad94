"""The token endpoint: every refusal by its name, tries, refresh."""

from __future__ import annotations

import pytest

from agent.desk.members import Members
from agent.desk.offers import Offers, Purpose
from tests.support.phones import PRE_AUTHORIZED

DAY = 86_400


def wrong(offer) -> str:
    return f"{(int(offer.transaction_code) + 1) % 10**6:06}"


def test_a_token_is_a_bearers_for_five_minutes(phone, offer):
    got = phone.redeem(offer.code, offer.transaction_code)
    assert got.headers["cache-control"] == "no-store"
    answer = got.json()
    assert set(answer) == {"access_token", "token_type", "expires_in", "refresh_token"}
    assert (answer["token_type"], answer["expires_in"]) == ("Bearer", 300)


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({}, "invalid_request"),
        ({"grant_type": ""}, "invalid_request"),
        ({"grant_type": "authorization_code"}, "unsupported_grant_type"),
        ({"grant_type": PRE_AUTHORIZED}, "invalid_request"),
        ({"grant_type": PRE_AUTHORIZED, "pre-authorized_code": "x"}, "invalid_grant"),
        ({"grant_type": PRE_AUTHORIZED, "pre-authorized_code": "x" * 999}, "invalid_grant"),
        ({"grant_type": "refresh_token"}, "invalid_request"),
        ({"grant_type": "refresh_token", "refresh_token": "x"}, "invalid_grant"),
    ],
)
def test_refusals_by_name(web, form, error):
    got = web.post("/token", data=form)
    assert (got.status_code, got.json()["error"]) == (400, error)
    assert got.headers["cache-control"] == "no-store"


def test_a_parameter_twice_is_refused(web, offer):
    body = f"grant_type={PRE_AUTHORIZED}&pre-authorized_code={offer.code}&pre-authorized_code=x"
    assert web.post("/token", content=body).json()["error"] == "invalid_request"


@pytest.mark.parametrize("typed", [None, ""])
def test_a_transaction_code_that_is_missing(phone, offer, typed):
    got = phone.redeem(offer.code, typed)
    if typed is None:
        assert got.json()["error"] == "invalid_request"
        assert got.json()["idgate_reason"] == "transaction_missing"
    else:
        assert got.json()["tries_left"] == 4
    assert phone.redeem(offer.code, offer.transaction_code).status_code == 200


def test_one_that_is_not_expected(desk, phone, member):
    bare = Offers(desk).create(
        member, purpose=Purpose.SELF, kind="library-card", level=1, who="self",
        transaction_code=False,
    )  # fmt: skip
    got = phone.redeem(bare.code, "123456")
    assert (got.json()["error"], got.json()["idgate_reason"]) == (
        "invalid_request", "transaction_unexpected",
    )  # fmt: skip
    assert phone.redeem(bare.code).status_code == 200


def test_guesses_are_counted_told_and_then_locked(phone, offer):
    guesses = [wrong(offer), "x" * 9, "0" * 13, "\uff11\uff12\uff13\uff14\uff15\uff16"]
    told = [phone.redeem(offer.code, guess).json() for guess in guesses]
    assert [one["tries_left"] for one in told] == [4, 3, 2, 1]
    assert {one["error"] for one in told} == {"invalid_grant"}
    last = phone.redeem(offer.code, wrong(offer)).json()
    assert (last["error"], last["idgate_reason"]) == ("invalid_grant", "locked")
    assert "tries_left" not in last
    right = phone.redeem(offer.code, offer.transaction_code).json()
    assert right["idgate_reason"] == "locked"


def test_a_replayed_offer_is_told_as_used(phone, offer):
    phone.redeem(offer.code, offer.transaction_code)
    again = phone.redeem(offer.code, offer.transaction_code).json()
    assert (again["error"], again["idgate_reason"]) == ("invalid_grant", "used")


def test_an_access_token_is_over_after_five_minutes(phone, offer, desk_clock):
    phone.redeem(offer.code, offer.transaction_code)
    proofs = phone.proofs()
    desk_clock.now += 300
    got = phone.fetch(proofs={"jwt": proofs})
    assert (got.status_code, got.json()["error"]) == (401, "invalid_token")
    assert got.headers["www-authenticate"] == 'Bearer error="invalid_token"'


@pytest.mark.parametrize("header", [None, "Bearer", "Bearer ", "Basic abc", "Bearer " + "x" * 999])
def test_who_has_no_token(web, header):
    for path in ("/credential", "/notification"):
        got = web.post(path, json={}, headers={"Authorization": header} if header else {})
        assert (got.status_code, got.json()["error"]) == (401, "invalid_token")


def test_a_refresh_token_is_no_access_token_nor_the_other_way(phone, offer):
    phone.redeem(offer.code, offer.transaction_code)
    kept = dict(phone.token)
    phone.token = {"access_token": kept["refresh_token"]}
    assert phone.fetch().status_code == 401
    phone.token = {"refresh_token": kept["access_token"]}
    assert phone.refresh().json()["error"] == "invalid_grant"


def test_refreshing_goes_on_and_keeps_the_same_token(phone, offer, desk_clock):
    phone.take(offer.uri, offer.transaction_code)
    first = phone.token["refresh_token"]
    for _ in range(3):
        desk_clock.now += 100 * DAY
        assert phone.refresh().status_code == 200
        assert phone.token["refresh_token"] == first


def test_a_phone_that_was_away_for_too_long_asks_the_desk(phone, offer, desk_clock):
    phone.take(offer.uri, offer.transaction_code)
    desk_clock.now += (90 + 30) * DAY
    assert phone.refresh().json()["error"] == "invalid_grant"


def test_who_was_erased_or_left_refreshes_nothing(desk, phone, offer, member, desk_clock):
    phone.take(offer.uri, offer.transaction_code)
    desk_clock.now += 100 * DAY
    assert phone.refresh().status_code == 200
    Members(desk).erase(member.reference, "mo")
    assert phone.refresh().json()["error"] == "invalid_grant"


def test_a_membership_that_is_over_refreshes_nothing(phone, offer, desk_clock):
    phone.take(offer.uri, offer.transaction_code)
    for _ in range(4):
        desk_clock.now += 91 * DAY
        got = phone.refresh()
    assert got.status_code == 200
    desk_clock.now += DAY + 1
    assert phone.refresh().json()["error"] == "invalid_grant"


def test_an_offer_that_is_killed_after_the_token_brings_nothing(desk, phone, offer):
    phone.redeem(offer.code, offer.transaction_code)
    Offers(desk).kill(offer.id, who="mo")
    assert phone.fetch().status_code == 401
    assert phone.refresh().json()["error"] == "invalid_grant"


def test_one_that_was_issued_is_killed_no_more(desk, phone, offer):
    phone.take(offer.uri, offer.transaction_code)
    Offers(desk).kill(offer.id, who="mo")
    assert phone.refresh().status_code == 200


def test_sweeping_takes_tokens_that_nobody_used(desk, phone, offer, desk_clock):
    phone.redeem(offer.code, offer.transaction_code)
    desk_clock.now += 301
    Offers(desk).sweep(desk_clock.now)
    assert Offers(desk).state(offer.id).state == "expired"
    assert phone.refresh().json()["error"] == "invalid_grant"
