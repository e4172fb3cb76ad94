"""Who said it: events sealed by the gate's own key, acknowledgements by the collector's.

A broker's ACL says who may publish; a seal says who did, to whoever reads it later.

Rules:
- Ed25519, one key a gate and one a collector, in a file of its own (PKCS #8, mode 0600), made where
  there is none.
- A seal is over a text that begins with what it is for, each part behind its length: a seal of one
  kind is never one of another. An event's text is its gate's `source` and the row's hash, which
  covers all of it, the bytes of `data` as they stand in the message and the row before included
  (`agent.journal.chain`); an acknowledgement's is gate, boot and `seq`.
- A gate believes the collector whose key its settings name; without one it believes the first whose
  acknowledgement freed rows, and keeps that key.

Standard: RFC 8032 Ed25519.
"""

from __future__ import annotations

import contextlib
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from agent.credential.algorithms import is_sound
from agent.report.topics import GateAddress

__all__ = [
    "KEY_TEXT",
    "CollectorPin",
    "SealKey",
    "ack_text",
    "event_text",
    "holds",
    "short",
    "write_once",
]

KEY_TEXT: Final = re.compile(r"[0-9a-f]{64}")
"""A public key as people see it: the 32 bytes in hexadecimal."""


@dataclass(frozen=True, slots=True)
class SealKey:
    """A private key that seals.

    Attributes:
        public: the public key, 32 bytes.
    """

    _private: Ed25519PrivateKey = field(repr=False)
    public: bytes

    @classmethod
    def new(cls) -> Self:
        """Make a key that is nowhere kept."""
        return cls.of(Ed25519PrivateKey.generate())

    @classmethod
    def of(cls, private: Ed25519PrivateKey) -> Self:
        """Seal by a private key."""
        return cls(private, private.public_key().public_bytes_raw())

    @classmethod
    def load_or_create(cls, path: Path) -> Self:
        """Read a key; make one, readable by this user only, where there is none.

        Raises:
            OSError: the disk refuses.
            ValueError: the file holds no Ed25519 key.
        """
        if not path.exists():
            private = Ed25519PrivateKey.generate()
            pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            write_once(path, pem)
        return cls.load(path)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a key.

        Raises:
            OSError, ValueError: as `load_or_create`; FileNotFoundError where there is none.
        """
        private = _private(path.read_bytes())
        if private is None:
            remedy = "put the right one back, or move it away for a new one"
            raise ValueError(f"{path}: no Ed25519 key in PEM; {remedy}")
        return cls.of(private)

    def seal(self, text: bytes) -> bytes:
        """Return the signature of a text, 64 bytes."""
        return self._private.sign(text)


def _private(pem: bytes) -> Ed25519PrivateKey | None:
    """Return the key of a file, None where it holds none, or one under a password."""
    try:
        found = load_pem_private_key(pem, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return None
    return found if isinstance(found, Ed25519PrivateKey) else None


def write_once(path: Path, content: bytes) -> None:
    """Write a file beside its place and link it there whole; one that is there already stays.

    Raises:
        OSError: the disk refuses.
    """
    scratch = path.with_name(f"{path.name}.{os.urandom(8).hex()}.new")
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        # Another start may have been first; what it wrote is then the one.
        with contextlib.suppress(FileExistsError):
            os.link(scratch, path)
    finally:
        scratch.unlink()
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def event_text(source: str, digest: bytes) -> bytes:
    """Return what a gate seals: its CloudEvents `source` and the row's hash."""
    return _text(b"idgate-event-1", source.encode(), digest)


def ack_text(gate: GateAddress, boot_id: str, seq: int) -> bytes:
    """Return what a collector seals: up to which `seq` of whose boot everything is stored."""
    parts = (gate.site, gate.gate, boot_id, str(seq))
    return _text(b"idgate-ack-1", *(part.encode() for part in parts))


def _text(purpose: bytes, *parts: bytes) -> bytes:
    return purpose + b"".join(len(part).to_bytes(4) + part for part in parts)


def holds(public: bytes, seal: bytes, text: bytes) -> bool:
    """Return whether a seal is of this key and over this text; any bytes will do.

    A key for which anybody can seal is none.
    """
    try:
        key = Ed25519PublicKey.from_public_bytes(public)
        key.verify(seal, text)
    except (InvalidSignature, ValueError):
        return False
    return is_sound(key)


def short(public: bytes) -> str:
    """Return the beginning of a key, for messages."""
    return public.hex()[:16]


class CollectorPin:
    """The collector's key that a gate believes.

    Args:
        key: as the settings name it; None believes the first and keeps it.
        file: where the first is kept; None forgets it with the process.

    Raises:
        OSError: the file cannot be read.
        ValueError: it holds no key.
    """

    def __init__(self, key: bytes | None = None, file: Path | None = None) -> None:
        self._file = file
        self._key = key
        self._kept = key is not None or file is None
        if file is not None and not self._kept and file.exists():
            text = file.read_text("utf-8", "replace").strip()
            if not KEY_TEXT.fullmatch(text):
                raise ValueError(f"{file}: no public key; remove it to believe the next collector")
            self._key = bytes.fromhex(text)
            self._kept = True

    def check(self, public: bytes, seal: bytes, text: bytes) -> None:
        """Look at a seal.

        Raises:
            ValueError: it is another's, or none.
        """
        if self._key is not None and public != self._key:
            who = f"sealed by {short(public)}" if public else "not sealed"
            raise ValueError(f"{who}; this gate believes {short(self._key)}: mqtt.collector_key")
        if not holds(public, seal, text):
            raise ValueError("the collector's seal does not hold")

    def keep(self, public: bytes) -> None:
        """Believe this key from now on, where none was believed before.

        Raises:
            OSError: it is believed until the process ends, since the disk refuses.
        """
        self._key = public if self._key is None else self._key
        if self._file is not None and not self._kept:
            write_once(self._file, self._key.hex().encode() + b"\n")
            self._kept = True
