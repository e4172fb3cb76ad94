"""pretix tickets: the published ones, the lists that withdraw them, and broken ones."""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from agent.credential import pretix as module
from agent.credential import registry
from agent.credential.checks import replay_key
from agent.credential.issuers import Algorithm, IssuerKey, KeySource
from agent.credential.limits import LATEST_TIME, PAYLOAD_BYTES
from agent.credential.model import Credential, EventTicket, FormatName, Kind, Level, Rejected
from agent.reason import Reason
from agent.trust.roster import RosterEntry, load_roster, write_roster
from agent.trust.snapshot import TrustSnapshot
from tests.support.explained import explained
from tests.support.key_sources import Unfiltered
from tests.support.makers import (
    DAY,
    NOW,
    RULES,
    ec_key,
    ed_key,
    issuer_key,
    pretix,
    ticket,
    trust,
    varint,
)
from tests.support.paths import VECTORS

TRUST = trust(issuer_key(ed_key()))


def reason(payload: bytes, keys: KeySource = TRUST, **rules: Any) -> Reason:
    with pytest.raises(Rejected) as caught:
        registry.read(payload, keys=keys, rules=replace(RULES, **rules))
    return explained(caught.value)


# --- published -------------------------------------------------------------------------------------


def published() -> tuple[list[bytes], TrustSnapshot, TrustSnapshot]:
    folder = VECTORS / "pretix"
    codes = [entry["qr"].encode() for entry in json.loads((folder / "vectors.json").read_text())]
    return codes, event(folder / "event1.json", "demo"), event(folder / "event2.json", "demo2")


def event(path: Path, name: str) -> TrustSnapshot:
    keys = json.loads(path.read_text())["valid_keys"]["pretix_sig1"]
    return trust(
        *(
            IssuerKey(
                issuer=name,
                kid=bytes([number]),
                algorithm=Algorithm.EDDSA,
                public_key=load_pem_public_key(base64.b64decode(key)),
                formats=frozenset({FormatName.PRETIX}),
            )
            for number, key in enumerate(keys)
        )
    )


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp())


def test_published_tickets() -> None:
    codes, demo, demo2 = published()
    assert len(codes) == 6
    now = {"now": at("2023-02-03T12:00:00Z")}
    first = registry.read(codes[0], keys=demo, rules=replace(RULES, **now))
    assert (first.issuer, first.kind) == ("demo", Kind.EVENT_TICKET)
    assert first.claims == {"seed": b"CTJqJOl1H".hex(), "item": 1, "subevent": 14}
    assert reason(codes[0], demo2, **now) is Reason.BAD_SIGNATURE
    assert registry.read(codes[1], keys=demo, rules=RULES).claims["item"] == 42
    assert registry.read(codes[4], keys=demo, rules=RULES).claims["item"] == 100
    assert reason(codes[5], demo) is Reason.BAD_SIGNATURE


@pytest.mark.parametrize(
    ("index", "now", "expected"),
    [
        (2, "2023-02-03T22:59:59Z", Reason.NOT_YET_VALID),
        (2, "2023-02-03T23:01:01Z", None),
        (3, "2023-02-03T11:01:01Z", Reason.EXPIRED),
        (3, "2023-02-03T10:59:59Z", None),
    ],
)
def test_published_validity(index: int, now: str, expected: Reason | None) -> None:
    codes, demo, _ = published()
    if expected is None:
        registry.read(codes[index], keys=demo, rules=replace(RULES, now=at(now)))
    else:
        assert reason(codes[index], demo, now=at(now), max_future_s=0) is expected


# --- lists -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "expected"),
    [("pretix-revoked", Reason.REVOKED), ("pretix-blocked", Reason.BLOCKED)],
)
def test_lists_withdraw_a_ticket(tmp_path: Path, name: str, expected: Reason) -> None:
    listed, other = pretix(), pretix(ticket(seed=b"another"))
    key = bytes(range(32))
    path = tmp_path / f"{name}.roster"
    entries = [RosterEntry(subject=listed.decode(), issuer="authority")]
    assert write_roster(path, entries, key=key, blocks=True, created=NOW) == 1
    keys = trust(issuer_key(ed_key()), rosters={name: load_roster(path, key)})
    assert reason(listed, keys) is expected
    assert registry.read(other, keys=keys, rules=RULES).subject == other.decode()


