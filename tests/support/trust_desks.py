"""A desk with its trust set, a member, and a gate that follows it."""

from __future__ import annotations

import time
from pathlib import Path

from agent.credential.model import Kind
from agent.desk.credentials import Credentials, Form, Issued
from agent.desk.desk import REPOSITORY, Desk
from agent.desk.members import Member, Members
from agent.desk.publishing import create_repository
from agent.issuing.keys import Holder
from tests.support.desks import DAY, DeskClock, a_desk, a_person
from tests.support.trust_sets import GateCache

__all__ = ["TrustDesk"]


class TrustDesk:
    """Whose clock is the real one's second at the start: metadata expires by the real clock.

    Args:
        folder: scratch.
        more: further settings.
    """

    def __init__(self, folder: Path, *, more: str = "") -> None:
        self.clock = DeskClock(int(time.time()))
        self.folder = folder / "desk"
        self.stick = folder / "stick"
        self.desk: Desk = a_desk(self.folder, self.clock, more=more)
        create_repository(self.folder, self.stick, self.desk.settings, self.clock.now)
        self.credentials = Credentials(self.desk)
        self.member: Member = Members(self.desk).add(
            a_person(valid_until=self.clock.now + 300 * DAY), who="clerk"
        )
        self.holder = Holder.new()

    @property
    def repository(self) -> Path:
        return self.folder / REPOSITORY

    def root(self) -> bytes:
        return (self.repository / "metadata" / "1.root.json").read_bytes()

    def gate(self, folder: Path) -> GateCache:
        """Return a gate's cache that pinned the desk's root."""
        return GateCache(folder, self.root())

    def issue(self) -> Issued:
        """Sign a credential for the member's phone."""
        with self.desk.store.write() as connection:
            return self.credentials.sign(
                connection, self.member, kind=Kind.LIBRARY_CARD, level=1, holder=self.holder,
                form=Form.PHONE, issued_by="clerk", now=self.clock.now,
            )  # fmt: skip

    def place(self, issued: Issued) -> tuple[str, int]:
        """Return the URI and the index of a credential's status."""
        row = self.credentials.by_cti(issued.cti)
        assert row is not None
        (found,) = [each for each in self.credentials.lists() if each.number == row.status_list]
        return found.uri, row.status_index
