"""The credentials that the desk signs: what stands in the database of each, and their states.

Rules:
- what is signed is given away and not kept: the row has its identifier, its place in the status
  list and the thumbprint of the holder's key, no token, no biometric reference;
- a credential is never valid for longer than its level may be, or than the membership is;
- its place in the status list is random, so that neighbours in the list say nothing; a list that is
  full is followed by another;
- nothing is signed for who was erased, nor for whom something is suspended: restoring comes first;
- birth dates stand on credentials only where the settings say so; ages take their place;
- on a phone what `issuer.redact` names is shown where it is asked for, on paper everything is.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from agent.credential.model import BiometricReference, Kind, Level, StatusReference
from agent.desk.ages import reached
from agent.desk.audit import Action
from agent.desk.desk import Desk
from agent.desk.members import Member, Members
from agent.desk.status_lists import ListRow, free_place, status_uri
from agent.desk.statuses import Form, Selection, Status, cut_off, set_status
from agent.desk.tables import credentials, members, status_lists
from agent.issuing.issue import MAX_FINGER_BYTES, check_readable, sign_credential
from agent.issuing.keys import Holder, PublicHolder

__all__ = [
    "FINGER_MOST",
    "REFERENCES_MOST",
    "CredentialError",
    "CredentialRow",
    "Credentials",
    "Form",
    "Issued",
    "ListRow",
    "Selection",
    "Status",
    "status_uri",
]

FINGER_MOST: Final = MAX_FINGER_BYTES
"""Bytes of a finger template; a larger one stays in the gate's module."""
REFERENCES_MOST: Final = 768
"""Bytes of all biometric references on a credential: face and one finger of 512 are read, at 14 cm;
two fingers are not."""

_CTI_BYTES: Final = {1: 16, 2: 8}
"""By version of the profile."""
_EVIDENCE: Final = re.compile(r"[a-z][a-z-]{0,31}")
_DAY: Final = 86_400


class CredentialError(ValueError):
    """No such credential can be signed or changed; one line for people, nothing personal in it."""


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
        holder: PublicHolder | Holder | None,
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
        status = free_place(connection, self._desk.settings)
        person, rules = current.person, self._desk.settings.issuer
        version = rules.profile
        cti = secrets.token_bytes(_CTI_BYTES[version])
        try:
            token = sign_credential(
                self._desk.issuer,
                holder,
                subject=current.reference,
                issued_at=now,
                valid_until=until,
                kind=kind,
                level=level,
                birth_date=person.birth_date if rules.birth_date else None,
                references=references,
                regions=person.regions,
                status=StatusReference(status[0].uri, status[1]),
                cti=cti,
                version=version,
                ages=reached(person.birth_date, rules.ages, now) if version == 2 else (),
                redacted=rules.redact if version == 2 and holder is not None else (),
            )
        except ValueError as error:  # a finger that stays in the gate's module
            raise CredentialError(str(error)) from None
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

    def check(
        self,
        kind: Kind | str,
        level: Level | int,
        *,
        evidence: str = "",
        references: Iterable[BiometricReference] = (),
    ) -> None:
        """Check what `sign` would be asked for later, before somebody is promised it.

        Raises:
            CredentialError: it could not be signed.
        """
        references = tuple(references)
        self._require(kind, level, evidence, references)
        try:
            check_readable(references)
        except ValueError as error:
            raise CredentialError(str(error)) from None

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
        size = sum(len(reference.data) for reference in references)
        if len(references) > 1 and size > REFERENCES_MOST:
            raise CredentialError(
                f"{size} bytes of biometric references make a code that no gate reads; "
                f"at most {REFERENCES_MOST}"
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
