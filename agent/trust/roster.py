"""Rosters: who is allowed or blocked, by keyed hash, in one mapped file.

A train's passenger list, a library's members, a blocked list: a million subjects, asked for in
microseconds, and no identifier on disk that could be read back without the site's roster key.

Rules:
- a record holds HMAC-SHA-256 under the roster key over issuer and subject, cut to 16 bytes, and
  optionally a zone and a time window; nothing else about a person is written;
- the key is not part of the roster, nor of the signed set; the file names the key that it needs by
  a check value, so a wrong key is an error and never an empty list;
- records have one width and are sorted; a lookup is an HMAC and a bisection in the bytes;
- a line that can never match a credential is refused when the list is read: on the disk it would
  be a hash like all others, and nobody would see that it does nothing;
- a file is checked whole before it is believed: magic, sizes, digest of the records.

File: `IDGROST1`, length of the header (u32, big endian), header (JSON), records. A record is the
hash (16), and in a roster with zones or windows also zone index (u16, 0 = everywhere), first and
last second (u64 each, inclusive).
"""

from __future__ import annotations

import csv
import hashlib
import hmac
import mmap
import os
import re
import struct
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from agent.credential.limits import PAYLOAD_BYTES
from agent.credential.model import FormatName
from agent.trust.model import TrustError

__all__ = [
    "KEY_BYTES",
    "Roster",
    "RosterEntry",
    "checked",
    "load_key",
    "load_roster",
    "never_matches",
    "read_csv",
    "write_roster",
]

KEY_BYTES = 32
"""Length of a roster key."""

_MAGIC = b"IDGROST1"
_LENGTH = struct.Struct(">I")
_HASH_BYTES = 16
_TERMS = struct.Struct(">HQQ")
_MAX_HEADER = 1 << 20
_MAX_FILE = 1 << 30
_MAX_ZONES = 65_535
_MAX_ENTRIES_PER_SUBJECT = 64
_FOREVER = 2**53
_CHECK = b"idgate roster key check v1"
_DIGEST = re.compile(r"[0-9A-Fa-f]{64}")
_RIDER = re.compile(r"[0-9a-f]{8}:[!-~]{16}")
_SECRET = re.compile(r"={0,2}[A-Za-z0-9+/]+")
_CODES = ("HC1:", "NI1:", "NI2:")
_HASHED = (
    "a health certificate's subject is the SHA-256 of its identifier, 64 hexadecimal digits in "
    "small letters: printf %s URN:UVCI:... | sha256sum"
)
_COLUMNS = frozenset({"issuer", "subject", "zone", "valid_from", "valid_until"})


@dataclass(frozen=True, slots=True)
class RosterEntry:
    """One line of a roster before it is hashed.

    Attributes:
        subject: the credential's subject.
        issuer: the issuer's name in the trust set; empty for any.
        zone: where it holds; empty for everywhere.
        valid_from, valid_until: Unix seconds, inclusive.
    """

    subject: str = field(repr=False)
    issuer: str = ""
    zone: str = ""
    valid_from: int = 0
    valid_until: int = _FOREVER


class _Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    mode: Literal["allow", "block"]
    count: Annotated[int, msgspec.Meta(ge=0)]
    terms: bool
    key_check: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{16}$")]
    sha256: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$")]
    created: Annotated[int, msgspec.Meta(ge=0)]
    zones: tuple[str, ...] = ()


_Buffer = bytes | mmap.mmap


class _Hashes:
    """The records' hashes as a sequence to bisect; makes one short bytes object a look."""

    __slots__ = ("_data", "_start", "_width", "has_terms", "size")

    def __init__(self, data: _Buffer, start: int, width: int, count: int) -> None:
        self._data = data
        self._start = start
        self._width = width
        self.size = count
        self.has_terms = width > _HASH_BYTES

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> bytes:
        at = self._start + index * self._width
        return self._data[at : at + _HASH_BYTES]

    def terms(self, index: int) -> tuple[int, int, int]:
        """Return zone index, first and last second of a record."""
        zone, first, last = _TERMS.unpack_from(
            self._data, self._start + index * self._width + _HASH_BYTES
        )
        return zone, first, last


class Roster:
    """An open roster; implements `agent.credential.issuers.RosterView`.

    Made by `load_roster`. The file may be removed while it is in use.
    """

    __slots__ = ("_hashes", "_key", "_zones", "blocks", "created", "name")

    def __init__(self, name: str, header: _Header, hashes: _Hashes, key: bytes) -> None:
        self.name = name
        self.blocks = header.mode == "block"
        self.created = header.created
        self._hashes = hashes
        self._zones = {zone: number for number, zone in enumerate(header.zones, start=1)}
        self._key = key

    def __len__(self) -> int:
        """Return the number of records."""
        return self._hashes.size

    def __repr__(self) -> str:
        """Name the roster, never what is in it."""
        mode = "block" if self.blocks else "allow"
        return f"Roster({self.name!r}, {mode}, {len(self)} records)"

    def lists(self, issuer: str, subject: str, now: int, zone: str = "") -> bool:
        """Return whether the subject is listed at this time for this zone.

        Args:
            issuer: the issuer's name in the trust set.
            subject: the credential's subject.
            now: Unix seconds.
            zone: the gate's zone; entries without a zone hold everywhere.
        """
        return self._listed(_digest(self._key, issuer, subject), now, zone) or self._listed(
            _digest(self._key, "", subject), now, zone
        )

    def _listed(self, wanted: bytes, now: int, zone: str) -> bool:
        hashes = self._hashes
        at = bisect_left(hashes, wanted)
        number = self._zones.get(zone, -1)
        while at < hashes.size and hashes[at] == wanted:
            if not hashes.has_terms:
                return True
            place, first, last = hashes.terms(at)
            if place in (0, number) and first <= now <= last:
                return True
            at += 1
        return False


