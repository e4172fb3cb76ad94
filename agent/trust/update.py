"""Bring the gate's trust set up to date, over HTTPS or from a directory such as a USB stick.

Rules:
- The Update Framework's client decides what is newer and genuine: rollback, freeze, mix-and-match,
  wrong keys, thresholds, root rotation, oversized and truncated downloads are its workflow;
- of delegations only the one of `agent.trust.delegation` is followed; its part belongs to the set;
- a set is laid down whole, loaded as the gate loads it, and only then made the current one: a set
  that is genuine but cannot be used does not replace one that can;
- unchanged files are linked from the set before, not fetched and not written again;
- one update at a time on one cache; a slow server is given up after a deadline;
- a set dated ahead of this gate's clock does not replace another: one of the two clocks is wrong.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from agent.trust.cache import (
    ANCHOR,
    SETS,
    Pointer,
    fsync_path,
    load_set,
    read_pointer,
    replace_file,
    sweep,
    write_pointer,
)
from agent.trust.delegation import ABSENT, STATUS, merged, status_role
from agent.trust.model import TrustError, UpdateRefused
from agent.trust.snapshot import DATED_AHEAD_S, TrustSnapshot

if TYPE_CHECKING:
    from tuf.ngclient import FetcherInterface, Updater

__all__ = ["TARGET_NAME", "UpdateResult", "pin_root", "update"]

MAX_SET_BYTES = 1 << 30
"""All files of a set together: what a gate's card can spare."""

DEADLINE_S = 900.0
"""A whole update, on the slowest link that is still of use."""

_REPAIRED = ".r"
_log = logging.getLogger(__name__)

TARGET_NAME = re.compile(
    r"(issuers|operators|status|revocation|rosters|profiles|models)"
    r"/[A-Za-z0-9][A-Za-z0-9._-]{0,127}"
)
_PARTS = ("timestamp.json", "snapshot.json", "targets.json")
_STATUS_PART = f"{STATUS}.json"
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True)
class UpdateResult:
    """What an update came to.

    Attributes:
        snapshot: the set that is believed now, loaded.
        changed: whether it is another one than before.
    """

    snapshot: TrustSnapshot
    changed: bool


def pin_root(cache: Path, root: bytes) -> None:
    """Lay the anchor into a cache: the one step of trust that no signature can take.

    Raises:
        TrustError: another anchor is there already, or `root` is no root metadata.
    """
    from tuf.api.exceptions import RepositoryError
    from tuf.api.metadata import Metadata, Root
    from tuf.api.serialization import DeserializationError

    try:
        metadata: Metadata[Any] = Metadata.from_bytes(root)
        metadata.verify_delegate(Root.type, metadata)
    except (DeserializationError, RepositoryError, TypeError, ValueError) as error:
        raise TrustError(f"not root metadata signed by its own keys: {error}") from None
    path = cache / ANCHOR
    if path.exists() and path.read_bytes() != root:
        raise TrustError(f"{path}: another root is pinned; remove the cache to pin a new one")
    cache.mkdir(parents=True, exist_ok=True)
    replace_file(path, root)


def update(
    cache: Path,
    source: str,
    *,
    now: int,
    roster_key: bytes | None = None,
    deadline_s: float = DEADLINE_S,
    max_bytes: int = MAX_SET_BYTES,
    ca: Path | None = None,
) -> UpdateResult:
    """Fetch what is new, check it, and make it the current set.

    Args:
        cache: the gate's cache, with its anchor.
        source: https URL of a repository, or the path of a directory that holds one.
        now: Unix seconds.
        roster_key: the key to the rosters; None takes `roster.key` in the cache.
        deadline_s: time for the whole update.
        max_bytes: most bytes of one set.
        ca: PEM file of certificates that the server's may be signed by, besides the system's.

    Raises:
        TrustError: one line; the set before stays current.
        UpdateRefused: among them, that what came is not believed, or that nothing came.
    """
    from tuf.api.exceptions import DownloadError, RepositoryError

    base, fetcher = _source(source, deadline_s, ca)
    with _locked(cache):
        before = read_pointer(cache)
        try:
            sweep(cache, frozenset({before.set_name} if before else ()))
            updater = _refresh(cache, before, base, fetcher)
            return _swap(cache, before, updater, now, roster_key=roster_key, max_bytes=max_bytes)
        except (RepositoryError, DownloadError) as error:
            raise UpdateRefused(f"{source}: update refused: {_text(error)}") from None
        except OSError as error:
            raise UpdateRefused(f"{cache}: update failed: {error}") from None


