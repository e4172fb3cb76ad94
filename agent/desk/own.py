"""Credentials of this desk that come back: who signed, whom they name, which key they are bound to.

Rules: only what this desk's own key signed is read; whether it is still valid says the row in the
database, which the caller looks up, and not the token's own end. Of what the holder could keep back
only what he disclosed is there.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from agent.credential import cbor, cose, disclosure, identity
from agent.credential.cwt import claims_of, holder_key_of
from agent.credential.keys import from_cose_key
from agent.credential.model import BiometricReference, Rejected
from agent.credential.numbers import Claim, Header
from agent.issuing.keys import Issuer, PublicHolder

__all__ = ["TOKEN_BYTES", "NotOurs", "OwnCredential", "read_own", "read_presented"]

TOKEN_BYTES = 8_192
"""More than a code that any gate reads can hold."""


class NotOurs(ValueError):
    """No credential of this desk; one line, nothing of what was sent."""


@dataclass(frozen=True, slots=True)
class OwnCredential:
    """What a credential says, its issuer's signature checked.

    Attributes:
        cti: hexadecimal.
        reference: `sub`: the member's.
        holder: the key that it is bound to.
        references: biometric ones.
    """

    cti: str
    reference: str
    holder: PublicHolder
    references: tuple[BiometricReference, ...] = field(repr=False)


def read_own(issuer: Issuer, data: bytes) -> OwnCredential:
    """Read a credential as it was issued.

    Args:
        issuer: the desk's.
        data: the tagged COSE_Sign1.

    Raises:
        NotOurs: damaged, another issuer's, or bound to no key.
    """
    if len(data) > TOKEN_BYTES:
        raise NotOurs(f"a credential of over {TOKEN_BYTES} bytes")
    try:
        return _read(issuer, cose.parse_sign1(data))
    except Rejected as error:
        raise NotOurs(f"no credential of this desk: {error.reason}") from None


def read_presented(issuer: Issuer, message: bytes) -> OwnCredential:
    """Read the credential inside a key binding token that was verified already.

    Raises:
        NotOurs: it holds none of this desk's.
    """
    try:
        inner = cose.parse_sign1(message, kcwt=True).protected.get(Header.KCWT)
        if not isinstance(inner, cbor.Tagged):
            raise NotOurs("a code that no phone signed")
        return _read(issuer, cose.sign1_of(inner.value))
    except Rejected as error:
        raise NotOurs(f"no credential of this desk: {error.reason}") from None


def _read(issuer: Issuer, message: cose.Sign1) -> OwnCredential:
    cose.verify(message, issuer.key.algorithm, issuer.key.public)
    claims, compact = _claims(message)
    key, cti, subject = holder_key_of(claims), claims.get(Claim.CTI), claims.get(Claim.SUB)
    data = claims.get(Claim.IDENTITY, {})
    # Version 2 has no `iss`: whose key it is says who signed.
    if claims.get(Claim.ISS) != (None if compact else issuer.iss) or not isinstance(cti, bytes):
        raise NotOurs("no credential of this desk")
    if compact and isinstance(subject, bytes):
        subject = subject.hex()
    if not isinstance(subject, str) or not isinstance(data, dict):
        raise NotOurs("no credential of this desk")
    try:
        holder = PublicHolder(from_cose_key(key, compressed=compact)[1])
    except Rejected:
        raise NotOurs("a credential that is bound to no key") from None
    references = identity.references(data, numbered=compact)
    return OwnCredential(cti.hex(), subject, holder, references)


def _claims(message: cose.Sign1) -> tuple[dict[Any, Any], bool]:
    """Return the claims, with what was disclosed, and whether they are of version 2."""
    if not disclosure.has_digests(message.payload):
        claims = claims_of(message.payload)
        return claims, type(claims.get(Claim.VCT)) is int
    claims = disclosure.decode(message.payload)
    listed = disclosure.disclosures(message.unprotected.get(Header.SD_CLAIMS))
    return disclosure.restore(claims, listed).claims, True
