"""Selective disclosure, as SD-CWT has it: digests in what was signed, and what they stand for.

A map lists under simple(59) the digests of members that were taken out of it, an array holds
tag 60 of a digest where an element was. A disclosure is the encoding of `[salt, value, key]` (of
`[salt, value]` for an element), its digest SHA-256 over it as a byte string, head included.

Rules:
- a disclosure counts only where its digest was signed, and is decoded only then: before that it
  costs a hash and nothing else;
- each digest stands once, each disclosure fits one; one left over refuses, as does a member that
  its map has already, a salt that is too short, or a disclosure of nothing (a decoy's own);
- what is disclosed may hold digests again: all together are bounded by `limits.SD_DIGESTS`,
  `limits.SD_DISCLOSURES` and `limits.CBOR_DEPTH`;
- who reads says in which claims digests may stand; anywhere else they refuse;
- what was kept back is gone from the claims, and counted; so is an array of which nothing is left.

Standard: draft-ietf-spice-sd-cwt-09.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from typing import Any, Final, NamedTuple, NoReturn

from agent.credential import cbor
from agent.credential.limits import CBOR_DEPTH, SD_DIGESTS, SD_DISCLOSURES
from agent.credential.model import Rejected
from agent.credential.numbers import Tag
from agent.reason import Reason

__all__ = ["SALT_BYTES", "Restored", "decode", "digest_of", "disclosures", "has_digests", "restore"]

SALT_BYTES: Final = 16
"""Of a salt, at least; what our issuer writes."""
_LONGEST_SALT: Final = 64
_DIGEST_BYTES: Final = 32
_TAGS: Final = frozenset({Tag.REDACTED})
_KEYS_MARK: Final = b"\xf8\x3b"
"""simple(59)."""
_ELEMENT_MARK: Final = b"\xd8\x3c"
"""Tag 60 in its shortest form, the only one that is read."""


class Restored(NamedTuple):
    """Claims with what was disclosed put back.

    Attributes:
        claims: without a trace of digests.
        digests: how many stood there.
        undisclosed: how many of them nothing was disclosed for.
    """

    claims: dict[int | str, Any]
    digests: int
    undisclosed: int


def digest_of(disclosure: bytes) -> bytes:
    """Return the 32 bytes that stand for a disclosure."""
    return hashlib.sha256(cbor.head(2, len(disclosure)) + disclosure).digest()


def has_digests(payload: bytes) -> bool:
    """Return whether encoded claims may hold digests; never False where they do."""
    return _KEYS_MARK in payload or _ELEMENT_MARK in payload


def decode(data: bytes) -> Any:
    """Decode claims, or one disclosure, in which digests may stand.

    Raises:
        Rejected: `malformed`.
    """
    return cbor.decode(data, tags=_TAGS, tag_depth=CBOR_DEPTH, floats=True, redacted=True)


def disclosures(listed: Any) -> dict[bytes, bytes]:
    """Return digest -> disclosure of an unprotected header's list.

    Args:
        listed: what stands under label 17; None where nothing does.

    Raises:
        Rejected: `malformed` for no list of 1 to `limits.SD_DISCLOSURES` byte strings, each once.
    """
    if listed is None:
        return {}
    if not isinstance(listed, list) or not 0 < len(listed) <= SD_DISCLOSURES:
        _refuse(f"no list of 1 to {SD_DISCLOSURES}")
    if not all(isinstance(each, bytes) for each in listed):
        _refuse("no byte string")
    found = {digest_of(each): each for each in listed}
    if len(found) != len(listed):
        _refuse("one of them twice")
    return found


def restore(
    claims: Mapping[Any, Any],
    left: dict[bytes, bytes],
    within: Collection[int | str] | None = None,
) -> Restored:
    """Put what was disclosed back into verified claims.

    Args:
        claims: as `decode` returned them, of a message whose signature was checked.
        left: as `disclosures` returned it; empty afterwards.
        within: the claims in which digests may stand; None takes them anywhere.

    Raises:
        Rejected: `malformed`.
    """
    work = _Work(left)
    if within is None:
        whole = work.put_back(claims, 0)
    else:
        whole = {}
        for label, value in claims.items():
            if label is cbor.REDACTED:
                _refuse("a claim of the top level is redacted")
            before = len(work.digests)
            whole[label] = work.put_back(value, 1)
            if label not in within and len(work.digests) != before:
                _refuse("digests in a claim that is never redacted")
    if left:
        _refuse("no digest for it was signed")
    return Restored(whole, len(work.digests), len(work.digests) - work.used)


class _Work:
    """One restoration: what is left to be put back, and the digests met."""

    def __init__(self, left: dict[bytes, bytes]) -> None:
        self.left = left
        self.digests: set[bytes] = set()
        self.used = 0

    def put_back(self, value: Any, depth: int) -> Any:
        """Return a value with its disclosed parts, and without the digests of the others."""
        if depth > CBOR_DEPTH:
            _refuse(f"nested deeper than {CBOR_DEPTH}")
        if isinstance(value, dict):
            return self._map(value, depth)
        if isinstance(value, list):
            return self._array(value, depth)
        if isinstance(value, cbor.Tagged):
            _refuse("a redacted element outside an array")
        return value

    def _map(self, value: Mapping[Any, Any], depth: int) -> dict[Any, Any]:
        whole = {}
        for key, member in value.items():
            if key is cbor.REDACTED:
                continue
            back = self.put_back(member, depth + 1)
            if back != [] or member == []:
                whole[key] = back
        if cbor.REDACTED not in value:
            return whole
        digests = value[cbor.REDACTED]
        if not isinstance(digests, list) or not digests:
            _refuse("simple(59) lists no digests")
        for digest in digests:
            parts = self._take(digest)
            if parts is None:
                continue
            if len(parts) != 3 or type(parts[2]) not in (int, str):
                _refuse("it names no member")
            _, member, key = parts
            if key in whole:
                _refuse("of a member that is there already")
            whole[key] = self.put_back(member, depth + 1)
        return whole

    def _array(self, value: list[Any], depth: int) -> list[Any]:
        whole = []
        for element in value:
            if not isinstance(element, cbor.Tagged):
                whole.append(self.put_back(element, depth + 1))
                continue
            parts = self._take(element.value)
            if parts is not None:
                if len(parts) != 2:
                    _refuse("of a member where an element was")
                whole.append(self.put_back(parts[1], depth + 1))
        return whole

    def _take(self, digest: Any) -> list[Any] | None:
        """Return the parts of what a digest stands for, or None where it was kept back."""
        if not isinstance(digest, bytes) or len(digest) != _DIGEST_BYTES:
            _refuse(f"a digest is not {_DIGEST_BYTES} bytes")
        if digest in self.digests:
            _refuse("a digest twice")
        self.digests.add(digest)
        if len(self.digests) > SD_DIGESTS:
            _refuse(f"more than {SD_DIGESTS} digests")
        raw = self.left.pop(digest, None)
        if raw is None:
            return None
        self.used += 1
        parts = decode(raw)
        if not isinstance(parts, list) or len(parts) < 2:
            _refuse("it discloses nothing")
        salt = parts[0]
        if not isinstance(salt, bytes) or not SALT_BYTES <= len(salt) <= _LONGEST_SALT:
            _refuse(f"its salt is not {SALT_BYTES} to {_LONGEST_SALT} bytes")
        return parts


def _refuse(detail: str) -> NoReturn:
    raise Rejected(Reason.MALFORMED, f"disclosure: {detail}")
