"""Until when each name in a trust set can vouch for anything, for people who must renew in time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from agent.trust.snapshot import TrustSnapshot

__all__ = ["Expiry", "days_left", "expiries"]

_DAY_S = 86_400
_NEVER = 2**53


@dataclass(frozen=True, slots=True)
class Expiry:
    """The last second of a name's last key.

    Attributes:
        name: of the issuer, root or operator in the trust set.
        what: `issuer`, `root` or `operator`.
        not_after: Unix seconds, inclusive.
    """

    name: str
    what: str
    not_after: int

    def __str__(self) -> str:
        """Name it as people do."""
        return f"{self.what} {self.name}"


def expiries(snapshot: TrustSnapshot) -> list[Expiry]:
    """Return every name whose keys have an end, the first to end in front.

    A name counts with the key that lasts longest: one that was renewed has not run out.
    """
    last: dict[tuple[str, str], int] = {}
    ends: Iterable[tuple[str, str, int]] = (
        *(
            ("root" if key.is_root else "issuer", key.issuer, key.valid_until)
            for key in snapshot.keys
        ),
        *(("operator", key.name, key.valid_until) for key in snapshot.operators),
    )
    for what, name, end in ends:
        last[what, name] = max(end, last.get((what, name), 0))
    found = [Expiry(name, what, end) for (what, name), end in last.items() if end < _NEVER]
    return sorted(found, key=lambda entry: (entry.not_after, entry.what, entry.name))


def days_left(not_after: int, now: int) -> int:
    """Return whole days from now to an end; negative from the moment on that it is over."""
    return (not_after - now) // _DAY_S
