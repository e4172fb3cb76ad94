"""Invitations over HTTP: what a phone is asked, and one form that becomes a card."""

from __future__ import annotations

import base64
from contextlib import closing
from urllib.parse import unquote, urlsplit

import pytest

from agent.desk.faces import Faces
from agent.desk.invitations import Invitations
from agent.desk.members import Members
from agent.desk.selfies import Turn
from agent.desk.vci.app import issuer_app
from agent.desk.vci.invitation import FORM_BYTES
from tests.support.asgi import talking_to
from tests.support.phones import PRE_AUTHORIZED, Phone
from tests.support.turned_heads import jpeg, turned_head

GIVEN = {"version": "1", "given": True}


@pytest.fixture
def path(desk) -> str:
    link = Invitations(desk).create("library-card", who="mo")
    return urlsplit(unquote(link.partition("#invitation=")[2])).path


def test_the_form_is_as_documented(web, path):
    got = web.get(path)
    assert got.headers["cache-control"] == "no-store"
    form = got.json()
    token, text = form.pop("turns_token"), form["consent"].pop("text")
    turns = form.pop("turns")
    assert form == {
        "place": {"name": "Town Library", "site": "library", "colour": "#0b5d4e"},
        "kind": "library-card",
        "fields": [{"name": "name", "required": True}, {"name": "email", "required": False}],
        "face": "optional",
        "consent": {"version": "1"},
    }
    assert (turns[0], len(turns), len(token)) == ("front", 3, 52)
    assert set(text) == {"en", "es", "zh"}
    for words in text.values():
        assert "Town Library" in words
        assert "90" in words
        assert "10" in words
        assert "{" not in words


def test_a_form_becomes_a_card(desk, web, path):
    sent = {"name": "Ada Lovelace", "consent": GIVEN, "language": "es", "more": 1}
    uri = web.post(path, json=sent).json()["credential_offer_uri"]
    phone = Phone(web)
    offer = web.get(urlsplit(uri).path).json()
    assert "tx_code" not in offer["grants"][PRE_AUTHORIZED]
    assert phone.redeem(uri.rpartition("/")[2]).status_code == 200
    assert phone.fetch().status_code == 200
    assert phone.notify().status_code == 204
    assert Members(desk).page()[0].person.name == "Ada Lovelace"
    again = web.post(path, json=sent)
    assert (again.status_code, again.json()["error"]) == (410, "invalid_invitation")
    assert again.json()["idgate_reason"] == "used"


def test_with_a_face_from_the_phones_camera(desk, path, astronaut, detector):
    with (
        closing(Faces()) as looking,
        talking_to(issuer_app(desk, faces=looking), "https://desk.localhost:8444") as web,
    ):
        form = web.get(path).json()
        degrees = {Turn.FRONT: 0, Turn.LEFT: 35, Turn.RIGHT: -35}
        pictures = [jpeg(turned_head(astronaut, detector, degrees[turn])) for turn in form["turns"]]
        sent = {
            "name": "Eileen", "consent": {**GIVEN, "biometric": True},
            "pictures": [base64.b64encode(picture).decode() for picture in pictures],
            "turns_token": form["turns_token"],
        }  # fmt: skip
        offer = web.post(path, json=sent)
        assert offer.status_code == 200, offer.text
        phone = Phone(web)
        phone.redeem(offer.json()["credential_offer_uri"].rpartition("/")[2])
        phone.fetch()
        assert len(phone.credentials[0]) > 350  # a template is on it


@pytest.mark.parametrize(
    ("sent", "reason", "field"),
    [
        ({"consent": GIVEN}, "field", "name"),
        ({"name": "Ada"}, "consent", "consent"),
        ({"name": "Ada", "consent": {"version": "1", "given": False}}, "consent", "consent"),
        ({"name": "Ada", "consent": GIVEN, "email": "x"}, "field", "email"),
        ({"name": "Ada", "consent": GIVEN, "language": "xx"}, "field", "language"),
        ({"name": "Ada", "consent": GIVEN, "pictures": ["*"]}, "picture", None),
        ({"name": "Ada", "consent": GIVEN, "pictures": ["AAAA"]}, "picture", None),
        ({"name": "Ada", "consent": GIVEN, "pictures": ["/9j/"] * 5}, "picture", None),
    ],
)
def test_what_is_wrong_with_a_form_is_told(web, path, sent, reason, field):
    got = web.post(path, json=sent)
    assert (got.status_code, got.json()["error"]) == (400, "invalid_request")
    assert (got.json()["idgate_reason"], got.json().get("field")) == (reason, field)
    assert "Ada" not in got.text


@pytest.mark.parametrize("body", [b"", b"[]", b'{"name": 7}', b"{" * 20_000])
def test_what_is_no_form(web, path, body):
    got = web.post(path, content=body)
    assert (got.status_code, got.json()["error"]) == (400, "invalid_request")


def test_megabytes_are_read_for_an_invitation_only(web, path):
    large = b"x" * (FORM_BYTES + 1)
    assert web.post(path, content=large).status_code == 413
    assert web.post("/invitations/unknown", content=large).status_code == 404


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_unknown_one(web, method):
    got = web.request(method, "/invitations/" + "A" * 22)
    assert (got.status_code, got.json()["error"]) == (404, "invalid_invitation")
