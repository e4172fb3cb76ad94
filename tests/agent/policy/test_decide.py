"""The policy's table of cases: what each place says to each credential."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import pytest

from agent.credential.model import (
    BiometricReference,
    BusinessItem,
    Credential,
    FormatName,
    Kind,
    Level,
    Modality,
    ReferenceForm,
    ReplayKey,
    StatusVerdict,
)
from agent.policy.decide import Demand, Denial, Moment, decide
from agent.policy.load import load_profile, shipped_profile
from agent.policy.profile import SHIPPED, Ask, ProfileError, parse_profile
from agent.reason import Reason

NOW = int(dt.datetime(2026, 11, 23, 4, 0, tzinfo=dt.UTC).timestamp())  # noon in Shanghai


def face(position: int = 62) -> BiometricReference:
    modality = Modality.FACE if position == 62 else Modality.FINGER
    return BiometricReference(modality, ReferenceForm.TEMPLATE, b"t", 100, "m", position)


def credential(**change: object) -> Credential:
    base = Credential(
        format=FormatName.NATIVE,
        issuer="city",
        key_id=b"12345678",
        kind=Kind.ONLINE_ID,
        level=Level.UPGRADED,
        subject="s",
        issued_at=NOW - 1000,
        valid_from=NOW - 1000,
        valid_until=NOW + 1000,
        dynamic=True,
        replay_key=ReplayKey(b"k"),
        references=(face(),),
        birth_date="1990-05-05",
    )
    return replace(base, **change)  # type: ignore[arg-type]


def ticket(**change: object) -> BusinessItem:
    item = BusinessItem("railway", Kind.RAIL_TICKET, b"r", NOW - 10, NOW + 10)
    return replace(item, **change)  # type: ignore[arg-type]


RULES = """
name = "t"
title = "t"
kinds = ["online-id", "library-card"]
"""

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
    ('hours = [{ days = ["tue"] }]', {}, {}, Reason.CLOSED_NOW),
    (
        'timezone = "Asia/Shanghai"\nhours = [{ days = ["mon"], open = "12:00", close = "12:30" }]',
        {},
        {},
        Ask.NONE,
    ),
    ("", {}, {"trust_age_s": 11, "max_trust_age_s": 10}, Reason.TRUST_TOO_OLD),
    ("", {}, {"trust_age_s": 11, "max_trust_age_s": 0}, Ask.NONE),
    ("", {"format": FormatName.DCC}, {}, Reason.FORMAT_NOT_ACCEPTED),
    ("", {"kind": Kind.PASSPORT}, {}, Reason.KIND_NOT_ACCEPTED),
    ("", {"kind": Kind.UNKNOWN, "document_type": "urn:x:card"}, {}, Reason.KIND_NOT_ACCEPTED),
    (
        'kind_names = { "urn:x:card" = "library-card" }',
        {"kind": Kind.UNKNOWN, "document_type": "urn:x:card"},
        {},
        Ask.NONE,
    ),
    ("level = 2", {"level": Level.BASIC}, {}, Reason.LEVEL_TOO_LOW),
    ("", {"dynamic": False}, {}, Reason.STATIC_NOT_ACCEPTED),
    ("dynamic = false", {"dynamic": False}, {}, Ask.NONE),
    ("", {}, {"status": StatusVerdict.VALID}, Ask.NONE),
    ("", {}, {"status": StatusVerdict.INVALID}, Reason.REVOKED),
    ("", {}, {"status": StatusVerdict.SUSPENDED}, Reason.SUSPENDED),
    ("", {}, {"status": StatusVerdict.UNKNOWN}, Reason.STATUS_UNKNOWN),
    ('status_unknown = "accept"', {}, {"status": StatusVerdict.UNKNOWN}, Ask.NONE),
    ("", {}, {"on_blocked": True}, Reason.BLOCKED),
    ('roster = "members"', {}, {"on_roster": False}, Reason.NOT_ON_ROSTER),
    ('roster = "members"', {}, {"on_roster": None}, Reason.NOT_ON_ROSTER),
    ('roster = "members"', {}, {"on_roster": True}, Ask.NONE),
    (
        'regions = ["CN-SH"]',
        {"regions": frozenset({"CN-BJ"})},
        {},
        Reason.REGION_NOT_ACCEPTED,
    ),
    ('regions = ["CN-SH"]', {"regions": frozenset({"CN-BJ", "CN-SH"})}, {}, Ask.NONE),
    ('regions = ["CN-SH"]', {}, {}, Ask.NONE),
    ("minimum_age = 18", {"birth_date": "2008-11-23"}, {}, Ask.NONE),
    ("minimum_age = 18", {"birth_date": "2008-11-24"}, {}, Reason.UNDER_AGE),
    ("minimum_age = 18", {"birth_date": None}, {}, Reason.AGE_UNKNOWN),
    ("minimum_age = 18", {"birth_date": "1990"}, {}, Reason.AGE_UNKNOWN),
    ('directions = ["in"]', {}, {"direction": "out"}, Reason.WRONG_DIRECTION),
    ('anti_passback = "on"', {}, {"inside": True}, Reason.ALREADY_INSIDE),
    ('anti_passback = "on"', {}, {"inside": True, "direction": "out"}, Ask.NONE),
    ("", {}, {"inside": True}, Ask.NONE),
    ('ticket = "required"', {}, {}, Reason.TICKET_REQUIRED),
    ('ticket = "required"', {"business": ticket()}, {}, Ask.NONE),
    ('ticket = "required"', {"business": ticket(valid_until=NOW - 1)}, {}, Reason.TICKET_INVALID),
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
    ("", {}, {"locked_out": True}, Reason.LOCKED_OUT),
    ('biometric = "face"', {}, {}, Ask.FACE),
    ('biometric = "face"', {"references": ()}, {}, Reason.NO_REFERENCE),
    ('biometric = "finger"', {}, {}, Reason.NO_REFERENCE),
    ('biometric = "finger"', {}, {"finger_enrolled": True}, Ask.FINGER),
    ('biometric = "both"', {}, {}, Reason.NO_REFERENCE),
    ('biometric = "both"', {"references": (face(), face(50))}, {}, Ask.BOTH),
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
    # the first failing check is the reason
    (
        "level = 2",
        {"level": Level.BASIC, "dynamic": False},
        {"locked_out": True},
        Reason.LEVEL_TOO_LOW,
    ),
]


@pytest.mark.parametrize(("lines", "changes", "moment", "expected"), CASES)
def test_decision(
    lines: str, changes: dict[str, object], moment: dict[str, object], expected: Ask | Reason
) -> None:
    profile = parse_profile(RULES + lines, source="case")
    answer = decide(credential(**changes), profile, Moment(now=NOW, **moment))  # type: ignore[arg-type]
    if isinstance(expected, Ask):
        assert answer == Demand(expected, Moment(now=NOW, **moment).direction)  # type: ignore[arg-type]
    else:
        assert answer == Denial(expected)


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


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name = 1", "name"),
        (RULES.replace("online-id", "x"), r"kinds\[0\]: .*allowed: online-id, "),
        (RULES + "levle = 2", "levle.*allowed: name, title, formats"),
        (RULES + "level = 3", "key level: .* <= 2"),
        (
            RULES + 'biometric = "voice"',
            "key biometric: .*allowed: none, face, finger, both, either",
        ),
        (RULES + "level = ", "not TOML"),
        (RULES + 'timezone = "Mars/Olympus"', "timezone"),
        (RULES + 'hours = [{ days = ["mon"], open = "20:00", close = "06:00" }]', "hours"),
    ],
)
def test_a_bad_profile_is_one_clear_line(text: str, message: str) -> None:
    with pytest.raises(ProfileError, match=message) as error:
        parse_profile(text, source="place.toml")
    assert str(error.value).startswith("place.toml: ")
    assert "\n" not in str(error.value)


def test_a_profile_by_path(tmp_path) -> None:
    (tmp_path / "mine.toml").write_text(RULES)
    assert load_profile("mine.toml", base_dir=tmp_path).title == "t"
    with pytest.raises(ProfileError, match="shipped ones are airport"):
        load_profile("nowhere", base_dir=tmp_path)
