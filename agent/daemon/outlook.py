"""What lets nobody in, told as faults: no issuer to believe, denials far over the gate's habit.

Both are health: a gate whose pins and cameras are well and that refuses everybody is not well, and
who sees it from afar shall see why.
"""

from __future__ import annotations

from collections.abc import Iterable

from agent.clock.moment import moment_text
from agent.controller.counters import CounterSnapshot
from agent.controller.denials import DenialRate
from agent.credential.issuers import IssuerKey
from agent.journal.faults import Faults

__all__ = ["Outlook", "no_issuer"]

LOOK_S = 1.0


def no_issuer(keys: Iterable[IssuerKey], now: int, *, clock_trusted: bool) -> str:
    """Return why no issuer can be believed now, "" where one can.

    With a clock that is not believed nobody can say whose key has expired: that is its own fault.
    """
    latest = None
    for key in keys:
        if not clock_trusted or key.valid_from <= now <= key.valid_until:
            return ""
        latest = max(latest or key.valid_until, key.valid_until)
    if latest is None:
        return "the trust data names no issuer that can be used"
    if latest < now:
        return f"every issuer's key has expired, the last one at {moment_text(latest)}"
    return "every issuer's key has expired or is not valid yet"


class Outlook:
    """Tells what keeps everybody out; looks at most once a second.

    Args:
        faults: where faults are told.
    """

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._rate = DenialRate()
        self._looked_at = float("-inf")
        self._told: dict[str, str] = {}

    def due(self, now: float) -> bool:
        """Return whether it is time to look again; `now` is monotonic."""
        if now - self._looked_at < LOOK_S:
            return False
        self._looked_at = now
        return True

    def look(self, without_issuer: str, counts: CounterSnapshot, now: float) -> None:
        """Tell what is new.

        Args:
            without_issuer: what `no_issuer` says.
            counts: decisions since the start.
            now: monotonic seconds.
        """
        self._tell("trust", "no_trusted_issuer", without_issuer)
        self._tell("gate", "denies_unusually", self._rate.look(counts.proven, counts.reasons, now))

    def _tell(self, part: str, code: str, why: str) -> None:
        before = self._told.get(code, "")
        self._told[code] = why
        if why and not before:
            self._faults.begin(part, code, why)
        elif before and not why:
            self._faults.end(part, code)
