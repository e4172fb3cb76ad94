"""The transport ministry's ride code with two SM2 signatures ("double offline").

Built from public parsers of the DBJT45/T018-2020 and JT/T family, not from the standard's text, and
no complete signed sample of a live system is public: prove it against one before relying on it.

Rules:
- Three signatures, each checked: a pinned CA key (trust set, format `transit`, `is_root`) over the
  issuer's certificate, the issuer over the account and the holder's key, the holder over all of it
  and the moment of generation.
- Which CA key: one whose kid is service id and key index (5 bytes, as the certificate has them);
  else those under their default kid are tried.
- The issuer is the one that the CA certified. The issuer number in the account block is the code's
  own word and decides nothing.
- Fresh means generated at most `validity` seconds ago, the issuer's number in seconds, never more
  than 300. Some parsers also take a generation time 8 hours off, a time zone error: refused here.
- The certificate's expiry is read as EMV does (four BCD digits MMYY, to the end of that month) and
  the month ends at midnight in China (UTC+8). One parser comments it as month and day.
- Lengths are exact: nothing before, between or after the fields.

Layout, big-endian: version (80 or 81) | length of the rest (2) | certificate (117) | payment
account (16, ASCII) | card account (10) | issuer (4) | code platform (4) | account type (1) | amount
limit in fen (3) | holder key, compressed (33) | authorisation expiry (4) | validity in seconds (2)
| length of custom data (1) | custom data (0-32) | 15 | issuer's r, s (64, over certificate to
custom data) | generated (4) | 15 | holder's r, s (64, over everything before its tag).

Certificate: 24 | service id (4) | CA key index (1) | 12 | issuer (4) | expiry (2) | serial (3) |
04 04 (SM2, SM2) | parameter (1) | 21 | issuer key, compressed (33) | the CA's r, s (64, over the
fields from 12 to the key).
"""

from __future__ import annotations

import calendar
import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from agent.credential import sm2
from agent.credential.checks import check_key, replay_key
from agent.credential.issuers import (
    Algorithm,
    IssuerKey,
    KeySource,
    best_first,
    untried,
)
from agent.credential.limits import ISSUER_KEYS
from agent.credential.model import Credential, FormatName, Kind, Level, Rejected
from agent.credential.registry import ReadRules
from agent.reason import Reason

__all__ = ["Certificate", "Code", "parse", "read", "sniff"]

_VERSIONS: Final = (0x80, 0x81)
_HEADER_SIZE: Final = 3
_CERTIFICATE_SIZE: Final = 117
_CERTIFICATE_TAG: Final = 0x24
_CERTIFICATE_FORMAT: Final = 0x12
_ALGORITHM_SM2: Final = 0x04
_SIGNATURE_TAG: Final = 0x15
_CUSTOM_MAX: Final = 32
_FIXED_SIZE: Final = 332
"""A code without custom data."""
_VALIDITY_MAX_S: Final = 300
_CHINA: Final = dt.timezone(dt.timedelta(hours=8))
_DEFAULT_KID_SIZE: Final = 8


@dataclass(frozen=True, slots=True)
class Certificate:
    """The issuer's certificate, unverified.

    Attributes:
        ca_key: service id and CA key index, 5 bytes.
        issuer: issuer id, 4 bytes.
        valid_until: last second, Unix time.
        serial: 3 bytes.
        point: the issuer's key, 65 bytes.
        signed: what the CA signed.
        signature: the CA's, r | s.
    """

    ca_key: bytes
    issuer: bytes
    valid_until: int
    serial: bytes
    point: bytes = field(repr=False)
    signed: bytes = field(repr=False)
    signature: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Code:
    """A parsed code, unverified; times are Unix seconds."""

    certificate: Certificate
    payment_account: str = field(repr=False)
    card_account: bytes = field(repr=False)
    issuer: bytes
    platform: bytes
    account_type: int
    amount_limit_fen: int
    holder: bytes = field(repr=False)
    authorised_until: int
    validity_s: int
    custom: bytes = field(repr=False)
    issuer_signed: bytes = field(repr=False)
    issuer_signature: bytes = field(repr=False)
    generated_at: int
    holder_signed: bytes = field(repr=False)
    holder_signature: bytes = field(repr=False)


def sniff(payload: bytes) -> bool:
    """Return whether the payload opens with a version byte, and a certificate where one belongs."""
    return (
        len(payload) > _HEADER_SIZE
        and payload[0] in _VERSIONS
        and payload[_HEADER_SIZE] == _CERTIFICATE_TAG
    )


