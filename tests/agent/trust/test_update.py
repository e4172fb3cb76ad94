"""Updates of the signed set: what goes through, and a table of attacks that do not."""

from __future__ import annotations

import json
import os
import shutil
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from tuf.api.metadata import Metadata, MetaFile, TargetFile, Timestamp

from agent.trust import cache as cache_module
from agent.trust.cache import PUBLISHED
from agent.trust.model import TrustError
from agent.trust.publish import Repository
from agent.trust.update import pin_root
from tests.support.trust_sets import GateCache, Publisher, copy, new_public_pem

DAY = 86_400


@pytest.fixture
def publisher(tmp_path: Path) -> Publisher:
    made = Publisher(tmp_path / "repo")
    made.add(issuers__one=new_public_pem())
    made.publish()
    return made


@pytest.fixture
def gate(tmp_path: Path, publisher: Publisher) -> GateCache:
    made = GateCache(tmp_path / "cache", publisher.first_root)
    assert made.update(publisher.path)
    return made


# --- what goes through ---------------------------------------------------------------------------


def test_a_gate_follows_what_is_published(publisher: Publisher, gate: GateCache) -> None:
    assert (gate.load().version, gate.issuers()) == (1, ["one"])
    assert not gate.update(publisher.path)
    publisher.add(issuers__two=new_public_pem())
    publisher.repository.add("profiles/hall.toml", b"x = 1\n")
    publisher.repository.add("models/face.tflite", b"model")
    publisher.publish()
    assert gate.update(publisher.path)
    snapshot = gate.load()
    assert (snapshot.version, gate.issuers()) == (2, ["one", "two"])
    assert snapshot.profile("hall") == b"x = 1\n"
    model = snapshot.model("face.tflite")
    assert model is not None
    assert model.read_bytes() == b"model"
    publisher.repository.remove(["issuers/one.pem"])
    publisher.publish()
    assert gate.update(publisher.path)
    assert gate.issuers() == ["two"]


def test_a_fresh_timestamp_alone_confirms_the_same_files(
    publisher: Publisher, gate: GateCache
) -> None:
    before = gate.load()
    now = before.dated_at + 10 * DAY  # the second in which it was published, not that of now
    publisher.publish(now=now)
    gate.update(publisher.path, now=now)
    after = gate.load()
    assert after.expires_at is not None
    assert before.expires_at is not None
    assert after.expires_at == before.expires_at + 10 * DAY
    assert [key.kid for key in after.keys] == [key.kid for key in before.keys]


def test_unchanged_files_are_linked_and_not_written_again(
    publisher: Publisher, gate: GateCache
) -> None:
    inode = (gate.load().source / "issuers" / "one.pem").stat().st_ino
    publisher.add(issuers__two=new_public_pem())
    publisher.publish()
    gate.update(publisher.path)
    assert (gate.load().source / "issuers" / "one.pem").stat().st_ino == inode
    gate.update(publisher.path)
    assert len(list((gate.path / "sets").iterdir())) == 1


def test_a_set_is_as_old_as_its_signed_date(publisher: Publisher, gate: GateCache) -> None:
    dated_at = gate.load().dated_at
    assert abs(dated_at - time.time()) < 60
    assert gate.load().updated_at == dated_at
    assert gate.load().age_s(dated_at + 500) == 500
    ahead = dated_at + 20 * DAY
    assert not gate.update(publisher.path, now=ahead)  # confirmed by a clock that is wrong
    assert gate.load().updated_at == dated_at
    publisher.publish(now=dated_at + 7)
    gate.update(publisher.path, now=ahead)
    assert gate.load().updated_at == gate.load().dated_at == dated_at + 7


def without_date(publisher: Publisher, *, now: int) -> None:
    """Publish as a publisher does who knows nothing of the date."""
    publisher.publish(now=now)
    path = publisher.path / "metadata" / "timestamp.json"
    timestamp = Metadata[Timestamp].from_file(str(path))
    del timestamp.signed.unrecognized_fields[PUBLISHED]
    timestamp.signatures.clear()
    timestamp.sign(publisher.signers["timestamp"][0])
    timestamp.to_file(str(path))


