"""The issuer's and the holder's side: keys, credentials, presentations, QR codes.

For pilots, demos and tests; a production issuer keeps its keys in hardware and follows
`agent.credential.native`, which is the profile's one description. Nothing here runs in a gate.

    issuer = new_issuer("city", "ES256")
    holder = Holder.new()
    credential = sign_credential(issuer, holder, subject="42", issued_at=now, valid_until=now + DAY)
    text = present(credential, holder, at=now, audience="library/main")
    Path("code.png").write_bytes(qr_png(text))

Rules:
- all times are given, never read from a clock; encoding is deterministic CBOR, integers are Unix
  seconds;
- version 2 of the profile is the one to issue; version 1 is for gates that know no other;
- how a code is drawn, and from how far away it is read, is `agent.issuing.symbol`;
- what goes on a phone is not compressed: that saves a few bytes in one code of four;
- a finger template that would make a code which no gate's camera reads stays in the module.
"""

from __future__ import annotations

import re
import secrets
import zlib
from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal

from agent.credential import base45, cbor, cose, disclosure
from agent.credential.issuers import Algorithm
from agent.credential.limits import IDENTIFIER_BYTES, SHORT_KID_BYTES
from agent.credential.model import (
    BiometricReference,
    Kind,
    Level,
    Modality,
    ReferenceForm,
    Rejected,
    StatusReference,
)
from agent.credential.native import PREFIXES
from agent.credential.needs import OLDEST, Redact
from agent.credential.numbers import (
    KB_TYP,
    KINDS,
    MAKERS,
    SD_CWT_TYP,
    SHA_256,
    VCT_PREFIX,
    Alg,
    Claim,
    Header,
    Tag,
)
from agent.issuing.keys import Holder, Issuer, PublicHolder, SigningKey, new_issuer
from agent.issuing.redact import disclosed, redact
from agent.issuing.symbol import Medium, qr_png, qr_symbol

__all__ = [
    "MAX_FINGER_BYTES",
    "Holder",
    "Issuer",
    "Medium",
    "PublicHolder",
    "Redact",
    "SigningKey",
    "Version",
    "check_readable",
    "disclosed",
    "encrypt",
    "face_image",
    "face_template",
    "finger_template",
    "new_issuer",
    "present",
    "qr_png",
    "qr_symbol",
    "sign1",
    "sign_credential",
    "sign_ticket",
    "version_of",
    "wrap",
]  # fmt: skip

Version = Literal[1, 2]
"""Of the native profile. 1 is read by every gate, 2 is smaller and can be redacted."""


FACE_TEMPLATE: Final = 100
"""Claim 169 vendor sub-format: 128 int8, the model's id as issuer."""
FINGER_TEMPLATE: Final = 110
"""Claim 169 vendor sub-format: a sensor family's template, the family as issuer."""

MAX_FINGER_BYTES: Final = 512
"""A finger template in a code: with one the code is read at 14 cm. With 1,536 bytes its modules are
2 pixels of a phone's page, and no gate's camera reads it."""


_NUMBERS: Final = {
    Algorithm.ES256: Alg.ES256,
    Algorithm.ES384: Alg.ES384,
    Algorithm.EDDSA: Alg.EDDSA,
    Algorithm.PS256: Alg.PS256,
    Algorithm.SM2: Alg.SM2_SM3,
}
_FULLY_SPECIFIED: Final = {
    Algorithm.ES256: Alg.ESP256,
    Algorithm.ES384: Alg.ESP384,
    Algorithm.EDDSA: Alg.ED25519,
}

_KIND_NUMBERS: Final = {kind: number for number, kind in KINDS.items()}
_MAKER_NUMBERS: Final = {name: number for number, name in MAKERS.items()}
_HEXADECIMAL: Final = re.compile(f"(?:[0-9a-f]{{2}}){{1,{IDENTIFIER_BYTES}}}")

# --- biometrics ----------------------------------------------------------------------------------


def face_template(data: bytes, model: str) -> BiometricReference:
    """Return a reference of 128 int8 made by the model of that id."""
    return BiometricReference(Modality.FACE, ReferenceForm.TEMPLATE, data, FACE_TEMPLATE, model)


