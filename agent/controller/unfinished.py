"""The end of a grant that a crash cut short: recorded as aborted when the agent starts again.

Rules:
- Every grant ends in exactly one of passed, annulled, aborted; after a SIGKILL or a power cut the
  last grant of the journal may have none. At most one can be without: the machine serves one.
- The use is not annulled. Whether somebody passed nobody saw, and a crash may cost a second try,
  never give two passages for one use. For anti-passback the holder went where the grant led.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Protocol

import msgspec

from agent.journal.events import Decision, Passage
from agent.journal.model import JournalFull, Row
from agent.passage.types import Occurrence
from agent.reason import Reason

__all__ = ["LOOK_BACK", "end_unfinished", "unfinished"]

LOOK_BACK = 256
"""Rows looked at: far more than one opening of the gate can write."""

_LOG = logging.getLogger(__name__)
_ENDS = {Occurrence.PASSED.value, Occurrence.ANNULLED.value, Occurrence.ABORTED.value}


class _Journal(Protocol):
    def before(self, limit: int) -> list[Row]:
        """Return the newest rows of earlier runs, newest first."""

    def record_cut_short(self, event: Passage) -> int:
        """Record the end of a grant, and where its holder went."""


def unfinished(newest_first: Iterable[Row]) -> Passage | None:
    """Return the missing end of the last grant, None where it has one.

    Args:
        newest_first: the newest rows of earlier runs.
    """
    ended: set[str] = set()
    for row in newest_first:
        if row.type == "passage":
            passage = msgspec.json.decode(row.data, type=Passage)
            if passage.outcome in _ENDS:
                ended.add(passage.passage)
        elif row.type == "decision":
            decision = msgspec.json.decode(row.data, type=Decision)
            if decision.decision == "annulled":
                ended.add(decision.passage)
            if decision.decision != "granted":
                continue
            return None if decision.passage in ended else _aborted(decision)
    return None


def _aborted(grant: Decision) -> Passage:
    return Passage(
        passage=grant.passage,
        outcome="aborted",
        reason=Reason.INTERNAL_ERROR,
        direction=grant.direction,
        zone=grant.zone,
        subject=grant.subject,
        assumed=True,
    )


def end_unfinished(journal: _Journal) -> bool:
    """Record the end that a crash left out; tell whether one was missing.

    A journal without room must not keep the gate from starting: the next start tries again.

    Raises:
        JournalFailed: the journal cannot be read or written.
    """
    end = unfinished(journal.before(LOOK_BACK))
    if end is None:
        return False
    try:
        journal.record_cut_short(end)
    except JournalFull:
        _LOG.warning("no room to record the end of passage %s", end.passage)
    return True
