"""The native profile: `NI1:` or `NI2:` and base45 of a credential, as it is or signed by the phone.

    NI1: base45( [Encrypt0] [zlib] message )
    NI2: base45( [Encrypt0] [zlib] message )    compact; its credential's `vct` is a number

- **static**: the message is the issuer's credential, a CWT in a tagged COSE_Sign1;
- **dynamic**: it is a key binding token, a COSE_Sign1 by the holder's key with the credential in
  its protected header `kcwt` (13) and `typ` (16) = 294, and `aud`, `iat`, `cnonce` as claims.

Rules:
- every message carries tag 18 (61 around it is allowed outside); a credential is never itself a key
  binding token, so tokens do not nest;
- the prefix and the credential say the same version; a version to come is `unknown_format`;
- the holder's key is the credential's `cnf`; nothing in the presentation can name another;
- `aud` is this gate, this site or a wildcard (see `checks.fits_audience`);
- `exp` and `nbf` of the presentation are held to like a credential's, and a claim that is not known
  refuses, the issuer's as the holder's;
- `iat` of the presentation is at most `max_age_s` old and `max_future_s` ahead, and not before the
  credential's; where the gate shows a challenge, `cnonce` must repeat it;
- the assurance level is what the issuer signed, basic where it says nothing;
- the replay key is made of issuer, `cti` and the use's `iat` (a static code's: the credential's);
- a credential of which claims are redacted is believed in a key binding token alone: of a static
  code anybody could take a disclosure away, that of the face, say;
- COSE_Encrypt0 is opened with the site's keys; compression stands inside it, never around it.

Standards: RFC 8392, RFC 9052, RFC 9285, draft-ietf-spice-sd-cwt (key binding), draft-ietf-oauth-
status-list, MOSIP Claim 169; private numbers in `numbers`.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import Any, Final

from agent.credential import base45, cbor, cose, identity
from agent.credential.checks import (
    check_fresh,
    check_known,
    check_validity,
    fits_audience,
    replay_key,
    seconds,
)
from agent.credential.cwt import (
    Token,
    ages_of,
    claims_of,
    holder_key_of,
    level_of,
    read_token,
    status_of,
)
from agent.credential.inflate import is_zlib, unzlib
from agent.credential.issuers import KeySource
from agent.credential.keys import from_cose_key
from agent.credential.limits import IDENTIFIER_BYTES, LATEST_TIME
from agent.credential.model import Credential, FormatName, Rejected
from agent.credential.numbers import KB_TYP, Claim, Header
from agent.credential.registry import ReadRules
from agent.credential.ticket import read_ticket
from agent.reason import Reason

__all__ = ["PREFIX", "PREFIXES", "opened", "read", "sniff"]

PREFIX: Final = b"NI1:"
PREFIXES: Final = {1: PREFIX, 2: b"NI2:"}
"""Version -> what a code of it begins with."""
_VERSIONS: Final = {prefix: version for version, prefix in PREFIXES.items()}
_ANY_VERSION: Final = tuple(b"NI%d:" % digit for digit in range(1, 10))

_PRESENTED: Final = frozenset(
    {Claim.AUD, Claim.EXP, Claim.NBF, Claim.IAT, Claim.CTI, Claim.CNONCE, Claim.BUSINESS}
)
"""Claims that a presentation may have; its `cti` names a message and restricts nothing."""


def sniff(payload: bytes) -> bool:
    """Return whether the payload opens as a code of this profile, of whatever version."""
    return payload.startswith(_ANY_VERSION)


def opened(payload: bytes) -> tuple[int, bytes]:
    """Return the version of a code and the bytes behind its prefix; nothing is verified.

    Raises:
        Rejected: `unknown_format` for another version or none, `malformed`.
    """
    start = payload[: len(PREFIX)]
    if start not in _VERSIONS:
        raise Rejected(Reason.UNKNOWN_FORMAT, "a version of the profile that is not read here")
    return _VERSIONS[start], base45.decode(payload[len(PREFIX) :])


def read(payload: bytes, keys: KeySource, rules: ReadRules) -> Credential:
    """Verify a native code, static or dynamic.

    Raises:
        Rejected: with the reason; see the module's rules and those of `cwt`, `cose` and `cbor`.
    """
    version, data = opened(payload)
    if cose.is_encrypt0(data):
        data = cose.decrypt0(data, rules.site_keys)
    if is_zlib(data):
        data = unzlib(data)
    message = cose.parse_sign1(data, kcwt=True)
    if Header.KCWT not in message.protected:
        token = read_token(message, keys, rules, version)
        if token.digests:
            raise Rejected(Reason.MALFORMED, "redacted claims outside a key binding token")
        return _credential(token, made_at=token.issued_at)
    if message.protected.get(Header.TYP) != KB_TYP:
        raise Rejected(Reason.MALFORMED, "a credential in a token that is no key binding token")
    inner = message.protected[Header.KCWT]
    if not isinstance(inner, cbor.Tagged):  # of what tag, `cose.parse_sign1` saw to
        raise Rejected(Reason.MALFORMED, "kcwt is no tagged COSE_Sign1")
    token = read_token(cose.sign1_of(inner.value), keys, rules, version)
    use = _presentation(message, token, rules)
    ticket = use.get(Claim.BUSINESS)
    return _credential(
        token,
        made_at=use[Claim.IAT],
        dynamic=True,
        business=None if ticket is None else read_ticket(ticket, token, keys, rules),
    )


def _presentation(message: cose.Sign1, token: Token, rules: ReadRules) -> dict[int | str, Any]:
    """Return the claims of a key binding token, once the holder's signature and they are sound."""
    holder = holder_key_of(token.claims)
    if holder is None:
        raise Rejected(Reason.MISSING_CLAIM, "cnf")
    algorithm, key = from_cose_key(holder, compressed=token.version == 2)
    cose.verify(message, algorithm, key, Reason.BAD_HOLDER_SIGNATURE)
    claims = claims_of(message.payload)
    for claim, name in ((Claim.AUD, "aud"), (Claim.IAT, "iat")):
        if claim not in claims:
            raise Rejected(Reason.MISSING_CLAIM, f"{name} of the presentation")
    if not fits_audience(claims[Claim.AUD], rules.site, rules.gate):
        raise Rejected(Reason.WRONG_AUDIENCE)
    check_known(claims, _PRESENTED)
    made_at = seconds(claims[Claim.IAT], "iat of the presentation")
    check_fresh(made_at, rules)
    _check_times(claims, rules)
    if made_at + rules.max_future_s < token.issued_at:
        raise Rejected(Reason.BAD_TIME, "presented before the credential was issued")
    nonce = claims.get(Claim.CNONCE)
    if nonce is not None and not (isinstance(nonce, bytes) and len(nonce) <= IDENTIFIER_BYTES):
        raise Rejected(Reason.MALFORMED, "cnonce is no short byte string")
    if rules.challenge is not None and (
        nonce is None or not hmac.compare_digest(nonce, rules.challenge)
    ):
        raise Rejected(Reason.WRONG_CHALLENGE)
    return claims


