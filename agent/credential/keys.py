"""Public keys: their identifiers, and how files and credentials carry them.

Rules:
- `kid` is the first 8 bytes of SHA-256 over the SubjectPublicKeyInfo (DER), unless the trust set
  names another; for the X.509 signer of a DCC, over the certificate;
- a key is pinned to one algorithm: the one that its make leaves, or the one that was asked for if
  the make allows it;
- private keys are refused where a public one belongs.

Forms: PEM public key, PEM or DER certificate, a bundle of these in PEM, JWK or a set of them (RFC
7517), COSE_Key (RFC 9052 section 7). Of several in one file each stands for itself: one that cannot
be used is named, the others count; but a private key among them refuses the file. An SM2 key is its
point (04 | x | y), since `cryptography` has no such curve.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeVar

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
)

from agent.credential import cbor
from agent.credential.algorithms import ALGORITHMS, SM2_POINT_BYTES, is_sound
from agent.credential.issuers import Algorithm, IssuerKey
from agent.credential.limits import IDENTIFIER_BYTES
from agent.credential.model import Rejected
from agent.credential.numbers import CoseKey, Crv, Kty
from agent.reason import Reason

__all__ = [
    "KeyFileError",
    "PublicKey",
    "certificate_kid",
    "cose_key",
    "from_cose_key",
    "issuer_key",
    "issuer_keys",
    "load_public_key",
    "load_public_keys",
    "public_key_kid",
    "spki",
]

KID_BYTES: Final = 8
_T = TypeVar("_T")
_MAX_KEYS: Final = 1_000
"""Keys in one file."""

_SM2_SPKI: Final = bytes.fromhex("3059301306072a8648ce3d020106082a811ccf5501822d034200")
"""SubjectPublicKeyInfo of an uncompressed SM2 point, up to the point."""

_EC2_CURVES: Final[dict[int, tuple[ec.EllipticCurve, int, Algorithm]]] = {
    Crv.P256: (ec.SECP256R1(), 32, Algorithm.ES256),
    Crv.P384: (ec.SECP384R1(), 48, Algorithm.ES384),
}
_JWK_ALGORITHMS: Final = {**{str(name): name for name in Algorithm}, "Ed25519": Algorithm.EDDSA}
_JWK_CURVES: Final = {"P-256": Crv.P256, "P-384": Crv.P384, "Ed25519": Crv.ED25519}


class KeyFileError(ValueError):
    """A key file cannot be used; the message is one line for the operator."""


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A public key out of a file or a credential.

    Attributes:
        key: a `cryptography` public key, or the 65-byte point of an SM2 key.
        algorithms: the algorithms that the key's make allows, the usual one first.
        certificate: DER, where the key came in one.
        kid: the identifier that the file itself names (JWK, COSE_Key), or None.
    """

    key: Any = field(repr=False)
    algorithms: tuple[Algorithm, ...]
    certificate: bytes | None = field(repr=False, default=None)
    kid: bytes | None = None


# --- identifiers ---------------------------------------------------------------------------------


def spki(key: Any) -> bytes:
    """Return the SubjectPublicKeyInfo (DER) of a public key, or of an SM2 point."""
    if isinstance(key, bytes):
        return _SM2_SPKI + key
    der: bytes = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return der


def public_key_kid(key: Any) -> bytes:
    """Return the 8-byte key identifier: SHA-256 over SubjectPublicKeyInfo, cut."""
    return hashlib.sha256(spki(key)).digest()[:KID_BYTES]


def certificate_kid(der: bytes) -> bytes:
    """Return the 8-byte key identifier of a DCC signer: SHA-256 over the certificate, cut."""
    return hashlib.sha256(der).digest()[:KID_BYTES]


# --- COSE_Key, as a credential's cnf carries it ---------------------------------------------------


