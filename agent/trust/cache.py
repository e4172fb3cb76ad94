"""The gate's copy of the signed trust set: whole sets, checked again at every load.

    root.json        the anchor: the root metadata that the operator laid here
    metadata/        what the updater knows of the repository; guards against rollback
    sets/NAME/       one whole set: metadata/ and targets/, never changed once it is there
    current          which set is believed, and when it was laid down
    roster.key       the site's key to the rosters; not part of any set

Rules:
- `current` is replaced by a rename after its set lies on the disk, so a power cut at any instant
  leaves the old set or the new one; whatever else lies about is swept by the next update;
- a set is believed only if its signatures lead back to the anchor, its parts name each other by
  version and hash, and its files are exactly the signed ones, byte for byte;
- expiry limits what an update accepts (freeze attacks), not what an offline gate may go on using:
  that is the policy's, by age;
- a set is as old as the date in its signed timestamp. What this gate's clock said when it fetched
  the set, or was told once more that there is none newer, makes nothing younger: that clock may
  have been wrong, and whoever repeats an old answer would be believed for ever.

Standard: The Update Framework specification 1.0, section 5 (client workflow).
"""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from agent.trust.delegation import STATUS, merged, status_role
from agent.trust.directory import load_directory
from agent.trust.model import TrustError
from agent.trust.snapshot import TrustSnapshot

if TYPE_CHECKING:
    from tuf.api.metadata import Metadata, Root, Snapshot, Targets, Timestamp

__all__ = [
    "ANCHOR",
    "PUBLISHED",
    "ROSTER_KEY",
    "Pointer",
    "VerifiedSet",
    "check_set",
    "fsync_path",
    "load_set",
    "load_signed",
    "read_pointer",
    "replace_file",
    "sweep",
    "write_pointer",
]

ANCHOR = "root.json"
POINTER = "current"
ROSTER_KEY = "roster.key"
SETS = "sets"

PUBLISHED = "x-published"
"""The signed timestamp's field that says when it was made, written as its `expires` is."""

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")

_MAX_METADATA = 5 << 20
_MAX_ROOTS = 256


