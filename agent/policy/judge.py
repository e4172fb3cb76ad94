"""One payload judged for one place: read, looked up, decided; and how long each part took.

This is the whole way from bytes to a `Judgement`, the same for the daemon and for `idgate verify`.
It does no I/O: trust is a snapshot, and what the journal and the rosters remember is asked through
`Memory`. A use is not marked here: the daemon commits the mark with the decision before the gate
opens.

Order: format (recognise, parse, verify signatures and times), replay, then the policy's own list
(`agent.policy.decide`). A refusal carries one reason; its detail is for the operator's log and
holds no personal data.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from agent.credential import registry
from agent.credential.model import (
    BusinessItem,
    Credential,
    FormatName,
    Kind,
    Rejected,
    StatusReference,
    StatusVerdict,
)
from agent.policy.decide import Demand, Denial, Moment, decide, kind_of, local_time, spends_ticket
from agent.policy.hours import told
from agent.policy.profile import Profile
from agent.reason import Reason
from agent.trust.model import TrustView

__all__ = ["Judge", "Judgement", "Memory", "NoMemory", "Place"]

NS_PER_MS = 1e6
_KEY_ID = re.compile(r"(?:kid|no CA key) ([0-9a-f]{2,64})")
"""How the formats say, in the detail of `unknown_issuer`, which key they did not find."""


class Memory(Protocol):
    """What the gate remembers of people, asked by keyed hashes only."""

    def was_used(self, credential: Credential, now: int) -> bool:
        """Return whether this very use was committed and is still remembered, or may have been."""

    def ticket_used(self, ticket: BusinessItem) -> bool:
        """Return whether the ticket was spent and is still remembered, or may have been."""

    def inside(self, credential: Credential, now: int) -> bool:
        """Return whether the subject is in the zone already (anti-passback)."""

    def locked_out(self, credential: Credential, now: int) -> bool:
        """Return whether biometric failures lock the subject out."""

    def finger_enrolled(self, credential: Credential) -> bool:
        """Return whether the fingerprint module holds a finger of the subject."""


class NoMemory:
    """A memory of nothing, for judging a payload outside a gate."""

    def was_used(self, credential: Credential, now: int) -> bool:  # noqa: ARG002
        """No use was seen."""
        return False

    def ticket_used(self, ticket: BusinessItem) -> bool:  # noqa: ARG002
        """No ticket was spent."""
        return False

    def inside(self, credential: Credential, now: int) -> bool:  # noqa: ARG002
        """Nobody is inside."""
        return False

    def locked_out(self, credential: Credential, now: int) -> bool:  # noqa: ARG002
        """Nobody failed."""
        return False

    def finger_enrolled(self, credential: Credential) -> bool:  # noqa: ARG002
        """Nobody is enrolled."""
        return False


@dataclass(frozen=True, slots=True)
class Place:
    """Where the code is shown.

    Attributes:
        site, gate: names, as `aud` gives them.
        profile: what the place asks.
        direction: the way the gate lets people.
        zone: the zone behind it.
        site_keys: 32-byte keys for encrypted codes.
        max_trust_age_s: older trust data denies; 0 accepts any.
        tolerances: how far times may be from the clock, by format.
        own_zone: the gate's own time zone, for a profile that names none.
    """

    site: str
    gate: str
    profile: Profile
    direction: Literal["in", "out"] = "in"
    zone: str = "main"
    site_keys: tuple[bytes, ...] = field(repr=False, default=())
    max_trust_age_s: float = 0.0
    tolerances: Mapping[FormatName, registry.Tolerance] = field(default_factory=dict)
    own_zone: dt.tzinfo = dt.UTC


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a payload came to.

    Attributes:
        reason: `granted`, or why not. Granted stands under the `demand`'s biometric.
        format: the format that recognised it, None for none.
        credential: None unless its signatures were proven.
        kind: what it counts as here.
        demand: what is still asked of the person; None when denied.
        detail: for the operator's log.
        timings_ms: milliseconds by stage: `verify`, `policy`.
        unknown_key: id, in hexadecimal, of the key that the code names and the trust has not, for
            `unknown_issuer`; else empty.
    """

    reason: Reason
    format: FormatName | None
    credential: Credential | None = None
    kind: Kind | None = None
    demand: Demand | None = None
    detail: str = ""
    timings_ms: Mapping[str, float] = field(default_factory=dict)
    unknown_key: str = ""