def load_key(path: Path) -> bytes:
    """Read a roster key: 32 bytes, or 64 hexadecimal digits.

    Raises:
        TrustError: it cannot be read or is no key.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise TrustError(f"{path}: roster key cannot be read: {error.strerror}") from None
    if len(data) == KEY_BYTES:
        return data
    try:
        key = bytes.fromhex(data.decode("ascii"))
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise TrustError(f"{path}: a roster key is {KEY_BYTES} bytes, or as many in hexadecimal")
    return key


def load_roster(path: Path, key: bytes, *, settled: bool = False) -> Roster:
    """Open a roster file.

    Args:
        path: the file; its name without suffix is the roster's.
        key: the roster key.
        settled: True where a signature over the whole file was just checked and nobody writes to
            it any more: it is mapped. Otherwise it is read and its digest checked, since a mapped
            file that is cut short while it is in use ends the process.

    Raises:
        TrustError: it cannot be read, is damaged, or was made with another key.
    """
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if not len(_MAGIC) + _LENGTH.size <= size <= _MAX_FILE:
                raise TrustError(f"{path}: {size} bytes cannot be a roster")
            data: _Buffer = (
                mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
                if settled
                else file.read(size)  # sets aside what it is told to
            )
    except OSError as error:
        raise TrustError(f"{path}: cannot be read: {error.strerror}") from None
    header, start = _read_header(path, data)
    width = _HASH_BYTES + (_TERMS.size if header.terms else 0)
    if start + header.count * width != len(data):
        raise TrustError(f"{path}: cut short, or more than its header says")
    if not hmac.compare_digest(header.key_check, _key_check(key)):
        raise TrustError(f"{path}: made with another roster key")
    if not settled:
        with memoryview(data) as view, view[start:] as records:
            digest = hashlib.sha256(records).hexdigest()
        if digest != header.sha256:
            raise TrustError(f"{path}: the records do not have the header's digest")
    return Roster(path.stem, header, _Hashes(data, start, width, header.count), key)


def write_roster(
    path: Path, entries: Iterable[RosterEntry], *, key: bytes, blocks: bool, created: int
) -> int:
    """Write a roster file; return the number of records.

    Args:
        path: the file to make.
        entries: who is listed, in any order.
        key: the roster key, 32 bytes.
        blocks: True for a blocked list.
        created: Unix seconds.

    Raises:
        TrustError: an entry cannot be written, or one subject has more than 64 entries.
        OSError: the file cannot be written.
    """
    if len(key) != KEY_BYTES:
        raise TrustError(f"a roster key is {KEY_BYTES} bytes")
    zones: dict[str, int] = {}
    rows: set[bytes] = set()
    for entry in entries:
        if not 0 <= entry.valid_from <= entry.valid_until <= _FOREVER:
            raise TrustError("a roster entry's window ends before it begins")
        number = zones.setdefault(entry.zone, len(zones) + 1) if entry.zone else 0
        rows.add(
            _digest(key, entry.issuer, entry.subject)
            + _TERMS.pack(number, entry.valid_from, entry.valid_until)
        )
    if len(zones) > _MAX_ZONES:
        raise TrustError(f"{len(zones)} zones, at most {_MAX_ZONES}")
    records = sorted(rows)
    _check_runs(records)
    terms = any(record[_HASH_BYTES:] != _TERMS.pack(0, 0, _FOREVER) for record in records)
    body = b"".join(records if terms else (record[:_HASH_BYTES] for record in records))
    header = msgspec.json.encode(
        _Header(
            mode="block" if blocks else "allow",
            count=len(records),
            terms=terms,
            key_check=_key_check(key),
            sha256=hashlib.sha256(body).hexdigest(),
            created=created,
            zones=tuple(zones),
        )
    )
    path.write_bytes(_MAGIC + _LENGTH.pack(len(header)) + header + body)
    return len(records)


def never_matches(subject: str, formats: frozenset[FormatName] = frozenset()) -> str:
    """Return why no credential can have this subject, as one line; empty where one can.

    Args:
        subject: as it stands in the list.
        formats: what its issuer may sign; empty means any.
    """
    if not subject or len(subject) > PAYLOAD_BYTES:
        return f"a subject has 1 to {PAYLOAD_BYTES} characters"
    if subject != subject.strip() or not subject.isprintable():
        return "spaces around it, or characters that cannot be printed"
    hexadecimal = _DIGEST.fullmatch(subject) is not None
    if subject.upper().startswith(("URN:UVCI:", "UVCI:")):
        return _HASHED
    if subject.upper().startswith(_CODES):
        return "it is a whole code; a subject is what `idgate verify --json` shows of it"
    digests = {FormatName.DCC, FormatName.AADHAAR}
    if hexadecimal and subject != subject.lower() and (not formats or formats & digests):
        return f"hexadecimal in capitals; {_HASHED}"
    if formats and formats <= digests and not hexadecimal:
        return f"its issuer's subjects are hashes; {_HASHED}"
    if formats == {FormatName.TRANSIT} and not _RIDER.fullmatch(subject):
        return "its issuer signs ride codes only: 8 hexadecimal digits, a colon, the account"
    if formats == {FormatName.PRETIX} and not _SECRET.fullmatch(subject):
        return "its issuer signs pretix tickets only: their subject is the code's text"
    return ""


def checked(
    entries: Iterable[RosterEntry], issuers: Mapping[str, frozenset[FormatName]], source: str
) -> Iterator[RosterEntry]:
    """Yield entries that a credential of these issuers can match.

    Args:
        entries: in the order of the list.
        issuers: names in the trust set, and the formats of each; empty means any.
        source: how errors name the list.

    Raises:
        TrustError: the number of the first entry that none can, and why; never the entry.
    """
    for number, entry in enumerate(entries, start=1):
        if entry.issuer and entry.issuer not in issuers:
            known = f"no issuer {entry.issuer!r} in the set"
            raise TrustError(f"{source}, entry {number}: {known}: it would never match")
        if fault := never_matches(entry.subject, issuers.get(entry.issuer, frozenset())):
            raise TrustError(f"{source}, entry {number}: can never match: {fault}")
        yield entry


def read_csv(path: Path) -> Iterator[RosterEntry]:
    """Read entries from CSV with a heading: subject, and any of issuer, zone, valid_from,
    valid_until. Times are ISO 8601 with an offset, or Unix seconds.

    Raises:
        TrustError: file and line; never the line's content.
    """  # noqa: D205
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            columns = set(reader.fieldnames or ())
            if "subject" not in columns or not columns <= _COLUMNS:
                raise TrustError(f"{path}: the heading must be of {', '.join(sorted(_COLUMNS))}")
            for row in reader:
                yield _csv_entry(row, f"{path}, line {reader.line_num}")
    except OSError as error:
        raise TrustError(f"{path}: cannot be read: {error.strerror}") from None
    except (csv.Error, UnicodeDecodeError):
        raise TrustError(f"{path}: not CSV in UTF-8") from None


def _csv_entry(row: dict[str, str], where: str) -> RosterEntry:
    if None in row or None in row.values():
        raise TrustError(f"{where}: not as many cells as the heading")
    if not row["subject"]:
        raise TrustError(f"{where}: no subject")
    if fault := never_matches(row["subject"]):
        raise TrustError(f"{where}: can never match: {fault}")
    return RosterEntry(
        subject=row["subject"],
        issuer=row.get("issuer", ""),
        zone=row.get("zone", ""),
        valid_from=_csv_time(row.get("valid_from", ""), 0, where),
        valid_until=_csv_time(row.get("valid_until", ""), _FOREVER, where),
    )


def _csv_time(text: str, default: int, where: str) -> int:
    if not text:
        return default
    if text.isascii() and text.isdigit() and len(text) < 16:
        return int(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise TrustError(f"{where}: not a time") from None
    if moment.tzinfo is None:
        raise TrustError(f"{where}: a time needs its offset, as in 2026-05-01T08:00:00+08:00")
    return int(moment.astimezone(UTC).timestamp())


def _read_header(path: Path, data: _Buffer) -> tuple[_Header, int]:
    start = len(_MAGIC) + _LENGTH.size
    if data[: len(_MAGIC)] != _MAGIC:
        raise TrustError(f"{path}: not a roster")
    (length,) = _LENGTH.unpack_from(data, len(_MAGIC))
    if length > _MAX_HEADER or start + length > len(data):
        raise TrustError(f"{path}: cut short in its header")
    try:
        header = msgspec.json.decode(data[start : start + length], type=_Header)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise TrustError(f"{path}: the header is damaged") from None
    return header, start + length


def _check_runs(records: Sequence[bytes]) -> None:
    """Bound what a lookup may have to walk."""
    for first, last in zip(records, records[_MAX_ENTRIES_PER_SUBJECT:], strict=False):
        if first[:_HASH_BYTES] == last[:_HASH_BYTES]:
            raise TrustError(f"a subject has more than {_MAX_ENTRIES_PER_SUBJECT} entries")


def _digest(key: bytes, issuer: str, subject: str) -> bytes:
    """Hash a subject; the issuer's length stands in front, so no two pairs give one message."""
    realm = issuer.encode()
    message = _LENGTH.pack(len(realm)) + realm + subject.encode()
    return hmac.digest(key, message, "sha256")[:_HASH_BYTES]


def _key_check(key: bytes) -> str:
    return hmac.digest(key, _CHECK, "sha256")[:8].hex()
