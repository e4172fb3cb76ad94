"""Subjects as HMACs: the only form in which a person is named outside the decision itself.

Rules:
- HMAC-SHA-256 under a 32-byte site key, cut to 16 bytes, over issuer and subject, each with its
  length before it, so that no two pairs run together.
- `local` never changes: replay, lockout and anti-passback need it, and it stays on this gate.
- `reported` goes into events. With rotation it is keyed by the UTC day, so analytics can follow a
  subject through one day and no further.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
from datetime import UTC, datetime
from pathlib import Path

__all__ = ["SubjectHasher", "SubjectKeyError", "load_key", "load_or_create_key"]

KEY_BYTES = 32


class SubjectKeyError(Exception):
    """The site key cannot be read or made; one line for the operator."""


class SubjectHasher:
    """Turns (issuer, subject) into what may be written down.

    Args:
        key: 32 bytes, the same at all gates of a site that shall recognise a subject together.
        rotate_daily: True: reported values change at midnight UTC.
    """

    def __init__(self, key: bytes, *, rotate_daily: bool = False) -> None:
        if len(key) != KEY_BYTES:
            raise SubjectKeyError(f"the subject key has {len(key)} bytes, not {KEY_BYTES}")
        self._key = key
        self._rotate_daily = rotate_daily

    def local(self, issuer: str, subject: str) -> str:
        """Return 32 hexadecimal digits that stay the same for ever."""
        return _mac(self._key, b"local", issuer, subject)

    def reported(self, issuer: str, subject: str, *, at: float) -> str:
        """Return 32 hexadecimal digits for events.

        Args:
            issuer: the issuer's name.
            subject: the subject inside the issuer's realm.
            at: Unix seconds of the event.
        """
        if not self._rotate_daily:
            return _mac(self._key, b"reported", issuer, subject)
        day = datetime.fromtimestamp(at, UTC).date().isoformat()
        return _mac(self._key, b"reported " + day.encode(), issuer, subject)

    def use(self, replay_key: bytes) -> bytes:
        """Return 16 bytes that stand for one use of a code."""
        return hmac.digest(self._key, b"use " + replay_key, hashlib.sha256)[:16]

    def __repr__(self) -> str:
        return f"SubjectHasher(rotate_daily={self._rotate_daily})"


def _mac(key: bytes, purpose: bytes, issuer: str, subject: str) -> str:
    mac = hmac.new(key, digestmod=hashlib.sha256)
    for part in (purpose, issuer.encode(), subject.encode()):
        mac.update(len(part).to_bytes(4) + part)
    return mac.digest()[:16].hex()


def load_or_create_key(path: Path) -> bytes:
    """Read the site key; make one, readable by this user only, where there is none.

    Raises:
        SubjectKeyError: it has the wrong length, or the disk refuses.
    """
    if not path.exists():
        return _create(path)
    return load_key(path)


def load_key(path: Path) -> bytes:
    """Read the site key.

    Raises:
        SubjectKeyError: it is not there, has the wrong length, or the disk refuses.
    """
    try:
        key = path.read_bytes()
    except OSError as error:
        raise SubjectKeyError(f"{path}: {error.strerror}") from error
    if len(key) != KEY_BYTES:
        raise SubjectKeyError(f"{path}: {len(key)} bytes, a subject key has {KEY_BYTES}")
    return key


def _create(path: Path) -> bytes:
    """Write a new key beside its place and link it there whole, so that no start reads half."""
    scratch = path.with_name(f"{path.name}.{os.urandom(8).hex()}.new")
    try:
        descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(os.urandom(KEY_BYTES))
                file.flush()
                os.fsync(file.fileno())
            # Another start may have been first; its key is then the one.
            with contextlib.suppress(FileExistsError):
                os.link(scratch, path)
        finally:
            scratch.unlink()
        return path.read_bytes()
    except OSError as error:
        raise SubjectKeyError(f"{path}: {error.strerror}") from error
