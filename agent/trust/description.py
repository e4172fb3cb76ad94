"""What a TOML file beside a key says of it, read strictly.

Rules: a key that is not known here is a fault and no typo lived with; every error is one line that
names the file, the key and what is allowed.
"""

from __future__ import annotations

import os
import stat
import tomllib
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from agent.credential.issuers import Algorithm
from agent.credential.limits import IDENTIFIER_BYTES
from agent.credential.model import FormatName, Kind, Level
from agent.settings.errors import explain
from agent.trust.model import COMMAND_ROLES, TrustError

__all__ = ["MAX_TEXT_FILE", "Description", "describe", "kid_of", "read_file", "validity_of"]

MAX_TEXT_FILE = 64 << 10
"""Largest TOML file, in bytes."""

_FOREVER = 2**53

_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
_Oid = Annotated[
    str, msgspec.Meta(pattern=r"^[0-2](\.(0|[1-9][0-9]{0,38})){1,30}\Z", max_length=200)
]


class Description(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a TOML file beside a key says of it.

    Attributes:
        issuer: the issuer's name, or the operator's; the file's name where it is left out.
        kinds, formats: what it may sign; left out means any.
        algorithm: the algorithm to pin, where the key leaves a choice.
        kid: key id in hexadecimal, where the issuer has its own way of naming keys.
        kid_text: the same as text.
        iss: values of the `iss` claim that belong to it.
        valid_from, valid_until: TOML date-times, dates (whole days, UTC), or Unix seconds.
        root: True for a certificate that only signs other certificates.
        status_for: other issuers whose status lists it may sign.
        highest_level: the highest assurance level that it may vouch for; left out means any.
        leaf_usages, leaf_policies, leaf_names: narrow a root; see `IssuerKey`.
        operator: True for a key that signs commands to gates and no credentials.
        roles: the commands that an operator may sign.
    """

    issuer: _Name | None = None
    kinds: frozenset[Kind] = frozenset()
    formats: frozenset[FormatName] = frozenset()
    algorithm: Algorithm | None = None
    kid: str | None = None
    kid_text: _Name | None = None
    iss: frozenset[str] = frozenset()
    valid_from: Any = None
    valid_until: Any = None
    root: bool = False
    status_for: frozenset[str] = frozenset()
    highest_level: Literal["basic", "upgraded"] = "upgraded"
    leaf_usages: frozenset[_Oid] = frozenset()
    leaf_policies: frozenset[_Oid] = frozenset()
    leaf_names: frozenset[_Name] = frozenset()
    operator: bool = False
    roles: frozenset[str] = frozenset()

    @property
    def level(self) -> Level:
        """The highest assurance level, as credentials have it."""
        return Level.BASIC if self.highest_level == "basic" else Level.UPGRADED


def read_file(file: Path, limit: int) -> bytes:
    """Read a whole regular file; whatever else has its name is neither waited for nor read.

    Raises:
        TrustError: it cannot be read, is no regular file, or is larger than `limit` bytes.
    """
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as stream:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise TrustError(f"{file}: not a regular file")
            data = stream.read(limit + 1)
    except OSError as error:
        raise TrustError(f"{file}: cannot be read: {error.strerror}") from None
    if len(data) > limit:
        raise TrustError(f"{file}: larger than {limit} bytes")
    return data


def describe(file: Path) -> Description:
    """Read a description.

    Raises:
        TrustError: one line that names the file, the key and the fault.
    """
    try:
        table = tomllib.loads(read_file(file, MAX_TEXT_FILE).decode("utf-8-sig"))
        description = msgspec.convert(table, Description)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise TrustError(f"{file}: not TOML: {error}") from None
    except msgspec.ValidationError as error:
        raise TrustError(f"{file}: {explain(error, Description)}") from None
    if unknown := description.roles - COMMAND_ROLES:
        raise TrustError(
            f"{file}: key roles: unknown {', '.join(sorted(unknown))}; "
            f"allowed: {', '.join(sorted(COMMAND_ROLES))}"
        )
    if description.kid is not None and description.kid_text is not None:
        raise TrustError(f"{file}: key kid: give kid or kid_text, not both")
    narrowed = description.leaf_usages | description.leaf_policies | description.leaf_names
    if narrowed and not description.root:
        raise TrustError(f"{file}: key leaf_*: only a root has leaves; set root = true")
    for name in description.leaf_names:
        _check_name(file, name)
    return description


def _check_name(file: Path, name: str) -> None:
    """Raise where a name is in none of the forms that leaves are compared with."""
    from cryptography import x509

    if name.startswith("DNS:"):
        if name != "DNS:" + name[4:].lower():
            raise TrustError(f"{file}: key leaf_names: {name!r}: write hosts in lower case")
        return
    if name.startswith("URI:"):
        return
    try:
        x509.Name.from_rfc4514_string(name)
    except ValueError:
        raise TrustError(
            f"{file}: key leaf_names: {name!r}: neither DNS:host, URI:uri nor O=Ministry,C=UT"
        ) from None


def kid_of(file: Path, description: Description) -> bytes | None:
    """Return the key id that a description names, or None.

    Raises:
        TrustError: it is no key id.
    """
    if description.kid_text is not None:
        return description.kid_text.encode()
    if description.kid is None:
        return None
    try:
        kid = bytes.fromhex(description.kid)
    except ValueError:
        kid = b""
    if not 0 < len(kid) <= IDENTIFIER_BYTES:
        raise TrustError(
            f"{file}: key kid: 1 to {IDENTIFIER_BYTES} bytes in hexadecimal; or use kid_text"
        )
    return kid


def validity_of(file: Path, description: Description) -> tuple[int, int]:
    """Return first and last second of validity, as far as the description limits it.

    Raises:
        TrustError: one of them is no moment.
    """
    first = _moment(file, "valid_from", description.valid_from, 0, last=False)
    return first, _moment(file, "valid_until", description.valid_until, _FOREVER, last=True)


def _moment(file: Path, name: str, value: Any, default: int, *, last: bool) -> int:
    """Return Unix seconds; a date means its first second or its last one, in UTC."""
    if value is None:
        return default
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise TrustError(f"{file}: key {name}: a time needs its offset, such as Z")
        return int(value.timestamp())
    if isinstance(value, date):
        start = int(datetime(value.year, value.month, value.day, tzinfo=UTC).timestamp())
        return start + 86_399 if last else start
    if type(value) is not int or not 0 <= value <= _FOREVER:
        raise TrustError(f"{file}: key {name}: not a time")
    return value
