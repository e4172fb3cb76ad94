"""Signing keys of issuers and holders, and the files that a trust directory takes.

For pilots, demos and tests; a production issuer keeps its keys in hardware. Private keys are
written as unencrypted PKCS #8 PEM, public ones as PEM with a TOML beside them.

A phone's private key never leaves the phone: an issuer knows its holder by the public key alone
(`PublicHolder`), and names it by its thumbprint.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from agent.credential.issuers import Algorithm, IssuerKey
from agent.credential.keys import (
    cose_key,
    from_cose_key,
    load_public_key,
    public_key_kid,
    spki,
)
from agent.credential.model import Kind, Rejected
from agent.credential.numbers import CoseKey, Crv, Kty

__all__ = [
    "ISSUING", "Holder", "Issuer", "PublicHolder", "SigningKey", "load_holder", "new_issuer",
]  # fmt: skip

ISSUING: Final = (
    Algorithm.ES256, Algorithm.ES384, Algorithm.EDDSA, Algorithm.PS256, Algorithm.SM2,
)  # fmt: skip
"""Algorithms that an issuer can sign with."""

_SM2_PKCS8: Final = bytes.fromhex(
    "308187020100301306072a8648ce3d020106082a811ccf5501822d046d306b0201010420"
)
"""PKCS #8 of an SM2 key up to its scalar: `cryptography` has no such curve."""
_SM2_PKCS8_POINT: Final = bytes.fromhex("a144034200")
_SM2_PKCS8_BYTES: Final = 138
_MAX_KEY_FILE: Final = 64 << 10
_JWK_CURVES: Final = {Crv.P256: "P-256", Crv.P384: "P-384", Crv.ED25519: "Ed25519"}


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key and the algorithm that it signs with.

    Attributes:
        algorithm: ES256, ES384, EdDSA, PS256 or SM2.
        private: a `cryptography` private key, or the scalar of an SM2 key.
    """

    algorithm: Algorithm
    private: Any = field(repr=False)

    @classmethod
    def new(cls, algorithm: Algorithm | str) -> SigningKey:
        """Make a key."""
        chosen = Algorithm(algorithm)
        match chosen:
            case Algorithm.ES256:
                return cls(chosen, ec.generate_private_key(ec.SECP256R1()))
            case Algorithm.ES384:
                return cls(chosen, ec.generate_private_key(ec.SECP384R1()))
            case Algorithm.EDDSA:
                return cls(chosen, Ed25519PrivateKey.generate())
            case Algorithm.PS256:
                return cls(chosen, rsa.generate_private_key(65537, 2048))
            case Algorithm.SM2:
                from agent.credential import sm2_pure

                return cls(chosen, 1 + secrets.randbelow(sm2_pure.N - 2))
        raise ValueError(f"{chosen} is not for issuing; allowed: {', '.join(ISSUING)}")

    @property
    def public(self) -> Any:
        """The public key, as `agent.credential.issuers.IssuerKey` holds it."""
        if self.algorithm is Algorithm.SM2:
            from agent.credential import sm2

            return sm2.public_key(self.private)
        return self.private.public_key()

    def sign(self, message: bytes) -> bytes:
        """Return the signature in COSE's form: r || s for ECDSA and SM2."""
        match self.algorithm:
            case Algorithm.ES256:
                return self._ecdsa(message, hashes.SHA256(), 32)
            case Algorithm.ES384:
                return self._ecdsa(message, hashes.SHA384(), 48)
            case Algorithm.EDDSA:
                raw: bytes = self.private.sign(message)
            case Algorithm.PS256:
                scheme = padding.PSS(padding.MGF1(hashes.SHA256()), 32)
                raw = self.private.sign(message, scheme, hashes.SHA256())
            case _:
                from agent.credential import sm2

                raw = sm2.sign(self.private, message)
        return raw

    def _ecdsa(self, message: bytes, digest: hashes.HashAlgorithm, octets: int) -> bytes:
        r, s = decode_dss_signature(self.private.sign(message, ec.ECDSA(digest)))
        return r.to_bytes(octets, "big") + s.to_bytes(octets, "big")

    def private_pem(self) -> bytes:
        """Return the private key as unencrypted PKCS #8 PEM; keep it off the gate."""
        if self.algorithm is Algorithm.SM2:
            scalar = self.private.to_bytes(32, "big")
            return _pem("PRIVATE KEY", _SM2_PKCS8 + scalar + _SM2_PKCS8_POINT + self.public)
        pem: bytes = self.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return pem

    def public_pem(self) -> bytes:
        """Return the public key as PEM."""
        return _pem("PUBLIC KEY", spki(self.public))

    @classmethod
    def from_pem(cls, pem: bytes) -> SigningKey:
        """Load a private key that `private_pem` or OpenSSL wrote.

        Raises:
            ValueError: no such key.
        """
        try:
            der = _unpem(pem)
        except ValueError:
            der = b""
        if der.startswith(_SM2_PKCS8) and len(der) == _SM2_PKCS8_BYTES:
            start = len(_SM2_PKCS8)
            return cls(Algorithm.SM2, int.from_bytes(der[start : start + 32], "big"))
        try:
            private = load_pem_private_key(pem, password=None)
        except TypeError:
            raise ValueError(
                "the key has a password; `openssl pkey -in KEY -out PLAIN` writes it without"
            ) from None
        except ValueError:
            raise ValueError("no private key in PEM") from None
        match private:
            case Ed25519PrivateKey():
                return cls(Algorithm.EDDSA, private)
            case rsa.RSAPrivateKey():
                return cls(Algorithm.PS256, private)
            case ec.EllipticCurvePrivateKey() if private.curve.name == ec.SECP256R1.name:
                return cls(Algorithm.ES256, private)
            case ec.EllipticCurvePrivateKey() if private.curve.name == ec.SECP384R1.name:
                return cls(Algorithm.ES384, private)
        raise ValueError("a private key of P-256, P-384, Ed25519, RSA or SM2 is needed")

    @classmethod
    def from_file(cls, file: Path) -> SigningKey:
        """Load a private key from a PEM file.

        Raises:
            OSError: the file cannot be read.
            ValueError: no such key; the message names the file.
        """
        try:
            return cls.from_pem(file.read_bytes())
        except ValueError as error:
            raise ValueError(f"{file}: {error}") from None


