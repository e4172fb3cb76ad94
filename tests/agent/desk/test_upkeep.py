"""What the desk forgets and publishes by itself, and the broker's list of rights."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from agent.desk.broker import make_broker
from agent.desk.credentials import Credentials, Form
from agent.desk.desk import Desk
from agent.desk.members import Members
from agent.desk.offers import Offers, OfferState, Purpose
from agent.desk.person import Person
from agent.desk.staff import Role, Staff
from agent.desk.tables import credentials, members, offers, sessions, staff, staff_invitations
from agent.desk.upkeep import InTime, forget_members, forget_secrets
from tests.agent.desk.desk_folder import NOW, Clock, make
from tests.support.paths import ROOT

DAY = 86_400


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def desk(tmp_path: Path, clock: Clock) -> Iterator[Desk]:
    made = make(tmp_path / "desk", clock=clock)
    yield made
    made.close()


def count(desk: Desk, table: sa.Table) -> int:
    with desk.store.read() as connection:
        return int(connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one())


def offered(desk: Desk, purpose: Purpose) -> tuple[str, int]:
    person = Person("Ada", valid_until=desk.clock() + 30 * DAY)
    member = Members(desk).add(person, "desk")
    made = Offers(desk).create(
        member, purpose=purpose, kind="library-card", level=1, who="self", transaction_code=False
    )
    return member.reference, made.id


def test_invitations_and_sessions_go_when_their_time_is_over(desk: Desk, clock: Clock) -> None:
    work = Staff(desk)
    work.add("mo", [Role.CLERK], who="desk")
    with desk.store.write() as connection:
        number = connection.execute(sa.select(staff.c.id)).scalar_one()
        work.begin(connection, number, "mo")
    rules = desk.settings.rules
    forget_secrets(desk)
    assert (count(desk, staff_invitations), count(desk, sessions)) == (1, 1)
    clock.now += rules.session_s - 1
    forget_secrets(desk)
    assert count(desk, sessions) == 1
    clock.now += 1
    forget_secrets(desk)
    assert (count(desk, staff_invitations), count(desk, sessions)) == (1, 0)
    clock.now = NOW + rules.invitation_days * DAY
    forget_secrets(desk)
    assert count(desk, staff_invitations) == 0


def test_who_never_took_the_card_that_they_made_is_forgotten(desk: Desk, clock: Clock) -> None:
    alone, _ = offered(desk, Purpose.SELF)
    invited, offer = offered(desk, Purpose.ISSUE)
    assert forget_secrets(desk) == 0
    clock.now += desk.settings.rules.offer_s
    assert forget_secrets(desk) == 1
    assert Offers(desk).state(offer).state is OfferState.EXPIRED
    assert Members(desk).get(invited).person.name == "Ada"  # the desk knows them: they stay
    gone = Members(desk).get(alone)
    assert gone.ended_at == clock.now
    assert gone.person.name == ""
    assert forget_secrets(desk) == 0


def test_members_and_their_cards_go_after_the_days_of_the_rule(desk: Desk, clock: Clock) -> None:
    member = Members(desk).add(Person("Ada", valid_until=NOW + DAY), "desk")
    with desk.store.write() as connection:
        Credentials(desk).sign(
            connection, member, kind="library-card", level=1, holder=None, form=Form.CARD,
            issued_by="desk", now=NOW,
        )  # fmt: skip
    clock.now = NOW + (1 + desk.settings.rules.keep_days) * DAY
    assert (forget_members(desk).members, count(desk, members)) == (0, 1)
    clock.now += 1
    gone = forget_members(desk)
    assert (gone.members, gone.credentials) == (1, 1)
    assert (count(desk, credentials), count(desk, offers), count(desk, members)) == (0, 0, 0)


def test_what_is_due_is_done_at_once_then_in_time_and_again_after_a_failure(clock: Clock) -> None:
    done: list[int] = []
    fails = True

    def work() -> None:
        done.append(clock.now)
        if fails:
            raise OSError("no disk")

    due = InTime(work, clock, 100)
    for _ in range(2):
        with pytest.raises(OSError, match="no disk"):
            due()
    fails = False
    for later in (0, 1, 99, 100, 101, 199, 200):
        clock.now = NOW + later
        due()
    assert [at - NOW for at in done] == [0, 0, 0, 100, 200]


def test_the_brokers_rights_are_those_of_the_fleets_page_and_the_desks_own(tmp_path: Path) -> None:
    make_broker(tmp_path / "broker", "localhost", 8883, site="lib", now=NOW)

    def rights(text: str) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {"": set()}
        user = ""
        for line in text.splitlines():
            if line.startswith("user "):
                user = line.removeprefix("user ")
                found[user] = set()
            elif line and not line.startswith("#"):
                found[user].add(line)
        return found

    ours = rights((tmp_path / "broker/acl").read_text())
    page = rights((ROOT / "docs/fleet/acl").read_text())
    assert ours.pop("desk") == {
        "topic write gates/v1/+/+/cmd/update",
        "topic read gates/v1/+/+/rsp/update",
    }
    del page["caretaker"]  # who retires gates has a certificate made for it
    assert ours == page
    for line in (tmp_path / "broker/mosquitto.conf").read_text().splitlines():
        if line.split(" ")[0] in ("cafile", "certfile", "keyfile", "acl_file"):
            assert Path(line.split(" ", 1)[1]).is_file()