class Pointer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the file `current` says.

    Attributes:
        set_name: the believed set's directory under `sets`.
        updated_at: Unix seconds at which it was laid down, by this gate's clock.
    """

    set_name: Annotated[str, msgspec.Meta(pattern=r"^[0-9]{1,10}-[0-9a-f]{16}(\.r)?$")]
    updated_at: Annotated[int, msgspec.Meta(ge=0)]


@dataclass(frozen=True, slots=True)
class VerifiedSet:
    """Metadata whose signatures were followed back to the anchor.

    Attributes:
        version: version of the snapshot, which counts publications.
        expires_at: earliest expiry of its parts, Unix seconds.
        dated_at: when it was published, Unix seconds by signature; 0 for a set of a publisher that
            does not say.
        targets: the files of the set: name -> `tuf` TargetFile (length and hashes).
    """

    version: int
    expires_at: int
    dated_at: int
    targets: dict[str, Any]


def load_signed(cache: Path, now: int, *, roster_key: bytes | None = None) -> TrustSnapshot:
    """Load the believed set of a cache, checking all of it.

    Args:
        cache: the cache directory.
        now: Unix seconds.
        roster_key: the key to the rosters; None takes `roster.key` in the cache.

    Raises:
        TrustError: there is no set, or it cannot be believed.
    """
    pointer = read_pointer(cache)
    while pointer is not None:
        folder = cache / SETS / pointer.set_name
        try:
            return load_set(cache, folder, pointer.updated_at, now, roster_key)
        except TrustError:
            # An update may have swept the set away while it was read; then there is a newer one.
            before, pointer = pointer.set_name, read_pointer(cache)
            if pointer is not None and pointer.set_name == before:
                raise
    first = "" if (cache / ANCHOR).exists() else " --root 1.root.json"
    how = f"idgate trust update {cache}{first} --from ..."
    raise TrustError(f"{cache}: no trust set yet; run: {how}")


def load_set(
    cache: Path,
    folder: Path,
    updated_at: int,
    now: int,
    roster_key: bytes | None,
    *,
    strict: bool = False,
) -> TrustSnapshot:
    """Check and load one set of a cache.

    Args:
        cache: the cache directory.
        folder: the set's.
        updated_at: Unix seconds at which it was last confirmed current.
        now: Unix seconds.
        roster_key: see `load_signed`.
        strict: True for a set that is not in force yet: nothing in it may be set aside. One that
            was taken, and of which a newer agent takes less, goes on as far as it can be believed.

    Raises:
        TrustError: it cannot be believed.
    """
    verified = check_set(cache / ANCHOR, folder)
    snapshot = load_directory(
        folder / "targets",
        now=now,
        roster_key=roster_key,
        roster_key_file=cache / ROSTER_KEY,
        version=verified.version,
        # Without a signed date the gate's own word must do; no publication is after its expiry.
        updated_at=verified.dated_at or min(updated_at, verified.expires_at),
        expires_at=verified.expires_at,
        verified=True,
        strict=strict,
    )
    return replace(snapshot, dated_at=verified.dated_at)


def check_set(anchor: Path, folder: Path) -> VerifiedSet:
    """Follow a set's signatures back to the anchor and compare every file.

    Raises:
        TrustError: one line that names the file and the fault.
    """
    verified = _check_metadata(anchor, folder / "metadata")
    _check_files(folder / "targets", verified.targets)
    return verified


def read_pointer(cache: Path) -> Pointer | None:
    """Return what `current` says; None where there is no set yet.

    Raises:
        TrustError: it is damaged.
    """
    path = cache / POINTER
    try:
        return msgspec.json.decode(path.read_bytes(), type=Pointer)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise TrustError(f"{path}: cannot be read: {error.strerror}") from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise TrustError(f"{path}: damaged; remove it and update again") from None


def write_pointer(cache: Path, pointer: Pointer) -> None:
    """Make a set the believed one; the single step that a power cut cannot halve.

    Raises:
        OSError: it cannot be written.
    """
    replace_file(cache / POINTER, msgspec.json.encode(pointer))


def replace_file(path: Path, data: bytes) -> None:
    """Put a whole file in place of another, durably.

    Raises:
        OSError: it cannot be written.
    """
    fresh = path.with_name(f".{path.name}.new")
    with fresh.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    fsync_path(path.parent)


def fsync_path(path: Path) -> None:
    """Force a file's or directory's content to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sweep(cache: Path, keep: frozenset[str]) -> None:
    """Remove what interrupted updates left behind, and sets that are not in `keep`."""
    sets = cache / SETS
    for folder in sets.iterdir() if sets.is_dir() else ():
        if folder.name not in keep:
            shutil.rmtree(folder)
    metadata = cache / "metadata"
    for stray in metadata.glob("tmp*") if metadata.is_dir() else ():
        stray.unlink()


def _check_metadata(anchor: Path, folder: Path) -> VerifiedSet:
    from tuf.api.exceptions import LengthOrHashMismatchError, RepositoryError
    from tuf.api.metadata import Root, Snapshot, Targets, Timestamp

    root = _parse(anchor, Root)
    try:
        root.signed.verify_delegate(Root.type, root.signed_bytes, root.signatures)
        root = _newest_root(root, folder / "root_history")
        parts = {}
        for kind in (Timestamp, Snapshot, Targets):
            part = _parse(folder / f"{kind.type}.json", kind)
            root.signed.verify_delegate(kind.type, part.signed_bytes, part.signatures)
            parts[kind.type] = part.signed
        timestamp, snapshot, targets = parts.values()
        said = timestamp.snapshot_meta
        said.verify_length_and_hashes(_metadata_bytes(folder / "snapshot.json"))
        listed = snapshot.meta["targets.json"]
        listed.verify_length_and_hashes(_metadata_bytes(folder / "targets.json"))
        status = _check_status(folder, targets, snapshot)
    except (RepositoryError, LengthOrHashMismatchError, KeyError, ValueError) as error:
        if isinstance(error, TrustError):
            raise
        raise TrustError(f"{folder}: the set cannot be believed: {error}") from None
    if (said.version, listed.version) != (snapshot.version, targets.version):
        raise TrustError(f"{folder}: parts of different sets are mixed")
    parts_of_set = [root.signed, timestamp, snapshot, targets, *([status] if status else [])]
    expiries = [part.expires for part in parts_of_set]
    return VerifiedSet(
        version=snapshot.version,
        expires_at=int(min(expiries).timestamp()),
        dated_at=_dated(timestamp, folder),
        targets=merged(targets, status),
    )