class Judge:
    """Judges payloads for one place.

    Args:
        place: where.
        timer: a monotonic clock in nanoseconds, for the timings only.
        memory: what the gate remembers.
    """

    def __init__(self, place: Place, *, timer: Callable[[], int], memory: Memory) -> None:
        self.place = place
        self._timer = timer
        self._memory = memory

    def judge(
        self,
        payload: bytes,
        *,
        trust: TrustView,
        now: int,
        clock_trusted: bool = True,
        challenge: bytes | None = None,
    ) -> Judgement:
        """Return what `payload` comes to; never raises for any payload.

        One place is asked throughout: another may come into force meanwhile.

        Args:
            payload: the bytes of the code.
            trust: the snapshot to believe.
            now: Unix seconds.
            clock_trusted: False makes everything that depends on time fail.
            challenge: the nonce shown by the gate, where it shows one.

        Raises:
            JournalError: the memory cannot be asked; that is the disk's doing, not the payload's.
        """
        place = self.place
        rules = registry.ReadRules(
            now=now,
            clock_trusted=clock_trusted,
            site=place.site,
            gate=place.gate,
            formats=frozenset(place.profile.formats),
            challenge=challenge,
            site_keys=place.site_keys,
            tolerances=place.tolerances,
        )
        began = self._timer()
        try:
            credential = registry.read(payload, keys=trust, rules=rules)
        except Rejected as rejected:
            return Judgement(
                rejected.reason,
                registry.sniff(payload),
                detail=rejected.detail,
                timings_ms={"verify": (self._timer() - began) / NS_PER_MS},
                unknown_key=_unknown_key(rejected),
            )
        except Exception as error:  # noqa: BLE001 - a code that finds a bug must not stop the gate
            return Judgement(
                Reason.INTERNAL_ERROR,
                None,
                detail=f"{type(error).__name__} while reading a code",
                timings_ms={"verify": (self._timer() - began) / NS_PER_MS},
            )
        read = self._timer()
        answer = self._decide(place, credential, trust, now, clock_trusted=clock_trusted)
        timings = {
            "verify": (read - began) / NS_PER_MS,
            "policy": (self._timer() - read) / NS_PER_MS,
        }
        denied = isinstance(answer, Denial)
        reason = answer.reason if isinstance(answer, Denial) else Reason.GRANTED
        return Judgement(
            reason,
            credential.format,
            credential=credential,
            kind=kind_of(credential, place.profile),
            demand=None if denied else answer,  # type: ignore[arg-type]
            detail=_hours(place, now) if reason is Reason.CLOSED_NOW else "",
            timings_ms=timings,
        )

    def _decide(
        self, place: Place, credential: Credential, trust: TrustView, now: int, *,
        clock_trusted: bool,
    ) -> Demand | Denial:  # fmt: skip
        if self._memory.was_used(credential, now):
            return Denial(Reason.REPLAYED)
        profile = place.profile
        return decide(
            credential,
            profile,
            Moment(
                now=now,
                direction=place.direction,
                clock_trusted=clock_trusted,
                # A plain directory is as old as its reading: only a signed set can go stale.
                trust_age_s=trust.age_s(now) if trust.version else 0,
                max_trust_age_s=place.max_trust_age_s,
                status=_standing(trust, credential, now),
                ticket_status=None
                if credential.business is None
                else _status(trust, credential.business.status, credential.business.issuer, now),
                ticket_used=self._ticket_used(credential, profile),
                own_zone=place.own_zone,
                on_roster=_listed(profile.roster, place.zone, credential, trust, now, blocks=False),
                on_blocked=_listed(
                    profile.blocked, place.zone, credential, trust, now, blocks=True
                ),
                inside=self._memory.inside(credential, now),
                locked_out=self._memory.locked_out(credential, now),
                finger_enrolled=self._memory.finger_enrolled(credential),
            ),
        )

    def _ticket_used(self, credential: Credential, profile: Profile) -> bool:
        ticket = credential.business
        if ticket is None or not spends_ticket(profile):
            return False
        return self._memory.ticket_used(ticket)


def _hours(place: Place, now: int) -> str:
    """Say what hours the place keeps, since an operator may think of others."""
    return told(place.profile, local_time(place.profile, now, place.own_zone))


def _unknown_key(rejected: Rejected) -> str:
    """Return the id of the key that the code names and the trust has not."""
    found = _KEY_ID.fullmatch(rejected.detail)
    return found[1] if found and rejected.reason is Reason.UNKNOWN_ISSUER else ""


def _listed(
    name: str, zone: str, credential: Credential, trust: TrustView, now: int, *, blocks: bool
) -> bool:
    """Return whether a roster names the subject; False where none is asked.

    One that is missing, or is of the other sort, keeps everybody out: unknown means closed.
    """
    if not name:
        return False
    roster = trust.roster(name)
    if roster is None or roster.blocks is not blocks:
        return blocks
    return roster.lists(credential.issuer, credential.subject, now, zone)


def _standing(trust: TrustView, credential: Credential, now: int) -> StatusVerdict | None:
    """Return what the credential's issuer says of it now; None where nothing does."""
    if credential.revocation_hashes:
        return trust.revocation(credential.key_id, credential.revocation_hashes)
    return _status(trust, credential.status, credential.issuer, now)


def _status(
    trust: TrustView, reference: StatusReference | None, issuer: str, now: int
) -> StatusVerdict | None:
    """Return what the issuer's status list says; None where nothing refers to one."""
    return None if reference is None else trust.status(reference, now, issuer)
