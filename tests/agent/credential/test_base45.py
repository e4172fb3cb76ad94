"""Base45 against RFC 9285 and against a plain reading of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.credential import base45
from agent.credential.model import Rejected
from agent.reason import Reason
from tests.support.refusals import refused

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


@pytest.mark.parametrize(
    ("text", "reason", "words"),
    [
        (b"bb8", Reason.MALFORMED, "base45: a character outside the alphabet"),
        (b"BB80", Reason.MALFORMED, "base45: a character left over"),
        (b"GGW", Reason.MALFORMED, "base45: a group over 65535"),
        (b"V5", Reason.MALFORMED, "base45: a last group over 255"),
        (b"0" * 4297, Reason.TOO_LARGE, "base45: longer than a code can be"),
    ],
)
def test_the_log_says_what_was_wrong(text, reason, words):
    assert refused(base45.decode, text) == (reason, words)


def test_a_code_as_long_as_a_symbol_holds():
    """Every group counts, the first of a full code as the last."""
    data = bytes(range(1, 180)) * 16
    assert base45.decode(base45.encode(data).encode()) == data
    assert base45.decode(b"FGW" * 1432) == b"\xff" * 2864


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
