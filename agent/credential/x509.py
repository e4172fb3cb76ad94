"""Certificates inside codes: from an x5chain to a pinned root, and what a certificate is for.

Rules (RFC 5280 section 6, the part that an offline gate needs; RFC 9360 for x5chain):
- the chain is leaf first, three certificates at most, the root pinned by the trust set and never
  taken from the code; what stands in the chain at a pinned root or above it is passed over, so that
  a root's old certificate there does no harm to its renewed one;
- every pinned root of the right name is tried: one path that holds is enough;
- a path is walked from the root down, so no key is used before the key above it vouched for it;
- names chain, signatures verify, every certificate is inside its validity now;
- what signs certificates is a CA (basicConstraints), may sign them (keyUsage) and keeps its path
  length; the leaf may sign data, and is no CA that does not say so;
- an extended key usage in leaf or CA must allow signing: named critical, it must be one of those
  below; else it is enough that it is not only for web servers, mail and the like;
- a root may be narrowed by the trust set to usages, policies and names of its leaves;
- signatures are with SHA-2 or Ed25519; a critical extension that is not understood refuses, name
  constraints among them.

Names in a certificate are never used as the issuer's: that name is the root's in the trust set.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from enum import Enum
from functools import lru_cache
from typing import Any, Final, TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from agent.credential.algorithms import is_sound
from agent.credential.checks import for_format
from agent.credential.issuers import Algorithm, IssuerKey, KeySource, best_first, untried
from agent.credential.limits import ISSUER_KEYS
from agent.credential.model import FormatName, Rejected
from agent.reason import Reason

__all__ = ["Purpose", "extended_usages", "leaf_key", "validity"]

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
        x509.CertificatePolicies.oid,
    }
)
_PKIX: Final = "1.3.6.1.5.5.7.3."
_ANY_USAGE: Final = "2.5.29.37.0"
_ANY_POLICY: Final = "2.5.29.32.0"
_SIGNING: Final = frozenset(
    {
        _ANY_USAGE,
        _PKIX + "36",  # document signing, RFC 9336
        "1.0.18013.5.1.2",  # mobile driving licences
        *(f"1.3.6.1.4.1.1847.2021.1.{group}" for group in (1, 2, 3)),  # health certificates
        *(f"1.3.6.1.4.1.0.1847.2021.1.{group}" for group in (1, 2, 3)),
    }
)
"""Usages that stand for signing documents."""
_NOT_SIGNING: Final = (_PKIX, "1.3.6.1.4.1.311.", "2.16.840.1.113730.4.", "1.0.18013.5.1.")
"""Arcs of usages for something else: RFC 5280's, Microsoft's, Netscape's, of mdoc readers."""
_LAST_KNOWN: Final = 36
"""Last of RFC 5280's usages with a known meaning; the one for status lists will come later."""


class Purpose(Enum):
    """What a leaf is to sign."""

    IDENTITY = "identity"
    STATUS_LIST = "status list"


def leaf_key(
    chain: Any,
    keys: KeySource,
    name: FormatName | None,
    now: int,
    *,
    issuer: Any = None,
    purpose: Purpose = Purpose.IDENTITY,
) -> IssuerKey:
    """Return the leaf's key, as trusted as the pinned root that its chain leads to.

    Args:
        chain: the header's value: one certificate (DER), or a list of them, leaf first.
        keys: has the roots.
        name: the format; only roots that may sign it count. None for a status list.
        now: Unix seconds.
        issuer: the claimed `iss`; roots that it belongs to go before others.
        purpose: what the leaf is to sign.

    Raises:
        Rejected: `malformed`, `unknown_issuer`, `issuer_key_expired`, `issuer_not_entitled`,
            `algorithm_mismatch` or `bad_signature`.
    """
    certificates = _load_chain(chain)
    roots = keys.roots() if name is None else for_format(keys.roots(), name)
    mine = sorted(roots, key=lambda root: bool(root.iss) and issuer not in root.iss)
    below, found = _find_roots(certificates, mine, now)
    failed = []
    for root, pinned in found:
        try:
            _walk(below, root, pinned, now, purpose)
            return _as_issuer_key(below[0], root)
        except Rejected as error:
            failed.append(error)
    # One root is always found. That all would do but for the day is the most helpful to know.
    raise next((error for error in failed if error.reason is Reason.ISSUER_KEY_EXPIRED), failed[0])


