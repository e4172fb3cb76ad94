"""Members: found by what people know of them, changed with what follows, erased whole."""

from __future__ import annotations

import re
import threading
from dataclasses import replace

import pytest
import sqlalchemy as sa

from agent.credential.model import Kind
from agent.desk.credentials import Credentials
from agent.desk.members import MemberError, Members, UnknownMember
from agent.desk.offers import Offers, Purpose
from agent.desk.seal import SealBroken
from agent.desk.statuses import Form, Status
from agent.desk.tables import members, offers
from agent.issuing.keys import Holder
from tests.support.desks import DAY, NOW, a_person


def journal(desk) -> list[tuple[str, str, str, str]]:
    with desk.store.read() as connection:
        assert desk.journal.verify(connection) is None
        rows = desk.journal.read(connection)
    return [(row.who, row.action, row.reference, row.detail) for row in reversed(rows)]


def sign(desk, member, **fields):
    words = {"kind": "library-card", "level": 1, "form": Form.PHONE, "issued_by": "carla"} | fields
    words.setdefault("holder", Holder.new() if words["form"] is Form.PHONE else None)
    with desk.store.write() as connection:
        return Credentials(desk).sign(connection, member, now=desk.clock(), **words)


def states(desk, reference) -> list[Status]:
    return [row.status for row in reversed(Credentials(desk).of_member(reference))]


def test_who_was_taken_in_is_there_with_all_that_was_said(any_desk) -> None:
    service = Members(any_desk)
    person = a_person(
        " Ada  Lovelace ", email="ada@example.org", birth_date="1990-12-31", number="A 1",
        kind=Kind.ONLINE_ID, level=2, regions=("ES-MD", "DE-BE"),
    )  # fmt: skip
    added = service.add(person, "carla")
    assert re.fullmatch("[0-9A-HJKMNP-TV-Z]{12}", added.reference)
    found = service.get(added.reference.lower())
    assert found == added
    assert found.person == replace(person, name="Ada Lovelace", regions=("DE-BE", "ES-MD"))
    assert (found.created_at, found.ended_at) == (NOW, None)
    assert service.by_number(" a 1 ") == added
    assert service.by_id(added.id) == added
    assert journal(any_desk) == [("carla", "member-added", added.reference, "")]
    assert "Ada" not in repr(found)
    assert "1990" not in repr(found)


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("name", "", "name: empty"),
        ("name", "x" * 121, "name: over 120 characters"),
        ("name", "Ada\u202e", "name: a character that turns the direction of writing"),
        ("email", "ada", "e-mail: no address, such as ada@example.org"),
        ("birth_date", "2030-01-01", "birth date: not between 1880 and today"),
        ("number", "x" * 33, "number: over 32 characters"),
        ("kind", Kind.PASSPORT, "kind: allowed: library-card, online-id"),
        ("kind", "bus-pass", "kind: allowed: library-card, online-id"),
        ("level", 3, "level: 1 basic or 2 upgraded"),
        ("level", True, "level: 1 basic or 2 upgraded"),
        ("valid_until", 0, "valid until: no moment before the year 10000"),
        ("valid_until", 1 << 62, "valid until: no moment before the year 10000"),
        ("valid_until", NOW, "valid until: is over already"),
        ("regions", ("Berlin",), "regions: ISO 3166-2 codes, such as DE-BE"),
        ("regions", tuple(f"D{x}-{y}" for x in "ABC" for y in range(21)), "regions: over 60"),
    ],
)
def test_what_cannot_be_kept_is_told_by_its_field(desk, field, value, told) -> None:
    with pytest.raises(MemberError) as refused:
        Members(desk).add(a_person(**{field: value}), "carla")
    assert str(refused.value) == told
    assert Members(desk).count() == 0
    assert journal(desk) == []