def read(payload: bytes, keys: KeySource, rules: ReadRules) -> Credential:
    """Verify a ride code.

    Args:
        payload: the bytes of the code.
        keys: the pinned CA keys are its roots for this format.
        rules: the gate's clock.

    Raises:
        Rejected: with the one reason.
    """
    code = parse(payload)
    ca = _certifying_key(code.certificate, keys, rules.now)
    if not sm2.verify(code.certificate.point, code.issuer_signed, code.issuer_signature):
        raise Rejected(Reason.BAD_SIGNATURE, "the issuer's over the account")
    if not sm2.verify(code.holder, code.holder_signed, code.holder_signature):
        raise Rejected(Reason.BAD_HOLDER_SIGNATURE, "over the generated code")
    check_key(ca, Kind.TRANSIT_CODE, rules)
    _check_times(code, rules)
    subject = f"{code.certificate.issuer.hex()}:{code.payment_account}"
    return Credential(
        format=FormatName.TRANSIT,
        issuer=ca.issuer,
        key_id=ca.kid,
        kind=Kind.TRANSIT_CODE,
        level=Level.BASIC,
        subject=subject,
        issued_at=None,
        valid_from=0,
        valid_until=min(code.authorised_until, code.certificate.valid_until),
        dynamic=True,
        presented_at=code.generated_at,
        replay_key=replay_key(ca.issuer, subject.encode(), code.generated_at),
        claims={
            "payment_account": code.payment_account,
            "card_account": code.card_account.hex(),
            "issuer": code.issuer.hex(),
            "platform": code.platform.hex(),
            "account_type": code.account_type,
            "amount_limit_fen": code.amount_limit_fen,
            "custom": code.custom.hex(),
        },
    )


def parse(payload: bytes) -> Code:
    """Take a code apart; nothing in it is believed yet.

    Raises:
        Rejected: `malformed`.
    """
    if len(payload) < _FIXED_SIZE or len(payload) > _FIXED_SIZE + _CUSTOM_MAX:
        raise Rejected(Reason.MALFORMED, f"{len(payload)} bytes")
    fields = _Fields(payload)
    if fields.number(1) not in _VERSIONS:
        raise Rejected(Reason.MALFORMED, "unknown version")
    if fields.number(2) != len(payload) - _HEADER_SIZE:
        raise Rejected(Reason.MALFORMED, "the length field is not the code's length")
    certificate = _parse_certificate(fields.take(_CERTIFICATE_SIZE))
    payment_account = _text(fields.take(16))
    card_account, issuer, platform = fields.take(10), fields.take(4), fields.take(4)
    account_type, amount_limit_fen = fields.number(1), fields.number(3)
    holder = _point(fields.take(sm2.COMPRESSED_SIZE), "holder's")
    authorised_until, validity_s = fields.number(4), fields.number(2)
    custom = fields.take(fields.number(1))
    issuer_signed = payload[_HEADER_SIZE : fields.position]
    issuer_signature = fields.signature()
    generated_at = fields.number(4)
    holder_signed = payload[: fields.position]
    holder_signature = fields.signature()
    if fields.position != len(payload):
        raise Rejected(Reason.MALFORMED, "bytes after the holder's signature")
    return Code(
        certificate=certificate,
        payment_account=payment_account,
        card_account=card_account,
        issuer=issuer,
        platform=platform,
        account_type=account_type,
        amount_limit_fen=amount_limit_fen,
        holder=holder,
        authorised_until=authorised_until,
        validity_s=validity_s,
        custom=custom,
        issuer_signed=issuer_signed,
        issuer_signature=issuer_signature,
        generated_at=generated_at,
        holder_signed=holder_signed,
        holder_signature=holder_signature,
    )


