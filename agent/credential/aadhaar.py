"""UIDAI's Aadhaar Secure QR, versions 1 to 5.

    decimal digits -> big-endian bytes -> gzip or zlib -> fields | photo | hashes | signature (256)

Rules:
- digits without a leading zero, 7,089 at most; unpacked to 64 KiB at most, nothing after the
  stream;
- RSA-2048, PKCS #1 v1.5 with SHA-256, over everything before the signature. Keys that are pinned to
  RS256 are tried, 8 at most, before a single field is read;
- a letter has no end of validity and outlives the key that signed it: the key must have been valid
  when the letter was made, which the reference id says (in India's time). A key that is no longer
  to be believed at all is taken out of the trust set;
- the photo is a JPEG 2000 codestream, a reference for matching and nothing else;
- the subject is a hash of what stays the same from letter to letter: last four digits, name, birth
  date and gender as printed.

Fields end with FF, in ISO 8859-1: [V2 to V5] | which hashes (bit 0 email, bit 1 mobile) | reference
id (last 4 digits, yyyyMMddHHmmssSSS) | name | birth date | gender | care of | district | landmark |
house | location | pin code | post office | state | street | sub-district | vtc | [last 4 of the
mobile number, from V2]. Hashes of 32 bytes follow the photo in V1; from V2 they may.

Source: UIDAI "User manual, QR code", 2019, its specimen, and public readers for V2 to V5.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from agent.credential import birth, inflate
from agent.credential.checks import check_key, check_validity, for_format, replay_key, seconds
from agent.credential.issuers import (
    Algorithm,
    IssuerKey,
    KeySource,
    best_first,
    untried,
)
from agent.credential.limits import (
    DIGITS,
    INFLATED_BYTES_AADHAAR,
    ISSUER_KEYS,
    LATEST_TIME,
)
from agent.credential.model import (
    BiometricReference,
    Credential,
    FormatName,
    Kind,
    Level,
    Modality,
    ReferenceForm,
    Rejected,
)
from agent.credential.registry import ReadRules
from agent.reason import Reason

__all__ = ["Letter", "parse", "read", "sniff"]

_SIGNATURE_SIZE: Final = 256
_DIGITS_MIN: Final = 617
"""Digits of 256 bytes: a signature does not compress."""
_STEP: Final = 512
"""Digits that are made a number at once: fewer than Python's limit can be set to."""
_GZIP_MAGIC: Final = b"\x1f\x8b"
_DELIMITER: Final = b"\xff"
_CHARSET: Final = "latin-1"
_VERSIONS: Final = (b"V2", b"V3", b"V4", b"V5")
_HASH_SIZE: Final = 32
_CODESTREAM: Final = b"\xff\x4f\xff\x51"
_END_OF_CODESTREAM: Final = b"\xff\xd9"
_JPEG_2000: Final = 2
_INDIA: Final = dt.timezone(dt.timedelta(hours=5, minutes=30))
_REFERENCE_ID: Final = re.compile(r"\d{4}(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)\d{3}", re.ASCII)
_BIRTH_DATE: Final = re.compile(r"(\d\d)[-/](\d\d)[-/](\d{4})", re.ASCII)
_BIRTH_YEAR: Final = re.compile(r"[0-9]{4}")
_NAMES: Final[tuple[str, ...]] = (
    "hashes",
    "reference_id",
    "name",
    "birth_date",
    "gender",
    "care_of",
    "district",
    "landmark",
    "house",
    "location",
    "pin_code",
    "post_office",
    "state",
    "street",
    "sub_district",
    "vtc",
)
_NAMES_V2: Final[tuple[str, ...]] = (*_NAMES, "mobile_last_4")


@dataclass(frozen=True, slots=True)
class Letter:
    """The signed part, taken apart.

    Attributes:
        version: 1 to 5.
        fields: text by name, as printed.
        photo: JPEG 2000 codestream, empty where the code has none.
        issued_at: when the letter was made, Unix seconds.
    """

    version: int
    fields: Mapping[str, str] = field(repr=False)
    photo: bytes = field(repr=False)
    issued_at: int


def sniff(payload: bytes) -> bool:
    """Return whether the payload is a decimal number with room for a signature."""
    return _DIGITS_MIN <= len(payload) <= DIGITS and payload.isdigit()


def read(payload: bytes, keys: KeySource, rules: ReadRules) -> Credential:
    """Verify an Aadhaar code.

    Args:
        payload: the bytes of the code.
        keys: UIDAI's keys, pinned to RS256.
        rules: the gate's clock.

    Raises:
        Rejected: with the one reason.
    """
    data = _unpack(payload)
    signed, signature = data[:-_SIGNATURE_SIZE], data[-_SIGNATURE_SIZE:]
    signers = _signers(signed, signature, keys)
    letter = parse(signed)
    key = best_first(signers, letter.issued_at, Kind.NATIONAL_ID)[0]
    check_validity(letter.issued_at, LATEST_TIME, rules)
    check_key(key, Kind.NATIONAL_ID, replace(rules, now=letter.issued_at))
    return Credential(
        format=FormatName.AADHAAR,
        issuer=key.issuer,
        key_id=key.kid,
        kind=Kind.NATIONAL_ID,
        level=Level.BASIC,
        subject=_subject(letter),
        issued_at=letter.issued_at,
        valid_from=letter.issued_at,
        valid_until=LATEST_TIME,
        dynamic=False,
        replay_key=replay_key(key.issuer, letter.fields["reference_id"].encode(), letter.issued_at),
        references=_references(letter),
        birth_date=_birth_date(letter.fields["birth_date"]),
        claims={"version": letter.version, **letter.fields},
    )


