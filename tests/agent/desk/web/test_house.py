"""Gates, invitations, staff, journal and help."""

from __future__ import annotations

import base64
import dataclasses
import json
import re

import msgspec
import pytest

from agent.desk.invitations import Invitations
from agent.desk.staff import Role, Staff
from tests.support.databases import edited
from tests.support.desk_seats import seats_of, text_of


def test_gate_is_expected_by_a_link_shown_once(seats, issuer):
    made = issuer.post("/gates", data={"name": "main", "profile": "library"})
    link = re.search(r"idgate join '(.*?)'", made.text).group(1)
    assert link.startswith("https://desk.localhost:8444/join/")
    file = made.text.split('href="data:application/json;base64,')[1].split('"')[0]
    assert json.loads(base64.b64decode(file))["link"] == link
    page = issuer.get("/gates")
    assert "expected" in text_of(page)
    assert link not in page.text
    assert seats.journal()[0] == (issuer.name, "gate-invited", "main", "")
    issuer.post("/gates/main/remove")
    assert "No gate is expected yet" in issuer.get("/gates").text


@pytest.mark.parametrize(
    "form",
    [{"name": ""}, {"name": "A"}, {"name": 'x"\n[mqtt]'}, {"name": "a/b"}, {"name": "g", "profile": 'x"'},
     {"name": "g", "profile": "../x"}],
)  # fmt: skip
def test_gate_that_is_none(issuer, form):
    assert issuer.post("/gates", data=form).status_code in {400, 422}


def test_states_that_cannot_be_read_are_told(desk):
    settings = msgspec.structs.replace(desk.settings, collector="nothing.sqlite")
    with seats_of(dataclasses.replace(desk, settings=settings)) as seats:
        page = seats.of(Role.AUDITOR).get("/gates")
        assert page.status_code == 200
        assert "no such database" in page.text


def test_invitation_for_whoever_has_it(seats, clerk):
    made = clerk.post("/invitations", data={"kind": "library-card", "uses": "30", "days": "7"})
    link = re.search(r"https://desk\.localhost:8445/#invitation=\S+", made.text).group(0)
    assert seats.journal()[0] == (clerk.name, "invited", "", "library-card uses 30 days 7")
    assert link not in clerk.get("/invitations").text
    assert "was ended" in clerk.post("/invitations/end", data={"link": link}).text
    assert "no such invitation" in clerk.post("/invitations/end", data={"link": link}).text


def test_invitation_for_a_member_is_a_text_to_send(seats, clerk, ada):
    made = clerk.post(f"/members/{ada.reference}/invite")
    assert "mailto:ada%40example.org?subject=Your%20card%20of%20Town%20Library" in made.text
    link = re.search(r"https://desk\.localhost:8445/#invitation=(\S+)", made.text).group(1)
    code = link.rpartition("%2F")[2]
    assert Invitations(seats.desk).ask(code).kind == "library-card"


@pytest.mark.parametrize(
    ("form", "status"),
    [({"kind": "x"}, 400), ({"kind": "library-card", "uses": "x"}, 400), ({"kind": "passport"}, 422),
     ({"kind": "library-card", "uses": "0"}, 422), ({"kind": "library-card", "days": "999"}, 422)],
)  # fmt: skip
def test_invitation_that_is_not_made(clerk, form, status):
    assert clerk.post("/invitations", data=form).status_code == status


@pytest.mark.parametrize(
    "link", ["", "x", "https://[", "https://desk.localhost:8445/#invitation=%00"]
)
def test_link_that_is_none(clerk, link):
    assert clerk.post("/invitations/end", data={"link": link}).status_code in {200, 400}


def test_staff_by_the_pages(seats, issuer):
    made = issuer.post("/staff", data={"name": "ada", "role": ["clerk", "auditor"]})
    assert "https://desk.localhost:8443/welcome#" in made.text
    assert "welcome#" not in issuer.get("/staff").text
    issuer.post("/staff/ada/roles", data={"role": "auditor"})
    assert "welcome#" in issuer.post("/staff/ada/invite").text
    issuer.post("/staff/ada/end")
    (ada,) = [each for each in Staff(seats.desk).all() if each.name == "ada"]
    assert ada.ended_at is not None
    assert [row[1] for row in seats.journal(4)] == [
        "staff-ended", "invited", "staff-changed", "staff-added",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("path", "form", "status"),
    [("/staff", {"name": "A", "role": "clerk"}, 422), ("/staff", {"name": "a"}, 422),
     ("/staff", {"name": "a", "role": "king"}, 400), ("/staff/nobody/end", {}, 422),
     ("/staff/nobody/invite", {}, 422), ("/staff/nobody/roles", {"role": "clerk"}, 422)],
)  # fmt: skip
def test_staff_form_that_is_wrong(issuer, path, form, status):
    assert issuer.post(path, data=form).status_code == status


def test_auditor_sees_staff_and_changes_nothing(seats):
    auditor = seats.of(Role.AUDITOR)
    page = auditor.get("/staff").text
    assert auditor.name in page
    assert '<form method="post" action="/staff' not in page
    assert 'href="/members"' not in page


def test_journal_names_nobody_and_knows_when_it_was_changed(seats, clerk):
    clerk.post("/members/new", data={
        "name": "Ada Lovelace", "kind": "library-card", "level": "1", "valid_until": "2027-12-31",
    })  # fmt: skip
    auditor = seats.of(Role.AUDITOR)
    page = auditor.get("/journal?check=yes")
    assert "member-added" in page.text
    assert "Lovelace" not in page.text
    assert "Every row is as it was written" in page.text
    with edited(seats.desk.settings.path("desk.sqlite")) as database:
        database.execute("UPDATE audit SET who = 'somebody' WHERE seq = 2")
    assert "changed or cut at row 2" in text_of(auditor.get("/journal?check=yes"))


def test_journal_turns_its_pages(seats, clerk):
    for _ in range(105):
        clerk.get("/staff")
    auditor = seats.of(Role.AUDITOR)
    first = auditor.get("/journal").text
    assert first.count("denied") == 100 - 2
    before = first.split('href="/journal?before=')[1].split('"')[0]
    assert auditor.get(f"/journal?before={before}").text.count("<tr>") > 5
    assert auditor.get("/journal?before=x").status_code == 200


@pytest.mark.parametrize(
    ("role", "where"),
    [(Role.CLERK, "/members"), (Role.ISSUER, "/members"), (Role.AUDITOR, "/journal")],
)
def test_home_is_what_one_is_there_for(seats, role, where):
    assert seats.of(role).get("/").headers["location"] == where


def test_help(clerk):
    assert "The phone is lost" in clerk.get("/help").text
