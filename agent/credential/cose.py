"""COSE_Sign1 and COSE_Encrypt0, read strictly.

Rules:
- a message is its tag (18, or 61 around 18; none only where a format says so) and an array of the
  exact length and types;
- `alg` is believed from the protected header only; absent there, or present in the other header
  too, the message is refused; no label may stand in both headers (RFC 9052 section 3);
- the algorithm is pinned to the key: the header must agree with the key, not the key with the
  header;
- `crit` stands in the protected header, names labels that stand there, and every one of them must
  be understood;
- an empty signature is no signature: `unsigned`.

Standard: RFC 9052 (structures, Sig_structure, Enc_structure).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from agent.credential import cbor
from agent.credential.algorithms import ALGORITHMS, SignatureAlgorithm
from agent.credential.issuers import Algorithm, IssuerKey, untried
from agent.credential.limits import ISSUER_KEYS, SITE_KEYS
from agent.credential.model import Rejected
from agent.credential.numbers import Alg, Header, Tag
from agent.reason import Reason

__all__ = [
    "Sign1", "algorithm_of", "decrypt0", "is_encrypt0", "parse_sign1", "sign1_of", "signed_bytes",
    "verify", "verify_any",
]  # fmt: skip

_UNDERSTOOD: Final = frozenset({Header.ALG, Header.CRIT, Header.KID, Header.KCWT, Header.TYP})
_TAGS: Final = frozenset({Tag.MAC0, Tag.SIGN1, Tag.CWT})
_KCWT_TAGS: Final = frozenset({Tag.SIGN1})
_SIGN1_PREFIXES: Final = ((), (Tag.SIGN1,), (Tag.CWT, Tag.SIGN1))
_GCM_TAG_BYTES: Final = 16
_IV_BYTES: Final = 12


@dataclass(frozen=True, slots=True)
class Sign1:
    """One COSE_Sign1, parsed and not yet verified.

    Attributes:
        protected: the protected header.
        unprotected: the other one; nothing in it may be believed.
        payload: the signed bytes, never detached.
        signature: as it stands.
        protected_raw: the protected header as it was signed.
    """

    protected: Mapping[int | str, Any]
    unprotected: Mapping[int | str, Any]
    payload: bytes = field(repr=False)
    signature: bytes = field(repr=False)
    protected_raw: bytes = field(repr=False)


def parse_sign1(
    data: bytes, *, untagged: bool = False, kcwt: bool = False, shortest: bool = True
) -> Sign1:
    """Parse a COSE_Sign1 that fills `data`.

    Args:
        data: the bytes.
        untagged: whether the array may stand without tag 18.
        kcwt: whether the protected header may carry another COSE_Sign1 under label 13.
        shortest: see `cbor.decode`.

    Raises:
        Rejected: `unsigned` for a COSE_Mac0, a bare map of claims or an empty signature,
            `algorithm_mismatch` or `unknown_critical_header` for the header, else `malformed`.
    """
    item = cbor.decode(data, tags=_TAGS, tag_depth=1, shortest=shortest)
    prefix = []
    while isinstance(item, cbor.Tagged):
        prefix.append(item.number)
        item = item.value
    if isinstance(item, dict) or Tag.MAC0 in prefix:
        raise Rejected(Reason.UNSIGNED, "claims without a signature")
    if tuple(prefix) not in _SIGN1_PREFIXES or not (prefix or untagged):
        raise Rejected(Reason.MALFORMED, "COSE: not tagged as a COSE_Sign1")
    return sign1_of(item, kcwt=kcwt, shortest=shortest)


def sign1_of(item: Any, *, kcwt: bool = False, shortest: bool = True) -> Sign1:
    """Return the COSE_Sign1 that a decoded array is; see `parse_sign1`."""
    if not isinstance(item, list) or len(item) != 4:
        raise Rejected(Reason.MALFORMED, "COSE: not an array of four")
    raw, unprotected, payload, signature = item
    if not (
        isinstance(raw, bytes)
        and isinstance(unprotected, dict)
        and isinstance(payload, bytes)
        and isinstance(signature, bytes)
    ):
        raise Rejected(Reason.MALFORMED, "COSE: an element of another type than COSE_Sign1 has")
    protected = _protected(raw, kcwt=kcwt, shortest=shortest)
    _check_headers(protected, unprotected)
    if not signature:
        raise Rejected(Reason.UNSIGNED, "the signature is empty")
    return Sign1(protected, unprotected, payload, signature, raw)


def _protected(raw: bytes, *, kcwt: bool, shortest: bool) -> dict[int | str, Any]:
    """Decode a protected header; an empty string is an empty map."""
    if not raw:
        return {}
    if kcwt:
        header = cbor.decode(raw, tags=_KCWT_TAGS, tag_depth=1, shortest=shortest)
    else:
        header = cbor.decode(raw, shortest=shortest)
    if not isinstance(header, dict):
        raise Rejected(Reason.MALFORMED, "COSE: the protected header is no map")
    if kcwt:
        for label, value in header.items():
            if isinstance(value, cbor.Tagged) and label != Header.KCWT:
                raise Rejected(Reason.MALFORMED, "COSE: a tag in the protected header")
    return header


def _check_headers(
    protected: Mapping[int | str, Any], unprotected: Mapping[int | str, Any]
) -> None:
    if unprotected:
        if Header.ALG in unprotected:
            raise Rejected(Reason.ALGORITHM_MISMATCH, "alg in the unprotected header")
        if Header.CRIT in unprotected:
            raise Rejected(Reason.UNKNOWN_CRITICAL_HEADER, "crit in the unprotected header")
        if not protected.keys().isdisjoint(unprotected):
            raise Rejected(Reason.MALFORMED, "COSE: a label in both headers")
    if Header.CRIT in protected:
        _check_critical(protected)


def _check_critical(protected: Mapping[int | str, Any]) -> None:
    labels = protected[Header.CRIT]
    if not isinstance(labels, list) or not labels:
        raise Rejected(Reason.MALFORMED, "COSE: crit is no list of labels")
    for label in labels:
        if type(label) not in (int, str) or label not in _UNDERSTOOD or label not in protected:
            raise Rejected(Reason.UNKNOWN_CRITICAL_HEADER, "a critical label is not understood")


def algorithm_of(message: Sign1) -> type[SignatureAlgorithm]:
    """Return the algorithm that the protected header names.

    Raises:
        Rejected: `algorithm_mismatch` when there is none or it is not a signature algorithm
            known here (`none` and HMAC among them).
    """
    number = message.protected.get(Header.ALG)
    algorithm = ALGORITHMS.get(number) if type(number) is int else None
    if algorithm is None:
        raise Rejected(Reason.ALGORITHM_MISMATCH, "no signature algorithm in the protected header")
    return algorithm


def signed_bytes(message: Sign1, external: bytes = b"") -> bytes:
    """Return the Sig_structure of RFC 9052 section 4.4, encoded, from the bytes as they came."""
    raw, payload = message.protected_raw, message.payload
    return b"".join(
        (
            b"\x84\x6aSignature1",
            cbor.head(2, len(raw)),
            raw,
            cbor.head(2, len(external)),
            external,
            cbor.head(2, len(payload)),
            payload,
        )
    )


def verify(
    message: Sign1, pinned: Algorithm, key: Any, failure: Reason = Reason.BAD_SIGNATURE
) -> None:
    """Check the signature with one key.

    Args:
        message: the message.
        pinned: the algorithm that the key is pinned to.
        key: the public key.
        failure: the reason when the signature does not verify.

    Raises:
        Rejected: `algorithm_mismatch` when header, pin and key disagree; else `failure`.
    """
    algorithm = algorithm_of(message)
    if algorithm.pinned is not pinned or not algorithm.fits(key):
        raise Rejected(Reason.ALGORITHM_MISMATCH, "the header's alg is not the key's")
    if not algorithm.verify(key, message.signature, signed_bytes(message)):
        raise Rejected(failure, "the signature does not verify")


def verify_any(message: Sign1, keys: Sequence[IssuerKey]) -> IssuerKey:
    """Return the first of several keys that verifies the message.

    Args:
        message: the message.
        keys: in the order in which to try them (`issuers.best_first`); `limits.ISSUER_KEYS` at
            most are.

    Raises:
        Rejected: `unknown_issuer` without keys, `algorithm_mismatch` where none is of the header's
            algorithm, else `bad_signature`, whose detail says where keys were left untried.
    """
    if not keys:
        raise Rejected(Reason.UNKNOWN_ISSUER, "no key")
    algorithm = algorithm_of(message)
    fitting = [
        key for key in keys if key.algorithm is algorithm.pinned and algorithm.fits(key.public_key)
    ]
    if not fitting:
        raise Rejected(Reason.ALGORITHM_MISMATCH, "the header's alg is not the key's")
    signed = signed_bytes(message)
    for key in fitting[:ISSUER_KEYS]:
        if algorithm.verify(key.public_key, message.signature, signed):
            return key
    raise Rejected(Reason.BAD_SIGNATURE, f"the signature does not verify{untried(fitting)}")


def is_encrypt0(data: bytes) -> bool:
    """Return whether `data` opens as a tagged COSE_Encrypt0."""
    return data[:1] == b"\xd0"


def decrypt0(data: bytes, site_keys: Sequence[bytes]) -> bytes:
    """Open a tagged COSE_Encrypt0 of A256GCM with the first site key that fits.

    Args:
        data: the message, tag 16 included.
        site_keys: 32-byte keys; `limits.SITE_KEYS` of them at most are tried.

    Returns:
        The plaintext.

    Raises:
        Rejected: `decryption_failed`, `algorithm_mismatch`, `unknown_critical_header`, `malformed`.
    """
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    tagged = cbor.decode(data, tags=(Tag.ENCRYPT0,))
    item = tagged.value if isinstance(tagged, cbor.Tagged) else None
    if not isinstance(item, list) or len(item) != 3:
        raise Rejected(Reason.MALFORMED, "COSE: no COSE_Encrypt0")
    raw, unprotected, ciphertext = item
    if not (
        isinstance(raw, bytes) and isinstance(unprotected, dict) and isinstance(ciphertext, bytes)
    ):
        raise Rejected(Reason.MALFORMED, "COSE: an element of another type than Encrypt0 has")
    protected = _protected(raw, kcwt=False, shortest=True)
    _check_headers(protected, unprotected)
    if protected.get(Header.ALG) != Alg.A256GCM:
        raise Rejected(Reason.ALGORITHM_MISMATCH, "encrypted with another algorithm than A256GCM")
    vector = unprotected.get(Header.IV, protected.get(Header.IV))
    if not isinstance(vector, bytes) or len(vector) != _IV_BYTES:
        raise Rejected(Reason.MALFORMED, "COSE: the IV is not 12 bytes")
    if len(ciphertext) < _GCM_TAG_BYTES:
        raise Rejected(Reason.DECRYPTION_FAILED, "shorter than its own tag")
    bound = b"\x83\x68Encrypt0" + cbor.head(2, len(raw)) + raw + b"\x40"
    for key in site_keys[:SITE_KEYS]:
        try:
            return AESGCM(key).decrypt(vector, ciphertext, bound)
        except InvalidTag:
            continue
    raise Rejected(Reason.DECRYPTION_FAILED, "no site key opens it")
