"""Token Status Lists: whether an issuer withdrew a credential, looked up offline.

Rules:
- a list is believed only after a trusted issuer's key verified it; `typ` must say that it is a
  status list, so that no credential can be passed off as one;
- the header names that key by `kid`, or brings its certificate (x5c, x5chain), whose key is pinned,
  or whose chain ends in a pinned root, which is then the issuer (`agent.credential.x509`);
- `lst` is zlib, capped, complete, nothing after it; `bits` is 1, 2, 4 or 8; entries run from the
  least significant bit of the first byte;
- value 0 is valid, 1 invalid, 2 suspended; any other value, and an index past the end, is unknown;
- a list that is past `exp`, or past its `ttl` since its `iat` or its set's signed date, can still
  condemn but no longer acquit: what was withdrawn stays so, what was valid may have changed;
- one key may be pinned more than once, renewed or for several issuers: the list is as good as the
  best of these, and speaks for each of them;
- memory is the list itself, one bytes object; a lookup is one byte of it.

Standard: draft-ietf-oauth-status-list (Token Status List), CWT and JWT form.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn

from agent.credential import cbor, cose, inflate, x509
from agent.credential.algorithms import ALGORITHMS
from agent.credential.issuers import IssuerKey, KeySource
from agent.credential.limits import ISSUER_KEYS, LATEST_TIME
from agent.credential.model import FormatName, Rejected, StatusVerdict
from agent.credential.numbers import Alg, Claim, Header
from agent.trust.model import TrustError

__all__ = [
    "MAX_LIST_BYTES",
    "MAX_TOKEN_BYTES",
    "StatusAnswer",
    "StatusList",
    "claimed",
    "encode_statuses",
    "parse",
    "parse_cwt",
    "parse_jwt",
]

MAX_LIST_BYTES: Final = 32 << 20
"""An unpacked list: ten million entries of 8 bits, and room to grow."""

MAX_TOKEN_BYTES: Final = 48 << 20
"""A token: a list that does not compress, in base64url."""

_TYP_CWT: Final = "application/statuslist+cwt"
_TYP_JWT: Final = ("statuslist+jwt", "application/statuslist+jwt")  # compared, not hashed
_STATUS_LIST: Final = 65533
_TTL: Final = 65534
_BITS: Final = frozenset({1, 2, 4, 8})
_MAX_URI: Final = 2048
_JOSE: Final = {"ES256": Alg.ES256, "ES384": Alg.ES384, "EdDSA": Alg.EDDSA, "PS256": Alg.PS256}
_VERDICTS: Final = {
    0: StatusVerdict.VALID,
    1: StatusVerdict.INVALID,
    2: StatusVerdict.SUSPENDED,
}
_CONDEMNS: Final = frozenset({StatusVerdict.INVALID, StatusVerdict.SUSPENDED})


@dataclass(frozen=True, slots=True)
class StatusAnswer:
    """A verdict, and for UNKNOWN the reason, for the operator's log."""

    verdict: StatusVerdict
    detail: str = ""


