"""Handing over: what must be said first, the QR and the code apart, and how far an offer is."""

from __future__ import annotations

import base64
import re

import pytest

from agent.credential.model import Level
from agent.desk.credentials import Credentials
from agent.desk.offers import Offers
from agent.desk.staff import Role
from agent.desk.tables import deliveries, offers
from agent.issuing.issue import face_template, finger_template
from agent.issuing.keys import Holder

BASIC = {"kind": "library-card", "level": "1"}
UPGRADED = {"kind": "library-card", "level": "2", "evidence": "passport"}


def rows(seats):
    with seats.desk.store.read() as connection:
        return connection.execute(offers.select().order_by(offers.c.id)).all()


def test_offer_is_shown_once_with_the_code_apart(seats, clerk, ada):
    got = clerk.post(f"/members/{ada.reference}/handover", data=BASIC)
    (row,) = rows(seats)
    assert (row.level, row.purpose, row.issued_by, row.holder) == (1, "issue", clerk.name, "")
    code, digits = got.text.split('<p class="digits"', 1)[1].split("</p>", 1)[0], r"\d{3} \d{3}"
    assert re.search(digits, code)
    # Only one of the three is open: a screen never shows the QR and the code together.
    steps = re.findall(r"<details name=\"step\" class=\"card step\"( open)?>", got.text)
    assert steps == [" open", "", ""]
    assert got.headers["cache-control"] == "no-store"
    assert clerk.get(f"/offers/{row.id}").json() == {
        "state": "open", "spent": False, "over": False, "good": False,
        "line": "Waiting for the phone.", "left": 600,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("state", "event", "left", "spent", "over", "line"),
    [
        ("open", "", 600, False, False, "Waiting for the phone."),
        ("taken", "", 600, False, False, "The phone has the code"),
        # The phone's own word comes in a request of its own, a moment after the card.
        ("done", "", 600, True, False, "has not yet said"),
        ("done", "credential_accepted", 600, True, True, "Done: the card is on the phone."),
        ("done", "", 0, True, True, "has not yet said"),
        ("locked", "", 600, True, True, "locked"),
        ("dead", "", 600, True, True, "ended"),
        ("open", "", 0, True, True, "The time is over"),
    ],
)
def test_who_waits_goes_on_until_the_phone_has_said_so(
    seats, clerk, ada, state, event, left, spent, over, line
):
    clerk.post(f"/members/{ada.reference}/handover", data=BASIC)
    (row,) = rows(seats)
    now = seats.desk.clock()
    with seats.desk.store.write() as connection:
        connection.execute(offers.update().values(state=state, expires_at=now + left))
        if event:
            connection.execute(
                deliveries.insert().values(
                    notification_digest=b"n" * 32, token_digest=b"t" * 32, offer=row.id,
                    event=event, created_at=now,
                )
            )  # fmt: skip
    told = clerk.get(f"/offers/{row.id}").json()
    assert (told["spent"], told["over"]) == (spent, over)
    assert line in told["line"]


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"level": "2", "evidence": ""}, 422), ({"level": "2", "evidence": "passport 123"}, 400),
        ({"level": "9"}, 400), ({"level": ""}, 400), ({"kind": "x"}, 400), ({"kind": "passport"}, 422),
        ({"purpose": "self"}, 400), ({"purpose": "upgrade"}, 400), ({"purpose": "x"}, 400),
        ({"holder": "00" * 32}, 400),
    ],
)  # fmt: skip
def test_offer_that_is_not_made(seats, clerk, ada, change, status):
    got = clerk.post(f"/members/{ada.reference}/handover", data=BASIC | change)
    assert got.status_code == status
    assert rows(seats) == []


def test_taken_face_goes_with_the_upgraded_card_alone(seats, clerk, ada):
    site = seats.app.state.site
    session = site.staff.session(clerk.cookie)
    site.taken.put(session.digest, ada.reference, face_template(bytes(128), "m"))
    site.taken.put(session.digest, ada.reference, finger_template(bytes(512), "f"))
    page = clerk.get(f"/members/{ada.reference}/handover").text
    assert 'class="badge good" id="held-face"' in page
    assert clerk.post(f"/members/{ada.reference}/handover", data=BASIC).status_code == 422
    assert clerk.post(f"/members/{ada.reference}/handover", data=UPGRADED).status_code == 200
    (row,) = rows(seats)
    assert row.sealed is not None
    assert (row.level, row.evidence) == (int(Level.UPGRADED), "passport")
    assert site.taken.modalities(session.digest, ada.reference) == frozenset()


