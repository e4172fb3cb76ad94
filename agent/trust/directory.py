"""Trust from a directory, each file of it believed for itself.

    NAME.pem .crt .cer .der .jwk .json .cose .cbor   an issuer's public key(s), or certificate(s)
    NAME.toml                                        beside it: what the key is trusted for
    issuers/ operators/                              the same, where a directory grows
    status/NAME.jwt .cwt                             Token Status Lists
    revocation/NAME.json                             revocation lists of health certificates
    rosters/NAME.roster, roster.key                  rosters, and the site's key to them
    profiles/NAME.toml  models/NAME                  site profiles, models

Rules:
- A file that cannot be used is set aside, by name and reason, and the rest counts: one foreign file
  must not take every issuer down. What was set aside is told by `idgate doctor`, `trust show`, the
  gate's `state` and metrics.
- What could have refused somebody does not vanish with its file: a roster, status list, revocation
  list or profile that was set aside closes what it concerns, and where that is not known, all that
  such a file could concern (`agent.trust.closed`).
- A key whose description cannot be read is set aside with it: it would be trusted for too much.
- A key is trusted for what its description says and no more; without one for any kind and format.
- A certificate's own validity and its description's both hold. One key may come several times:
  renewed, or certified again.
- A private key has no business on a gate and is refused.
- Hidden files, editors' backups, *.md and *.txt are passed over; other unknown files are set aside.
- A signed set is the same directory, after its signatures were checked. It is published, and taken
  for the first time, only if nothing in it is set aside (`strict`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TypeVar

from agent.credential.issuers import Algorithm, IssuerKey
from agent.credential.model import FormatName
from agent.trust.closed import EVERY, EVERY_KID, Closed
from agent.trust.description import (
    MAX_TEXT_FILE,
    Description,
    describe,
    kid_of,
    read_file,
    validity_of,
)
from agent.trust.model import COMMAND_ROLES, OperatorKey, SetAside, TrustError
from agent.trust.operators import settle_operators
from agent.trust.revocation import MAX_REVOCATION_FILE, Revocations, parse_batches
from agent.trust.roster import Roster, load_key, load_roster
from agent.trust.snapshot import TrustSnapshot
from agent.trust.status import MAX_TOKEN_BYTES, StatusList, claimed, parse

__all__ = ["KEY_SUFFIXES", "load_directory"]

KEY_SUFFIXES = frozenset(
    {".pem", ".crt", ".cer", ".der", ".jwk", ".jwks", ".json", ".cose", ".cbor", ".key", ".pub"}
)
_IGNORED_SUFFIXES = frozenset({".md", ".txt"})
_STATUS_SUFFIXES = frozenset({".jwt", ".cwt"})
_FOLDERS = frozenset(
    {"issuers", "operators", "status", "revocation", "rosters", "profiles", "models"}
)
_ROSTER_KEY = "roster.key"
_MAX_KEY_FILE = 256 << 10
_MAX_FILES = 10_000
_Made = TypeVar("_Made")


def load_directory(
    path: Path,
    *,
    now: int,
    roster_key: bytes | None = None,
    roster_key_file: Path | None = None,
    version: int = 0,
    updated_at: int | None = None,
    expires_at: int | None = None,
    verified: bool = False,
    strict: bool = False,
) -> TrustSnapshot:
    """Read everything that a directory says is to be trusted.

    Args:
        path: the directory.
        now: Unix seconds.
        roster_key: the key to the rosters; None reads `roster_key_file`.
        roster_key_file: None takes `roster.key` in the directory.
        version: of a signed set; 0 for a plain directory.
        updated_at: when a signed set was last confirmed; a plain directory is as current as its
            reading.
        expires_at: of a signed set.
        verified: True where a signature over every file was just checked.
        strict: True refuses the whole where a file would be set aside.

    Raises:
        TrustError: it is no directory that can be read; with `strict` one line that names the file
            and the fault.
    """
    if not path.is_dir():
        raise TrustError(f"{path}: not a directory")
    reading = _Reading(path, strict=strict)
    keys = reading.keys()
    snapshot = TrustSnapshot(keys=tuple(keys))
    return replace(
        snapshot,
        status_lists=tuple(reading.status_lists(snapshot)),
        revocations=reading.revocations(),
        rosters=reading.rosters(roster_key, roster_key_file, settled=verified),
        profiles=reading.profiles(),
        models={file.name: file for file in reading.files("models", None)},
        operators=tuple(reading.operators()),
        version=version,
        updated_at=now if updated_at is None else updated_at,
        expires_at=expires_at,
        source=path,
        set_aside=tuple(reading.set_aside),
        closed=reading.closed,
    )


class _Reading:
    """One reading of a directory: what was set aside, and what that closes."""

    def __init__(self, path: Path, *, strict: bool) -> None:
        self._path = path
        self._strict = strict
        self._operators: list[tuple[Path, OperatorKey]] = []
        self.set_aside: list[SetAside] = []
        self.closed = Closed()

    def aside(self, file: Path, reason: object) -> None:
        """Set a file aside; with `strict`, refuse the whole for it."""
        text = str(reason).removeprefix(f"{file}: ").replace(f"{self._path}/", "")
        if self._strict:
            raise TrustError(f"{file}: {text}")
        self.set_aside.append(SetAside.of(str(file.relative_to(self._path)), text))

    def files(
        self, folder: str, suffixes: Iterable[str] | None, unreadable: Closed | None = None
    ) -> list[Path]:
        """List a folder's files, and set aside what has no place there.

        Args:
            folder: inside the directory; empty for itself.
            suffixes: what is taken; None takes any.
            unreadable: what is closed where the folder cannot be listed.
        """
        place = self._path / folder
        try:
            if not place.exists():
                return []
            entries = sorted(islice(place.iterdir(), _MAX_FILES + 1))
            fault = f"more than {_MAX_FILES} files" if len(entries) > _MAX_FILES else ""
        except OSError as error:
            fault = f"cannot be read: {error.strerror}"
        if fault and not folder:
            raise TrustError(f"{place}: {fault}")
        if fault:
            self.aside(place, fault)
            self.closed |= unreadable or Closed()
            return []
        return [entry for entry in entries if self._belongs(entry, suffixes)]

    def _belongs(self, entry: Path, suffixes: Iterable[str] | None) -> bool:
        """Return whether a directory's entry is a file to read; set aside what is none."""
        name = entry.name
        if name.startswith(".") or name.endswith("~") or entry.suffix in _IGNORED_SUFFIXES:
            return False
        try:
            if entry.is_dir():
                if name not in _FOLDERS or entry.parent != self._path:
                    allowed = ", ".join(sorted(_FOLDERS))
                    self.aside(entry, f"an unknown folder; allowed: {allowed}")
                return False
        except OSError as error:
            self.aside(entry, error.strerror)
            return False
        if suffixes is not None and entry.suffix not in suffixes and name != _ROSTER_KEY:
            self.aside(entry, f"an unknown kind of file; allowed: {', '.join(sorted(suffixes))}")
            return False
        return True

    def keys(self) -> list[IssuerKey]:
        """Return the issuers' keys; the operators' are kept for `operators`."""
        found: list[IssuerKey] = []
        for folder in ("", "issuers", "operators"):
            for file, description in self._described(folder):
                try:
                    if description.operator or folder == "operators":
                        self._operators.append((file, _operator(file, description)))
                        continue
                    keys, faults = _issuer_keys(file, description)
                except TrustError as error:
                    self.aside(file, error)
                    continue
                found.extend(keys)
                for fault in faults:
                    self.aside(file, fault)
        return found

    def _described(self, folder: str) -> Iterator[tuple[Path, Description]]:
        """Pair key files with the descriptions beside them."""
        files = self.files(folder, KEY_SUFFIXES | {".toml"})
        keys = [file for file in files if file.suffix != ".toml" and file.name != _ROSTER_KEY]
        stems = {file.stem for file in keys}
        descriptions: dict[str, Description | TrustError] = {}
        for file in files:
            if file.suffix != ".toml":
                continue
            if file.stem not in stems:
                self.aside(file, f"describes a key, but no {file.stem}.pem lies beside it")
                continue
            try:
                descriptions[file.stem] = describe(file)
            except TrustError as error:
                descriptions[file.stem] = error
        for file in keys:
            description = descriptions.get(file.stem, Description())
            if isinstance(description, TrustError):
                self.aside(file, description)
            else:
                yield file, description

    def operators(self) -> Iterator[OperatorKey]:
        """Return the operators' keys; of those that cannot be told apart none."""
        settled, faults = settle_operators(self._operators)
        for file, fault in faults:
            self.aside(file, fault)
        yield from settled

    def status_lists(self, keys: TrustSnapshot) -> Iterator[StatusList]:
        """Read the status lists; one set aside closes its URI."""
        unknown = Closed(status_uris=frozenset({EVERY}))
        for file in self.files("status", _STATUS_SUFFIXES, unknown):
            try:
                token = read_file(file, MAX_TOKEN_BYTES)
            except TrustError as error:
                self.aside(file, error)
                self.closed |= unknown
                continue
            try:
                yield parse(token, keys, source=str(file))
            except TrustError as error:
                self.aside(file, error)
                self.closed |= Closed(status_uris=frozenset({claimed(token)[0] or EVERY}))

    def revocations(self) -> Revocations:
        """Read the revocation lists of health certificates; one set aside closes the format."""
        unknown = Closed(revocation_kids=frozenset({EVERY_KID}))
        batches = []
        for file in self.files("revocation", {".json"}, unknown):
            try:
                batches += parse_batches(read_file(file, MAX_REVOCATION_FILE))
            except TrustError as error:
                self.aside(file, error)
                self.closed |= unknown
        try:
            return Revocations(batches)
        except TrustError as error:
            self.aside(self._path / "revocation", error)
            self.closed |= unknown
            return Revocations([])

    def rosters(
        self, key: bytes | None, key_file: Path | None, *, settled: bool
    ) -> dict[str, Roster]:
        """Read the rosters; one set aside lists nobody that it allows and everybody it blocks."""
        files = self.files("rosters", {".roster"}, Closed(rosters=frozenset({EVERY})))
        found = {}
        for file in files:
            if file.name == _ROSTER_KEY:
                continue
            try:
                if key is None:
                    key = load_key(key_file or self._path / _ROSTER_KEY)
                found[file.stem] = load_roster(file, key, settled=settled)
            except TrustError as error:
                self.aside(file, error)
                self.closed |= Closed(rosters=frozenset({file.stem}))
        return found

    def profiles(self) -> dict[str, bytes]:
        """Read the site profiles; one set aside is not replaced by a shipped one of its name."""
        found = {}
        for file in self.files("profiles", {".toml"}, Closed(profiles=frozenset({EVERY}))):
            try:
                found[file.stem] = read_file(file, MAX_TEXT_FILE)
            except TrustError as error:
                self.aside(file, error)
                self.closed |= Closed(profiles=frozenset({file.stem}))
        return found