LISTED = pretix()


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (RosterEntry(LISTED.decode(), issuer="authority"), Reason.REVOKED),
        (RosterEntry(LISTED.decode()), Reason.REVOKED),
        (RosterEntry(LISTED.decode(), issuer="another"), None),
        (RosterEntry(LISTED.decode(), valid_from=NOW, valid_until=NOW), Reason.REVOKED),
        (RosterEntry(LISTED.decode(), valid_from=NOW + 1), None),
        (RosterEntry(LISTED.decode(), valid_until=NOW - 1), None),
        (RosterEntry(LISTED.decode(), zone="backstage"), None),
    ],
    ids=["issuer's", "anybody's", "another issuer's", "now", "later", "earlier", "of a zone"],
)
def test_entry_counts_for_its_issuer_and_time(
    tmp_path: Path, entry: RosterEntry, expected: Reason | None
) -> None:
    key = bytes(range(32))
    path = tmp_path / "revoked.roster"
    write_roster(path, [entry], key=key, blocks=True, created=NOW)
    keys = trust(issuer_key(ed_key()), rosters={"pretix-revoked": load_roster(path, key)})
    if expected is None:
        assert registry.read(LISTED, keys=keys, rules=RULES).issuer == "authority"
    else:
        with pytest.raises(Rejected, match="revoked: on pretix-revoked"):
            registry.read(LISTED, keys=keys, rules=RULES)


def test_source_without_rosters_withdraws_nothing() -> None:
    keys = Unfiltered([issuer_key(ed_key())])
    assert registry.read(LISTED, keys=keys, rules=RULES).issuer == "authority"


# --- own, whole and broken -------------------------------------------------------------------------


def test_reads() -> None:
    payload = pretix(ticket(valid_from=NOW - DAY, valid_until=NOW + DAY))
    assert registry.sniff(payload) is FormatName.PRETIX
    credential = registry.read(payload, keys=TRUST, rules=RULES)
    assert (credential.valid_from, credential.valid_until) == (NOW - DAY, NOW + DAY)
    assert not credential.dynamic
    assert payload.decode() not in repr(credential)


@pytest.mark.parametrize(
    ("data", "event"),
    [
        (ticket(item=11, variation=5), EventTicket(11, 5, 0)),
        (b"\x0a\x01a\x10\x0b", EventTicket(11, 0, 0)),
        (b"\x0a\x01a\x10\x0b\x20\x03", EventTicket(11, 0, 3)),
        (b"\x0a\x01a\x10\x00\x18\x00\x20\x00", EventTicket(0, 0, 0)),
        (b"\x0a\x01a\x10" + varint(2**63 - 1), EventTicket(2**63 - 1, 0, 0)),
    ],
)
def test_what_a_ticket_is_for(data: bytes, event: EventTicket) -> None:
    assert registry.read(pretix(data), keys=TRUST, rules=RULES).event == event


def test_the_published_tickets_are_for_what_their_organiser_says() -> None:
    codes, first, _ = published()
    rules = replace(RULES, now=at("2023-02-04T09:00:00Z"))
    found = {}
    for number, code in enumerate(codes):
        with contextlib.suppress(Rejected):
            found[number] = registry.read(code, keys=first, rules=rules).event
    assert found == {
        0: EventTicket(1, subevent=14),
        1: EventTicket(42),
        2: EventTicket(1),
        4: EventTicket(100, subevent=14),
    }


def test_all_that_a_ticket_becomes() -> None:
    data = b"\x20\x07\x28\x80\x01\x18\xac\x02\x10\x80\x01\x0a\x03abc"
    payload = pretix(data)
    assert registry.read(payload, keys=TRUST, rules=RULES) == Credential(
        format=FormatName.PRETIX,
        issuer="authority",
        key_id=b"key-1",
        kind=Kind.EVENT_TICKET,
        level=Level.BASIC,
        subject=payload.decode(),
        issued_at=None,
        valid_from=128,
        valid_until=LATEST_TIME,
        dynamic=False,
        replay_key=replay_key("authority", payload, 0),
        claims={
            "subevent": 7,
            "valid_from": 128,
            "variation": 300,
            "item": 128,
            "seed": b"abc".hex(),
        },
        event=EventTicket(item=128, variation=300, subevent=7),
    )


@pytest.mark.parametrize("size", [0, 127, 128, 300, 2_000])
def test_seeds_of_all_lengths(size: int) -> None:
    payload = pretix(b"\x0a" + varint(size) + b"s" * size + b"\x10\x01")
    credential = registry.read(payload, keys=TRUST, rules=RULES)
    assert credential.claims["seed"] == (b"s" * size).hex()


def test_validity_is_inclusive_and_zero_means_none() -> None:
    for data in (
        ticket(valid_until=NOW),
        ticket(valid_from=NOW),
        ticket(valid_from=NOW, valid_until=NOW),
        ticket(valid_until=0),
        ticket(valid_until=LATEST_TIME),
    ):
        registry.read(pretix(data), keys=TRUST, rules=RULES)
    for data in (ticket(), ticket(valid_from=0, valid_until=0)):
        always = registry.read(pretix(data), keys=TRUST, rules=RULES)
        assert (always.valid_from, always.valid_until) == (0, LATEST_TIME)


