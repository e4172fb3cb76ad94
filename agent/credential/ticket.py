"""The business part: a ticket or reservation beside the identity, in the same presentation.

CTID's codes have an identity part, a business part and one signature over both. Here the business
part is a CWT of its own issuer (a railway, a library), carried in the key binding token's claims,
so that the holder's signature covers it too.

Rules:
- it is verified exactly as an identity is, with its own issuer's key and kind;
- it is bound to the holder: its `cnf` must be the identity's key; without `cnf`, its `sub` must be
  the identity's `sub` in the same realm, since 1001 is another person at every issuer;
- the realm is the ticket's own issuer, or the one whose `iss` the ticket names; that one counts
  only where the trust set pins it to the identity's key, or any issuer could claim it;
- it is of version 1 or 2 by its own `vct`, whichever the identity is of; it has a `cti`;
- an identity document is no ticket, and no credential is the ticket beside itself, nor beside
  another copy of itself: issuer and `cti`, or issuer, subject and `vct`, are the same;
- its `aud` is an identity's, its regions are held against the gate's by the policy;
- whatever is wrong with it, the reason is `ticket_invalid`; the detail says what.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Final

from agent.credential import cose
from agent.credential.cwt import Token, holder_key_of, read_token, status_of
from agent.credential.issuers import KeySource
from agent.credential.keys import from_cose_key
from agent.credential.model import BusinessItem, Kind, Rejected, ReplayKey
from agent.credential.numbers import Claim, CoseKey
from agent.credential.registry import ReadRules
from agent.reason import Reason

__all__ = ["read_ticket", "ticket_key"]

_TICKET: Final = b"\xffticket"
"""No key of a use begins so: the length of an issuer's name comes first there."""

_DOCUMENTS: Final = frozenset(
    {
        Kind.ONLINE_ID,
        Kind.DRIVING_LICENCE,
        Kind.SOCIAL_SECURITY_CARD,
        Kind.RESIDENCE_PERMIT,
        Kind.BUSINESS_LICENCE,
        Kind.PASSPORT,
        Kind.HK_MACAU_PERMIT,
        Kind.HEALTH_CERTIFICATE,
        Kind.NATIONAL_ID,
    }
)


def ticket_key(issuer: str, identifier: bytes) -> ReplayKey:
    """Return what identifies a ticket, whichever code it stands in.

    Args:
        issuer: the ticket's issuer, by its name in the trust set.
        identifier: the ticket's own identifier inside that issuer's realm (`cti`).
    """
    name = issuer.encode()
    parts = (_TICKET, len(name).to_bytes(4), name, identifier)
    return ReplayKey(hashlib.sha256(b"".join(parts)).digest())


def read_ticket(data: Any, identity: Token, keys: KeySource, rules: ReadRules) -> BusinessItem:
    """Verify a ticket and that it is the holder's.

    Args:
        data: what stands in the business claim.
        identity: the verified identity that presents it.
        keys: the trusted keys.
        rules: clock and place.

    Raises:
        Rejected: `ticket_invalid`, or `clock_untrusted`.
    """
    if not isinstance(data, bytes):
        raise Rejected(Reason.TICKET_INVALID, "no byte string")
    try:
        token = read_token(cose.parse_sign1(data), keys, rules, None)
        _check_fit(token, identity)
        return BusinessItem(
            issuer=token.key.issuer,
            kind=token.kind,
            reference=token.identifier,
            use_key=ticket_key(token.key.issuer, token.identifier),
            valid_from=token.valid_from,
            valid_until=token.valid_until,
            regions=token.regions,
            status=status_of(token.claims),
            claims=_details(token.claims),
        )
    except Rejected as error:
        if error.reason is Reason.CLOCK_UNTRUSTED:
            raise
        detail = f"{error.reason} {error.detail}".strip()
        raise Rejected(Reason.TICKET_INVALID, detail) from error


def _check_fit(ticket: Token, identity: Token) -> None:
    """Check that the token is a ticket, and this holder's."""
    if Claim.CTI not in ticket.claims:  # version 2 needs none of an identity
        raise Rejected(Reason.MISSING_CLAIM, "cti")
    if ticket.kind in _DOCUMENTS:
        raise Rejected(Reason.TICKET_INVALID, f"{ticket.kind} is an identity document")
    if _same_document(ticket, identity):
        raise Rejected(Reason.TICKET_INVALID, "it is the identity itself")
    bound_to = holder_key_of(ticket.claims)
    if bound_to is None:
        fits = ticket.subject == identity.subject and _same_realm(ticket, identity)
    else:
        fits = _same_key(bound_to, holder_key_of(identity.claims))
    if not fits:
        raise Rejected(Reason.TICKET_INVALID, "it belongs to another holder")


def _same_document(ticket: Token, identity: Token) -> bool:
    """Return whether the ticket is the identity, or another copy of it."""
    if ticket.key.issuer != identity.key.issuer:
        return False
    if ticket.identifier == identity.identifier:
        return True
    if ticket.kind is not identity.kind or ticket.subject != identity.subject:
        return False
    # A known kind has two names, one in each version.
    return ticket.kind is not Kind.UNKNOWN or (
        ticket.claims.get(Claim.VCT) == identity.claims.get(Claim.VCT)
    )


def _same_realm(ticket: Token, identity: Token) -> bool:
    """Return whether the ticket's subject is a number of the identity's issuer."""
    realm = ticket.claims.get(Claim.REALM)
    if realm is None:
        return ticket.key.issuer == identity.key.issuer
    if not isinstance(realm, str):
        raise Rejected(Reason.MALFORMED, "the realm is no text")
    # An identity of version 2 has no `iss`: its key's issuer is whose number it is.
    return realm in identity.key.iss and realm == identity.claims.get(Claim.ISS, realm)


def _same_key(ticket: Any, identity: Any) -> bool:
    """Return whether two COSE_Keys hold one key, whatever else they say and however it is written.

    Args:
        ticket: what the ticket's `cnf` holds; not looked at before.
        identity: the identity's, whose signature was checked with it.
    """
    ours, theirs = _coordinates(ticket), _coordinates(identity)
    if isinstance(ours[-1], bool) is isinstance(theirs[-1], bool):
        return ours == theirs
    if ours[:-1] != theirs[:-1]:
        return False
    own, other = (from_cose_key(item, compressed=True)[1] for item in (ticket, identity))
    return bool(own == other)


def _coordinates(key: Any) -> tuple[Any, ...]:
    """Return what makes a COSE_Key this key, whatever else it says."""
    if not isinstance(key, dict):
        raise Rejected(Reason.MALFORMED, "cnf holds no COSE_Key")
    return tuple(key.get(label) for label in (CoseKey.KTY, CoseKey.CRV, CoseKey.X, CoseKey.Y))


def _details(claims: Mapping[int | str, Any]) -> dict[str, Any]:
    details = claims.get(Claim.DETAILS, {})
    if not isinstance(details, dict) or not all(
        isinstance(name, str) and type(value) in (str, int) for name, value in details.items()
    ):
        raise Rejected(Reason.MALFORMED, "details are no map of text to text or integer")
    return details
