"""Revocation lists of EU health certificates: batches of hashes, looked up offline.

    {"kid": BASE64, "hashType": "UCI", "expires": TIME, "entries": [{"hash": BASE64}]}

Rules:
- a file is one batch or a list of them, as the gateway of the member states gives them out; it is
  believed because it lies in the directory, or because the signed set vouches for it;
- a hash is the first 16 bytes of SHA-256 over what `hashType` says: the certificate's identifier
  (`UCI`), country and identifier (`COUNTRYCODEUCI`), or the signature (`SIGNATURE`; of ECDSA its
  first half, r, since the other can be changed by anybody);
- a batch is for the signer whose key id it names; `UNKNOWN_KID` is for every signer;
- what was revoked stays so: a batch past its `expires` still counts where it is still there;
- memory is the hashes themselves, in one bytes object a signer and type; a lookup is a bisection.

Standard: eHealth Network, EU DCC revocation (guidelines of 2022), batch format.
"""

from __future__ import annotations

import base64
import binascii
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable
from typing import Annotated, Literal

import msgspec

from agent.trust.model import TrustError

__all__ = ["HASH_BYTES", "MAX_REVOCATION_FILE", "Batch", "Revocations", "parse_batches"]

HASH_BYTES = 16
MAX_REVOCATION_FILE = 8 << 20
"""Largest file, in bytes: more than 200,000 entries."""

_MAX_ENTRIES = 1_000_000
"""Of all files together: 16 MB."""

_KID_BYTES = 8
_UNKNOWN_KID = "UNKNOWN_KID"
_ANY = b""

HashType = Literal["UCI", "COUNTRYCODEUCI", "SIGNATURE"]


class _Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    hash: Annotated[str, msgspec.Meta(max_length=24)]


class Batch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One batch, as it is written; see the module."""

    kid: Annotated[str, msgspec.Meta(max_length=16)]
    hashType: HashType  # noqa: N815 - the standard's word
    entries: tuple[_Entry, ...]
    country: Annotated[str, msgspec.Meta(max_length=10)] = ""
    expires: Annotated[str, msgspec.Meta(max_length=40)] = ""
    batchId: Annotated[str, msgspec.Meta(max_length=64)] = ""  # noqa: N815
    date: Annotated[str, msgspec.Meta(max_length=40)] = ""


def parse_batches(data: bytes) -> list[tuple[bytes, list[bytes]]]:
    """Read a file: for each batch the signer's key id (empty for every signer), and the hashes.

    Types are not kept apart: hashes of one type say nothing under another, but by a collision in
    128 bits.

    Raises:
        TrustError: it is no such file, or larger than a gate takes.
    """
    if len(data) > MAX_REVOCATION_FILE:
        raise TrustError(f"larger than {MAX_REVOCATION_FILE} bytes")
    try:
        if data.lstrip()[:1] == b"[":
            batches = msgspec.json.decode(data, type=list[Batch])
        else:
            batches = [msgspec.json.decode(data, type=Batch)]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise TrustError(f"no batch of revoked health certificates: {str(error)[:120]}") from None
    return [
        (
            _ANY if batch.kid == _UNKNOWN_KID else _bytes("kid", batch.kid, _KID_BYTES),
            [_bytes("hash", entry.hash, HASH_BYTES) for entry in batch.entries],
        )
        for batch in batches
    ]


class Revocations:
    """What signers of health certificates revoked.

    Args:
        batches: see `parse_batches`.

    Raises:
        TrustError: more than a gate takes.
    """

    __slots__ = ("_by_kid", "size")

    def __init__(self, batches: Iterable[tuple[bytes, list[bytes]]]) -> None:
        found: defaultdict[bytes, set[bytes]] = defaultdict(set)
        for kid, hashes in batches:
            found[kid].update(hashes)
        self.size = sum(map(len, found.values()))
        if self.size > _MAX_ENTRIES:
            raise TrustError(f"{self.size} revoked certificates, at most {_MAX_ENTRIES}")
        self._by_kid = {kid: _Sorted(hashes) for kid, hashes in found.items()}

    def __len__(self) -> int:
        """Return the number of hashes."""
        return self.size

    def revoked(self, kid: bytes, hashes: Iterable[bytes]) -> bool:
        """Return whether one of a certificate's hashes is on a list of its signer's.

        Args:
            kid: the signer's key id.
            hashes: 16 bytes each, one of each type.
        """
        lists = [self._by_kid[name] for name in (kid, _ANY) if name in self._by_kid]
        return any(wanted in entry for wanted in hashes for entry in lists)


class _Sorted:
    """Hashes in order, in one bytes object."""

    __slots__ = ("_data",)

    def __init__(self, hashes: set[bytes]) -> None:
        self._data = b"".join(sorted(hashes))

    def __len__(self) -> int:
        return len(self._data) // HASH_BYTES

    def __getitem__(self, index: int) -> bytes:
        return self._data[index * HASH_BYTES : (index + 1) * HASH_BYTES]

    def __contains__(self, wanted: object) -> bool:
        if not isinstance(wanted, bytes):
            return False
        at = bisect_left(self, wanted)
        return at < len(self) and self[at] == wanted


def _bytes(name: str, text: str, size: int) -> bytes:
    """Decode base64 of a length, in the usual alphabet or the one for URLs."""
    try:
        data = base64.b64decode(text.replace("-", "+").replace("_", "/"), validate=True)
    except (binascii.Error, ValueError):
        data = b""
    if len(data) != size:
        raise TrustError(f"{name}: not {size} bytes in base64")
    return data