@dataclass(frozen=True, slots=True)
class StatusList:
    """A verified status list.

    Attributes:
        uri: the list's name (`sub`), which credentials refer to.
        issuer: who signed it, as named in the trust set.
        bits: bits an entry.
        data: the unpacked list.
        issued_at: Unix seconds.
        expires_at: Unix seconds, None where the list does not say.
        ttl_s: seconds for which the list may be used after that, None where the list does not say.
        for_issuers: other issuers for whom the signer speaks, by the trust set's word.
    """

    uri: str
    issuer: str
    bits: int
    data: bytes = field(repr=False)
    issued_at: int = 0
    expires_at: int | None = None
    ttl_s: int | None = None
    for_issuers: frozenset[str] = frozenset()

    def __len__(self) -> int:
        """Return the number of entries, the last byte's padding included."""
        return len(self.data) * 8 // self.bits

    def speaks_for(self, issuer: str) -> bool:
        """Return whether this list may judge credentials of the issuer."""
        return issuer == self.issuer or issuer in self.for_issuers

    def value(self, index: int) -> int:
        """Return the raw status value.

        Raises:
            IndexError: the list does not cover the index.
        """
        if not 0 <= index < len(self):
            raise IndexError(index)
        bit = index * self.bits
        return self.data[bit >> 3] >> (bit & 7) & ((1 << self.bits) - 1)

    def answer(self, index: int, now: int, *, confirmed_at: int = 0) -> StatusAnswer:
        """Return the verdict on an index.

        Args:
            index: the credential's place in the list.
            now: Unix seconds.
            confirmed_at: Unix seconds at which the set's publisher signed that it is current; 0
                where nobody did.
        """
        if not 0 <= index < len(self):
            return StatusAnswer(
                StatusVerdict.UNKNOWN, f"index {index} is outside the list of {len(self)}"
            )
        value = self.value(index)
        verdict = _VERDICTS.get(value, StatusVerdict.UNKNOWN)
        if verdict in _CONDEMNS:
            return StatusAnswer(verdict)
        if verdict is StatusVerdict.UNKNOWN:
            return StatusAnswer(verdict, f"status value {value} has no meaning here")
        if self.expires_at is not None and now > self.expires_at:
            return StatusAnswer(StatusVerdict.UNKNOWN, "the status list has expired")
        if self.ttl_s is not None and now > max(self.issued_at, confirmed_at) + self.ttl_s:
            return StatusAnswer(StatusVerdict.UNKNOWN, "the status list is past its ttl")
        return StatusAnswer(verdict)


def parse(token: bytes, keys: KeySource, *, source: str) -> StatusList:
    """Read and verify a status list in either form.

    Args:
        token: the CWT (COSE_Sign1, tag 18), or the JWT in compact form.
        keys: issuer keys that may sign lists.
        source: how errors name the token.

    Raises:
        TrustError: it is malformed, or no trusted key signed it.
    """
    try:
        if len(token) > MAX_TOKEN_BYTES:
            _refuse(f"{len(token)} bytes, {MAX_TOKEN_BYTES} allowed")
        token = token.strip(b" \t\r\n") if token[:2] == b"ey" else token
        return parse_jwt(token, keys) if token[:2] == b"ey" else parse_cwt(token, keys)
    except TrustError as error:
        raise TrustError(f"{source}: status list: {error}") from None
    except Rejected as rejected:
        raise TrustError(f"{source}: status list: {rejected}") from None


def parse_cwt(token: bytes, keys: KeySource) -> StatusList:
    """Read and verify the CWT form.

    Raises:
        Rejected: the token, its CBOR or its signature is bad.
        TrustError: the claims are bad, or no trusted key is named.
    """
    message = cose.parse_sign1(token)
    if message.protected.get(Header.TYP) != _TYP_CWT:
        _refuse(f"typ is not {_TYP_CWT}")
    kid = message.protected.get(Header.KID, message.unprotected.get(Header.KID))
    if kid is not None and not isinstance(kid, bytes):
        _refuse("kid is no byte string")
    chain = message.protected.get(Header.X5CHAIN, message.unprotected.get(Header.X5CHAIN))
    candidates = _candidates(keys, () if kid is None else (kid,), chain, token)
    key = cose.verify_any(message, candidates)
    claims = cbor.decode(message.payload)
    if not isinstance(claims, dict):
        _refuse("claims are no map")
    body = claims.get(_STATUS_LIST)
    if not isinstance(body, dict) or not isinstance(body.get("lst"), bytes):
        _refuse("no status_list with a byte string lst")
    return _make(
        _same(key, candidates),
        iss=claims.get(Claim.ISS),
        sub=claims.get(Claim.SUB),
        iat=claims.get(Claim.IAT),
        exp=claims.get(Claim.EXP),
        ttl=claims.get(_TTL),
        bits=body.get("bits"),
        packed=body["lst"],
    )


