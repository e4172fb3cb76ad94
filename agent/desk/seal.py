"""The site key of a desk: without it, nothing personal can be read in the database.

Rules:
- names, addresses, dates of birth and templates stand in the database only sealed (AES-256-GCM);
- what must be found again without being read (a name that is searched, a code that is redeemed)
  stands there as a keyed hash (HMAC-SHA-256);
- each purpose has a key of its own, derived from the site key (HKDF-SHA-256, RFC 5869);
- the site key is a file beside the database, its owner's only, and never in the database.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

__all__ = ["KEY_BYTES", "SealBroken", "SiteKey"]

KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12


class SealBroken(ValueError):
    """What was sealed was changed, or by another key."""


class SiteKey:
    """The key of a desk.

    Args:
        key: 32 bytes.
    """

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError(f"a site key has {KEY_BYTES} bytes, not {len(key)}")
        self._key = key
        self._derived: dict[str, bytes] = {}

    @classmethod
    def from_file(cls, file: Path) -> SiteKey:
        """Read the key.

        Raises:
            OSError: it cannot be read.
            ValueError: it is none, or others than its owner may read it.
        """
        if file.stat().st_mode & 0o077:
            raise ValueError(f"{file}: others may read it; run: chmod 600 {file}")
        try:
            return cls(file.read_bytes())
        except ValueError as error:
            raise ValueError(f"{file}: {error}") from None

    @classmethod
    def make(cls, file: Path) -> SiteKey:
        """Make a key in a new file, its owner's only.

        Raises:
            OSError: the file is there already, or cannot be written.
        """
        key = secrets.token_bytes(KEY_BYTES)
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
            stream.write(key)
        return cls(key)

    def derive(self, purpose: str, salt: bytes = b"") -> bytes:
        """Return the 32 bytes of a purpose."""
        if salt:
            return self._hkdf(purpose, salt)
        if purpose not in self._derived:
            self._derived[purpose] = self._hkdf(purpose, b"")
        return self._derived[purpose]

    def seal(self, purpose: str, data: bytes, *, about: bytes = b"", salt: bytes = b"") -> bytes:
        """Encrypt; `about` (whose it is) must be said again to open it.

        Args:
            purpose: names the derived key.
            data: what nobody may read.
            about: bound to the seal, so that it cannot be moved to another row.
            salt: a further secret without which the seal stays shut, such as an offer's code.
        """
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce + AESGCM(self.derive(purpose, salt)).encrypt(nonce, data, about)

    def open(self, purpose: str, sealed: bytes, *, about: bytes = b"", salt: bytes = b"") -> bytes:
        """Decrypt what `seal` made with the same words.

        Raises:
            SealBroken: it was not.
        """
        nonce, body = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
        try:
            return AESGCM(self.derive(purpose, salt)).decrypt(nonce, body, about)
        except (InvalidTag, ValueError):
            raise SealBroken(f"{purpose}: sealed by another key, or changed") from None

    def digest(self, purpose: str, data: bytes) -> bytes:
        """Return a keyed hash of 32 bytes, for finding again what must not be read."""
        return hmac.new(self.derive(purpose), data, hashlib.sha256).digest()

    def _hkdf(self, purpose: str, salt: bytes) -> bytes:
        info = b"idgate desk " + purpose.encode()
        return HKDF(SHA256(), KEY_BYTES, salt=salt or None, info=info).derive(self._key)