def _check_times(claims: Mapping[int | str, Any], rules: ReadRules) -> None:
    """Check the validity that the holder gave a presentation, where it has one."""
    begin = seconds(claims.get(Claim.NBF, 0), "nbf of the presentation")
    expiry = seconds(claims.get(Claim.EXP, LATEST_TIME), "exp of the presentation")
    check_validity(begin, expiry - 1, rules)


def _credential(token: Token, *, made_at: int, dynamic: bool = False, **more: Any) -> Credential:
    """Turn a verified token into a credential."""
    claims = token.claims
    data = claims.get(Claim.IDENTITY, {})
    if not isinstance(data, dict):
        raise Rejected(Reason.MALFORMED, "claim 169 is no map")
    ages: frozenset[int] = frozenset()
    said: dict[str, Any] = {}
    if token.version == 1:
        said["iss"] = claims[Claim.ISS]
    elif Claim.AGES in claims:
        ages = ages_of(claims)
        said["ages"] = sorted(ages)
    return Credential(
        format=FormatName.NATIVE,
        issuer=token.key.issuer,
        key_id=token.key.kid,
        kind=token.kind,
        level=level_of(claims),
        subject=token.subject,
        issued_at=token.issued_at,
        valid_from=token.valid_from,
        valid_until=token.valid_until,
        dynamic=dynamic,
        presented_at=made_at if dynamic else None,
        replay_key=replay_key(token.key.issuer, token.identifier, made_at),
        references=identity.references(data, numbered=token.version == 2),
        birth_date=identity.birth_date(data),
        ages=ages,
        undisclosed=token.undisclosed,
        regions=token.regions,
        status=status_of(claims),
        claims={**said, "vct": claims.get(Claim.VCT), **identity.shown(data)},
        **more,
    )