def _check_status(folder: Path, targets: Targets, snapshot: Snapshot) -> Targets | None:
    """Return the metadata of the role `status`, None where targets delegates nothing."""
    from tuf.api.metadata import Targets

    if status_role(targets) is None:
        return None
    path = folder / f"{STATUS}.json"
    part: Metadata[Targets] = _parse(path, Targets)
    targets.verify_delegate(STATUS, part.signed_bytes, part.signatures)
    listed = snapshot.meta[f"{STATUS}.json"]
    listed.verify_length_and_hashes(_metadata_bytes(path))
    if listed.version != part.signed.version:
        raise TrustError(f"{folder}: parts of different sets are mixed")
    return part.signed


def _dated(timestamp: Timestamp, folder: Path) -> int:
    said = timestamp.unrecognized_fields.get(PUBLISHED)
    if said is None:
        return 0
    if not isinstance(said, str) or not _DATE.fullmatch(said):
        raise TrustError(f"{folder}: {PUBLISHED} of the timestamp is no date")
    try:
        return int(datetime.fromisoformat(said).timestamp())
    except ValueError:
        raise TrustError(f"{folder}: {PUBLISHED} of the timestamp is no date") from None


def _newest_root(root: Metadata[Root], history: Path) -> Metadata[Root]:
    """Walk the chain of roots: each is signed by itself and by the one before it."""
    from tuf.api.metadata import Root

    for _ in range(_MAX_ROOTS):
        path = history / f"{root.signed.version + 1}.root.json"
        if not path.exists():
            return root
        following = _parse(path, Root)
        if following.signed.version != root.signed.version + 1:
            raise TrustError(f"{path}: not the root version that its name says")
        for signer in (root.signed, following.signed):
            signer.verify_delegate(Root.type, following.signed_bytes, following.signatures)
        root = following
    raise TrustError(f"{history}: more than {_MAX_ROOTS} roots")


def _parse(path: Path, kind: type[Any]) -> Metadata[Any]:
    from tuf.api.metadata import Metadata
    from tuf.api.serialization import DeserializationError

    try:
        metadata: Metadata[Any] = Metadata.from_bytes(_metadata_bytes(path))
    except DeserializationError:
        raise TrustError(f"{path}: not signed metadata") from None
    if not isinstance(metadata.signed, kind):
        raise TrustError(f"{path}: metadata of another role")
    return metadata


def _metadata_bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_METADATA + 1)
    except OSError as error:
        raise TrustError(f"{path}: cannot be read: {error.strerror}") from None
    if len(data) > _MAX_METADATA:
        raise TrustError(f"{path}: larger than {_MAX_METADATA} bytes")
    return data


def _check_files(folder: Path, targets: dict[str, Any]) -> None:
    from tuf.api.exceptions import LengthOrHashMismatchError

    present = {
        str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir()
    }  # a stray file would be read with the rest
    if stray := sorted(present - targets.keys()):
        raise TrustError(f"{folder / stray[0]}: not part of the signed set")
    for name, target in targets.items():
        path = folder / name
        if path.is_symlink() or not path.is_file():
            raise TrustError(f"{path}: missing from the set")
        try:
            with path.open("rb") as file:
                target.verify_length_and_hashes(file)
        except OSError as error:
            raise TrustError(f"{path}: cannot be read: {error.strerror}") from None
        except LengthOrHashMismatchError:
            raise TrustError(f"{path}: not the file that was signed") from None
