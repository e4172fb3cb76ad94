"""The upgrade in person: a phone's code is read, a document seen, the offer bound to the phone."""

from __future__ import annotations

import io

import pytest
import segno

from agent.desk.credentials import Credentials
from agent.desk.staff import Role
from agent.desk.tables import offers
from agent.issuing.issue import face_template, present
from agent.issuing.keys import Holder
from tests.support.desk_seats import text_of
from tests.support.desks import NOW

HOLDER = Holder.new()


@pytest.fixture
def code(seats, ada):
    """A maker of codes of Ada's phone."""
    with seats.desk.store.write() as connection:
        card = Credentials(seats.desk).sign(
            connection, ada, kind="library-card", level=1, holder=HOLDER, form="phone",
            issued_by="self", now=NOW,
        )  # fmt: skip
    return lambda at=NOW: present(card.token, HOLDER, at=at, audience="library/main")


def last_offer(seats):
    with seats.desk.store.read() as connection:
        return connection.execute(offers.select().order_by(offers.c.id.desc())).first()


def test_upgrade_from_the_code_to_the_bound_offer(seats, clerk, ada, code):
    assert "Start the camera" in clerk.get("/upgrade").text
    read = clerk.post("/upgrade", data={"code": code()})
    assert read.headers["location"] == "/upgrade/card"
    page = text_of(clerk.get("/upgrade/card"))
    assert "Ada Lovelace" in page
    assert "This phone has a valid card: library-card basic" in page
    assert clerk.post("/upgrade/card").status_code == 422
    assert clerk.post("/upgrade/card", data={"evidence": "X 123"}).status_code == 422
    site = seats.app.state.site
    session = site.staff.session(clerk.cookie)
    site.taken.put(session.digest, ada.reference, face_template(bytes(128), "m"))
    made = clerk.post("/upgrade/card", data={"evidence": "passport"})
    assert 'class="digits"' in made.text
    row = last_offer(seats)
    assert (row.purpose, row.level, row.holder) == ("upgrade", 2, HOLDER.thumbprint())
    assert row.sealed is not None
    # The phone is scanned anew for another.
    assert (
        clerk.post("/upgrade/card", data={"evidence": "passport"}).headers["location"] == "/upgrade"
    )


@pytest.mark.parametrize("text", ["", "NI1:", "https://example.org", "x" * 4_000, "NI1:é"])
def test_code_that_is_none(clerk, text):
    got = clerk.post("/upgrade", data={"code": text})
    assert got.status_code == 422
    assert 'role="alert"' in got.text


def test_code_counts_once_and_is_fresh(clerk, code):
    clerk.post("/upgrade", data={"code": code()})
    assert "used already" in clerk.post("/upgrade", data={"code": code()}).text
    assert "too old" in clerk.post("/upgrade", data={"code": code(NOW - 100)}).text


def test_where_the_desk_asks_the_phone_must_answer(clerk, code):
    clerk.get("/upgrade")
    got = clerk.post("/upgrade", data={"code": code(), "challenged": "yes"})
    assert "does not answer the desk" in got.text


def test_what_one_clerk_scanned_is_not_another_ones(seats, clerk, code):
    clerk.post("/upgrade", data={"code": code()})
    assert seats.of(Role.CLERK).get("/upgrade/card").headers["location"] == "/upgrade"


def test_frame_is_read_by_the_gates_scanner(clerk, code):
    text = code()
    out = io.BytesIO()
    segno.make_qr(text, error="l", mode="alphanumeric", boost_error=False).save(
        out, kind="png", scale=6, border=4
    )
    assert clerk.post("/scan", content=out.getvalue()).json() == {"codes": [text]}
    assert clerk.post("/scan", content=b"\xff\xd8\xff nonsense").json() == {"codes": []}
    assert clerk.post("/scan", content=b"x" * (65 << 10)).status_code == 413
