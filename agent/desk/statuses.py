"""What a credential's entry in the Token Status List says, and how it is changed.

Rules (draft-ietf-oauth-status-list, section 7.1):
- 0 valid, 1 revoked, 2 suspended; what is revoked stays revoked;
- a change names which credentials it means, by member, holder's key or identifier; a selection that
  names none of them is refused, since it would mean all;
- the journal has one row a member, in the same transaction;
- who loses the phone, or is erased, also loses what the phone could get more credentials with:
  open offers and tokens for refreshing.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from agent.credential.model import Kind
from agent.desk.audit import Action, Journal
from agent.desk.tables import access, credentials, invitations, members, offers

__all__ = ["Form", "Selection", "Status", "cut_off", "set_status"]

_MOST: Final = 1_000
"""Identifiers in one statement: databases take a limited number of values."""


class Status(IntEnum):
    """Values of the list."""

    VALID = 0
    REVOKED = 1
    SUSPENDED = 2


class Form(StrEnum):
    """What carries a credential."""

    PHONE = "phone"
    CARD = "card"


@dataclass(frozen=True, slots=True)
class Selection:
    """Which credentials: those to which everything fits that is said here.

    Attributes:
        member: reference.
        holder: thumbprint of the holder's key, hexadecimal.
        cti: identifiers, hexadecimal.
        form: on the phone, or printed.
        kind: of document.
        level: assurance level.
        besides: identifiers that are not meant.
        later_than: only those valid after this moment, Unix seconds.
    """

    member: str = ""
    holder: str = ""
    cti: tuple[str, ...] = ()
    form: Form | None = None
    kind: Kind | None = None
    level: int | None = None
    besides: tuple[str, ...] = ()
    later_than: int | None = None

    def where(self) -> sa.ColumnElement[bool]:
        """Return the condition on the table of credentials.

        Raises:
            ValueError: it names neither member, holder nor identifiers.
        """
        if not (self.member or self.holder or self.cti):
            raise ValueError("a selection of credentials names a member, a holder or identifiers")
        if len(self.cti) + len(self.besides) > _MOST:
            raise ValueError(f"a selection names at most {_MOST} identifiers")
        rules: list[sa.ColumnElement[bool]] = []
        if self.member:
            whose = sa.select(members.c.id).where(members.c.reference == self.member)
            rules.append(credentials.c.member == whose.scalar_subquery())
        if self.holder:
            rules.append(credentials.c.holder == self.holder)
        if self.cti:
            rules.append(credentials.c.cti.in_(self.cti))
        if self.form is not None:
            rules.append(credentials.c.form == str(self.form))
        if self.kind is not None:
            rules.append(credentials.c.kind == str(self.kind))
        if self.level is not None:
            rules.append(credentials.c.level == self.level)
        if self.besides:
            rules.append(credentials.c.cti.not_in(self.besides))
        if self.later_than is not None:
            rules.append(credentials.c.valid_until > self.later_than)
        return sa.and_(*rules)


def set_status(
    connection: Connection,
    journal: Journal,
    selection: Selection,
    status: Status,
    *,
    who: str,
    action: Action,
    now: int,
) -> int:
    """Set the status of credentials; those that are revoked stay so.

    Args:
        connection: of a transaction that writes.
        journal: takes one row a member.
        selection: which.
        status: the new one.
        who: staff's work name, `self` or `desk`.
        action: how the journal names it.
        now: Unix seconds.

    Returns:
        How many were changed.

    Raises:
        ValueError: the selection would mean all.
    """
    changes = sa.and_(
        selection.where(),
        credentials.c.status != int(Status.REVOKED),
        credentials.c.status != int(status),
    )
    found = connection.execute(
        sa.select(members.c.reference)
        .select_from(credentials.join(members, members.c.id == credentials.c.member))
        .where(changes)
    ).scalars()
    per_member = Counter(found)
    if per_member:
        connection.execute(credentials.update().where(changes).values(status=int(status)))
    for reference, number in sorted(per_member.items()):
        detail = f"credentials: {number}"
        journal.write(
            connection, at=now, who=who, action=action, reference=reference, detail=detail
        )
    return per_member.total()


def cut_off(connection: Connection, member: int, *, invited: bool = False) -> None:
    """Take away what more credentials could be had with: offers, tokens, and what they seal.

    Args:
        connection: of a transaction that writes.
        member: number of the row.
        invited: the invitations too.
    """
    mine = offers.c.member == member
    of_mine = sa.select(offers.c.id).where(mine)
    connection.execute(access.delete().where(access.c.offer.in_(of_mine)))
    open_ones = sa.and_(mine, offers.c.state.in_(("open", "taken")))
    connection.execute(offers.update().where(open_ones).values(state="dead"))
    connection.execute(offers.update().where(mine).values(sealed=None))
    if invited:
        connection.execute(invitations.delete().where(invitations.c.member == member))
