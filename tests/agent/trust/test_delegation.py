"""Status lists published by a role of their own, and what its key cannot do."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import DelegatedRole, Delegations, Metadata, MetaFile, TargetFile

from agent.credential.model import StatusVerdict
from agent.issuing.keys import Issuer, new_issuer
from agent.issuing.status_list import sign_status_list
from agent.trust.cache import load_signed
from agent.trust.delegation import STATUS
from agent.trust.model import TrustError
from agent.trust.publish import Repository
from tests.support.trust_sets import GateCache, Publisher, copy, new_public_pem

DAY = 86_400
URI = "https://desk.example:8444/status/1"
NAME = "status/desk-1.cwt"


class DeskPublisher(Publisher):
    """A repository with an issuer and the role `status`."""

    def __init__(self, path: Path, *, delegated: bool = True) -> None:
        super().__init__(path, roles=(STATUS,) if delegated else ())
        self.issuer: Issuer = new_issuer("lib")
        self.repository.add("issuers/lib.pem", self.issuer.key.public_pem())
        self.repository.add("issuers/lib.toml", self.issuer.trust_toml().encode())

    def list(self, *withdrawn: int, uri: str = URI, at: int = 0) -> bytes:
        statuses = bytearray(1024)
        for index in withdrawn:
            statuses[index] = 1
        return sign_status_list(
            self.issuer.key, iss=self.issuer.iss, kid=self.issuer.kid, uri=uri,
            statuses=statuses, issued_at=at or int(time.time()) - 10, ttl_s=7 * DAY,
        )  # fmt: skip

    def suspend(self, *withdrawn: int, name: str = NAME, now: int | None = None) -> int:
        """Publish as the desk does: the online keys alone."""
        self.repository = Repository(self.path, now=now or int(time.time()))
        return self.repository.publish_status({name: self.list(*withdrawn)}, self.online)


@pytest.fixture
def desk(tmp_path: Path) -> DeskPublisher:
    made = DeskPublisher(tmp_path / "repo")
    made.publish()
    made.suspend()
    return made


@pytest.fixture
def gate(tmp_path: Path, desk: DeskPublisher) -> GateCache:
    made = GateCache(tmp_path / "cache", desk.first_root)
    made.update(desk.path)
    return made


def verdict(gate: GateCache, index: int) -> StatusVerdict:
    (found,) = gate.load().status_lists
    return found.answer(index, int(time.time())).verdict


# --- what goes through ---------------------------------------------------------------------------


def test_a_suspension_needs_no_key_of_targets(desk: DeskPublisher, gate: GateCache) -> None:
    assert verdict(gate, 7) is StatusVerdict.VALID
    targets = (desk.path / "metadata" / "1.targets.json").read_bytes()
    assert desk.suspend(7) == 3
    assert gate.update(desk.path)
    assert (verdict(gate, 7), verdict(gate, 8)) == (StatusVerdict.INVALID, StatusVerdict.VALID)
    assert [path.name for path in (desk.path / "metadata").glob("*.targets.json")] == [
        "1.targets.json"
    ]
    assert (desk.path / "metadata" / "1.targets.json").read_bytes() == targets


def test_what_waits_for_signatures_is_not_touched(desk: DeskPublisher, gate: GateCache) -> None:
    desk.repository.add("issuers/two.pem", new_public_pem())
    before = {path: path.read_bytes() for path in (desk.path / "draft").rglob("*.*")}
    desk.suspend(7)
    assert before == {path: path.read_bytes() for path in (desk.path / "draft").rglob("*.*")}
    gate.update(desk.path)
    assert (verdict(gate, 7), gate.issuers()) == (StatusVerdict.INVALID, ["lib"])
    desk.publish()
    gate.update(desk.path)
    assert (verdict(gate, 7), gate.issuers()) == (StatusVerdict.INVALID, ["lib", "two"])


def test_other_lists_stay_and_files_come_with_the_drafts(
    desk: DeskPublisher, gate: GateCache
) -> None:
    second = desk.list(3, uri=f"{URI}x")
    desk.suspend(7)
    desk.repository.publish_status({"status/desk-2.cwt": second}, desk.online)
    gate.update(desk.path)
    assert sorted(entry.uri for entry in gate.load().status_lists) == [URI, f"{URI}x"]
    assert desk.repository.published_file("status/desk-2.cwt") == second
    desk.repository.add("issuers/two.pem", new_public_pem())
    desk.repository.sign(desk.signers["targets"])
    third = desk.list(4, uri=f"{URI}x")
    desk.repository.publish(desk.online, status={"status/desk-2.cwt": third})
    gate.update(desk.path)
    assert (len(gate.load().status_lists), gate.issuers()) == (2, ["lib", "two"])
    assert desk.repository.published_file("status/desk-2.cwt") == third
    assert desk.repository.published_file("status/desk-9.cwt") is None


def test_a_repository_of_before_is_given_the_role_and_the_list_moves(tmp_path: Path) -> None:
    desk = DeskPublisher(tmp_path / "repo", delegated=False)
    desk.repository.add(NAME, desk.list())
    desk.repository.add("status/other.cwt", desk.list(uri=f"{URI}x"))
    desk.publish()
    gate = GateCache(tmp_path / "cache", desk.first_root)
    gate.update(desk.path)
    with pytest.raises(TrustError, match="no role `status` is published"):
        desk.suspend(7)
    key = CryptoSigner.generate_ed25519()
    desk.repository.delegate_status([key.public_key], take=[NAME])
    assert f"removes {NAME}" in desk.repository.changes()
    assert (
        f"delegates status/* to 1 of the keys {key.public_key.keyid[:16]}"
        in desk.repository.changes()
    )
    with pytest.raises(TrustError, match="status: its key is needed"):
        desk.publish()
    desk.signers[STATUS] = [key]
    desk.publish()
    gate.update(desk.path)
    assert sorted(entry.uri for entry in gate.load().status_lists) == [URI, f"{URI}x"]
    desk.suspend(7)
    gate.update(desk.path)
    judged = {entry.uri: entry.value(7) for entry in gate.load().status_lists}
    assert judged == {URI: 1, f"{URI}x": 0}
    with pytest.raises(TrustError, match="delegated already"):
        desk.repository.delegate_status([key.public_key])


def test_a_list_of_targets_is_not_replaced_by_the_role(
    desk: DeskPublisher, gate: GateCache
) -> None:
    desk.repository.add("status/bureau.cwt", desk.list(5, uri=f"{URI}x"))
    desk.publish()
    with pytest.raises(TrustError, match="targets has a list of that name"):
        desk.suspend(name="status/bureau.cwt")
    data = desk.list(uri=f"{URI}x")
    forged = TargetFile.from_data("status/bureau.cwt", data, ["sha256"])
    attack = Attack(desk, desk.path)
    attack.status(lambda signed: signed.targets.update({"status/bureau.cwt": forged}))
    digest = forged.hashes["sha256"]
    (desk.path / f"targets/status/{digest}.bureau.cwt").write_bytes(data)
    gate.update(desk.path)
    (kept,) = [entry for entry in gate.load().status_lists if entry.uri == f"{URI}x"]
    assert kept.value(5) == 1


def test_the_key_of_status_is_rotated_by_targets(desk: DeskPublisher, gate: GateCache) -> None:
    old, fresh = desk.signers[STATUS], CryptoSigner.generate_ed25519()
    desk.repository.rotate(STATUS, [fresh.public_key])
    assert desk.repository.keys_of(STATUS) == (fresh.public_key.keyid,)
    with pytest.raises(TrustError, match="status: its key is needed"):
        desk.publish()
    desk.signers[STATUS] = [fresh]
    desk.publish()
    desk.suspend(7)
    gate.update(desk.path)
    assert verdict(gate, 7) is StatusVerdict.INVALID
    desk.signers[STATUS] = old
    with pytest.raises(TrustError, match="status: its key is needed"):
        desk.suspend(8)
    with pytest.raises(TrustError, match="cannot be"):
        desk.repository.rotate(STATUS, [], threshold=1)


def test_a_threshold_of_status_keys_is_needed(tmp_path: Path) -> None:
    keys = [CryptoSigner.generate_ed25519() for _ in range(2)]
    desk = DeskPublisher(tmp_path / "repo", delegated=False)
    desk.repository.delegate_status([key.public_key for key in keys], threshold=2)
    desk.signers[STATUS] = keys[:1]
    with pytest.raises(TrustError, match="status: its key is needed"):
        desk.publish()
    desk.signers[STATUS] = keys
    assert desk.publish() == 1


def test_a_fresh_timestamp_without_the_status_key_keeps_the_list_while_it_holds(
    desk: DeskPublisher, gate: GateCache
) -> None:
    desk.suspend(7)
    signers = desk.signers.pop(STATUS)
    now = int(time.time())
    desk.publish(now=now + 29 * DAY)
    with pytest.raises(TrustError, match="status: its key is needed"):
        desk.publish(now=now + 31 * DAY)
    desk.signers[STATUS] = signers
    desk.publish()
    gate.update(desk.path)
    assert verdict(gate, 7) is StatusVerdict.INVALID


def test_a_power_cut_before_the_timestamp_publishes_nothing(
    desk: DeskPublisher, gate: GateCache
) -> None:
    kept = (desk.path / "metadata" / "timestamp.json").read_bytes()
    before = desk.repository.published_file(NAME)
    desk.suspend(7)
    (desk.path / "metadata" / "timestamp.json").write_bytes(kept)
    assert desk.repository.published_file(NAME) == before
    desk.suspend(7)
    gate.update(desk.path)
    assert verdict(gate, 7) is StatusVerdict.INVALID


def test_a_gate_that_holds_the_set_loads_it_again_and_notices_a_spoiled_part(
    desk: DeskPublisher, gate: GateCache
) -> None:
    (folder,) = (gate.path / "sets").iterdir()
    part = folder / "metadata" / "status.json"
    sound = part.read_bytes()
    part.write_bytes(
        sound.replace(b'"version": 2', b'"version": 1').replace(b'"version":2', b'"version":1')
    )
    assert part.read_bytes() != sound
    with pytest.raises(TrustError, match="cannot be believed"):
        gate.load()
    part.unlink()
    with pytest.raises(TrustError, match=r"status\.json: cannot be read"):
        gate.load()
    assert gate.update(desk.path)
    assert verdict(gate, 7) is StatusVerdict.VALID


# --- attacks -------------------------------------------------------------------------------------


class Attack:
    """Who has the three online keys, and a copy of everything that was published."""

    def __init__(self, desk: DeskPublisher, stick: Path) -> None:
        self.desk = desk
        self.stick = stick

    def newest(self, role: str) -> Path:
        number = max(int(p.name.split(".")[0]) for p in self.stick.glob(f"metadata/*.{role}.json"))
        return self.stick / "metadata" / f"{number}.{role}.json"

    def status(
        self, change: Callable[[Any], None], *, signer: CryptoSigner | None = None,
        bump: int = 1, said: int | None = None,
    ) -> None:  # fmt: skip
        """Sign another version of `status`, and snapshot and timestamp over it."""
        metadata: Metadata[Any] = Metadata.from_file(str(self.newest(STATUS)))
        metadata.signed.version += bump
        change(metadata.signed)
        metadata.signatures.clear()
        metadata.sign(signer or self.desk.signers[STATUS][0])
        version = metadata.signed.version if said is None else said
        metadata.to_file(str(self.stick / "metadata" / f"{version}.status.json"))
        self.vouch(lambda meta: meta.update({"status.json": MetaFile(version)}))

    def vouch(self, change: Callable[[dict[str, MetaFile]], None]) -> None:
        snapshot: Metadata[Any] = Metadata.from_file(str(self.newest("snapshot")))
        timestamp: Metadata[Any] = Metadata.from_file(str(self.stick / "metadata/timestamp.json"))
        snapshot.signed.version += 1
        timestamp.signed.version += 1
        change(snapshot.signed.meta)
        timestamp.signed.snapshot_meta = MetaFile(snapshot.signed.version)
        for role, metadata, name in (
            ("snapshot", snapshot, f"{snapshot.signed.version}.snapshot.json"),
            ("timestamp", timestamp, "timestamp.json"),
        ):
            metadata.signatures.clear()
            metadata.sign(self.desk.signers[role][0])
            metadata.to_file(str(self.stick / "metadata" / name))

    def name(self, name: str) -> None:
        data = new_public_pem()
        info = TargetFile.from_data(name, data, ["sha256"])
        self.status(lambda signed: signed.targets.update({name: info}))
        folder, _, base = name.rpartition("/")
        path = self.stick / "targets" / folder / f"{info.hashes['sha256']}.{base}"
        if path.resolve().is_relative_to(self.stick):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)

    def delegate_on(self, signed: Any) -> None:
        role = DelegatedRole("more", [], 1, terminating=False, paths=["models/*"])
        signed.delegations = Delegations(keys={}, roles={"more": role})


def _older_list_version(attack: Attack) -> None:
    old = Metadata[Any].from_file(str(attack.stick / "metadata" / "1.status.json"))
    attack.vouch(lambda meta: meta.update({"status.json": MetaFile(old.signed.version)}))


def _under_a_newer_number(attack: Attack) -> None:
    shutil.copy(attack.stick / "metadata/1.status.json", attack.stick / "metadata/9.status.json")
    attack.vouch(lambda meta: meta.update({"status.json": MetaFile(9)}))


def _another_delegation(attack: Attack) -> None:
    """Somebody signed, with the targets key, a delegation of everything."""
    metadata: Metadata[Any] = Metadata.from_file(str(attack.newest("targets")))
    metadata.signed.version += 1
    metadata.signed.delegations.roles[STATUS].paths = ["*/*"]
    metadata.signatures.clear()
    metadata.sign(attack.desk.signers["targets"][0])
    metadata.to_file(str(attack.stick / f"metadata/{metadata.signed.version}.targets.json"))
    attack.vouch(lambda meta: meta.update({"targets.json": MetaFile(metadata.signed.version)}))


def _expired(signed: Any) -> None:
    from datetime import timedelta

    signed.expires -= timedelta(days=31)


def _no_change(_: Any) -> None:
    return


ATTACKS: list[tuple[str, Callable[[Attack], None], str]] = [
    ("an issuer", lambda a: a.name("issuers/evil.pem"), "names what is not its own: 'issuers/evil.pem'"),
    ("a root beside the lists", lambda a: a.name("evil.pem"), "names what is not its own"),
    ("an operator", lambda a: a.name("operators/evil.pem"), "names what is not its own"),
    ("a roster", lambda a: a.name("rosters/blocked.roster"), "names what is not its own"),
    ("a profile", lambda a: a.name("profiles/hall.toml"), "names what is not its own"),
    ("a way out of the folder", lambda a: a.name("status/../issuers/evil.pem"), "names what is not its own"),
    ("a folder below", lambda a: a.name("status/x/y.cwt"), "names what is not its own"),
    ("a dot at the beginning", lambda a: a.name("status/.x.cwt"), "names what is not its own"),
    ("a list that nobody's key signed", lambda a: a.name("status/x.cwt"), "x.cwt"),
    ("a delegation of its own", lambda a: a.status(a.delegate_on), "delegates further"),
    ("a delegation of everything", _another_delegation, "delegates something other"),
    ("rollback to an older version", _older_list_version, "BadVersionNumber"),
    ("an older version under a newer number", _under_a_newer_number, "BadVersionNumber"),
    ("a version that is not the one said", lambda a: a.status(_no_change, said=7), "BadVersionNumber"),
    ("freeze: the role has expired", lambda a: a.status(_expired), "ExpiredMetadata"),
    ("wrong key: snapshot's", lambda a: a.status(_no_change, signer=a.desk.signers["snapshot"][0]), "status was signed by 0/1 keys"),
    ("wrong key: a stranger's", lambda a: a.status(_no_change, signer=CryptoSigner.generate_ed25519()), "status was signed by 0/1 keys"),
    ("the part is missing", lambda a: a.newest(STATUS).unlink(), "DownloadHTTPError"),
    ("the part is left out of the snapshot", lambda a: a.vouch(lambda meta: meta.pop("status.json") and None), "missing"),
    ("the part is endless", lambda a: a.newest(STATUS).write_bytes(b" " * 6_000_000) and None, "DownloadLengthMismatch"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("attack", "message"), [row[1:] for row in ATTACKS], ids=[row[0] for row in ATTACKS]
)
def test_what_the_online_keys_cannot_do(
    desk: DeskPublisher,
    gate: GateCache,
    tmp_path: Path,
    attack: Callable[[Attack], None],
    message: str,
) -> None:
    desk.suspend(7)
    gate.update(desk.path)
    kept = gate.load()
    desk.suspend(7, 8)  # the gate does not have this one yet
    attack(Attack(desk, copy(desk.path, tmp_path / "stick")))
    with pytest.raises(TrustError, match=message) as caught:
        gate.update(tmp_path / "stick")
    assert "\n" not in str(caught.value)
    assert gate.load().source == kept.source
    assert verdict(gate, 7) is StatusVerdict.INVALID
    for role in ("snapshot", "timestamp", "targets", STATUS):  # what is done about keys taken
        fresh = CryptoSigner.generate_ed25519()
        desk.repository.rotate(role, [fresh.public_key])
        desk.signers[role] = [fresh]
    desk.publish()
    assert gate.update(desk.path)
    assert verdict(gate, 8) is StatusVerdict.INVALID


def test_a_gate_of_before_goes_on_without_the_delegated_lists(
    desk: DeskPublisher, tmp_path: Path
) -> None:
    """A client that follows no delegation takes the set as it always did."""
    from tuf.ngclient import Updater

    from agent.trust.fetch import DirectoryFetcher

    (tmp_path / "client").mkdir()
    updater = Updater(
        metadata_dir=str(tmp_path / "client"), metadata_base_url="dir:metadata/",
        target_base_url="dir:targets/", fetcher=DirectoryFetcher(desk.path),
        bootstrap=desk.first_root,
    )  # fmt: skip
    updater.refresh()
    assert updater.get_targetinfo("issuers/lib.pem") is not None
    found = updater.get_targetinfo(NAME)  # and one that follows it finds the same list
    assert found is not None
    data = desk.repository.published_file(NAME)
    assert data is not None
    found.verify_length_and_hashes(data)


@pytest.mark.parametrize(
    "name",
    ["issuers/x.pem", "status/../x.cwt", "status/x/y.cwt", "status/", "x.cwt", "status/é.cwt"],
)
def test_the_publisher_refuses_a_name_that_is_not_the_roles(desk: DeskPublisher, name: str) -> None:
    before = desk.path.joinpath("metadata/timestamp.json").read_bytes()
    with pytest.raises(TrustError, match="not a name that `status` may sign"):
        desk.suspend(name=name)
    assert desk.path.joinpath("metadata/timestamp.json").read_bytes() == before


def test_the_publisher_refuses_a_list_that_gates_would(desk: DeskPublisher) -> None:
    with pytest.raises(TrustError, match=r"gates would refuse this set: status/desk-1\.cwt"):
        desk.repository.publish_status({NAME: b"junk"}, desk.online)
    stranger = new_issuer("other")
    forged = sign_status_list(
        stranger.key, iss=stranger.iss, kid=stranger.kid, uri=URI, statuses=bytes(8),
        issued_at=int(time.time()), ttl_s=DAY,
    )  # fmt: skip
    with pytest.raises(TrustError, match="no trusted key"):
        desk.repository.publish_status({NAME: forged}, desk.online)


def test_the_set_ends_with_its_first_part(desk: DeskPublisher, gate: GateCache) -> None:
    attack = Attack(desk, desk.path)

    def soon(signed: Any) -> None:
        from datetime import timedelta

        signed.expires -= timedelta(days=20)

    attack.status(soon)
    gate.update(desk.path)
    expires = load_signed(gate.path, int(time.time())).expires_at
    assert expires is not None
    assert abs(expires - (time.time() + 10 * DAY)) < 120
