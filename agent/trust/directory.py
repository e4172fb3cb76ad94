"""Trust from a directory, checked whole before any of it is believed.

    NAME.pem .crt .cer .der .jwk .json .cose .cbor   an issuer's public key(s), or certificate(s)
    NAME.toml                                        beside it: what the key is trusted for
    issuers/ operators/                              the same, where a directory grows
    status/NAME.jwt .cwt                             Token Status Lists
    rosters/NAME.roster, roster.key                  rosters, and the site's key to them
    profiles/NAME.toml  models/NAME                  site profiles, models

Rules:
- One bad file refuses the directory, with one line that names the file and the fault: a gate that
  silently lost an issuer, or a blocked list, would be worse than one that says so.
- A key is trusted for what its description says and no more; without one for any kind and format.
- A certificate's own validity and its description's both hold.
- A private key has no business on a gate and is refused.
- Hidden files, editors' backups, *.md and *.txt are passed over; any other unknown file is a fault.
- A signed set is the same directory, after its signatures were checked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from agent.credential.issuers import Algorithm, IssuerKey
from agent.credential.model import FormatName
from agent.trust.description import (
    MAX_TEXT_FILE,
    Description,
    describe,
    kid_of,
    read_file,
    validity_of,
)
from agent.trust.model import COMMAND_ROLES, OperatorKey, TrustError
from agent.trust.roster import Roster, load_key, load_roster
from agent.trust.snapshot import TrustSnapshot
from agent.trust.status import MAX_TOKEN_BYTES, StatusList, parse

__all__ = ["KEY_SUFFIXES", "load_directory"]

KEY_SUFFIXES = frozenset(
    {".pem", ".crt", ".cer", ".der", ".jwk", ".json", ".cose", ".cbor", ".key", ".pub"}
)
_IGNORED_SUFFIXES = frozenset({".md", ".txt"})
_STATUS_SUFFIXES = frozenset({".jwt", ".cwt"})
_FOLDERS = frozenset({"issuers", "operators", "status", "rosters", "profiles", "models"})
_ROSTER_KEY = "roster.key"
_MAX_KEY_FILE = 256 << 10
_MAX_FILES = 10_000


def load_directory(
    path: Path,
    *,
    now: int,
    roster_key: bytes | None = None,
    version: int = 0,
    updated_at: int | None = None,
    expires_at: int | None = None,
    verified: bool = False,
) -> TrustSnapshot:
    """Read everything that a directory says is to be trusted.

    Args:
        path: the directory.
        now: Unix seconds.
        roster_key: the key to the rosters; None takes `roster.key` in the directory.
        version: of a signed set; 0 for a plain directory.
        updated_at: when a signed set was last confirmed; a plain directory is as current as its
            reading.
        expires_at: of a signed set.
        verified: True where a signature over every file was just checked.

    Raises:
        TrustError: one line that names the file and the fault.
    """
    if not path.is_dir():
        raise TrustError(f"{path}: not a directory")
    keys: list[IssuerKey] = []
    operators: list[OperatorKey] = []
    for folder in (path, path / "issuers", path / "operators"):
        for file, description in _described_keys(folder):
            if description.operator or folder.name == "operators":
                operators.append(_operator(file, description))
            else:
                keys.extend(_issuer_keys(file, description))
    _refuse_doubles(keys, operators)
    snapshot = TrustSnapshot(keys=tuple(keys))
    return replace(
        snapshot,
        operators=tuple(operators),
        status_lists=tuple(_status_lists(path / "status", snapshot)),
        rosters=_rosters(path, roster_key, settled=verified),
        profiles={
            file.stem: read_file(file, MAX_TEXT_FILE)
            for file in _files(path / "profiles", {".toml"})
        },
        models={file.name: file for file in _files(path / "models", None)},
        version=version,
        updated_at=now if updated_at is None else updated_at,
        expires_at=expires_at,
        source=path,
    )


def _files(folder: Path, suffixes: Iterable[str] | None) -> list[Path]:
    """List a folder's files; an unknown one is a fault, since it was meant to do something."""
    if not folder.is_dir():
        return []
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise TrustError(f"{folder}: cannot be read: {error.strerror}") from None
    files = []
    for entry in entries:
        name = entry.name
        if name.startswith(".") or name.endswith("~") or entry.suffix in _IGNORED_SUFFIXES:
            continue
        if entry.is_dir():
            if name in _FOLDERS:
                continue
            raise TrustError(f"{entry}: an unknown folder; allowed: {', '.join(sorted(_FOLDERS))}")
        if suffixes is not None and entry.suffix not in suffixes and name != _ROSTER_KEY:
            allowed = ", ".join(sorted(suffixes))
            raise TrustError(f"{entry}: an unknown kind of file; allowed: {allowed}")
        if not entry.is_file():
            raise TrustError(f"{entry}: not a regular file")
        files.append(entry)
    if len(files) > _MAX_FILES:
        raise TrustError(f"{folder}: {len(files)} files, at most {_MAX_FILES}")
    return files


