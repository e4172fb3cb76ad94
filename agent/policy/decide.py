"""What a place asks: a pure function from a credential, a profile and a moment to a demand.

The checks, in this order; the first that fails is the reason:

 1. mode of the clock            clock_untrusted
 2. opening hours                closed_now
 3. age of the trust data        trust_too_old
 4. format and kind of document  format_not_accepted, kind_not_accepted, ticket_not_accepted
 5. assurance level              level_too_low
 6. dynamic where asked          static_not_accepted
 7. revocation                   revoked, suspended, status_unknown
 8. blocked list, roster         blocked, not_on_roster
 9. region                       region_not_accepted
10. age of the person            claim_not_disclosed, age_unknown, under_age
11. direction, anti-passback     wrong_direction, already_inside
12. ticket                       ticket_required, ticket_invalid
13. lockout                      locked_out
14. what else the place needs    claim_not_disclosed, missing_claim, no_reference
15. biometric reference          claim_not_disclosed, no_reference

What a code does not tell is `claim_not_disclosed` where its holder kept something back, else what
the card does not say (`agent.policy.needs`). An age that was reached stays reached. Levels are
signed by issuers and never inferred. Nothing here reads a clock, a file or a device.
"""

from __future__ import annotations

import datetime as dt
import zoneinfo
from dataclasses import dataclass
from typing import Literal

from agent.credential import birth
from agent.credential.model import (
    BusinessItem,
    Credential,
    EventTicket,
    Kind,
    Level,
    Modality,
    StatusVerdict,
)
from agent.policy.hours import is_open, keeps_hours
from agent.policy.needs import least_age, untold, withheld
from agent.policy.profile import Ask, Profile
from agent.reason import Reason

__all__ = ["Demand", "Denial", "Moment", "decide", "kind_of", "local_time", "spends_ticket"]


@dataclass(frozen=True, slots=True)
class Moment:
    """What the shell knows when a credential is judged.

    Attributes:
        now: Unix seconds.
        direction: the way the gate lets people.
        clock_trusted: False when the wall clock is known to be wrong.
        trust_age_s: age of the trust data; `max_trust_age_s` 0 accepts any.
        max_trust_age_s: from the settings.
        status: what the status list said; None where the credential has no reference.
        ticket_status: the same for the ticket beside it.
        ticket_used: the ticket beside it was spent before, or may have been.
        own_zone: the gate's own time zone; a profile that names one goes by that.
        on_roster: the roster that the profile names lists the subject.
        on_blocked: True when a blocked list names the subject.
        inside: the subject entered this zone and was not seen leaving, within the timeout.
        locked_out: too many biometric failures of the subject.
        finger_enrolled: the fingerprint module holds a finger of the subject.
    """

    now: int
    direction: Literal["in", "out"] = "in"
    clock_trusted: bool = True
    trust_age_s: float = 0.0
    max_trust_age_s: float = 0.0
    status: StatusVerdict | None = None
    ticket_status: StatusVerdict | None = None
    ticket_used: bool = False
    own_zone: dt.tzinfo = dt.UTC
    on_roster: bool = False
    on_blocked: bool = False
    inside: bool = False
    locked_out: bool = False
    finger_enrolled: bool = False


@dataclass(frozen=True, slots=True)
class Demand:
    """The credential is good for this place; this is still asked of the person.

    Attributes:
        ask: the biometric comparison.
        direction: the way the gate is to open.
        ticket: the ticket beside the identity that is spent with this use, where there is one.
    """

    ask: Ask
    direction: Literal["in", "out"]
    ticket: BusinessItem | None = None


@dataclass(frozen=True, slots=True)
class Denial:
    """The credential is not good for this place."""

    reason: Reason


def decide(credential: Credential, profile: Profile, moment: Moment) -> Demand | Denial:
    """Judge a verified credential for a place.

    Args:
        credential: signatures and times already proven by its format.
        profile: what the place asks.
        moment: what the shell looked up.

    Returns:
        A `Demand`, or the `Denial` of the first check in the module's list that failed.
    """
    reason = (
        _place(profile, moment)
        or _document(credential, profile)
        or _standing(profile, moment)
        or _person(credential, profile, moment)
        or _way(profile, moment)
        or _ticket(credential, profile, moment)
        or (Reason.LOCKED_OUT if moment.locked_out else None)
        or untold(credential, profile, enrolled=moment.finger_enrolled)
    )
    if reason is not None:
        return Denial(reason)
    ask = profile.biometric
    if credential.level < Level.UPGRADED and profile.biometric_basic is not None:
        ask = profile.biometric_basic
    chosen = _answerable(ask, credential, enrolled=moment.finger_enrolled)
    if chosen is None:
        return Denial(withheld(credential, Reason.NO_REFERENCE))
    spent = credential.business if spends_ticket(profile) else None
    return Demand(chosen, moment.direction, spent)


def spends_ticket(profile: Profile) -> bool:
    """Return whether a use spends the ticket beside the identity."""
    return profile.ticket == "required" and profile.ticket_use == "once"


def kind_of(credential: Credential, profile: Profile) -> Kind:
    """Return the kind that a credential counts as in a place."""
    if credential.kind is Kind.UNKNOWN:
        return profile.kind_names.get(credential.document_type, Kind.UNKNOWN)
    return credential.kind