class _Fields:
    """Takes fixed fields off the front of a byte string; never past its end."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.position = 0

    def take(self, size: int) -> bytes:
        """Return the next bytes."""
        end = self.position + size
        if end > len(self._data):
            raise Rejected(Reason.MALFORMED, "cut short")
        taken = self._data[self.position : end]
        self.position = end
        return taken

    def number(self, size: int) -> int:
        """Return the next bytes as a number."""
        return int.from_bytes(self.take(size), "big")

    def signature(self) -> bytes:
        """Return the next signature, without its tag."""
        if self.number(1) != _SIGNATURE_TAG:
            raise Rejected(Reason.MALFORMED, "no signature where one belongs")
        return self.take(sm2.SIGNATURE_SIZE)


def _parse_certificate(data: bytes) -> Certificate:
    fields = _Fields(data)
    tag, ca_key = fields.number(1), fields.take(5)
    kind, issuer, month, serial = fields.number(1), fields.take(4), fields.take(2), fields.take(3)
    algorithms, _parameter, size = fields.take(2), fields.take(1), fields.number(1)
    if (tag, kind, size) != (_CERTIFICATE_TAG, _CERTIFICATE_FORMAT, sm2.COMPRESSED_SIZE):
        raise Rejected(Reason.MALFORMED, "not an issuer's certificate")
    if algorithms != bytes([_ALGORITHM_SM2, _ALGORITHM_SM2]):
        raise Rejected(Reason.ALGORITHM_MISMATCH, "the certificate is not for SM2")
    point = _point(fields.take(sm2.COMPRESSED_SIZE), "issuer's")
    return Certificate(
        ca_key=ca_key,
        issuer=issuer,
        valid_until=_end_of_month(month),
        serial=serial,
        point=point,
        signed=data[6 : fields.position],
        signature=fields.take(sm2.SIGNATURE_SIZE),
    )


def _end_of_month(digits: bytes) -> int:
    """Return the last second, in China, of a month given as BCD digits MMYY."""
    text = digits.hex()
    if not text.isdecimal() or not 1 <= int(text[:2]) <= 12:
        raise Rejected(Reason.MALFORMED, "the certificate's expiry is no month")
    year, month = 2000 + int(text[2:]), int(text[:2])
    last_day = calendar.monthrange(year, month)[1]
    return int(dt.datetime(year, month, last_day, 23, 59, 59, tzinfo=_CHINA).timestamp())


def _text(data: bytes) -> str:
    if not all(0x20 < byte < 0x7F for byte in data):
        raise Rejected(Reason.MALFORMED, "the payment account is not ASCII")
    return data.decode()


def _point(compressed: bytes, whose: str) -> bytes:
    try:
        return sm2.decompress(compressed)
    except ValueError:
        raise Rejected(Reason.MALFORMED, f"the {whose} key is no point of the curve") from None


def _certifying_key(certificate: Certificate, keys: KeySource, now: int) -> IssuerKey:
    """Return the pinned CA key that signed the certificate."""
    candidates = best_first(_ca_keys(certificate.ca_key, keys), now, Kind.TRANSIT_CODE)
    if not candidates:
        raise Rejected(Reason.UNKNOWN_ISSUER, f"no CA key {certificate.ca_key.hex()}")
    for key in candidates[:ISSUER_KEYS]:
        if sm2.verify(key.public_key, certificate.signed, certificate.signature):
            return key
    raise Rejected(
        Reason.BAD_SIGNATURE, f"the CA's over the issuer's certificate{untried(candidates)}"
    )


def _ca_keys(name: bytes, keys: KeySource) -> Sequence[IssuerKey]:
    """Return the CA keys to try: those that the trust set names so, else those it does not name."""
    fitting = [
        key
        for key in keys.roots()
        if FormatName.TRANSIT in key.formats and key.algorithm is Algorithm.SM2
    ]
    named = [key for key in fitting if key.kid == name]
    unnamed = [key for key in fitting if len(key.kid) == _DEFAULT_KID_SIZE]
    return named or unnamed


def _check_times(code: Code, rules: ReadRules) -> None:
    """Raise unless the certificate, the authorisation and the code itself are of now."""
    if not rules.clock_trusted:
        raise Rejected(Reason.CLOCK_UNTRUSTED, "freshness cannot be judged")
    if rules.now > code.certificate.valid_until:
        raise Rejected(Reason.ISSUER_KEY_EXPIRED, "the issuer's certificate is over")
    if rules.now > code.authorised_until:
        raise Rejected(Reason.EXPIRED, "the account's authorisation is over")
    if code.generated_at > rules.now + rules.max_future_s:
        raise Rejected(Reason.ISSUED_IN_FUTURE, f"by {code.generated_at - rules.now} s")
    age_s = rules.now - code.generated_at
    if age_s > min(code.validity_s, _VALIDITY_MAX_S):
        raise Rejected(Reason.STALE, f"{age_s} s old, {code.validity_s} s allowed by the issuer")
