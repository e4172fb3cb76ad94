"""From a payload to a judgement: what is looked up where, and what comes of each answer.

The formats have tests of their own: here one that the test commands stands for them all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC
from zoneinfo import ZoneInfo

import pytest

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
from agent.credential.registry import ReadRules
from agent.policy.decide import Demand
from agent.policy.judge import Judge, Judgement, NoMemory, Place
from agent.policy.profile import Ask, parse_profile
from agent.reason import Reason
from tests.agent.policy.support import NOW, RULES, credential, ticket

VALID, INVALID = StatusVerdict.VALID, StatusVerdict.INVALID
WITHHELD = StatusVerdict.WITHHELD
LIST, TICKETS = StatusReference("https://city/1", 7), StatusReference("https://rail/1", 9)


@dataclass
class Roster:
    """Lists whoever is asked for with exactly these words."""

    blocks: bool
    listed: tuple[object, ...] = ("city", "s", NOW, "hall")

    def lists(self, issuer: str, subject: str, now: int, zone: str = "") -> bool:
        return (issuer, subject, now, zone) == self.listed


@dataclass
class Trust:
    """A signed set, read this second."""

    version: int = 3
    updated_at: int = NOW
    verdicts: dict[tuple[object, ...], StatusVerdict] = field(default_factory=dict)
    rosters: dict[str, Roster] = field(default_factory=dict)

    def age_s(self, now: int) -> int:
        return now - self.updated_at

    def status(self, reference: StatusReference, now: int, issuer: str | None = None):
        return self.verdicts.get((reference, now, issuer), StatusVerdict.UNKNOWN)

    def revocation(self, kid: bytes, hashes: tuple[bytes, ...]) -> StatusVerdict | None:
        return self.verdicts.get((kid, hashes))

    def roster(self, name: str) -> Roster | None:
        return self.rosters.get(name)


@dataclass
class Memory:
    """Remembers of the test's own person, at the test's own moment, what the test says."""

    used: bool = False
    ticket: bool = False
    is_inside: bool = False
    locked: bool = False
    enrolled: bool = False

    def was_used(self, credential: Credential, now: int) -> bool:
        return self.used and self._knows(credential, now)

    def ticket_used(self, ticket: BusinessItem) -> bool:
        return self.ticket and ticket.use_key == b"ticket"

    def inside(self, credential: Credential, now: int) -> bool:
        return self.is_inside and self._knows(credential, now)

    def locked_out(self, credential: Credential, now: int) -> bool:
        return self.locked and self._knows(credential, now)

    def finger_enrolled(self, credential: Credential) -> bool:
        return self.enrolled and self._knows(credential, NOW)

    def _knows(self, credential: Credential, now: int) -> bool:
        return (credential.subject, now) == ("s", NOW)


def place(lines: str = "", **more: object) -> Place:
    profile = parse_profile(RULES + lines, source="case")
    return Place("station", "gate-1", profile, **{"zone": "hall", **more})  # type: ignore[arg-type]


Read = Callable[..., Credential]


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Judgement]:
    """Judge what a format returns or raises; the clock of the timings goes on by 1, 2, 4 ms."""

    def judge(
        read: Read | Credential,
        where: Place,
        *,
        trust: Trust | None = None,
        memory: object = None,
        **how: object,
    ) -> Judgement:
        times = iter([10_000_000, 11_000_000, 13_000_000, 17_000_000])
        answer = read if callable(read) else lambda *_, **__: read
        monkeypatch.setattr(registry, "read", answer)
        here = Judge(where, timer=lambda: next(times), memory=memory or Memory())  # type: ignore[arg-type]
        return here.judge(b"HC1:", trust=trust or Trust(), now=NOW, **how)  # type: ignore[arg-type]

    return judge


CASES = [
    # what it is, profile lines, place, credential, trust set, memory, expected
    ("nothing wrong", "", {}, {}, {}, {}, Reason.GRANTED),
    ("used before", "", {}, {}, {}, {"used": True}, Reason.REPLAYED),
    ("used before, and more", "level = 2", {}, {"level": 1}, {}, {"used": True}, Reason.REPLAYED),
    ("out where one gets in", 'directions = ["in"]', {"direction": "out"}, {}, {}, {}, Reason.WRONG_DIRECTION),
    ("out where one gets out", 'directions = ["out"]', {"direction": "out"}, {}, {}, {}, Reason.GRANTED),
    ("inside", 'anti_passback = "on"', {}, {}, {}, {"is_inside": True}, Reason.ALREADY_INSIDE),
    ("locked out", "", {}, {}, {}, {"locked": True}, Reason.LOCKED_OUT),
    ("no finger", 'biometric = "finger"', {}, {}, {}, {}, Reason.NO_REFERENCE),
    ("a finger in the module", 'biometric = "finger"', {}, {}, {}, {"enrolled": True}, Reason.GRANTED),

    ("any age", "", {}, {}, {"updated_at": 0}, {}, Reason.GRANTED),
    ("just read", "", {"max_trust_age_s": 0.5}, {}, {}, {}, Reason.GRANTED),
    ("as old as allowed", "", {"max_trust_age_s": 10.0}, {}, {"updated_at": NOW - 10}, {}, Reason.GRANTED),
    ("older", "", {"max_trust_age_s": 10.0}, {}, {"updated_at": NOW - 11}, {}, Reason.TRUST_TOO_OLD),
    ("from ahead of our clock", "", {"max_trust_age_s": 10.0}, {}, {"updated_at": NOW + 60}, {}, Reason.GRANTED),
    ("a plain directory", "", {"max_trust_age_s": 0.5}, {}, {"version": 0, "updated_at": 0}, {}, Reason.GRANTED),
    ("the first signed set", "", {"max_trust_age_s": 0.5}, {}, {"version": 1, "updated_at": 0}, {}, Reason.TRUST_TOO_OLD),

    ("no status", "", {}, {}, {"verdicts": {(LIST, NOW, "city"): INVALID}}, {}, Reason.GRANTED),
    ("valid", "", {}, {"status": LIST}, {"verdicts": {(LIST, NOW, "city"): VALID}}, {}, Reason.GRANTED),
    ("revoked", "", {}, {"status": LIST}, {"verdicts": {(LIST, NOW, "city"): INVALID}}, {}, Reason.REVOKED),
    ("by another issuer's list", "", {}, {"status": LIST}, {"verdicts": {(LIST, NOW, "rail"): VALID}}, {}, Reason.STATUS_UNKNOWN),
    ("no list", "", {}, {"status": LIST}, {}, {}, Reason.STATUS_UNKNOWN),

    ("a list that cannot be read", 'status_unknown = "accept"', {}, {"status": LIST}, {"verdicts": {(LIST, NOW, "city"): WITHHELD}}, {}, Reason.STATUS_UNKNOWN),
    ("a list that nobody brought", 'status_unknown = "accept"', {}, {"status": LIST}, {}, {}, Reason.GRANTED),
    ("not on a revocation list", "", {}, {"revocation_hashes": (b"h",)}, {}, {}, Reason.GRANTED),
    ("on one", "", {}, {"revocation_hashes": (b"h",)}, {"verdicts": {(b"12345678", (b"h",)): INVALID}}, {}, Reason.REVOKED),
    ("on another signer's", "", {}, {"revocation_hashes": (b"h",), "key_id": b"other"}, {"verdicts": {(b"12345678", (b"h",)): INVALID}}, {}, Reason.GRANTED),
    ("revocations that cannot be read", 'status_unknown = "accept"', {}, {"revocation_hashes": (b"h",)}, {"verdicts": {(b"12345678", (b"h",)): WITHHELD}}, {}, Reason.STATUS_UNKNOWN),
    ("a ticket's list that cannot be read", 'ticket = "required"\nstatus_unknown = "accept"', {}, {"business": ticket(status=TICKETS)}, {"verdicts": {(TICKETS, NOW, "railway"): WITHHELD}}, {}, Reason.TICKET_INVALID),

    ("no ticket", 'ticket = "required"', {}, {}, {}, {}, Reason.TICKET_REQUIRED),
    ("a ticket", 'ticket = "required"', {}, {"business": ticket()}, {}, {}, Reason.GRANTED),
    ("a valid ticket", 'ticket = "required"', {}, {"business": ticket(status=TICKETS)}, {"verdicts": {(TICKETS, NOW, "railway"): VALID}}, {}, Reason.GRANTED),
    ("a ticket handed back", 'ticket = "required"', {}, {"business": ticket(status=TICKETS)}, {"verdicts": {(TICKETS, NOW, "railway"): INVALID}}, {}, Reason.TICKET_INVALID),
    ("a ticket by the city's list", 'ticket = "required"', {}, {"business": ticket(status=TICKETS)}, {"verdicts": {(TICKETS, NOW, "city"): VALID}}, {}, Reason.TICKET_INVALID),

    ("a ticket used before", 'ticket = "required"', {}, {"business": ticket()}, {}, {"ticket": True}, Reason.TICKET_INVALID),
    ("another ticket used before", 'ticket = "required"', {}, {"business": ticket(use_key=b"other")}, {}, {"ticket": True}, Reason.GRANTED),
    ("a ticket used before, for many uses", 'ticket = "required"\nticket_use = "many"', {}, {"business": ticket()}, {}, {"ticket": True}, Reason.GRANTED),
    ("a ticket used before that nobody asks for", "", {}, {"business": ticket()}, {}, {"ticket": True}, Reason.GRANTED),

    ("by the gate's own clock", 'hours = [{ days = ["sun"] }]', {"own_zone": ZoneInfo("America/Los_Angeles")}, {}, {}, {}, Reason.GRANTED),
    ("by the gate's own clock, too late", 'hours = [{ days = ["mon"] }]', {"own_zone": ZoneInfo("America/Los_Angeles")}, {}, {}, {}, Reason.CLOSED_NOW),

    ("on the roster", 'roster = "staff"', {}, {}, {"rosters": {"staff": Roster(blocks=False)}}, {}, Reason.GRANTED),
    ("on it for another zone", 'roster = "staff"', {"zone": "vault"}, {}, {"rosters": {"staff": Roster(blocks=False)}}, {}, Reason.NOT_ON_ROSTER),
    ("another subject", 'roster = "staff"', {}, {"subject": "t"}, {"rosters": {"staff": Roster(blocks=False)}}, {}, Reason.NOT_ON_ROSTER),
    ("another issuer", 'roster = "staff"', {}, {"issuer": "town"}, {"rosters": {"staff": Roster(blocks=False)}}, {}, Reason.NOT_ON_ROSTER),
    ("no such roster", 'roster = "staff"', {}, {}, {"rosters": {"other": Roster(blocks=False)}}, {}, Reason.NOT_ON_ROSTER),
    ("a blocked list for a roster", 'roster = "staff"', {}, {}, {"rosters": {"staff": Roster(blocks=True)}}, {}, Reason.NOT_ON_ROSTER),
    ("not asked for", "", {}, {}, {"rosters": {"": Roster(blocks=True)}}, {}, Reason.GRANTED),

    ("blocked", 'blocked = "barred"', {}, {}, {"rosters": {"barred": Roster(blocks=True)}}, {}, Reason.BLOCKED),
    ("somebody else is", 'blocked = "barred"', {}, {"subject": "t"}, {"rosters": {"barred": Roster(blocks=True)}}, {}, Reason.GRANTED),
    ("no blocked list", 'blocked = "barred"', {}, {}, {}, {}, Reason.BLOCKED),
    ("a roster for a blocked list", 'blocked = "barred"', {}, {}, {"rosters": {"barred": Roster(blocks=False, listed=())}}, {}, Reason.BLOCKED),
    ("both lists", 'roster = "staff"\nblocked = "barred"', {}, {}, {"rosters": {"staff": Roster(blocks=False), "barred": Roster(blocks=True, listed=())}}, {}, Reason.GRANTED),
]  # fmt: skip


@pytest.mark.parametrize(
    ("lines", "where", "changes", "trust", "memory", "reason"),
    [row[1:] for row in CASES],
    ids=[row[0] for row in CASES],
)
def test_what_is_looked_up(judged, lines, where, changes, trust, memory, reason) -> None:
    answer = judged(
        credential(**changes), place(lines, **where), trust=Trust(**trust), memory=Memory(**memory)
    )
    assert answer.reason is reason
    assert (answer.demand is None) is (reason is not Reason.GRANTED)


def test_a_place_that_says_no_more_lets_people_into_the_main_zone(judged) -> None:
    profile = parse_profile(RULES + 'roster = "staff"', source="case")
    trust = Trust(rosters={"staff": Roster(False, ("city", "s", NOW, "main"))}, updated_at=0)
    answer = judged(credential(), Place("station", "gate-1", profile), trust=trust)
    assert answer.demand == Demand(Ask.NONE, "in")


def test_a_judgement_says_what_was_read_and_how_long_it_took(judged) -> None:
    read = credential(kind=Kind.UNKNOWN, document_type="urn:x:card")
    where = place('kind_names = { "urn:x:card" = "library-card" }', direction="out")
    assert judged(read, where) == Judgement(
        Reason.GRANTED,
        FormatName.NATIVE,
        read,
        Kind.LIBRARY_CARD,
        Demand(Ask.NONE, "out"),
        "",
        {"verify": 1.0, "policy": 2.0},
    )
    assert judged(read, place()) == Judgement(
        Reason.KIND_NOT_ACCEPTED,
        FormatName.NATIVE,
        read,
        Kind.UNKNOWN,
        None,
        "",
        {"verify": 1.0, "policy": 2.0},
    )


@pytest.mark.parametrize(
    ("error", "reason", "format_", "detail"),
    [
        (Rejected(Reason.EXPIRED, "since May"), Reason.EXPIRED, FormatName.DCC, "since May"),
        (RuntimeError("Lin Wei"), Reason.INTERNAL_ERROR, None, "RuntimeError while reading a code"),
    ],
    ids=["refused", "a bug"],
)
def test_a_code_that_cannot_be_read(judged, error, reason, format_, detail) -> None:
    def read(*_: object, **__: object) -> Credential:
        raise error

    answer = judged(read, place())
    assert answer == Judgement(reason, format_, detail=detail, timings_ms={"verify": 1.0})


KID = "00ff" * 8


@pytest.mark.parametrize(
    ("reason", "detail", "unknown"),
    [
        (Reason.UNKNOWN_ISSUER, f"kid {KID}", KID),
        (Reason.UNKNOWN_ISSUER, f"no CA key {KID}", KID),
        (Reason.UNKNOWN_ISSUER, "kid ff", "ff"),
        (Reason.UNKNOWN_ISSUER, "kid " + "ab" * 32, "ab" * 32),
        (Reason.UNKNOWN_ISSUER, "kid " + "ab" * 32 + "a", ""),
        (Reason.UNKNOWN_ISSUER, f"kid {KID}\n", ""),
        (Reason.UNKNOWN_ISSUER, "kid ", ""),
        (Reason.UNKNOWN_ISSUER, "kid f", ""),
        (Reason.UNKNOWN_ISSUER, "kid Lin Wei", ""),
        (Reason.UNKNOWN_ISSUER, "iss does not belong to the key", ""),
        (Reason.BAD_SIGNATURE, f"kid {KID}", ""),
    ],
)
def test_which_key_is_not_known(judged, reason, detail, unknown) -> None:
    def read(*_: object, **__: object) -> Credential:
        raise Rejected(reason, detail)

    answer = judged(read, place())
    assert (answer.detail, answer.unknown_key) == (detail, unknown)


def test_a_format_is_told_all_that_the_place_asks(judged) -> None:
    told: list[object] = []

    def read(payload: bytes, *, keys: object, rules: ReadRules) -> Credential:
        told.extend((payload, keys, rules))
        return credential()

    where = place('formats = ["native", "dcc"]', site_keys=(bytes(32), bytes(range(32))))
    trust = Trust()
    rules = ReadRules(
        now=NOW,
        clock_trusted=True,
        site="station",
        gate="gate-1",
        formats=frozenset({FormatName.NATIVE, FormatName.DCC}),
        challenge=None,
        site_keys=(bytes(32), bytes(range(32))),
    )
    judged(read, where, trust=trust)
    assert told == [b"HC1:", trust, rules]
    told.clear()
    own = {FormatName.DCC: registry.Tolerance(past_s=60)}
    judged(read, replace(where, tolerances=own), trust=trust)
    assert told == [b"HC1:", trust, replace(rules, tolerances=own)]
    told.clear()
    judged(read, where, trust=trust, challenge=b"nonce", clock_trusted=False)
    assert told == [b"HC1:", trust, replace(rules, challenge=b"nonce", clock_trusted=False)]


@pytest.mark.parametrize(
    ("lines", "own_zone", "detail"),
    [
        ('hours = [{ days = ["mon"], open = "06:30" }]', UTC, "Mon 2026-11-23 04:00 in UTC: open 06:30 to 24:00"),
        ('hours = [{ days = ["mon"] }]', ZoneInfo("America/Los_Angeles"), "Sun 2026-11-22 20:00 in America/Los_Angeles: closed all day"),
        ('timezone = "UTC"\nexceptions = [{ date = 2026-11-23, open = "08:00", close = "09:00" }, { date = 2026-11-23, open = "04:01", close = "05:00" }]', ZoneInfo("Asia/Tokyo"), "Mon 2026-11-23 04:00 in UTC: open 04:01 to 05:00, 08:00 to 09:00"),
    ],
)  # fmt: skip
def test_a_closed_place_says_what_it_takes_the_time_and_hours_to_be(
    judged, lines, own_zone, detail
):
    answer = judged(credential(), place(lines, own_zone=own_zone))
    assert (answer.reason, answer.detail) == (Reason.CLOSED_NOW, detail)


def test_a_clock_in_doubt_denies_what_a_format_did_not(judged) -> None:
    assert judged(credential(), place(), clock_trusted=False).reason is Reason.CLOCK_UNTRUSTED


def test_outside_a_gate_nothing_is_remembered_of_anybody(judged) -> None:
    where = place('anti_passback = "on"\nbiometric = "finger"')
    memory = NoMemory()
    assert judged(credential(), where, memory=memory).reason is Reason.NO_REFERENCE
    asked = memory.was_used, memory.inside, memory.locked_out
    assert [ask(credential(), NOW) for ask in asked] == [False] * 3
    assert memory.finger_enrolled(credential()) is False
    assert memory.ticket_used(ticket()) is False
    where = place('ticket = "required"')
    assert judged(credential(business=ticket()), where, memory=memory).reason is Reason.GRANTED


def test_the_sites_keys_are_in_no_log() -> None:
    assert "site_keys" not in repr(place(site_keys=(b"k" * 32,)))