def face_image(data: bytes) -> BiometricReference:
    """Return a reference picture.

    Raises:
        ValueError: neither PNG, JPEG, WEBP nor AVIF.
    """
    for subformat, start, mark in (
        (0, 0, b"\x89PNG"),
        (1, 0, b"\xff\xd8\xff"),
        (4, 8, b"WEBP"),
        (3, 4, b"ftypavif"),
    ):
        if data[start : start + len(mark)] == mark:
            return BiometricReference(Modality.FACE, ReferenceForm.IMAGE, data, subformat)
    raise ValueError("a face picture is PNG, JPEG, WEBP or AVIF")


def finger_template(data: bytes, family: str, position: int = 51) -> BiometricReference:
    """Return a finger template of a sensor family; position 50 (right thumb) to 59."""
    return BiometricReference(
        Modality.FINGER, ReferenceForm.TEMPLATE, data, FINGER_TEMPLATE, family, position
    )


def _identity(
    birth_date: str | None,
    references: Iterable[BiometricReference],
    more: Mapping[int, Any],
    version: Version,
) -> dict[int, Any]:
    """Return claim 169."""
    identity: dict[int, Any] = dict(more)
    references = tuple(references)
    check_readable(references)
    if birth_date:
        whole = len(birth_date) == len("YYYY-MM-DD")
        identity[8] = birth_date.replace("-", "") if whole else birth_date
    for reference in references:
        entry: dict[int, Any] = {
            0: reference.data,
            1: 0 if reference.form is ReferenceForm.IMAGE else 1,
            2: reference.subformat,
        }
        if reference.issuer:
            name: str | int = reference.issuer
            entry[3] = name if version == 1 else _MAKER_NUMBERS.get(reference.issuer, name)
        identity.setdefault(reference.position, []).append(entry)
    return identity


def check_readable(references: Iterable[BiometricReference]) -> None:
    """Check that a code with these references can be read by a gate's camera.

    Raises:
        ValueError: a finger template of more than `MAX_FINGER_BYTES`.
    """
    for reference in references:
        finger = reference.modality is Modality.FINGER
        if finger and len(reference.data) > MAX_FINGER_BYTES:
            raise ValueError(
                f"a finger template of {len(reference.data)} bytes makes a code that no camera "
                f"reads ({MAX_FINGER_BYTES} at most): that finger stays in the gate's module "
                "(idgate finger enroll)"
            )


# --- messages ------------------------------------------------------------------------------------


def sign1(
    key: SigningKey,
    payload: Mapping[Any, Any],
    *,
    kid: bytes | None = None,
    header: Mapping[int, Any] | None = None,
    unprotected: Mapping[int, Any] | None = None,
    fully_specified: bool = False,
) -> bytes:
    """Sign claims as a tagged COSE_Sign1.

    Args:
        key: the signer's key.
        payload: the claims.
        kid: key identifier for the protected header.
        header: further protected parameters; they may override.
        unprotected: the other header, which no signature covers.
        fully_specified: name the algorithm by its number of RFC 9864.
    """
    numbers = {**_NUMBERS, **_FULLY_SPECIFIED} if fully_specified else _NUMBERS
    protected: dict[int, Any] = {Header.ALG: numbers[key.algorithm]}
    if kid is not None:
        protected[Header.KID] = kid
    raw = cbor.encode({**protected, **(header or {})})
    body = cbor.encode(dict(payload))
    signature = key.sign(cbor.encode(["Signature1", raw, b"", body]))
    return cbor.encode(cbor.Tagged(Tag.SIGN1, [raw, dict(unprotected or {}), body, signature]))