def from_cose_key(item: Any, *, compressed: bool = False) -> tuple[Algorithm, Any]:
    """Return the algorithm and public key that a decoded COSE_Key holds.

    Args:
        item: the map; P-256, P-384 (at full length) or Ed25519.
        compressed: whether the sign of y may stand for it (RFC 9053 section 7.1.1).

    Raises:
        Rejected: `malformed` for another key, a private one or one that is not on its curve,
            `algorithm_mismatch` when its own `alg` is not for such a key.
    """
    if not isinstance(item, dict):
        raise Rejected(Reason.MALFORMED, "COSE_Key: no map")
    # A holder's key that stands in its own credential proves nothing about the phone.
    if CoseKey.D in item:
        raise Rejected(Reason.MALFORMED, "COSE_Key: a private key where the public one belongs")
    kty, crv, x = item.get(CoseKey.KTY), item.get(CoseKey.CRV), item.get(CoseKey.X)
    if type(kty) is not int or type(crv) is not int or not isinstance(x, bytes):
        raise Rejected(Reason.MALFORMED, "COSE_Key: kty, crv or x is missing")
    if kty == Kty.EC2 and crv in _EC2_CURVES:
        curve, octets, algorithm = _EC2_CURVES[crv]
        y = item.get(CoseKey.Y)
        if compressed and isinstance(y, bool) and len(x) == octets:
            return _agreed(item, algorithm), _point(curve, bytes((2 + y,)) + x)
        if not isinstance(y, bytes) or not len(x) == len(y) == octets:
            raise Rejected(Reason.MALFORMED, f"COSE_Key: x and y are not {octets} bytes each")
        return _agreed(item, algorithm), _point(curve, b"\x04" + x + y)
    if kty == Kty.OKP and crv == Crv.ED25519 and len(x) == 32:
        key = Ed25519PublicKey.from_public_bytes(x)
        if not is_sound(key):
            raise Rejected(Reason.MALFORMED, "COSE_Key: a key with which anybody can sign")
        return _agreed(item, Algorithm.EDDSA), key
    raise Rejected(Reason.MALFORMED, "COSE_Key: neither P-256, P-384 nor Ed25519")


def _agreed(item: Mapping[int, Any], algorithm: Algorithm) -> Algorithm:
    """Return the algorithm, unless the COSE_Key's own `alg` is another."""
    number = item.get(CoseKey.ALG)
    if number is not None:
        named = ALGORITHMS.get(number) if type(number) is int else None
        if named is None or named.pinned is not algorithm:
            raise Rejected(Reason.ALGORITHM_MISMATCH, "COSE_Key: alg is not for this key")
    return algorithm


def _point(curve: ec.EllipticCurve, encoded: bytes) -> ec.EllipticCurvePublicKey:
    try:
        return ec.EllipticCurvePublicKey.from_encoded_point(curve, encoded)
    except ValueError:
        raise Rejected(Reason.MALFORMED, "COSE_Key: not a point of the curve") from None


def cose_key(key: Any, *, compressed: bool = False) -> dict[int, Any]:
    """Return the COSE_Key of a P-256, P-384 or Ed25519 public key.

    Args:
        key: the public key.
        compressed: write the sign of y instead of y.

    Raises:
        KeyFileError: another kind of key.
    """
    if isinstance(key, Ed25519PublicKey):
        return {
            CoseKey.KTY: int(Kty.OKP),
            CoseKey.CRV: int(Crv.ED25519),
            CoseKey.X: key.public_bytes_raw(),
        }
    if isinstance(key, ec.EllipticCurvePublicKey):
        numbers = key.public_numbers()
        for crv, (curve, octets, _) in _EC2_CURVES.items():
            if curve.name == key.curve.name:
                return {
                    CoseKey.KTY: int(Kty.EC2),
                    CoseKey.CRV: int(crv),
                    CoseKey.X: numbers.x.to_bytes(octets),
                    CoseKey.Y: bool(numbers.y & 1) if compressed else numbers.y.to_bytes(octets),
                }
    raise KeyFileError("a holder's key is P-256, P-384 or Ed25519")


# --- files ---------------------------------------------------------------------------------------


def load_public_key(data: bytes) -> PublicKey:
    """Return the one public key in a file: PEM key, PEM or DER certificate, JWK or COSE_Key.

    Raises:
        KeyFileError: none of these, a private key, or more than one.
    """
    found, _ = load_public_keys(data)
    if len(found) != 1:
        raise KeyFileError(f"{len(found)} keys where one belongs")
    return found[0]


def load_public_keys(data: bytes) -> tuple[list[PublicKey], list[str]]:
    """Return the public keys in a file, and what of it cannot be used, one line each.

    Raises:
        KeyFileError: there is none, or a private one among them.
    """
    text = data.strip()
    if text.startswith(b"{"):
        return _each("key", _jwks(text), _from_jwk)
    # Tools write text around the objects (RFC 7468 section 2): it is passed over.
    if b"-----BEGIN " in text:
        if b"PRIVATE KEY-----" in text:
            raise KeyFileError("a private key where the public one belongs; keep it off the gate")
        return _each("object", text.split(b"-----BEGIN ")[1:], _from_pem)
    if data.startswith(b"\x30"):
        return [_from_certificate(data)], []
    try:
        item = cbor.decode(data)
        _, key = from_cose_key(item)
    except Rejected as error:
        raise KeyFileError(
            f"not a PEM or DER certificate, PEM public key, JWK or COSE_Key ({error.detail})"
        ) from None
    kid = item.get(CoseKey.KID)
    return [_public(key, kid=kid if isinstance(kid, bytes) else None)], []


