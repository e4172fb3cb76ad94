"""The publishing side: a repository of signed trust, made by people with keys in their hands.

    repository.toml    lifetimes of the signatures
    draft/             what will be published next: root.json, targets.json, files/
    metadata/          what is published: N.root.json, N.targets.json, N.snapshot.json,
                       timestamp.json
    targets/           published files, each under its hash

Rules:
- root keys say who may sign; targets keys say what gates believe; both live apart, off the server,
  with thresholds of their own. Snapshot and timestamp keys only vouch for freshness;
- changes gather in the draft, are signed by as many key holders as it takes, on as many machines,
  and become visible by one rename of timestamp.json;
- nothing is published that a gate would refuse: the whole next set is loaded as a gate loads it;
- a change to a draft drops the signatures it had;
- the timestamp says when it was made: from then on gates count how old their trust is.

Standard: The Update Framework specification 1.0.
"""

from __future__ import annotations

import shutil
import tempfile
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
from securesystemslib.signer import CryptoSigner, Key
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import (
    Metadata,
    MetaFile,
    Root,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)
from tuf.api.serialization import DeserializationError

from agent.trust.cache import PUBLISHED, fsync_path, replace_file
from agent.trust.directory import load_directory
from agent.trust.model import TrustError
from agent.trust.snapshot import TrustSnapshot
from agent.trust.update import TARGET_NAME

__all__ = ["ROLES", "Lifetimes", "Missing", "Repository"]

ROLES = (Root.type, Targets.type, Snapshot.type, Timestamp.type)

_SETTINGS = "repository.toml"
_SIGNED_BY_HAND = (Root.type, Targets.type)


