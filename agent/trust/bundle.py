"""The stick on which offline keys sign: a repository in small, and only signatures come back.

    idgate trust bundle repo /media/stick/bundle          here, where no offline key is
    idgate trust show /media/stick/bundle                 there: what would be signed for
    idgate trust sign /media/stick/bundle --key targets-1.pem
    idgate trust take repo /media/stick/bundle            here again

Rules:
- the stick holds what is published, the draft, and every file that either names, so that who signs
  can look at each; gates can be updated from the same folder;
- of what comes back nothing is believed but a signature that verifies over the very bytes that wait
  here, by a key that may give it: a stick that was lost or changed changes nothing;
- files of a stick are read up to a limit, and no link is followed.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from agent.trust.model import TrustError

if TYPE_CHECKING:
    from tuf.api.metadata import Metadata, Root

    from agent.trust.repository import RepositoryReader

__all__ = ["take", "write"]

_MAX_METADATA: Final = 5 << 20
_MARK: Final = "repository.toml"
_PARTS: Final = ("metadata", "targets", "draft")


def write(repository: RepositoryReader, folder: Path) -> None:
    """Write a bundle; one that lies there is replaced.

    Args:
        repository: whose draft waits.
        folder: on the stick: absent, empty, or a bundle of before.

    Raises:
        TrustError: there is something else in it, a file of the set is missing, or the stick cannot
            be written.
    """
    files = dict(repository.files(repository.targets()))
    source = repository.path
    try:
        if folder.exists() and any(folder.iterdir()) and not (folder / _MARK).is_file():
            raise TrustError(f"{folder}: neither empty nor a bundle")
        folder.mkdir(parents=True, exist_ok=True)
        for part in _PARTS:
            shutil.rmtree(folder / part, ignore_errors=True)
        for part in ("metadata", "draft"):
            (folder / part).mkdir()
            for path in sorted((source / part).glob("*.json")):
                shutil.copyfile(path, folder / part / path.name)
        (folder / "targets").mkdir()
        for path in (*files.values(), *_published(repository)):
            copy = folder / path.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
        shutil.copyfile(source / _MARK, folder / _MARK)
        _flush(folder)
    except OSError as error:
        raise TrustError(f"{folder}: cannot be written: {error.strerror}") from None


def take(draft: Metadata[Any], file: Path, delegators: Iterable[Root]) -> list[str]:
    """Add the signatures of a stick's copy to a draft; return the ids of their keys.

    Args:
        draft: what waits here; signatures are added to it.
        file: its copy on the stick.
        delegators: roots of which one must name the key.

    Raises:
        TrustError: the copy is of another draft, or is no signed metadata.
    """
    from securesystemslib.exceptions import UnverifiedSignatureError
    from tuf.api.metadata import Metadata
    from tuf.api.serialization import DeserializationError

    data = _read(file)
    if data is None:
        return []
    try:
        copy: Metadata[Any] = Metadata.from_bytes(data)
    except DeserializationError:
        raise TrustError(f"{file}: not signed metadata") from None
    if copy.signed_bytes != draft.signed_bytes:
        raise TrustError(f"{file}: not the draft that waits here; write the bundle again")
    taken = []
    roots = list(delegators)
    for keyid, signature in copy.signatures.items():
        key = next((root.keys[keyid] for root in roots if keyid in root.keys), None)
        may = any(keyid in root.roles[draft.signed.type].keyids for root in roots)
        if key is None or not may or keyid in draft.signatures:
            continue
        try:
            key.verify_signature(signature, draft.signed_bytes)
        except UnverifiedSignatureError:
            raise TrustError(f"{file}: the signature of {keyid[:16]} does not verify") from None
        draft.signatures[keyid] = signature
        taken.append(keyid)
    return taken


def _published(repository: RepositoryReader) -> list[Path]:
    """Return the published files that the draft drops: who signs may want to see them go."""
    published = repository.published("targets")
    if published is None:
        return []
    return [path for _, path in repository.files(published.signed.targets)]


def _read(file: Path) -> bytes | None:
    """Read a file of a stick; None where there is none."""
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise TrustError(f"{file}: cannot be read: {error.strerror}") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise TrustError(f"{file}: not a regular file")
    with os.fdopen(descriptor, "rb") as stream:
        try:
            data = stream.read(_MAX_METADATA + 1)
        except OSError as error:  # a stick pulled out
            raise TrustError(f"{file}: cannot be read: {error.strerror}") from None
    if len(data) > _MAX_METADATA:
        raise TrustError(f"{file}: larger than {_MAX_METADATA} bytes")
    return data


def _flush(folder: Path) -> None:
    """Force it onto the stick before somebody pulls it out."""
    for path in (*folder.rglob("*"), folder):
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
