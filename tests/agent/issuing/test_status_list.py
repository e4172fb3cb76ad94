"""Status lists that are signed here, read as gates read them."""

from __future__ import annotations

import pytest

from agent.credential.model import StatusVerdict
from agent.issuing.keys import new_issuer
from agent.issuing.status_list import INVALID, SUSPENDED, sign_status_list
from agent.trust import status
from agent.trust.model import TrustError
from tests.support.pilot import DAY, NOW, Keys

URI = "https://desk.example:8444/status/1"
ISSUER = new_issuer("lib")
KEYS = Keys(ISSUER.issuer_key(iss=frozenset({ISSUER.iss})))


def signed(statuses=bytes(65_536), **changes) -> bytes:
    fields = {
        "iss": ISSUER.iss, "kid": ISSUER.kid, "uri": URI, "statuses": statuses,
        "issued_at": NOW, "ttl_s": 7 * DAY,
    }  # fmt: skip
    return sign_status_list(ISSUER.key, **fields | changes)


def test_a_list_is_read_back_by_the_gates_own_reader() -> None:
    statuses = bytearray(65_536)
    statuses[7], statuses[65_535] = INVALID, SUSPENDED
    read = status.parse(signed(statuses), KEYS, source="list")
    assert (read.uri, read.issuer, len(read), read.ttl_s) == (URI, "lib", 65_536, 7 * DAY)
    verdicts = [read.answer(index, NOW).verdict for index in (6, 7, 65_535, 65_536)]
    assert verdicts == [
        StatusVerdict.VALID, StatusVerdict.INVALID, StatusVerdict.SUSPENDED, StatusVerdict.UNKNOWN,
    ]  # fmt: skip
    assert read.answer(6, NOW + 7 * DAY + 1).verdict is StatusVerdict.UNKNOWN
    assert read.answer(7, NOW + 7 * DAY + 1).verdict is StatusVerdict.INVALID


def test_a_list_is_small_and_as_long_with_one_member_as_with_thousands() -> None:
    withdrawn = bytes(1 if not index % 655 else 0 for index in range(65_536))
    assert len(signed()) < 300
    assert len(signed(withdrawn)) < 700


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_every_width_and_an_end_of_its_own(bits: int) -> None:
    read = status.parse(signed([0, 1], bits=bits, expires_at=NOW + 60), KEYS, source="list")
    assert (read.bits, read.value(0), read.value(1), read.expires_at) == (bits, 0, 1, NOW + 60)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"iss": "https://other"}, "iss"),
        ({"kid": b"12345678"}, "no trusted key"),
        ({"uri": ""}, "sub"),
    ],
)
def test_what_gates_would_not_believe(changes, why) -> None:
    with pytest.raises(TrustError, match=why):
        status.parse(signed(**changes), KEYS, source="list")


@pytest.mark.parametrize(("statuses", "bits"), [([2], 1), ([-1], 2), ([4], 2), ([0], 3)])
def test_a_value_that_does_not_fit_is_refused(statuses, bits) -> None:
    with pytest.raises(ValueError, match=r"fit|bits"):
        signed(statuses, bits=bits)
