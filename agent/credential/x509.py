"""Certificates inside codes: from an x5chain to a pinned root, and what a certificate is for.

Rules (RFC 5280 section 6, the part that an offline gate needs; RFC 9360 for x5chain):
- the chain is leaf first, three certificates at most, the root pinned by the trust set and never
  taken from the code;
- it is walked from the root down, so no key is used before the key above it vouched for it;
- names chain, signatures verify, every certificate is inside its validity now;
- what signs certificates is a CA (basicConstraints), may sign them (keyUsage) and keeps its path
  length; the leaf may sign data;
- signatures are with SHA-2 or Ed25519; a critical extension that is not understood refuses.

Names in a certificate are never used as the issuer's: that name is the root's in the trust set.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, Final, TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from agent.credential.checks import for_format
from agent.credential.issuers import Algorithm, IssuerKey, KeySource
from agent.credential.limits import ISSUER_KEYS
from agent.credential.model import FormatName, Rejected
from agent.reason import Reason

__all__ = ["extended_usages", "leaf_key", "validity"]

_CHAIN_MAX: Final = 3
_CERTIFICATE_BYTES_MAX: Final = 4_096
_HASHES: Final = (hashes.SHA256, hashes.SHA384, hashes.SHA512)
_PARSE_ERRORS: Final = (
    Warning,  # where warnings are errors: the library warns of what RFC 5280 forbids
    ValueError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)
_E = TypeVar("_E", bound=x509.ExtensionType)
_UNDERSTOOD: Final = frozenset(
    {
        x509.BasicConstraints.oid,
        x509.KeyUsage.oid,
        x509.ExtendedKeyUsage.oid,
        x509.SubjectAlternativeName.oid,
    }
)


def leaf_key(chain: Any, keys: KeySource, name: FormatName, now: int) -> IssuerKey:
    """Return the leaf's key, as trusted as the pinned root that its chain leads to.

    Args:
        chain: the header's value: one certificate (DER), or a list of them, leaf first.
        keys: has the roots.
        name: the format; only roots that may sign it count.
        now: Unix seconds.

    Raises:
        Rejected: `malformed`, `unknown_issuer`, `issuer_key_expired`, `issuer_not_entitled`,
            `algorithm_mismatch` or `bad_signature`.
    """
    certificates = _load_chain(chain)
    root, above = _find_root(certificates, for_format(keys.roots(), name))
    for below in range(len(certificates) - 1, -1, -1):
        certificate = certificates[below]
        _check_authority(above, below)
        _check_issued(certificate, above)
        _check_current(certificate, now)
        above = certificate
    return _as_issuer_key(certificates[0], root)


def validity(certificate: x509.Certificate) -> tuple[int, int]:
    """Return the first and last second of a certificate's validity, Unix time."""
    return (
        int(certificate.not_valid_before_utc.timestamp()),
        int(certificate.not_valid_after_utc.timestamp()),
    )


@lru_cache(maxsize=512)
def extended_usages(certificate: bytes) -> frozenset[str]:
    """Return the extended key usages of a pinned certificate, as dotted OIDs.

    Empty where it names none, or has them in a form that RFC 5280 forbids (an empty list, as one
    published document signer does): the key itself is pinned, and stays so.

    Args:
        certificate: DER, of the trust set, never of a code.
    """
    parsed = x509.load_der_x509_certificate(certificate)
    try:
        usages = parsed.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except (x509.ExtensionNotFound, *_PARSE_ERRORS):
        return frozenset()
    return frozenset(usage.dotted_string for usage in usages)


def _load_chain(chain: Any) -> list[x509.Certificate]:
    """Return the certificates of the header, leaf first."""
    items = [chain] if isinstance(chain, bytes) else chain
    if not isinstance(items, list) or not 1 <= len(items) <= _CHAIN_MAX:
        raise Rejected(Reason.MALFORMED, f"x5chain is not one to {_CHAIN_MAX} certificates")
    if not all(isinstance(item, bytes) and len(item) <= _CERTIFICATE_BYTES_MAX for item in items):
        raise Rejected(Reason.MALFORMED, "x5chain: a certificate of another type, or too long")
    return [_load(item) for item in items]


def _load(der: bytes) -> x509.Certificate:
    """Parse one certificate of a code, extensions and all."""
    try:
        certificate = x509.load_der_x509_certificate(der)
        _ = certificate.subject, certificate.issuer  # parsed when first asked for
        understood = all(
            not extension.critical or extension.oid in _UNDERSTOOD
            for extension in certificate.extensions
        )
    except Exception:  # noqa: BLE001 - whatever the library makes of hostile DER, it is none
        raise Rejected(Reason.MALFORMED, "x5chain: not a certificate") from None
    if certificate.serial_number <= 0:
        # RFC 5280, 4.1.2.2; the library warns of it today and will refuse it tomorrow.
        raise Rejected(Reason.MALFORMED, "x5chain: the serial number is not positive")
    if not understood:
        raise Rejected(
            Reason.ISSUER_NOT_ENTITLED, "x5chain: a critical extension is not understood"
        )
    return certificate


