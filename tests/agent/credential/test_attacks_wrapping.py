"""Attacks on what is around a message: encryption, compression, base45; and messages unsigned."""

from __future__ import annotations

import zlib
from collections.abc import Callable

import pytest

from agent.credential import cbor
from agent.credential.numbers import Claim
from agent.issuing import issue
from agent.reason import Reason

NOW = 1_800_000_000
MISMATCH, MALFORMED, UNSIGNED = Reason.ALGORITHM_MISMATCH, Reason.MALFORMED, Reason.UNSIGNED

UNSIGNED_PAYLOADS = {
    "claims alone": lambda claims: claims,
    "claims as a CWT": lambda claims: b"\xd8\x3d" + claims,
    "COSE_Mac0": lambda claims: (
        b"\xd1\x84\x43\xa1\x01\x05\xa0" + cbor.encode(claims) + b"\x58\x20" + bytes(32)
    ),
    "CWT of a COSE_Mac0": lambda claims: (
        b"\xd8\x3d\xd1\x84\x43\xa1\x01\x05\xa0" + cbor.encode(claims) + b"\x58\x20" + bytes(32)
    ),
}


@pytest.mark.parametrize("name", UNSIGNED_PAYLOADS)
@pytest.mark.parametrize("sealed", [False, True])
def test_what_carries_no_signature(pilot, name, sealed):
    data = UNSIGNED_PAYLOADS[name](
        cbor.encode({Claim.ISS: pilot.city.iss, Claim.SUB: "42", Claim.EXP: NOW + 60})
    )
    assert pilot.reason(pilot.code(issue.encrypt(data, b"k" * 32) if sealed else data)) is UNSIGNED


def _encrypt0(protected=None, unprotected=None, ciphertext=None, pilot=None, tag=16) -> str:
    honest = cbor.decode(issue.encrypt(pilot.credential(), b"k" * 32), tags=(16,)).value
    parts = [
        honest[0] if protected is None else cbor.encode(protected),
        honest[1] if unprotected is None else unprotected,
        honest[2] if ciphertext is None else ciphertext,
    ]
    return pilot.code(cbor.encode(cbor.Tagged(tag, parts)))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, Reason.GRANTED),
        ({"protected": {}}, MISMATCH),
        ({"protected": {1: 1}}, MISMATCH),
        ({"protected": {1: True}}, MISMATCH),
        ({"protected": {1: 3, 2: [9], 9: 1}}, Reason.UNKNOWN_CRITICAL_HEADER),
        ({"protected": {1: 3, 7: 1}}, Reason.DECRYPTION_FAILED),
        ({"unprotected": {1: 3, 5: b"i" * 12}}, MISMATCH),
        ({"unprotected": {}}, MALFORMED),
        ({"unprotected": {5: b"i" * 11}}, MALFORMED),
        ({"unprotected": {5: "iiiiiiiiiiii"}}, MALFORMED),
        ({"unprotected": {5: b"i" * 12}}, Reason.DECRYPTION_FAILED),
        ({"ciphertext": b""}, Reason.DECRYPTION_FAILED),
        ({"ciphertext": b"c" * 15}, Reason.DECRYPTION_FAILED),
        ({"ciphertext": b"c" * 200}, Reason.DECRYPTION_FAILED),
        ({"ciphertext": None, "tag": 17}, UNSIGNED),
        ({"ciphertext": "text"}, MALFORMED),
    ],
)
def test_attack_on_the_encryption(pilot, changes, expected):
    assert pilot.reason(_encrypt0(pilot=pilot, **changes)) is expected


def _bomb(size: int) -> bytes:
    return zlib.compress(bytes(size), 9)


WRAPPINGS: dict[str, tuple[Callable[[bytes], bytes], Reason]] = {
    "zlib": (zlib.compress, Reason.GRANTED),
    "zlib with bytes behind": (lambda token: zlib.compress(token) + b"\x00", MALFORMED),
    "zlib twice in a row": (lambda token: zlib.compress(token) * 2, MALFORMED),
    "zlib cut short": (lambda token: zlib.compress(token)[:-1], MALFORMED),
    "zlib with a wrong checksum": (lambda token: zlib.compress(token)[:-1] + b"\xff", MALFORMED),
    "zlib inside zlib": (lambda token: zlib.compress(zlib.compress(token)), MALFORMED),
    "zlib around encryption": (
        lambda token: zlib.compress(issue.encrypt(token, b"k" * 32)),
        MALFORMED,
    ),
    "encryption inside encryption": (
        lambda token: issue.encrypt(issue.encrypt(token, b"k" * 32), b"k" * 32),
        MALFORMED,
    ),
    "zlib bomb": (lambda _: _bomb(2_500_000), Reason.TOO_LARGE),
    "zlib bomb, encrypted": (
        lambda _: issue.encrypt(_bomb(2_500_000), b"k" * 32),
        Reason.TOO_LARGE,
    ),
    "zlib just over the limit": (lambda _: _bomb(16 * 1024 + 1), Reason.TOO_LARGE),
    "zlib just at the limit": (lambda _: _bomb(16 * 1024), MALFORMED),
    "raw deflate": (lambda token: zlib.compress(token)[2:-4], MALFORMED),
    "nothing": (lambda _: b"", MALFORMED),
    "zlib of nothing": (lambda _: zlib.compress(b""), MALFORMED),
}


@pytest.mark.parametrize("name", WRAPPINGS)
def test_attack_on_the_wrapping(pilot, name):
    wrap, expected = WRAPPINGS[name]
    assert pilot.reason(pilot.code(wrap(pilot.credential()))) is expected


@pytest.mark.parametrize(
    "bend",
    [
        lambda text: text.lower(),
        lambda text: text[:4] + text[4:].lower(),
        lambda text: text + "\n",
        lambda text: text + "0",
        lambda text: text[:-1],
        lambda text: text[:4] + ":::" + text[7:],
        lambda text: text[:9] + "_" + text[10:],
        lambda text: text[:4] + " " + text[4:],
        lambda text: text[:9] + "\u00c4" + text[10:],
        lambda text: text[:9] + "\x00" + text[10:],
    ],
)
def test_attack_on_the_base45(pilot, bend):
    assert pilot.reason(bend(pilot.static())) in {MALFORMED, Reason.UNKNOWN_FORMAT}
