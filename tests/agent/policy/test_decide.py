"""The policy's table of cases: what each place says to each credential."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest

from agent.credential.model import EventTicket, FormatName, Kind, Level, StatusVerdict
from agent.policy.decide import Demand, Denial, Moment, decide
from agent.policy.load import shipped_profile
from agent.policy.profile import SHIPPED, Ask, parse_profile
from agent.reason import Reason
from tests.agent.policy.support import NOW, RULES, credential, face, ticket

REQUIRED = 'ticket = "required"'
HERE = '\nregions = ["CN-SH"]'
PRETIX = 'formats = ["native", "pretix"]\n'
CASES = [
    # extra profile lines, credential changes, moment changes, expected
    ("", {}, {}, Ask.NONE),
    ("", {}, {"clock_trusted": False}, Reason.CLOCK_UNTRUSTED),
    (
        'hours = [{ days = ["mon"], open = "04:00", close = "04:01" }]',
        {},
        {},
        Ask.NONE,
    ),
    (
        'hours = [{ days = ["mon"], open = "04:01", close = "24:00" }]',
        {},
        {},
        Reason.CLOSED_NOW,
    ),
    (
        'hours = [{ days = ["mon"], open = "03:00", close = "04:00" }]',
        {},
        {},
        Reason.CLOSED_NOW,
    ),
    (
        'hours = [{ days = ["mon"], close = "03:00" }, { days = ["sun", "mon"], open = "03:59" }]',
        {},
        {},
        Ask.NONE,
    ),
    ('hours = [{ days = ["tue"] }]', {}, {}, Reason.CLOSED_NOW),
    ('hours = [{ days = ["mon"] }]', {}, {"now": NOW - 4 * 3_600}, Ask.NONE),
    ('hours = [{ days = ["mon"] }]', {}, {"now": NOW - 4 * 3_600 - 1}, Reason.CLOSED_NOW),
    ('hours = [{ days = ["mon"] }]', {}, {"now": NOW + 20 * 3_600 - 1}, Ask.NONE),
    ('hours = [{ days = ["mon"] }]', {}, {"now": NOW + 20 * 3_600}, Reason.CLOSED_NOW),
    ('timezone = "America/Los_Angeles"\nhours = [{ days = ["sun"] }]', {}, {}, Ask.NONE),
    (
        'timezone = "Asia/Shanghai"\nhours = [{ days = ["mon"], open = "12:00", close = "12:30" }]',
        {},
        {},
        Ask.NONE,
    ),
    ("", {}, {"trust_age_s": 11, "max_trust_age_s": 10}, Reason.TRUST_TOO_OLD),
    ("", {}, {"trust_age_s": 10, "max_trust_age_s": 10}, Ask.NONE),
    ("", {}, {"trust_age_s": 11, "max_trust_age_s": 0}, Ask.NONE),
    ("", {}, {"trust_age_s": 11}, Ask.NONE),
    ("", {}, {"max_trust_age_s": 0.5}, Ask.NONE),
    ("", {}, {"trust_age_s": 1, "max_trust_age_s": 0.5}, Reason.TRUST_TOO_OLD),
    ("", {"format": FormatName.DCC}, {}, Reason.FORMAT_NOT_ACCEPTED),
    ("", {"kind": Kind.PASSPORT}, {}, Reason.KIND_NOT_ACCEPTED),
    ("", {"kind": Kind.UNKNOWN, "document_type": "urn:x:card"}, {}, Reason.KIND_NOT_ACCEPTED),
    (
        'kind_names = { "urn:x:card" = "library-card" }',
        {"kind": Kind.UNKNOWN, "document_type": "urn:x:card"},
        {},
        Ask.NONE,
    ),
    (
        'kind_names = { "urn:x:card" = "library-card" }',
        {"kind": Kind.PASSPORT, "document_type": "urn:x:card"},
        {},
        Reason.KIND_NOT_ACCEPTED,
    ),
    ("level = 2", {"level": Level.BASIC}, {}, Reason.LEVEL_TOO_LOW),
    ("level = 2", {"level": Level.UPGRADED}, {}, Ask.NONE),
    ("", {"level": Level.BASIC}, {}, Ask.NONE),
    ("", {"dynamic": False}, {}, Reason.STATIC_NOT_ACCEPTED),
    ("dynamic = false", {"dynamic": False}, {}, Ask.NONE),
    ("", {}, {"status": StatusVerdict.VALID}, Ask.NONE),
    ("", {}, {"status": StatusVerdict.INVALID}, Reason.REVOKED),
    ("", {}, {"status": StatusVerdict.SUSPENDED}, Reason.SUSPENDED),
    ("", {}, {"status": StatusVerdict.UNKNOWN}, Reason.STATUS_UNKNOWN),
    ('status_unknown = "accept"', {}, {"status": StatusVerdict.UNKNOWN}, Ask.NONE),
    ('status_unknown = "accept"', {}, {"status": StatusVerdict.INVALID}, Reason.REVOKED),
    ('status_unknown = "accept"', {}, {"status": StatusVerdict.SUSPENDED}, Reason.SUSPENDED),
    ("", {}, {"on_blocked": True}, Reason.BLOCKED),
    ('roster = "members"', {}, {}, Reason.NOT_ON_ROSTER),
    ('roster = "members"', {}, {"on_roster": True}, Ask.NONE),
    (
        'regions = ["CN-SH"]',
        {"regions": frozenset({"CN-BJ"})},
        {},
        Reason.REGION_NOT_ACCEPTED,
    ),
    ('regions = ["CN-SH"]', {"regions": frozenset({"CN-BJ", "CN-SH"})}, {}, Ask.NONE),
    ('regions = ["CN-SH"]', {}, {}, Ask.NONE),
    ("", {"regions": frozenset({"CN-BJ"})}, {}, Ask.NONE),
    ("minimum_age = 18", {"birth_date": "2008-11-23"}, {}, Ask.NONE),
    ("minimum_age = 18", {"birth_date": "2008-11-24"}, {}, Reason.UNDER_AGE),
    ("minimum_age = 18", {"birth_date": "2008-10-30"}, {}, Ask.NONE),
    ("minimum_age = 18", {"birth_date": "2008-12-01"}, {}, Reason.UNDER_AGE),
    ("minimum_age = 18", {"birth_date": "2009-01-01"}, {}, Reason.UNDER_AGE),
    ("minimum_age = 1", {"birth_date": "2025-11-23"}, {}, Ask.NONE),
    ("minimum_age = 1", {"birth_date": "2025-11-24"}, {}, Reason.UNDER_AGE),
    (
        'minimum_age = 18\ntimezone = "America/Los_Angeles"',  # where it is the 22nd still
        {"birth_date": "2008-11-23"},
        {},
        Reason.UNDER_AGE,
    ),
    ("", {"birth_date": None}, {}, Ask.NONE),
    ("minimum_age = 18", {"birth_date": None}, {}, Reason.AGE_UNKNOWN),
    ("minimum_age = 18", {"birth_date": ""}, {}, Reason.AGE_UNKNOWN),
    ("minimum_age = 18", {"birth_date": "1990"}, {}, Ask.NONE),
    ("minimum_age = 18", {"birth_date": "2007"}, {}, Ask.NONE),
    ("minimum_age = 18", {"birth_date": "2008"}, {}, Reason.AGE_UNKNOWN),
    ("minimum_age = 18", {"birth_date": "2009"}, {}, Reason.UNDER_AGE),
    ("minimum_age = 18", {"birth_date": "2008-10"}, {}, Ask.NONE),
    ("minimum_age = 18", {"birth_date": "2008-11"}, {}, Reason.AGE_UNKNOWN),
    ("minimum_age = 18", {"birth_date": "2008-12"}, {}, Reason.UNDER_AGE),
    ("minimum_age = 18", {"birth_date": "199011"}, {}, Reason.AGE_UNKNOWN),
    ("minimum_age = 18", {"birth_date": "19901101"}, {}, Reason.AGE_UNKNOWN),
    # ages that the issuer signed, beside birth dates and what was kept back
    ("minimum_age = 18", {"birth_date": None, "ages": {18}}, {}, Ask.NONE),
    ("minimum_age = 18", {"birth_date": None, "ages": {16, 21}}, {}, Ask.NONE),
    ("minimum_age = 18", {"birth_date": None, "ages": {16, 17}}, {}, Reason.AGE_UNKNOWN),
    ("minimum_age = 18", {"birth_date": None, "ages": {17}, "undisclosed": 1}, {}, Reason.CLAIM_NOT_DISCLOSED),
    ("minimum_age = 18", {"birth_date": None, "undisclosed": 2}, {}, Reason.CLAIM_NOT_DISCLOSED),
    ("minimum_age = 18", {"birth_date": None, "ages": {18}, "undisclosed": 9}, {}, Ask.NONE),
    ("minimum_age = 18", {"birth_date": "1990-05-05", "undisclosed": 1}, {}, Ask.NONE),
    ("minimum_age = 18", {"birth_date": "2008", "undisclosed": 1}, {}, Reason.CLAIM_NOT_DISCLOSED),
    ("minimum_age = 18", {"birth_date": "2008", "ages": {18}}, {}, Ask.NONE),
    ("minimum_age = 18", {"birth_date": "2009-01-01", "undisclosed": 1}, {}, Reason.UNDER_AGE),
    ("minimum_age = 18", {"birth_date": "2009-01-01", "ages": {17}}, {}, Reason.UNDER_AGE),
    ("", {"birth_date": None, "undisclosed": 1}, {}, Ask.NONE),
    ('needs = ["age-18"]', {"birth_date": None, "ages": {18}}, {}, Ask.NONE),
    ('needs = ["age-18"]', {"birth_date": "2008-11-24"}, {}, Reason.UNDER_AGE),
    ('needs = ["age-18"]', {"birth_date": None}, {}, Reason.AGE_UNKNOWN),
    ('needs = ["age-16", "age-18", "age-6"]', {"birth_date": None, "ages": {16}}, {}, Reason.AGE_UNKNOWN),
    ('needs = ["age-16"]\nminimum_age = 18', {"birth_date": None, "ages": {16}}, {}, Reason.AGE_UNKNOWN),
    ('needs = ["age-18"]\nminimum_age = 16', {"birth_date": None, "ages": {16}}, {}, Reason.AGE_UNKNOWN),
    ('needs = ["age-18"]\nminimum_age = 16', {"birth_date": None, "ages": {19}}, {}, Ask.NONE),
    # what else a place needs to be told
    ('needs = ["birth-date"]', {}, {}, Ask.NONE),
    ('needs = ["birth-date"]', {"birth_date": None}, {}, Reason.MISSING_CLAIM),
    ('needs = ["birth-date"]', {"birth_date": None, "undisclosed": 1}, {}, Reason.CLAIM_NOT_DISCLOSED),
    ('needs = ["birth-date"]', {"undisclosed": 1}, {}, Ask.NONE),
    *(('needs = ["name"]', {"claims": {name: "A"}}, {}, Ask.NONE) for name in ("full_name", "first_name", "last_name", "name")),
    ('needs = ["name"]', {"claims": {"iss": "x", "vct": "y"}}, {}, Reason.MISSING_CLAIM),
    ('needs = ["name"]', {"undisclosed": 1}, {}, Reason.CLAIM_NOT_DISCLOSED),
    ('needs = ["face"]', {}, {}, Ask.NONE),
    ('needs = ["face"]', {"references": (face(50),)}, {}, Reason.NO_REFERENCE),
    ('needs = ["face"]', {"references": (face(50),), "undisclosed": 1}, {}, Reason.CLAIM_NOT_DISCLOSED),
    ('needs = ["face"]', {"references": ()}, {"finger_enrolled": True}, Reason.NO_REFERENCE),
    ('needs = ["finger"]', {"references": (face(50),)}, {}, Ask.NONE),
    ('needs = ["finger"]', {}, {}, Reason.NO_REFERENCE),
    ('needs = ["finger"]', {}, {"finger_enrolled": True}, Ask.NONE),
    ('needs = ["finger"]', {"undisclosed": 1}, {}, Reason.CLAIM_NOT_DISCLOSED),
    ('needs = ["birth-date", "face"]', {"references": ()}, {}, Reason.NO_REFERENCE),
    ('needs = ["face", "birth-date"]', {"birth_date": None}, {}, Reason.MISSING_CLAIM),
    ('needs = ["age-18", "name"]', {"claims": {}}, {}, Reason.MISSING_CLAIM),
    ('directions = ["in"]', {}, {"direction": "out"}, Reason.WRONG_DIRECTION),
    ('directions = ["out"]', {}, {}, Reason.WRONG_DIRECTION),
    ("", {}, {"direction": "out"}, Ask.NONE),
    ('anti_passback = "on"', {}, {}, Ask.NONE),
    ('anti_passback = "on"', {}, {"inside": True}, Reason.ALREADY_INSIDE),
    ('anti_passback = "on"', {}, {"inside": True, "direction": "out"}, Ask.NONE),
    ("", {}, {"inside": True}, Ask.NONE),
    ('ticket = "required"', {}, {}, Reason.TICKET_REQUIRED),
    ('ticket = "required"', {"business": ticket()}, {}, Ask.NONE),
    ('ticket = "required"', {"business": ticket(valid_until=NOW - 1)}, {}, Reason.TICKET_INVALID),
    ('ticket = "required"', {"business": ticket(valid_until=NOW)}, {}, Ask.NONE),
    ('ticket = "required"', {"business": ticket(valid_from=NOW)}, {}, Ask.NONE),
    ('ticket = "required"', {"business": ticket(valid_from=NOW + 1)}, {}, Reason.TICKET_INVALID),
    ("", {"business": ticket(valid_until=NOW - 1)}, {}, Ask.NONE),
    (
        'ticket = "required"\nticket_kinds = ["event-ticket", "rail-ticket"]',
        {"business": ticket()},
        {},
        Ask.NONE,
    ),
    (
        'ticket = "required"',
        {"business": ticket()},
        {"ticket_status": StatusVerdict.VALID},
        Ask.NONE,
    ),
    (
        'ticket = "required"\nstatus_unknown = "accept"',
        {"business": ticket()},
        {"ticket_status": StatusVerdict.SUSPENDED},
        Reason.TICKET_INVALID,
    ),
    (
        'ticket = "required"\nticket_kinds = ["event-ticket"]',
        {"business": ticket()},
        {},
        Reason.TICKET_INVALID,
    ),
    (
        'ticket = "required"',
        {"business": ticket()},
        {"ticket_status": StatusVerdict.INVALID},
        Reason.TICKET_INVALID,
    ),
    (
        'ticket = "required"',
        {"business": ticket()},
        {"ticket_status": StatusVerdict.UNKNOWN},
        Reason.TICKET_INVALID,
    ),
    (
        'ticket = "required"\nstatus_unknown = "accept"',
        {"business": ticket()},
        {"ticket_status": StatusVerdict.UNKNOWN},
        Ask.NONE,
    ),
    (REQUIRED, {"business": ticket()}, {"ticket_used": True}, Reason.TICKET_INVALID),
    (REQUIRED + '\nticket_use = "once"', {"business": ticket()}, {"ticket_used": True}, Reason.TICKET_INVALID),
    (REQUIRED + '\nticket_use = "many"', {"business": ticket()}, {"ticket_used": True}, Ask.NONE),
    (REQUIRED + '\nticket_use = "many"', {"business": ticket()}, {}, Ask.NONE),
    ("", {"business": ticket()}, {"ticket_used": True}, Ask.NONE),
    (REQUIRED + HERE, {"business": ticket(regions=frozenset({"CN-BJ"}))}, {}, Reason.TICKET_INVALID),
    (REQUIRED + HERE, {"business": ticket(regions=frozenset({"CN-BJ", "CN-SH"}))}, {}, Ask.NONE),
    (REQUIRED + HERE, {"business": ticket()}, {}, Ask.NONE),
    (REQUIRED, {"business": ticket(regions=frozenset({"CN-BJ"}))}, {}, Ask.NONE),
    (HERE, {"business": ticket(regions=frozenset({"CN-BJ"}))}, {}, Ask.NONE),
    (PRETIX, {"event": EventTicket(11)}, {}, Ask.NONE),
    (PRETIX + "pretix_items = [11]", {"event": EventTicket(11, 5, 3)}, {}, Ask.NONE),
    (PRETIX + "pretix_items = [7, 11]", {"event": EventTicket(11)}, {}, Ask.NONE),
    (PRETIX + "pretix_items = [7, 12]", {"event": EventTicket(11, 7, 12)}, {}, Reason.TICKET_NOT_ACCEPTED),
    (PRETIX + "pretix_items = [7, 12]", {}, {}, Ask.NONE),  # another format's credential
    (PRETIX + "pretix_variations = [5]", {"event": EventTicket(11, 5, 3)}, {}, Ask.NONE),
    (PRETIX + "pretix_variations = [5]", {"event": EventTicket(5, 6, 5)}, {}, Reason.TICKET_NOT_ACCEPTED),
    (PRETIX + "pretix_variations = [5]", {"event": EventTicket(5)}, {}, Reason.TICKET_NOT_ACCEPTED),
    (PRETIX + "pretix_variations = [0, 5]", {"event": EventTicket(5)}, {}, Ask.NONE),
    (PRETIX + "pretix_subevents = [3]", {"event": EventTicket(11, 5, 3)}, {}, Ask.NONE),
    (PRETIX + "pretix_subevents = [3]", {"event": EventTicket(3, 3, 4)}, {}, Reason.TICKET_NOT_ACCEPTED),
    (PRETIX + "pretix_subevents = [3]", {"event": EventTicket(3)}, {}, Reason.TICKET_NOT_ACCEPTED),
    (PRETIX + "pretix_items = [1]\npretix_variations = [2]\npretix_subevents = [3]", {"event": EventTicket(1, 2, 3)}, {}, Ask.NONE),
    (PRETIX + "pretix_items = [1]\npretix_variations = [2]\npretix_subevents = [3]", {"event": EventTicket(1, 2, 4)}, {}, Reason.TICKET_NOT_ACCEPTED),
    ('hours = [{ days = ["sun"] }]', {}, {"own_zone": ZoneInfo("America/Los_Angeles")}, Ask.NONE),
    ('hours = [{ days = ["mon"] }]', {}, {"own_zone": ZoneInfo("America/Los_Angeles")}, Reason.CLOSED_NOW),
    ('hours = [{ days = ["mon"] }]\ntimezone = "UTC"', {}, {"own_zone": ZoneInfo("America/Los_Angeles")}, Ask.NONE),
    ("exceptions = [{ date = 2026-11-23 }]", {}, {}, Reason.CLOSED_NOW),
    ("exceptions = [{ date = 2026-11-24 }]", {}, {}, Ask.NONE),
    ("minimum_age = 18", {"birth_date": "2008-11-23"}, {"own_zone": ZoneInfo("America/Los_Angeles")}, Reason.UNDER_AGE),
    ('minimum_age = 18\ntimezone = "UTC"', {"birth_date": "2008-11-23"}, {"own_zone": ZoneInfo("America/Los_Angeles")}, Ask.NONE),
    ("", {}, {"locked_out": True}, Reason.LOCKED_OUT),
    ('biometric = "face"', {}, {}, Ask.FACE),
    ('biometric = "face"', {"references": ()}, {}, Reason.NO_REFERENCE),
    ('biometric = "face"', {"references": (), "undisclosed": 1}, {}, Reason.CLAIM_NOT_DISCLOSED),
    ('biometric = "face"', {"undisclosed": 1}, {}, Ask.FACE),
    ('biometric = "both"', {"undisclosed": 1}, {}, Reason.CLAIM_NOT_DISCLOSED),
    ('biometric = "either"', {"undisclosed": 1}, {}, Ask.FACE),
    ('biometric = "either"', {"references": (), "undisclosed": 1}, {}, Reason.CLAIM_NOT_DISCLOSED),
    ('biometric = "finger"', {}, {}, Reason.NO_REFERENCE),
    ('biometric = "finger"', {"references": (face(50),)}, {}, Ask.FINGER),
    ('biometric = "finger"', {}, {"finger_enrolled": True}, Ask.FINGER),
    ('biometric = "both"', {}, {}, Reason.NO_REFERENCE),
    ('biometric = "both"', {"references": (face(50),)}, {}, Reason.NO_REFERENCE),
    ('biometric = "both"', {"references": (face(), face(50))}, {}, Ask.BOTH),
    ('biometric = "both"', {}, {"finger_enrolled": True}, Ask.BOTH),
    ('biometric = "none"', {"references": ()}, {}, Ask.NONE),
    ('biometric = "either"', {}, {}, Ask.FACE),
    ('biometric = "either"', {"references": (face(51),)}, {}, Ask.FINGER),
    ('biometric = "either"', {"references": (face(), face(50))}, {}, Ask.EITHER),
    ('biometric = "either"', {"references": ()}, {}, Reason.NO_REFERENCE),
    (
        'biometric = "face"\nbiometric_basic = "none"',
        {"level": Level.BASIC, "references": ()},
        {},
        Ask.NONE,
    ),
    ('biometric = "face"', {"level": Level.BASIC}, {}, Ask.FACE),
    ('biometric = "face"\nbiometric_basic = "none"', {}, {}, Ask.FACE),
]  # fmt: skip


@pytest.mark.parametrize(("lines", "changes", "moment", "expected"), CASES)
def test_decision(
    lines: str, changes: dict[str, object], moment: dict[str, object], expected: Ask | Reason
) -> None:
    profile = parse_profile(RULES + lines, source="case")
    moment = {"now": NOW, **moment}
    answer = decide(credential(**changes), profile, Moment(**moment))  # type: ignore[arg-type]
    if isinstance(expected, Ask):
        spent = changes.get("business") if 'ticket = "required"' in lines else None
        if 'ticket_use = "many"' in lines:
            spent = None
        direction = moment.get("direction", "in")
        assert answer == Demand(expected, direction, spent)  # type: ignore[arg-type]
    else:
        assert answer == Denial(expected)


# In the order of the module's list; each row alone is refused, and so is each with all that follow.
FAULTS = [
    ("", {}, {"clock_trusted": False}, Reason.CLOCK_UNTRUSTED),
    ('hours = [{ days = ["tue"] }]', {}, {}, Reason.CLOSED_NOW),
    ("", {}, {"trust_age_s": 11, "max_trust_age_s": 10}, Reason.TRUST_TOO_OLD),
    ("", {"format": FormatName.DCC}, {}, Reason.FORMAT_NOT_ACCEPTED),
    ("", {"kind": Kind.PASSPORT}, {}, Reason.KIND_NOT_ACCEPTED),
    ('formats = ["native", "pretix"]\npretix_items = [1]', {"event": EventTicket(2)}, {}, Reason.TICKET_NOT_ACCEPTED),
    ("level = 2", {"level": Level.BASIC}, {}, Reason.LEVEL_TOO_LOW),
    ("", {"dynamic": False}, {}, Reason.STATIC_NOT_ACCEPTED),
    ("", {}, {"status": StatusVerdict.INVALID}, Reason.REVOKED),
    ("", {}, {"on_blocked": True}, Reason.BLOCKED),
    ('roster = "members"', {}, {}, Reason.NOT_ON_ROSTER),
    ('regions = ["CN-SH"]', {"regions": frozenset({"CN-BJ"})}, {}, Reason.REGION_NOT_ACCEPTED),
    ("minimum_age = 18", {"birth_date": "2020-01-01"}, {}, Reason.UNDER_AGE),
    ('directions = ["out"]', {}, {}, Reason.WRONG_DIRECTION),
    ('anti_passback = "on"', {}, {"inside": True}, Reason.ALREADY_INSIDE),
    ('ticket = "required"', {}, {}, Reason.TICKET_REQUIRED),
    ("", {}, {"locked_out": True}, Reason.LOCKED_OUT),
    ('needs = ["name"]', {}, {}, Reason.MISSING_CLAIM),
    ('biometric = "face"', {"references": ()}, {}, Reason.NO_REFERENCE),
]  # fmt: skip


@pytest.mark.parametrize("first", range(len(FAULTS)), ids=[row[3].value for row in FAULTS])
def test_the_first_check_that_fails_is_the_reason(first: int) -> None:
    lines, changes, moments, reasons = zip(*FAULTS[first:], strict=True)
    profile = parse_profile(RULES + "\n".join(lines), source="case")
    changed = credential(**{key: value for each in changes for key, value in each.items()})
    moment = Moment(NOW, **{key: value for each in moments for key, value in each.items()})
    assert decide(changed, profile, moment) == Denial(reasons[0])


def test_the_days_of_the_week_are_those_of_the_calendar() -> None:
    for number, day in enumerate(("mon", "tue", "wed", "thu", "fri", "sat", "sun", "mon")):
        profile = parse_profile(RULES + f'hours = [{{ days = ["{day}"] }}]', source="case")
        open_on = [
            later for later in range(7)
            if isinstance(decide(credential(), profile, Moment(NOW + later * 86_400)), Demand)
        ]  # fmt: skip
        assert open_on == [number % 7]


PLACES = {
    "railway": Ask.FACE,
    "library": Ask.NONE,
    "government-hall": Ask.FACE,
    "hotel": Ask.FACE,
    "airport": Reason.NO_REFERENCE,  # both are asked, and the credential has a face only
    "internet-cafe": Ask.FACE,
    "logistics": Ask.NONE,
}


@pytest.mark.parametrize("name", SHIPPED)
def test_an_upgraded_online_id_at_every_place(name: str) -> None:
    answer = decide(credential(), shipped_profile(name), Moment(now=NOW))
    expected = PLACES[name]
    if isinstance(expected, Reason):
        assert answer == Denial(expected)
    else:
        assert answer == Demand(expected, "in")
