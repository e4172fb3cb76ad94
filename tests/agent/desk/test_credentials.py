"""Credentials as gates read them, and what becomes of their states."""

from __future__ import annotations

from dataclasses import replace

import pytest
import sqlalchemy as sa

from agent.credential import registry
from agent.credential.model import Credential, Kind, Level, Rejected
from agent.desk.audit import Action
from agent.desk.credentials import (
    FINGER_MOST,
    CredentialError,
    Credentials,
    Form,
    Selection,
    Status,
)
from agent.desk.members import Members, UnknownMember
from agent.desk.offers import Offers, Purpose
from agent.desk.tables import access, credentials, offers
from agent.issuing.issue import face_template, finger_template, present
from agent.issuing.keys import Holder, PublicHolder, new_issuer
from agent.issuing.redact import disclosed
from agent.issuing.status_list import sign_status_list
from agent.reason import Reason
from agent.trust import status
from agent.trust.snapshot import TrustSnapshot
from tests.support.desks import DAY, NOW, a_person

FACE = face_template(bytes(range(128)), "model")
THUMB = finger_template(bytes(512), "r307")


def sign(desk, member, **fields):
    words = {"kind": "library-card", "level": 1, "form": Form.PHONE, "issued_by": "carla"} | fields
    words.setdefault("holder", Holder.new() if words["form"] is Form.PHONE else None)
    words.setdefault("now", desk.clock())
    with desk.store.write() as connection:
        return Credentials(desk).sign(connection, member, **words)


def read(desk, text: str, at: int = NOW + 5) -> Credential:
    rules = registry.ReadRules(now=at, clock_trusted=True, site="library", gate="g")
    trust = TrustSnapshot(keys=(desk.issuer.issuer_key(),), updated_at=at)
    return registry.read(text.encode(), keys=trust, rules=rules)


def states(desk, reference) -> list[int]:
    return [int(row.status) for row in reversed(Credentials(desk).of_member(reference))]


def journal(desk) -> list[tuple[str, str, str, str]]:
    with desk.store.read() as connection:
        assert desk.journal.verify(connection) is None
        rows = desk.journal.read(connection)
    return [(row.who, row.action, row.reference, row.detail) for row in reversed(rows)]


@pytest.fixture
def ada(desk):
    return Members(desk).add(a_person(birth_date="1990-12-31", regions=("DE-BE",)), "carla")


@pytest.fixture
def any_ada(any_desk):
    return Members(any_desk).add(a_person(), "carla")


def test_a_gate_believes_what_was_signed_for_a_phones_public_key(desk, ada) -> None:
    holder = Holder.new()
    public = PublicHolder.from_cose_key(holder.cose_key())
    issued = sign(desk, ada, level=2, holder=public, references=[FACE, THUMB], evidence="passport")
    found = read(desk, present(issued.token, holder, at=NOW + 4, audience="library/g"))
    assert (found.dynamic, found.kind, found.level) == (True, Kind.LIBRARY_CARD, Level.UPGRADED)
    assert (found.subject, found.issued_at, found.regions) == (ada.reference, NOW, {"DE-BE"})
    assert found.valid_until == issued.valid_until == NOW + 365 * DAY
    assert sorted(reference.data for reference in found.references) == [bytes(512), FACE.data]
    assert found.birth_date is None  # nobody asked for it
    assert (found.ages, found.undisclosed) == ({18}, 0)
    assert len(bytes.fromhex(issued.cti)) == 8
    row = Credentials(desk).by_cti(issued.cti)
    assert (row.status_list, row.status_index) == (1, found.status.index)
    assert found.status.uri == "https://desk.localhost:8444/status/1"
    assert (row.reference, row.holder, row.evidence, row.form) == (
        ada.reference, holder.thumbprint(), "passport", Form.PHONE,
    )  # fmt: skip
    assert (row.issued_at, row.valid_until, row.issued_by) == (NOW, issued.valid_until, "carla")
    assert Members(desk).get(ada.reference).person.level == 2
    assert "token" not in repr(issued)


