"""Invitations: a basic card that a person makes, with the gate's own models and the real sandbox."""

from __future__ import annotations

import numpy as np
import pytest
import sqlalchemy as sa

from agent.desk.audit import Action
from agent.desk.consent import CONSENT_VERSION
from agent.desk.credentials import Credentials
from agent.desk.faces import Faces
from agent.desk.invitations import (
    Answer,
    FormRefused,
    InvitationError,
    InvitationGone,
    Invitations,
)
from agent.desk.members import Members
from agent.desk.offers import Offers
from agent.desk.references import open_references
from agent.desk.selfies import Turn
from agent.desk.tables import offers
from tests.support.desks import DAY, NOW, a_desk, a_person
from tests.support.turned_heads import jpeg, turned_head

KIND = "library-card"


@pytest.fixture(scope="module")
def faces():
    made = Faces()
    yield made
    made.close()


@pytest.fixture
def invitations(desk, faces) -> Invitations:
    return Invitations(desk, faces)


def code_of(link: str) -> str:
    return link.rpartition("%2F")[2]


@pytest.fixture
def code(invitations) -> str:
    return code_of(invitations.create(KIND, who="mo"))


def form(**more) -> Answer:
    fields = {
        "person": ("Ada Lovelace", "", ""), "consent": CONSENT_VERSION, "biometric": False,
        "language": "en",
    }  # fmt: skip
    return Answer(**(fields | more))


def rows(desk):
    with desk.store.read() as connection:
        return [
            (row.who, row.action, row.detail) for row in reversed(desk.journal.read(connection))
        ]


def test_a_link_is_for_the_wallet_and_names_the_issuer(invitations):
    link = invitations.create(KIND, 3, 7, who="mo")
    start = "https://desk.localhost:8445/#invitation=https%3A%2F%2Fdesk.localhost%3A8444%2Finvi"
    assert link.startswith(start)
    assert len(code_of(link)) == 22


def test_a_person_makes_a_basic_card(desk, invitations, code):
    asked = invitations.ask(code)
    assert asked.fields == (("name", True), ("email", False))
    assert (asked.kind, asked.face, asked.turns[0]) == (KIND, "optional", Turn.FRONT)
    made = invitations.answer(code, form(person=(" Ada  Lovelace ", "ada@example.org", "")))
    assert made.transaction_code is None
    member = Members(desk).page()[0]
    assert member.person.name == "Ada Lovelace"
    assert (member.person.level, member.person.valid_until) == (1, NOW + 365 * DAY)
    assert Offers(desk).look(made.code).transaction_code is False
    reference = member.reference
    assert rows(desk)[1:] == [
        ("self", "member-added", ""),
        ("self", "self-made", "consent 1 en"),
        ("self", "offered", "self library-card level 1"),
    ]
    assert reference not in str(rows(desk))


def test_it_works_as_often_as_it_says(invitations):
    code = code_of(invitations.create(KIND, 2, who="mo"))
    invitations.answer(code, form())
    invitations.answer(code, form())
    with pytest.raises(InvitationGone, match="used"):
        invitations.answer(code, form())
    with pytest.raises(InvitationGone, match="used"):
        invitations.ask(code)


def test_it_ends(desk, desk_clock, invitations, code):
    desk_clock.now += 14 * DAY
    with pytest.raises(InvitationGone, match="expired"):
        invitations.ask(code)
    Offers(desk).sweep(desk_clock.now)
    with pytest.raises(InvitationGone, match="unknown"):
        invitations.ask(code)


def test_staff_end_it(invitations):
    link = invitations.create(KIND, who="mo")
    assert invitations.end(link, who="mo")
    assert not invitations.end(link, who="mo")
    assert not invitations.end("nonsense", who="mo")
    with pytest.raises(InvitationGone, match="unknown"):
        invitations.ask(code_of(link))


