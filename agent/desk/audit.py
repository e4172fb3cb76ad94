"""The desk's own journal: who did what to which reference, and when; no name and no secret.

Rules:
- a row is written in the transaction of what it tells of: neither without the other;
- rows are chained by an HMAC under a key of the site's, so that a row that was changed or taken
  away in the database is found; `verify` says where;
- where the journal ends stands sealed beside it, so that rows cut off its end are missed too, also
  after others were written. Who puts back a whole older copy of the database is not found by it:
  an auditor who noted `head` finds that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from agent.desk.seal import SiteKey
from agent.desk.tables import audit, audit_head

__all__ = ["Action", "AuditRow", "Journal"]

_ROOT: Final = b"\0" * 32


class Action(StrEnum):
    """What may stand in the journal."""

    STAFF_ADDED = "staff-added"
    STAFF_CHANGED = "staff-changed"
    STAFF_ENDED = "staff-ended"
    PASSKEY_ADDED = "passkey-added"
    SIGNED_IN = "signed-in"
    SIGNED_OUT = "signed-out"
    MEMBER_ADDED = "member-added"
    MEMBER_CHANGED = "member-changed"
    MEMBER_ERASED = "member-erased"
    IMPORTED = "imported"
    EXPORTED = "exported"
    INVITED = "invited"
    SELF_MADE = "self-made"
    FACE_TAKEN = "face-taken"
    FINGER_TAKEN = "finger-taken"
    OFFERED = "offered"
    OFFER_KILLED = "offer-killed"
    TAKEN = "taken"
    ACKNOWLEDGED = "acknowledged"
    REFRESHED = "refreshed"
    CARD_PRINTED = "card-printed"
    UPGRADED = "upgraded"
    SUSPENDED = "suspended"
    RESTORED = "restored"
    REVOKED = "revoked"
    PHONE_LOST = "phone-lost"
    PUBLISHED = "published"
    ROSTER_CHANGED = "roster-changed"
    BUNDLE_WRITTEN = "bundle-written"
    BUNDLE_TAKEN = "bundle-taken"
    GATE_INVITED = "gate-invited"
    GATE_JOINED = "gate-joined"
    DENIED = "denied"
    """Somebody tried what the role does not allow."""


@dataclass(frozen=True, slots=True)
class AuditRow:
    """One row."""

    seq: int
    at: int
    who: str
    action: str
    reference: str
    detail: str


class Journal:
    """Writes and reads the rows.

    Args:
        key: of the site.
    """

    def __init__(self, key: SiteKey) -> None:
        self._key = key

    def write(
        self,
        connection: Connection,
        *,
        at: int,
        who: str,
        action: Action,
        reference: str = "",
        detail: str = "",
    ) -> None:
        """Write a row in the transaction of what it tells of.

        Args:
            connection: of that transaction.
            at: Unix seconds.
            who: staff's work name, `self` for a person at the own phone, `desk` for the desk.
            action: what.
            reference: of a member, a gate, a staff name; never a person's name.
            detail: short; never personal.
        """
        self.write_all(
            connection, at=at, who=who, action=action, references=(reference,), detail=detail
        )

    def write_all(
        self,
        connection: Connection,
        *,
        at: int,
        who: str,
        action: Action,
        references: Sequence[str],
        detail: str = "",
    ) -> None:
        """Write a row for each of many references to which the same was done; else as `write`."""
        if not references:
            return
        head = connection.execute(sa.select(audit_head)).first()
        last = head or _last(connection)
        seq, chain = (last.seq, last.chain) if last else (0, _ROOT)
        rows = []
        for reference in references:
            seq += 1
            row = AuditRow(seq, at, who, str(action), reference, detail)
            chain = self._chained(chain, row)
            rows.append(
                {
                    "seq": seq, "at": at, "who": who, "action": row.action,
                    "reference": reference, "detail": detail, "chain": chain,
                }
            )  # fmt: skip
        connection.execute(audit.insert(), rows)
        ends = {"seq": seq, "chain": chain, "seal": self._head_seal(seq, chain)}
        if head is not None:
            connection.execute(audit_head.update().values(ends))
        elif last is None:  # where rows are and no end of them, somebody took it away
            connection.execute(audit_head.insert().values(id=1, **ends))

    def read(
        self, connection: Connection, *, before: int | None = None, limit: int = 200
    ) -> list[AuditRow]:
        """Return the newest rows, or those below a number, newest first."""
        query = sa.select(audit).order_by(audit.c.seq.desc()).limit(limit)
        if before is not None:
            query = query.where(audit.c.seq < before)
        return [_row(found) for found in connection.execute(query)]

    def verify(self, connection: Connection) -> int | None:
        """Return the number of the first row that is not as it was written, None where all are.

        A row that is missing at the end counts too.
        """
        chain, expected = _ROOT, 1
        for found in connection.execute(sa.select(audit).order_by(audit.c.seq)):
            chain = self._chained(chain, _row(found))
            if found.seq != expected or found.chain != chain:
                return expected
            expected += 1
        head = connection.execute(sa.select(audit_head)).first()
        if head is None:
            return None if expected == 1 else expected
        ends = (expected - 1, chain, self._head_seal(expected - 1, chain))
        return None if (head.seq, head.chain, head.seal) == ends else expected

    def head(self, connection: Connection) -> tuple[int, str]:
        """Return where it ends: the last number, and what an auditor may note of its chain."""
        last = _last(connection)
        return (last.seq, last.chain.hex()[:16]) if last else (0, "")

    def _head_seal(self, seq: int, chain: bytes) -> bytes:
        return self._key.digest("audit-head", seq.to_bytes(8, "big") + chain)

    def _chained(self, before: bytes, row: AuditRow) -> bytes:
        fields: Sequence[object] = (row.seq, row.at, row.who, row.action, row.reference, row.detail)
        return self._key.digest("audit", before + repr(tuple(fields)).encode())


def _last(connection: Connection) -> Row[Any, Any] | None:
    return connection.execute(
        sa.select(audit.c.seq, audit.c.chain).order_by(audit.c.seq.desc()).limit(1)
    ).first()


def _row(found: Row[tuple[object, ...]]) -> AuditRow:
    return AuditRow(
        found.seq, found.at, found.who, str(found.action), found.reference, found.detail
    )