def test_a_phone_can_keep_back_what_is_about_the_person(make_desk) -> None:
    redact = 'redact = ["birth-date", "ages", "face", "fingers"]'
    desk = make_desk(more=f"birth_date = true\nages = [16, 18, 99]\n{redact}")
    ada = Members(desk).add(a_person(birth_date="1990-12-31"), "carla")
    holder = Holder.new()
    issued = sign(desk, ada, level=2, holder=holder, references=[FACE, THUMB], evidence="passport")
    for needs, born, ages, modalities, kept in (
        ([], None, set(), [], 5),
        (["age-17"], None, {18}, [], 4),
        (["birth-date", "face"], "1990-12-31", set(), ["face"], 3),
        (None, None, {16, 18}, ["face", "finger"], 1),
    ):
        text = present(disclosed(issued.token, needs), holder, at=NOW + 4, audience="library/g")
        found = read(desk, text)
        assert (found.birth_date, found.ages, found.undisclosed) == (born, ages, kept)
        assert sorted(one.modality for one in found.references) == modalities
        assert found.subject == ada.reference


def test_a_face_is_open_where_nothing_else_is_said(desk, ada) -> None:
    """Most places that ask for anything ask for it, and a face apart makes every code larger."""
    holder = Holder.new()
    issued = sign(desk, ada, level=2, holder=holder, references=[FACE], evidence="passport")
    found = read(
        desk, present(disclosed(issued.token, []), holder, at=NOW + 4, audience="library/g")
    )
    assert (len(found.references), found.ages, found.undisclosed) == (1, frozenset(), 1)


@pytest.mark.parametrize(("more", "born"), [("birth_date = true", "1990-12-31"), ("", None)])
def test_a_printed_card_says_what_it_says_to_everybody(make_desk, more, born) -> None:
    desk = make_desk(more=more)
    ada = Members(desk).add(a_person(birth_date="1990-12-31"), "carla")
    found = read(desk, present(sign(desk, ada, form=Form.CARD).token))
    assert (found.birth_date, found.ages, found.undisclosed) == (born, {18}, 0)


def test_gates_that_read_version_1_only_are_given_that(make_desk) -> None:
    desk = make_desk(more="profile = 1\nbirth_date = true")
    ada = Members(desk).add(a_person(birth_date="1990-12-31"), "carla")
    holder = Holder.new()
    issued = sign(desk, ada, level=2, holder=holder, references=[FACE], evidence="passport")
    text = present(issued.token, holder, at=NOW + 4, audience="library/g")
    assert text.startswith("NI1:")
    found = read(desk, text)
    assert (found.birth_date, found.ages, len(found.references)) == ("1990-12-31", set(), 1)
    assert len(bytes.fromhex(issued.cti)) == 16


@pytest.mark.parametrize(
    ("level", "membership", "wanted", "until"),
    [
        (1, 365, None, 90),
        (2, 800, None, 365),
        (2, 20, None, 20),
        (1, 365, 7, 7),
        (1, 365, 800, 90),
    ],
)
def test_validity_is_the_levels_the_memberships_or_less(desk, level, membership, wanted, until):
    ada = Members(desk).add(a_person(valid_until=NOW + membership * DAY), "carla")
    wanted = wanted and NOW + wanted * DAY
    assert sign(desk, ada, level=level, valid_until=wanted).valid_until == NOW + until * DAY


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"kind": "passport"}, "kind: allowed: library-card, online-id"),
        ({"level": 3}, "level: 1 basic or 2 upgraded"),
        ({"evidence": "passport X1234567"}, "evidence: a kind of document, such as passport;"),
        ({"evidence": "x" * 33}, "evidence: a kind of document"),
        ({"holder": None}, "a phone's credential is bound to its key, a card's to none"),
        ({"form": Form.CARD, "holder": Holder.new()}, "a phone's credential is bound to its key"),
        (
            {"references": [finger_template(bytes(1_536), "r503")]},
            "a finger template of 1536 bytes",
        ),
        ({"references": [THUMB, THUMB]}, "1024 bytes of biometric references make a code that no"),
        ({"now": NOW + 366 * DAY}, "the membership is over: extend it first"),
        ({"valid_until": NOW}, "the membership is over: extend it first"),
    ],
)
def test_what_is_not_signed_leaves_no_row(desk, ada, fields, told) -> None:
    with pytest.raises(CredentialError) as refused:
        sign(desk, ada, **fields)
    assert str(refused.value).startswith(told)
    assert Credentials(desk).of_member(ada.reference) == []
    assert Members(desk).get(ada.reference).person.level == 1
    assert FINGER_MOST == 512


def test_nothing_is_signed_for_who_was_erased_whatever_the_caller_still_holds(desk, ada) -> None:
    Members(desk).erase(ada.reference, "carla")
    with pytest.raises(CredentialError, match=r"^this member was erased$"):
        sign(desk, ada)