def parse_jwt(token: bytes, keys: KeySource) -> StatusList:
    """Read and verify the JWT form (JWS compact serialisation).

    Raises:
        Rejected: the signature or the compressed list is bad.
        TrustError: the token or its claims are bad, or no trusted key is named.
    """
    parts = token.split(b".")
    if len(parts) != 3:
        _refuse("no compact JWS of three parts")
    header = _json(_base64url(parts[0]))
    if header.get("typ") not in _TYP_JWT:
        _refuse("typ is not statuslist+jwt")
    if "crit" in header:
        _refuse("a critical header is not understood")
    kid, chain = header.get("kid"), header.get("x5c")
    if kid is not None and not isinstance(kid, str):
        _refuse("kid is no text")
    if chain is not None:
        chain = _x5c(chain)
    candidates = _candidates(keys, () if kid is None else _kid_bytes(kid), chain, token)
    message = token[: len(parts[0]) + 1 + len(parts[1])]
    key = _verify_jws(header.get("alg"), message, _base64url(parts[2]), candidates)
    claims = _json(_base64url(parts[1]))
    body = claims.get("status_list")
    if not isinstance(body, dict) or not isinstance(body.get("lst"), str):
        _refuse("no status_list with a text lst")
    return _make(
        _same(key, candidates),
        iss=claims.get("iss"),
        sub=claims.get("sub"),
        iat=claims.get("iat"),
        exp=claims.get("exp"),
        ttl=claims.get("ttl"),
        bits=body.get("bits"),
        packed=_base64url(body["lst"].encode("ascii", "replace")),
    )