def test_any_of_the_organisers_keys_may_have_signed() -> None:
    keys = trust(issuer_key(ed_key(7), issuer="first"), issuer_key(ed_key(8), issuer="second"))
    payload = pretix(key=ed_key(8))
    assert registry.read(payload, keys=keys, rules=RULES).issuer == "second"
    assert reason(pretix(key=ed_key(9)), keys) is Reason.BAD_SIGNATURE


def test_eight_keys_are_tried_in_turn() -> None:
    other, right = issuer_key(ed_key(7), issuer="other"), issuer_key(ed_key())
    keys = Unfiltered([*[other] * 7, right])
    assert registry.read(pretix(), keys=keys, rules=RULES).issuer == "authority"
    assert reason(pretix(), Unfiltered([*[other] * 8, right])) is Reason.BAD_SIGNATURE


LONG = b"\x0a\x09CTJqJOl1H\x10" + b"\x80" * 10 + b"\x01"

BROKEN: dict[str, tuple[Callable[[], bytes], Reason]] = {
    "signature of another key": (lambda: pretix(key=ed_key(2)), Reason.BAD_SIGNATURE),
    "ticket changed": (
        lambda: pretix(ticket(item=2), signature=ed_key().sign(ticket(item=1))),
        Reason.BAD_SIGNATURE,
    ),
    "empty signature": (lambda: pretix(signature=b""), Reason.UNSIGNED),
    "short signature": (lambda: pretix(signature=bytes(63)), Reason.MALFORMED),
    "long signature": (lambda: pretix(signature=bytes(65)), Reason.MALFORMED),
    "zero signature": (lambda: pretix(signature=bytes(64)), Reason.BAD_SIGNATURE),
    "lengths swapped": (lambda: pretix(sizes=(64, len(ticket()))), Reason.MALFORMED),
    "length below its high byte, as upstream would read it": (
        lambda: pretix(bytes(300), sizes=(300 & 0xFF, 64)),
        Reason.MALFORMED,
    ),
    "signature's length below its high byte": (lambda: pretix(sizes=(len(ticket()), 256 + 64)), Reason.MALFORMED),
    "length past the end": (lambda: pretix(sizes=(4_000, 64)), Reason.MALFORMED),
    "trailing byte": (
        lambda: base64.b64encode(base64.b64decode(pretix()[::-1]) + b"\0")[::-1],
        Reason.MALFORMED,
    ),
    "base64 without its padding": (lambda: pretix(ticket(seed=b"12345678")).lstrip(b"="), Reason.MALFORMED),
    "base64 not canonical": (lambda: uncanonical(pretix(ticket(seed=b"1234567890"))), Reason.MALFORMED),
    "only a header": (lambda: base64.b64encode(b"\x01\0\0\0\0")[::-1], Reason.UNSIGNED),
    "header cut short": (lambda: base64.b64encode(b"\x01\0\0")[::-1], Reason.MALFORMED),
    "validity ends before it begins": (
        lambda: pretix(ticket(valid_from=NOW, valid_until=NOW - 1)),
        Reason.BAD_TIME,
    ),
    "huge time": (lambda: pretix(ticket(valid_from=2**63, valid_until=2**64 - 1)), Reason.BAD_TIME),
    "first time that no calendar has": (lambda: pretix(ticket(valid_until=LATEST_TIME + 1)), Reason.BAD_TIME),
    "begin that no calendar has": (lambda: pretix(ticket(valid_from=LATEST_TIME + 1)), Reason.BAD_TIME),
    "negative time": (lambda: pretix(ticket(valid_until=2**64 - NOW)), Reason.BAD_TIME),
    "not yet": (lambda: pretix(ticket(valid_from=NOW + 60)), Reason.NOT_YET_VALID),
    "over": (lambda: pretix(ticket(valid_until=NOW - 1)), Reason.EXPIRED),
    "number of more than ten bytes": (lambda: pretix(LONG), Reason.MALFORMED),
    "unknown field": (lambda: pretix(ticket() + b"\x38\x01"), Reason.MALFORMED),
    "field twice": (lambda: pretix(ticket() + b"\x10\x02"), Reason.MALFORMED),
    "seed twice": (lambda: pretix(ticket() + b"\x0a\x01a"), Reason.MALFORMED),
    "seed as eight bytes": (lambda: pretix(b"\x09" + bytes(8) + b"\x10\x01"), Reason.MALFORMED),
    "item as four bytes": (lambda: pretix(b"\x0a\x01a\x15\x01\0\0\0"), Reason.MALFORMED),
    "item as text": (lambda: pretix(b"\x0a\x01a\x12\x01b"), Reason.MALFORMED),
    "seed as number": (lambda: pretix(b"\x08\x01\x10\x01"), Reason.MALFORMED),
    "field number zero": (lambda: pretix(b"\x00\x01" + ticket()), Reason.MALFORMED),
    "text past the end by one": (lambda: pretix(b"\x10\x01\x0a\x02a"), Reason.MALFORMED),
    "text past the end": (lambda: pretix(b"\x10\x01\x0a\x7fa"), Reason.MALFORMED),
    "cut in a number": (lambda: pretix(ticket() + b"\x28\x80"), Reason.MALFORMED),
    "no seed": (lambda: pretix(b"\x10\x01"), Reason.MISSING_CLAIM),
    "no item": (lambda: pretix(b"\x0a\x01a"), Reason.MISSING_CLAIM),
    "empty ticket": (lambda: pretix(b""), Reason.MISSING_CLAIM),
}  # fmt: skip


