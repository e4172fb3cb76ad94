"""The publishing side: a repository of signed trust, made by people with keys in their hands.

    repository.toml    lifetimes of the signatures
    draft/             what will be published next: root.json, targets.json, files/
    metadata/          what is published: N.root.json, N.targets.json, N.status.json,
                       N.snapshot.json, timestamp.json
    targets/           published files, each under its hash

Rules:
- root keys say who may sign; targets keys say what gates believe; both live apart, off the server,
  with thresholds of their own. Snapshot and timestamp keys only vouch for freshness;
- targets may delegate `status/*` to the role `status`, whose keys are online: who withdraws a
  credential needs no key that could name an issuer. A name that targets holds is not the role's;
- changes gather in the draft, are signed by as many key holders as it takes, on as many machines
  (`agent.trust.bundle`), and become visible by one rename of timestamp.json;
- nothing is published that a gate would refuse: the whole next set is loaded as a gate loads it;
- a change to a draft drops the signatures it had;
- one publication at a time, whoever else holds the directory;
- the timestamp says when it was made: from then on gates count how old their trust is.

Standard: The Update Framework specification 1.0.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import (
    Metadata,
    MetaFile,
    Root,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)

from agent.trust.cache import PUBLISHED, replace_file
from agent.trust.delegation import STATUS, merged, status_role
from agent.trust.directory import load_directory
from agent.trust.draft import DraftRepository
from agent.trust.model import TrustError
from agent.trust.repository import ROLES, SIGNED_BY_HAND, Lifetimes, Missing
from agent.trust.snapshot import TrustSnapshot
from agent.trust.update import TARGET_NAME

__all__ = ["ROLES", "Lifetimes", "Missing", "Repository"]


class Repository(DraftRepository):
    """A repository on disk.

    Args:
        path: its directory.
        now: Unix seconds, for expiry.
    """

    def __init__(self, path: Path, *, now: int) -> None:
        super().__init__(path, now=now)
        self._held = 0

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep others from publishing; may be entered again by who holds it."""
        if self._held:
            yield
            return
        try:
            descriptor = os.open(self.path / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise TrustError(f"{self.path}: cannot be written: {error.strerror}") from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            self._held += 1
            yield
        finally:
            self._held = 0
            os.close(descriptor)

    def publish(
        self, online: Iterable[CryptoSigner], *, status: Mapping[str, bytes] | None = None
    ) -> int:
        """Publish the drafts, with fresh snapshot and timestamp; return the set's version.

        Args:
            online: signers for snapshot and timestamp, and for `status` where it is delegated.
            status: status lists by name, to publish in the same step; see `publish_status`.

        Raises:
            TrustError: signatures are missing, or a gate would refuse the set.
        """
        with self.locked():
            for gap in self.missing():
                keys = ", ".join(keyid[:16] for keyid in gap.keys)
                raise TrustError(
                    f"{gap.role}: {gap.needed} more signature(s) needed, of keys {keys}"
                )
            root, targets = self.latest(Root.type), self.latest(Targets.type)
            waiting = [role for role in SIGNED_BY_HAND if self.draft(role)]
            version = self._publish(root, targets, online, status or {}, waiting)
            shutil.rmtree(self._draft, ignore_errors=True)
            return version

    def publish_status(self, files: Mapping[str, bytes], online: Iterable[CryptoSigner]) -> int:
        """Publish status lists by the role `status`; return the set's version.

        No key of targets is needed, and no draft that waits is touched.

        Args:
            files: tokens by name, such as `status/desk-1.cwt`; the role's others stay.
            online: signers for `status`, snapshot and timestamp.

        Raises:
            TrustError: the role is not delegated yet, a name is not its own, or a gate would
                refuse the set.
        """
        with self.locked():
            root, targets = self.published(Root.type), self.published(Targets.type)
            if root is None or targets is None or status_role(targets.signed) is None:
                raise TrustError(f"{self.path}: no role `status` is published here yet")
            return self._publish(root, targets, online, files)

    def _publish(
        self,
        root: Metadata[Root],
        targets: Metadata[Targets],
        online: Iterable[CryptoSigner],
        files: Mapping[str, bytes],
        waiting: Sequence[str] = (),
    ) -> int:
        """Publish these; of root and targets those roles that were waiting in the draft."""
        for role, metadata in ((Root.type, root), (Targets.type, targets)):
            if metadata.signed.is_expired(datetime.fromtimestamp(self._now, UTC)):
                raise TrustError(f"{role}: expired; renew and sign it first")
        signers = {signer.public_key.keyid: signer for signer in online}
        with tempfile.TemporaryDirectory(prefix="idgate-") as scratch:
            fresh = Path(scratch)
            status = self._next_status(targets.signed, files, fresh, signers)
            every = merged(targets.signed, status.signed if status else None)
            self._rehearse(every, fresh)
            snapshot, timestamp = self._next_online()
            snapshot.signed.meta["targets.json"] = MetaFile(targets.signed.version)
            if status is not None:
                snapshot.signed.meta[f"{STATUS}.json"] = MetaFile(status.signed.version)
            timestamp.signed.snapshot_meta = MetaFile(snapshot.signed.version)
            _sign_online(Snapshot.type, snapshot, root.signed, signers)
            _sign_online(Timestamp.type, timestamp, root.signed, signers)
            self._publish_files(every, fresh)
        for role, metadata in ((Root.type, root), (Targets.type, targets)):
            if role in waiting:
                self._publish_metadata(role, metadata)
        if status is not None:
            self._publish_metadata(STATUS, status)
        self._publish_metadata(Snapshot.type, snapshot)
        replace_file(self._metadata / "timestamp.json", timestamp.to_bytes())
        return int(snapshot.signed.version)

    def _next_status(
        self,
        targets: Targets,
        files: Mapping[str, bytes],
        fresh: Path,
        signers: Mapping[str, CryptoSigner],
    ) -> Metadata[Targets] | None:
        """Return the next version of `status`, its new files laid into `fresh`.

        Without its keys at hand the published version stays, as long as it holds.
        """
        role, before = status_role(targets), self.published(STATUS)
        if role is None:
            if files:
                raise TrustError("no role `status` to publish status lists by")
            return None
        if before is not None and not files and not signers.keys() & set(role.keyids):
            self._check_status(targets, before)
            return before
        metadata = before or Metadata(Targets(targets=self._left_by(targets)))
        metadata.signatures.clear()
        metadata.signed.version += before is not None
        metadata.signed.expires = self._expiry(STATUS)
        for name, data in files.items():
            if not (TARGET_NAME.fullmatch(name) and role.is_delegated_path(name)):
                raise TrustError(f"{name!r}: not a name that `status` may sign")
            if name in targets.targets:
                raise TrustError(f"{name}: targets has a list of that name; remove it there first")
            path = fresh / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(data)
            metadata.signed.targets[name] = TargetFile.from_data(name, data, ["sha256"])
        _sign_online(STATUS, metadata, targets, signers)
        return metadata

    def _check_status(self, targets: Targets, status: Metadata[Targets]) -> None:
        held = targets.get_verification_result(STATUS, status.signed_bytes, status.signatures)
        if not held or status.signed.is_expired(datetime.fromtimestamp(self._now, UTC)):
            raise TrustError("status: its key is needed to publish")

    def _left_by(self, targets: Targets) -> dict[str, TargetFile]:
        """Return the status lists that targets gives to the role in its first version."""
        before = self.published(Targets.type)
        if before is None:
            return {}
        return {
            name: target
            for name, target in before.signed.targets.items()
            if name.startswith("status/") and name not in targets.targets
        }

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
        return self._as_a_gate(self.targets(), self._draft / "files", strict=False)

    def _rehearse(self, targets: Mapping[str, TargetFile], fresh: Path) -> None:
        """Load the next set as a gate would; rosters were checked when they were added."""
        try:
            self._as_a_gate(targets, fresh, strict=True)
        except TrustError as error:
            raise TrustError(f"gates would refuse this set: {error}") from None

    def _as_a_gate(
        self, targets: Mapping[str, TargetFile], fresh: Path, *, strict: bool
    ) -> TrustSnapshot:
        with tempfile.TemporaryDirectory(prefix="idgate-") as name:
            folder = Path(name)
            for target, path in self.files(targets, fresh):
                if not target.startswith("rosters/"):
                    (folder / target).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(path, folder / target)
            try:
                return load_directory(folder, now=self._now, strict=strict)
            except TrustError as error:
                raise TrustError(str(error).replace(f"{name}/", "")) from None

    def _publish_files(self, targets: Mapping[str, TargetFile], fresh: Path) -> None:
        for name, path in self.files(targets, fresh):
            hashed = self._hashed(name, targets[name])
            if path != hashed:
                hashed.parent.mkdir(parents=True, exist_ok=True)
                replace_file(hashed, path.read_bytes())

    def _publish_metadata(self, role: str, metadata: Metadata[Any]) -> None:
        replace_file(self._metadata / f"{metadata.signed.version}.{role}.json", metadata.to_bytes())


def _sign_online(
    role: str,
    metadata: Metadata[Any],
    delegator: Root | Targets,
    signers: Mapping[str, CryptoSigner],
) -> None:
    """Sign snapshot, timestamp or status with all of the role's keys at hand."""
    held = status_role(delegator) if isinstance(delegator, Targets) else delegator.roles[role]
    for keyid in held.keyids if held is not None else ():
        if keyid in signers:
            metadata.sign(signers[keyid], append=True)
    if not delegator.get_verification_result(role, metadata.signed_bytes, metadata.signatures):
        raise TrustError(f"{role}: its key is needed to publish")
