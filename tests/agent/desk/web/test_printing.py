"""Printed cards from the pages: the job, its progress, the sheet."""

from __future__ import annotations

import time

import pytest

from agent.desk.credentials import Credentials, Form, Status
from agent.desk.members import Members
from agent.desk.staff import Role
from tests.support.desks import a_person


def finished(seat, where):
    until = time.monotonic() + 30
    while time.monotonic() < until:
        found = seat.get(f"{where}/state").json()
        if found["over"]:
            return found
        time.sleep(0.02)
    raise TimeoutError(where)


def test_cards_for_who_has_none(seats, issuer):
    Members(seats.desk).add_all([a_person(f"Person {n}") for n in range(12)], "x")
    assert "<b>12</b>" in issuer.get("/cards").text
    where = issuer.post("/cards", data={"whose": "without", "layout": "a4"}).headers["location"]
    assert "<progress" in issuer.get(where).text
    assert finished(issuer, where) == {
        "done": 12,
        "total": 12,
        "over": True,
        "good": True,
        "line": "Done.",
    }
    sheet = issuer.get(f"{where}/sheet")
    assert sheet.text.count('<article class="card">') == 12
    assert "<style" not in sheet.text  # the policy would not take it
    style = sheet.text.split('rel="stylesheet" href="')[1].split('"')[0]
    assert "@page" in issuer.get(style).text
    assert "members without a printed card: <b>0</b>" in issuer.get("/cards").text
    assert issuer.post("/cards", data={"layout": "a4"}).status_code == 400


def test_card_of_one(seats, clerk, ada):
    where = clerk.post(f"/members/{ada.reference}/card", data={"layout": "id-1"}).headers[
        "location"
    ]
    assert finished(clerk, where)["good"]
    assert "Ada Lovelace" in clerk.get(f"{where}/sheet").text
    (row,) = Credentials(seats.desk).of_member(ada.reference)
    assert (row.form, row.status, row.issued_by) == (Form.CARD, Status.VALID, clerk.name)


def test_sheet_is_for_who_made_it(seats, clerk, ada):
    where = clerk.post(f"/members/{ada.reference}/card").headers["location"]
    finished(clerk, where)
    other = seats.of(Role.CLERK)
    for path in (where, f"{where}/state", f"{where}/sheet"):
        assert other.get(path).status_code == 400
    clerk.post(f"{where}/stop")
    assert clerk.get(f"{where}/sheet").status_code == 400


@pytest.mark.parametrize(
    "path", ["/cards/style/x", "/cards/style/..%2f..%2fdesk.py", "/cards/jobs/none"]
)
def test_what_is_not_there(issuer, path):
    assert issuer.get(path).status_code in {400, 404}