def sign_credential(
    issuer: Issuer,
    holder: Holder | PublicHolder | None,
    *,
    subject: str,
    issued_at: int,
    valid_until: int,
    valid_from: int | None = None,
    kind: Kind | str = Kind.ONLINE_ID,
    level: Level | int = Level.BASIC,
    birth_date: str | None = None,
    references: Iterable[BiometricReference] = (),
    regions: Iterable[str] = (),
    status: StatusReference | None = None,
    cti: bytes | None = None,
    identity: Mapping[int, Any] | None = None,
    claims: Mapping[int, Any] | None = None,
    fully_specified: bool = False,
    version: Version = 1,
    ages: Iterable[int] = (),
    redacted: Iterable[Redact | str] = (),
) -> bytes:
    """Sign a credential.

    Args:
        issuer: who signs.
        holder: whose key goes into `cnf`, the public one being enough; None makes a credential for
            static use only.
        subject: opaque identifier in the issuer's realm.
        issued_at: `iat`.
        valid_until: last second of validity; `exp` is the second after it.
        valid_from: `nbf`, where it differs from `issued_at`.
        kind: becomes `vct`.
        level: assurance level, 1 basic or 2 upgraded.
        version: of the native profile.
        ages: ages that the holder has reached, 1 to 150; version 2 alone.
        redacted: what the holder may keep back; version 2 with a holder alone.
        birth_date: YYYY-MM-DD, YYYY-MM or YYYY.
        references: biometrics for claim 169.
        regions: ISO 3166-2 codes; none means everywhere.
        status: entry of a Token Status List.
        cti: the credential's identifier; where None, 16 random bytes in version 1 and none in
            version 2.
        identity: further attributes of claim 169, by number.
        claims: further claims, by number; they override.
        fully_specified: see `sign1`.

    Returns:
        The tagged COSE_Sign1, with every disclosure; `present` makes a code of it.

    Raises:
        ValueError: a finger template of more than `MAX_FINGER_BYTES`, an age that is none, or
            what the version cannot say.
    """
    ages, kept = sorted(set(ages)), frozenset(Redact(word) for word in redacted)
    _check_choice(version, ages, kept, bound=holder is not None)
    body: dict[int, Any] = {Claim.EXP: valid_until + 1, Claim.IAT: issued_at}
    if version == 1:
        body[Claim.ISS] = issuer.iss
        body[Claim.SUB] = subject
        body[Claim.VCT] = VCT_PREFIX + Kind(kind)
        body[Claim.LEVEL] = int(level)
        cti = secrets.token_bytes(16) if cti is None else cti
    else:
        body[Claim.SUB] = _compact_subject(subject)
        body[Claim.VCT] = _KIND_NUMBERS[Kind(kind)]
        if level != Level.BASIC:
            body[Claim.LEVEL] = int(level)
    if cti is not None:
        body[Claim.CTI] = cti
    if valid_from is not None:
        body[Claim.NBF] = valid_from
    if holder is not None:
        body[Claim.CNF] = {1: holder.cose_key(compressed=version == 2)}
    data = _identity(birth_date, references, identity or {}, version)
    if data:
        body[Claim.IDENTITY] = data
    if places := sorted(regions):
        body[Claim.REGIONS] = places
    if status is not None:
        body[Claim.STATUS] = {"status_list": {"idx": status.index, "uri": status.uri}}
    if ages:
        body[Claim.AGES] = dict.fromkeys(ages, True)
    header: dict[int, Any] = {}
    disclosures = redact(body, kept)
    if disclosures:
        header = {Header.TYP: SD_CWT_TYP, Header.SD_ALG: SHA_256}
    return sign1(
        issuer.key,
        body | dict(claims or {}),
        kid=issuer.kid if version == 1 else issuer.kid[:SHORT_KID_BYTES],
        header=header,
        unprotected={Header.SD_CLAIMS: disclosures} if disclosures else None,
        fully_specified=fully_specified,
    )


def _check_choice(
    version: Version, ages: list[int], redacted: frozenset[Redact], *, bound: bool
) -> None:
    """Refuse what a version cannot say."""
    if version == 1 and (ages or redacted):
        raise ValueError("ages and redacted claims need version 2 of the profile")
    if redacted and not bound:
        raise ValueError("redacted claims need a holder: only his phone can disclose them")
    if ages and not 0 < ages[0] <= ages[-1] <= OLDEST:
        raise ValueError(f"an age is 1 to {OLDEST}")


def _compact_subject(subject: str) -> str | bytes:
    """Return the bytes that a subject is the hexadecimal text of, else the text."""
    return bytes.fromhex(subject) if _HEXADECIMAL.fullmatch(subject) else subject


