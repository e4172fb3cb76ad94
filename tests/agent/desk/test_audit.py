"""The desk's journal: whoever changes, takes away or slips in a row is found, and where."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from agent.desk.audit import Action, Journal
from agent.desk.desk import Desk
from agent.desk.seal import SiteKey
from agent.desk.tables import audit, audit_head
from tests.support.desks import NOW


def write(desk: Desk, number: int) -> None:
    for count in range(number):
        with desk.store.write() as connection:
            desk.journal.write(
                connection, at=NOW + count, who="carla", action=Action.SUSPENDED,
                reference=f"REF{count}", detail="credentials: 1",
            )  # fmt: skip


def verified(desk: Desk) -> int | None:
    with desk.store.read() as connection:
        return desk.journal.verify(connection)


def test_rows_are_read_newest_first_and_page_by_page(any_desk) -> None:
    write(any_desk, 5)
    assert verified(any_desk) is None
    with any_desk.store.read() as connection:
        rows = any_desk.journal.read(connection, limit=2)
        assert [(row.seq, row.at, row.reference) for row in rows] == [
            (5, NOW + 4, "REF4"), (4, NOW + 3, "REF3"),
        ]  # fmt: skip
        older = any_desk.journal.read(connection, before=4, limit=9)
        assert [row.seq for row in older] == [3, 2, 1]
        assert {(row.who, row.action, row.detail) for row in older} == {
            ("carla", "suspended", "credentials: 1")
        }


@pytest.mark.parametrize(
    ("what", "place"),
    [
        (audit.update().where(audit.c.seq == 2).values(who="david"), 2),
        (audit.update().where(audit.c.seq == 2).values(detail=""), 2),
        (audit.update().where(audit.c.seq == 3).values(at=NOW), 3),
        (audit.update().where(audit.c.seq == 1).values(action="restored"), 1),
        (audit.update().where(audit.c.seq == 4).values(reference="REF9"), 4),
        (audit.update().where(audit.c.seq == 5).values(chain=bytes(32)), 5),
        (audit.delete().where(audit.c.seq == 1), 1),
        (audit.delete().where(audit.c.seq == 3), 3),
        (audit.update().where(audit.c.seq == 5).values(seq=6), 5),
    ],
)
def test_what_was_done_to_the_table_is_found(desk, what, place) -> None:
    write(desk, 5)
    with desk.store.write() as connection:
        connection.execute(what)
    assert verified(desk) == place


def test_rows_that_were_exchanged_are_found(desk) -> None:
    write(desk, 4)
    with desk.store.write() as connection:
        two, three = connection.execute(sa.select(audit).where(audit.c.seq.in_((2, 3)))).all()
        connection.execute(audit.delete().where(audit.c.seq.in_((2, 3))))
        for row, seq in ((two, 3), (three, 2)):
            connection.execute(audit.insert().values({**row._mapping, "seq": seq}))
    assert verified(desk) == 2


def test_without_the_sites_key_nobody_writes_a_row_that_is_believed(desk) -> None:
    write(desk, 2)
    with desk.store.write() as connection:
        Journal(SiteKey(bytes(32))).write(connection, at=NOW, who="m", action=Action.RESTORED)
    assert verified(desk) == 3


@pytest.mark.parametrize("left", [0, 3])
def test_a_tail_that_was_cut_off_is_found(desk, left) -> None:
    write(desk, 5)
    with desk.store.write() as connection:
        connection.execute(audit.delete().where(audit.c.seq > left))
    assert verified(desk) == left + 1
    # Whoever writes next does not mend it.
    write(desk, 1)
    assert verified(desk) == left + 1


@pytest.mark.parametrize(
    "what",
    [
        audit_head.delete(),
        audit_head.update().values(seq=2),
        audit_head.update().values(chain=bytes(32)),
        audit_head.update().values(seal=bytes(32)),
    ],
)
def test_an_end_that_was_moved_is_found_also_later(desk, what) -> None:
    write(desk, 3)
    with desk.store.write() as connection:
        connection.execute(audit.delete().where(audit.c.seq == 3))
        connection.execute(what)
    assert verified(desk) == 3
    write(desk, 1)
    assert verified(desk) == (4 if what.is_delete else 3)


def test_an_auditor_who_noted_the_end_finds_an_older_copy(desk) -> None:
    with desk.store.read() as connection:
        assert desk.journal.head(connection) == (0, "")
    write(desk, 3)
    with desk.store.read() as connection:
        seq, chain = desk.journal.head(connection)
        kept = connection.execute(sa.select(audit.c.chain).where(audit.c.seq == 3)).scalar_one()
    assert (seq, chain) == (3, kept.hex()[:16])


def test_a_row_goes_with_what_it_tells_of(desk) -> None:
    write(desk, 1)

    def fail() -> None:
        with desk.store.write() as connection:
            desk.journal.write(connection, at=NOW, who="carla", action=Action.REVOKED)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    with desk.store.read() as connection:
        assert [row.seq for row in desk.journal.read(connection)] == [1]


def test_many_rows_at_once_are_chained_as_one_by_one(make_desk) -> None:
    desk, other = make_desk("a"), make_desk("b")
    names = ["A", "B", "C"]
    with desk.store.write() as connection:
        desk.journal.write_all(
            connection, at=NOW, who="carla", action=Action.MEMBER_ADDED, references=names
        )
        desk.journal.write_all(
            connection, at=NOW, who="carla", action=Action.MEMBER_ADDED, references=[]
        )
    with other.store.write() as connection:
        for name in names:
            Journal(desk.key).write(
                connection, at=NOW, who="carla", action=Action.MEMBER_ADDED, reference=name
            )
    assert verified(desk) is None
    with desk.store.read() as one, other.store.read() as two:
        query = sa.select(audit).order_by(audit.c.seq)
        assert one.execute(query).all() == two.execute(query).all()
