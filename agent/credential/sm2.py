"""SM2 signatures with SM3, verification; signing only for demos, pilots and tests.

Rules:
- The public key is a point of 65 bytes (04 | x | y) on the curve, the signature 64 bytes (r | s):
  anything else is simply not a signature, never an exception out of `verify`.
- The system's libcrypto verifies where it has SM2, else the plain Python verifier; both are held
  against the published vectors and each other by the tests. `backend()` names the one in use.
- Public data only. Signing is not constant time.

Standard: GB/T 32918.2-2016, GB/T 32905-2016 (SM3); user id as in GM/T 0009-2012 unless given.
"""

from __future__ import annotations

from cryptography.hazmat.primitives import hashes

from agent.credential import sm2_openssl, sm2_pure

__all__ = [
    "COMPRESSED_SIZE",
    "DEFAULT_USER_ID",
    "POINT_SIZE",
    "SIGNATURE_SIZE",
    "backend",
    "compress",
    "decompress",
    "message_digest",
    "public_key",
    "sign",
    "verify",
    "verify_digest",
]

POINT_SIZE = 65
COMPRESSED_SIZE = 33
SIGNATURE_SIZE = 64
DEFAULT_USER_ID = b"1234567812345678"
_USER_ID_MAX = 8_191  # ENTL counts bits in two bytes
_SCALARS = range(1, sm2_pure.N)

_CURVE = b"".join(
    value.to_bytes(32, "big") for value in (sm2_pure.A, sm2_pure.B, *sm2_pure.GENERATOR)
)


def backend() -> str:
    """Return `libcrypto` or `python`, whichever verifies in this process."""
    return "python" if sm2_openssl.load() is None else "libcrypto"


def verify(
    point: bytes, message: bytes, signature: bytes, user_id: bytes = DEFAULT_USER_ID
) -> bool:
    """Return whether the signature over the message verifies under the key.

    Args:
        point: 65 bytes, 04 | x | y.
        message: what was signed, without Z_A.
        signature: 64 bytes, r | s.
        user_id: identity that both sides agreed on, at most 8,191 bytes.
    """
    if _coordinates(point) is None:
        return False
    return verify_digest(point, message_digest(point, message, user_id), signature)


def verify_digest(point: bytes, digest: bytes, signature: bytes) -> bool:
    """Return whether the signature over the digest e (32 bytes, Z_A included) verifies."""
    key = _coordinates(point)
    if key is None or len(signature) != SIGNATURE_SIZE:
        return False
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    if r not in _SCALARS or s not in _SCALARS:
        return False
    library = sm2_openssl.load()
    if library is not None:
        return library.verify_digest(point, digest, r, s)
    return sm2_pure.verify_digest(key, int.from_bytes(digest, "big"), r, s)


def message_digest(point: bytes, message: bytes, user_id: bytes = DEFAULT_USER_ID) -> bytes:
    """Return e = SM3(Z_A | message), 32 bytes.

    Raises:
        ValueError: the user id is longer than its length field allows.
    """
    if len(user_id) > _USER_ID_MAX:
        raise ValueError("user id is too long")
    identity = (8 * len(user_id)).to_bytes(2, "big") + user_id
    return _sm3(_sm3(identity + _CURVE + point[1:]) + message)


def decompress(compressed: bytes) -> bytes:
    """Return the 65-byte point for a compressed one.

    Args:
        compressed: 33 bytes, 02 or 03 and x.

    Raises:
        ValueError: not 33 bytes, another prefix, or no point of the curve has this x.
    """
    if len(compressed) != COMPRESSED_SIZE or compressed[0] not in (2, 3):
        raise ValueError("not a compressed point")
    x = int.from_bytes(compressed[1:], "big")
    if x >= sm2_pure.P:
        raise ValueError("x is not a field element")
    # The square root where P is 3 modulo 4: (P + 1) / 4 is P // 4 + 1 then.
    y = pow((x * x + sm2_pure.A) * x + sm2_pure.B, sm2_pure.P // 4 + 1, sm2_pure.P)
    if not sm2_pure.is_on_curve(x, y):
        raise ValueError("no point of the curve has this x")
    # y = 0 has no odd twin, but the curve's order is prime, so no such point exists.
    if y & 1 != compressed[0] & 1:
        y = sm2_pure.P - y
    return b"\x04" + compressed[1:] + y.to_bytes(32, "big")


def compress(point: bytes) -> bytes:
    """Return the 33-byte form of a 65-byte point."""
    return bytes([2 + (point[64] & 1)]) + point[1:33]


def public_key(private: int) -> bytes:
    """Return the 65-byte point of a private scalar. Demos, pilots and tests only."""
    x, y = sm2_pure.public_point(private)
    return b"\x04" + x.to_bytes(32, "big") + y.to_bytes(32, "big")


def sign(
    private: int,
    message: bytes,
    user_id: bytes = DEFAULT_USER_ID,
    *,
    nonce: int | None = None,
) -> bytes:
    """Return r | s over the message. Not constant time: demos, pilots and tests only.

    Args:
        private: scalar, 1 .. n-2.
        message: what is signed, without Z_A.
        user_id: identity that both sides agreed on.
        nonce: k of a published example; drawn at random when None.
    """
    digest = message_digest(public_key(private), message, user_id)
    r, s = sm2_pure.sign_digest(private, int.from_bytes(digest, "big"), nonce)
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def _coordinates(point: bytes) -> tuple[int, int] | None:
    """Return (x, y) of a point in the 65-byte form that lies on the curve, else None."""
    if len(point) != POINT_SIZE or point[0] != 4:
        return None
    x, y = int.from_bytes(point[1:33], "big"), int.from_bytes(point[33:], "big")
    return (x, y) if sm2_pure.is_on_curve(x, y) else None


def _sm3(data: bytes) -> bytes:
    """Return the 32-byte SM3 digest."""
    state = hashes.Hash(hashes.SM3())
    state.update(data)
    return state.finalize()
