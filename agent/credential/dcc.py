"""EU Digital COVID Certificate, `HC1:`; a health certificate of the same make may follow it.

Rules:
- prefix, base45, zlib, COSE_Sign1, each strictly; compression is not optional.
- `alg` is believed from the protected header only. The key id counts from there too, and from the
  other header where the protected one has none: it only chooses the key (specification 2.6.3).
- The signer is a document signer of the trust set, kid = first 8 bytes of SHA-256 of its
  certificate. Where the certificate names what it may sign (extended key usage), that is held to.
- `ES256` fixes the hash, not the curve (RFC 8152 section 8.1): under a P-384 key it is read so.
- `exp` and `iat` are required. They may be floats, as some authorities wrote them, if finite.
- Every claim beside the certificate is one of `_KNOWN`; `aud` and `nbf`, where there are any, hold.
- Exactly one vaccination, test or recovery, with an identifier. Of the rest of the certificate a
  gate reads nothing, so tags, undefined, null and floats there refuse nobody.

The subject is a hash of the certificate identifier (UVCI): one for each certificate, not person.

Standards: eHealth Network, Electronic Health Certificates 1.0.5 and DCC JSON schema 1.3.0.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from agent.credential import base45, birth, cbor, cose, inflate, x509
from agent.credential.checks import (
    check_audience,
    check_key,
    check_known,
    check_validity,
    for_format,
    replay_key,
    seconds_in,
)
from agent.credential.cwt import status_of
from agent.credential.issuers import Algorithm, IssuerKey, KeySource, best_first
from agent.credential.limits import ISSUER_KEYS
from agent.credential.model import Credential, FormatName, Kind, Level, Rejected
from agent.credential.numbers import Alg, Claim, Header, Tag
from agent.credential.registry import ReadRules
from agent.reason import Reason

__all__ = ["PREFIX", "read", "sniff"]

PREFIX: Final = b"HC1:"
_HCERT: Final = -260
_EU_DGC_V1: Final = 1
_OID_ARCS: Final = ("1.3.6.1.4.1.1847.2021.1.", "1.3.6.1.4.1.0.1847.2021.1.")
"""The registered arc, and the one that was in use by mistake first."""

_KNOWN: Final = frozenset(
    {
        Claim.ISS, Claim.SUB, Claim.AUD, Claim.EXP, Claim.NBF, Claim.IAT, Claim.CTI, Claim.STATUS,
        _HCERT,
    }
)  # fmt: skip
_GROUPS: Final = {"t": "1", "v": "2", "r": "3"}
"""Kind of entry -> last arc of the usage that may sign it."""

_VERSION: Final = re.compile(r"\d{1,9}\.\d{1,9}\.\d{1,9}", re.ASCII)
_TIME_OF_BIRTH: Final = re.compile(r"(\d{4}-\d\d-\d\d)T.*", re.ASCII)
_REVOCATION_BYTES: Final = 16


def sniff(payload: bytes) -> bool:
    """Return whether the payload has the prefix."""
    return payload.startswith(PREFIX)


def read(payload: bytes, keys: KeySource, rules: ReadRules) -> Credential:
    """Verify a health certificate.

    Args:
        payload: the bytes of the code.
        keys: has the document signers.
        rules: the gate's clock.

    Raises:
        Rejected: with the one reason.
    """
    message, kid = _parse(inflate.unzlib(base45.decode(payload.removeprefix(PREFIX))))
    key = _signer(message, kid, keys, rules.now)
    claims = cbor.decode(message.payload, loose=True)
    if not isinstance(claims, dict):
        raise Rejected(Reason.MALFORMED, "CWT: the claims are no map")
    country = claims.get(Claim.ISS)
    if not isinstance(country, str | None) or (key.iss and country not in key.iss):
        raise Rejected(Reason.UNKNOWN_ISSUER, "iss does not belong to the key")
    check_key(key, Kind.HEALTH_CERTIFICATE, rules)
    issued_at, valid_from, valid_until = _times(claims)
    check_validity(valid_from, valid_until, rules)
    certificate = _certificate(claims)
    check_known(claims, _KNOWN)
    check_audience(claims, rules)
    group, entry = _entry(certificate)
    _check_usage(key, group)
    identifier = hashlib.sha256(entry["ci"].encode()).hexdigest()
    return Credential(
        format=FormatName.DCC,
        issuer=key.issuer,
        key_id=key.kid,
        kind=Kind.HEALTH_CERTIFICATE,
        level=Level.BASIC,
        subject=identifier,
        issued_at=issued_at,
        valid_from=valid_from,
        valid_until=valid_until,
        dynamic=False,
        replay_key=replay_key(key.issuer, identifier.encode(), issued_at),
        birth_date=_birth_date(certificate.get("dob")),
        status=status_of(claims),
        revocation_hashes=_revocation_hashes(message, key, country or "", entry["ci"]),
        claims={"country": country, "group": group, "certificate": certificate},
    )


def _parse(data: bytes) -> tuple[cose.Sign1, Any]:
    """Return the message and the key id that it names.

    The other header's kid is taken out before the message is read: a label in both headers is
    otherwise refused, and the specification allows this one.
    """
    item = cbor.decode(data, tags=(Tag.SIGN1, Tag.CWT), tag_depth=1, shortest=False)
    tags = []
    while isinstance(item, cbor.Tagged):
        tags.append(item.number)
        item = item.value
    if tags not in ([], [Tag.SIGN1], [Tag.CWT, Tag.SIGN1]):
        raise Rejected(Reason.MALFORMED, "COSE: not tagged as a COSE_Sign1")
    whole = isinstance(item, list) and len(item) == 4 and isinstance(item[1], dict)
    outer = item[1].pop(Header.KID, None) if whole else None
    message = cose.sign1_of(item, shortest=False)
    return message, message.protected.get(Header.KID, outer)


def _signer(message: cose.Sign1, kid: Any, keys: KeySource, now: int) -> IssuerKey:
    """Return the key of the trust set that verifies the message."""
    if not isinstance(kid, bytes):
        raise Rejected(Reason.UNKNOWN_ISSUER, "no key id")
    named = for_format(keys.by_kid(kid), FormatName.DCC)
    candidates = best_first(named, now, Kind.HEALTH_CERTIFICATE)
    if not candidates:
        raise Rejected(Reason.UNKNOWN_ISSUER, f"kid {kid[:8].hex()}")
    for key in candidates[:ISSUER_KEYS]:
        if _verifies_with_p384(message, key):
            return key
    return cose.verify_any(message, candidates)


def _verifies_with_p384(message: cose.Sign1, key: IssuerKey) -> bool:
    """Return whether a P-384 key signed the message with SHA-256."""
    public_key = key.public_key
    if not (
        key.algorithm in (Algorithm.ES256, Algorithm.ES384)
        and isinstance(public_key, ec.EllipticCurvePublicKey)
        and isinstance(public_key.curve, ec.SECP384R1)
        and message.protected.get(Header.ALG) == Alg.ES256
        and len(message.signature) == 96
    ):
        return False
    r = int.from_bytes(message.signature[:48], "big")
    s = int.from_bytes(message.signature[48:], "big")
    try:
        public_key.verify(
            encode_dss_signature(r, s), cose.signed_bytes(message), ec.ECDSA(hashes.SHA256())
        )
    except InvalidSignature:
        return False
    return True


def _times(claims: Mapping[Any, Any]) -> tuple[int, int, int]:
    """Return `iat`, and the first and last second of validity; `exp` itself belongs to it, as the
    test data of the member states has it.
    """  # noqa: D205
    issued_at = _time(claims, Claim.IAT, "iat")
    begin = _time(claims, Claim.NBF, "nbf") if Claim.NBF in claims else issued_at
    return issued_at, max(begin, issued_at), _time(claims, Claim.EXP, "exp")


def _time(claims: Mapping[Any, Any], label: int, name: str) -> int:
    value = claims.get(label)
    if isinstance(value, float) and math.isfinite(value):
        claims = {label: math.floor(value)}
    return seconds_in(claims, label, name)


def _certificate(claims: Mapping[Any, Any]) -> Mapping[str, Any]:
    """Return the certificate, of a schema that is known."""
    container = claims.get(_HCERT)
    if container is None:
        raise Rejected(Reason.MISSING_CLAIM, "hcert")
    certificate = container.get(_EU_DGC_V1) if isinstance(container, dict) else None
    if not isinstance(certificate, dict):
        raise Rejected(Reason.MALFORMED, "hcert holds no certificate of version 1")
    version = certificate.get("ver")
    if not isinstance(version, str) or not _VERSION.fullmatch(version):
        raise Rejected(Reason.MALFORMED, "schema: ver")
    return certificate


def _entry(certificate: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """Return the one entry and its group."""
    present = [group for group in _GROUPS if certificate.get(group) is not None]
    if len(present) != 1:
        raise Rejected(Reason.MALFORMED, "schema: not exactly one kind of entry")
    group = present[0]
    entries = certificate[group]
    if not isinstance(entries, list) or len(entries) != 1 or not isinstance(entries[0], dict):
        raise Rejected(Reason.MALFORMED, f"schema: {group} is not one entry")
    if not isinstance(entries[0].get("ci"), str):
        raise Rejected(Reason.MALFORMED, f"schema: {group}.ci")
    return group, entries[0]


def _check_usage(key: IssuerKey, group: str) -> None:
    """Raise where the signer's certificate names usages and this kind of entry is not one."""
    if key.certificate is None:
        return
    usages = x509.extended_usages(key.certificate)
    named = {
        usage.removeprefix(arc) for usage in usages for arc in _OID_ARCS if usage.startswith(arc)
    }
    if named and _GROUPS[group] not in named:
        raise Rejected(Reason.ISSUER_NOT_ENTITLED, f"the signer may not sign {group}")


def _revocation_hashes(
    message: cose.Sign1, key: IssuerKey, country: str, identifier: str
) -> tuple[bytes, ...]:
    """Return what revocation lists name the certificate by: UCI, COUNTRYCODEUCI, SIGNATURE."""
    signature = message.signature
    if isinstance(key.public_key, ec.EllipticCurvePublicKey):
        signature = signature[: len(signature) // 2]
    named = (identifier.encode(), (country + identifier).encode(), signature)
    return tuple(hashlib.sha256(name).digest()[:_REVOCATION_BYTES] for name in named)


def _birth_date(born: Any) -> str | None:
    """Return the date of birth, without the time of day that some authorities put beside it."""
    if isinstance(born, cbor.Tagged):
        born = born.value
    match = _TIME_OF_BIRTH.fullmatch(born) if isinstance(born, str) else None
    return birth.parsed(match[1] if match else born)
