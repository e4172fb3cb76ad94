"""Signs Token Status Lists: which of an issuer's credentials are withdrawn, for gates to look up.

    token = sign_status_list(
        issuer.key, iss=issuer.iss, kid=issuer.kid, uri="https://desk.example:8444/status/1",
        statuses=bytes(65_536), issued_at=now, ttl_s=7 * DAY,
    )

`agent.trust.status` is the reader. A list is as long as it will ever be from the beginning, so that
its length tells nobody how many credentials there are; zlib makes little of it (65,536 entries of
2 bits: 39 bytes where all are valid, 241 with a hundred withdrawn).

Standard: draft-ietf-oauth-status-list (Token Status List), CWT form.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any, Final

from agent.credential.numbers import Claim, Header
from agent.issuing.issue import sign1
from agent.issuing.keys import SigningKey
from agent.trust.status import encode_statuses

__all__ = ["INVALID", "SUSPENDED", "VALID", "sign_status_list"]

VALID: Final = 0
INVALID: Final = 1
"""Revoked, for good."""
SUSPENDED: Final = 2

_TYP: Final = "application/statuslist+cwt"
_STATUS_LIST: Final = 65533
_TTL: Final = 65534


def sign_status_list(
    key: SigningKey,
    *,
    iss: str,
    kid: bytes,
    uri: str,
    statuses: Sequence[int] | bytes,
    bits: int = 2,
    issued_at: int,
    ttl_s: int,
    expires_at: int | None = None,
) -> bytes:
    """Sign a status list in the CWT form.

    Args:
        key: of the issuer whose credentials it judges, or of one in its `status_for`.
        iss: `iss` of that key.
        kid: the key's identifier in the trust set.
        uri: the list's name (`sub`), which the credentials give.
        statuses: one value for each entry: 0 valid, 1 invalid, 2 suspended.
        bits: bits an entry: 1, 2, 4 or 8.
        issued_at: Unix seconds.
        ttl_s: for how long gates may believe it.
        expires_at: Unix seconds after which it says `valid` of nothing; None leaves that to the
            `ttl`.

    Returns:
        The tagged COSE_Sign1.

    Raises:
        ValueError: `bits` is none of these, or a value does not fit.
    """
    packed = zlib.compress(encode_statuses(statuses, bits), 9)
    claims: dict[int, Any] = {
        Claim.ISS: iss,
        Claim.SUB: uri,
        Claim.IAT: issued_at,
        _STATUS_LIST: {"bits": bits, "lst": packed},
        _TTL: ttl_s,
    }
    if expires_at is not None:
        claims[Claim.EXP] = expires_at
    return sign1(key, claims, kid=kid, header={Header.TYP: _TYP})
