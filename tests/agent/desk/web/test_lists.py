"""Import with its dry run, and the export."""

from __future__ import annotations

import pytest

from agent.desk.members import Members
from agent.desk.staff import Role
from tests.support.desks import a_person

CSV = b"name;number;e-mail\nAda;1;ada@example.org\nGrace;2;\n;3;\n"


def upload(seat, data=CSV, name="members.csv"):
    return seat.post("/import", files={"file": (name, data, "text/csv")})


def test_nothing_happens_before_the_yes(seats, issuer):
    shown = upload(issuer)
    assert shown.status_code == 200
    assert "Nothing has been changed yet" in shown.text
    assert "<b>2</b> new" in shown.text
    assert "<b>1</b> cannot be taken" in shown.text
    assert Members(seats.desk).count() == 0
    done = issuer.post("/import/apply", data={"without_wrong": "yes"})
    assert done.headers["location"].startswith("/members?done=imported")
    assert Members(seats.desk).count() == 2
    assert seats.journal()[0][:2] == (issuer.name, "imported")


def test_wrong_rows_need_a_word(seats, issuer):
    upload(issuer)
    assert issuer.post("/import/apply").status_code == 422
    assert Members(seats.desk).count() == 0


def test_plan_is_of_who_saw_it_once_and_not_for_ever(seats, issuer, desk_clock):
    upload(issuer)
    assert (
        seats.of(Role.ISSUER).post("/import/apply", data={"without_wrong": "yes"}).status_code
        == 400
    )
    desk_clock.now += 900
    assert issuer.post("/import/apply", data={"without_wrong": "yes"}).status_code == 400
    upload(issuer)
    issuer.post("/import/apply", data={"without_wrong": "yes"})
    assert issuer.post("/import/apply", data={"without_wrong": "yes"}).status_code == 400
    assert Members(seats.desk).count() == 2


def test_sign_out_forgets_the_plan(seats, issuer):
    upload(issuer)
    issuer.post("/signout")
    assert issuer.post("/import/apply").headers["location"] == "/signin"


@pytest.mark.parametrize(
    "name",
    [
        "../../etc/passwd",
        "C:\\x\\members.csv",
        "a\0.csv",
        "<script>alert(1)</script>.csv",
        "x" * 5_000,
        "",
    ],
)
def test_file_name_means_nothing(seats, issuer, name):
    got = upload(issuer, name=name)
    assert got.status_code in {200, 400}
    assert "<script>alert" not in got.text


@pytest.mark.parametrize("data", [b"", b"\0\0\0", b"PK\x03\x04 no zip", b"\xff\xfe\xff"])
def test_file_that_is_none(seats, issuer, data):
    assert upload(issuer, data).status_code in {400, 422}


def test_file_that_is_too_large(issuer):
    assert upload(issuer, b"a" * (17 << 20)).status_code == 413


def test_export_is_guarded_and_journaled(seats, issuer):
    Members(seats.desk).add(a_person("=HYPERLINK(1)", number="7"), "x")
    got = issuer.post("/export")
    assert got.headers["content-disposition"] == 'attachment; filename="members.csv"'
    assert "'=HYPERLINK(1)" in got.text
    assert seats.journal()[0][:2] == (issuer.name, "exported")
    assert issuer.get("/export").status_code == 405