def test_for_a_member_nobody_is_asked_for_a_name(desk, invitations):
    member = Members(desk).add(a_person(), "mo")
    code = code_of(invitations.create(KIND, member=member, who="mo"))
    assert invitations.ask(code).fields == ()
    made = invitations.answer(code, form(person=("Eve", "", "")))
    assert Members(desk).count() == 1
    assert Members(desk).get(member.reference).person.name == "Ada Lovelace"
    assert Offers(desk).sweep(made.expires_at) == []  # who was known before is not forgotten


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"kind": "passport"}, "kind: allowed"),
        ({"uses": 0}, "uses"),
        ({"uses": 10_001}, "uses"),
        ({"days": 0}, "days"),
        ({"days": 367}, "days"),
    ],
)
def test_what_is_not_made(invitations, fields, why):
    with pytest.raises(InvitationError, match=why):
        invitations.create(**({"kind": KIND, "who": "mo"} | fields))


def test_one_for_a_member_has_one_use(desk, invitations):
    member = Members(desk).add(a_person(), "mo")
    with pytest.raises(InvitationError, match="uses"):
        invitations.create(KIND, 2, member=member, who="mo")


def test_where_the_place_allows_none_there_is_none(tmp_path):
    desk = a_desk(tmp_path / "d", more="[self_service]\nenabled = false")
    with pytest.raises(InvitationError, match="settings allow no cards"):
        Invitations(desk).create(KIND, who="mo")
    desk.close()


@pytest.mark.parametrize(
    ("fields", "reason", "field"),
    [
        ({"consent": ""}, "consent", "consent"),
        ({"consent": "0"}, "consent", "consent"),
        ({"person": ("", "", "")}, "field", "name"),
        ({"person": ("A" * 121, "", "")}, "field", "name"),
        ({"person": ("a\u202eb", "", "")}, "field", "name"),
        ({"person": ("Ada", "no address", "")}, "field", "email"),
        ({"pictures": (b"\xff\xd8\xff",)}, "consent", "consent"),
        ({"pictures": (b"\xff\xd8\xff",), "biometric": True}, "turns", ""),
    ],
)
def test_a_form_that_is_refused_uses_nothing_up(desk, invitations, code, fields, reason, field):
    with pytest.raises(FormRefused) as told:
        invitations.answer(code, form(**fields))
    assert (told.value.reason, told.value.field) == (reason, field)
    assert Members(desk).count() == 0
    assert invitations.answer(code, form()).code


def test_a_birth_date_is_asked_for_where_cards_say_it(tmp_path):
    desk = a_desk(tmp_path / "d", more="birth_date = true")
    invitations = Invitations(desk)
    code = code_of(invitations.create(KIND, who="mo"))
    assert ("birth_date", False) in invitations.ask(code).fields
    with pytest.raises(FormRefused) as told:
        invitations.answer(code, form(person=("Ada", "", "1815-13-41")))
    assert told.value.field == "birth_date"
    invitations.answer(code, form(person=("Ada", "", "1990-12-10")))
    assert Members(desk).page()[0].person.birth_date == "1990-12-10"
    desk.close()


def test_who_never_takes_the_card_is_forgotten(desk, desk_clock, invitations, code):
    made = invitations.answer(code, form())
    desk_clock.now = made.expires_at
    for reference in Offers(desk).sweep(desk_clock.now):
        Members(desk).erase(reference, "desk")
    assert Members(desk).count() == 0


# --- faces ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def heads(astronaut, hopper, detector):
    """Each person's pictures by turn, as a phone sends them."""
    return {
        name: {
            Turn.FRONT: jpeg(picture),
            Turn.LEFT: jpeg(turned_head(picture, detector, 35)),
            Turn.RIGHT: jpeg(turned_head(picture, detector, -35)),
        }
        for name, picture in (("collins", astronaut), ("hopper", hopper))
    }


def selfie(invitations, code, heads, change=lambda asked: asked) -> Answer:
    asked = invitations.ask(code)
    turns = change(list(asked.turns))
    return form(
        pictures=tuple(heads[turn] for turn in turns),
        biometric=True, turns_token=asked.turns_token,
    )  # fmt: skip


def template_of(desk, offer) -> bytes:
    with desk.store.read() as connection:
        row = connection.execute(sa.select(offers).where(offers.c.id == offer.id)).one()
    found = open_references(desk.key, row.sealed, secret=offer.code, about=row.code_digest)
    return found[0].data