def _each(
    word: str, parts: Sequence[_T], load: Callable[[_T], PublicKey]
) -> tuple[list[PublicKey], list[str]]:
    """Load each part for itself; one alone is the whole file."""
    if len(parts) > _MAX_KEYS:
        raise KeyFileError(f"{len(parts)} keys, at most {_MAX_KEYS}")
    found, faults = [], []
    for number, part in enumerate(parts, start=1):
        try:
            found.append(load(part))
        except KeyFileError as error:
            faults.append(str(error) if len(parts) == 1 else f"{word} {number}: {error}")
    if not found:
        raise KeyFileError(faults[0] if faults else "a set of no keys")
    return found, faults


def issuer_key(data: bytes, **pins: Any) -> IssuerKey:
    """Build the trust set's key from a file that holds one; see `issuer_keys`.

    Raises:
        KeyFileError: the file cannot be used, or holds more than one key.
    """
    found, _ = issuer_keys(data, **pins)
    if len(found) != 1:
        raise KeyFileError(f"{len(found)} keys where one belongs")
    return found[0]


def issuer_keys(
    data: bytes,
    *,
    issuer: str,
    algorithm: Algorithm | None = None,
    kid: bytes | None = None,
    **pins: Any,
) -> tuple[list[IssuerKey], list[str]]:
    """Build the trust set's keys from a file, and say what of it cannot be used.

    Args:
        data: the file; see `load_public_keys`.
        issuer: the name in the trust set.
        algorithm: what the keys are pinned to; None takes the usual one for each one's make.
        kid: another identifier than the file's own or the computed one.
        pins: further fields of `IssuerKey` (kinds, formats, iss, is_root, validity). A
            certificate's own validity holds where no narrower one is given.

    Raises:
        KeyFileError: no key of the file can be used.
    """
    found, faults = load_public_keys(data)
    if kid is not None and len(found) > 1:
        raise KeyFileError(f"one kid for {len(found)} keys")
    keys = []
    for public in found:
        try:
            keys.append(_issuer_key(public, issuer, algorithm, kid, dict(pins)))
        except KeyFileError as error:
            faults.append(str(error))
    if not keys:
        raise KeyFileError(faults[-1])
    return keys, faults


def _issuer_key(
    public: PublicKey,
    issuer: str,
    algorithm: Algorithm | None,
    kid: bytes | None,
    pins: dict[str, Any],
) -> IssuerKey:
    pinned = public.algorithms[0] if algorithm is None else algorithm
    if pinned not in public.algorithms:
        allowed = ", ".join(public.algorithms)
        raise KeyFileError(f"algorithm {pinned} is not for this key; allowed: {allowed}")
    chosen = kid or public.kid or public_key_kid(public.key)
    if len(chosen) > IDENTIFIER_BYTES:
        raise KeyFileError(f"kid is longer than {IDENTIFIER_BYTES} bytes")
    if public.certificate is not None:
        certificate = x509.load_der_x509_certificate(public.certificate)
        begin = int(certificate.not_valid_before_utc.timestamp())
        end = int(certificate.not_valid_after_utc.timestamp())
        pins["valid_from"] = max(pins.get("valid_from", begin), begin)
        pins["valid_until"] = min(pins.get("valid_until", end), end)
    return IssuerKey(
        issuer=issuer,
        kid=chosen,
        algorithm=pinned,
        public_key=public.key,
        certificate=public.certificate,
        **pins,
    )


def _public(key: Any, *, certificate: bytes | None = None, kid: bytes | None = None) -> PublicKey:
    fitting = (entry.pinned for entry in ALGORITHMS.values() if entry.fits(key))
    algorithms = tuple(dict.fromkeys(fitting))
    if Algorithm.PS256 in algorithms:
        algorithms += (Algorithm.RS256,)
    if not is_sound(key):
        raise KeyFileError("a key with which anybody can sign")
    if not algorithms:
        raise KeyFileError("a key of this kind and size signs nothing here")
    return PublicKey(key, algorithms, certificate, kid)


def _from_pem(block: bytes) -> PublicKey:
    """Load what follows one `-----BEGIN `."""
    begun, _, rest = block.partition(b"-----")
    body, ended, _ = rest.partition(b"-----END")
    label = begun.decode("latin-1")
    if label not in {"CERTIFICATE", "PUBLIC KEY"}:
        raise KeyFileError(f"PEM of {label[:40]!r}; allowed: CERTIFICATE, PUBLIC KEY")
    try:
        der = base64.b64decode(b"".join(body.split()), validate=True)
    except ValueError:
        der = b""
    if not der or not ended:
        raise KeyFileError("damaged PEM")
    return _from_certificate(der) if label == "CERTIFICATE" else _public(_from_spki(der))


