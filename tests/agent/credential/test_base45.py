"""Base45 against RFC 9285 and against a plain reading of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.credential import base45
from agent.credential.model import Rejected
from agent.reason import Reason

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:"


def _plainly(text: str) -> bytes | None:
    """Decode as RFC 9285 section 3 says it, group by group; None where it is refused."""
    out = b""
    for at in range(0, len(text), 3):
        group = text[at : at + 3]
        if len(group) == 1 or any(character not in ALPHABET for character in group):
            return None
        value = sum(ALPHABET.index(character) * 45**n for n, character in enumerate(group))
        size = len(group) - 1
        if value >= 256**size:
            return None
        out += value.to_bytes(size, "big")
    return out


def _ours(text: bytes) -> bytes | None:
    try:
        return base45.decode(text)
    except Rejected as error:
        if error.reason is not Reason.MALFORMED:
            raise
        return None


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("", b""),
        ("BB8", b"AB"),
        ("%69 VD92EX0", b"Hello!!"),
        ("UJCLQE7W581", b"base-45"),
        ("QED8WEX0", b"ietf!"),
        ("00", b"\x00"),
        ("U5", b"\xff"),
        ("FGW", b"\xff\xff"),
    ],
)
def test_rfc_9285(text, data):
    assert base45.decode(text.encode()) == data
    assert base45.encode(data) == text


@pytest.mark.parametrize(
    "text",
    [
        "GGW", ":::", "::", "V5", "0", "BB80", "bb8", "BB_", "BB8\n", "BB\u00e9", "=00", "::1:",
        "FGWGGWFGW", "\x0000", "B,8",
    ],
)  # fmt: skip
def test_refused(text):
    assert _ours(text.encode("utf-8")) is None


def test_longer_than_a_code():
    assert len(base45.decode(b"0" * 4296)) == 2864
    with pytest.raises(Rejected) as refused:
        base45.decode(b"0" * 4297)
    assert refused.value.reason is Reason.TOO_LARGE


@given(st.binary(max_size=300))
def test_round_trip(data):
    assert base45.decode(base45.encode(data).encode()) == data


@given(st.text(alphabet=ALPHABET, max_size=60))
def test_the_alphabet_decodes_as_written_in_the_rfc(text):
    decoded = _ours(text.encode())
    assert decoded == _plainly(text)
    if decoded is not None:  # and one string only stands for it
        assert base45.encode(decoded) == text


@given(st.binary(max_size=60))
def test_any_bytes_decode_as_written_in_the_rfc(data):
    assert _ours(data) == _plainly(data.decode("latin-1"))