def _place(profile: Profile, moment: Moment) -> Reason | None:
    if not moment.clock_trusted:
        return Reason.CLOCK_UNTRUSTED
    if keeps_hours(profile) and not is_open(
        profile, local_time(profile, moment.now, moment.own_zone)
    ):
        return Reason.CLOSED_NOW
    if moment.max_trust_age_s and moment.trust_age_s > moment.max_trust_age_s:
        return Reason.TRUST_TOO_OLD
    return None


def _document(credential: Credential, profile: Profile) -> Reason | None:
    if credential.format not in profile.formats:
        return Reason.FORMAT_NOT_ACCEPTED
    if kind_of(credential, profile) not in profile.kinds:
        return Reason.KIND_NOT_ACCEPTED
    if credential.event is not None and not _is_for(credential.event, profile):
        return Reason.TICKET_NOT_ACCEPTED
    if credential.level < profile.level:
        return Reason.LEVEL_TOO_LOW
    if profile.dynamic and not credential.dynamic:
        return Reason.STATIC_NOT_ACCEPTED
    return None


def _is_for(event: EventTicket, profile: Profile) -> bool:
    """Return whether a pretix ticket is for one of the place's products and dates."""
    return all(
        allowed is None or number in allowed
        for number, allowed in (
            (event.item, profile.pretix_items),
            (event.variation, profile.pretix_variations),
            (event.subevent, profile.pretix_subevents),
        )
    )


def _standing(profile: Profile, moment: Moment) -> Reason | None:
    if moment.status is StatusVerdict.INVALID:
        return Reason.REVOKED
    if moment.status is StatusVerdict.SUSPENDED:
        return Reason.SUSPENDED
    if moment.status is StatusVerdict.WITHHELD:
        return Reason.STATUS_UNKNOWN
    if moment.status is StatusVerdict.UNKNOWN and profile.status_unknown == "deny":
        return Reason.STATUS_UNKNOWN
    if moment.on_blocked:
        return Reason.BLOCKED
    if profile.roster and not moment.on_roster:
        return Reason.NOT_ON_ROSTER
    return None


def _person(credential: Credential, profile: Profile, moment: Moment) -> Reason | None:
    if profile.regions and credential.regions and not credential.regions & set(profile.regions):
        return Reason.REGION_NOT_ACCEPTED
    least = least_age(profile)
    if not least or any(age >= least for age in credential.ages):
        return None
    born = birth.days(credential.birth_date or "")
    if born is None:
        return withheld(credential, Reason.AGE_UNKNOWN)
    today = local_time(profile, moment.now, moment.own_zone).date()
    oldest, youngest = (_age(day, today) for day in born)
    if oldest < least:
        return Reason.UNDER_AGE
    return withheld(credential, Reason.AGE_UNKNOWN) if youngest < least else None


def _age(born: dt.date, today: dt.date) -> int:
    return today.year - born.year - ((today.month, today.day) < (born.month, born.day))


def _way(profile: Profile, moment: Moment) -> Reason | None:
    if moment.direction not in profile.directions:
        return Reason.WRONG_DIRECTION
    if profile.anti_passback == "on" and moment.direction == "in" and moment.inside:
        return Reason.ALREADY_INSIDE
    return None


def _ticket(credential: Credential, profile: Profile, moment: Moment) -> Reason | None:
    if profile.ticket == "none":
        return None
    ticket = credential.business
    if ticket is None:
        return Reason.TICKET_REQUIRED
    fits = not profile.ticket_kinds or ticket.kind in profile.ticket_kinds
    withdrawn = {StatusVerdict.INVALID, StatusVerdict.SUSPENDED, StatusVerdict.WITHHELD}
    if profile.status_unknown == "deny":
        withdrawn.add(StatusVerdict.UNKNOWN)
    if moment.ticket_status in withdrawn or (moment.ticket_used and spends_ticket(profile)):
        return Reason.TICKET_INVALID
    if not fits or not ticket.valid_from <= moment.now <= ticket.valid_until:
        return Reason.TICKET_INVALID
    if profile.regions and ticket.regions and not ticket.regions & set(profile.regions):
        return Reason.TICKET_INVALID
    return None


def _answerable(ask: Ask, credential: Credential, *, enrolled: bool) -> Ask | None:
    """Narrow what is asked to what the references at hand can answer, or None."""
    modalities = {reference.modality for reference in credential.references}
    face, finger = Modality.FACE in modalities, enrolled or Modality.FINGER in modalities
    match ask:
        case Ask.NONE:
            return Ask.NONE
        case Ask.FACE:
            return Ask.FACE if face else None
        case Ask.FINGER:
            return Ask.FINGER if finger else None
        case Ask.BOTH:
            return Ask.BOTH if face and finger else None
        case Ask.EITHER:
            if face and finger:
                return Ask.EITHER
            return Ask.FACE if face else (Ask.FINGER if finger else None)


def local_time(profile: Profile, now: int, own_zone: dt.tzinfo) -> dt.datetime:
    """Return a moment in the time zone of a place."""
    zone = zoneinfo.ZoneInfo(profile.timezone) if profile.timezone else own_zone
    return dt.datetime.fromtimestamp(now, zone)
