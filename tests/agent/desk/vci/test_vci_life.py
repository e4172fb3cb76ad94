"""One card's life, on SQLite and on PostgreSQL: made at home, upgraded at the desk, refreshed, over."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

import pytest

from agent.desk.credentials import Credentials
from agent.desk.invitations import Invitations
from agent.desk.members import Members
from agent.desk.offers import Offers
from agent.desk.statuses import Status
from agent.desk.upgrading import Upgrades
from agent.desk.vci.app import issuer_app
from agent.issuing.issue import face_template, present
from agent.issuing.keys import Holder
from tests.support.asgi import talking_to
from tests.support.desks import DAY, DeskClock, a_desk
from tests.support.phones import Phone, b64url
from tests.support.postgresql import new_database

VALID, REVOKED, SUSPENDED = Status.VALID, Status.REVOKED, Status.SUSPENDED


@pytest.fixture(params=["sqlite", "postgresql"])
def clocked(request, tmp_path):
    kind = request.param
    url = "" if kind == "sqlite" else new_database(request.getfixturevalue("postgres"))
    clock = DeskClock()
    desk = a_desk(tmp_path / "desk", clock, database=url)
    yield desk, clock
    desk.close()


def test_from_an_invitation_to_the_end(clocked):
    desk, clock = clocked
    with talking_to(issuer_app(desk), "https://desk.localhost:8444") as web:
        phone = Phone(web, [Holder.new() for _ in range(3)])

        # at home
        link = Invitations(desk).create("library-card", who="mo")
        path = urlsplit(unquote(link.partition("#invitation=")[2])).path
        sent = {"name": "Ada", "consent": {"version": "1", "given": True}}
        uri = web.post(path, json=sent).json()["credential_offer_uri"]
        phone.take(f"openid-credential-offer://?credential_offer_uri={uri}")
        member = Members(desk).page()[0]

        def states():
            return [row.status for row in reversed(Credentials(desk).of_member(member.reference))]

        assert states() == [VALID] * 3

        # at the desk: the second of the three is on the screen
        clock.now += DAY
        shown = phone.credentials[1], phone.holders[1]
        code = present(*shown, at=clock.now, audience="library/main")
        seen = Upgrades(desk).read_presentation(code)
        assert seen.member.reference == member.reference
        offer = Upgrades(desk).offer(
            seen, who="mo", evidence="passport", references=[face_template(bytes(128), "m")]
        )
        phone.holders = [phone.holders[1]]
        phone.take(offer.uri, offer.transaction_code)
        assert states() == [REVOKED] * 3 + [VALID]
        assert Members(desk).get(member.reference).person.level == 2

        # before it is over
        clock.now += 300 * DAY
        upgraded = phone.credentials[0]
        phone.refresh()
        assert phone.fetch(idgate_previous=b64url(upgraded)).status_code == 200
        assert phone.notify().status_code == 204
        assert states() == [REVOKED] * 3 + [VALID] * 2

        # lost
        Credentials(desk).phone_lost(member.reference, "mo")
        assert states() == [REVOKED] * 5
        assert phone.refresh().json()["error"] == "invalid_grant"

        # and forgotten
        clock.now += 100 * DAY
        Credentials(desk).sweep()
        assert Offers(desk).sweep(clock.now) == []
        assert states() == [REVOKED] * 2  # of the first three nothing is left
        with desk.store.read() as connection:
            assert desk.journal.verify(connection) is None
            left = connection.exec_driver_sql("SELECT count(*) FROM delivery").scalar()
        assert left == 2