@lru_cache(maxsize=32)
def _load_pinned(der: bytes) -> x509.Certificate:
    """Parse a root of the trust set, once."""
    return _load(der)


def _find_root(
    certificates: list[x509.Certificate], roots: Sequence[IssuerKey]
) -> tuple[IssuerKey, x509.Certificate]:
    """Return the pinned root above the chain, and drop a copy of it from the chain."""
    pinned = [
        (root, _load_pinned(root.certificate)) for root in roots if root.certificate is not None
    ]
    last = certificates[-1]
    for root, certificate in pinned:
        if len(certificates) > 1 and last == certificate:
            certificates.pop()
            return root, certificate
    named = [pair for pair in pinned if pair[1].subject == last.issuer][:ISSUER_KEYS]
    if not named:
        raise Rejected(Reason.UNKNOWN_ISSUER, "x5chain leads to no pinned root")
    # Where roots share a name (a renewed root does), the signature tells which one it is.
    return next((pair for pair in named if _is_issued(last, pair[1])), named[0])


def _check_authority(certificate: x509.Certificate, below: int) -> None:
    """Raise unless the certificate may sign certificates, with `below` more CAs under it."""
    constraints = _extension(certificate, x509.BasicConstraints)
    if constraints is None or not constraints.ca:
        raise Rejected(Reason.ISSUER_NOT_ENTITLED, "x5chain: signed by what is no CA")
    if constraints.path_length is not None and below > constraints.path_length:
        raise Rejected(Reason.ISSUER_NOT_ENTITLED, "x5chain: longer than a CA allows")
    usage = _extension(certificate, x509.KeyUsage)
    if usage is not None and not usage.key_cert_sign:
        raise Rejected(Reason.ISSUER_NOT_ENTITLED, "x5chain: a CA that may not sign certificates")


def _check_issued(certificate: x509.Certificate, issuer: x509.Certificate) -> None:
    """Raise unless the issuer's name and signature stand under the certificate."""
    if certificate.issuer != issuer.subject:
        raise Rejected(Reason.UNKNOWN_ISSUER, "x5chain: the names do not chain")
    algorithm = _hash_of(certificate)
    if algorithm is not None and not isinstance(algorithm, _HASHES):
        raise Rejected(Reason.ALGORITHM_MISMATCH, "x5chain: signed with a hash that is too weak")
    if not _is_issued(certificate, issuer):
        raise Rejected(Reason.BAD_SIGNATURE, "x5chain: a certificate's")


def _is_issued(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, TypeError, *_PARSE_ERRORS):
        return False
    return True


def _hash_of(certificate: x509.Certificate) -> hashes.HashAlgorithm | None:
    try:
        return certificate.signature_hash_algorithm
    except UnsupportedAlgorithm:
        raise Rejected(Reason.ALGORITHM_MISMATCH, "x5chain: unknown signature") from None


def _check_current(certificate: x509.Certificate, now: int) -> None:
    first, last = validity(certificate)
    if not first <= now <= last:
        raise Rejected(Reason.ISSUER_KEY_EXPIRED, "x5chain: a certificate is outside its validity")


def _as_issuer_key(leaf: x509.Certificate, root: IssuerKey) -> IssuerKey:
    """Return the leaf's key with the root's name and limits."""
    usage = _extension(leaf, x509.KeyUsage)
    if usage is not None and not usage.digital_signature:
        raise Rejected(Reason.ISSUER_NOT_ENTITLED, "x5chain: the leaf may not sign data")
    first, last = validity(leaf)
    try:
        public_key = leaf.public_key()
    except _PARSE_ERRORS:
        raise Rejected(Reason.ALGORITHM_MISMATCH, "x5chain: an unknown kind of key") from None
    return replace(
        root,
        kid=leaf.fingerprint(hashes.SHA256())[:8],
        algorithm=_algorithm(public_key),
        public_key=public_key,
        valid_from=max(root.valid_from, first),
        valid_until=min(root.valid_until, last),
        certificate=None,
        is_root=False,
    )


def _algorithm(public_key: object) -> Algorithm:
    """Return the one algorithm that a leaf's key may be used with."""
    match public_key:
        case ec.EllipticCurvePublicKey(curve=ec.SECP256R1()):
            return Algorithm.ES256
        case ec.EllipticCurvePublicKey(curve=ec.SECP384R1()):
            return Algorithm.ES384
        case ed25519.Ed25519PublicKey():
            return Algorithm.EDDSA
        case rsa.RSAPublicKey():
            return Algorithm.PS256
    raise Rejected(Reason.ALGORITHM_MISMATCH, "x5chain: a leaf key of no algorithm known here")


def _extension(certificate: x509.Certificate, kind: type[_E]) -> _E | None:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None
