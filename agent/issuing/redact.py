"""The two sides of selective disclosure: an issuer redacts, a holder discloses what is asked.

Rules:
- what is redacted is a member of claim 169 or an age, never a claim of the top level: a restriction
  cannot be kept back;
- each member has a salt of 16 random bytes of its own, and digests stand sorted, so that their
  order says nothing;
- the holder gives away what a place asks and no more: of the ages that prove the one that is asked,
  the lowest, and none where one stands open anyway.

The reader's side, and what a digest is, is `agent.credential.disclosure`.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, Final

from agent.credential import cbor, cose, disclosure
from agent.credential.identity import FACE, FINGERS
from agent.credential.limits import SD_DISCLOSURES
from agent.credential.needs import Redact, age_of, parse_need
from agent.credential.numbers import Claim, Header, Tag

__all__ = ["disclosed", "redact"]

_BIRTH_DATE: Final = 8
_NAMES: Final = range(4, 8)
"""Full, first, middle and last; what else stands beside them no word asks for."""
_BIOMETRICS: Final = frozenset({FACE, *FINGERS})


def redact(claims: dict[int, Any], what: Collection[Redact]) -> list[bytes]:
    """Take members out of claims and leave their digests.

    Args:
        claims: of a credential; changed.
        what: to be redacted; what the claims do not have is passed over.

    Returns:
        The disclosures, each the encoding of [salt, value, key].

    Raises:
        ValueError: more than `limits.SD_DISCLOSURES` members.
    """
    made: list[bytes] = []
    for label in (Claim.IDENTITY, Claim.AGES):
        members = claims.get(label, {})
        left: dict[Any, Any] = {}
        digests = []
        for key, value in members.items():
            if _redact_of(label, key) not in what:
                left[key] = value
                continue
            salt = secrets.token_bytes(disclosure.SALT_BYTES)
            made.append(cbor.encode([salt, value, key]))
            digests.append(disclosure.digest_of(made[-1]))
        if digests:
            claims[label] = {**left, cbor.REDACTED: sorted(digests)}
    if len(made) > SD_DISCLOSURES:
        raise ValueError(f"{len(made)} redacted members; gates take {SD_DISCLOSURES}")
    return made


def _redact_of(label: int, key: Any) -> Redact:
    """Return what redacts a member of one of the two claims."""
    if label == Claim.AGES:
        return Redact.AGES
    if key == _BIRTH_DATE:
        return Redact.BIRTH_DATE
    if key == FACE:
        return Redact.FACE
    return Redact.FINGERS if key in FINGERS else Redact.NAMES


def disclosed(credential: bytes, needs: Iterable[str] | None = None) -> bytes:
    """Return a credential with those disclosures that a place asks for, and no others.

    Args:
        credential: as the issuer gave it: a tagged COSE_Sign1, of either version.
        needs: words of `agent.credential.needs`; None where nobody asks: then the face, the
            fingers and every age, and neither the birth date nor a name.

    Returns:
        The same credential where nothing in it is redacted. The issuer's signature holds for any
        choice.

    Raises:
        ValueError: a word that is no need.
        Rejected: `malformed`, for what is no credential.
    """
    asked = None if needs is None else frozenset(map(parse_need, needs))
    message = cose.parse_sign1(credential)
    held = disclosure.disclosures(message.unprotected.get(Header.SD_CLAIMS))
    if not held:
        return credential
    claims = disclosure.decode(message.payload)
    kept: set[bytes] = set()
    for key, found in _members(claims.get(Claim.IDENTITY, {}), held):
        if _asked(key, asked):
            kept.update(found)
    ages = dict(_members(claims.get(Claim.AGES, {}), held))
    for age in _proving(ages, asked):
        kept.update(ages[age])
    rest = {key: value for key, value in message.unprotected.items() if key != Header.SD_CLAIMS}
    shown = [raw for raw in held.values() if raw in kept]
    if shown:
        rest[Header.SD_CLAIMS] = shown
    parts = [message.protected_raw, rest, message.payload, message.signature]
    return cbor.encode(cbor.Tagged(Tag.SIGN1, parts))


def _asked(key: Any, asked: Collection[str] | None) -> bool:
    """Return whether a place asks for a member of claim 169."""
    if asked is None:
        return key in _BIOMETRICS
    match _redact_of(Claim.IDENTITY, key):
        case Redact.BIRTH_DATE:
            return "birth-date" in asked
        case Redact.FACE:
            return "face" in asked
        case Redact.FINGERS:
            return "finger" in asked
    return "name" in asked and key in _NAMES


def _proving(ages: Collection[int], asked: Collection[str] | None) -> set[int]:
    """Return the lowest age that proves each one that is asked; all where nobody asks."""
    if asked is None:
        return set(ages)
    wanted = [age for age in map(age_of, asked) if age is not None]
    enough = [[age for age in ages if age >= least] for least in wanted]
    return {min(each) for each in enough if each}


def _members(
    claim: Mapping[Any, Any], held: Mapping[bytes, bytes]
) -> Iterator[tuple[Any, list[bytes]]]:
    """Yield each member's key, and the disclosures that it takes to see all of it."""
    for key, value in claim.items():
        if key is not cbor.REDACTED:
            yield key, list(_inside(value, held))
            continue
        for digest in value:
            if raw := held.get(digest):
                _, member, name = disclosure.decode(raw)
                yield name, [raw, *_inside(member, held)]


def _inside(value: Any, held: Mapping[bytes, bytes]) -> Iterator[bytes]:
    """Yield the disclosures of what was redacted inside a value."""
    match value:
        case dict():
            for _, found in _members(value, held):
                yield from found
        case list():
            for element in value:
                yield from _inside(element, held)
        case cbor.Tagged():
            if raw := held.get(value.value):
                yield raw
                yield from _inside(disclosure.decode(raw)[1], held)