def test_a_set_without_a_date_is_as_old_as_its_first_arrival(
    publisher: Publisher, gate: GateCache
) -> None:
    now = int(time.time())
    without_date(publisher, now=now)
    gate.update(publisher.path, now=now + 5)
    assert (gate.load().updated_at, gate.load().dated_at) == (now + 5, 0)
    assert not gate.update(publisher.path, now=now + 20 * DAY)
    assert gate.load().updated_at == now + 5


def test_a_set_without_a_date_is_not_younger_than_its_expiry(
    publisher: Publisher, gate: GateCache
) -> None:
    now = int(time.time())
    without_date(publisher, now=now)
    gate.update(publisher.path, now=now + 400 * DAY)
    assert gate.load().updated_at == gate.load().expires_at == now + 30 * DAY


@pytest.mark.parametrize(
    "said", [7, None, "", "soon", "2026-01-01", "2026-13-01T00:00:00Z", "2026-01-01T00:00:00Z\n"]
)
def test_a_date_that_is_none_refuses_the_set(
    publisher: Publisher, gate: GateCache, said: object
) -> None:
    publisher.publish()
    path = publisher.path / "metadata" / "timestamp.json"
    timestamp = Metadata[Timestamp].from_file(str(path))
    timestamp.signed.unrecognized_fields[PUBLISHED] = said
    timestamp.signatures.clear()
    timestamp.sign(publisher.signers["timestamp"][0])
    timestamp.to_file(str(path))
    if said is None:  # JSON's null is as good as nothing
        assert gate.update(publisher.path)
        return
    with pytest.raises(TrustError, match="x-published of the timestamp is no date"):
        gate.update(publisher.path)
    assert gate.load().version == 1


@pytest.mark.parametrize(("ahead", "taken"), [(DAY, True), (DAY + 1, False)])
def test_a_set_from_the_future_does_not_replace_another(
    publisher: Publisher, gate: GateCache, ahead: int, *, taken: bool
) -> None:
    now = int(time.time())
    publisher.publish(now=now + ahead)
    if taken:
        assert gate.update(publisher.path, now=now)
        return
    with pytest.raises(TrustError, match=r"the set is dated .* this clock says .*: set the clock"):
        gate.update(publisher.path, now=now)
    assert gate.load().version == 1


def test_the_first_set_is_taken_by_a_clock_that_was_never_set(
    publisher: Publisher, tmp_path: Path
) -> None:
    gate = GateCache(tmp_path / "new", publisher.first_root)
    assert gate.update(publisher.path, now=1_000)
    dated_at = gate.load().dated_at
    assert gate.load().age_s(dated_at - DAY) == 0
    assert gate.load().age_s(dated_at - DAY - 1) == dated_at - DAY - 1  # as from the beginning


def test_every_role_can_be_rotated(publisher: Publisher, gate: GateCache) -> None:
    from securesystemslib.signer import CryptoSigner

    for role in ("timestamp", "snapshot", "targets", "root"):
        fresh = CryptoSigner.generate_ed25519()
        publisher.repository.rotate(role, [fresh.public_key])
        old = list(publisher.signers[role])
        # The retired root key signs the change for the last time; the others sign no more.
        publisher.signers[role] = [*old, fresh] if role == "root" else [fresh]
        publisher.publish()
        publisher.signers[role] = [fresh]
        gate.update(publisher.path)
        assert gate.issuers() == ["one"]
    publisher.add(issuers__two=new_public_pem())
    publisher.publish()
    assert gate.update(publisher.path)
    assert gate.issuers() == ["one", "two"]


def test_a_late_gate_walks_every_root_in_between(publisher: Publisher, tmp_path: Path) -> None:
    from securesystemslib.signer import CryptoSigner

    anchor = publisher.first_root
    for _ in range(3):
        fresh = CryptoSigner.generate_ed25519()
        publisher.repository.rotate("root", [fresh.public_key])
        publisher.signers["root"].append(fresh)
        publisher.publish()
        publisher.signers["root"] = [fresh]
    late = GateCache(tmp_path / "late", anchor)
    assert late.update(publisher.path)
    assert late.issuers() == ["one"]


