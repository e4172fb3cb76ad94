"""What files that were set aside keep closed: what could have refused somebody must not vanish.

A roster, a status list, a revocation list and a profile say no to people. If one cannot be read,
the gate does not know to whom, so it goes on as if to all whom the file could concern:

- a roster: who a profile asks it about; an allowed list names nobody, a blocked list everybody;
- a status list: credentials that name its URI, as far as the file still says it; else every
  credential that names a list which the gate does not have. `status_unknown = "accept"` does not
  open these: that is for lists which nobody brought, not for one which is here and damaged;
- a revocation list: every health certificate;
- a profile: no shipped profile steps in under its name.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["EVERY", "EVERY_KID", "NOTHING", "Closed", "ClosedRoster"]

EVERY = "*"
"""Instead of a name: it is not known which, so all."""

EVERY_KID = b"*"
"""Instead of a key id: the same."""


@dataclass(frozen=True, slots=True)
class Closed:
    """What is closed; `EVERY` among them means all of the sort that the gate does not have.

    Attributes:
        rosters, profiles: names.
        status_uris: URIs of status lists.
        revocation_kids: key ids of health certificates' signers.
    """

    rosters: frozenset[str] = frozenset()
    profiles: frozenset[str] = frozenset()
    status_uris: frozenset[str] = frozenset()
    revocation_kids: frozenset[bytes] = frozenset()

    def __or__(self, other: Closed) -> Closed:
        """Return what either closes."""
        return Closed(
            self.rosters | other.rosters,
            self.profiles | other.profiles,
            self.status_uris | other.status_uris,
            self.revocation_kids | other.revocation_kids,
        )

    def roster(self, name: str) -> bool:
        """Return whether a roster that the gate does not have is closed."""
        return not self.rosters.isdisjoint({name, EVERY})

    def profile(self, name: str) -> bool:
        """Return whether a profile that the set does not have is closed."""
        return not self.profiles.isdisjoint({name, EVERY})

    def status(self, uri: str) -> bool:
        """Return whether a status list that the gate does not have is closed."""
        return not self.status_uris.isdisjoint({uri, EVERY})

    def revocation(self, kid: bytes) -> bool:
        """Return whether it is not known what a signer of health certificates revoked."""
        return not self.revocation_kids.isdisjoint({kid, EVERY_KID})


NOTHING = Closed()
"""Nothing was set aside that could have refused anybody."""


class ClosedRoster:
    """Stands for a roster that was set aside; implements `agent.credential.issuers.RosterView`.

    It blocks everybody. A place that asks for a list of allowed people finds one of another sort,
    and keeps everybody out too.
    """

    blocks = True

    def lists(self, issuer: str, subject: str, now: int, zone: str = "") -> bool:  # noqa: ARG002
        """Everybody is listed."""
        return True