@dataclass(frozen=True, slots=True)
class Issuer:
    """Who signs credentials.

    Attributes:
        name: the issuer's name in the trust set.
        iss: what its credentials say in `iss`.
        key: its key.
    """

    name: str
    iss: str
    key: SigningKey

    @property
    def kid(self) -> bytes:
        """The key's identifier."""
        return public_key_kid(self.key.public)

    def issuer_key(self, **pins: Any) -> IssuerKey:
        """Return the key as a gate's trust set holds it.

        Args:
            pins: further fields of `IssuerKey`: kinds, formats, iss, validity.
        """
        return IssuerKey(
            issuer=self.name,
            kid=pins.pop("kid", self.kid),
            algorithm=self.key.algorithm,
            public_key=self.key.public,
            **pins,
        )

    def trust_toml(self, kinds: Iterable[Kind | str] = ()) -> str:
        """Return the TOML that stands beside the public PEM in a trust directory."""
        # JSON strings and arrays of them are TOML too.
        lines = [
            f"issuer = {json.dumps(self.name)}",
            f"algorithm = {json.dumps(str(self.key.algorithm))}",
            f"iss = {json.dumps([self.iss])}",
        ]
        chosen = [str(Kind(kind)) for kind in kinds]
        if chosen:
            lines.append(f"kinds = {json.dumps(chosen)}")
        return "\n".join(lines) + "\n"


def new_issuer(
    name: str, algorithm: Algorithm | str = Algorithm.ES256, *, iss: str | None = None
) -> Issuer:
    """Make an issuer with a fresh key; `iss` is `urn:idgate:issuer:NAME` where none is given."""
    return Issuer(name, iss or f"urn:idgate:issuer:{name}", SigningKey.new(algorithm))


@dataclass(frozen=True, slots=True)
class Holder:
    """Whose phone holds the credential; the key is P-256, P-384 or Ed25519."""

    key: SigningKey

    @classmethod
    def new(cls, algorithm: Algorithm | str = Algorithm.ES256) -> Holder:
        """Make a holder with a fresh key."""
        return cls(SigningKey.new(algorithm))

    def cose_key(self, *, compressed: bool = False) -> dict[int, Any]:
        """Return the public key for `cnf`; see `keys.cose_key`."""
        return cose_key(self.key.public, compressed=compressed)

    def thumbprint(self) -> str:
        """Return what `PublicHolder.thumbprint` returns of the public key."""
        return _thumbprint(self.cose_key())


