"""Which keys an algorithm takes, and of what length its signatures are."""

from __future__ import annotations

from types import SimpleNamespace
from unittest.mock import Mock

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from agent.credential import algorithms
from agent.credential.algorithms import _ED25519_ORDER_8 as ORDER_8
from agent.credential.algorithms import ALGORITHMS, SignatureAlgorithm, is_sound
from agent.credential.numbers import Alg
from agent.issuing import issue

SIZES = {"ES256": 64, "ES384": 96, "EdDSA": 64, "SM2": 64}
NUMBERS = {"ES256": Alg.ES256, "ES384": Alg.ES384, "EdDSA": Alg.EDDSA, "SM2": Alg.SM2_SM3}


def test_adding_an_algorithm_is_adding_a_class(monkeypatch):
    entered = {}
    monkeypatch.setattr(algorithms, "ALGORITHMS", entered)

    class Shared(SignatureAlgorithm):
        """What two have in common, without a number of its own."""

    class One(Shared):
        number = -70_001

    class SameUnderAnotherNumber(One):
        number = -70_002

    class Variant(One):
        """Of the same number: the first keeps it."""

    assert entered == {-70_001: One, -70_002: SameUnderAnotherNumber}
    assert Variant.number == -70_001


@pytest.mark.parametrize(
    ("bits", "fits"), [(1024, False), (2047, False), (2048, True), (4096, True), (4097, False)]
)
def test_rsa_keys_of_2048_to_4096_bits(bits, fits):
    # A public key needs no primes to be measured.
    key = rsa.RSAPublicNumbers(65537, (1 << (bits - 1)) + 1).public_key()
    assert ALGORITHMS[Alg.PS256].fits(key) is fits
    assert any(entry.fits(key) for entry in ALGORITHMS.values()) is fits


@pytest.mark.parametrize(
    ("exponent", "modulus", "sound"),
    [
        (65537, 0, True),
        (3, 0, True),
        (1, 0, False),
        (2, 0, False),
        (65536, 0, False),
        (65537, 1, False),
    ],
)
def test_rsa_of_odd_exponent_and_modulus(exponent, modulus, sound):
    odd = (1 << 2047) + 1
    numbers = SimpleNamespace(e=exponent, n=odd + modulus)
    key = Mock(spec=rsa.RSAPublicKey, key_size=2048, public_numbers=lambda: numbers)
    assert is_sound(key) is sound
    assert ALGORITHMS[Alg.PS256].fits(key) is sound


PRIME = 2**255 - 19
SMALL = (0, 1, PRIME - 1, ORDER_8, PRIME - ORDER_8)
"""The y of the points of small order; encodings of the prime or more are of none."""


def ed25519_key(y, sign):
    return Ed25519PublicKey.from_public_bytes((y | sign << 255).to_bytes(32, "little"))


def multiple_of_8(y):
    """Return eight times the point of this y, by the curve's own law, or None for no point."""
    d = -121665 * pow(121666, -1, PRIME) % PRIME
    square = (y * y - 1) * pow(d * y * y + 1, -1, PRIME) % PRIME
    x = pow(square, (PRIME + 3) // 8, PRIME)
    if x * x % PRIME != square:
        x = x * pow(2, (PRIME - 1) // 4, PRIME) % PRIME
    if x * x % PRIME != square:
        return None
    for _ in range(3):
        both = d * x * x * y * y % PRIME
        x, y = (
            2 * x * y * pow(1 + both, -1, PRIME) % PRIME,
            (y * y + x * x) * pow(1 - both, -1, PRIME) % PRIME,
        )
    return x, y


@pytest.mark.parametrize("sign", [0, 1])
@pytest.mark.parametrize("y", SMALL, ids=hex)
def test_ed25519_points_of_small_order_are_no_keys(y, sign):
    assert multiple_of_8(y) == (0, 1)
    for encoded in (y, y + PRIME):
        if encoded < 2**255:
            key = ed25519_key(encoded, sign)
            assert not is_sound(key)
            assert not any(entry.fits(key) for entry in ALGORITHMS.values())


@pytest.mark.parametrize("sign", [0, 1])
@pytest.mark.parametrize("y", [2, 3, PRIME - 2, PRIME - 3, ORDER_8 + 1, ORDER_8 - 1], ids=hex)
def test_ed25519_points_beside_them_are(y, sign):
    assert multiple_of_8(y) != (0, 1)
    assert is_sound(ed25519_key(y, sign))
    assert ALGORITHMS[Alg.EDDSA].fits(ed25519_key(y, sign))


@pytest.mark.parametrize("y", range(PRIME, 2**255))
def test_ed25519_encodings_of_the_prime_or_more_are_of_no_point(y):
    assert not is_sound(ed25519_key(y, 0))
    assert not is_sound(ed25519_key(y, 1))


@pytest.mark.parametrize(
    ("bits", "octets"), [(2048, 256), (2049, 257), (2055, 257), (2056, 257), (4096, 512)]
)
def test_an_rsa_signature_is_as_long_as_its_key(bits, octets):
    """A leading zero that was cut off is refused before the library is asked."""
    key = SimpleNamespace(key_size=bits, verify=lambda *_: None)
    taken = {
        size for size in range(250, 515) if ALGORITHMS[Alg.PS256].verify(key, bytes(size), b"")
    }
    assert taken == {octets}


@pytest.mark.parametrize("name", SIZES)
def test_signatures_are_two_numbers_of_fixed_length(name):
    key = issue.SigningKey.new(name)
    signature = key.sign(b"message")
    algorithm = ALGORITHMS[NUMBERS[name]]
    assert len(signature) == SIZES[name]
    assert algorithm.verify(key.public, signature, b"message") is True
    assert algorithm.verify(key.public, signature, b"massage") is False
    half = len(signature) // 2
    padded = signature[:half] + b"\0" + signature[half:]  # the numbers are the same
    assert algorithm.verify(key.public, padded, b"message") is False
    for size in (0, 1, SIZES[name] - 1, SIZES[name] + 1, SIZES[name] + 2):
        assert (
            algorithm.verify(key.public, signature.ljust(size, b"\0")[:size], b"message") is False
        )


@pytest.mark.parametrize(
    ("point", "fits"),
    [
        (b"\x04" + bytes(64), True),
        (b"\x02" + bytes(64), False),
        (b"\x04" + bytes(63), False),
        (b"\x04" + bytes(65), False),
        (b"", False),
        (bytearray(b"\x04" + bytes(64)), False),
        ("\x04" + "0" * 64, False),
    ],
)
def test_an_sm2_key_is_its_uncompressed_point(point, fits):
    assert ALGORITHMS[Alg.SM2_SM3].fits(point) is fits
