"""SM2 verification by the system's libcrypto, reached through ctypes.

`cryptography` does not offer SM2 signatures, while the libcrypto that Debian ships does and is
several times faster than plain Python. Rules:
- Only verification, only of a digest that `agent.credential.sm2` computed.
- The library is believed only after it verified the published example and refused a changed one.
- Every object that libcrypto hands out is freed on every path.

Standard: GB/T 32918.2-2016; key as SubjectPublicKeyInfo (RFC 5480) with curve 1.2.156.10197.1.301.
"""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

__all__ = ["Libcrypto", "load"]

_NAMES = ("libcrypto.so.3", "libcrypto.so.4")
_SPKI_PREFIX = bytes.fromhex("3059301306072a8648ce3d020106082a811ccf5501822d034200")

# The example of GB/T 32918.5-2017, Annex A.2.
_EXAMPLE_POINT = bytes.fromhex(
    "0409f9df311e5421a150dd7d161e4bc5c672179fad1833fc076bb08ff356f35020"
    "ccea490ce26775a52dc6ea718cc1aa600aed05fbf35e084a6632f6072da9ad13"
)
_EXAMPLE_DIGEST = bytes.fromhex("f0b43e94ba45accaace692ed534382eb17e6ab5a19ce7b31f4486fdfc0d28640")
_EXAMPLE_R = 0xF5A03B0648D2C4630EEAC513E1BB81A15944DA3827D5B74143AC7EACEEE720B3
_EXAMPLE_S = 0xB1B6AA29DF212FD8763182BC0D421CA1BB9038FD1F7F42D4840B69C485BBC1AA


class Libcrypto:
    """The functions of one loaded libcrypto that verification needs.

    Args:
        name: soname, such as `libcrypto.so.3`.

    Raises:
        OSError: the library is not there.
        AttributeError: it lacks one of the functions.
    """

    def __init__(self, name: str) -> None:
        library = ctypes.CDLL(name)
        pointer, size = ctypes.c_void_p, ctypes.c_size_t
        self._read_key = _declare(
            library.d2i_PUBKEY, pointer, pointer, ctypes.POINTER(ctypes.c_char_p), ctypes.c_long
        )
        self._free_key = _declare(library.EVP_PKEY_free, None, pointer)
        self._context = _declare(library.EVP_PKEY_CTX_new, pointer, pointer, pointer)
        self._free_context = _declare(library.EVP_PKEY_CTX_free, None, pointer)
        self._init = _declare(library.EVP_PKEY_verify_init, ctypes.c_int, pointer)
        self._verify = _declare(
            library.EVP_PKEY_verify,
            ctypes.c_int,
            pointer,
            ctypes.c_char_p,
            size,
            ctypes.c_char_p,
            size,
        )
        self._clear_errors = _declare(library.ERR_clear_error, None)

    def verify_digest(self, point: bytes, digest: bytes, r: int, s: int) -> bool:
        """Return whether (r, s) signs the digest under the key.

        Args:
            point: 65 bytes, 04 | x | y, on the curve.
            digest: e, 32 bytes.
            r: 1 .. n-1.
            s: 1 .. n-1.
        """
        der = _SPKI_PREFIX + point
        key = self._read_key(None, ctypes.byref(ctypes.c_char_p(der)), len(der))
        context = self._context(key, None) if key else None
        try:
            if not context or self._init(context) != 1:
                return False
            signature = encode_dss_signature(r, s)
            verdict = self._verify(context, signature, len(signature), digest, len(digest))
            return bool(verdict == 1)
        finally:
            self._free_context(context)
            self._free_key(key)
            self._clear_errors()


@cache
def load() -> Libcrypto | None:
    """Return the system's libcrypto when it verifies SM2, else None; tried once a process."""
    for name in _NAMES:
        try:
            library = Libcrypto(name)
        except (OSError, AttributeError):
            continue
        good = library.verify_digest(_EXAMPLE_POINT, _EXAMPLE_DIGEST, _EXAMPLE_R, _EXAMPLE_S)
        changed = library.verify_digest(_EXAMPLE_POINT, _EXAMPLE_DIGEST, _EXAMPLE_R, _EXAMPLE_S - 1)
        if good and not changed:
            return library
    return None


def _declare(function: Any, result: object, *arguments: object) -> Any:
    """Give a C function its types; without them ctypes would cut pointers to 32 bits."""
    function.restype = result
    function.argtypes = arguments
    return function
