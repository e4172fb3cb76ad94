"""The credentials that the desk signs: what stands in the database of each, and their states.

Rules:
- what is signed is given away and not kept: the row has its identifier, its place in the status
  list and the thumbprint of the holder's key, no token, no biometric reference;
- a credential is never valid for longer than its level may be, or than the membership is;
- its place in the status list is random, so that neighbours in the list say nothing; a list that is
  full is followed by another;
- nothing is signed for who was erased, nor for whom something is suspended: restoring comes first;
- birth dates stand on credentials only where the settings say so.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from agent.credential.model import BiometricReference, Kind, Level, Modality, StatusReference
from agent.credential.numbers import Claim
from agent.desk.audit import Action
from agent.desk.desk import Desk
from agent.desk.members import Member, Members
from agent.desk.settings import DeskSettings
from agent.desk.statuses import Form, Selection, Status, cut_off, set_status
from agent.desk.tables import credentials, members, status_lists
from agent.issuing.issue import sign_credential

__all__ = [
    "FINGER_MOST",
    "CredentialError",
    "CredentialRow",
    "Credentials",
    "Form",
    "HolderKey",
    "Issued",
    "ListRow",
    "Selection",
    "Status",
    "status_uri",
]

FINGER_MOST: Final = 768
"""Bytes of a finger template on a credential: one of 512 is read by gates, one of 1,536 is not."""

_EVIDENCE: Final = re.compile(r"[a-z][a-z-]{0,31}")
_DAY: Final = 86_400
_GUESSES: Final = 8
"""Random places tried before the free ones are counted out."""


class CredentialError(ValueError):
    """No such credential can be signed or changed; one line for people, nothing personal in it."""


class HolderKey(Protocol):
    """Whose phone holds the credential: `agent.issuing.keys.PublicHolder` or `Holder`."""

    def cose_key(self) -> dict[int, Any]:
        """Return the public key for `cnf`."""
        ...

    def thumbprint(self) -> str:
        """Return the SHA-256 of the JWK, RFC 7638, hexadecimal."""
        ...


@dataclass(frozen=True, slots=True)
class Issued:
    """What was signed.

    Attributes:
        token: the tagged COSE_Sign1; given away, not kept.
        cti: identifier, hexadecimal.
        valid_until: last second, Unix seconds.
    """

    token: bytes = field(repr=False)
    cti: str
    valid_until: int


@dataclass(frozen=True, slots=True)
class CredentialRow:
    """What the desk keeps of a credential.

    Attributes:
        cti: identifier, hexadecimal.
        member: number of the member's row.
        reference: of the member.
        holder: thumbprint of the holder's key, hexadecimal; "" on cards.
        issued_at, valid_until: Unix seconds.
        status_list, status_index: where its status stands.
        evidence: kind of document that was seen, or "".
        issued_by: staff's work name, `self` or `desk`.
    """

    id: int
    cti: str
    member: int
    reference: str
    kind: Kind
    level: int
    form: Form
    holder: str
    issued_at: int
    valid_until: int
    status_list: int
    status_index: int
    status: Status
    evidence: str
    issued_by: str


@dataclass(frozen=True, slots=True)
class ListRow:
    """A status list: its number, the URI on credentials, and how many entries it has."""

    number: int
    uri: str
    size: int


def status_uri(settings: DeskSettings, number: int) -> str:
    """Return the URI of a status list, as credentials and the list itself say it."""
    return f"{settings.web.issuer}/status/{number}"


class Credentials:
    """The credentials of a desk.

    Args:
        desk: that is open.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._members = Members(desk)

    # --- signing ----------------------------------------------------------------------------------

    def sign(
        self,
        connection: Connection,
        member: Member,
        *,
        kind: Kind | str,
        level: Level | int,
        holder: HolderKey | None,
        references: Iterable[BiometricReference] = (),
        form: Form,
        evidence: str = "",
        issued_by: str,
        now: int,
        valid_until: int | None = None,
    ) -> Issued:
        """Sign a credential and keep its row; who calls journals what it was for.

        A member who gets an upgraded credential is of that level from then on.

        Args:
            connection: of a transaction that writes; the row is gone if it fails.
            member: whose; read anew here, so that an erased one gets nothing.
            kind: one of `issuer.kinds`.
            level: 1 basic, 2 upgraded.
            holder: whose key it is bound to; None for a card.
            references: biometric references, on the credential only.
            form: what carries it.
            evidence: kind of document seen, such as `passport`: letters and hyphens, so that it
                cannot be a document's number.
            issued_by: staff's work name, `self` or `desk`.
            now: Unix seconds.
            valid_until: last second; earlier than the level and the membership allow.

        Raises:
            CredentialError: it cannot be signed.
        """
        references = tuple(references)
        self._require(kind, level, evidence, references)
        if (holder is None) is not (form is Form.CARD):
            raise CredentialError("a phone's credential is bound to its key, a card's to none")
        current = self._members.by_id(member.id, connection)
        until = self._until(connection, current, int(level), now, valid_until)
        status = self._free_index(connection)
        cti = secrets.token_bytes(16)
        person = current.person
        token = sign_credential(
            self._desk.issuer,
            None,
            subject=current.reference,
            issued_at=now,
            valid_until=until,
            kind=kind,
            level=level,
            birth_date=person.birth_date if self._desk.settings.issuer.birth_date else None,
            references=references,
            regions=person.regions,
            status=StatusReference(status[0].uri, status[1]),
            cti=cti,
            claims=None if holder is None else {Claim.CNF: {1: holder.cose_key()}},
        )
        connection.execute(
            credentials.insert().values(
                cti=cti.hex(), member=current.id, kind=str(kind), level=int(level), form=str(form),
                holder="" if holder is None else holder.thumbprint(), issued_at=now,
                valid_until=until, status_list=status[0].number, status_index=status[1],
                status=int(Status.VALID), evidence=evidence, issued_by=issued_by,
            )
        )  # fmt: skip
        if level > person.level:
            connection.execute(
                members.update().where(members.c.id == current.id).values(level=int(level))
            )
        return Issued(token, cti.hex(), until)

    # --- states -----------------------------------------------------------------------------------

    def set_status(
        self,
        selection: Selection,
        status: Status,
        *,
        who: str,
        action: Action,
        connection: Connection | None = None,
    ) -> int:
        """Set the status of the credentials that a selection names; revoked ones stay revoked.

        Args:
            selection: which.
            status: the new one.
            who: staff's work name, `self` or `desk`.
            action: how the journal names it.
            connection: of a transaction that writes; None for one of its own.

        Returns:
            How many were changed; the journal says nothing where none was.

        Raises:
            ValueError: the selection would mean all.
        """
        if connection is None:
            with self._desk.store.write() as own:
                return self.set_status(selection, status, who=who, action=action, connection=own)
        return set_status(
            connection, self._desk.journal, selection, status, who=who, action=action,
            now=self._desk.clock(),
        )  # fmt: skip

    def suspend(self, reference: str, who: str) -> int:
        """Suspend all that a member has; nothing new is signed until it is restored.

        Raises:
            UnknownMember: nobody has the reference.
        """
        return self._all_of(reference, Status.SUSPENDED, who, Action.SUSPENDED)

    def restore(self, reference: str, who: str) -> int:
        """Make valid again what was suspended; what is revoked stays revoked.

        Raises:
            UnknownMember: nobody has the reference.
        """
        return self._all_of(reference, Status.VALID, who, Action.RESTORED)

    def revoke(self, reference: str, who: str) -> int:
        """Revoke all that a member has, for ever, and what more could be had with.

        Raises:
            UnknownMember: nobody has the reference.
        """
        return self._all_of(reference, Status.REVOKED, who, Action.REVOKED)

    def phone_lost(self, reference: str, who: str) -> int:
        """Revoke what is on a member's phones; printed cards stay valid.

        Raises:
            UnknownMember: nobody has the reference.
        """
        return self._all_of(reference, Status.REVOKED, who, Action.PHONE_LOST, form=Form.PHONE)

    # --- finding ----------------------------------------------------------------------------------

    def of_member(self, reference: str) -> list[CredentialRow]:
        """Return what a member was given, the newest first."""
        return self._rows(members.c.reference == reference)

    def by_cti(self, cti: str) -> CredentialRow | None:
        """Return the credential of an identifier in hexadecimal."""
        return next(iter(self._rows(credentials.c.cti == cti)), None)

    def lists(self) -> list[ListRow]:
        """Return the status lists."""
        query = sa.select(status_lists).order_by(status_lists.c.number)
        with self._desk.store.read() as connection:
            return [ListRow(*row) for row in connection.execute(query)]

    def statuses(self, number: int) -> bytes:
        """Return the statuses of a list, one byte an entry; places that are free are valid.

        Raises:
            CredentialError: there is no such list.
        """
        size_of = sa.select(status_lists.c.size).where(status_lists.c.number == number)
        query = sa.select(credentials.c.status_index, credentials.c.status).where(
            credentials.c.status_list == number, credentials.c.status != int(Status.VALID)
        )
        with self._desk.store.read() as connection:
            size = connection.execute(size_of).scalar()
            if size is None:
                raise CredentialError(f"no status list has the number {number}")
            out = bytearray(size)
            for index, status in connection.execute(query):
                out[index] = status
        return bytes(out)

    def sweep(self) -> int:
        """Forget credentials that were over `rules.keep_days` ago; their places are free again.

        Returns:
            How many.
        """
        before = self._desk.clock() - self._desk.settings.rules.keep_days * _DAY
        with self._desk.store.write() as connection:
            over = credentials.delete().where(credentials.c.valid_until < before)
            return connection.execute(over).rowcount

    # ----------------------------------------------------------------------------------------------

    def _require(
        self,
        kind: Kind | str,
        level: Level | int,
        evidence: str,
        references: tuple[BiometricReference, ...],
    ) -> None:
        allowed = self._desk.settings.issuer.kinds
        if kind not in allowed:
            raise CredentialError(f"kind: allowed: {', '.join(allowed)}")
        if level not in (1, 2):
            raise CredentialError("level: 1 basic or 2 upgraded")
        if evidence and not _EVIDENCE.fullmatch(evidence):
            raise CredentialError("evidence: a kind of document, such as passport; no number of it")
        for reference in references:
            if reference.modality is Modality.FINGER and len(reference.data) > FINGER_MOST:
                raise CredentialError(
                    f"a finger template of {len(reference.data)} bytes makes a code that no gate "
                    f"reads ({FINGER_MOST} at most): it stays in the gate's module"
                )

    def _until(
        self, connection: Connection, member: Member, level: int, now: int, wanted: int | None
    ) -> int:
        """Return the last second of a credential for a member who may have one.

        Raises:
            CredentialError: the member may have none.
        """
        if member.ended_at is not None:
            raise CredentialError("this member was erased")
        suspended = sa.select(credentials.c.id).where(
            credentials.c.member == member.id,
            credentials.c.status == int(Status.SUSPENDED),
            credentials.c.valid_until >= now,
        )
        if connection.execute(suspended.limit(1)).first() is not None:
            raise CredentialError("what this member has is suspended: restore it first")
        rules = self._desk.settings.issuer
        days = rules.basic_days if level == Level.BASIC else rules.upgraded_days
        until = min(now + days * _DAY, member.person.valid_until)
        until = until if wanted is None else min(until, wanted)
        if until <= now:
            raise CredentialError("the membership is over: extend it first")
        return until

    def _free_index(self, connection: Connection) -> tuple[ListRow, int]:
        """Return a random place that no credential has, in a new list where the last is full."""
        query = sa.select(status_lists).order_by(status_lists.c.number.desc()).limit(1)
        last = connection.execute(query).first()
        if last is None:
            current = self._new_list(connection, 1)
            return current, secrets.randbelow(current.size)
        current = ListRow(*last)
        used = sa.select(credentials.c.status_index).where(
            credentials.c.status_list == current.number
        )
        for _ in range(_GUESSES):
            index = secrets.randbelow(current.size)
            taken = used.where(credentials.c.status_index == index)
            if connection.execute(taken).first() is None:
                return current, index
        free = sorted(set(range(current.size)) - set(connection.execute(used).scalars()))
        if free:
            return current, secrets.choice(free)
        current = self._new_list(connection, current.number + 1)
        return current, secrets.randbelow(current.size)

    def _new_list(self, connection: Connection, number: int) -> ListRow:
        settings = self._desk.settings
        made = ListRow(number, status_uri(settings, number), settings.status.size)
        connection.execute(
            status_lists.insert().values(number=made.number, uri=made.uri, size=made.size)
        )
        return made

    def _all_of(
        self,
        reference: str,
        status: Status,
        who: str,
        action: Action,
        *,
        form: Form | None = None,
    ) -> int:
        with self._desk.store.write() as connection:
            member = self._members.get_in(connection, reference)
            if status is Status.REVOKED:
                cut_off(connection, member.id)
            selection = Selection(member=member.reference, form=form)
            return self.set_status(selection, status, who=who, action=action, connection=connection)

    def _rows(self, where: sa.ColumnElement[bool]) -> list[CredentialRow]:
        query = (
            sa.select(credentials, members.c.reference)
            .select_from(credentials.join(members, members.c.id == credentials.c.member))
            .where(where)
            .order_by(credentials.c.id.desc())
        )
        with self._desk.store.read() as connection:
            return [_row(row) for row in connection.execute(query)]


def _row(row: Row[Any]) -> CredentialRow:
    return CredentialRow(
        row.id, row.cti, row.member, row.reference, Kind(row.kind), row.level, Form(row.form),
        row.holder, row.issued_at, row.valid_until, row.status_list, row.status_index,
        Status(row.status), row.evidence, row.issued_by,
    )  # fmt: skip
