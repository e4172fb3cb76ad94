"""What the gate remembers of people: the journal's answers, asked by keyed hashes."""

from __future__ import annotations

from collections.abc import Callable

from agent.credential.model import BusinessItem, Credential
from agent.credential.registry import MAX_FUTURE_S
from agent.journal.journal import Journal
from agent.journal.subjects import SubjectHasher
from agent.policy.profile import Profile

__all__ = ["JournalMemory"]


class JournalMemory:
    """Answers the judge out of the journal; see `agent.policy.judge.Memory`.

    Args:
        journal: where marks, zones and failures are.
        hasher: makes the keyed hashes.
        zone: the zone behind the gate.
        passback_s: how long an entry counts, from the profile.
        reuse_s: how long a static code may not be used again, from the profile.
        began_at: Unix seconds at which the journal was opened.
        failures: how many failed checks lock out.
        future_s: how far ahead a phone's clock may be.
        enrolled: whether the fingerprint module holds a finger of this subject's hash.
    """

    def __init__(
        self,
        journal: Journal,
        hasher: SubjectHasher,
        *,
        zone: str,
        passback_s: float,
        reuse_s: float,
        began_at: float,
        failures: int,
        enrolled: Callable[[str], bool],
        future_s: int = MAX_FUTURE_S,
    ) -> None:
        self._journal = journal
        self._hasher = hasher
        self._zone = zone
        self._passback_s = passback_s
        self._reuse_s = reuse_s
        self._began_at = began_at
        self._failures = failures
        self._enrolled = enrolled
        self._future_s = future_s

    def follow(self, profile: Profile) -> None:
        """Take the times that a profile sets, from now on."""
        self._passback_s, self._reuse_s = profile.anti_passback_s, profile.reuse_s

    def was_used(self, credential: Credential, now: int) -> bool:
        """Return whether this use was committed and the mark still counts.

        With a journal that was lost, damaged or deleted, its marks are gone: whatever could be
        shown before counts as used, a phone's clock that is ahead included, and static codes wait
        for their reuse time.
        """
        if self._journal.was_used(credential.replay_key):
            return True
        if not self._journal.lost:
            return False
        if credential.presented_at is not None:
            return credential.presented_at <= self._began_at + self._future_s
        return now <= self._began_at + self._reuse_s

    def ticket_used(self, ticket: BusinessItem) -> bool:
        """Return whether the ticket was spent; with a lost journal, whether it may have been."""
        if self._journal.was_used(ticket.use_key):
            return True
        return bool(self._journal.lost) and ticket.valid_from <= self._began_at + self._future_s

    def inside(self, credential: Credential, now: int) -> bool:
        """Return whether the subject went in here last, within the profile's time."""
        seen = self._journal.last_zone(self._local(credential))
        if seen is None or seen.zone != self._zone or seen.direction != "in":
            return False
        return now - seen.at < self._passback_s

    def locked_out(self, credential: Credential, now: int) -> bool:  # noqa: ARG002
        """Return whether biometric failures lock the subject out, over restarts."""
        local = self._local(credential)
        return self._journal.locked_until(local, limit=self._failures) is not None

    def finger_enrolled(self, credential: Credential) -> bool:
        """Return whether the fingerprint module holds a finger of the subject."""
        return self._enrolled(self._local(credential))

    def _local(self, credential: Credential) -> str:
        return self._hasher.local(credential.issuer, credential.subject)