def test_while_something_is_suspended_nothing_new_is_signed(desk, ada, desk_clock) -> None:
    service = Credentials(desk)
    sign(desk, ada)
    assert service.suspend(ada.reference, "carla") == 1
    with pytest.raises(CredentialError, match=r"is suspended: restore it first$"):
        sign(desk, ada)
    assert service.restore(ada.reference, "carla") == 1
    sign(desk, ada)
    assert service.suspend(ada.reference, "carla") == 2
    desk_clock.now += 91 * DAY  # what is over suspends nobody for ever
    sign(desk, ada)


def test_states_change_for_all_that_a_member_has_and_revoked_is_for_ever(any_desk, any_ada) -> None:
    service, ada = Credentials(any_desk), any_ada
    other = Members(any_desk).add(a_person("Bob"), "carla")
    for member in (ada, ada, other):
        sign(any_desk, member)
    sign(any_desk, ada, form=Form.CARD)
    assert service.suspend(ada.reference, "carla") == 3
    assert service.suspend(ada.reference, "carla") == 0
    assert service.restore(ada.reference, "david") == 3
    assert service.phone_lost(ada.reference, "carla") == 2
    assert states(any_desk, ada.reference) == [1, 1, 0]
    assert service.restore(ada.reference, "carla") == 0
    assert service.revoke(ada.reference, "carla") == 1
    assert service.suspend(ada.reference, "carla") == 0
    assert states(any_desk, ada.reference) == [1, 1, 1]
    assert states(any_desk, other.reference) == [0]
    assert [row for row in journal(any_desk) if row[1] != "member-added"] == [
        ("carla", "suspended", ada.reference, "credentials: 3"),
        ("david", "restored", ada.reference, "credentials: 3"),
        ("carla", "phone-lost", ada.reference, "credentials: 2"),
        ("carla", "revoked", ada.reference, "credentials: 1"),
    ]
    for change in (service.suspend, service.restore, service.revoke, service.phone_lost):
        with pytest.raises(UnknownMember):
            change("NOBODY", "carla")


@pytest.mark.parametrize(
    ("change", "token_left"),
    [("suspend", True), ("restore", True), ("revoke", False), ("phone_lost", False)],
)
def test_who_lost_the_phone_also_loses_what_it_could_fetch_with(desk, ada, change, token_left):
    offer = Offers(desk).create(
        ada, purpose=Purpose.ISSUE, kind=Kind.LIBRARY_CARD, level=1, references=[FACE], who="carla"
    )
    with desk.store.write() as connection:
        connection.execute(
            access.insert().values(
                token_digest=bytes(32), use="refresh", offer=offer.id, expires_at=NOW + DAY
            )
        )
    getattr(Credentials(desk), change)(ada.reference, "carla")
    with desk.store.read() as connection:
        left = connection.execute(sa.select(sa.func.count()).select_from(access)).scalar_one()
        row = connection.execute(sa.select(offers)).one()
    assert (left == 1, row.state == "open", row.sealed is not None) == (token_left,) * 3


@pytest.mark.parametrize(
    ("words", "changed"),
    [
        ({"level": 2}, [0, 1, 0, 1]),
        ({"form": Form.CARD}, [0, 0, 1, 0]),
        ({"kind": Kind.ONLINE_ID}, [0, 0, 0, 1]),
        ({"level": 2, "kind": Kind.LIBRARY_CARD}, [0, 1, 0, 0]),
        ({"later_than": NOW + 90 * DAY}, [0, 1, 0, 1]),
        ({}, [1, 1, 1, 1]),
    ],
)
def test_a_selection_means_what_all_its_words_fit(desk, ada, words, changed) -> None:
    for fields in (
        {}, {"level": 2}, {"form": Form.CARD}, {"level": 2, "kind": Kind.ONLINE_ID},
    ):  # fmt: skip
        sign(desk, ada, **fields)
    selection = Selection(member=ada.reference, **words)
    number = Credentials(desk).set_status(
        selection, Status.REVOKED, who="carla", action=Action.REVOKED
    )
    assert (number, states(desk, ada.reference)) == (sum(changed), changed)