def test_what_one_clerk_took_is_not_another_ones(seats, clerk, ada):
    site = seats.app.state.site
    session = site.staff.session(clerk.cookie)
    site.taken.put(session.digest, ada.reference, face_template(bytes(128), "m"))
    seats.of(Role.CLERK).post(f"/members/{ada.reference}/handover", data=UPGRADED)
    assert rows(seats)[0].sealed is None
    clerk.post(f"/members/{ada.reference}/drop")
    assert site.taken.modalities(session.digest, ada.reference) == frozenset()


def test_sign_out_drops_what_was_taken(seats, clerk, ada):
    site = seats.app.state.site
    session = site.staff.session(clerk.cookie)
    site.taken.put(session.digest, ada.reference, face_template(bytes(128), "m"))
    got = clerk.post("/signout")
    assert "__Host-desk=" in got.headers["set-cookie"]
    assert site.taken.modalities(session.digest, ada.reference) == frozenset()


def test_renewal_is_bound_to_the_phone(seats, clerk, ada):
    holder = Holder.new()
    with seats.desk.store.write() as connection:
        Credentials(seats.desk).sign(
            connection, ada, kind="library-card", level=1, holder=holder, form="phone",
            issued_by="x", now=seats.desk.clock(),
        )  # fmt: skip
    thumbprint = holder.thumbprint()
    page = clerk.get(f"/members/{ada.reference}/handover", params={"holder": thumbprint}).text
    assert "Renew a card" in page
    form = BASIC | {"purpose": "renew", "holder": thumbprint}
    assert clerk.post(f"/members/{ada.reference}/handover", data=form).status_code == 200
    (row,) = rows(seats)
    assert (row.purpose, row.holder) == ("renew", thumbprint)


def test_offer_is_ended(seats, clerk, ada):
    clerk.post(f"/members/{ada.reference}/handover", data=BASIC)
    (row,) = rows(seats)
    got = clerk.post(f"/offers/{row.id}/end", data={"reference": ada.reference})
    assert got.headers["location"] == f"/members/{ada.reference}"
    assert clerk.get(f"/offers/{row.id}").json()["state"] == "dead"
    assert Offers(seats.desk).state(row.id).state == "dead"


@pytest.mark.parametrize("number", ["0", "99", "x", "-1", "1" * 40])
def test_offer_that_is_not_there(clerk, number):
    assert clerk.get(f"/offers/{number}").status_code == 400
    assert clerk.post(f"/offers/{number}/end").status_code == 400


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ({"pictures": []}, "consent"), ({"consent": "yes", "pictures": []}, "consent"),
        ({"consent": True}, "pictures"), ({"consent": True, "pictures": "x"}, "pictures"),
        ({"consent": True, "pictures": [7]}, "pictures"), ({"consent": True, "pictures": []}, "one to"),
        ({"consent": True, "pictures": ["é"]}, ""), ({"consent": True, "pictures": ["%%%"]}, ""),
    ],
)  # fmt: skip
def test_face_that_is_not_taken(seats, clerk, ada, body, why):
    got = clerk.post(f"/members/{ada.reference}/face", json=body)
    assert got.status_code == 400
    assert why in got.json()["error"]
    assert seats.journal()[0][1] != "face-taken"


def test_face_is_looked_at_taken_and_journaled(seats, clerk, ada, astronaut_jpeg):
    assert clerk.post("/look", content=b"no picture").json() == {
        "good": False, "line": "This picture cannot be read.", "eyes": 0,
    }  # fmt: skip
    looked = clerk.post("/look", content=astronaut_jpeg).json()
    assert (looked["good"], looked["line"]) == (True, "Good. Hold still.")
    body = {"consent": True, "pictures": [base64.b64encode(astronaut_jpeg).decode()] * 2}
    got = clerk.post(f"/members/{ada.reference}/face", json=body)
    assert got.json() == {"line": "The face was taken. The picture is gone."}
    assert seats.journal() == [(clerk.name, "face-taken", ada.reference, "consent given")]
    assert clerk.post("/look", content=b"x" * (65 << 10)).status_code == 413


def test_without_a_module_no_finger(clerk, ada):
    got = clerk.post(f"/members/{ada.reference}/finger", json={"consent": True, "position": 51})
    assert got.json() == {"over": True, "good": False, "line": "the desk has no fingerprint module"}
    assert clerk.post(f"/members/{ada.reference}/finger", json={"position": 51}).status_code == 400
    assert "Take the finger" not in clerk.get(f"/members/{ada.reference}/handover").text
