"""The draft of a repository: what will be published next, and the signatures that it gathers.

Rules:
- a change to a draft drops the signatures it had;
- nobody signs for a file that is not there to be seen;
- `status/*` may be delegated to a role of its own, in targets (`agent.trust.delegation`).

Standard: The Update Framework specification 1.0.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from securesystemslib.signer import CryptoSigner, Key
from tuf.api.metadata import (
    DelegatedRole,
    Delegations,
    Metadata,
    Role,
    Root,
    TargetFile,
    Targets,
)

from agent.trust import bundle
from agent.trust.cache import replace_file
from agent.trust.delegation import STATUS, STATUS_PATHS
from agent.trust.model import TrustError
from agent.trust.repository import ROLES, SETTINGS, SIGNED_BY_HAND, Lifetimes, RepositoryReader
from agent.trust.update import TARGET_NAME

__all__ = ["DraftRepository"]


class DraftRepository(RepositoryReader):
    """A repository whose draft can be changed and signed; see `RepositoryReader`."""

    @classmethod
    def create(
        cls,
        path: Path,
        *,
        now: int,
        keys: Mapping[str, Sequence[Key]],
        thresholds: Mapping[str, int],
        lifetimes: Lifetimes,
    ) -> Self:
        """Make an empty repository whose first root and targets wait for signatures.

        Args:
            path: a directory that does not exist or is empty.
            now: Unix seconds.
            keys: public keys by role; with `status` that role is delegated from the beginning.
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
        (path / SETTINGS).write_text("".join(lines), encoding="utf-8")
        root = Root(expires=repository._expiry(Root.type), consistent_snapshot=True)
        for role in ROLES:
            for key in keys[role]:
                root.add_key(key, role)
            root.roles[role].threshold = thresholds.get(role, 1)
            _check_threshold(role, root.roles[role])
        repository._write_draft(Metadata(root))
        targets = Targets(expires=repository._expiry(Targets.type))
        if STATUS in keys:
            _delegate(targets, keys[STATUS], thresholds.get(STATUS, 1))
        repository._write_draft(Metadata(targets))
        return repository

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

    def delegate_status(
        self, keys: Sequence[Key], *, threshold: int = 1, take: Iterable[str] = ()
    ) -> None:
        """Delegate `status/*` to a role of its own, in a new version of targets.

        Args:
            keys: its public keys.
            threshold: how many of them must sign.
            take: lists of targets that become the role's at its first publication.

        Raises:
            TrustError: it is delegated already, or a name to take is no list of targets.
        """
        self.refuse_second_status_role()
        metadata = self._edit_targets()
        _delegate(metadata.signed, keys, threshold)
        for name in take:
            if not name.startswith("status/") or metadata.signed.targets.pop(name, None) is None:
                raise TrustError(f"{name}: no status list of targets")
        self._write_draft(metadata)

    def refuse_second_status_role(self) -> None:
        """Say so where `status/*` is delegated already; before keys are made for it.

        Raises:
            TrustError: it is.
        """
        if self.has_status_role():
            raise TrustError(f"{self.path}: `status` is delegated already; rotate its keys instead")

    def rotate(
        self,
        role: str,
        new: Sequence[Key],
        *,
        retire: Sequence[str] | None = None,
        threshold: int | None = None,
    ) -> None:
        """Give a role new keys, in a new root; those of `status`, in a new version of targets.

        Args:
            role: root, targets, snapshot, timestamp or status.
            new: keys to add.
            retire: ids of keys to take away; None takes all that it had.
            threshold: signatures it needs from now on; None leaves it.

        Raises:
            TrustError: a key to retire is not the role's, or too few keys are left.
        """
        held = self.keys_of(role)
        metadata = self._edit(Targets.type if role == STATUS else Root.type)
        delegator: Root | Targets = metadata.signed
        for keyid in held if retire is None else retire:
            if keyid not in held:
                raise TrustError(f"{keyid}: not a key of {role}")
            delegator.revoke_key(keyid, role)
        for key in new:
            delegator.add_key(key, role)
        changed = self._role(role, metadata.signed)
        if threshold is not None:
            changed.threshold = threshold
        _check_threshold(role, changed)
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

    def _write_draft(self, metadata: Metadata[Any]) -> None:
        path = self._draft / f"{metadata.signed.type}.json"
        path.parent.mkdir(exist_ok=True)
        replace_file(path, metadata.to_bytes())

    def sign(self, signers: Iterable[CryptoSigner]) -> list[str]:
        """Sign every draft that each key may sign; return `role keyid` for each signature made.

        Raises:
            TrustError: none of the keys may sign anything that waits, or a file that would be
                signed for is not here to be seen.
        """
        made = []
        waiting = self.draft(Targets.type)
        if waiting is not None:
            list(self.files(waiting.signed.targets))  # compares each with what the draft says of it
        for signer in signers:
            keyid = signer.public_key.keyid
            for role in SIGNED_BY_HAND:
                draft = self.draft(role)
                if draft is not None and self._may_sign(role, keyid):
                    draft.sign(signer, append=True)
                    self._write_draft(draft)
                    made.append(f"{role} {keyid}")
        if not made:
            raise TrustError(f"{self.path}: nothing waits for a signature of these keys")
        return made

    def write_bundle(self, folder: Path) -> None:
        """Write what the holders of the offline keys must see onto a stick; see `bundle`.

        Raises:
            TrustError: there is something else in the folder, or it cannot be written.
        """
        bundle.write(self, folder)

    def take_bundle(self, folder: Path) -> list[str]:
        """Take the signatures that were made on a stick; return `role keyid` for each.

        Raises:
            TrustError: it holds none that counts here.
        """
        made = []
        for role in SIGNED_BY_HAND:
            draft = self.draft(role)
            if draft is None:
                continue
            taken = bundle.take(draft, folder / "draft" / f"{role}.json", self._delegators(role))
            made += [f"{role} {keyid}" for keyid in taken]
            self._write_draft(draft)
        if not made:
            raise TrustError(f"{folder}: no new signature on what waits here")
        return made

    def _may_sign(self, role: str, keyid: str) -> bool:
        return any(keyid in root.roles[role].keyids for root in self._delegators(role))


def _delegate(targets: Targets, keys: Sequence[Key], threshold: int) -> None:
    role = DelegatedRole(STATUS, [], threshold, terminating=True, paths=list(STATUS_PATHS))
    targets.delegations = Delegations(keys={}, roles={STATUS: role})
    for key in keys:
        targets.add_key(key, STATUS)
    _check_threshold(STATUS, role)


def _check_threshold(name: str, role: Role) -> None:
    if not 1 <= role.threshold <= len(role.keyids):
        raise TrustError(
            f"{name}: {role.threshold} signatures of {len(role.keyids)} keys cannot be"
        )