def encode_statuses(statuses: Sequence[int] | bytes, bits: int) -> bytes:
    """Pack status values, one an entry, least significant bits first; not yet compressed.

    Raises:
        ValueError: `bits` is not 1, 2, 4 or 8, or a value does not fit.
    """
    if bits not in _BITS:
        raise ValueError(f"{bits} bits; 1, 2, 4 or 8 are allowed")
    out = bytearray((len(statuses) * bits + 7) // 8)
    for index, value in enumerate(statuses):
        if not 0 <= value < 1 << bits:
            raise ValueError(f"status {value} does not fit {bits} bits")
        out[index * bits >> 3] |= value << (index * bits & 7)
    return bytes(out)


def claimed(token: bytes) -> tuple[str | None, int | None]:
    """Return the URI and the time of signing that a list claims, unverified; None for neither.

    Only for choosing how it is to be proven, and for closing what it would have been asked about.
    """
    try:
        if token[:2] == b"ey":
            said = _json(_base64url(token.strip(b" \t\r\n").split(b".")[1]))
            uri, issued_at = said.get("sub"), said.get("iat")
        else:
            claims = cbor.decode(cose.parse_sign1(token).payload)
            claims = claims if isinstance(claims, dict) else {}
            uri, issued_at = claims.get(Claim.SUB), claims.get(Claim.IAT)
    except (TrustError, Rejected, IndexError):
        return None, None
    return (
        uri if isinstance(uri, str) and 0 < len(uri) <= _MAX_URI else None,
        issued_at if type(issued_at) is int and 0 <= issued_at <= LATEST_TIME else None,
    )


def _make(
    keys: Sequence[IssuerKey],
    *,
    iss: Any,
    sub: Any,
    iat: Any,
    exp: Any,
    ttl: Any,
    bits: Any,
    packed: bytes,
) -> StatusList:
    """Build the list that one key signed; `keys` are its entries in the trust set."""
    if not isinstance(sub, str) or not 0 < len(sub) <= _MAX_URI:
        _refuse("sub is not the list's URI")
    mine = [key for key in keys if iss is None or not key.iss or _is_one_of(iss, key.iss)]
    if not mine:
        _refuse("iss is not the key's issuer")
    if type(bits) is not int or bits not in _BITS:
        _refuse("bits is not 1, 2, 4 or 8")
    issued_at = _time("iat", iat)
    if issued_at is None:
        _refuse("no iat")
    valid = [key for key in mine if key.valid_from <= issued_at <= key.valid_until]
    if not valid:
        _refuse(f"signed outside the validity of {mine[0].issuer}'s key")
    return StatusList(
        uri=sub,
        issuer=valid[0].issuer,
        bits=bits,
        data=inflate.unzlib(packed, limit=MAX_LIST_BYTES),
        issued_at=issued_at,
        expires_at=_time("exp", exp),
        ttl_s=_time("ttl", ttl),
        for_issuers=frozenset().union(*(key.status_for | {key.issuer} for key in valid))
        - {valid[0].issuer},
    )


def _is_one_of(value: Any, names: frozenset[str]) -> bool:
    return isinstance(value, str) and value in names


def _same(key: IssuerKey, candidates: Sequence[IssuerKey]) -> list[IssuerKey]:
    """Return every entry of the key among the candidates."""
    from agent.credential.keys import spki

    wanted = spki(key.public_key)
    return [entry for entry in candidates if spki(entry.public_key) == wanted]


def _candidates(
    keys: KeySource, kids: Sequence[bytes], chain: Any, token: bytes
) -> Sequence[IssuerKey]:
    """Return the keys that the token names: by an id, or by the certificate that it brings."""
    for kid in kids:
        found = keys.by_kid(kid)
        if found:
            return found
    if chain is not None:
        return _certified(keys, chain, token)
    if not kids:
        _refuse("no kid, and no certificate")
    raise TrustError(f"no trusted key has the kid {kids[0][:32].hex()}")


def _certified(keys: KeySource, chain: Any, token: bytes) -> Sequence[IssuerKey]:
    """Return the key in the first certificate: pinned, or below a pinned root.

    A chain is judged at the moment that the list was signed, as a pinned key's validity is.
    """
    from agent.credential.keys import KeyFileError, load_public_key, spki

    leaf = chain[0] if isinstance(chain, list) and chain else chain
    if isinstance(leaf, bytes):
        try:
            public = load_public_key(leaf).key
        except KeyFileError as error:
            raise TrustError(f"its certificate: {error}") from None
        pinned = [
            key
            for name in FormatName
            for key in keys.for_format(name)
            if spki(key.public_key) == spki(public)
        ]
        if pinned:
            return pinned
    at = claimed(token)[1]
    return [x509.leaf_key(chain, keys, None, at or 0, purpose=x509.Purpose.STATUS_LIST)]


def _x5c(chain: Any) -> list[bytes]:
    """Decode x5c, RFC 7515 section 4.1.6: base64 (not for URLs) of DER, leaf first."""
    if not isinstance(chain, list) or not all(isinstance(item, str) for item in chain):
        _refuse("x5c is no list of certificates")
    try:
        return [base64.b64decode(item, validate=True) for item in chain]
    except ValueError:
        _refuse("x5c is not base64")


def _kid_bytes(kid: str) -> tuple[bytes, ...]:
    """Return the key ids that a JOSE kid, which is text, can mean."""
    text = kid.encode("utf-8", "surrogatepass")  # JSON may hold half a character
    try:
        return text, bytes.fromhex(kid)
    except ValueError:
        return (text,)


def _verify_jws(
    alg: Any, message: bytes, signature: bytes, candidates: Sequence[IssuerKey]
) -> IssuerKey:
    """Return the key that verifies; the header's alg must be the key's own, RFC 8725 3.1."""
    number = _JOSE.get(alg) if isinstance(alg, str) else None
    if number is None:
        _refuse("alg is no signature algorithm known here")
    algorithm = ALGORITHMS[number]
    fitting = [
        key
        for key in candidates
        if key.algorithm is algorithm.pinned and algorithm.fits(key.public_key)
    ]
    for key in fitting[:ISSUER_KEYS]:
        if algorithm.verify(key.public_key, signature, message):
            return key
    raise TrustError("the signature does not verify")


def _base64url(data: bytes) -> bytes:
    """Decode base64url without padding, RFC 7515 section 2, strictly."""
    padded = data + b"=" * (-len(data) % 4)
    try:
        decoded = base64.b64decode(padded, altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        _refuse("not base64url")
    if b"=" in data or b"+" in data or b"/" in data:
        _refuse("not base64url")
    return decoded


def _json(data: bytes) -> Mapping[str, Any]:
    try:
        value = json.loads(data, object_pairs_hook=_once)
    except (ValueError, RecursionError):
        _refuse("not JSON, or a name twice in one object")
    if not isinstance(value, dict):
        _refuse("not a JSON object")
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Build an object, refusing a name that comes twice (RFC 8725 section 2.4)."""
    out = dict(pairs)
    if len(out) != len(pairs):
        raise ValueError("a name twice in one object")
    return out


def _time(name: str, value: Any) -> int | None:
    if value is None:
        return None
    if type(value) is not int or not 0 <= value <= LATEST_TIME:
        _refuse(f"{name} is not a plain number of seconds")
    return value


def _refuse(detail: str) -> NoReturn:
    raise TrustError(detail)
