"""Private keys of the publishing side: PEM files, protected by a password.

Rules: Ed25519; PKCS #8, encrypted unless the operator insists otherwise; mode 0600; a file is never
overwritten.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from securesystemslib.signer import CryptoSigner

from agent.trust.model import TrustError

__all__ = ["load_signer", "make_signer"]


def make_signer(path: Path, password: bytes | None) -> CryptoSigner:
    """Make a key, write it, and return its signer.

    Args:
        path: the PEM file to make.
        password: what it is encrypted under; None leaves it in the clear.

    Raises:
        TrustError: the file exists or cannot be written.
    """
    private = Ed25519PrivateKey.generate()
    encryption = BestAvailableEncryption(password) if password else NoEncryption()
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise TrustError(f"{path}: key cannot be written: {error.strerror}") from None
    return CryptoSigner(private)


def load_signer(path: Path, ask_password: Callable[[Path], bytes]) -> CryptoSigner:
    """Read a key.

    Args:
        path: the PEM file.
        ask_password: asked only where the file is encrypted.

    Raises:
        TrustError: it cannot be read, the password is wrong, or it is no key that can sign here.
    """
    try:
        pem = path.read_bytes()
    except OSError as error:
        raise TrustError(f"{path}: key cannot be read: {error.strerror}") from None
    password = ask_password(path) if b"ENCRYPTED" in pem else None
    try:
        return CryptoSigner(load_pem_private_key(pem, password))
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # The library's error is the same for a wrong password and a damaged file.
        raise TrustError(f"{path}: wrong password, or no private key in PEM") from None