def test_a_number_is_one_members(any_desk) -> None:
    service = Members(any_desk)
    ada = service.add(a_person(number="A-1"), "carla")
    bob = service.add(a_person("Bob"), "carla")
    for attempt in (
        lambda: service.add(a_person("Eve", number="a-1"), "carla"),
        lambda: service.change(bob.reference, replace(bob.person, number="A-1"), "carla"),
        lambda: service.add_all([a_person("X", number="N"), a_person("Y", number="N")], "carla"),
    ):
        with pytest.raises(MemberError, match=r"^number: another member has it$"):
            attempt()
    assert service.count() == 2
    changed = replace(ada.person, number="A-2")
    service.change(ada.reference, changed, "carla")
    service.add(a_person("Eve", number="A-1"), "carla")
    assert service.by_number("A-2").reference == ada.reference
    assert service.by_number("") is None
    assert service.by_number("x" * 99) is None


def test_all_are_taken_in_or_none(any_desk) -> None:
    service = Members(any_desk)
    many = [a_person(f"Person {number}", number=f"N{number}") for number in range(1_100)]
    with pytest.raises(MemberError, match=r"^person 1101: e-mail: no address"):
        service.add_all([*many, a_person(email="x")], "carla")
    assert (service.count(), journal(any_desk)) == (0, [])
    added = service.add_all(many, "carla")
    assert [member.person for member in added] == many
    assert len({member.reference for member in added}) == service.count() == 1_100
    assert [member.reference for member in service.all()] == [m.reference for m in added]
    assert service.page(added[9].id, 2) == added[10:12]
    with any_desk.store.read() as connection:
        assert any_desk.journal.verify(connection) is None


@pytest.mark.parametrize(
    ("words", "names"),
    [
        ("ada", ["Ada Lovelace", "Adán Núñez"]),
        ("ADAN NUNEZ", ["Adán Núñez"]),
        ("nunez adan", ["Adán Núñez"]),
        ("example.org", ["Ada Lovelace"]),
        ("lib-7", ["王小明"]),
        ("小明", ["王小明"]),
        ("ada 王", []),
        ("%", []),
        ("", []),
        ("   ", []),
    ],
)
def test_a_search_finds_each_word_in_name_address_or_number(desk, words, names) -> None:
    service = Members(desk)
    service.add(a_person(email="ada@example.org"), "carla")
    service.add(a_person("Adán Núñez"), "carla")
    service.add(a_person("王小明", number="LIB-7"), "carla")
    assert [member.person.name for member in service.search(words)] == names
    assert service.search(words, limit=1) == service.search(words)[:1]
    assert service.search(service.page()[0].reference.lower()) == service.page(limit=1)


def test_a_change_is_journaled_once_and_no_change_not(desk) -> None:
    service = Members(desk)
    ada = service.add(a_person(), "carla")
    service.change(ada.reference, replace(ada.person, name="Ada King"), "david")
    service.change(ada.reference, replace(ada.person, name="Ada  King "), "david")
    assert service.get(ada.reference).person.name == "Ada King"
    assert [row[:2] for row in journal(desk)] == [
        ("carla", "member-added"), ("david", "member-changed"),
    ]  # fmt: skip
    with pytest.raises(UnknownMember, match=r"^no member has this reference$"):
        service.change("NOBODY", ada.person, "david")


@pytest.mark.parametrize(
    ("change", "left"),
    [
        ({"name": "Ada King", "email": "a@example.org", "kind": Kind.ONLINE_ID}, [0, 0]),
        ({"valid_until": NOW + 500 * DAY}, [0, 0]),
        ({"valid_until": NOW + 100 * DAY}, [0, 1]),  # basic 90 days, upgraded a year
        ({"valid_until": NOW + 10 * DAY}, [1, 1]),
        ({"level": 1}, [0, 1]),
        ({"regions": ("DE-BE",)}, [1, 1]),
    ],
)
def test_what_a_change_makes_untrue_is_withdrawn(desk, change, left) -> None:
    service = Members(desk)
    ada = service.add(a_person(level=2, regions=("DE-BE", "DE-BB")), "carla")
    other = service.add(a_person("Bob"), "carla")
    sign(desk, ada)
    sign(desk, ada, level=2)
    sign(desk, other)
    service.change(ada.reference, replace(ada.person, **change), "david")
    assert states(desk, ada.reference) == left
    assert states(desk, other.reference) == [0]
    revoked = [row for row in journal(desk) if row[1] == "revoked"]
    assert [row[3] for row in revoked] == [f"credentials: {sum(left)}"] * (sum(left) > 0)