def _refresh(cache: Path, before: Pointer | None, base: str, fetcher: FetcherInterface) -> Updater:
    """Run the client workflow up to verified targets metadata."""
    from tuf.ngclient import Updater

    try:
        anchor = (cache / ANCHOR).read_bytes()
    except FileNotFoundError:
        raise TrustError(f"{cache / ANCHOR}: no root pinned yet; use --root FILE once") from None
    metadata = cache / "metadata"
    metadata.mkdir(exist_ok=True)
    if before is not None:
        _restore_metadata(metadata, cache / SETS / before.set_name / "metadata")
    updater = Updater(
        metadata_dir=str(metadata),
        metadata_base_url=f"{base}metadata/",
        target_base_url=f"{base}targets/",
        fetcher=fetcher,
        bootstrap=anchor,
    )
    updater.refresh()
    if status_role(_signed(metadata / "targets.json")) is not None:
        updater.get_targetinfo(ABSENT)  # fetches and verifies the delegated part
    return updater


def _signed(path: Path) -> Any:
    from tuf.api.metadata import Metadata

    metadata: Metadata[Any] = Metadata.from_bytes(path.read_bytes())
    return metadata.signed


def _restore_metadata(metadata: Path, from_set: Path) -> None:
    """Replace what a power cut spoiled or took back: the memory of versions must not be lost."""
    for name in (*_PARTS, _STATUS_PART):
        kept = from_set / name
        if _version(metadata / name) < _version(kept):
            replace_file(metadata / name, kept.read_bytes())


def _version(path: Path) -> int:
    """Return the version that metadata states; 0 for what is none."""
    from tuf.api.metadata import Metadata
    from tuf.api.serialization import DeserializationError

    try:
        metadata: Metadata[Any] = Metadata.from_bytes(path.read_bytes())
    except (OSError, DeserializationError):
        return 0
    return int(metadata.signed.version)


def _swap(
    cache: Path,
    before: Pointer | None,
    updater: Updater,
    now: int,
    *,
    roster_key: bytes | None,
    max_bytes: int,
) -> UpdateResult:
    """Lay the verified set down, try it, and only then point to it."""
    targets, parts, name = _verified_targets(cache / "metadata")
    if before is not None and before.set_name.startswith(name):
        try:
            snapshot = load_set(
                cache, cache / SETS / before.set_name, before.updated_at, now, roster_key
            )
        except TrustError as error:
            _log.warning("the current set is damaged and is fetched again: %s", error)
            name = name if before.set_name.endswith(_REPAIRED) else name + _REPAIRED
        else:
            return UpdateResult(snapshot, changed=False)
    _check_targets(targets, max_bytes)
    fresh = cache / SETS / name
    old = cache / SETS / before.set_name / "targets" if before else None
    try:
        _fetch_files(fresh, targets, updater, old)
        _copy_metadata(cache / "metadata", parts, fresh / "metadata")
        fsync_path(cache / SETS)
        snapshot = load_set(cache, fresh, now, now, roster_key, strict=True)
        if before is not None:
            _check_date(snapshot.dated_at, now)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise
    write_pointer(cache, Pointer(name, now))
    return UpdateResult(snapshot, changed=True)


def _check_date(dated_at: int, now: int) -> None:
    if dated_at <= now + DATED_AHEAD_S:
        return
    dated, clock = (datetime.fromtimestamp(each, UTC).isoformat() for each in (dated_at, now))
    raise TrustError(
        f"the set is dated {dated}, this clock says {clock}: "
        "set the clock, or publish again where the clock is right"
    )


