"""The desk's database: one writer at a time, nothing half, and nothing to read in a copy of it."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing

import pytest
import sqlalchemy as sa

from agent.desk.invitations import Invitations
from agent.desk.members import Members
from agent.desk.offers import Offers, Purpose
from agent.desk.seal import SealBroken
from agent.desk.store import DeskStore
from agent.desk.tables import members, metadata, nonces
from agent.desk.vci.app import issuer_app
from agent.issuing.issue import face_template
from tests.support.asgi import talking_to
from tests.support.desks import NOW, a_desk, a_person
from tests.support.phones import Phone, jwk

LATER = 4_300_000_000
"""In 2106, past 32 bits."""


def test_two_that_write_never_decide_on_what_the_other_changes(any_desk) -> None:
    store = any_desk.store
    with store.write() as connection:
        connection.execute(nonces.insert().values(digest=b"n", expires_at=0))

    def count() -> None:
        for _ in range(10):
            with store.write() as own:
                seen = own.execute(sa.select(nonces.c.expires_at)).scalar_one()
                own.execute(nonces.update().values(expires_at=seen + 1))

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with store.read() as connection:
        assert connection.execute(sa.select(nonces.c.expires_at)).scalar_one() == 40


def test_who_reads_waits_for_nobody_and_sees_only_what_is_whole(any_desk) -> None:
    with any_desk.store.write() as writing:
        writing.execute(nonces.insert().values(digest=b"n", expires_at=0))
        with any_desk.store.read() as reading:
            assert reading.execute(sa.select(nonces)).all() == []
    with any_desk.store.read() as reading:
        assert len(reading.execute(sa.select(nonces)).all()) == 1


def test_times_past_2038_are_kept(any_desk) -> None:
    found = Members(any_desk).add(a_person(valid_until=LATER), "carla")
    assert Members(any_desk).get(found.reference).person.valid_until == LATER
    columns = [column for table in metadata.sorted_tables for column in table.columns]
    times = [each for each in columns if each.name.endswith(("_at", "_until")) or each.name == "at"]
    assert len(times) >= 20
    assert {str(each) for each in times if not isinstance(each.type, sa.BigInteger)} == set()


def test_what_the_database_refuses_is_one_line_without_the_password(tmp_path) -> None:
    with pytest.raises(ValueError, match=f"^sqlite:///{tmp_path}/no/x: unable to open"):
        DeskStore(f"sqlite:///{tmp_path}/no/x")
    with pytest.raises(ValueError) as refused:
        DeskStore(f"postgresql+psycopg://me:secret@/x?host={tmp_path}")
    assert "secret" not in str(refused.value)
    assert "\n" not in str(refused.value)


def test_an_error_of_the_database_repeats_no_value(any_desk) -> None:
    row = {
        "reference": "TWICE", "sealed": b"", "kind": "k", "level": 1, "valid_until": 1,
        "regions": "DE-BE", "created_at": 1,
    }  # fmt: skip

    def insert() -> None:
        with any_desk.store.write() as connection:
            connection.execute(members.insert().values(row))

    insert()
    with pytest.raises(sa.exc.IntegrityError) as refused:
        insert()
    assert "DE-BE" not in str(refused.value)


def test_a_copied_database_says_nothing_of_anybody(make_desk, tmp_path) -> None:
    """Everything that a desk does with a person, and then every byte of its files."""
    desk = make_desk()
    person = a_person(
        "Żaneta Quispe-Brontë", email="zaneta@quispe.example", birth_date="1987-06-05",
        number="LIB-0042-X",
    )  # fmt: skip
    member = Members(desk).add(person, "carla")
    template = bytes(range(7, 135))
    offer = Offers(desk).create(
        member, purpose=Purpose.ISSUE, kind="library-card", level=2,
        references=[face_template(template, "model")], who="carla",
    )  # fmt: skip
    waiting = Offers(desk).create(
        member, purpose=Purpose.RENEW, kind="library-card", level=2,
        references=[face_template(template, "model")], who="carla",
    )  # fmt: skip
    invitation = Invitations(desk).create("library-card", 3, 7, who="carla")
    with talking_to(issuer_app(desk), "https://desk.localhost:8444") as web:
        phone = Phone(web)
        taken = phone.take(offer.uri, offer.transaction_code)
        nonce = phone.nonce()
    assert template in taken[0]
    secrets = {
        "name": person.name, "a word of the name": "Quispe", "e-mail": person.email,
        "birth date": person.birth_date, "number": person.number, "template": template,
        "part of the template": template[40:56], "code": offer.code, "code, raw": waiting.code,
        "transaction code": waiting.transaction_code, "access token": phone.token["access_token"],
        "refresh token": phone.token["refresh_token"], "nonce": nonce,
        "notification": phone.answer["notification_id"], "credential": taken[0],
        "invitation": invitation.rsplit("%2F", 1)[1], "holder's key": jwk(phone.holders[0])["x"],
    }  # fmt: skip
    files = sorted((tmp_path / "desk").glob("desk.sqlite*"))
    assert len(files) == 3  # with what SQLite has not yet moved
    copied = b"".join(file.read_bytes() for file in files)
    assert member.reference.encode() in copied  # the search finds what is there
    found = {
        what
        for what, secret in secrets.items()
        for form in forms(secret)
        if form.lower() in copied.lower()
    }
    assert found == set()
    # And by another key nothing opens.
    desk.close()
    (tmp_path / "desk" / "site.key").write_bytes(bytes(32))
    stolen = a_desk(tmp_path / "desk")
    with pytest.raises(SealBroken):
        Members(stolen).get(member.reference)
    assert Members(stolen).by_number(person.number) is None
    stolen.close()


def forms(secret: str | bytes) -> list[bytes]:
    if isinstance(secret, bytes):
        return [secret, secret.hex().encode()]
    return [secret.encode(), secret.encode("utf-16-le"), secret.encode("utf-16-be")]


def test_what_was_erased_is_overwritten_on_the_disk(desk, tmp_path) -> None:
    service = Members(desk)
    member = service.add(a_person(), "carla")
    with desk.store.read() as connection:
        sealed = connection.execute(sa.select(members.c.sealed)).scalar_one()
    files = sorted((tmp_path / "desk").glob("desk.sqlite*"))
    assert any(sealed in file.read_bytes() for file in files)
    service.erase(member.reference, "carla")
    assert [file.name for file in files if sealed in file.read_bytes()] == []
    with closing(sqlite3.connect(tmp_path / "desk" / "desk.sqlite")) as database:
        assert database.execute("SELECT sealed, ended_at FROM member").fetchall() == [(b"", NOW)]