def test_an_erased_member_is_nobody_and_all_is_withdrawn(any_desk) -> None:
    service = Members(any_desk)
    ada = service.add(a_person(number="A-1", regions=("DE-BE",)), "carla")
    sign(any_desk, ada)
    sign(any_desk, ada, form=Form.CARD)
    offer = Offers(any_desk).create(
        ada, purpose=Purpose.ISSUE, kind=Kind.LIBRARY_CARD, level=1, who="carla"
    )
    service.erase(ada.reference, "david")
    gone = service.get(ada.reference)
    assert (gone.person.name, gone.person.number, gone.person.regions) == ("", "", ())
    assert gone.ended_at == NOW
    assert (service.count(), service.page(), service.search("ada")) == (0, [], [])
    assert service.by_number("A-1") is None
    assert states(any_desk, ada.reference) == [Status.REVOKED, Status.REVOKED]
    with any_desk.store.read() as connection:
        row = connection.execute(sa.select(members)).one()
        left = connection.execute(sa.select(offers)).one()
    assert (row.sealed, row.number_digest) == (b"", None)
    assert (left.state, left.sealed) == ("dead", None)
    assert [row[:2] for row in journal(any_desk)][-2:] == [
        ("david", "member-erased"), ("david", "revoked"),
    ]  # fmt: skip
    for again in (
        lambda: service.erase(ada.reference, "david"),
        lambda: service.change(ada.reference, ada.person, "david"),
    ):
        with pytest.raises(UnknownMember, match=r"^this member was erased$"):
            again()
    service.add(a_person(number="A-1"), "carla")
    assert Offers(any_desk).look(offer.code) == "killed"


def test_long_after_a_membership_its_member_is_forgotten(desk, desk_clock) -> None:
    service = Members(desk)
    short = service.add(a_person(valid_until=NOW + DAY), "carla")
    long = service.add(a_person("Bob"), "carla")
    sign(desk, short)
    desk_clock.now = NOW + 91 * DAY
    assert service.sweep() == 0
    desk_clock.now += 1
    assert service.sweep() == 1
    assert service.get(short.reference).person.name == ""
    assert journal(desk)[-2][:3] == ("desk", "member-erased", short.reference)
    # Its row stays as long as the status list speaks of its credentials.
    assert Credentials(desk).sweep() == 1
    assert service.sweep() == 0
    with pytest.raises(UnknownMember):
        service.get(short.reference)
    assert service.get(long.reference).person.name == "Bob"


def test_a_row_that_was_moved_or_changed_is_not_believed(desk) -> None:
    service = Members(desk)
    ada, bob = service.add_all([a_person("Ada"), a_person("Bob")], "carla")
    with desk.store.write() as connection:
        taken = connection.execute(
            sa.select(members.c.sealed).where(members.c.id == ada.id)
        ).scalar_one()
        connection.execute(members.update().where(members.c.id == bob.id).values(sealed=taken))
    assert service.get(ada.reference) == ada
    with pytest.raises(SealBroken):
        service.get(bob.reference)


def test_the_length_of_what_is_sealed_tells_no_name(desk) -> None:
    service = Members(desk)
    service.add_all([a_person("Al"), a_person("Maximiliane")], "carla")
    with desk.store.read() as connection:
        sealed = connection.execute(sa.select(members.c.sealed)).scalars().all()
    assert len({len(each) for each in sealed}) == 1


def test_two_desks_that_add_the_same_number_have_one_member_of_it(any_desk) -> None:
    service = Members(any_desk)
    refused = []

    def add(name: str) -> None:
        try:
            service.add(a_person(name, number="A-1"), "carla")
        except MemberError as error:
            refused.append(str(error))

    threads = [threading.Thread(target=add, args=(f"P{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert service.count() == 1
    assert refused == ["number: another member has it"] * 3


def test_what_a_new_member_usually_has_is_the_places(desk) -> None:
    usual = Members(desk).usual()
    assert (usual.name, usual.kind, usual.valid_until, usual.regions) == (
        "", Kind.LIBRARY_CARD, NOW + 365 * DAY, (),
    )  # fmt: skip
