"""What every format checks alike: times, keys, ages, and the name of a use."""

from __future__ import annotations

import hashlib

import pytest

from agent.credential import checks
from agent.credential.issuers import Algorithm, IssuerKey
from agent.credential.limits import LATEST_TIME
from agent.credential.model import FormatName, Kind
from agent.reason import Reason
from tests.support.refusals import refused

NOW = 1_800_000_000


def _key(**pins) -> IssuerKey:
    return IssuerKey("city", b"kid", Algorithm.ES256, None, **pins)


@pytest.mark.parametrize("value", [0, 1, NOW, 253_402_300_799])
def test_a_time(value):
    assert checks.seconds(value, "exp") == value


@pytest.mark.parametrize("value", [-1, 253_402_300_800, True, float(NOW), "0", b"", None])
def test_no_time(value):
    assert refused(checks.seconds, value, "exp") == (Reason.BAD_TIME, "exp is no time")


def test_the_latest_time_is_the_last_second_of_the_year_9999():
    from datetime import UTC, datetime

    assert datetime.fromtimestamp(LATEST_TIME, UTC).isoformat() == "9999-12-31T23:59:59+00:00"


def test_keys_for_a_format():
    native, dcc = frozenset({FormatName.NATIVE}), frozenset({FormatName.DCC})
    every, one, other = _key(), _key(formats=native), _key(formats=dcc)
    assert checks.for_format([every, one, other], FormatName.NATIVE) == [every, one]
    assert checks.for_format([], FormatName.NATIVE) == []


@pytest.mark.parametrize(
    ("pins", "told"),
    [
        ({}, None),
        ({"valid_from": NOW, "valid_until": NOW}, None),
        ({"valid_from": NOW + 1}, (Reason.ISSUER_KEY_EXPIRED, "city")),
        ({"valid_until": NOW - 1}, (Reason.ISSUER_KEY_EXPIRED, "city")),
        ({"kinds": frozenset({Kind.PASSPORT, Kind.ONLINE_ID})}, None),
        (
            {"kinds": frozenset({Kind.ONLINE_ID})},
            (Reason.ISSUER_NOT_ENTITLED, "city: passport"),
        ),
    ],
)
def test_what_a_key_may_vouch_for(pilot, pins, told):
    arguments = checks.check_key, _key(**pins), Kind.PASSPORT, pilot.rules()
    if told is None:
        checks.check_key(*arguments[1:])
    else:
        assert refused(*arguments) == told


@pytest.mark.parametrize(
    ("first", "last", "trusted", "told"),
    [
        (0, NOW, True, None),
        (NOW, NOW, True, None),
        (NOW + 5, NOW + 9, True, None),
        (0, NOW - 1, True, (Reason.EXPIRED, "")),
        (NOW + 6, NOW + 9, True, (Reason.NOT_YET_VALID, "")),
        (0, NOW, False, (Reason.CLOCK_UNTRUSTED, "validity cannot be judged")),
        (NOW, NOW - 1, True, (Reason.BAD_TIME, "the validity ends before it begins")),
        (NOW, NOW - 1, False, (Reason.BAD_TIME, "the validity ends before it begins")),
    ],
)
def test_validity(pilot, first, last, trusted, told):
    rules = pilot.rules(clock_trusted=trusted)
    if told is None:
        checks.check_validity(first, last, rules)
    else:
        assert refused(checks.check_validity, first, last, rules) == told


@pytest.mark.parametrize(
    ("age", "own_limit", "told"),
    [
        (30, None, None),
        (31, None, (Reason.STALE, "31 s old")),
        (30, 60, None),
        (31, 60, (Reason.STALE, "31 s old")),
        (10, 10, None),
        (11, 10, (Reason.STALE, "11 s old")),
        (0, 0, None),
        (1, 0, (Reason.STALE, "1 s old")),
        (-5, None, None),
        (-6, None, (Reason.ISSUED_IN_FUTURE, "6 s ahead")),
    ],
)
def test_age(pilot, age, own_limit, told):
    """The gate's limit is 30 s; a format may have one of its own, and the lower one counts."""
    if told is None:
        checks.check_fresh(NOW - age, pilot.rules(), max_age_s=own_limit)
    else:
        assert refused(checks.check_fresh, NOW - age, pilot.rules(), max_age_s=own_limit) == told
    rules = pilot.rules(clock_trusted=False)
    told = refused(checks.check_fresh, NOW - age, rules, max_age_s=own_limit)
    assert told == (Reason.CLOCK_UNTRUSTED, "age cannot be judged")


def test_the_name_of_a_use_stays_from_one_release_to_the_next():
    """Gates of several releases share replay keys: the bytes are the length, name, cti, second."""
    issuer = "\u57ce"  # three bytes in UTF-8
    raw = b"\0\0\0\x03" + issuer.encode() + b"card" + b"\0\0\0\0\x6b\x49\xd2\0"
    assert checks.replay_key(issuer, b"card", NOW) == hashlib.sha256(raw).digest()


@pytest.mark.parametrize(
    "other", [("city", b"b", 8), ("city", b"a", 9), ("town", b"a", 8), ("citya", b"", 8), ("cit", b"ya", 8)]
)  # fmt: skip
def test_uses_do_not_run_into_each_other(other):
    assert checks.replay_key("city", b"a", 8) != checks.replay_key(*other)