def _unpack(payload: bytes) -> bytes:
    """Return the inflated bytes, long enough for a signature."""
    if len(payload) > DIGITS:
        raise Rejected(Reason.TOO_LARGE, f"{len(payload)} digits")
    if not payload.isdigit() or payload.startswith(b"0"):
        raise Rejected(Reason.MALFORMED, "not a number without leading zeros")
    number = _number(payload)
    packed = number.to_bytes(number.bit_length() // 8 + 1, "big")  # no magic has its top bit set
    if packed.startswith(_GZIP_MAGIC):
        data = inflate.gzip(packed, limit=INFLATED_BYTES_AADHAAR)
    elif inflate.is_zlib(packed):
        data = inflate.unzlib(packed, limit=INFLATED_BYTES_AADHAAR)
    else:
        raise Rejected(Reason.MALFORMED, "neither gzip nor zlib")
    if len(data) <= _SIGNATURE_SIZE:
        raise Rejected(Reason.UNSIGNED, "too short for a signature")
    return data


def _number(digits: bytes) -> int:
    """Return the number that digits write, in steps that no limit on long numbers forbids."""
    number = 0
    for at in range(0, len(digits), _STEP):
        step = digits[at : at + _STEP]
        number = number * 10 ** len(step) + int(step)
    return number


def _signers(signed: bytes, signature: bytes, keys: KeySource) -> list[IssuerKey]:
    """Return the key that signed the letter, as often as the trust set has it."""
    candidates = [
        key
        for key in for_format(keys.for_format(FormatName.AADHAAR), FormatName.AADHAAR)
        if key.algorithm is Algorithm.RS256
        and isinstance(key.public_key, rsa.RSAPublicKey)
        and key.public_key.key_size == 8 * _SIGNATURE_SIZE
        and not key.is_root
    ]
    if not candidates:
        raise Rejected(Reason.UNKNOWN_ISSUER, "no key of UIDAI's")
    found = [key for key in candidates[:ISSUER_KEYS] if _verifies(key, signature, signed)]
    if not found:
        raise Rejected(Reason.BAD_SIGNATURE, f"of no key of UIDAI's{untried(candidates)}")
    return found


def _verifies(key: IssuerKey, signature: bytes, signed: bytes) -> bool:
    try:
        key.public_key.verify(signature, signed, padding.PKCS1v15(), hashes.SHA256())
    except InvalidSignature:
        return False
    return True


def parse(signed: bytes) -> Letter:
    """Take the signed part apart.

    Raises:
        Rejected: `malformed`.
    """
    version = 1
    names = _NAMES
    if signed[:2] in _VERSIONS and signed[2:3] == _DELIMITER:
        version, names, signed = int(signed[1:2]), _NAMES_V2, signed[3:]
    parts = signed.split(_DELIMITER, len(names))
    if len(parts) != len(names) + 1:
        raise Rejected(Reason.MALFORMED, "fields are missing")
    fields = {name: part.decode(_CHARSET) for name, part in zip(names, parts, strict=False)}
    if fields["hashes"] not in ("0", "1", "2", "3"):
        raise Rejected(Reason.MALFORMED, "the first field is no flag")
    if not fields["name"]:
        raise Rejected(Reason.MALFORMED, "no name")
    return Letter(
        version=version,
        fields=fields,
        photo=_photo(parts[-1], int(fields["hashes"]).bit_count() * _HASH_SIZE, version),
        issued_at=_issued_at(fields["reference_id"]),
    )


def _photo(rest: bytes, hashes_size: int, version: int) -> bytes:
    """Return the codestream at the front of what follows the fields."""
    for size in (hashes_size,) if version == 1 else (0, hashes_size):
        photo = rest[:-size] if size else rest
        if len(rest) == size:
            return b""
        if photo.startswith(_CODESTREAM) and photo.endswith(_END_OF_CODESTREAM):
            return photo
    raise Rejected(Reason.MALFORMED, "what follows the fields is no photo and hashes")


def _issued_at(reference_id: str) -> int:
    """Return the time in a reference id."""
    match = _REFERENCE_ID.fullmatch(reference_id)
    if match is None:
        raise Rejected(Reason.MALFORMED, "the reference id is not of 21 digits")
    try:
        year, month, day, hour, minute, second = (int(part) for part in match.groups())
        moment = dt.datetime(year, month, day, hour, minute, second, tzinfo=_INDIA)
    except ValueError:
        raise Rejected(Reason.BAD_TIME, "the reference id holds no time") from None
    return seconds(int(moment.timestamp()), "the reference id's time")


def _subject(letter: Letter) -> str:
    """Return a hash of what is the same in every letter of one person."""
    fields = letter.fields
    same = (fields["reference_id"][:4], fields["name"], fields["birth_date"], fields["gender"])
    text = "\xff".join(same)
    return hashlib.sha256(text.encode(_CHARSET)).hexdigest()


def _references(letter: Letter) -> tuple[BiometricReference, ...]:
    if not letter.photo:
        return ()
    return (
        BiometricReference(Modality.FACE, ReferenceForm.IMAGE, letter.photo, subformat=_JPEG_2000),
    )


def _birth_date(printed: str) -> str | None:
    """Return the day, or the year where the letter has no more; None where that is no date."""
    match = _BIRTH_DATE.fullmatch(printed)
    if match is None:
        return birth.parsed(printed) if _BIRTH_YEAR.fullmatch(printed) else None
    day, month, year = match.groups()
    return birth.parsed(f"{year}-{month}-{day}")
