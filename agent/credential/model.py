"""The values that cross the boundary out of `agent.credential`.

A `Credential` exists only after its issuer's signature was checked (and, for a dynamic code, its
holder's): the formats' verify functions are its only makers. Everything is immutable; personal
data sits in fields that do not show in `repr`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum, StrEnum
from typing import Any, NewType

from agent.reason import Reason

__all__ = [
    "BiometricReference",
    "BusinessItem",
    "Credential",
    "EventTicket",
    "FormatName",
    "Kind",
    "Level",
    "Modality",
    "ReferenceForm",
    "Rejected",
    "ReplayKey",
    "StatusReference",
    "StatusVerdict",
]

ReplayKey = NewType("ReplayKey", bytes)
"""SHA-256 over issuer, cti and iat of a use: never over token bytes, which can be malleated."""


class FormatName(StrEnum):
    """The formats that the agent reads."""

    NATIVE = "native"
    CLAIM169 = "claim169"
    DCC = "dcc"
    PRETIX = "pretix"
    TRANSIT = "transit"
    AADHAAR = "aadhaar"


class Kind(StrEnum):
    """What document a credential stands for; site profiles accept by these names."""

    ONLINE_ID = "online-id"
    DRIVING_LICENCE = "driving-licence"
    SOCIAL_SECURITY_CARD = "social-security-card"
    RESIDENCE_PERMIT = "residence-permit"
    BUSINESS_LICENCE = "business-licence"
    PASSPORT = "passport"
    HK_MACAU_PERMIT = "hk-macau-permit"
    RAIL_TICKET = "rail-ticket"
    LIBRARY_CARD = "library-card"
    EVENT_TICKET = "event-ticket"
    TRANSIT_CODE = "transit-code"
    HEALTH_CERTIFICATE = "health-certificate"
    NATIONAL_ID = "national-id"
    UNKNOWN = "unknown"


class Level(IntEnum):
    """Assurance level as signed by the issuer; formats without one are basic."""

    BASIC = 1
    UPGRADED = 2


class Modality(StrEnum):
    """Biometric modality, ISO/IEC 2382-37."""

    FACE = "face"
    FINGER = "finger"


class ReferenceForm(StrEnum):
    """How a biometric reference is held in the credential."""

    IMAGE = "image"
    TEMPLATE = "template"


@dataclass(frozen=True, slots=True)
class BiometricReference:
    """One biometric reference out of a credential (claim 169, 50-74).

    Attributes:
        modality: face or finger.
        form: image or template.
        data: the picture file or template bytes; never logged, never stored.
        subformat: Claim 169 sub-format number (images: 0 PNG, 1 JPEG, 2 JPEG 2000, 3 AVIF, 4 WEBP;
            templates: 0 ANSI 378, 1 ISO 19794-2, 100 face int8[128], 110 finger sensor family).
        issuer: model id or sensor family for vendor sub-formats; may be empty.
        position: Claim 169 key (50 right thumb .. 59 left little finger, 62 face).
    """

    modality: Modality
    form: ReferenceForm
    data: bytes = field(repr=False)
    subformat: int
    issuer: str = ""
    position: int = 62


class StatusVerdict(StrEnum):
    """What a Token Status List says of an index."""

    VALID = "valid"
    INVALID = "invalid"
    SUSPENDED = "suspended"
    UNKNOWN = "unknown"
    WITHHELD = "withheld"  # there is a list, but the gate cannot read it


@dataclass(frozen=True, slots=True)
class StatusReference:
    """Where the credential's status stands: an index into a Token Status List."""

    uri: str
    index: int


@dataclass(frozen=True, slots=True)
class BusinessItem:
    """A ticket or reservation beside the identity, verified with its own issuer's key.

    Attributes:
        issuer: the issuer's name in the trust set.
        kind: of ticket.
        reference: `cti`.
        use_key: identifies the ticket, whichever code it stands in.
        valid_from, valid_until: first and last second of validity, Unix seconds.
        regions: ISO 3166-2 codes it is valid in; empty means everywhere.
        status: status list reference.
        claims: details for the place that sold it.
    """

    issuer: str
    kind: Kind
    reference: bytes = field(repr=False)
    use_key: ReplayKey
    valid_from: int
    valid_until: int
    regions: frozenset[str] = frozenset()
    status: StatusReference | None = None
    claims: Mapping[str, Any] = field(repr=False, default_factory=dict)


@dataclass(frozen=True, slots=True)
class EventTicket:
    """What a pretix ticket is for, by the organiser's own numbers.

    Attributes:
        item: the product.
        variation: of the product; 0 where it has none.
        subevent: the date of a series; 0 where the event has none.
    """

    item: int
    variation: int = 0
    subevent: int = 0


@dataclass(frozen=True, slots=True)
class Credential:
    """What a code proved. Times are Unix seconds.

    Attributes:
        format: the format that was read.
        issuer: the issuer's name in the trust set, not the one the code claims for itself.
        key_id: the key that verified it.
        kind: kind of document, `Kind.UNKNOWN` where the format's own name for it maps to none.
        document_type: the format's own name for the kind (`vct`, a URI), for profiles to map.
        level: assurance level.
        subject: opaque subject identifier inside the issuer's realm; leaves the gate only as HMAC.
        issued_at: when the credential was issued, None where the format has none.
        valid_from: first second of validity.
        valid_until: last second of validity.
        dynamic: True when the holder's key signed this presentation.
        presented_at: `iat` of the presentation, for dynamic codes.
        replay_key: identifies this use.
        references: biometric references.
        birth_date: ISO 8601, a day or only its month or year; read by `birth.days` alone.
        ages: ages of which the issuer says that the holder had reached them at `issued_at`.
        undisclosed: how many claims the holder kept to himself.
        regions: ISO 3166-2 codes it is valid in; empty means everywhere.
        status: status list reference.
        business: ticket or reservation, verified.
        revocation_hashes: what revocation lists of health certificates name it by.
        event: what a pretix ticket is for; None in every other format.
        claims: for `--show-claims` only.
    """

    format: FormatName
    issuer: str
    key_id: bytes
    kind: Kind
    level: Level
    subject: str = field(repr=False)
    issued_at: int | None
    valid_from: int
    valid_until: int
    dynamic: bool
    replay_key: ReplayKey
    presented_at: int | None = None
    references: tuple[BiometricReference, ...] = field(repr=False, default=())
    birth_date: str | None = field(repr=False, default=None)
    ages: frozenset[int] = field(repr=False, default=frozenset())
    undisclosed: int = 0
    regions: frozenset[str] = frozenset()
    status: StatusReference | None = None
    business: BusinessItem | None = field(repr=False, default=None)
    revocation_hashes: tuple[bytes, ...] = field(repr=False, default=())
    event: EventTicket | None = None
    document_type: str = ""
    claims: Mapping[str, Any] = field(repr=False, default_factory=dict)

    def without_person(self) -> Credential:
        """Return what may be kept after the attempt: nothing that says who it was."""
        return replace(
            self,
            subject="",
            references=(),
            birth_date=None,
            ages=frozenset(),
            business=None,
            status=None,
            revocation_hashes=(),
            claims={},
        )


class Rejected(Exception):
    """The one error of credential reading: a reason, and a detail for the operator's log.

    Args:
        reason: the closed code.
        detail: what exactly was wrong; must hold no personal data.
    """

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else str(reason))
        self.reason = reason
        self.detail = detail