def _verified_targets(metadata: Path) -> tuple[dict[str, Any], tuple[str, ...], str]:
    """Return the files of the set just verified, the names of its parts, and the set's name."""
    targets = _signed(metadata / "targets.json")
    status = None
    names: tuple[str, ...] = _PARTS
    if status_role(targets) is not None:
        names = (*_PARTS, _STATUS_PART)
        status = _signed(metadata / _STATUS_PART)
    digest = hashlib.sha256()
    for name in names:
        digest.update(hashlib.sha256((metadata / name).read_bytes()).digest())
    version = _version(metadata / "snapshot.json")
    return merged(targets, status), names, f"{version}-{digest.hexdigest()[:16]}"


def _check_targets(targets: dict[str, Any], max_bytes: int) -> None:
    for name in targets:
        if not TARGET_NAME.fullmatch(name):
            raise TrustError(f"the set names a file that no gate takes: {name!r}")
    total = sum(target.length for target in targets.values())
    if total > max_bytes:
        raise TrustError(f"the set is {total} bytes, {max_bytes} allowed")


def _fetch_files(fresh: Path, targets: dict[str, Any], updater: Updater, old: Path | None) -> None:
    """Put every file of the set into its directory, durably."""
    for name, target in targets.items():
        path = fresh / "targets" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if old is not None and updater.find_cached_target(target, str(old / name)):
            _link(old / name, path)
            continue
        updater.download_target(target, str(path))
        fsync_path(path)
    (fresh / "targets").mkdir(parents=True, exist_ok=True)
    for folder in {(fresh / "targets" / name).parent for name in targets}:
        fsync_path(folder)
    fsync_path(fresh / "targets")


def _link(old: Path, new: Path) -> None:
    """Share a file with the set before; copy it where links are not to be had."""
    try:
        new.hardlink_to(old)
    except OSError:  # another user's file, or a file system without links
        shutil.copyfile(old, new)
        fsync_path(new)


def _copy_metadata(metadata: Path, parts: tuple[str, ...], copy: Path) -> None:
    (copy / "root_history").mkdir(parents=True)
    for path in (*(metadata / name for name in parts), *metadata.glob("root_history/*.json")):
        fresh = copy / path.relative_to(metadata)
        shutil.copyfile(path, fresh)
        fsync_path(fresh)
    for folder in (copy / "root_history", copy, copy.parent):
        fsync_path(folder)


@contextmanager
def _locked(cache: Path) -> Iterator[None]:
    """Hold the cache against a second update; the lock dies with its process."""
    if not cache.is_dir():
        raise TrustError(f"{cache}: not there; the first time give --root 1.root.json too")
    try:
        descriptor = os.open(cache / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise TrustError(f"{cache}: cannot be written: {error.strerror}") from None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise TrustError(f"{cache}: another update is running") from None
        yield
    finally:
        os.close(descriptor)


def _source(source: str, deadline_s: float, ca: Path | None) -> tuple[str, FetcherInterface]:
    """Return base URL and fetcher for a source.

    Raises:
        TrustError: neither https nor a directory, or `ca` holds no certificate.
    """
    from agent.trust.fetch import DeadlineFetcher, DirectoryFetcher

    url = urlsplit(source)
    if url.scheme == "https" or (url.scheme == "http" and url.hostname in _LOOPBACK):
        return source.rstrip("/") + "/", DeadlineFetcher(deadline_s, ca=ca)
    if url.scheme == "http":
        raise TrustError(f"{source}: use https")
    path = Path(unquote(url.path)) if url.scheme == "file" else Path(source)
    if not (path / "metadata").is_dir():
        raise TrustError(f"{source}: neither an https URL nor a directory with metadata/ in it")
    return "dir:", DirectoryFetcher(path)


def _text(error: Exception) -> str:
    """Return a one-line message; the library's may be empty or long."""
    line = " ".join(str(error).split())[:300]
    return f"{type(error).__name__}: {line}" if line else type(error).__name__
