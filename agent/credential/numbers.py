"""The numbers of COSE and CWT, and this project's own where no standard has one.

Standards: IANA registries "COSE Header Parameters", "COSE Algorithms", "COSE Key Types and
Elliptic Curves", "CBOR Web Token (CWT) Claims"; RFC 9864; draft-ietf-spice-sd-cwt. Private numbers
are all below -65536, the range that both registries leave for private use.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final, TypeVar

from agent.credential.model import Kind

__all__ = [
    "KB_TYP",
    "KINDS",
    "MAKERS",
    "NATIVE_ONLY",
    "SD_CWT_TYP",
    "SHA_256",
    "VCT_PREFIX",
    "Alg",
    "Claim",
    "CoseKey",
    "Crv",
    "Header",
    "Kty",
    "Tag",
]

_Numbers = TypeVar("_Numbers", bound=type[IntEnum])


def _at_hand(numbers: _Numbers) -> _Numbers:
    """Lay the members of an enumeration into its class, as Python 3.12 does by itself.

    Before that each `Claim.ISS` is a call of a descriptor, and every item of every code needs some.
    """
    for name, member in numbers.__members__.items():
        type.__setattr__(numbers, name, member)
    return numbers


@_at_hand
class Tag(IntEnum):
    """CBOR tags that a credential may open with."""

    ENCRYPT0 = 16
    MAC0 = 17  # known only to be told apart: a MAC is no signature
    SIGN1 = 18
    REDACTED = 60  # of a digest, where an element of an array was (SD-CWT)
    CWT = 61


@_at_hand
class Header(IntEnum):
    """COSE header parameters."""

    ALG = 1
    CRIT = 2
    CONTENT_TYPE = 3
    KID = 4
    IV = 5
    KCWT = 13
    TYP = 16
    SD_CLAIMS = 17
    X5CHAIN = 33
    SD_ALG = 170


@_at_hand
class Alg(IntEnum):
    """COSE algorithms."""

    A256GCM = 3
    ES256 = -7
    EDDSA = -8
    ESP256 = -9
    ED25519 = -19
    ES384 = -35
    PS256 = -37
    ESP384 = -51
    SM2_SM3 = -65600
    """Private: SM2 with SM3 (GB/T 32918.2), r || s of 32 bytes each, default user id."""


@_at_hand
class CoseKey(IntEnum):
    """COSE_Key parameters (RFC 9052 section 7, RFC 9053 section 7)."""

    KTY = 1
    KID = 2
    ALG = 3
    CRV = -1
    X = -2
    Y = -3
    D = -4


@_at_hand
class Kty(IntEnum):
    """COSE key types."""

    OKP = 1
    EC2 = 2


@_at_hand
class Crv(IntEnum):
    """COSE elliptic curves."""

    P256 = 1
    P384 = 2
    ED25519 = 6


@_at_hand
class Claim(IntEnum):
    """CWT claims."""

    ISS = 1
    SUB = 2
    AUD = 3
    EXP = 4
    NBF = 5
    IAT = 6
    CTI = 7
    CNF = 8
    VCT = 11
    CNONCE = 39
    IDENTITY = 169
    STATUS = 65535
    LEVEL = -65537
    """Private: assurance level, 1 basic or 2 upgraded."""
    REGIONS = -65538
    """Private: list of ISO 3166-2 codes in which the credential is valid."""
    BUSINESS = -65539
    """Private: in a key binding token, a byte string holding a ticket, its issuer's own CWT."""
    DETAILS = -65540
    """Private: in a ticket, a map of text to text or integer for the place that sold it."""
    REALM = -65541
    """Private: in a ticket without `cnf`, the `iss` of the identity whose `sub` it repeats."""
    AGES = -65542
    """Private: a map of ages to true: so old, or older, was the holder when it was issued."""


_PRIVATE: Final = -65536
NATIVE_ONLY: Final = frozenset(
    {Claim.CNF, Claim.VCT, *(claim for claim in Claim if claim < _PRIVATE)} - {Claim.BUSINESS}
)
"""Claims of a credential that only the native profile has; any of them marks one as its own."""

SD_CWT_TYP: Final = 293
"""`typ` of an issuer's credential: application/sd-cwt (draft-ietf-spice-sd-cwt)."""

KB_TYP: Final = 294
"""`typ` of a key binding token: application/kb+cwt."""

SHA_256: Final = -16
"""COSE algorithm of the digests of redacted claims."""

VCT_PREFIX: Final = "urn:idgate:vct:"
"""What a `vct` of this project begins with in version 1; the kind of document follows."""

KINDS: Final = {
    1: Kind.ONLINE_ID,
    2: Kind.DRIVING_LICENCE,
    3: Kind.SOCIAL_SECURITY_CARD,
    4: Kind.RESIDENCE_PERMIT,
    5: Kind.BUSINESS_LICENCE,
    6: Kind.PASSPORT,
    7: Kind.HK_MACAU_PERMIT,
    8: Kind.RAIL_TICKET,
    9: Kind.LIBRARY_CARD,
    10: Kind.EVENT_TICKET,
    11: Kind.TRANSIT_CODE,
    12: Kind.HEALTH_CERTIFICATE,
    13: Kind.NATIONAL_ID,
    23: Kind.UNKNOWN,
}
"""`vct` of version 2 and the kind that it stands for. Never given anew; 23 is "none of these"."""

MAKERS: Final = {1: "face-embed-v1", 2: "r503", 3: "r307"}
"""What made a biometric template, by number in version 2: a face model's id, a sensor family."""