def test_a_threshold_of_root_keys_is_needed(tmp_path: Path) -> None:
    publisher = Publisher(tmp_path / "repo", root_keys=3, root_threshold=2)
    publisher.add(issuers__one=new_public_pem())
    publisher.repository.sign([publisher.signers["root"][0], *publisher.signers["targets"]])
    with pytest.raises(TrustError, match=r"root: 1 more signature"):
        publisher.repository.publish(publisher.signers["snapshot"] + publisher.signers["timestamp"])
    publisher.repository.sign([publisher.signers["root"][2]])
    assert publisher.publish() == 1


# --- attacks -------------------------------------------------------------------------------------


class Attack:
    """What an attacker has: a copy of everything ever published, and maybe online keys."""

    def __init__(self, publisher: Publisher, stick: Path, old: Path) -> None:
        self.publisher = publisher
        self.stick = stick
        self.old = old

    def path(self, name: str) -> Path:
        return self.stick / "metadata" / name

    def target(self) -> Path:
        (found,) = self.stick.glob("targets/issuers/*.two.pem")
        return found

    def resign(self, role: str, name: str, change: Callable[[Any], None]) -> None:
        """Change metadata and sign it as somebody who holds the role's key."""
        metadata: Metadata[Any] = Metadata.from_file(str(self.path(name)))
        change(metadata.signed)
        metadata.signatures.clear()
        for signer in self.publisher.signers[role]:
            metadata.sign(signer, append=True)
        metadata.to_file(str(self.path(name)))


def _bump_timestamp(attack: Attack, snapshot: int) -> None:
    def change(timestamp: Any) -> None:
        timestamp.version += 5
        timestamp.snapshot_meta = MetaFile(snapshot)

    attack.resign("timestamp", "timestamp.json", change)


def _replace_all(attack: Attack) -> None:
    shutil.rmtree(attack.stick)
    copy(attack.old, attack.stick)


def _expire(attack: Attack) -> None:
    past = Repository(attack.stick, now=int(time.time()) - 60 * DAY)
    past.publish(attack.publisher.signers["snapshot"] + attack.publisher.signers["timestamp"])


def _stranger(attack: Attack) -> None:
    shutil.rmtree(attack.stick)
    stranger = Publisher(attack.stick)
    stranger.add(issuers__evil=new_public_pem())
    stranger.publish()


def _stranger_with_our_root(attack: Attack) -> None:
    root = attack.path("1.root.json").read_bytes()
    _stranger(attack)
    attack.path("1.root.json").write_bytes(root)


def _bad_second_root(attack: Attack) -> None:
    stranger = Publisher(attack.stick.with_name("stranger"))
    stranger.publish()
    root: Metadata[Any] = Metadata.from_bytes(stranger.first_root)
    root.signed.version = 2
    root.signatures.clear()
    root.sign(stranger.signers["root"][0])
    root.to_file(str(attack.path("2.root.json")))


def _skipping_root(attack: Attack) -> None:
    root: Metadata[Any] = Metadata.from_file(str(attack.path("1.root.json")))
    root.signed.version = 3
    root.signatures.clear()
    root.sign(attack.publisher.signers["root"][0])
    root.to_file(str(attack.path("2.root.json")))