def _issuer_keys(file: Path, description: Description) -> tuple[list[IssuerKey], list[str]]:
    """Return a file's keys, a certificate also under the id that a DCC names it by; and faults."""
    from agent.credential import keys

    if description.roles:
        raise TrustError(f"{file}: key roles: only an operator has roles; set operator = true")
    first, last = validity_of(file, description)
    found, faults = _build(
        file,
        lambda: keys.issuer_keys(
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
            highest_level=description.level,
            leaf_usages=description.leaf_usages,
            leaf_policies=description.leaf_policies,
            leaf_names=description.leaf_names,
        ),
    )
    given: list[IssuerKey] = []
    for key in found:
        if key.valid_from > key.valid_until:
            faults.append("its validity ends before it begins")
            continue
        # The CA of the ride codes is a bare key: its certificates are not X.509.
        ride_ca = key.formats == {FormatName.TRANSIT}
        if key.is_root and key.certificate is None and not ride_ca:
            faults.append("key root: only a certificate can be a root")
            continue
        named = kid_of(file, description) is not None
        given.extend(_also_as_dcc(_for_aadhaar(key, description), named=named))
    if not given:
        raise TrustError(f"{file}: {faults[0]}")
    return given, faults


def _also_as_dcc(key: IssuerKey, *, named: bool) -> list[IssuerKey]:
    """Return a certificate's key, also under the id that a DCC gives it."""
    from agent.credential import keys

    if key.certificate is None or key.is_root or named:
        return [key]
    dcc = replace(
        key, kid=keys.certificate_kid(key.certificate), formats=frozenset({FormatName.DCC})
    )
    if key.formats == dcc.formats:
        return [dcc]
    return [key, dcc] if not key.formats or FormatName.DCC in key.formats else [key]


