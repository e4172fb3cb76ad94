"""The people whom the desk issues for: kept sealed, found by opening, erased whole.

Rules:
- name, e-mail, birth date and the place's own number stand in the database only sealed, bound to
  the row's reference and padded, so that not even their lengths are told;
- `reference` is what everything else knows a person by, `sub` of the credentials among it: random,
  60 bits in Crockford's base32, never made from anything of the person's;
- a search opens every row: an index of words would tell a copied database what is frequent
  (decision 36). The place's number alone is found by its keyed hash;
- every change is journaled in its transaction, by reference;
- what a change makes untrue on credentials that are out is withdrawn with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from agent.desk import text
from agent.desk.audit import Action
from agent.desk.desk import Desk
from agent.desk.member_rows import (
    REFERENCE_LENGTH,
    Member,
    columns,
    new_references,
    opened,
)  # fmt: skip
from agent.desk.person import NUMBER_MOST, MemberError, Person, checked
from agent.desk.statuses import Selection, Status, cut_off, set_status
from agent.desk.tables import credentials, invitations, members, offers

__all__ = ["REFERENCE_LENGTH", "Member", "MemberError", "Members", "Person", "UnknownMember"]

_NUMBER: Final = "member-number"
_SEARCH_MOST: Final = 100
_AT_ONCE: Final = 500


class UnknownMember(MemberError):
    """No member has the reference."""


class Members:
    """The members of a desk.

    Args:
        desk: that is open.

    Attributes:
        desk: the same.
    """

    def __init__(self, desk: Desk) -> None:
        self.desk = desk

    # --- changing ---------------------------------------------------------------------------------

    def add(self, person: Person, who: str) -> Member:
        """Take somebody in.

        Raises:
            MemberError: a field is wrong, or the number is another's.
        """
        with self.desk.store.write() as connection:
            return self.add_in(connection, person, who)

    def add_all(self, persons: Iterable[Person], who: str) -> list[Member]:
        """Take all in, or none.

        Raises:
            MemberError: of the first that cannot be; it says which, from 1.
        """
        with self.desk.store.write() as connection:
            return self.add_all_in(connection, persons, who)

    def add_in(
        self,
        connection: Connection,
        person: Person,
        who: str,
        *,
        action: Action = Action.MEMBER_ADDED,
    ) -> Member:
        """Take somebody in, in a transaction that is open; else as `add`."""
        person = self._new(person)
        return self._insert(connection, [person], who, action)[0]

    def add_all_in(
        self,
        connection: Connection,
        persons: Iterable[Person],
        who: str,
        *,
        action: Action = Action.MEMBER_ADDED,
    ) -> list[Member]:
        """Take all in, in a transaction that is open; else as `add_all`."""
        ready = []
        for number, person in enumerate(persons, 1):
            try:
                ready.append(self._new(person))
            except MemberError as error:
                raise MemberError(f"person {number}: {error}") from None
        added = []
        for start in range(0, len(ready), _AT_ONCE):
            added += self._insert(connection, ready[start : start + _AT_ONCE], who, action)
        return added

    def change(self, reference: str, person: Person, who: str) -> Member:
        """Put other words in somebody's place; withdraw what they make untrue.

        Credentials that outlive the new membership, that are of a level it has no more or that were
        given for other regions are revoked, since they say what is not so.

        Raises:
            MemberError: a field is wrong, the number is another's, or there is no such member.
        """
        with self.desk.store.write() as connection:
            return self.change_in(connection, reference, person, who)

    def change_in(self, connection: Connection, reference: str, person: Person, who: str) -> Member:
        """Change a member in a transaction that is open; else as `change`."""
        before = self._living(connection, reference)
        person = self.checked(person)
        if person == before.person:
            return before
        digest = self._number_digest(connection, person.number, but=before.id)
        connection.execute(
            members.update()
            .where(members.c.id == before.id)
            .values(number_digest=digest, **columns(self.desk.key, reference, person))
        )
        self._write(connection, who, Action.MEMBER_CHANGED, reference)
        untrue = []
        if person.regions != before.person.regions:
            untrue.append(Selection(member=reference))
        if person.level < before.person.level:
            untrue.append(Selection(member=reference, level=before.person.level))
        if person.valid_until < before.person.valid_until:
            untrue.append(Selection(member=reference, later_than=person.valid_until))
        for selection in untrue:
            set_status(
                connection, self.desk.journal, selection, Status.REVOKED, who=who,
                action=Action.REVOKED, now=self.desk.clock(),
            )  # fmt: skip
        return replace(before, person=person)

    def erase(self, reference: str, who: str) -> None:
        """Forget somebody: the row says no more who it was, and every credential is revoked.

        The credentials' entries in the status list stay revoked until they are over; their rows and
        the journal's know the reference only, which nothing ties to a person any more.

        Raises:
            UnknownMember: there is no such member, or not any more.
        """
        with self.desk.store.write() as connection:
            self._erase(connection, self._living(connection, reference), who)
        self.desk.store.settle()

    def sweep(self) -> int:
        """Erase whose membership ended `rules.keep_days` ago; drop erased rows that nothing names.

        Returns:
            How many were erased.
        """
        before = self.desk.clock() - self.desk.settings.rules.keep_days * 86_400
        over = sa.and_(members.c.ended_at.is_(None), members.c.valid_until < before)
        with self.desk.store.write() as connection:
            rows = connection.execute(sa.select(members).where(over)).all()
            for row in rows:
                self._erase(connection, self._opened(row), "desk")
            named = sa.union(
                *(
                    sa.select(table.c.member).where(table.c.member.is_not(None))
                    for table in (credentials, offers, invitations)
                )
            )
            connection.execute(
                members.delete().where(members.c.ended_at.is_not(None), members.c.id.not_in(named))
            )
        self.desk.store.settle()
        return len(rows)

    # --- finding ----------------------------------------------------------------------------------

    def get(self, reference: str) -> Member:
        """Return a member, also one who was erased.

        Raises:
            UnknownMember: nobody has the reference.
        """
        with self.desk.store.read() as connection:
            return self.get_in(connection, reference)

    def get_in(self, connection: Connection, reference: str) -> Member:
        """Return a member as a transaction that is open sees it; else as `get`."""
        found = connection.execute(
            sa.select(members).where(members.c.reference == _reference(reference))
        ).first()
        if found is None:
            raise UnknownMember("no member has this reference")
        return self._opened(found)

    def by_id(self, number: int, connection: Connection | None = None) -> Member:
        """Return the member of a row, in a transaction that is open where one is given.

        Raises:
            UnknownMember: there is no such row.
        """
        if connection is None:
            with self.desk.store.read() as own:
                return self.by_id(number, own)
        found = connection.execute(sa.select(members).where(members.c.id == number)).first()
        if found is None:
            raise UnknownMember("no member has this number of a row")
        return self._opened(found)

    def by_number(self, number: str) -> Member | None:
        """Return who has the place's own number."""
        try:
            digest = self._digest(text.clean(number, "number", most=NUMBER_MOST))
        except text.TextError:
            return None
        if digest is None:
            return None
        with self.desk.store.read() as connection:
            found = connection.execute(
                sa.select(members).where(members.c.number_digest == digest)
            ).first()
        return None if found is None else self._opened(found)

    def search(self, words: str, limit: int = 50) -> list[Member]:
        """Return members in whom each word is found: name, e-mail, number or reference.

        Capitals and accents make no difference. Who joined first comes first.
        """
        wanted = text.fold(words[:_SEARCH_MOST]).split()
        found: list[Member] = []
        if not wanted:
            return found
        for member in self.all():
            person = member.person
            hay = text.fold(f"{person.name}\n{person.email}\n{person.number}\n{member.reference}")
            if all(word in hay for word in wanted):
                found.append(member)
                if len(found) >= limit:
                    break
        return found

    def page(self, after_id: int = 0, limit: int = 100) -> list[Member]:
        """Return the members after a row's number, who joined first first."""
        query = (
            sa.select(members)
            .where(members.c.ended_at.is_(None), members.c.id > after_id)
            .order_by(members.c.id)
            .limit(max(1, min(limit, _AT_ONCE)))
        )
        with self.desk.store.read() as connection:
            rows = connection.execute(query).all()
        return [self._opened(row) for row in rows]

    def all(self) -> Iterator[Member]:
        """Yield every member, some hundreds at a time."""
        after = 0
        while rows := self.page(after, _AT_ONCE):
            yield from rows
            after = rows[-1].id

    def usual(self) -> Person:
        """Return what a new member has where nothing else is said; nameless."""
        settings = self.desk.settings
        return Person(
            "",
            kind=settings.issuer.kinds[0],
            valid_until=self.desk.clock() + settings.issuer.upgraded_days * 86_400,
            regions=(settings.place.region,) if settings.place.region else (),
        )

    def count(self) -> int:
        """Return how many are members."""
        with self.desk.store.read() as connection:
            return self.count_in(connection)

    def count_in(self, connection: Connection) -> int:
        """Return how many are members, in a transaction that is open."""
        query = sa.select(sa.func.count()).where(members.c.ended_at.is_(None))
        return int(connection.execute(query).scalar_one())

    def checked(self, person: Person) -> Person:
        """Return a person as it is kept.

        Raises:
            MemberError: the first field that is wrong.
        """
        return checked(person, kinds=self.desk.settings.issuer.kinds, now=self.desk.clock())

    # ----------------------------------------------------------------------------------------------

    def _opened(self, row: Row[Any]) -> Member:
        return opened(self.desk.key, row)

    def _living(self, connection: Connection, reference: str) -> Member:
        member = self.get_in(connection, reference)
        if member.ended_at is not None:
            raise UnknownMember("this member was erased")
        return member

    def _erase(self, connection: Connection, member: Member, who: str) -> None:
        now = self.desk.clock()
        connection.execute(
            members.update()
            .where(members.c.id == member.id)
            .values(sealed=b"", number_digest=None, regions="", ended_at=now)
        )
        cut_off(connection, member.id, invited=True)
        self._write(connection, who, Action.MEMBER_ERASED, member.reference)
        set_status(
            connection, self.desk.journal, Selection(member=member.reference), Status.REVOKED,
            who=who, action=Action.REVOKED, now=now,
        )  # fmt: skip

    def _write(self, connection: Connection, who: str, action: Action, reference: str) -> None:
        self.desk.journal.write(
            connection, at=self.desk.clock(), who=who, action=action, reference=reference
        )

    def _new(self, person: Person) -> Person:
        person = self.checked(person)
        if person.valid_until <= self.desk.clock():
            raise MemberError("valid until: is over already")
        return person

    def _insert(
        self, connection: Connection, persons: list[Person], who: str, action: Action
    ) -> list[Member]:
        """Insert some hundreds at once: one by one, ten thousand would hold others up."""
        now = self.desk.clock()
        digests = [self._digest(person.number) for person in persons]
        given = [digest for digest in digests if digest is not None]
        taken = sa.select(members.c.id).where(members.c.number_digest.in_(given)).limit(1)
        if len(set(given)) < len(given) or connection.execute(taken).first() is not None:
            raise MemberError("number: another member has it")
        references = new_references(connection, len(persons))
        connection.execute(
            members.insert(),
            [
                {
                    "reference": reference, "number_digest": digest, "created_at": now,
                    "ended_at": None, **columns(self.desk.key, reference, person),
                }
                for reference, digest, person in zip(references, digests, persons, strict=True)
            ],
        )  # fmt: skip
        self.desk.journal.write_all(
            connection, at=now, who=who, action=action, references=references
        )
        query = sa.select(members.c.reference, members.c.id)
        found = connection.execute(query.where(members.c.reference.in_(references)))
        ids: dict[str, int] = {row.reference: row.id for row in found}
        return [
            Member(ids[reference], reference, person, now)
            for reference, person in zip(references, persons, strict=True)
        ]

    def _digest(self, number: str) -> bytes | None:
        if not number:
            return None
        return self.desk.key.digest(_NUMBER, text.fold(number).encode())

    def _number_digest(self, connection: Connection, number: str, *, but: int) -> bytes | None:
        """Return the keyed hash of a number that nobody but one has."""
        digest = self._digest(number)
        if digest is not None:
            taken = sa.select(members.c.id).where(members.c.number_digest == digest)
            holder = connection.execute(taken).scalar()
            if holder is not None and holder != but:
                raise MemberError("number: another member has it")
        return digest


def _reference(text_: str) -> str:
    """Return a reference as it is kept, from how people copy it."""
    return text_.strip().upper()[: REFERENCE_LENGTH + 1]