@pytest.mark.parametrize("name", ["collins", "hopper"])
def test_a_face_that_turned_as_asked_becomes_a_template(
    desk,
    invitations,
    code,
    heads,
    embedder,
    faces,
    name,
):
    from agent.biometrics.face.compare import cosine

    made = invitations.answer(code, selfie(invitations, code, heads[name]))
    vector = embedder.read_template(template_of(desk, made))
    own = embedder.read_template(faces.take([heads[name][Turn.FRONT]]).data)
    assert cosine(vector, own) > 0.999
    assert ("self", Action.SELF_MADE, "consent 1 en with face") in rows(desk)


def test_the_desk_keeps_no_picture(desk, invitations, code, heads, tmp_path):
    answer = selfie(invitations, code, heads["collins"])
    made = invitations.answer(code, answer)
    template = template_of(desk, made)
    desk.store.settle()
    kept = b"".join(file.read_bytes() for file in (tmp_path / "desk").rglob("*") if file.is_file())
    assert template not in kept
    for picture in answer.pictures:
        assert picture[200:260] not in kept


OTHER_WAY = {Turn.FRONT: Turn.FRONT, Turn.LEFT: Turn.RIGHT, Turn.RIGHT: Turn.LEFT}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda asked: [Turn.FRONT] * 3, "picture 2: not turned"),
        (lambda asked: [OTHER_WAY[turn] for turn in asked], "picture 2: not turned"),
        (lambda asked: [Turn.LEFT, *asked[1:]], "picture 1: not turned"),
        (lambda asked: asked[:2], "3 pictures are needed"),
    ],
)
def test_what_was_not_asked_is_refused(desk, invitations, code, heads, change, reason):
    with pytest.raises(FormRefused, match=reason) as told:
        invitations.answer(code, selfie(invitations, code, heads["hopper"], change))
    assert told.value.reason == "picture"
    assert Members(desk).count() == 0
    assert invitations.ask(code).face == "optional"  # nothing was used up


def test_two_people_are_not_one(invitations, code, heads):
    mixed = {**heads["hopper"], Turn.FRONT: heads["collins"][Turn.FRONT]}
    with pytest.raises(FormRefused, match="one person"):
        invitations.answer(code, selfie(invitations, code, mixed))


def test_a_page_without_a_face_and_broken_files(invitations, code, heads):
    plain = jpeg(np.full((200, 200, 3), 128, np.uint8))
    broken = heads["hopper"][Turn.FRONT][:900]
    for bad, why in ((plain, "picture 1: no_face"), (broken, "picture 1: picture")):
        heads_now = {**heads["hopper"], Turn.FRONT: bad}
        with pytest.raises(FormRefused, match=why):
            invitations.answer(code, selfie(invitations, code, heads_now))


def test_turns_count_once(invitations, heads):
    code = code_of(invitations.create(KIND, 2, who="mo"))
    answer = selfie(invitations, code, heads["hopper"])
    invitations.answer(code, answer)
    with pytest.raises(FormRefused, match="used already"):
        invitations.answer(code, answer)
    assert invitations.answer(code, form()).code  # the second use is still there


def test_a_face_that_the_place_requires(tmp_path, faces, heads):
    desk = a_desk(tmp_path / "d", more='[self_service]\nface = "required"')
    invitations = Invitations(desk, faces)
    code = code_of(invitations.create(KIND, who="mo"))
    with pytest.raises(FormRefused, match="needed"):
        invitations.answer(code, form())
    assert invitations.answer(code, selfie(invitations, code, heads["hopper"])).code
    desk.close()


def test_a_face_that_the_place_does_not_want(tmp_path, faces, heads):
    desk = a_desk(tmp_path / "d", more='[self_service]\nface = "none"')
    invitations = Invitations(desk, faces)
    code = code_of(invitations.create(KIND, who="mo"))
    assert invitations.ask(code).turns == ()
    with pytest.raises(FormRefused):
        invitations.answer(code, form(pictures=(heads["hopper"][Turn.FRONT],), biometric=True))
    assert Credentials(desk).lists() == []
    desk.close()