class Lifetimes(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Days for which each role's signatures hold; after them gates take no update any more."""

    root_days: int = 730
    targets_days: int = 180
    snapshot_days: int = 30
    timestamp_days: int = 30


@dataclass(frozen=True, slots=True)
class Missing:
    """Signatures that a draft still needs.

    Attributes:
        role: whose draft.
        needed: how many more.
        keys: ids of keys that may give them.
    """

    role: str
    needed: int
    keys: tuple[str, ...]


class Repository:
    """A repository on disk.

    Args:
        path: its directory.
        now: Unix seconds, for expiry.
    """

    def __init__(self, path: Path, *, now: int) -> None:
        self.path = path
        self._now = now
        self._metadata = path / "metadata"
        self._targets = path / "targets"
        self._draft = path / "draft"

    # --- making and opening ----------------------------------------------------------------------

    @classmethod
    def create(
        cls,
        path: Path,
        *,
        now: int,
        keys: Mapping[str, Sequence[Key]],
        thresholds: Mapping[str, int],
        lifetimes: Lifetimes,
    ) -> Repository:
        """Make an empty repository whose first root and targets wait for signatures.

        Args:
            path: a directory that does not exist or is empty.
            now: Unix seconds.
            keys: public keys by role.
            thresholds: signatures that each role needs.
            lifetimes: days by role.

        Raises:
            TrustError: the directory is in use, or thresholds and keys do not fit.
        """
        if path.exists() and any(path.iterdir()):
            raise TrustError(f"{path}: not empty")
        repository = cls(path, now=now)
        for folder in (repository._metadata, repository._targets, repository._draft / "files"):
            folder.mkdir(parents=True)
        lines = (f"{name} = {getattr(lifetimes, name)}\n" for name in lifetimes.__struct_fields__)
        (path / _SETTINGS).write_text("".join(lines), encoding="utf-8")
        root = Root(expires=repository._expiry(Root.type), consistent_snapshot=True)
        for role in ROLES:
            for key in keys[role]:
                root.add_key(key, role)
            root.roles[role].threshold = thresholds.get(role, 1)
        repository._check_thresholds(root)
        repository._write_draft(Metadata(root))
        repository._write_draft(Metadata(Targets(expires=repository._expiry(Targets.type))))
        return repository

    def _lifetimes(self) -> Lifetimes:
        path = self.path / _SETTINGS
        try:
            return msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), Lifetimes)
        except OSError as error:
            raise TrustError(f"{path}: no repository here: {error.strerror}") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
            raise TrustError(f"{path}: {error}") from None

    def _expiry(self, role: str) -> datetime:
        days: int = getattr(self._lifetimes(), f"{role}_days")
        return datetime.fromtimestamp(self._now, UTC).replace(microsecond=0) + timedelta(days=days)

    # --- reading ---------------------------------------------------------------------------------

    def published(self, role: str) -> Metadata[Any] | None:
        """Return the published metadata of a role, None where there is none yet."""
        if role == Timestamp.type:
            return _load(self._metadata / "timestamp.json")
        numbers = [int(path.name.split(".")[0]) for path in self._metadata.glob(f"*.{role}.json")]
        return _load(self._metadata / f"{max(numbers)}.{role}.json") if numbers else None

    def draft(self, role: str) -> Metadata[Any] | None:
        """Return the draft of root or targets, None where nothing waits."""
        return _load(self._draft / f"{role}.json")

    def latest(self, role: str) -> Metadata[Any]:
        """Return the draft, or what is published.

        Raises:
            TrustError: there is neither.
        """
        metadata = self.draft(role) or self.published(role)
        if metadata is None:
            raise TrustError(f"{self.path}: no repository here; run: idgate trust init")
        return metadata

    def missing(self) -> list[Missing]:
        """Return what the drafts still need before they can be published."""
        out = []
        for role in _SIGNED_BY_HAND:
            draft = self.draft(role)
            if draft is None:
                continue
            for delegator in self._delegators(role):
                result = delegator.get_verification_result(
                    role, draft.signed_bytes, draft.signatures
                )
                gap = Missing(role, result.missing, tuple(sorted(result.unsigned)))
                # A root whose keys did not change is asked for twice, in the same words.
                if not result.verified and gap not in out:
                    out.append(gap)
        return out

    def _delegators(self, role: str) -> list[Root]:
        """Return the roots whose keys must sign a draft: for a root, the one before it too."""
        roots = [self.latest(Root.type).signed]
        before = self.published(Root.type)
        if role == Root.type and before is not None and self.draft(Root.type) is not None:
            roots.append(before.signed)
        return roots

    # --- changing the draft ----------------------------------------------------------------------

    def add(self, name: str, data: bytes | Path) -> None:
        """Put a file into the draft; one of the same name is replaced.

        Args:
            name: as gates know it, such as `issuers/ministry.pem`.
            data: its content, or the file to copy.

        Raises:
            TrustError: no gate takes a file of that name.
        """
        if not TARGET_NAME.fullmatch(name):
            raise TrustError(f"{name!r}: no name of a trust file; letters, digits, . _ - only")
        targets = self._edit_targets()
        path = self._draft / "files" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(data, bytes):
            path.write_bytes(data)
        else:
            shutil.copyfile(data, path)
        targets.signed.targets[name] = TargetFile.from_file(name, str(path), ["sha256"])
        self._write_draft(targets)

    def remove(self, names: Iterable[str]) -> None:
        """Take files out of the draft.

        Raises:
            TrustError: one is not in it.
        """
        targets = self._edit_targets()
        for name in names:
            if targets.signed.targets.pop(name, None) is None:
                raise TrustError(f"{name}: not in the set")
            (self._draft / "files" / name).unlink(missing_ok=True)
        self._write_draft(targets)

    def rotate(
        self,
        role: str,
        new: Sequence[Key],
        *,
        retire: Sequence[str] | None = None,
        threshold: int | None = None,
    ) -> None:
        """Give a role new keys, in a new root.

        Args:
            role: root, targets, snapshot or timestamp.
            new: keys to add.
            retire: ids of keys to take away; None takes all that it had.
            threshold: signatures it needs from now on; None leaves it.

        Raises:
            TrustError: a key to retire is not the role's, or too few keys are left.
        """
        metadata = self._edit(Root.type)
        root: Root = metadata.signed
        held = list(root.roles[role].keyids)
        for keyid in held if retire is None else retire:
            if keyid not in held:
                raise TrustError(f"{keyid}: not a key of {role}")
            root.revoke_key(keyid, role)
        for key in new:
            root.add_key(key, role)
        if threshold is not None:
            root.roles[role].threshold = threshold
        self._check_thresholds(root)
        self._write_draft(metadata)
        if role == Targets.type:
            self._write_draft(self._edit_targets())  # the old keys' word no longer counts

    def renew(self, role: str) -> None:
        """Begin a new version of root or targets that differs in its expiry only."""
        self._write_draft(self._edit(role))

    def _edit_targets(self) -> Metadata[Targets]:
        return self._edit(Targets.type)

    def _edit(self, role: str) -> Metadata[Any]:
        """Return the role's draft without signatures; a new version where none was begun."""
        metadata = self.draft(role)
        if metadata is None:
            metadata = self.latest(role)
            metadata.signed.version += 1
        metadata.signed.expires = self._expiry(role)
        metadata.signatures.clear()
        return metadata

    def _check_thresholds(self, root: Root) -> None:
        for name, role in root.roles.items():
            if not 1 <= role.threshold <= len(role.keyids):
                raise TrustError(
                    f"{name}: {role.threshold} signatures of {len(role.keyids)} keys cannot be"
                )

    def _write_draft(self, metadata: Metadata[Any]) -> None:
        path = self._draft / f"{metadata.signed.type}.json"
        path.parent.mkdir(exist_ok=True)
        replace_file(path, metadata.to_bytes())

    # --- signing and publishing ------------------------------------------------------------------

    def sign(self, signers: Iterable[CryptoSigner]) -> list[str]:
        """Sign every draft that each key may sign; return `role keyid` for each signature made.

        Raises:
            TrustError: none of the keys may sign anything that waits.
        """
        made = []
        for signer in signers:
            keyid = signer.public_key.keyid
            for role in _SIGNED_BY_HAND:
                draft = self.draft(role)
                if draft is not None and self._may_sign(role, keyid):
                    draft.sign(signer, append=True)
                    self._write_draft(draft)
                    made.append(f"{role} {keyid}")
        if not made:
            raise TrustError(f"{self.path}: nothing waits for a signature of these keys")
        return made

    def _may_sign(self, role: str, keyid: str) -> bool:
        return any(keyid in root.roles[role].keyids for root in self._delegators(role))

    def publish(self, online: Iterable[CryptoSigner]) -> int:
        """Publish the drafts, with fresh snapshot and timestamp; return the set's version.

        Args:
            online: signers for snapshot and timestamp.

        Raises:
            TrustError: signatures are missing, or a gate would refuse the set.
        """
        for gap in self.missing():
            keys = ", ".join(keyid[:16] for keyid in gap.keys)
            raise TrustError(f"{gap.role}: {gap.needed} more signature(s) needed, of keys {keys}")
        root, targets = self.latest(Root.type), self.latest(Targets.type)
        for metadata in (root, targets):
            if metadata.signed.is_expired(datetime.fromtimestamp(self._now, UTC)):
                raise TrustError(f"{metadata.signed.type}: expired; renew and sign it first")
        signers = {signer.public_key.keyid: signer for signer in online}
        self._rehearse(targets.signed)
        snapshot, timestamp = self._next_online()
        if self.draft(Targets.type) or self.published(Snapshot.type) is None:
            snapshot.signed.meta["targets.json"] = MetaFile(targets.signed.version)
        timestamp.signed.snapshot_meta = MetaFile(snapshot.signed.version)
        for metadata in (snapshot, timestamp):
            _sign_online(metadata, root.signed, signers)
        if self.draft(Root.type):
            self._publish_metadata(root)
        if self.draft(Targets.type):
            self._publish_files(targets.signed)
            self._publish_metadata(targets)
        self._publish_metadata(snapshot)
        replace_file(self._metadata / "timestamp.json", timestamp.to_bytes())
        shutil.rmtree(self._draft, ignore_errors=True)
        return int(snapshot.signed.version)

    def _next_online(self) -> tuple[Metadata[Snapshot], Metadata[Timestamp]]:
        snapshot = self.published(Snapshot.type)
        timestamp = self.published(Timestamp.type)
        for metadata in (snapshot, timestamp):
            if metadata is not None:
                metadata.signed.version += 1
                metadata.signatures.clear()
        snapshot = snapshot or Metadata(Snapshot())
        timestamp = timestamp or Metadata(Timestamp())
        made_at = datetime.fromtimestamp(self._now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        timestamp.signed.unrecognized_fields[PUBLISHED] = made_at
        for metadata in (snapshot, timestamp):
            metadata.signed.expires = self._expiry(metadata.signed.type)
        return snapshot, timestamp

    def preview(self) -> TrustSnapshot:
        """Return what a gate would make of the draft, without its rosters.

        Raises:
            TrustError: a file of the draft is missing or was changed.
        """
        return self._load(self.latest(Targets.type).signed, strict=False)

    def _rehearse(self, targets: Targets) -> None:
        """Load the next set as a gate would; rosters were checked when they were added."""
        try:
            self._load(targets, strict=True)
        except TrustError as error:
            raise TrustError(f"gates would refuse this set: {error}") from None

    def _load(self, targets: Targets, *, strict: bool) -> TrustSnapshot:
        with tempfile.TemporaryDirectory(prefix="idgate-") as name:
            folder = Path(name)
            for target, path in self.files(targets):
                if not target.startswith("rosters/"):
                    (folder / target).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(path, folder / target)
            try:
                return load_directory(folder, now=self._now, strict=strict)
            except TrustError as error:
                raise TrustError(str(error).replace(f"{name}/", "")) from None

    def files(self, targets: Targets) -> Iterator[tuple[str, Path]]:
        """Yield each file of a set and where it lies now.

        Raises:
            TrustError: one is missing or was changed.
        """
        for name, target in targets.targets.items():
            hashed = self._hashed(name, target)
            path = hashed if hashed.exists() else self._draft / "files" / name
            try:
                with path.open("rb") as file:
                    target.verify_length_and_hashes(file)
            except (OSError, RepositoryError):
                raise TrustError(f"{path}: missing, or changed since it was added") from None
            yield name, path

    def _hashed(self, name: str, target: TargetFile) -> Path:
        folder, _, base = name.rpartition("/")
        return self._targets / folder / f"{target.hashes['sha256']}.{base}"

    def _publish_files(self, targets: Targets) -> None:
        for name, path in self.files(targets):
            hashed = self._hashed(name, targets.targets[name])
            if path != hashed:
                hashed.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, hashed)
                fsync_path(hashed)

    def _publish_metadata(self, metadata: Metadata[Any]) -> None:
        name = f"{metadata.signed.version}.{metadata.signed.type}.json"
        replace_file(self._metadata / name, metadata.to_bytes())


def _sign_online(metadata: Metadata[Any], root: Root, signers: Mapping[str, CryptoSigner]) -> None:
    """Sign snapshot or timestamp with all of the role's keys at hand."""
    role = metadata.signed.type
    for keyid in root.roles[role].keyids:
        if keyid in signers:
            metadata.sign(signers[keyid], append=True)
    if not root.get_verification_result(role, metadata.signed_bytes, metadata.signatures):
        raise TrustError(f"{role}: its key is needed to publish")


def _load(path: Path) -> Metadata[Any] | None:
    try:
        return Metadata.from_bytes(path.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise TrustError(f"{path}: cannot be read: {error.strerror}") from None
    except DeserializationError:
        raise TrustError(f"{path}: not signed metadata") from None
