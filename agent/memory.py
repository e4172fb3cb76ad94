"""What the gate remembers of people: the journal's answers, asked by keyed hashes."""

from __future__ import annotations

from collections.abc import Callable

from agent.credential.model import Credential, ReplayKey
from agent.journal import Journal
from agent.report.subjects import SubjectHasher

__all__ = ["JournalMemory"]


class JournalMemory:
    """Answers the judge out of the journal; see `agent.verify.Memory`.

    Args:
        journal: where marks, zones and failures are.
        hasher: makes the keyed hashes.
        zone: the zone behind the gate.
        passback_s: how long an entry counts, from the profile.
        failures: how many failed checks lock out.
        enrolled: whether the fingerprint module holds a finger of this subject's hash.
    """

    def __init__(
        self,
        journal: Journal,
        hasher: SubjectHasher,
        *,
        zone: str,
        passback_s: float,
        failures: int,
        enrolled: Callable[[str], bool],
    ) -> None:
        self._journal = journal
        self._hasher = hasher
        self._zone = zone
        self._passback_s = passback_s
        self._failures = failures
        self._enrolled = enrolled

    def was_used(self, replay_key: ReplayKey, now: int) -> bool:  # noqa: ARG002
        """Return whether this use was committed and the mark still counts."""
        return self._journal.was_used(replay_key)

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
