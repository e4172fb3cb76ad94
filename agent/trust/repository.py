"""A repository of signed trust as it lies on a disk: what is published, what waits in the draft.

Rules:
- it only reads; `agent.trust.draft` changes the draft, `agent.trust.publish` what is published;
- of each file it is told where it lies only after its hash was compared.

Standard: The Update Framework specification 1.0.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import (
    Metadata,
    Role,
    Root,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)
from tuf.api.serialization import DeserializationError

from agent.trust.cache import PUBLISHED
from agent.trust.delegation import STATUS, STATUS_PATHS, merged, status_role
from agent.trust.model import TrustError

__all__ = ["ROLES", "SETTINGS", "SIGNED_BY_HAND", "Lifetimes", "Missing", "RepositoryReader"]

ROLES = (Root.type, Targets.type, Snapshot.type, Timestamp.type)
"""The roles that every repository has; `status` may come to them."""

SETTINGS = "repository.toml"
SIGNED_BY_HAND = (Root.type, Targets.type)


class Lifetimes(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Days for which each role's signatures hold; after them gates take no update any more."""

    root_days: int = 730
    targets_days: int = 180
    snapshot_days: int = 30
    timestamp_days: int = 30
    status_days: int = 30


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


class RepositoryReader:
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

    def _lifetimes(self) -> Lifetimes:
        path = self.path / SETTINGS
        try:
            return msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), Lifetimes)
        except OSError as error:
            raise TrustError(f"{path}: no repository here: {error.strerror}") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
            raise TrustError(f"{path}: {error}") from None

    def _expiry(self, role: str) -> datetime:
        days: int = getattr(self._lifetimes(), f"{role}_days")
        return datetime.fromtimestamp(self._now, UTC).replace(microsecond=0) + timedelta(days=days)

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

    def keys_of(self, role: str) -> tuple[str, ...]:
        """Return the ids of a role's keys, drafts counted.

        Raises:
            TrustError: there is no such role.
        """
        return tuple(self._role(role).keyids)

    def threshold_of(self, role: str) -> int:
        """Return how many of a role's keys must sign, drafts counted.

        Raises:
            TrustError: there is no such role.
        """
        return int(self._role(role).threshold)

    def has_status_role(self) -> bool:
        """Return whether `status/*` is delegated, drafts counted."""
        return status_role(self.latest(Targets.type).signed) is not None

    def _role(self, role: str, delegator: Root | Targets | None = None) -> Role:
        """Return a role as its delegator has it: by default the draft, or what is published."""
        if role != STATUS:
            root: Any = delegator or self.latest(Root.type).signed
            found: Role = root.roles[role]
            return found
        targets: Any = delegator or self.latest(Targets.type).signed
        delegated = status_role(targets)
        if delegated is None:
            raise TrustError(
                f"{self.path}: no role `status` yet; run: idgate trust delegate-status"
            )
        return delegated

    def targets(self) -> dict[str, TargetFile]:
        """Return the files of the next set by name: those of targets, and those of `status`."""
        return merged(self.latest(Targets.type).signed, self._status())

    def published_file(self, name: str) -> bytes | None:
        """Return a file of the published set, None where it has none of that name.

        Raises:
            TrustError: it is missing or was changed.
        """
        targets = self._current(Targets.type)
        if targets is None:
            return None
        status = self._current(STATUS)
        files = merged(targets.signed, status.signed if status else None)
        if name not in files:
            return None
        ((_, path),) = self.files({name: files[name]})
        return path.read_bytes()

    def _current(self, role: str) -> Metadata[Targets] | None:
        """Return what gates are given: one that a power cut left unnamed is not published."""
        timestamp = self.published(Timestamp.type)
        if timestamp is None:
            return None
        snapshot = _load(self._metadata / f"{timestamp.signed.snapshot_meta.version}.snapshot.json")
        named = snapshot.signed.meta.get(f"{role}.json") if snapshot else None
        return _load(self._metadata / f"{named.version}.{role}.json") if named else None

    def _status(self) -> Targets | None:
        published = self.published(STATUS)
        return None if published is None else published.signed

    def version(self) -> int:
        """Return the version of the set that gates are given; 0 where there is none."""
        timestamp = self.published(Timestamp.type)
        return 0 if timestamp is None else int(timestamp.signed.snapshot_meta.version)

    def published_at(self) -> int:
        """Return when it was published, Unix seconds; 0 where there is none or it does not say."""
        timestamp = self.published(Timestamp.type)
        said = timestamp.signed.unrecognized_fields.get(PUBLISHED) if timestamp else None
        return 0 if said is None else int(datetime.fromisoformat(said).timestamp())

    def changes(self) -> list[str]:
        """Return what the drafts change, for those who are to sign them: one line each."""
        lines = []
        for role, differences in ((Root.type, _new_keys), (Targets.type, _new_files)):
            draft, published = self.draft(role), self.published(role)
            if draft is not None:
                found = differences(published.signed if published else None, draft.signed)
                lines += found or [f"lets {role} last longer"]
        return lines

    def missing(self) -> list[Missing]:
        """Return what the drafts still need before they can be published."""
        out = []
        for role in SIGNED_BY_HAND:
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

    def files(
        self, targets: Mapping[str, TargetFile], fresh: Path | None = None
    ) -> Iterator[tuple[str, Path]]:
        """Yield each file of a set and where it lies now.

        Args:
            targets: the set's files by name.
            fresh: where those lie that are neither published nor in the draft.

        Raises:
            TrustError: one is missing or was changed.
        """
        for name, target in targets.items():
            path = self._hashed(name, target)
            for place in (self._draft / "files", fresh):
                if not path.exists() and place is not None:
                    path = place / name
            try:
                with path.open("rb") as file:
                    target.verify_length_and_hashes(file)
            except (OSError, RepositoryError):
                raise TrustError(f"{path}: missing, or changed since it was added") from None
            yield name, path

    def _hashed(self, name: str, target: TargetFile) -> Path:
        folder, _, base = name.rpartition("/")
        return self._targets / folder / f"{target.hashes['sha256']}.{base}"


def _new_keys(before: Root | None, after: Root) -> list[str]:
    """Return the roles whose keys or threshold a new root changes; all of them for the first."""
    return [
        f"gives {name} {role.threshold} of the keys {_short(role)}"
        for name, role in after.roles.items()
        if before is None or role != before.roles[name]
    ]


def _new_files(before: Targets | None, after: Targets) -> list[str]:
    """Return the files and the delegation that a new version of targets changes."""
    old, new = dict(before.targets) if before else {}, after.targets
    lines = [f"removes {name}" for name in sorted(old.keys() - new.keys())]
    lines += [f"adds {name}" for name in sorted(new.keys() - old.keys())]
    both = sorted(new.keys() & old.keys())
    lines += [f"changes {name}" for name in both if new[name] != old[name]]
    role = status_role(after)
    if role is not None and (before is None or role != status_role(before)):
        lines.append(f"delegates {STATUS_PATHS[0]} to {role.threshold} of the keys {_short(role)}")
    return lines


def _short(role: Role) -> str:
    return ", ".join(keyid[:16] for keyid in role.keyids)


def _load(path: Path) -> Metadata[Any] | None:
    try:
        return Metadata.from_bytes(path.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise TrustError(f"{path}: cannot be read: {error.strerror}") from None
    except DeserializationError:
        raise TrustError(f"{path}: not signed metadata") from None