def sign_ticket(
    issuer: Issuer,
    holder: Holder | PublicHolder | None,
    *,
    subject: str,
    issued_at: int,
    valid_until: int,
    kind: Kind | str = Kind.RAIL_TICKET,
    details: Mapping[str, str | int] | None = None,
    realm: str | None = None,
    audience: str | None = None,
    **more: Any,
) -> bytes:
    """Sign a ticket or reservation to go beside an identity.

    Args:
        issuer: who sells it.
        holder: whose key it is bound to; None binds it to `subject` of the identity.
        subject: `sub`; the identity's own where there is no holder.
        realm: `iss` of the identity, where there is no holder and another issuer gave `subject`.
        audience: where it is good, as `aud` of a presentation; None means everywhere.
        issued_at: `iat`.
        valid_until: last second of validity.
        kind: becomes `vct`.
        details: train, seat, reservation number.
        more: as `sign_credential` (valid_from, status, cti, claims, version). A ticket is known by
            its `cti`: where none is given it has 8 random bytes in version 2.
    """
    if more.get("version") == 2 and more.get("cti") is None:
        more["cti"] = secrets.token_bytes(8)
    extra = dict(more.pop("claims", None) or {})
    if details:
        extra[Claim.DETAILS] = dict(details)
    if realm is not None:
        extra[Claim.REALM] = realm
    if audience is not None:
        extra[Claim.AUD] = audience
    return sign_credential(
        issuer, holder, subject=subject, issued_at=issued_at, valid_until=valid_until, kind=kind,
        claims=extra, **more,
    )  # fmt: skip


def present(
    credential: bytes,
    holder: Holder | None = None,
    *,
    at: int | None = None,
    audience: str = "*",
    challenge: bytes | None = None,
    ticket: bytes | None = None,
    site_key: bytes | None = None,
    claims: Mapping[int, Any] | None = None,
    compress: bool = False,
) -> str:
    """Make the text of a code.

    Args:
        credential: what `sign_credential` returned.
        holder: signs a dynamic code; None shows the credential as it is (static).
        at: Unix seconds of the presentation; needed with a holder.
        audience: `site/gate`, `site`, `group.*` or `*`; see `checks.fits_audience`.
        challenge: the nonce that the gate shows.
        ticket: what `sign_ticket` returned.
        site_key: 32 bytes; encrypts the code for the site's gates.
        claims: further claims of the presentation; they override.
        compress: see `wrap`.

    Raises:
        ValueError: a static code with a challenge or ticket, a dynamic one without time.
    """
    message = credential
    if holder is not None:
        if at is None:
            raise ValueError("a dynamic code needs the time of its presentation")
        body: dict[int, Any] = {Claim.AUD: audience, Claim.IAT: at}
        if challenge is not None:
            body[Claim.CNONCE] = challenge
        if ticket is not None:
            body[Claim.BUSINESS] = ticket
        kcwt = cbor.decode(credential, tags=(Tag.SIGN1,))
        message = sign1(
            holder.key, body | dict(claims or {}), header={Header.KCWT: kcwt, Header.TYP: KB_TYP}
        )
    elif challenge is not None or ticket is not None:
        raise ValueError("a challenge or a ticket needs a dynamic code, and so the holder's key")
    return wrap(message, version=version_of(credential), site_key=site_key, compress=compress)


def version_of(credential: bytes) -> Version:
    """Return the version of the profile that a credential is of: 2 where `vct` is a number."""
    try:
        claims = disclosure.decode(cose.parse_sign1(credential).payload)
    except Rejected:
        return 1
    return 2 if isinstance(claims, dict) and type(claims.get(Claim.VCT)) is int else 1


def wrap(
    message: bytes,
    *,
    version: Version = 1,
    site_key: bytes | None = None,
    compress: bool = False,
) -> str:
    """Write a message as `NI1:` or `NI2:` text, encrypted where asked.

    Args:
        message: a credential or a presentation.
        version: of the credential.
        site_key: 32 bytes; encrypts it for the site's gates.
        compress: deflate it where that makes it smaller; for paper.
    """
    packed = zlib.compress(message, 9) if compress else message
    data = packed if len(packed) < len(message) else message
    if site_key is not None:
        data = encrypt(data, site_key)
    return PREFIXES[version].decode() + base45.encode(data)


def encrypt(data: bytes, site_key: bytes) -> bytes:
    """Return a tagged COSE_Encrypt0 (A256GCM) of `data`; the key is 32 bytes."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    vector = secrets.token_bytes(12)
    raw = cbor.encode({Header.ALG: Alg.A256GCM})
    sealed = AESGCM(site_key).encrypt(vector, data, cbor.encode(["Encrypt0", raw, b""]))
    return cbor.encode(cbor.Tagged(Tag.ENCRYPT0, [raw, {Header.IV: vector}, sealed]))
