"""Notifications and what they do: accepted, failure, deleted, silence."""

from __future__ import annotations

import pytest

from agent.desk.credentials import Credentials
from agent.desk.offers import Offers, Purpose
from agent.desk.statuses import Form, Status
from agent.issuing.keys import Holder
from tests.support.phones import Phone

VALID, REVOKED = Status.VALID, Status.REVOKED


@pytest.fixture
def basic(desk, web, member) -> Phone:
    """A phone with a batch of three basic cards."""
    made = Offers(desk).create(
        member, purpose=Purpose.SELF, kind="library-card", level=1, who="self",
        transaction_code=False,
    )  # fmt: skip
    phone = Phone(web, [Holder.new() for _ in range(3)])
    phone.take(made.uri)
    return phone


@pytest.fixture
def upgraded(desk, web, member, basic) -> Phone:
    """The same phone, an upgrade for its second key fetched and nothing said yet."""
    made = Offers(desk).create(
        member, purpose=Purpose.UPGRADE, kind="library-card", level=2, who="mo",
        holder=basic.holders[1].thumbprint(),
    )  # fmt: skip
    phone = Phone(web, [basic.holders[1]])
    phone.redeem(made.code, made.transaction_code)
    assert phone.fetch().status_code == 200
    return phone


def states(desk, member):
    return [row.status for row in reversed(Credentials(desk).of_member(member.reference))]


def test_the_same_again_is_no_error_and_changes_nothing(desk, basic):
    with desk.store.read() as connection:
        before = len(desk.journal.read(connection))
    for _ in range(3):
        assert basic.notify().status_code == 204
    with desk.store.read() as connection:
        assert len(desk.journal.read(connection)) == before


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ({}, "invalid_notification_request"),
        ({"notification_id": "x"}, "invalid_notification_request"),
        ({"event": "credential_accepted"}, "invalid_notification_request"),
        ({"notification_id": "x", "event": "other"}, "invalid_notification_request"),
        ({"notification_id": 7, "event": "credential_accepted"}, "invalid_notification_request"),
        ({"notification_id": "x", "event": "credential_accepted"}, "invalid_notification_id"),
        ({"notification_id": "x" * 999, "event": "credential_deleted"}, "invalid_notification_id"),
    ],
)
def test_refusals_by_name(basic, said, error):
    got = basic.web.post("/notification", json=said, headers=basic.bearer())
    assert (got.status_code, got.json()["error"]) == (400, error)


def test_anothers_notification_id_is_none(basic, upgraded):
    got = basic.notify(name=upgraded.answer["notification_id"])
    assert got.json()["error"] == "invalid_notification_id"


def test_an_upgrade_leaves_the_old_ones_until_the_phone_has_it(desk, member, upgraded):
    assert states(desk, member) == [VALID, VALID, VALID, VALID]
    assert upgraded.notify().status_code == 204
    assert states(desk, member) == [REVOKED, REVOKED, REVOKED, VALID]


def test_an_upgrade_that_failed_leaves_what_was_there(desk, member, upgraded):
    assert upgraded.notify("credential_failure").status_code == 204
    assert states(desk, member) == [VALID, VALID, VALID, REVOKED]
    assert upgraded.notify("credential_accepted").status_code == 204  # too late, and no error
    assert states(desk, member) == [VALID, VALID, VALID, REVOKED]


def test_silence_counts_as_accepted_once_the_token_is_over(desk, member, upgraded, desk_clock):
    desk_clock.now += 299
    Offers(desk).sweep(desk_clock.now)
    assert states(desk, member) == [VALID, VALID, VALID, VALID]
    desk_clock.now += 1
    Offers(desk).sweep(desk_clock.now)
    assert states(desk, member) == [REVOKED, REVOKED, REVOKED, VALID]


def test_fetched_again_an_upgrade_replaces_the_same(desk, member, upgraded, desk_clock):
    upgraded.fetch()
    desk_clock.now += 300
    Offers(desk).sweep(desk_clock.now)
    assert states(desk, member) == [REVOKED, REVOKED, REVOKED, REVOKED, VALID]


def test_another_phone_and_a_printed_card_stay(desk, web, member, basic, upgraded):
    made = Offers(desk).create(
        member, purpose=Purpose.ISSUE, kind="library-card", level=1, who="mo"
    )
    Phone(web).take(made.uri, made.transaction_code)
    with desk.store.write() as connection:
        Credentials(desk).sign(
            connection, member, kind="library-card", level=1, holder=None, form=Form.CARD,
            issued_by="mo", now=desk.clock(),
        )  # fmt: skip
    upgraded.notify()
    assert states(desk, member) == [REVOKED, REVOKED, REVOKED, VALID, VALID, VALID]


def test_what_was_replaced_is_refreshed_no_more(basic, upgraded):
    assert basic.refresh().status_code == 200
    upgraded.notify()
    assert basic.refresh().json()["error"] == "invalid_grant"
    assert upgraded.refresh().status_code == 200


def test_a_card_that_was_deleted_is_withdrawn(desk, member, basic, desk_clock):
    desk_clock.now += 86_400
    name = basic.answer["notification_id"]
    assert basic.notify("credential_deleted").status_code == 401  # the token is long over
    basic.refresh()
    assert basic.notify("credential_deleted", name).status_code == 204
    assert states(desk, member) == [REVOKED, REVOKED, REVOKED]
    with desk.store.read() as connection:
        last = desk.journal.read(connection, limit=2)
    assert [(row.who, row.action, row.detail) for row in last] == [
        ("self", "acknowledged", "credential_deleted"), ("self", "revoked", "credentials: 3"),
    ]  # fmt: skip


def test_what_was_accepted_waits_for_nothing_any_more(desk, basic):
    with desk.store.read() as connection:
        left = connection.exec_driver_sql(
            "SELECT count(*) FROM access WHERE sealed IS NOT NULL"
        ).scalar()
    assert left == 0