def _for_aadhaar(key: IssuerKey, description: Description) -> IssuerKey:
    """Pin RSA to the padding of Aadhaar where the key is for nothing else."""
    unsaid = description.algorithm is None and description.formats == {FormatName.AADHAAR}
    if unsaid and key.algorithm is Algorithm.PS256:
        return replace(key, algorithm=Algorithm.RS256)
    return key


def _operator(file: Path, description: Description) -> OperatorKey:
    from agent.credential import keys

    if not description.roles:
        allowed = ", ".join(sorted(COMMAND_ROLES))
        raise TrustError(f"{file}: key roles: an operator needs roles; allowed: {allowed}")
    first, last = validity_of(file, description)
    key = _build(
        file,
        lambda: keys.issuer_key(
            read_file(file, _MAX_KEY_FILE),
            issuer=description.issuer or file.stem,
            algorithm=description.algorithm,
            kid=kid_of(file, description),
            valid_from=first,
            valid_until=last,
        ),
    )
    if key.valid_from > key.valid_until:
        raise TrustError(f"{file}: its validity ends before it begins")
    return OperatorKey(
        name=key.issuer,
        kid=key.kid,
        algorithm=key.algorithm,
        public_key=key.public_key,
        roles=description.roles,
        valid_from=key.valid_from,
        valid_until=key.valid_until,
    )


def _build(file: Path, make: Callable[[], _Made]) -> _Made:
    from agent.credential.keys import KeyFileError

    try:
        return make()
    except KeyFileError as error:
        raise TrustError(f"{file}: {error}") from None