def _described_keys(folder: Path) -> Iterator[tuple[Path, Description]]:
    """Pair key files with the descriptions beside them."""
    files = _files(folder, KEY_SUFFIXES | {".toml"})
    descriptions = {file.stem: file for file in files if file.suffix == ".toml"}
    keys: dict[str, Path] = {}
    for file in files:
        if file.suffix not in KEY_SUFFIXES or file.name == _ROSTER_KEY:
            continue
        if file.stem in keys:
            other = keys[file.stem].name
            raise TrustError(f"{file}: {other} has the same name; one description cannot fit both")
        keys[file.stem] = file
    for stem in sorted(descriptions.keys() - keys.keys()):
        raise TrustError(f"{descriptions[stem]}: describes a key, but no {stem}.pem lies beside it")
    for stem, file in keys.items():
        yield file, describe(descriptions[stem]) if stem in descriptions else Description()


def _issuer_keys(file: Path, description: Description) -> list[IssuerKey]:
    """Return a file's key; a certificate also under the id that a DCC names it by."""
    from agent.credential import keys

    if description.roles:
        raise TrustError(f"{file}: key roles: only an operator has roles; set operator = true")
    first, last = validity_of(file, description)
    key = _build(
        file,
        description,
        lambda: keys.issuer_key(
            read_file(file, _MAX_KEY_FILE),
            issuer=description.issuer or file.stem,
            algorithm=description.algorithm,
            kid=kid_of(file, description),
            kinds=description.kinds,
            formats=description.formats,
            iss=description.iss,
            valid_from=first,
            valid_until=last,
            is_root=description.root,
            status_for=description.status_for,
        ),
    )
    # The CA of the ride codes is a bare key: its certificates are not X.509.
    ride_ca = key.formats == {FormatName.TRANSIT}
    if key.is_root and key.certificate is None and not ride_ca:
        raise TrustError(f"{file}: key root: only a certificate can be a root")
    if key.certificate is None or key.is_root or kid_of(file, description) is not None:
        return [key]
    dcc = replace(
        key, kid=keys.certificate_kid(key.certificate), formats=frozenset({FormatName.DCC})
    )
    if key.formats == dcc.formats:
        return [dcc]
    return [key, dcc] if not key.formats or FormatName.DCC in key.formats else [key]


def _operator(file: Path, description: Description) -> OperatorKey:
    from agent.credential import keys

    if not description.roles:
        allowed = ", ".join(sorted(COMMAND_ROLES))
        raise TrustError(f"{file}: key roles: an operator needs roles; allowed: {allowed}")
    first, last = validity_of(file, description)
    key = _build(
        file,
        description,
        lambda: keys.issuer_key(
            read_file(file, _MAX_KEY_FILE),
            issuer=description.issuer or file.stem,
            algorithm=description.algorithm,
            kid=kid_of(file, description),
            valid_from=first,
            valid_until=last,
        ),
    )
    return OperatorKey(
        name=key.issuer,
        kid=key.kid,
        algorithm=key.algorithm,
        public_key=key.public_key,
        roles=description.roles,
        valid_from=key.valid_from,
        valid_until=key.valid_until,
    )


def _build(file: Path, description: Description, make: Callable[[], IssuerKey]) -> IssuerKey:
    from agent.credential.keys import KeyFileError

    try:
        key = make()
    except KeyFileError as error:
        raise TrustError(f"{file}: {error}") from None
    if key.valid_from > key.valid_until:
        raise TrustError(f"{file}: its validity ends before it begins")
    unsaid = description.algorithm is None and description.formats == {FormatName.AADHAAR}
    if unsaid and key.algorithm is Algorithm.PS256:
        return replace(key, algorithm=Algorithm.RS256)
    return key


def _status_lists(folder: Path, keys: TrustSnapshot) -> Iterator[StatusList]:
    for file in _files(folder, _STATUS_SUFFIXES):
        yield parse(read_file(file, MAX_TOKEN_BYTES), keys, source=str(file))


def _rosters(path: Path, key: bytes | None, *, settled: bool) -> dict[str, Roster]:
    files = [file for file in _files(path / "rosters", {".roster"}) if file.name != _ROSTER_KEY]
    if not files:
        return {}
    if key is None:
        key = load_key(path / _ROSTER_KEY)
    return {file.stem: load_roster(file, key, settled=settled) for file in files}


def _refuse_doubles(keys: list[IssuerKey], operators: list[OperatorKey]) -> None:
    """Refuse one key twice for one issuer, and two operators that one id would confuse."""
    from agent.credential.keys import spki

    seen: set[tuple[str, bytes, bytes]] = set()
    for key in keys:
        identity = (key.issuer, key.kid, spki(key.public_key))
        if identity in seen and not key.is_root:
            raise TrustError(f"issuer {key.issuer}: the same key (kid {key.kid.hex()}) twice")
        seen.add(identity)
    names: dict[bytes, str] = {}
    for operator in operators:
        if operator.kid in names:
            both = f"{names[operator.kid]} and {operator.name}"
            raise TrustError(f"operators {both}: one kid, {operator.kid.hex()}")
        names[operator.kid] = operator.name
