"""Which keys an algorithm takes, and of what length its signatures are."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from agent.credential import algorithms
from agent.credential.algorithms import ALGORITHMS, SignatureAlgorithm
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