def _from_spki(der: bytes) -> Any:
    if der.startswith(_SM2_SPKI):
        return _sm2_point(der.removeprefix(_SM2_SPKI))
    try:
        return load_der_public_key(der)
    except (ValueError, UnsupportedAlgorithm):
        raise KeyFileError("the public key is damaged or of an unknown kind") from None


def _sm2_point(point: bytes) -> bytes:
    from agent.credential import sm2

    with suppress(ValueError):  # there is no point of such an x
        # Only a point of the curve comes back from its compressed form as itself.
        if len(point) == SM2_POINT_BYTES and sm2.decompress(sm2.compress(point)) == point:
            return point
    raise KeyFileError("the SM2 key is no point of its curve")


def _from_certificate(der: bytes) -> PublicKey:
    try:
        certificate = x509.load_der_x509_certificate(der)
    except ValueError:
        raise KeyFileError("the certificate is damaged") from None
    try:
        key: Any = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm):
        _, found, rest = der.partition(_SM2_SPKI)
        if not found:
            raise KeyFileError("the certificate's key is of an unknown kind") from None
        key = _sm2_point(rest[:SM2_POINT_BYTES])
    return _public(key, certificate=der)


def _jwks(text: bytes) -> list[Any]:
    """Return the JWKs of a set, or the one that the text is; none of them private."""
    try:
        whole = json.loads(text)
    except (ValueError, RecursionError):
        raise KeyFileError("a damaged JWK") from None
    members = whole.get("keys", [whole])
    if not isinstance(members, list):
        raise KeyFileError("a damaged JWK: keys is no list")
    if any(isinstance(jwk, dict) and ("d" in jwk or "k" in jwk) for jwk in members):
        raise KeyFileError("a private or secret key where the public one belongs")
    return members


def _from_jwk(jwk: Any) -> PublicKey:
    if not isinstance(jwk, dict):
        raise KeyFileError("a damaged JWK: no object")
    operations = jwk.get("key_ops")
    if jwk.get("use", "sig") != "sig" or (
        isinstance(operations, list) and "verify" not in operations
    ):
        raise KeyFileError("JWK: its use is not to verify signatures")
    try:
        kid = str(jwk["kid"]).encode() if "kid" in jwk else None
    except UnicodeEncodeError:  # JSON may hold half a character
        raise KeyFileError("the kid of the JWK is no text") from None
    try:
        public = _public(_jwk_key(jwk), kid=kid)
    except KeyFileError:
        raise
    except (KeyError, TypeError, ValueError) as error:
        raise KeyFileError(f"JWK: {type(error).__name__} in its members") from None
    except Rejected as error:
        raise KeyFileError(error.detail.replace("COSE_Key", "JWK")) from None
    return public if "alg" not in jwk else _pinned(public, jwk["alg"])


def _jwk_key(jwk: Mapping[str, Any]) -> Any:
    """Return the key that a JWK holds."""
    if jwk.get("kty") == "RSA":
        exponent, modulus = (int.from_bytes(_base64url(jwk[name])) for name in ("e", "n"))
        return rsa.RSAPublicNumbers(exponent, modulus).public_key()
    if jwk.get("crv") == "SM2":  # no registered name; as the world's SM2 libraries write it
        coordinates = (_base64url(jwk[name]) for name in ("x", "y"))
        point = bytes.fromhex(jwk["point"]) if "point" in jwk else b"\4" + b"".join(coordinates)
        return _sm2_point(point)
    if jwk.get("kty") not in {"EC", "OKP"} or jwk.get("crv") not in set(_JWK_CURVES):
        raise KeyFileError("JWK: neither RSA, P-256, P-384 nor Ed25519")
    item = {
        CoseKey.KTY: int(Kty.OKP if jwk["kty"] == "OKP" else Kty.EC2),
        CoseKey.CRV: int(_JWK_CURVES[jwk["crv"]]),
        CoseKey.X: _base64url(jwk["x"]),
    }
    if "y" in jwk:
        item[CoseKey.Y] = _base64url(jwk["y"])
    _, key = from_cose_key(item)
    return key


def _pinned(public: PublicKey, alg: Any) -> PublicKey:
    """Return the key for the algorithm alone that its JWK names, RFC 7517 section 4.4."""
    named = _JWK_ALGORITHMS.get(alg) if isinstance(alg, str) else None
    if named not in public.algorithms:
        raise KeyFileError(f"JWK: alg {str(alg)[:20]!r} is not for this key")
    return replace(public, algorithms=(named,))


def _base64url(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