def _name(attack: Attack, name: str) -> None:
    """A targets key in the wrong hands names a file outside the trust set."""
    data = b"pwned"
    info = TargetFile.from_data(name, data, ["sha256"])
    attack.resign("targets", "3.targets.json", lambda targets: targets.targets.update({name: info}))
    folder, _, base = name.rpartition("/")
    path = attack.stick / "targets" / folder / f"{info.hashes['sha256']}.{base}"
    if path.resolve().is_relative_to(attack.stick.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def _unusable(attack: Attack) -> None:
    """A genuine set that no gate can use."""
    data = b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"
    name = "issuers/oops.pem"
    info = TargetFile.from_data(name, data, ["sha256"])
    attack.resign("targets", "3.targets.json", lambda targets: targets.targets.update({name: info}))
    (attack.stick / f"targets/issuers/{info.hashes['sha256']}.oops.pem").write_bytes(data)


def _truncate(attack: Attack, name: str) -> None:
    path = attack.path(name)
    path.write_bytes(path.read_bytes()[:-40])


def _pipe(attack: Attack) -> None:
    attack.target().unlink()
    os.mkfifo(attack.stick / "targets/issuers/x")
    (attack.stick / "targets/issuers/x").rename(_hashed_two(attack))


def _hashed_two(attack: Attack) -> Path:
    targets: Metadata[Any] = Metadata.from_file(str(attack.path("3.targets.json")))
    digest = targets.signed.targets["issuers/two.pem"].hashes["sha256"]
    return attack.stick / f"targets/issuers/{digest}.two.pem"


def _link(attack: Attack) -> None:
    data = attack.target().read_bytes()
    path = _hashed_two(attack)
    path.unlink()
    outside = attack.stick.with_name("outside.pem")
    outside.write_bytes(data)
    path.symlink_to(outside)


def _link_folder(attack: Attack) -> None:
    (attack.stick / "targets/issuers").rename(attack.stick.with_name("elsewhere"))
    (attack.stick / "targets/issuers").symlink_to(attack.stick.with_name("elsewhere"))


def _change(attack: Attack, change: Callable[[bytes], bytes]) -> None:
    path = attack.target()
    path.write_bytes(change(path.read_bytes()))


ATTACKS: list[tuple[str, Callable[[Attack], None], str]] = [
    ("rollback of everything", _replace_all, "BadVersionNumber"),
    ("rollback to an old snapshot", lambda a: _bump_timestamp(a, 1), "BadVersionNumber"),
    ("rollback to old targets", lambda a: (
        a.resign("snapshot", "3.snapshot.json", lambda s: s.meta.update({"targets.json": MetaFile(1)})),
        None)[1], "BadVersionNumber"),
    ("freeze: expired timestamp", _expire, "ExpiredMetadata"),
    ("mix-and-match: old targets under the new name",
     lambda a: shutil.copy(a.path("2.targets.json"), a.path("3.targets.json")) and None, "BadVersionNumber"),
    ("mix-and-match: old snapshot under the new name",
     lambda a: shutil.copy(a.path("2.snapshot.json"), a.path("3.snapshot.json")) and None, "BadVersionNumber"),
    ("wrong key: another repository", _stranger, "timestamp was signed by 0/1 keys"),
    ("wrong key: another repository under our root", _stranger_with_our_root, "timestamp was signed by 0/1 keys"),
    ("wrong key: next root by a stranger", _bad_second_root, "root was signed by 0/1 keys"),
    ("root that skips a version", _skipping_root, "BadVersionNumber"),
    ("wrong key: targets signed with the online key", lambda a: _signed_by(a, "snapshot"), "targets was signed by 0/1 keys"),
    ("signature stripped", lambda a: _signed_by(a, None), "targets was signed by 0/1 keys"),
    ("oversized target", lambda a: _change(a, lambda d: d + b"x" * 100_000), "DownloadLengthMismatch"),
    ("changed target", lambda a: _change(a, lambda d: d[:-9] + b"x" + d[-8:]), "LengthOrHashMismatch"),
    ("truncated target", lambda a: _change(a, lambda d: d[:-9]), "LengthOrHashMismatch"),
    ("missing target", lambda a: a.target().unlink(), "DownloadHTTPError"),
    ("target is a pipe", _pipe, "not a regular file"),
    ("target is a link out of the stick", _link, "DownloadError"),
    ("folder is a link out of the stick", _link_folder, "DownloadError"),
    ("truncated timestamp", lambda a: _truncate(a, "timestamp.json"), "RepositoryError|Deserialization"),
    ("truncated snapshot", lambda a: _truncate(a, "3.snapshot.json"), "RepositoryError|Deserialization"),
    ("truncated targets", lambda a: _truncate(a, "3.targets.json"), "RepositoryError|Deserialization"),
    ("missing snapshot", lambda a: a.path("3.snapshot.json").unlink(), "DownloadHTTPError"),
    ("endless timestamp", lambda a: a.path("timestamp.json").write_bytes(b" " * 200_000) and None, "DownloadLengthMismatch"),
    ("file outside the set", lambda a: _name(a, "issuers/../../../evil.pem"), "names a file that no gate takes"),
    ("file with an absolute name", lambda a: _name(a, "/etc/evil.pem"), "names a file that no gate takes"),
    ("file of no known folder", lambda a: _name(a, "bin/evil"), "names a file that no gate takes"),
    ("genuine, but unusable", _unusable, "oops.pem: a private key"),
]  # fmt: skip


def _signed_by(attack: Attack, role: str | None) -> None:
    path = attack.path("3.targets.json")
    metadata: Metadata[Any] = Metadata.from_file(str(path))
    metadata.signatures.clear()
    if role is not None:
        metadata.sign(attack.publisher.signers[role][0])
    metadata.to_file(str(path))


@pytest.mark.parametrize(
    ("attack", "message"), [row[1:] for row in ATTACKS], ids=[row[0] for row in ATTACKS]
)
def test_an_attack_leaves_the_old_set(
    publisher: Publisher,
    gate: GateCache,
    tmp_path: Path,
    attack: Callable[[Attack], None],
    message: str,
) -> None:
    old = copy(publisher.path, tmp_path / "old")
    publisher.repository.renew("targets")  # so that what was there before is a rollback
    publisher.publish()
    gate.update(publisher.path)
    kept = gate.load()
    publisher.add(issuers__two=new_public_pem())
    publisher.publish()
    stick = copy(publisher.path, tmp_path / "stick")
    attack(Attack(publisher, stick, old))
    with pytest.raises(TrustError, match=message) as caught:
        gate.update(stick)
    assert "\n" not in str(caught.value)
    assert gate.load().keys == kept.keys
    assert gate.load().version == kept.version
    # Nothing of it sticks: what is honestly published next is taken.
    publisher.repository.renew("targets")
    publisher.publish()
    gate.update(publisher.path)
    assert gate.issuers() == ["one", "two"]


def test_a_gate_goes_on_with_an_expired_set(publisher: Publisher, gate: GateCache) -> None:
    late = int(time.time()) + 400 * DAY
    snapshot = cache_module.load_signed(gate.path, late)
    assert snapshot.expires_at is not None
    assert snapshot.expires_at < late
    assert [key.issuer for key in snapshot.keys] == ["one"]


def test_a_set_larger_than_the_card_can_spare_is_refused(
    publisher: Publisher, gate: GateCache
) -> None:
    publisher.repository.add("models/huge.tflite", b"x" * 10_000)
    publisher.publish()
    with pytest.raises(TrustError, match="the set is 10113 bytes, 5000 allowed"):
        gate.update(publisher.path, max_bytes=5_000)
    assert gate.load().version == 1


TAMPERED = [
    ("a file changed", "targets/issuers/one.pem", lambda d: d + b"\n", "not the file that was signed"),
    ("a file lost", "targets/issuers/one.pem", None, "missing from the set"),
    ("a file slipped in", "targets/issuers/evil.pem", lambda _: new_public_pem(), "not part of the signed set"),
    ("targets changed", "metadata/targets.json", lambda d: d.replace(b"one", b"two"), "cannot be believed"),
    ("timestamp damaged", "metadata/timestamp.json", lambda d: d[:-5], "not signed metadata"),
    ("snapshot lost", "metadata/snapshot.json", None, "cannot be read"),
    ("another role's metadata", "metadata/snapshot.json", lambda _: b"@timestamp", "metadata of another role"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "change", "message"), [row[1:] for row in TAMPERED], ids=[row[0] for row in TAMPERED]
)
def test_a_set_tampered_with_on_the_gate_is_refused_and_fetched_again(
    publisher: Publisher,
    gate: GateCache,
    name: str,
    change: Callable[[bytes], bytes] | None,
    message: str,
) -> None:
    folder = gate.path / "sets" / cache_module.read_pointer(gate.path).set_name  # type: ignore[union-attr]
    path = folder / name
    if change is None:
        path.unlink()
    else:
        data = change(path.read_bytes() if path.exists() else b"")
        if data == b"@timestamp":
            data = (folder / "metadata" / "timestamp.json").read_bytes()
        path.unlink(missing_ok=True)
        path.write_bytes(data)
    with pytest.raises(TrustError, match=message):
        gate.load()
    assert gate.update(publisher.path)
    assert gate.issuers() == ["one"]
    path = gate.load().source / "issuers" / "one.pem"
    path.write_bytes(b"spoiled again")
    assert gate.update(publisher.path)
    assert gate.issuers() == ["one"]


def test_the_memory_of_versions_survives_spoiled_working_files(
    publisher: Publisher, gate: GateCache, tmp_path: Path
) -> None:
    old = copy(publisher.path, tmp_path / "old")
    publisher.publish()
    gate.update(publisher.path)
    for name in ("timestamp.json", "snapshot.json"):
        (gate.path / "metadata" / name).write_bytes(b"")
    with pytest.raises(TrustError, match="BadVersionNumber"):
        gate.update(old)


def test_a_damaged_pointer_is_an_error(gate: GateCache) -> None:
    (gate.path / "current").write_bytes(b'{"set_name": "../evil", "updated_at": 1}')
    with pytest.raises(TrustError, match="current: damaged"):
        gate.load()


def test_an_anchor_is_pinned_once(publisher: Publisher, gate: GateCache, tmp_path: Path) -> None:
    pin_root(gate.path, publisher.first_root)
    stranger = Publisher(tmp_path / "stranger")
    stranger.publish()
    with pytest.raises(TrustError, match="another root is pinned"):
        pin_root(gate.path, stranger.first_root)
    forged = json.loads(publisher.first_root)
    forged["signed"]["version"] = 9
    for bad in (b"{}", b"\xff", json.dumps(forged).encode()):
        with pytest.raises(TrustError, match="not root metadata signed by its own keys"):
            pin_root(tmp_path / "new", bad)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("http://example.com/trust", "use https"),
        ("ftp://example.com/trust", "neither an https URL nor a directory"),
        ("/nonexistent", "neither an https URL nor a directory"),
    ],
)
def test_a_source_is_https_or_a_directory(gate: GateCache, source: str, message: str) -> None:
    with pytest.raises(TrustError, match=message):
        gate.update(source)


