"""A CWT of the native profile: which key signed it, what it claims, and for how long.

Rules, in this order:
- the protected header names a signature algorithm and a `kid`; the keys of that id that may sign
  the format, and to which the claimed `iss` belongs, are tried, `limits.ISSUER_KEYS` at most;
- nothing is taken from the claims, but `iss` to find the key, before the signature verified;
- `iss`, `sub`, `exp`, `iat` and `cti` are there and of their types; `sub` is not empty;
- `exp` is after `iat` and `nbf`; the validity ends one second before `exp` (RFC 8392, 3.1.4);
- the key may vouch for this kind of document now; now lies in the validity;
- `aud`, where there is one, names this place.

The same rules hold for an identity and for the ticket beside it. Standards: RFC 8392, and
draft-ietf-oauth-status-list for the status reference.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from agent.credential import cbor, cose
from agent.credential.checks import (
    check_audience,
    check_key,
    check_validity,
    for_format,
    seconds,
)
from agent.credential.issuers import IssuerKey, KeySource
from agent.credential.limits import IDENTIFIER_BYTES, ISSUER_KEYS, STATUS_INDEX
from agent.credential.model import FormatName, Kind, Rejected, StatusReference
from agent.credential.numbers import SD_CWT_TYP, VCT_PREFIX, Claim, Header
from agent.credential.registry import ReadRules
from agent.reason import Reason

__all__ = ["Token", "claims_of", "holder_key_of", "kind_of", "read_token", "status_of"]

_KINDS = {VCT_PREFIX + kind: kind for kind in Kind}
_REGION: Final = re.compile(r"[A-Z]{2}(-[A-Z0-9]{1,3})?")
_MOST_REGIONS: Final = 64


@dataclass(frozen=True, slots=True)
class Token:
    """A verified CWT.

    Attributes:
        key: the issuer's key that verified it.
        claims: all claims.
        kind: from `vct`.
        subject: `sub`.
        identifier: `cti`.
        issued_at: `iat`, Unix seconds.
        valid_from, valid_until: Unix seconds, inclusive.
        regions: ISO 3166-2 codes it is valid in; empty means everywhere.
    """

    key: IssuerKey
    claims: Mapping[int | str, Any] = field(repr=False)
    kind: Kind
    subject: str = field(repr=False)
    identifier: bytes
    issued_at: int
    valid_from: int
    valid_until: int
    regions: frozenset[str]


def claims_of(payload: bytes) -> dict[int | str, Any]:
    """Decode a set of claims.

    Floats are let through here, so that a time that is one is told as `bad_time`.

    Raises:
        Rejected: `malformed`.
    """
    claims = cbor.decode(payload, floats=True)
    if not isinstance(claims, dict):
        raise Rejected(Reason.MALFORMED, "CWT: the claims are no map")
    return claims


def read_token(message: cose.Sign1, keys: KeySource, rules: ReadRules) -> Token:
    """Verify an issuer's CWT and check everything but what it is used for.

    Raises:
        Rejected: with the reason; see the module's rules.
    """
    cose.algorithm_of(message)
    typ = message.protected.get(Header.TYP)
    if typ is not None and typ != SD_CWT_TYP:
        raise Rejected(Reason.MALFORMED, "CWT: typ names another kind of token")
    claims = claims_of(message.payload)
    key = cose.verify_any(message, _candidates(message, claims.get(Claim.ISS), keys))
    _required(claims, Claim.ISS, "iss", str)
    subject: str = _required(claims, Claim.SUB, "sub", str)
    # An empty one would be the same person for every holder: one lockout, one roster line, for all.
    if not subject:
        raise Rejected(Reason.MALFORMED, "CWT: sub is empty")
    identifier: bytes = _required(claims, Claim.CTI, "cti", bytes)
    if not 0 < len(identifier) <= IDENTIFIER_BYTES:
        raise Rejected(Reason.MALFORMED, f"CWT: cti is not 1 to {IDENTIFIER_BYTES} bytes")
    expiry = seconds(_required(claims, Claim.EXP, "exp"), "exp")
    issued = seconds(_required(claims, Claim.IAT, "iat"), "iat")
    begin = seconds(claims[Claim.NBF], "nbf") if Claim.NBF in claims else issued
    if expiry <= issued:
        raise Rejected(Reason.BAD_TIME, "exp is not after iat")
    kind = kind_of(claims)
    check_key(key, kind, rules)
    if rules.clock_trusted and issued > rules.now + rules.max_future_s:
        raise Rejected(Reason.ISSUED_IN_FUTURE, "iat of the credential")
    check_validity(begin, expiry - 1, rules)
    check_audience(claims, rules)
    regions = _regions(claims.get(Claim.REGIONS))
    return Token(key, claims, kind, subject, identifier, issued, begin, expiry - 1, regions)


def _candidates(message: cose.Sign1, issuer: Any, keys: KeySource) -> list[IssuerKey]:
    """Return the keys that the token may have been signed with."""
    kid = message.protected.get(Header.KID)
    if not isinstance(kid, bytes) or not 0 < len(kid) <= IDENTIFIER_BYTES:
        raise Rejected(Reason.MALFORMED, "CWT: no kid in the protected header")
    known = for_format(keys.by_kid(kid), FormatName.NATIVE)[:ISSUER_KEYS]
    name = issuer if isinstance(issuer, str) else None
    found = [key for key in known if not key.is_root and (not key.iss or name in key.iss)]
    if not found:
        detail = "iss does not belong to the key" if known else f"kid {kid.hex()}"
        raise Rejected(Reason.UNKNOWN_ISSUER, detail)
    return found


def _required(claims: Mapping[int | str, Any], claim: int, name: str, of: type = object) -> Any:
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
