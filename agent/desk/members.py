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

import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from agent.clock.moment import LAST
from agent.credential.model import Kind
from agent.desk import text
from agent.desk.audit import Action
from agent.desk.desk import Desk
from agent.desk.statuses import Selection, Status, cut_off, set_status
from agent.desk.tables import credentials, invitations, members, offers
from agent.settings.checks import REGION

__all__ = ["REFERENCE_LENGTH", "Member", "MemberError", "Members", "Person", "UnknownMember"]

REFERENCE_LENGTH: Final = 12
_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Crockford's base32: no letter that is taken for a digit, and none that makes words."""
_PURPOSE: Final = "member"
_NUMBER: Final = "member-number"
_PAD: Final = 64
_NAME_MOST, _NUMBER_MOST, _SEARCH_MOST, _REGIONS_MOST = 120, 32, 100, 60
_AT_ONCE: Final = 500


class MemberError(ValueError):
    """The member cannot be kept, changed or found; one line for people, nothing personal in it."""


class UnknownMember(MemberError):
    """No member has the reference."""


@dataclass(frozen=True, slots=True)
class Person:
    """What the place knows of somebody.

    Attributes:
        name: as it is said.
        email: or "".
        birth_date: YYYY-MM-DD, or "".
        number: the place's own, or "".
        kind: of credential.
        level: 1 basic, 2 upgraded: what the member may have.
        valid_until: last second of the membership, Unix seconds.
        regions: ISO 3166-2 codes; none means everywhere.
    """

    name: str = field(repr=False)
    email: str = field(repr=False, default="")
    birth_date: str = field(repr=False, default="")
    number: str = field(repr=False, default="")
    kind: Kind = Kind.LIBRARY_CARD
    level: int = 1
    valid_until: int = 0
    regions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Member:
    """A row that was opened.

    Attributes:
        id: number of the row.
        reference: opaque, random.
        person: nameless where the member was erased.
        created_at: Unix seconds.
        ended_at: Unix seconds, None while a member.
    """

    id: int
    reference: str
    person: Person
    created_at: int
    ended_at: int | None = None


class _Sealed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    email: str
    birth_date: str
    number: str


