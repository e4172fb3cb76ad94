"""MOSIP's Claim 169 as its issuers publish it, v1.2.1.

    base45( zlib or Brotli( [Encrypt0] COSE_Sign1( CWT with claim 169 ) ) ), no prefix

Rules:
- compressed always: zlib by its magic, Brotli otherwise, capped;
- signed always: claims alone, also encrypted ones, are `unsigned`, however well they read;
- the key is the one that `kid` names; where no pinned key has that kid, a chain (x5chain) counts if
  it leads to a pinned root; with neither, the keys of this format that `iss` belongs to are
  tried, 8 at most;
- a credential of the native profile is refused, though it has the same claim: read as this format
  it would lose its kind, its regions and its holder's key;
- every claim beside claim 169 is one of `_KNOWN`, and `aud`, where there is one, names this place;
- `exp` is required, as nothing else ends a lost code;
- the kind of document is the only one that the key may sign, a national id where it may sign more.

Read tolerantly, because the specification's own sample or its published vectors have it: COSE tags
18, 61 around 18 or none; kid in either header; claim 169 as a map or wrapped in a byte string; a
biometric as one map or a list of maps; dates with dashes; the face as the photo of attributes 16
and 17, which v1.2.1 deprecates; times as whole floats or under tag 1. Of the attributes only what a
gate uses leaves here, and only that is judged: tags, undefined, null and floats elsewhere are let
be.

Standard: MOSIP Claim 169 v1.2.1; RFC 8392 (CWT), RFC 9052, RFC 9360 (x5chain), RFC 7932 (Brotli).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from agent.credential import base45, birth, cbor, cose, inflate, x509
from agent.credential.checks import (
    check_audience,
    check_key,
    check_known,
    check_validity,
    for_format,
    replay_key,
    seconds_in,
    whole,
)
from agent.credential.cwt import status_of
from agent.credential.identity import FACE, FINGERS, shown
from agent.credential.issuers import IssuerKey, KeySource, best_first
from agent.credential.model import (
    BiometricReference,
    Credential,
    FormatName,
    Kind,
    Level,
    Modality,
    ReferenceForm,
    Rejected,
)
from agent.credential.numbers import NATIVE_ONLY, Claim, Header
from agent.credential.registry import ReadRules
from agent.reason import Reason

__all__ = ["read", "sniff"]

_ID, _BIRTH_DATE, _PHOTO, _PHOTO_FORMAT = 1, 8, 16, 17
_DATA, _FORMAT, _SUBFORMAT, _ISSUER = range(4)
_FORMS: Final = {0: ReferenceForm.IMAGE, 1: ReferenceForm.TEMPLATE}
_PHOTO_FORMATS: Final = range(1, 5)
"""JPEG, JPEG 2000, AVIF, WEBP: the same numbers as sub-formats of an image."""
_BIOMETRICS_MAX: Final = 16
_KNOWN: Final = frozenset(
    {
        Claim.ISS, Claim.SUB, Claim.AUD, Claim.EXP, Claim.NBF, Claim.IAT, Claim.CTI,
        Claim.IDENTITY, Claim.STATUS,
    }
)  # fmt: skip


def sniff(payload: bytes) -> bool:
    """Return whether the payload is base45, and no plain number; without a prefix, asked last."""
    return bool(payload) and not payload.translate(None, base45.ALPHABET) and not payload.isdigit()


def read(payload: bytes, keys: KeySource, rules: ReadRules) -> Credential:
    """Verify an identity.

    Args:
        payload: the bytes of the code.
        keys: the issuers' keys, and roots for x5chain.
        rules: clock and site keys.

    Raises:
        Rejected: with the one reason.
    """
    data = base45.decode(payload)
    data = inflate.unzlib(data) if inflate.is_zlib(data) else inflate.brotli(data)
    if cose.is_encrypt0(data):
        data = cose.decrypt0(data, rules.site_keys)
    message = cose.parse_sign1(data, untagged=True, shortest=False)
    claims = cbor.decode(message.payload, loose=True)
    if not isinstance(claims, dict):
        raise Rejected(Reason.MALFORMED, "CWT: the claims are no map")
    if Header.TYP in message.protected or not claims.keys().isdisjoint(NATIVE_ONLY):
        raise Rejected(Reason.MALFORMED, "a credential of the native profile outside it")
    key = cose.verify_any(message, _candidates(message, claims.get(Claim.ISS), keys, rules))
    kind = next(iter(key.kinds)) if len(key.kinds) == 1 else Kind.NATIONAL_ID
    check_key(key, kind, rules)
    issued_at, valid_from, valid_until = _times(claims, rules)
    check_validity(valid_from, valid_until, rules)
    identity = _identity(claims)
    check_known(claims, _KNOWN)
    check_audience(claims, rules)
    subject = _subject(claims, identity)
    return Credential(
        format=FormatName.CLAIM169,
        issuer=key.issuer,
        key_id=key.kid,
        kind=kind,
        level=Level.BASIC,
        subject=subject,
        issued_at=issued_at,
        valid_from=valid_from,
        valid_until=valid_until,
        dynamic=False,
        replay_key=replay_key(key.issuer, subject.encode(), valid_from),
        references=_references(identity),
        birth_date=birth.parsed(identity.get(_BIRTH_DATE)),
        status=status_of(claims),
        claims={"iss": claims.get(Claim.ISS), **shown(identity)},
    )


def _candidates(
    message: cose.Sign1, issuer: Any, keys: KeySource, rules: ReadRules
) -> Sequence[IssuerKey]:
    """Return the keys that the message may have been signed with."""
    kid = _header(message, Header.KID)
    if kid is not None and not isinstance(kid, bytes):
        raise Rejected(Reason.MALFORMED, "kid is no byte string")
    named = keys.for_format(FormatName.CLAIM169) if kid is None else keys.by_kid(kid)
    found = for_format([key for key in named if not key.is_root], FormatName.CLAIM169)
    chain = _header(message, Header.X5CHAIN)
    if chain is not None and (kid is None or not found):
        found = [x509.leaf_key(chain, keys, FormatName.CLAIM169, rules.now, issuer=issuer)]
    fitting = [
        key for key in found if not key.iss or (isinstance(issuer, str) and issuer in key.iss)
    ]
    if not fitting:
        raise Rejected(
            Reason.UNKNOWN_ISSUER,
            "iss does not belong to the key" if found else f"kid {(kid or b'').hex()}",
        )
    return best_first(fitting, rules.now)


def _header(message: cose.Sign1, label: int) -> Any:
    """Return a header that only chooses the key, from either place."""
    return message.protected.get(label, message.unprotected.get(label))


def _times(claims: Mapping[Any, Any], rules: ReadRules) -> tuple[int | None, int, int]:
    """Return `iat`, and the first and last second of validity."""
    expiry = seconds_in(claims, Claim.EXP, "exp")
    issued = seconds_in(claims, Claim.IAT, "iat") if Claim.IAT in claims else None
    begin = seconds_in(claims, Claim.NBF, "nbf") if Claim.NBF in claims else issued or 0
    if issued is not None and expiry <= issued:
        raise Rejected(Reason.BAD_TIME, "exp is not after iat")
    if issued is not None and rules.clock_trusted and issued > rules.now + rules.max_future_s:
        raise Rejected(Reason.ISSUED_IN_FUTURE, "iat")
    return issued, begin, expiry - 1


def _identity(claims: Mapping[Any, Any]) -> Mapping[Any, Any]:
    """Return claim 169, unwrapped."""
    identity = claims.get(Claim.IDENTITY)
    if identity is None:
        raise Rejected(Reason.MISSING_CLAIM, "claim 169")
    if isinstance(identity, bytes):
        identity = cbor.decode(identity, loose=True)
    if not isinstance(identity, dict):
        raise Rejected(Reason.MALFORMED, "claim 169 is no map")
    return identity


def _subject(claims: Mapping[Any, Any], identity: Mapping[Any, Any]) -> str:
    """Return `sub`, or the id among the attributes where there is none."""
    subject = claims.get(Claim.SUB)
    if subject is None:
        subject = identity.get(_ID)
    if subject is None:
        raise Rejected(Reason.MISSING_CLAIM, "neither sub nor an id")
    if not isinstance(subject, str) or not subject:
        raise Rejected(Reason.MALFORMED, "the subject is no text")
    return subject


def _references(identity: Mapping[Any, Any]) -> tuple[BiometricReference, ...]:
    """Return the face and finger references that a matcher may take."""
    references = [
        reference
        for position in (FACE, *FINGERS)
        if identity.get(position) is not None
        for reference in _at(position, identity[position])
    ]
    if identity.get(FACE) is None and identity.get(_PHOTO) is not None:
        references += _photo(identity)
    return tuple(references)


def _at(position: int, entries: Any) -> Iterator[BiometricReference]:
    """Return the references of one face or finger; forms that no matcher takes are passed over."""
    entries = [entries] if isinstance(entries, dict) else entries
    if not isinstance(entries, list) or len(entries) > _BIOMETRICS_MAX:
        raise Rejected(Reason.MALFORMED, f"claim 169: {position} is no list of biometrics")
    for entry in entries:
        if not isinstance(entry, dict) or not isinstance(entry.get(_DATA), bytes):
            raise Rejected(Reason.MALFORMED, f"claim 169: {position} holds no biometric data")
        kind, subformat = whole(entry.get(_FORMAT)), whole(entry.get(_SUBFORMAT))
        issuer = "" if entry.get(_ISSUER) is None else entry[_ISSUER]
        if not isinstance(issuer, str):
            raise Rejected(Reason.MALFORMED, f"claim 169: {position} has no sound issuer")
        if type(kind) is int and type(subformat) is int and kind in _FORMS:
            yield BiometricReference(
                modality=Modality.FACE if position == FACE else Modality.FINGER,
                form=_FORMS[kind],
                data=entry[_DATA],
                subformat=subformat,
                issuer=issuer,
                position=position,
            )


def _photo(identity: Mapping[Any, Any]) -> Iterator[BiometricReference]:
    """Return the deprecated photo as a face."""
    data, form = identity[_PHOTO], whole(identity.get(_PHOTO_FORMAT))
    if not isinstance(data, bytes):
        raise Rejected(Reason.MALFORMED, "claim 169: the photo is no byte string")
    if type(form) is int and form in _PHOTO_FORMATS:
        yield BiometricReference(Modality.FACE, ReferenceForm.IMAGE, data, form)