@dataclass(frozen=True, slots=True)
class PublicHolder:
    """A holder whose private key stays on the phone.

    Attributes:
        public: a `cryptography` public key: P-256, P-384 or Ed25519. Made by the `from_` functions,
            each of which refuses every other key, a private one, and one that is not on its curve.
    """

    public: Any = field(repr=False)

    @classmethod
    def from_jwk(cls, jwk: Mapping[str, Any]) -> PublicHolder:
        """Take a JWK (RFC 7517), as WebCrypto exports it and as a proof's header carries it.

        Raises:
            ValueError: no public key of the three; one line.
        """
        if not isinstance(jwk, Mapping) or "kty" not in jwk or "keys" in jwk:
            raise ValueError("a damaged JWK: no kty, or a set of keys")
        try:
            text = json.dumps(dict(jwk)).encode()
        except (TypeError, ValueError, RecursionError):
            raise ValueError("a damaged JWK") from None
        return cls.from_bytes(text)

    @classmethod
    def from_cose_key(cls, key: Mapping[int, Any] | bytes) -> PublicHolder:
        """Take a COSE_Key (RFC 9052 section 7), decoded or as CBOR.

        Raises:
            ValueError: no public key of the three; one line.
        """
        from agent.credential import cbor

        try:
            item = cbor.decode(key) if isinstance(key, bytes) else key
            return cls(from_cose_key(item)[1])
        except Rejected as error:
            raise ValueError(error.detail) from None

    @classmethod
    def from_pem(cls, pem: bytes) -> PublicHolder:
        """Take a PEM public key or certificate.

        Raises:
            ValueError: no public key of the three; one line.
        """
        if b"-----BEGIN " not in pem:
            raise ValueError("no public key in PEM")
        return cls.from_bytes(pem)

    @classmethod
    def from_bytes(cls, data: bytes) -> PublicHolder:
        """Take the one public key of a file: PEM, JWK or COSE_Key.

        Raises:
            ValueError: none of these, another kind of key, or a private one; one line.
        """
        public = load_public_key(data).key
        cose_key(public)  # refuses what no credential can carry
        return cls(public)

    def cose_key(self, *, compressed: bool = False) -> dict[int, Any]:
        """Return the public key for `cnf`; see `keys.cose_key`."""
        return cose_key(self.public, compressed=compressed)

    def thumbprint(self) -> str:
        """Return the JWK thumbprint (RFC 7638, SHA-256) in hexadecimal: 64 digits.

        The same key has the same one, however it was written.
        """
        return _thumbprint(self.cose_key())


def load_holder(file: Path) -> Holder | PublicHolder:
    """Load whose phone it is: a private PEM key, or the public one as PEM, JWK or COSE_Key.

    Raises:
        OSError: the file cannot be read.
        ValueError: no such key; the message names the file.
    """
    with file.open("rb") as stream:
        data = stream.read(_MAX_KEY_FILE + 1)
    try:
        return _holder(data)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from None


def _holder(data: bytes) -> Holder | PublicHolder:
    if len(data) > _MAX_KEY_FILE:
        raise ValueError(f"larger than {_MAX_KEY_FILE} bytes")
    if b"PRIVATE KEY-----" not in data:
        return PublicHolder.from_bytes(data)
    held = Holder(SigningKey.from_pem(data))
    held.cose_key()  # refuses what no credential can carry
    return held


def _thumbprint(key: Mapping[int, Any]) -> str:
    """Return RFC 7638's digest: required members only, in the order of their names, no spaces."""
    jwk = {"crv": _JWK_CURVES[Crv(key[CoseKey.CRV])]}
    jwk["kty"] = "OKP" if key[CoseKey.KTY] == Kty.OKP else "EC"
    jwk["x"] = _base64url(key[CoseKey.X])
    if CoseKey.Y in key:
        jwk["y"] = _base64url(key[CoseKey.Y])
    return hashlib.sha256(json.dumps(jwk, separators=(",", ":")).encode()).hexdigest()


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _pem(label: str, der: bytes) -> bytes:
    lines = textwrap.wrap(base64.b64encode(der).decode(), 64)
    return "\n".join((f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", "")).encode()


def _unpem(pem: bytes) -> bytes:
    return base64.b64decode(b"".join(pem.strip().splitlines()[1:-1]))