def _walk(
    below: Sequence[x509.Certificate],
    root: IssuerKey,
    pinned: x509.Certificate,
    now: int,
    purpose: Purpose,
) -> None:
    """Raise unless the path from the root down to the leaf holds now."""
    above = pinned
    for number in range(len(below) - 1, -1, -1):
        certificate = below[number]
        _check_authority(above, number)
        _check_issued(certificate, above)
        _check_current(certificate, now)
        _check_usages(certificate, root, purpose, leaf=number == 0)
        _check_policies(certificate, root.leaf_policies)
        above = certificate
    _check_names(below[0], root.leaf_names)
    if not root.valid_from <= now <= root.valid_until:
        raise Rejected(Reason.ISSUER_KEY_EXPIRED, root.issuer)


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


def _find_roots(
    certificates: list[x509.Certificate], roots: Sequence[IssuerKey], now: int
) -> tuple[list[x509.Certificate], list[tuple[IssuerKey, x509.Certificate]]]:
    """Return the chain up to the pinned roots, and the roots to try above it, best first."""
    pinned = [
        (root, _load_pinned(root.certificate))
        for root in best_first(roots, now)
        if root.certificate is not None
    ]
    known = {(root.subject, _point(root)) for _, root in pinned}
    cut = next(
        (
            number
            for number in range(1, len(certificates))
            if (certificates[number].subject, _point(certificates[number])) in known
        ),
        None,
    )
    below = certificates[:cut]
    named = [pair for pair in pinned if pair[1].subject == below[-1].issuer]
    if not named:
        raise Rejected(Reason.UNKNOWN_ISSUER, "x5chain leads to no pinned root")
    # Where roots share a name, the signature tells which one it is. One key that is pinned more
    # than once (a renewed root is) is tried once.
    tried: dict[bytes, bool] = {}
    found = []
    for root, certificate in named:
        point = _point(certificate)
        if point not in tried and len(tried) < ISSUER_KEYS:
            tried[point] = _is_issued(below[-1], certificate)
        if tried.get(point):
            found.append((root, certificate))
    if not found:
        _check_hash(below[-1])
        raise Rejected(
            Reason.BAD_SIGNATURE, f"x5chain: a certificate's{untried([root for root, _ in named])}"
        )
    return below, found


def _point(certificate: x509.Certificate) -> bytes:
    """Return what tells a certificate's key from others: its SubjectPublicKeyInfo (DER)."""
    der = certificate.tbs_certificate_bytes
    try:
        return certificate.public_key().public_bytes(
            Encoding.DER, PublicFormat.SubjectPublicKeyInfo
        )
    except _PARSE_ERRORS:
        return der  # of an unknown kind: no other certificate has it


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
    _check_hash(certificate)
    if not _is_issued(certificate, issuer):
        raise Rejected(Reason.BAD_SIGNATURE, "x5chain: a certificate's")


def _check_hash(certificate: x509.Certificate) -> None:
    """Raise where the certificate's own signature is made with what is too weak, or unknown."""
    algorithm = _hash_of(certificate)
    if algorithm is not None and not isinstance(algorithm, _HASHES):
        raise Rejected(Reason.ALGORITHM_MISMATCH, "x5chain: signed with a hash that is too weak")


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