class Members:
    """The members of a desk.

    Args:
        desk: that is open.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    # --- changing ---------------------------------------------------------------------------------

    def add(self, person: Person, who: str) -> Member:
        """Take somebody in.

        Raises:
            MemberError: a field is wrong, or the number is another's.
        """
        with self._desk.store.write() as connection:
            return self.add_in(connection, person, who)

    def add_all(self, persons: Iterable[Person], who: str) -> list[Member]:
        """Take all in, or none.

        Raises:
            MemberError: of the first that cannot be; it says which, from 1.
        """
        with self._desk.store.write() as connection:
            added = []
            for number, person in enumerate(persons, 1):
                try:
                    added.append(self.add_in(connection, person, who))
                except MemberError as error:
                    raise MemberError(f"person {number}: {error}") from None
            return added

    def add_in(
        self,
        connection: Connection,
        person: Person,
        who: str,
        *,
        action: Action = Action.MEMBER_ADDED,
    ) -> Member:
        """Take somebody in, in a transaction that is open; else as `add`."""
        now = self._desk.clock()
        person = self.checked(person)
        if person.valid_until <= now:
            raise MemberError("valid until: is over already")
        digest = self._number_digest(connection, person.number)
        reference = self._new_reference(connection)
        added = connection.execute(
            members.insert().values(
                reference=reference, number_digest=digest, created_at=now, ended_at=None,
                **self._columns(reference, person),
            )
        )  # fmt: skip
        key = added.inserted_primary_key
        assert key is not None
        self._write(connection, who, action, reference)
        return Member(int(key[0]), reference, person, now)

    def change(self, reference: str, person: Person, who: str) -> Member:
        """Put other words in somebody's place; withdraw what they make untrue.

        Credentials that outlive the new membership, that are of a level it has no more or that were
        given for other regions are revoked, since they say what is not so.

        Raises:
            MemberError: a field is wrong, the number is another's, or there is no such member.
        """
        with self._desk.store.write() as connection:
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
            .values(number_digest=digest, **self._columns(reference, person))
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
                connection, self._desk.journal, selection, Status.REVOKED, who=who,
                action=Action.REVOKED, now=self._desk.clock(),
            )  # fmt: skip
        return replace(before, person=person)

    def erase(self, reference: str, who: str) -> None:
        """Forget somebody: the row says no more who it was, and every credential is revoked.

        The credentials' entries in the status list stay revoked until they are over; their rows and
        the journal's know the reference only, which nothing ties to a person any more.

        Raises:
            UnknownMember: there is no such member, or not any more.
        """
        with self._desk.store.write() as connection:
            self._erase(connection, self._living(connection, reference), who)
        self._desk.store.settle()

    def sweep(self) -> int:
        """Erase whose membership ended `rules.keep_days` ago; drop erased rows that nothing names.

        Returns:
            How many were erased.
        """
        before = self._desk.clock() - self._desk.settings.rules.keep_days * 86_400
        over = sa.and_(members.c.ended_at.is_(None), members.c.valid_until < before)
        with self._desk.store.write() as connection:
            rows = connection.execute(sa.select(members).where(over)).all()
            for row in rows:
                self._erase(connection, self._member(row), "desk")
            named = sa.union(
                *(
                    sa.select(table.c.member).where(table.c.member.is_not(None))
                    for table in (credentials, offers, invitations)
                )
            )
            connection.execute(
                members.delete().where(members.c.ended_at.is_not(None), members.c.id.not_in(named))
            )
        self._desk.store.settle()
        return len(rows)

    # --- finding ----------------------------------------------------------------------------------

    def get(self, reference: str) -> Member:
        """Return a member, also one who was erased.

        Raises:
            UnknownMember: nobody has the reference.
        """
        with self._desk.store.read() as connection:
            return self.get_in(connection, reference)

    def get_in(self, connection: Connection, reference: str) -> Member:
        """Return a member as a transaction that is open sees it; else as `get`."""
        found = connection.execute(
            sa.select(members).where(members.c.reference == _reference(reference))
        ).first()
        if found is None:
            raise UnknownMember("no member has this reference")
        return self._member(found)

    def by_id(self, number: int, connection: Connection | None = None) -> Member:
        """Return the member of a row, in a transaction that is open where one is given.

        Raises:
            UnknownMember: there is no such row.
        """
        if connection is None:
            with self._desk.store.read() as own:
                return self.by_id(number, own)
        found = connection.execute(sa.select(members).where(members.c.id == number)).first()
        if found is None:
            raise UnknownMember("no member has this number of a row")
        return self._member(found)

    def by_number(self, number: str) -> Member | None:
        """Return who has the place's own number."""
        try:
            digest = self._digest(text.clean(number, "number", most=_NUMBER_MOST))
        except text.TextError:
            return None
        if digest is None:
            return None
        with self._desk.store.read() as connection:
            found = connection.execute(
                sa.select(members).where(members.c.number_digest == digest)
            ).first()
        return None if found is None else self._member(found)

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
        with self._desk.store.read() as connection:
            rows = connection.execute(query).all()
        return [self._member(row) for row in rows]

    def all(self) -> Iterator[Member]:
        """Yield every member, some hundreds at a time."""
        after = 0
        while rows := self.page(after, _AT_ONCE):
            yield from rows
            after = rows[-1].id

    def count(self) -> int:
        """Return how many are members."""
        query = sa.select(sa.func.count()).where(members.c.ended_at.is_(None))
        with self._desk.store.read() as connection:
            return int(connection.execute(query).scalar_one())

    # --- fields -----------------------------------------------------------------------------------

    def checked(self, person: Person) -> Person:
        """Return a person as it is kept.

        Raises:
            MemberError: the first field that is wrong.
        """
        today = datetime.fromtimestamp(self._desk.clock(), UTC).date()
        try:
            name = text.clean(person.name, "name", most=_NAME_MOST, least=1)
            email = text.email(person.email)
            birth_date = text.birth_date(person.birth_date, today)
            number = text.clean(person.number, "number", most=_NUMBER_MOST)
        except text.TextError as error:
            raise MemberError(str(error)) from None
        allowed = self._desk.settings.issuer.kinds
        if person.kind not in allowed:
            raise MemberError(f"kind: allowed: {', '.join(allowed)}")
        if type(person.level) is not int or person.level not in (1, 2):
            raise MemberError("level: 1 basic or 2 upgraded")
        if type(person.valid_until) is not int or not 0 < person.valid_until <= LAST:
            raise MemberError("valid until: no moment before the year 10000")
        return Person(
            name, email, birth_date, number, Kind(person.kind), person.level, person.valid_until,
            _regions(person.regions),
        )  # fmt: skip

    # --- the row ----------------------------------------------------------------------------------

    def _columns(self, reference: str, person: Person) -> dict[str, Any]:
        data = msgspec.json.encode(
            _Sealed(person.name, person.email, person.birth_date, person.number)
        )
        data += b" " * (-len(data) % _PAD)
        return {
            "sealed": self._desk.key.seal(_PURPOSE, data, about=reference.encode()),
            "kind": str(person.kind),
            "level": person.level,
            "valid_until": person.valid_until,
            "regions": " ".join(person.regions),
        }

    def _member(self, row: Row[Any]) -> Member:
        """Open a row.

        Raises:
            SealBroken: by another site key, or changed.
        """
        sealed = _Sealed("", "", "", "")
        if row.sealed:
            data = self._desk.key.open(_PURPOSE, row.sealed, about=row.reference.encode())
            sealed = msgspec.json.decode(data, type=_Sealed)
        person = Person(
            sealed.name, sealed.email, sealed.birth_date, sealed.number, Kind(row.kind), row.level,
            row.valid_until, tuple(row.regions.split()),
        )  # fmt: skip
        return Member(row.id, row.reference, person, row.created_at, row.ended_at)

    def _living(self, connection: Connection, reference: str) -> Member:
        member = self.get_in(connection, reference)
        if member.ended_at is not None:
            raise UnknownMember("this member was erased")
        return member

    def _erase(self, connection: Connection, member: Member, who: str) -> None:
        now = self._desk.clock()
        connection.execute(
            members.update()
            .where(members.c.id == member.id)
            .values(sealed=b"", number_digest=None, regions="", ended_at=now)
        )
        cut_off(connection, member.id, invited=True)
        self._write(connection, who, Action.MEMBER_ERASED, member.reference)
        set_status(
            connection, self._desk.journal, Selection(member=member.reference), Status.REVOKED,
            who=who, action=Action.REVOKED, now=now,
        )  # fmt: skip

    def _write(self, connection: Connection, who: str, action: Action, reference: str) -> None:
        self._desk.journal.write(
            connection, at=self._desk.clock(), who=who, action=action, reference=reference
        )

    def _new_reference(self, connection: Connection) -> str:
        while True:
            reference = "".join(secrets.choice(_ALPHABET) for _ in range(REFERENCE_LENGTH))
            taken = sa.select(members.c.id).where(members.c.reference == reference)
            if connection.execute(taken).first() is None:
                return reference

    def _digest(self, number: str) -> bytes | None:
        if not number:
            return None
        return self._desk.key.digest(_NUMBER, text.fold(number).encode())

    def _number_digest(
        self, connection: Connection, number: str, *, but: int | None = None
    ) -> bytes | None:
        """Return the keyed hash of a number that nobody else has."""
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


def _regions(given: Iterable[str]) -> tuple[str, ...]:
    regions = tuple(sorted(set(given)))
    if len(regions) > _REGIONS_MOST:
        raise MemberError(f"regions: over {_REGIONS_MOST}")
    if not all(isinstance(each, str) and REGION.fullmatch(each) for each in regions):
        raise MemberError("regions: ISO 3166-2 codes, such as DE-BE")
    return regions