def test_a_cache_without_root_or_set_says_what_to_do(publisher: Publisher, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    with pytest.raises(TrustError, match=r"no trust set yet; run: .* --root 1\.root\.json"):
        cache_module.load_signed(bare, 0)
    from agent.trust.update import update

    with pytest.raises(TrustError, match="no root pinned yet"):
        update(bare, str(publisher.path), now=0)
    with pytest.raises(TrustError, match="the first time give --root"):
        update(tmp_path / "nowhere", str(publisher.path), now=0)


def test_two_updates_at_once_do_not_meet(publisher: Publisher, gate: GateCache) -> None:
    from agent.trust.update import _locked

    with _locked(gate.path), pytest.raises(TrustError, match="another update is running"):
        gate.update(publisher.path)
    gate.update(publisher.path)


def test_a_cache_that_cannot_be_written_is_no_end_of_the_schedule(
    publisher: Publisher, gate: GateCache
) -> None:
    """The store's thread lives on `TrustError` alone: anything else ends the daemon."""
    (gate.path / ".lock").unlink(missing_ok=True)
    (gate.path / ".lock").mkdir()
    with pytest.raises(TrustError, match="cannot be written: Is a directory"):
        gate.update(publisher.path)
    (gate.path / ".lock").rmdir()
    gate.update(publisher.path)


def test_a_full_disk_leaves_the_old_set_and_no_rubbish(
    publisher: Publisher, gate: GateCache
) -> None:
    import resource

    publisher.repository.add("models/face.tflite", os.urandom(300_000))
    publisher.publish()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(TrustError, match=r"update failed: .*File too large"):
            gate.update(publisher.path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert gate.issuers() == ["one"]
    assert len(list((gate.path / "sets").iterdir())) == 1
    assert gate.update(publisher.path)


def test_a_set_swept_away_while_it_is_read_is_read_anew(
    publisher: Publisher, gate: GateCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_set = cache_module.load_set

    def slow(cache: Path, folder: Path, *rest: Any) -> Any:
        monkeypatch.setattr(cache_module, "load_set", load_set)
        for name in ("two", "three"):  # the second update sweeps what the first one replaced
            publisher.add(**{f"issuers__{name}": new_public_pem()})
            publisher.publish()
            gate.update(publisher.path)
        assert not folder.exists()
        return load_set(cache, folder, *rest)

    monkeypatch.setattr(cache_module, "load_set", slow)
    assert gate.issuers() == ["one", "three", "two"]


# --- over the network ----------------------------------------------------------------------------


class _Quiet(SimpleHTTPRequestHandler):
    """Serves a repository."""

    def log_message(self, *_arguments: object) -> None:
        return


class _Truncating(_Quiet):
    """Promises whole targets and hangs up half-way."""

    def copyfile(self, source: Any, outputfile: Any) -> None:
        data = source.read()
        outputfile.write(data[: len(data) // 2] if "/targets/" in self.path else data)
        self.close_connection = True


class _Dripping(_Quiet):
    """Sends a target a byte at a time until told to stop."""

    done = threading.Event()

    def copyfile(self, source: Any, outputfile: Any) -> None:
        if "/targets/" not in self.path:
            super().copyfile(source, outputfile)
            return
        for byte in source.read():
            try:
                outputfile.write(bytes([byte]))
                outputfile.flush()
            except OSError:
                return
            if self.done.wait(0.02):
                return


@pytest.fixture
def serve(publisher: Publisher) -> Iterator[Callable[[type[_Quiet]], str]]:
    servers: list[socketserver.BaseServer] = []

    def start(handler: type[_Quiet]) -> str:
        server = ThreadingHTTPServer(
            ("127.0.0.1", 0), partial(handler, directory=str(publisher.path))
        )
        server.daemon_threads = True
        threading.Thread(
            target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        ).start()
        servers.append(server)
        _Dripping.done.clear()
        return f"http://127.0.0.1:{server.server_address[1]}"

    yield start
    _Dripping.done.set()
    for server in servers:
        server.shutdown()
        server.server_close()


def test_a_set_comes_over_http(
    serve: Callable[[type[_Quiet]], str], publisher: Publisher, gate: GateCache
) -> None:
    publisher.add(issuers__two=new_public_pem())
    publisher.publish()
    assert gate.update(serve(_Quiet))
    assert gate.issuers() == ["one", "two"]


@pytest.mark.parametrize(
    ("handler", "deadline_s", "message"),
    [(_Truncating, 30, "update refused"), (_Dripping, 0.2, "SlowRetrieval")],
)
def test_a_broken_download_leaves_the_old_set(
    serve: Callable[[type[_Quiet]], str],
    publisher: Publisher,
    gate: GateCache,
    handler: type[_Quiet],
    deadline_s: float,
    message: str,
) -> None:
    publisher.add(issuers__two=new_public_pem())
    publisher.publish()
    with pytest.raises(TrustError, match=message):
        gate.update(serve(handler), deadline_s=deadline_s)
    assert gate.issuers() == ["one"]


def test_a_server_that_is_not_there_is_one_line(gate: GateCache) -> None:
    with socketserver.TCPServer(("127.0.0.1", 0), socketserver.BaseRequestHandler) as taken:
        port = taken.server_address[1]
    with pytest.raises(TrustError, match="cannot be reached: NewConnectionError"):
        gate.update(f"http://127.0.0.1:{port}")
    assert gate.issuers() == ["one"]