def uncanonical(payload: bytes) -> bytes:
    """Change a bit of the last character that stands for nothing."""
    text = payload[::-1]
    position = len(text.rstrip(b"=")) - 1
    assert text.endswith(b"="), "needs padding to have spare bits"
    alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    other = alphabet[alphabet.index(text[position]) ^ 1]
    return (text[:position] + bytes([other]) + text[position + 1 :])[::-1]


@pytest.mark.parametrize("case", BROKEN)
def test_refused(case: str) -> None:
    make, expected = BROKEN[case]
    payload = make()
    assert module.sniff(payload)
    assert reason(payload) is expected


def plain(data: bytes) -> bytes:
    return base64.b64encode(data)[::-1]


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        (b"QA!" + pretix(), "malformed: not base64"),
        (pretix()[:8] + b"!" + pretix()[8:], "malformed: not base64"),
        (b"", "malformed: unknown version"),
        (plain(b"\x01\0\0\0"), "malformed: unknown version"),
        (pretix(version=2), "malformed: unknown version"),
        (pretix(version=0), "malformed: unknown version"),
        (pretix(sizes=(1, 64)), "malformed: the lengths do not account for every byte"),
        (pretix(b"\x10\x01\x0a\x02a"), "malformed: ticket cut short$"),
        (pretix(b"\x10\x80"), "malformed: ticket cut short, or a number too long"),
        (pretix(ticket(valid_until=NOW - 2, valid_from=NOW - 1)), "bad_time"),
        (pretix(b"\x10\x01"), "missing_claim: ticket has no seed"),
        (pretix(b"\x0a\x01a"), "missing_claim: ticket has no item"),
    ],
    ids=["padding", "character", "empty", "header cut short", "version 2", "version 0", "lengths", "text", "number", "times",
         "no seed", "no item"],
)  # fmt: skip
def test_what_the_operator_reads(payload: bytes, said: str) -> None:
    with pytest.raises(Rejected, match=said):
        module.read(payload, TRUST, RULES)


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (b"QA", False), (b"AQA", True), (b"=AQA", True), (b"==AQA", True), (b"===AQA", False), (b"A=QA", False),
        (b"AQB", False), (b"A-QA", False), (b"AQA\n", False), (b"A" * (PAYLOAD_BYTES - 2) + b"QA", True),
        (b"A" * (PAYLOAD_BYTES - 1) + b"QA", False),
    ],
)  # fmt: skip
def test_sniff(payload: bytes, expected: bool) -> None:
    assert module.sniff(payload) is expected


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (issuer_key(ed_key(), valid_until=NOW - 1), Reason.ISSUER_KEY_EXPIRED),
        (issuer_key(ed_key(), kinds=frozenset({Kind.LIBRARY_CARD})), Reason.ISSUER_NOT_ENTITLED),
        (issuer_key(ed_key(), formats=frozenset({FormatName.DCC})), Reason.UNKNOWN_ISSUER),
        (issuer_key(ec_key()), Reason.UNKNOWN_ISSUER),
        (issuer_key(ed_key(), is_root=True), Reason.UNKNOWN_ISSUER),
        (issuer_key(ed_key(), algorithm=Algorithm.ES256), Reason.UNKNOWN_ISSUER),
        (issuer_key(ec_key(), algorithm=Algorithm.EDDSA), Reason.UNKNOWN_ISSUER),
    ],
    ids=["over", "other kinds", "other formats", "other algorithm", "root", "other pin", "no Ed25519 key"],
)  # fmt: skip
@pytest.mark.parametrize(
    "source", [trust, lambda key: Unfiltered([key])], ids=["set", "unfiltered"]
)
def test_refused_by_trust(source: Any, key: IssuerKey, expected: Reason) -> None:
    assert reason(pretix(), source(key)) is expected


def test_clock_untrusted_denies() -> None:
    assert reason(pretix(), clock_trusted=False) is Reason.CLOCK_UNTRUSTED
