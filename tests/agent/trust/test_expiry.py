"""Until when each name can vouch, and what is told of it."""

from __future__ import annotations

import pytest

from agent.credential.issuers import Algorithm
from agent.trust.expiry import Expiry, days_left, expiries
from agent.trust.model import OperatorKey
from agent.trust.snapshot import TrustSnapshot
from tests.support.makers import DAY, NOW, ec_key, issuer_key, trust


def names(*ends: tuple[str, int], root: bool = False) -> TrustSnapshot:
    keys = [
        issuer_key(ec_key(number), issuer=name, valid_until=end, is_root=root)
        for number, (name, end) in enumerate(ends)
    ]
    return trust(*keys)


def test_a_name_ends_with_its_last_key() -> None:
    snapshot = names(("a", NOW), ("b", NOW - 5), ("a", NOW + 9), ("a", NOW + 3), ("c", 2**53))
    assert expiries(snapshot) == [Expiry("b", "issuer", NOW - 5), Expiry("a", "issuer", NOW + 9)]
    assert expiries(names(("d", 2**53), ("d", NOW))) == []


def test_roots_and_operators_are_names_of_their_own() -> None:
    operator = OperatorKey("a", b"1", Algorithm.ES256, None, valid_until=NOW + 2)
    keys = names(("a", NOW + 3)).keys + names(("a", NOW + 1), root=True).keys
    found = expiries(TrustSnapshot(keys=keys, operators=(operator,)))
    assert [str(entry) for entry in found] == ["root a", "operator a", "issuer a"]
    assert [entry.not_after for entry in found] == [NOW + 1, NOW + 2, NOW + 3]


@pytest.mark.parametrize(
    ("end", "days"),
    [
        (NOW, 0),
        (NOW - 1, -1),
        (NOW - DAY, -1),
        (NOW - DAY - 1, -2),
        (NOW + DAY - 1, 0),
        (NOW + DAY, 1),
    ],
)
def test_days_are_whole_and_negative_when_over(end: int, days: int) -> None:
    assert days_left(end, NOW) == days
