"""pretix's signed tickets, scheme `pretix_sig1`.

Rules:
- The code is the reverse of standard base64, padded and canonical; the lengths inside are 16 bits,
  big-endian, and account for every byte. (Upstream's reader computes them as `b0 << 2 + b1`, which
  agrees with this below 256 only.)
- No key is named: the organiser's Ed25519 keys are tried in turn, 8 at most, over the ticket alone.
- The ticket is read after its signature was checked; a field that is not known, doubled or of
  another type refuses it, since a restriction that is not understood must not be overlooked.
- The ticket's secret, which is the code itself, is the subject. The rosters `pretix-revoked` and
  `pretix-blocked` of the trust set list secrets that the organiser withdrew or blocked.
- Item, variation and sub-event are numbers of the organiser's own, 0 where the ticket has none;
  which of them open this gate is the site profile's to say.

Layout: 01 | length of ticket (2) | length of signature (2) | ticket (protocol buffers: 1 seed, 2
item, 3 variation, 4 subevent, 5 validFrom, 6 validUntil) | Ed25519 signature (64).
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Final, Protocol, runtime_checkable

from agent.credential.algorithms import EdDsa
from agent.credential.checks import check_key, check_validity, for_format, replay_key
from agent.credential.issuers import (
    Algorithm,
    IssuerKey,
    KeySource,
    RosterView,
    best_first,
    untried,
)
from agent.credential.limits import ISSUER_KEYS, LATEST_TIME, PAYLOAD_BYTES
from agent.credential.model import Credential, EventTicket, FormatName, Kind, Level, Rejected
from agent.credential.registry import ReadRules
from agent.reason import Reason

__all__ = ["ROSTERS", "read", "sniff"]

ROSTERS: Final[Mapping[str, Reason]] = {
    "pretix-revoked": Reason.REVOKED,
    "pretix-blocked": Reason.BLOCKED,
}
"""Rosters of the trust set that withdraw tickets, and what each says."""

_SHAPE: Final = re.compile(rb"={0,2}[A-Za-z0-9+/]+QA")
"""Reversed base64 of bytes that begin with 01 and a length below 4,096."""

_VERSION: Final = 1
_HEADER_SIZE: Final = 5
_SIGNATURE_SIZE: Final = 64
_SEED, _ITEM, _VARIATION, _SUBEVENT, _VALID_FROM, _VALID_UNTIL = range(1, 7)
_NAMES: Final = {
    _SEED: "seed",
    _ITEM: "item",
    _VARIATION: "variation",
    _SUBEVENT: "subevent",
    _VALID_FROM: "valid_from",
    _VALID_UNTIL: "valid_until",
}
_WIRE_VARINT, _WIRE_BYTES = 0, 2
_VARINT_MAX: Final = 10
"""Bytes of a 64-bit number."""


@runtime_checkable
class RosterSource(Protocol):
    """A trust set that holds rosters, as every snapshot does."""

    def roster(self, name: str) -> RosterView | None:
        """Return the roster of that name, or None."""


def sniff(payload: bytes) -> bool:
    """Return whether the payload is reversed base64 that opens with version 1."""
    return len(payload) <= PAYLOAD_BYTES and _SHAPE.fullmatch(payload) is not None


def read(payload: bytes, keys: KeySource, rules: ReadRules) -> Credential:
    """Verify a ticket.

    Args:
        payload: the bytes of the code.
        keys: the organiser's keys, and the rosters where it is a whole trust set.
        rules: the gate's clock.

    Raises:
        Rejected: with the one reason.
    """
    ticket, signature = _unpack(_decode(payload))
    key = _signer(ticket, signature, keys, rules.now)
    check_key(key, Kind.EVENT_TICKET, rules)
    fields = _parse_ticket(ticket)
    secret = payload.decode()
    _check_rosters(key.issuer, secret, keys, rules)
    valid_from, valid_until = _validity(fields)
    check_validity(valid_from, valid_until, rules)
    return Credential(
        format=FormatName.PRETIX,
        issuer=key.issuer,
        key_id=key.kid,
        kind=Kind.EVENT_TICKET,
        level=Level.BASIC,
        subject=secret,
        issued_at=None,
        valid_from=valid_from,
        valid_until=valid_until,
        dynamic=False,
        replay_key=replay_key(key.issuer, payload, 0),
        event=EventTicket(
            *(_number(fields, field) for field in (_ITEM, _VARIATION, _SUBEVENT)),
        ),
        claims={
            _NAMES[number]: value.hex() if isinstance(value, bytes) else value
            for number, value in fields.items()
        },
    )


def _decode(payload: bytes) -> bytes:
    """Return what the reversed base64 stands for."""
    text = payload[::-1]
    try:
        data = base64.b64decode(text, validate=True)
    except binascii.Error:
        raise Rejected(Reason.MALFORMED, "not base64") from None
    if base64.b64encode(data) != text:
        raise Rejected(Reason.MALFORMED, "base64 is not canonical")
    return data


def _unpack(data: bytes) -> tuple[bytes, bytes]:
    """Return the ticket and its signature."""
    if len(data) < _HEADER_SIZE or data[0] != _VERSION:
        raise Rejected(Reason.MALFORMED, "unknown version")
    ticket_size = int.from_bytes(data[1:3], "big")
    signature_size = int.from_bytes(data[3:5], "big")
    if _HEADER_SIZE + ticket_size + signature_size != len(data):
        raise Rejected(Reason.MALFORMED, "the lengths do not account for every byte")
    if signature_size == 0:
        raise Rejected(Reason.UNSIGNED, "empty signature")
    if signature_size != _SIGNATURE_SIZE:
        raise Rejected(Reason.MALFORMED, f"signature of {signature_size} bytes")
    return data[_HEADER_SIZE:-_SIGNATURE_SIZE], data[-_SIGNATURE_SIZE:]


def _signer(ticket: bytes, signature: bytes, keys: KeySource, now: int) -> IssuerKey:
    """Return the key that signed the ticket."""
    named = [
        key
        for key in for_format(keys.for_format(FormatName.PRETIX), FormatName.PRETIX)
        if key.algorithm is Algorithm.EDDSA and EdDsa.fits(key.public_key) and not key.is_root
    ]
    candidates = best_first(named, now, Kind.EVENT_TICKET)
    if not candidates:
        raise Rejected(Reason.UNKNOWN_ISSUER, "no organiser's key")
    for key in candidates[:ISSUER_KEYS]:
        if EdDsa.verify(key.public_key, signature, ticket):
            return key
    raise Rejected(Reason.BAD_SIGNATURE, f"of no organiser's key{untried(candidates)}")


def _parse_ticket(data: bytes) -> dict[int, int | bytes]:
    """Return the fields of the ticket by number."""
    fields: dict[int, int | bytes] = {}
    position = 0
    while position < len(data):
        tag, position = _varint(data, position)
        number, wire_type = tag >> 3, tag & 7
        if number not in _NAMES or number in fields:
            raise Rejected(Reason.MALFORMED, f"ticket field {number} unknown or doubled")
        if wire_type != (_WIRE_BYTES if number == _SEED else _WIRE_VARINT):
            raise Rejected(Reason.MALFORMED, f"ticket field {number} of another type")
        value, position = _varint(data, position)
        if wire_type == _WIRE_BYTES:
            end = position + value
            if end > len(data):
                raise Rejected(Reason.MALFORMED, "ticket cut short")
            fields[number], position = data[position:end], end
        else:
            fields[number] = value
    for number in (_SEED, _ITEM):
        if number not in fields:
            raise Rejected(Reason.MISSING_CLAIM, f"ticket has no {_NAMES[number]}")
    return fields


def _varint(data: bytes, position: int) -> tuple[int, int]:
    """Return the number at the position, of ten bytes at most, and where it ends."""
    value = 0
    for offset, byte in enumerate(data[position : position + _VARINT_MAX]):
        value |= (byte & 0x7F) << (7 * offset)
        if byte < 0x80:
            return value, position + offset + 1
    raise Rejected(Reason.MALFORMED, "ticket cut short, or a number too long")


def _number(fields: Mapping[int, int | bytes], field: int) -> int:
    """Return a field that is a number; 0 where the ticket has none."""
    value = fields.get(field, 0)
    assert isinstance(value, int)  # the wire type was checked
    return value


def _validity(fields: Mapping[int, int | bytes]) -> tuple[int, int]:
    """Return the first and last second of validity; 0 in the ticket means none is set."""
    valid_from = _number(fields, _VALID_FROM)
    valid_until = _number(fields, _VALID_UNTIL) or LATEST_TIME
    if valid_until > LATEST_TIME:
        raise Rejected(Reason.BAD_TIME, "validity out of range")
    return valid_from, valid_until


def _check_rosters(issuer: str, secret: str, keys: KeySource, rules: ReadRules) -> None:
    """Raise where a roster withdraws the ticket."""
    if not isinstance(keys, RosterSource):
        return
    for name, reason in ROSTERS.items():
        roster = keys.roster(name)
        if roster is not None and roster.lists(issuer, secret, rules.now):
            raise Rejected(reason, f"on {name}")
