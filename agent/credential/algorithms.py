"""Signature algorithms, one small class each, found by their COSE number.

Rules:
- a number stands for one curve, one hash and one padding; `fits` says whether a key is of that
  make, so that an RSA key can never be asked to check an ECDSA signature;
- ECDSA and SM2 signatures are r || s of exactly the curve's length, never DER (RFC 9053 2.1);
- a key with which anybody can sign is no key: `fits` is false for Ed25519 points of small order and
  for RSA whose exponent or modulus is even or 1;
- `pinned` is the name under which the trust set pins a key to the algorithm.

Adding an algorithm is adding a class. Standards: RFC 9053, RFC 9864, RFC 8230; GB/T 32918.2.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from agent.credential.issuers import Algorithm
from agent.credential.numbers import Alg

__all__ = ["ALGORITHMS", "SM2_POINT_BYTES", "SignatureAlgorithm", "is_sound"]

ALGORITHMS: Final[dict[int, type[SignatureAlgorithm]]] = {}
"""COSE number -> class."""

SM2_POINT_BYTES: Final = 65
_RSA_BITS: Final = range(2048, 4097)
_ED25519_PRIME: Final = 2**255 - 19
_ED25519_ORDER_8: Final = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
_ED25519_SMALL: Final = frozenset(
    {0, 1, _ED25519_PRIME - 1, _ED25519_ORDER_8, _ED25519_PRIME - _ED25519_ORDER_8}
)
"""The y of all eight points of small order; their x has either sign, or is 0."""


def is_sound(key: Any) -> bool:
    """Return whether a key binds its holder: without that anybody can sign for it.

    Args:
        key: a `cryptography` public key, or an SM2 point, which is checked where it is decoded.
    """
    if isinstance(key, Ed25519PublicKey):
        y = int.from_bytes(key.public_bytes_raw(), "little") & (2**255 - 1)
        # RFC 8032 section 5.1.3: a y of the prime or more is no encoding of a point.
        return y < _ED25519_PRIME and y not in _ED25519_SMALL
    if isinstance(key, rsa.RSAPublicKey):
        numbers = key.public_numbers()
        return numbers.e % 2 == 1 and numbers.e > 1 and numbers.n % 2 == 1
    return True


class SignatureAlgorithm(ABC):
    """What every algorithm offers; subclasses enter themselves into `ALGORITHMS`."""

    number: ClassVar[int]
    pinned: ClassVar[Algorithm]

    def __init_subclass__(cls) -> None:
        if "number" in cls.__dict__:
            ALGORITHMS[cls.number] = cls

    @classmethod
    @abstractmethod
    def fits(cls, key: Any) -> bool:
        """Return whether `key` is of this algorithm's type, curve and size."""

    @classmethod
    @abstractmethod
    def verify(cls, key: Any, signature: bytes, message: bytes) -> bool:
        """Return whether the signature over `message` is the key's; `fits(key)` must hold."""


class _Ecdsa(SignatureAlgorithm):
    """ECDSA with a fixed curve and hash."""

    curve: ClassVar[str]
    octets: ClassVar[int]
    scheme: ClassVar[ec.ECDSA]

    @classmethod
    def fits(cls, key: Any) -> bool:
        return isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name == cls.curve

    @classmethod
    def verify(cls, key: Any, signature: bytes, message: bytes) -> bool:
        octets = cls.octets
        if len(signature) != 2 * octets:
            return False
        r = int.from_bytes(signature[:octets])
        s = int.from_bytes(signature[octets:])
        try:
            key.verify(encode_dss_signature(r, s), message, cls.scheme)
        except InvalidSignature:
            return False
        return True


class Es256(_Ecdsa):
    """ECDSA with SHA-256, on P-256 only."""

    number = Alg.ES256
    pinned = Algorithm.ES256
    curve = ec.SECP256R1.name
    octets = 32
    scheme = ec.ECDSA(hashes.SHA256())


class Esp256(Es256):
    """ES256 under its fully specified number of RFC 9864."""

    number = Alg.ESP256


class Es384(_Ecdsa):
    """ECDSA with SHA-384, on P-384 only."""

    number = Alg.ES384
    pinned = Algorithm.ES384
    curve = ec.SECP384R1.name
    octets = 48
    scheme = ec.ECDSA(hashes.SHA384())


class Esp384(Es384):
    """ES384 under its fully specified number of RFC 9864."""

    number = Alg.ESP384


class EdDsa(SignatureAlgorithm):
    """EdDSA, with Ed25519 only."""

    number = Alg.EDDSA
    pinned = Algorithm.EDDSA

    @classmethod
    def fits(cls, key: Any) -> bool:
        return isinstance(key, Ed25519PublicKey) and is_sound(key)

    @classmethod
    def verify(cls, key: Any, signature: bytes, message: bytes) -> bool:
        try:
            key.verify(signature, message)
        except InvalidSignature:
            return False
        return True


class Ed25519(EdDsa):
    """EdDSA with Ed25519 under its fully specified number of RFC 9864."""

    number = Alg.ED25519


class Ps256(SignatureAlgorithm):
    """RSASSA-PSS with SHA-256, MGF1 with SHA-256, 32 bytes of salt; RSA of 2048 to 4096 bits."""

    number = Alg.PS256
    pinned = Algorithm.PS256
    padding: ClassVar = padding.PSS(padding.MGF1(hashes.SHA256()), 32)
    hash: ClassVar = hashes.SHA256()

    @classmethod
    def fits(cls, key: Any) -> bool:
        return isinstance(key, rsa.RSAPublicKey) and key.key_size in _RSA_BITS and is_sound(key)

    @classmethod
    def verify(cls, key: Any, signature: bytes, message: bytes) -> bool:
        if len(signature) != (key.key_size + 7) // 8:
            return False
        try:
            key.verify(signature, message, cls.padding, cls.hash)
        except InvalidSignature:
            return False
        return True


class Sm2(SignatureAlgorithm):
    """SM2 with SM3 and the default user id; the key is the point as 04 | x | y."""

    number = Alg.SM2_SM3
    pinned = Algorithm.SM2

    @classmethod
    def fits(cls, key: Any) -> bool:
        return isinstance(key, bytes) and len(key) == SM2_POINT_BYTES and key[0] == 4

    @classmethod
    def verify(cls, key: Any, signature: bytes, message: bytes) -> bool:
        from agent.credential import sm2

        return sm2.verify(key, message, signature)