def _check_usages(
    certificate: x509.Certificate, root: IssuerKey, purpose: Purpose, *, leaf: bool
) -> None:
    """Raise where the extended key usages do not allow signing what is to be signed.

    RFC 5280 section 4.2.1.12: a certificate that names usages is for no other. A CA that names
    them passes on no more, as every verifier in use has it.
    """
    named = _extension(certificate, x509.ExtendedKeyUsage)
    wanted = root.leaf_usages if leaf else frozenset()
    if named is None:
        if wanted and purpose is Purpose.IDENTITY:
            raise Rejected(
                Reason.ISSUER_NOT_ENTITLED,
                "x5chain: the leaf names no usage, its root asks for one",
            )
        return
    usages = {usage.dotted_string for usage in named}
    critical = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).critical
    if purpose is Purpose.STATUS_LIST and any(map(_may_be_status, usages)):
        return
    if wanted:
        allowed = not wanted.isdisjoint(usages)
    else:
        allowed = not (_SIGNING | root.leaf_usages).isdisjoint(usages) or (
            not critical and not all(usage.startswith(_NOT_SIGNING) for usage in usages)
        )
    if not allowed:
        raise Rejected(
            Reason.ISSUER_NOT_ENTITLED,
            f"x5chain: a certificate for another use ({min(usages)})",
        )


def _may_be_status(usage: str) -> bool:
    """Return whether a usage may be the one for status lists, which has no number yet."""
    number = usage.removeprefix(_PKIX)
    return number != usage and number.isdecimal() and int(number) > _LAST_KNOWN


def _check_policies(certificate: x509.Certificate, wanted: frozenset[str]) -> None:
    """Raise where the root asks for policies and the certificate has none of them."""
    if not wanted:
        return
    policies = _extension(certificate, x509.CertificatePolicies) or ()
    held = {policy.policy_identifier.dotted_string for policy in policies}
    if wanted.isdisjoint(held) and not (_is_authority(certificate) and _ANY_POLICY in held):
        raise Rejected(
            Reason.ISSUER_NOT_ENTITLED,
            "x5chain: a certificate without the policy its root asks for",
        )


def _check_names(leaf: x509.Certificate, wanted: frozenset[str]) -> None:
    """Raise where the root asks for names and the leaf has none of them."""
    if not wanted:
        return
    held: set[str] = set()
    if (named := _extension(leaf, x509.SubjectAlternativeName)) is not None:
        hosts = named.get_values_for_type(x509.DNSName)
        uris = named.get_values_for_type(x509.UniformResourceIdentifier)
        held = {*(f"DNS:{host.lower()}" for host in hosts), *(f"URI:{uri}" for uri in uris)}
    subject = {part.rfc4514_string() for part in leaf.subject.rdns}
    for name in wanted:
        if name.startswith(("DNS:", "URI:")):
            matches = name in held
        else:
            matches = {
                part.rfc4514_string() for part in x509.Name.from_rfc4514_string(name).rdns
            } <= subject
        if matches:
            return
    raise Rejected(
        Reason.ISSUER_NOT_ENTITLED, "x5chain: the leaf has none of the names its root asks for"
    )


def _is_authority(certificate: x509.Certificate) -> bool:
    constraints = _extension(certificate, x509.BasicConstraints)
    return constraints is not None and constraints.ca


def _as_issuer_key(leaf: x509.Certificate, root: IssuerKey) -> IssuerKey:
    """Return the leaf's key with the root's name and limits."""
    usage = _extension(leaf, x509.KeyUsage)
    if usage is not None and not usage.digital_signature:
        raise Rejected(Reason.ISSUER_NOT_ENTITLED, "x5chain: the leaf may not sign data")
    if usage is None and _is_authority(leaf):
        raise Rejected(Reason.ISSUER_NOT_ENTITLED, "x5chain: the leaf is a CA")
    first, last = validity(leaf)
    try:
        public_key = leaf.public_key()
    except _PARSE_ERRORS:
        raise Rejected(Reason.ALGORITHM_MISMATCH, "x5chain: an unknown kind of key") from None
    if not is_sound(public_key):
        raise Rejected(Reason.ALGORITHM_MISMATCH, "x5chain: a key with which anybody can sign")
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
