"""SM2 over its 256-bit prime curve in plain Python, for hosts whose libcrypto lacks SM2.

Rules:
- Verification takes public data only; nothing here runs in constant time, so `sign` is for demos,
  pilots and tests, never for a key of value.
- The caller has checked ranges and the point (`agent.credential.sm2` does), so that both
  backends see the same inputs.

Standard: GB/T 32918.2-2016 (signature) and GB/T 32918.5-2017 (parameters); points in Jacobian
coordinates, both scalars in one interleaved signed-window pass.
"""

from __future__ import annotations

import secrets
from functools import cache

__all__ = ["GENERATOR", "N", "P", "is_on_curve", "public_point", "sign_digest", "verify_digest"]

P = 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF00000000FFFFFFFFFFFFFFFF
A = P - 3
B = 0x28E9FA9E9D9F5E344D5A9E4BCF6509A7F39789F515AB8F92DDBCBD414D940E93
N = 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFF7203DF6B21C6052B53BBF40939D54123
GENERATOR = (
    0x32C4AE2C1F1981195F9904466A39C9948FE30BBFF2660BE1715A4589334C74C7,
    0xBC3736A2F4F6779C59BDCEE36B692153D0A9877CC62A474002DF32E52139F0A0,
)

_FIELD = range(P)
_WINDOW_KEY = 5
_WINDOW_GENERATOR = 8

Affine = tuple[int, int]
Jacobian = tuple[int, int, int]

_INFINITY: Jacobian = (1, 1, 0)


def is_on_curve(x: int, y: int) -> bool:
    """Return whether (x, y) are field elements and satisfy the curve's equation."""
    return x in _FIELD and y in _FIELD and (y * y - (x * x + A) * x - B) % P == 0


def verify_digest(key: Affine, digest: int, r: int, s: int) -> bool:
    """Return whether (r, s) signs the digest e under the key.

    Args:
        key: public point, on the curve.
        digest: e, the SM3 value over Z_A and the message as an integer.
        r: 1 .. n-1.
        s: 1 .. n-1.
    """
    t = (r + s) % N
    if t == 0:
        return False
    x, _, z = _double_multiply(s, t, key)
    if z == 0:
        return False
    inverse = pow(z, -1, P)
    return (digest + x * inverse * inverse % P) % N == r


def sign_digest(private: int, digest: int, nonce: int | None = None) -> tuple[int, int]:
    """Return (r, s) over the digest. Not constant time: demos and tests only.

    Args:
        private: d, 1 .. n-2.
        digest: e as an integer.
        nonce: k of a published example; drawn at random when None.
    """
    while True:
        k = secrets.randbelow(N - 1) + 1 if nonce is None else nonce
        r = (digest + public_point(k)[0]) % N
        s = pow(1 + private, -1, N) * (k - r * private) % N
        if r and s and r + k != N:
            return r, s
        if nonce is not None:
            raise ValueError("this nonce gives no signature")


def public_point(private: int) -> Affine:
    """Return [private]G. Not constant time: demos and tests only.

    Raises:
        ValueError: the scalar is a multiple of the order.
    """
    x, y, z = _double_multiply(private % N, 0, GENERATOR)
    if z == 0:
        raise ValueError("scalar gives the point at infinity")
    inverse = pow(z, -1, P)
    square = inverse * inverse % P
    return x * square % P, y * square * inverse % P


def _double_multiply(scalar_g: int, scalar_key: int, key: Affine) -> Jacobian:
    """Return [scalar_g]G + [scalar_key]key in one pass over the bits."""
    digits_g = _signed_digits(scalar_g, _WINDOW_GENERATOR)
    digits_key = _signed_digits(scalar_key, _WINDOW_KEY)
    table_g = _generator_table()
    table_key = _odd_multiples(key, _WINDOW_KEY)
    result = _INFINITY
    for position in reversed(range(max(len(digits_g), len(digits_key)))):
        result = _double(result)
        for digits, table in ((digits_g, table_g), (digits_key, table_key)):
            digit = digits[position] if position < len(digits) else 0
            if digit:
                x, y = table[abs(digit) >> 1]
                result = _add_affine(result, x, y if digit > 0 else P - y)
    return result


def _signed_digits(scalar: int, width: int) -> list[int]:
    """Return the width-w non-adjacent form, least significant digit first."""
    digits = []
    full, half = 1 << width, 1 << (width - 1)
    while scalar:
        digit = 0
        if scalar & 1:
            digit = scalar & (full - 1)
            if digit & half:
                digit -= full
            scalar -= digit
        digits.append(digit)
        scalar >>= 1
    return digits


@cache
def _generator_table() -> tuple[Affine, ...]:
    """Return the odd multiples of G, computed once a process."""
    return _odd_multiples(GENERATOR, _WINDOW_GENERATOR)


def _odd_multiples(point: Affine, width: int) -> tuple[Affine, ...]:
    """Return the [1]P, [3]P, ... that a window needs in affine form, with one inversion for all."""
    first: Jacobian = (*point, 1)
    twice = _double(first)
    (twice_affine,) = _to_affine([twice])
    multiples = [first]
    for _ in range((1 << (width - 2)) - 1):
        multiples.append(_add_affine(multiples[-1], *twice_affine))
    return tuple(_to_affine(multiples))


def _to_affine(points: list[Jacobian]) -> list[Affine]:
    """Return the points divided by their z, none of which may be zero (Montgomery's trick)."""
    products = [1]
    for _, _, z in points:
        products.append(products[-1] * z % P)
    inverse = pow(products[-1], -1, P)
    result: list[Affine] = []
    for at in reversed(range(len(points))):
        x, y, z = points[at]
        own = inverse * products[at] % P
        inverse = inverse * z % P
        square = own * own % P
        result.append((x * square % P, y * square * own % P))
    result.reverse()
    return result


def _double(point: Jacobian) -> Jacobian:
    """Return 2P for a = -3; the point at infinity stays itself (z = 0)."""
    x, y, z = point
    delta = z * z % P
    gamma = y * y % P
    beta = x * gamma % P
    alpha = 3 * (x - delta) * (x + delta) % P
    x_new = (alpha * alpha - 8 * beta) % P
    return x_new, (alpha * (4 * beta - x_new) - 8 * gamma * gamma) % P, 2 * y * z % P


def _add_affine(point: Jacobian, x2: int, y2: int) -> Jacobian:
    """Return P + Q with Q affine; equal and opposite points are handled."""
    x1, y1, z1 = point
    if z1 == 0:
        return x2, y2, 1
    z_square = z1 * z1 % P
    h = (x2 * z_square - x1) % P
    slope = (y2 * z_square * z1 - y1) % P
    if h == 0:
        return _double(point) if slope == 0 else _INFINITY
    h_square = h * h % P
    h_cube = h * h_square % P
    v = x1 * h_square % P
    x_new = (slope * slope - h_cube - 2 * v) % P
    return x_new, (slope * (v - x_new) - y1 * h_cube) % P, z1 * h % P
