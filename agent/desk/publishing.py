"""What the desk publishes for gates: status lists by itself, all else as offline keys have signed.

Rules:
- the desk's own key (`online.key.pem`) signs `snapshot`, `timestamp` and the delegated `status`; it
  cannot name an issuer, an operator or a roster. Those wait in the draft for the keys on the stick;
- status lists are made of the `credential` table at the moment of publishing, under a lock that
  all who publish share: who was revoked before is in the set;
- a list that is not begun yet is published too, so that gates know the first credential on it;
- nothing is published anew where nothing changed, unless it grows old: a list is signed again after
  a quarter of its `ttl`, after a day at the latest;
- a draft that cannot be published holds up no revocation: the lists go first;
- publishing is journaled; gates are told afterwards, and that one cannot be told undoes nothing.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import sqlalchemy as sa
from securesystemslib.signer import CryptoSigner

from agent.credential.model import FormatName
from agent.desk.audit import Action
from agent.desk.desk import ISSUER_KEY, NUDGE_KEY, ONLINE_KEY, REPOSITORY, Desk
from agent.desk.nudge import Nudge, Told
from agent.desk.settings import DeskSettings
from agent.desk.status_lists import ListRow, status_uri
from agent.desk.tables import credentials, status_lists
from agent.issuing.keys import Issuer, SigningKey
from agent.issuing.status_list import VALID, sign_status_list
from agent.trust.delegation import STATUS
from agent.trust.model import TrustError
from agent.trust.publish import Lifetimes, Repository
from agent.trust.roster import RosterEntry, checked, load_key, write_roster
from agent.trust.signing_keys import load_signer, make_signer
from agent.trust.snapshot import TrustSnapshot
from agent.trust.status import encode_statuses, parse

__all__ = [
    "ROSTER_KEY",
    "Published",
    "Publisher",
    "PublishingError",
    "State",
    "create_repository",
]

ROSTER_KEY: Final = "roster.key"
"""Hides the subjects of rosters; gates are given it when they join."""

_DAY: Final = 86_400
_BITS: Final = 2
_OPERATOR: Final = "desk"
_LIFETIMES: Final = Lifetimes(targets_days=365)


class PublishingError(ValueError):
    """It cannot be published; one line for people."""


@dataclass(frozen=True, slots=True)
class Published:
    """What a publication came to.

    Attributes:
        version: of the set that gates are given now.
        at: when it was published, Unix seconds.
        changed: whether anything is another than before, its age apart.
        told: the gates that were told.
    """

    version: int
    at: int
    changed: bool
    told: tuple[Told, ...] = ()


@dataclass(frozen=True, slots=True)
class State:
    """How the trust set is, for the staff's page.

    Attributes:
        version: of the published set; 0 where there is none.
        published_at: Unix seconds.
        expires: role -> Unix seconds after which gates take no update of it.
        changes: what waits for signatures, one line each.
        missing: role -> how many signatures are still needed.
    """

    version: int
    published_at: int
    expires: dict[str, int]
    changes: tuple[str, ...]
    missing: dict[str, int]


def create_repository(
    folder: Path,
    keys_out: Path,
    settings: DeskSettings,
    now: int,
    *,
    password: bytes | None = None,
) -> Repository:
    """Make a desk's keys and its trust set, and publish the first.

    The root and targets keys are made on the stick, sign once, and stay there.

    Args:
        folder: the desk's.
        keys_out: a folder on the stick, for `root-1.pem` and `targets-1.pem`.
        settings: of the desk; its issuer becomes the set's, by `issuer.key.pem`, which is made
            where it is not there.
        now: Unix seconds.
        password: encrypts the keys on the stick; None leaves them in the clear.

    Raises:
        PublishingError: a key is there already, or something cannot be written; one line.
    """
    try:
        return _create(folder, keys_out, settings, now, password)
    except TrustError as error:
        raise PublishingError(str(error)) from None
    except OSError as error:
        raise PublishingError(f"{error.filename}: {error.strerror}") from None
    except ValueError as error:
        raise PublishingError(str(error)) from None


class Publisher:
    """Publishes a desk's trust set.

    Args:
        desk: that is open.
        nudge: tells the gates; None: they look for themselves, on schedule.
    """

    def __init__(self, desk: Desk, nudge: Nudge | None) -> None:
        self._desk = desk
        self._nudge = nudge
        self._folder = desk.settings.path(REPOSITORY)

    def publish(self, *, who: str) -> Published:
        """Publish what is another than before, or grows old; and what offline keys have signed.

        Args:
            who: staff's work name, or `desk`.

        Raises:
            PublishingError: it cannot be published. Where only the draft cannot, the status lists
                were published before this is raised.
        """
        repository = self._repository()
        failed: TrustError | None = None
        try:
            with repository.locked():
                published = self._publish_lists(repository, who)
                try:
                    published = self._publish_draft(repository, who, published)
                except TrustError as error:
                    failed = error
        except TrustError as error:
            raise PublishingError(str(error)) from None
        except OSError as error:
            raise PublishingError(f"{error.filename}: {error.strerror}") from None
        if published.changed and self._nudge is not None:
            published = replace(published, told=self._nudge.tell())
        if failed is not None:
            raise PublishingError(f"status lists are published, the signed draft is not: {failed}")
        return published

    def state(self) -> State:
        """Return how the set is.

        Raises:
            PublishingError: there is no repository, or it is damaged.
        """
        repository = self._repository()
        try:
            roles = ("root", "targets", "snapshot", "timestamp", STATUS)
            found = {role: repository.published(role) for role in roles}
            return State(
                version=repository.version(),
                published_at=repository.published_at(),
                expires={
                    role: int(each.signed.expires.timestamp())
                    for role, each in found.items()
                    if each
                },
                changes=tuple(repository.changes()),
                missing={gap.role: gap.needed for gap in repository.missing()},
            )
        except TrustError as error:
            raise PublishingError(str(error)) from None

    # --- what offline keys sign -------------------------------------------------------------------

    def set_roster(
        self, name: str, entries: Iterable[RosterEntry], *, blocks: bool, who: str
    ) -> int:
        """Put a roster into the draft; return how many records it has.

        Args:
            name: of the roster, such as `members`.
            entries: subjects are members' references.
            blocks: True for a list of blocked subjects.
            who: staff's work name, or `desk`.

        Raises:
            PublishingError: an entry can never match, or the roster cannot be made.
        """
        repository = self._repository()
        known = {self._desk.issuer.name: frozenset[FormatName]()}
        with self._drafting(repository, who, Action.ROSTER_CHANGED, name):
            key = load_key(self._desk.settings.path(ROSTER_KEY))
            with tempfile.TemporaryDirectory(prefix="idgate-") as scratch:
                file = Path(scratch, "made.roster")
                count = write_roster(
                    file, checked(entries, known, name), key=key, blocks=blocks,
                    created=self._desk.clock(),
                )  # fmt: skip
                repository.add(f"rosters/{name}.roster", file)
        return count

    def remove_roster(self, name: str, *, who: str) -> None:
        """Take a roster out of the draft.

        Raises:
            PublishingError: it is not in it.
        """
        repository = self._repository()
        with self._drafting(repository, who, Action.ROSTER_CHANGED, name):
            repository.remove([f"rosters/{name}.roster"])

    def write_bundle(self, folder: Path, *, who: str) -> None:
        """Write the stick on which offline keys sign, and from which gates can be updated.

        Raises:
            PublishingError: it cannot be written.
        """
        repository = self._repository()
        with self._drafting(repository, who, Action.BUNDLE_WRITTEN, ""):
            repository.write_bundle(folder)

    def take_bundle(self, folder: Path, *, who: str) -> list[str]:
        """Take the stick's signatures; return `role keyid` for each. `publish` publishes.

        Raises:
            PublishingError: there is none that counts.
        """
        repository = self._repository()
        with self._drafting(repository, who, Action.BUNDLE_TAKEN, ""):
            return repository.take_bundle(folder)

    # ----------------------------------------------------------------------------------------------

    def _repository(self) -> Repository:
        return Repository(self._folder, now=self._desk.clock())

    @contextlib.contextmanager
    def _drafting(
        self, repository: Repository, who: str, action: Action, reference: str
    ) -> Iterator[None]:
        """Journal what is done to the draft, if it is done."""
        desk = self._desk
        try:
            with repository.locked(), desk.store.write() as connection:
                yield
                desk.journal.write(
                    connection, at=desk.clock(), who=who, action=action, reference=reference
                )
        except TrustError as error:
            raise PublishingError(str(error)) from None
        except OSError as error:
            raise PublishingError(f"{error.filename}: {error.strerror}") from None

    def _publish_lists(self, repository: Repository, who: str) -> Published:
        now = self._desk.clock()
        lists, changed = self._lists(repository, now)
        if not lists:
            return Published(repository.version(), repository.published_at(), changed=False)
        version = repository.publish_status(lists, self._online())
        self._journal(who, now, version, f"{len(lists)} status lists")
        return Published(version, now, changed)

    def _publish_draft(self, repository: Repository, who: str, so_far: Published) -> Published:
        waiting = any(repository.draft(role) for role in ("root", "targets"))
        if not waiting or repository.missing():
            return so_far
        now = self._desk.clock()
        version = repository.publish(self._online())
        self._journal(who, now, version, "signed draft")
        return Published(version, now, changed=True)

    def _online(self) -> list[CryptoSigner]:
        return [_online_signer(self._desk.settings.path(ONLINE_KEY))]

    def _journal(self, who: str, now: int, version: int, what: str) -> None:
        desk = self._desk
        with desk.store.write() as connection:
            desk.journal.write(
                connection, at=now, who=who, action=Action.PUBLISHED,
                detail=f"version {version}: {what}",
            )  # fmt: skip

    def _lists(self, repository: Repository, now: int) -> tuple[dict[str, bytes], bool]:
        """Return the lists to publish by name, and whether any says another thing than before."""
        desk = self._desk
        trust = TrustSnapshot(keys=(desk.issuer.issuer_key(),))
        fresh: dict[str, bytes] = {}
        changed = False
        for row, statuses in self._statuses():
            name = _list_name(row.number)
            before = repository.published_file(name)
            said, issued_at = _said(before, trust, row.uri)
            differs = said != encode_statuses(statuses, _BITS)
            changed |= differs
            if differs or not 0 <= now - issued_at < self._fresh_s:
                fresh[name] = _sign(desk.issuer, row.uri, statuses, now, desk.settings)
        return fresh, changed

    @property
    def _fresh_s(self) -> int:
        return min(self._desk.settings.status.ttl_s // 4, _DAY)

    def _statuses(self) -> Iterator[tuple[ListRow, bytearray]]:
        """Yield each list and its statuses, one byte an entry; the last is not begun yet."""
        settings = self._desk.settings
        with self._desk.store.read() as connection:
            query = sa.select(status_lists).order_by(status_lists.c.number)
            rows = [ListRow(*row) for row in connection.execute(query)]
            following = rows[-1].number + 1 if rows else 1
            rows.append(ListRow(following, status_uri(settings, following), settings.status.size))
            for row in rows:
                statuses = bytearray(row.size)
                withdrawn = sa.select(credentials.c.status_index, credentials.c.status).where(
                    credentials.c.status_list == row.number, credentials.c.status != VALID
                )
                for index, status in connection.execute(withdrawn):
                    statuses[index] = status
                yield row, statuses


def _create(
    folder: Path, keys_out: Path, settings: DeskSettings, now: int, password: bytes | None
) -> Repository:
    stick = {
        role: make_signer(keys_out / f"{role}-1.pem", password) for role in ("root", "targets")
    }
    online = make_signer(folder / ONLINE_KEY, None)
    nudge = SigningKey.new("ES256")
    _write_private(folder / NUDGE_KEY, nudge.private_pem())
    _write_private(folder / ROSTER_KEY, secrets.token_bytes(32))
    if not (folder / ISSUER_KEY).exists():
        _write_private(folder / ISSUER_KEY, SigningKey.new("ES256").private_pem())
    key = SigningKey.from_file(folder / ISSUER_KEY)
    issuer = Issuer(settings.issuer.name, settings.issuer.iss, key)
    repository = Repository.create(
        folder / REPOSITORY,
        now=now,
        keys={
            **{role: [signer.public_key] for role, signer in stick.items()},
            **{role: [online.public_key] for role in ("snapshot", "timestamp", STATUS)},
        },
        thresholds={},
        lifetimes=_LIFETIMES,
    )
    described = issuer.trust_toml(settings.issuer.kinds)
    repository.add(f"issuers/{issuer.name}.pem", key.public_pem())
    repository.add(f"issuers/{issuer.name}.toml", described.encode())
    repository.add(f"operators/{_OPERATOR}.pem", nudge.public_pem())
    repository.add(f"operators/{_OPERATOR}.toml", b'operator = true\nroles = ["update"]\n')
    repository.sign(stick.values())
    empty = bytes(settings.status.size)
    first = _sign(issuer, status_uri(settings, 1), empty, now, settings)
    repository.publish([online], status={_list_name(1): first})
    return repository


def _sign(
    issuer: Issuer, uri: str, statuses: bytes | bytearray, now: int, settings: DeskSettings
) -> bytes:
    return sign_status_list(
        issuer.key, iss=issuer.iss, kid=issuer.kid, uri=uri, statuses=statuses, bits=_BITS,
        issued_at=now, ttl_s=settings.status.ttl_s,
    )  # fmt: skip


def _list_name(number: int) -> str:
    return f"status/desk-{number}.cwt"


def _said(token: bytes | None, trust: TrustSnapshot, uri: str) -> tuple[bytes, int]:
    """Return what a published list says, and since when; nothing of one that is not ours."""
    if token is None:
        return b"", 0
    try:
        found = parse(token, trust, source=uri)
    except TrustError:  # by a key of before: it is signed anew
        return b"", 0
    return (found.data, found.issued_at) if found.uri == uri else (b"", 0)


def _online_signer(file: Path) -> CryptoSigner:
    def none(path: Path) -> bytes:
        raise TrustError(f"{path}: the key has a password; the desk signs with it by itself")

    return load_signer(file, none)


def _write_private(file: Path, data: bytes) -> None:
    """Write a new file that only its owner can read; an existing key is never overwritten."""
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
        stream.write(data)