def test_a_selection_by_key_or_identifier_and_none_that_means_all(desk, ada) -> None:
    phone = Holder.new()
    first, second = (sign(desk, ada, holder=phone) for _ in range(2))
    third = sign(desk, ada)
    service = Credentials(desk)

    def revoke(selection: Selection) -> int:
        return service.set_status(selection, Status.REVOKED, who="desk", action=Action.UPGRADED)

    assert revoke(Selection(holder=phone.thumbprint(), besides=(second.cti,))) == 1
    assert states(desk, ada.reference) == [1, 0, 0]
    assert revoke(Selection(cti=(third.cti, "00"))) == 1
    assert states(desk, ada.reference) == [1, 0, 1]
    assert service.by_cti(first.cti).status is Status.REVOKED
    assert service.by_cti("00") is None
    for nothing in (
        Selection(), Selection(level=1), Selection(form=Form.CARD), Selection(besides=("00",)),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=r"names a member, a holder or identifiers$"):
            revoke(nothing)


def test_the_status_list_says_what_the_desk_does(desk, ada) -> None:
    service = Credentials(desk)
    kept, gone = sign(desk, ada), sign(desk, ada, form=Form.CARD)
    service.phone_lost(ada.reference, "carla")
    sign(desk, ada, form=Form.PHONE)
    service.suspend(ada.reference, "carla")
    (row,) = service.lists()
    token = sign_status_list(
        desk.issuer.key, iss=desk.issuer.iss, kid=desk.issuer.kid, uri=row.uri,
        statuses=service.statuses(row.number), issued_at=NOW, ttl_s=DAY,
    )  # fmt: skip
    trust = TrustSnapshot(keys=(desk.issuer.issuer_key(),), updated_at=NOW)
    listed = status.parse(token, trust, source="desk")
    at = {cti: service.by_cti(cti).status_index for cti in (kept.cti, gone.cti)}
    assert listed.answer(at[kept.cti], NOW).verdict == "invalid"
    assert listed.answer(at[gone.cti], NOW).verdict == "suspended"
    others = set(range(row.size)) - {r.status_index for r in service.of_member(ada.reference)}
    assert {listed.value(index) for index in others} == {0}
    with pytest.raises(CredentialError, match=r"^no status list has the number 2$"):
        service.statuses(2)


def test_places_in_the_list_are_random_and_a_full_list_is_followed_by_another(make_desk) -> None:
    desk = make_desk(more="\n[status]\nsize = 1024")
    ada = Members(desk).add(a_person(), "carla")
    service = Credentials(desk)
    first = [sign(desk, ada) for _ in range(8)]
    indexes = [service.by_cti(each.cti).status_index for each in first]
    assert indexes != sorted(indexes)
    assert len(set(indexes)) == 8
    # All but one place are taken, as by years of use.
    with desk.store.write() as connection:
        row = dict(connection.execute(sa.select(credentials)).first()._mapping)
        free = sorted(set(range(1_024)) - set(indexes))
        del row["id"]
        connection.execute(
            credentials.insert(),
            [row | {"cti": f"{index:032x}", "status_index": index} for index in free[1:]],
        )
    last = service.by_cti(sign(desk, ada).cti)
    assert (last.status_list, last.status_index) == (1, free[0])
    following = sign(desk, ada)
    assert service.by_cti(following.cti).status_list == 2
    assert [(each.number, each.size) for each in service.lists()] == [(1, 1_024), (2, 1_024)]
    assert read(desk, present(sign(desk, ada, form=Form.CARD).token)).status.uri.endswith("/2")


def test_what_was_over_long_ago_is_forgotten_and_its_place_free(desk, ada, desk_clock) -> None:
    service = Credentials(desk)
    issued = sign(desk, ada, valid_until=NOW + DAY)
    sign(desk, ada)
    service.revoke(ada.reference, "carla")
    index = service.by_cti(issued.cti).status_index
    desk_clock.now = NOW + 91 * DAY
    assert service.sweep() == 0
    desk_clock.now += 1
    assert service.sweep() == 1
    assert service.by_cti(issued.cti) is None
    assert service.statuses(1)[index] == Status.VALID
    assert sum(service.statuses(1)) == 1


def test_a_transaction_that_fails_leaves_nothing_signed(desk, ada) -> None:
    def fail() -> None:
        with desk.store.write() as connection:
            Credentials(desk).sign(
                connection, ada, kind="library-card", level=1, holder=None, form=Form.CARD,
                issued_by="carla", now=NOW,
            )  # fmt: skip
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert Credentials(desk).of_member(ada.reference) == []


def test_another_issuers_gate_believes_none_of_it(desk, ada) -> None:
    issued = sign(desk, ada, form=Form.CARD)
    other = replace(desk, issuer=new_issuer("other"))
    with pytest.raises(Rejected) as refused:
        read(other, present(issued.token))
    assert refused.value.reason is Reason.UNKNOWN_ISSUER
