"""A CWT of the native profile: which key signed it, what it claims, and for how long.

A token is of version 2 where its `vct` is a number, else of version 1; so it says itself which it
is, and no signature counts under both.

Rules, in this order:
- the protected header names a signature algorithm and a `kid`; the keys of that id that may sign
  the format, and to which the claimed `iss` belongs, are tried, `limits.ISSUER_KEYS` at most, those
  first that may vouch now for what is claimed;
- nothing is taken from the claims before the signature verified, but what chooses among keys:
  `iss`, kind and level;
- `iss`, `sub`, `exp`, `iat` and `cti` are there and of their types; `sub` is not empty;
- version 2 has no `iss`: the key is its issuer's, and its `kid` may be the first 4 bytes of the
  key's; `sub` may be bytes, which are their own hexadecimal text; `cti` may be left out: then
  `sub`, `vct` and `iat` identify the token;
- in version 2 what stands inside claim 169 and the ages may be redacted (`disclosure`), in a token
  that has a holder's key; nothing else, so that no restriction can be kept back;
- `exp` is after `iat` and `nbf`; the validity ends one second before `exp` (RFC 8392, 3.1.4);
- the key may vouch for this kind of document now; now lies in the validity;
- something marks the token as one of this profile: `typ`, or a claim that no other format has, so
  that no signature counts under two formats;
- every claim is one of `_KNOWN`, and `aud`, where there is one, names this place.

The same rules hold for an identity and for the ticket beside it. Standards: RFC 8392,
draft-ietf-spice-sd-cwt, and draft-ietf-oauth-status-list for the status reference.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from agent.credential import cbor, cose, disclosure
from agent.credential.checks import (
    check_audience,
    check_key,
    check_known,
    check_validity,
    for_format,
    seconds,
)
from agent.credential.issuers import IssuerKey, KeySource, best_first
from agent.credential.limits import IDENTIFIER_BYTES, SHORT_KID_BYTES, STATUS_INDEX
from agent.credential.model import FormatName, Kind, Level, Rejected, StatusReference
from agent.credential.needs import OLDEST
from agent.credential.numbers import (
    KINDS,
    NATIVE_ONLY,
    SD_CWT_TYP,
    SHA_256,
    VCT_PREFIX,
    Claim,
    Header,
)
from agent.credential.registry import ReadRules
from agent.reason import Reason

__all__ = [
    "Token", "ages_of", "claims_of", "holder_key_of", "kind_of", "level_of", "read_token",
    "status_of",
]  # fmt: skip

_KINDS = {VCT_PREFIX + kind: kind for kind in Kind}
_LEVELS = {int(level): level for level in Level}
_KNOWN_COMPACT: Final = NATIVE_ONLY | {
    Claim.SUB, Claim.AUD, Claim.EXP, Claim.NBF, Claim.IAT, Claim.CTI, Claim.IDENTITY, Claim.STATUS,
}  # fmt: skip
_KNOWN: Final = (_KNOWN_COMPACT | {Claim.ISS}) - {Claim.AGES}
_REDACTABLE: Final = frozenset({Claim.IDENTITY, Claim.AGES})
_REGION: Final = re.compile(r"[A-Z]{2}(-[A-Z0-9]{1,3})?")
_MOST_REGIONS: Final = 64


@dataclass(frozen=True, slots=True)
class Token:
    """A verified CWT.

    Attributes:
        key: the issuer's key that verified it.
        version: 1 or 2, of the profile.
        claims: all claims, with what was disclosed in its place.
        kind: from `vct`.
        subject: `sub`.
        identifier: `cti`, or what stands for it.
        issued_at: `iat`, Unix seconds.
        valid_from, valid_until: Unix seconds, inclusive.
        regions: ISO 3166-2 codes it is valid in; empty means everywhere.
        digests: how many of its claims were redacted.
        undisclosed: how many of them were kept back.
    """

    key: IssuerKey
    version: int
    claims: Mapping[int | str, Any] = field(repr=False)
    kind: Kind
    subject: str = field(repr=False)
    identifier: bytes
    issued_at: int
    valid_from: int
    valid_until: int
    regions: frozenset[str]
    digests: int = 0
    undisclosed: int = 0


def claims_of(payload: bytes, *, redacted: bool = False) -> dict[int | str, Any]:
    """Decode a set of claims.

    Floats are let through here, so that a time that is one is told as `bad_time`.

    Args:
        payload: the bytes.
        redacted: whether digests may stand in it.

    Raises:
        Rejected: `malformed`.
    """
    claims = disclosure.decode(payload) if redacted else cbor.decode(payload, floats=True)
    if not isinstance(claims, dict):
        raise Rejected(Reason.MALFORMED, "CWT: the claims are no map")
    return claims


def read_token(
    message: cose.Sign1, keys: KeySource, rules: ReadRules, version: int | None = 1
) -> Token:
    """Verify an issuer's CWT and check everything but what it is used for.

    Args:
        message: the token.
        keys: the trusted keys.
        rules: clock and place.
        version: of the profile; None takes the one that the token says, and nothing redacted.

    Raises:
        Rejected: with the reason; see the module's rules.
    """
    cose.algorithm_of(message)
    typ = message.protected.get(Header.TYP)
    if typ is not None and typ != SD_CWT_TYP:
        raise Rejected(Reason.MALFORMED, "CWT: typ names another kind of token")
    marked = version == 2 and disclosure.has_digests(message.payload)
    claims = claims_of(message.payload, redacted=marked)
    compact = version == 2 or (version is None and type(claims.get(Claim.VCT)) is int)
    key = cose.verify_any(message, _candidates(message, claims, keys, rules, compact=compact))
    digests = undisclosed = 0
    if marked or (version == 2 and Header.SD_CLAIMS in message.unprotected):
        claims, digests, undisclosed = _restored(message, claims)
    if compact:
        subject = _compact_subject(claims)
    else:
        _required(claims, Claim.ISS, "iss", str)
        subject = _required(claims, Claim.SUB, "sub", str)
    # An empty one would be the same person for every holder: one lockout, one roster line, for all.
    if not subject:
        raise Rejected(Reason.MALFORMED, "CWT: sub is empty")
    identifier: bytes = b""
    if Claim.CTI in claims or not compact:
        identifier = _required(claims, Claim.CTI, "cti", bytes)
        if not 0 < len(identifier) <= IDENTIFIER_BYTES:
            raise Rejected(Reason.MALFORMED, f"CWT: cti is not 1 to {IDENTIFIER_BYTES} bytes")
    expiry = seconds(_required(claims, Claim.EXP, "exp"), "exp")
    issued = seconds(_required(claims, Claim.IAT, "iat"), "iat")
    begin = seconds(claims[Claim.NBF], "nbf") if Claim.NBF in claims else issued
    if expiry <= issued:
        raise Rejected(Reason.BAD_TIME, "exp is not after iat")
    kind = _compact_kind(claims) if compact else kind_of(claims)
    check_key(key, kind, rules, level_of(claims))
    if rules.clock_trusted and issued > rules.now + rules.max_future_s:
        raise Rejected(Reason.ISSUED_IN_FUTURE, "iat of the credential")
    check_validity(begin, expiry - 1, rules)
    if typ is None and claims.keys().isdisjoint(NATIVE_ONLY):
        raise Rejected(Reason.MISSING_CLAIM, "vct, and no typ: of no profile")
    check_known(claims, _KNOWN_COMPACT if compact else _KNOWN)
    check_audience(claims, rules)
    return Token(
        key=key,
        version=2 if compact else 1,
        claims=claims,
        kind=kind,
        subject=subject,
        identifier=identifier or _stand_in(claims, subject, issued),
        issued_at=issued,
        valid_from=begin,
        valid_until=expiry - 1,
        regions=_regions(claims.get(Claim.REGIONS)),
        digests=digests,
        undisclosed=undisclosed,
    )


def _restored(message: cose.Sign1, claims: dict[int | str, Any]) -> disclosure.Restored:
    """Return the claims with what the holder disclosed of them."""
    listed = disclosure.disclosures(message.unprotected.get(Header.SD_CLAIMS))
    found = disclosure.restore(claims, listed, _REDACTABLE)
    if found.digests:
        if message.protected.get(Header.SD_ALG, SHA_256) != SHA_256:
            raise Rejected(Reason.MALFORMED, "CWT: sd_alg is not SHA-256")
        if Claim.CNF not in found.claims:
            raise Rejected(Reason.MISSING_CLAIM, "cnf, where claims are redacted")
    return found


def _compact_subject(claims: Mapping[int | str, Any]) -> str:
    """Return a subject of version 2: text, or the hexadecimal text of bytes."""
    value: str | bytes = _required(claims, Claim.SUB, "sub", (str, bytes))
    if isinstance(value, str):
        return value
    if len(value) > IDENTIFIER_BYTES:
        raise Rejected(Reason.MALFORMED, f"CWT: sub is more than {IDENTIFIER_BYTES} bytes")
    return value.hex()


def _stand_in(claims: Mapping[int | str, Any], subject: str, issued: int) -> bytes:
    """Return what identifies a token without `cti`; longer than any, so that it is none."""
    said = cbor.encode([subject, claims[Claim.VCT], issued])
    return b"\x00" + hashlib.sha512(said).digest()


def _candidates(
    message: cose.Sign1,
    claims: Mapping[int | str, Any],
    keys: KeySource,
    rules: ReadRules,
    *,
    compact: bool,
) -> list[IssuerKey]:
    """Return the keys that the token may have been signed with, in the order in which to try."""
    kid = message.protected.get(Header.KID)
    if not isinstance(kid, bytes) or not 0 < len(kid) <= IDENTIFIER_BYTES:
        raise Rejected(Reason.MALFORMED, "CWT: no kid in the protected header")
    short = compact and len(kid) == SHORT_KID_BYTES
    named = keys.by_short_kid(kid) if short else keys.by_kid(kid)
    known = for_format(named, FormatName.NATIVE)
    issuer = claims.get(Claim.ISS)
    name = issuer if isinstance(issuer, str) else None
    found = [
        key for key in known if not key.is_root and (compact or not key.iss or name in key.iss)
    ]
    if not found:
        detail = "iss does not belong to the key" if known else f"kid {kid.hex()}"
        raise Rejected(Reason.UNKNOWN_ISSUER, detail)
    vct, level = claims.get(Claim.VCT), claims.get(Claim.LEVEL)
    if compact:
        kind = KINDS.get(vct, Kind.UNKNOWN) if isinstance(vct, int) else Kind.UNKNOWN
    else:
        kind = _KINDS.get(vct, Kind.UNKNOWN) if isinstance(vct, str) else Kind.UNKNOWN
    return best_first(
        found, rules.now, kind, Level.UPGRADED if level == Level.UPGRADED else Level.BASIC
    )


def _required(
    claims: Mapping[int | str, Any], claim: int, name: str, of: type | tuple[type, ...] = object
) -> Any:
    if claim not in claims:
        raise Rejected(Reason.MISSING_CLAIM, name)
    value = claims[claim]
    if not isinstance(value, of):
        raise Rejected(Reason.MALFORMED, f"CWT: {name} is of another type")
    return value


def kind_of(claims: Mapping[int | str, Any]) -> Kind:
    """Return the kind of document that `vct` names; `unknown` for none and for others' values.

    Raises:
        Rejected: `malformed` when it is no text.
    """
    vct = claims.get(Claim.VCT)
    if vct is None:
        return Kind.UNKNOWN
    if not isinstance(vct, str):
        raise Rejected(Reason.MALFORMED, "CWT: vct is no text")
    return _KINDS.get(vct, Kind.UNKNOWN)


def _compact_kind(claims: Mapping[int | str, Any]) -> Kind:
    """Return the kind that the number in `vct` stands for; `unknown` for one without a meaning."""
    vct = _required(claims, Claim.VCT, "vct")
    if type(vct) is not int or vct <= 0:
        raise Rejected(Reason.MALFORMED, "CWT: vct is no positive number")
    return KINDS.get(vct, Kind.UNKNOWN)


def ages_of(claims: Mapping[int | str, Any]) -> frozenset[int]:
    """Return the ages that the holder had reached, as far as they were disclosed; they are there.

    Raises:
        Rejected: `malformed` when it is no map of ages to true.
    """
    ages = claims[Claim.AGES]
    if not isinstance(ages, dict) or not all(
        type(age) is int and 0 < age <= OLDEST and reached is True for age, reached in ages.items()
    ):
        raise Rejected(Reason.MALFORMED, f"the ages are no map of 1 to {OLDEST} to true")
    return frozenset(ages)


def level_of(claims: Mapping[int | str, Any]) -> Level:
    """Return the assurance level that the token claims; basic where it claims none.

    Raises:
        Rejected: `malformed` when it is neither 1 nor 2.
    """
    value = claims.get(Claim.LEVEL)
    if value is None:
        return Level.BASIC
    if type(value) is not int or value not in _LEVELS:
        raise Rejected(Reason.MALFORMED, "the assurance level is neither 1 nor 2")
    return _LEVELS[value]


def status_of(claims: Mapping[int | str, Any]) -> StatusReference | None:
    """Return the Token Status List entry that the token names, or None.

    Raises:
        Rejected: `malformed`; a status that cannot be understood must not count as none.
    """
    if Claim.STATUS not in claims:
        return None
    status = claims[Claim.STATUS]
    entry = status.get("status_list") if isinstance(status, dict) else None
    if isinstance(entry, dict):
        index, uri = entry.get("idx"), entry.get("uri")
        if type(index) is int and 0 <= index < STATUS_INDEX and isinstance(uri, str) and uri:
            return StatusReference(uri, index)
    raise Rejected(Reason.MALFORMED, "CWT: status is no reference to a status list")


def holder_key_of(claims: Mapping[int | str, Any]) -> Any:
    """Return the COSE_Key in `cnf`, still a map, or None where there is no `cnf`.

    Raises:
        Rejected: `malformed` when `cnf` holds something else (RFC 8747).
    """
    confirmation = claims.get(Claim.CNF)
    if confirmation is None:
        return None
    if not isinstance(confirmation, dict) or len(confirmation) != 1 or 1 not in confirmation:
        raise Rejected(Reason.MALFORMED, "CWT: cnf is not one COSE_Key")
    return confirmation[1]


def _regions(value: Any) -> frozenset[str]:
    if value is None:
        return frozenset()
    # An empty list would read as "everywhere", which its issuer can hardly have meant.
    if not isinstance(value, list) or not 0 < len(value) <= _MOST_REGIONS:
        raise Rejected(Reason.MALFORMED, f"regions are no list of 1 to {_MOST_REGIONS}")
    if not all(isinstance(region, str) and _REGION.fullmatch(region) for region in value):
        raise Rejected(Reason.MALFORMED, "a region is no ISO 3166-2 code")
    return frozenset(value)
