"""The limits that other tests do not meet on their way."""

from __future__ import annotations

import random
import zlib

import pytest

from agent.credential import limits
from agent.reason import Reason


@pytest.mark.parametrize(
    ("size", "expected"), [(64 * 1024, Reason.UNKNOWN_ISSUER), (64 * 1024 + 1, Reason.TOO_LARGE)]
)
def test_an_aadhaar_letter_unpacks_to_64_kib(pilot, size, expected):
    letter = random.Random(1).randbytes(1_000).ljust(size, b"\0")
    digits = str(int.from_bytes(zlib.compress(letter, 9))).encode()
    assert len(digits) < limits.PAYLOAD_BYTES
    assert pilot.reason(digits) is expected
